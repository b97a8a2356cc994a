"""Another figure over the meta-iterations than the end loss, in the convergence chart."""

from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING

from l2o_engine.presets.schema import Preset
from l2o_engine.records.curve import Curve
from l2o_engine.training.trainer import Lane
from l2o_tui.charts.widget import ConvergenceChart
from l2o_tui.state.feed import View
from l2o_tui.state.measures import Measure, MeasureReader, measures_of
from l2o_tui.state.workers import in_background

if TYPE_CHECKING:
    from textual.worker import Worker

_SHARE = 0.05  # of the time that reading may take
_LEAST_SECONDS = 1.0  # between two readings


class Measured:
    """Which figure is shown: the end loss, or one that is read from the run's folder in the background.

    Parameters
    ----------
    chart
        What it is drawn in.
    folder
        The run's folder.
    preset
        Its preset.
    """

    def __init__(self, chart: ConvergenceChart, folder: Path, preset: Preset) -> None:
        self._chart = chart
        self._folder, self._preset = folder, preset
        self._reader: MeasureReader | None = None
        self._choices: list[Measure | None] = [None, *measures_of(preset)]
        self._chosen: Measure | None = None
        self._reading: Worker[None] | None = None
        self._read = (-1, -1)  # rows and looks of the view that was read
        self._due = 0.0

    def show_next(self, view: View) -> None:
        """Show the next figure; after the last one, the end loss again."""
        place = self._choices.index(self._chosen)
        self._chosen = self._choices[(place + 1) % len(self._choices)]
        self._read, self._due = (-1, -1), 0.0
        if self._reading:
            self._reading.cancel()
            self._reading = self._reader = None  # which that thread may still be reading with
        if self._chosen is None:
            self._chart.show_end_loss()
        else:
            self._chart.show_measure(self._chosen.title, (), is_share=self._chosen.is_share)
        self.keep_up(view)

    def keep_up(self, view: View) -> None:
        """Read what was added, if a figure of it is shown and it is time."""
        now = (view.rows_seen, view.starts)
        measure = self._chosen
        is_busy = self._reading is not None and not self._reading.is_finished
        if measure is None or is_busy or now == self._read or monotonic() < self._due:
            return
        self._read = now

        reader = self._reader = self._reader or MeasureReader(self._folder, self._preset)

        def read() -> tuple[Sequence[tuple[Lane, Curve]], float]:
            began = monotonic()
            curves = reader.read(measure)
            return curves, monotonic() - began

        def show(found: tuple[Sequence[tuple[Lane, Curve]], float]) -> None:
            curves, took = found
            self._due = monotonic() + max(_LEAST_SECONDS, took / _SHARE)
            self._chart.show_measure(measure.title, curves, is_share=measure.is_share)

        self._reading = in_background(self._chart, read, show, group="measured", exclusive=True)
