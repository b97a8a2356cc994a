"""Another preset's problem in the base chart, in place of the run's own."""

from pathlib import Path
from typing import TYPE_CHECKING

from l2o_engine.presets.schema import Preset
from l2o_engine.records.events import Curves, ShowDraws
from l2o_engine.runs.folder import Run
from l2o_engine.studies.evaluation import curves_on, other_problems
from l2o_tui.panes.base_pane import BasePane
from l2o_tui.state.workers import in_background

if TYPE_CHECKING:
    from textual.worker import Worker

_GROUP = "other problem"


class OtherProblem:
    """Shows the network on the next problem of the shipped presets that is not the run's; after the last, on its own.

    The losses are those of the newest checkpoint, made in a thread, and anew when there is a newer one.

    Parameters
    ----------
    chart
        What they are drawn in; it makes them in a thread, and tells the user.
    folder
        The run's folder.
    preset
        The run's preset.
    """

    def __init__(self, chart: BasePane, folder: Path, preset: Preset) -> None:
        self._chart = chart
        self._folder = folder
        self._preset = preset
        self._others: list[Preset] | None = None
        self._shown: Preset | None = None
        self._cannot_be_shown = False  # so that it is not tried again with every checkpoint
        self._draws = ShowDraws()
        self._checkpoint = -1
        self._making: Worker[None] | None = None

    def show_next(self, draws: ShowDraws, checkpoint: int) -> None:
        """Show the next problem, on these draws, by the network of this checkpoint or a newer one."""
        if self._others is None:
            self._others = other_problems(self._preset)
        places = [*self._others, None]
        self._shown = places[(places.index(self._shown) + 1) % len(places)]
        if self._shown is None:
            if self._making:
                self._making.cancel()
            self._chart.show_own()
            self._chart.notify("the run's own problem" if self._others else "no shipped preset has another problem")
            return
        self._draws, self._checkpoint = draws, checkpoint
        self._make()

    def show_draws(self, draws: ShowDraws) -> None:
        """Show other draws, if another problem is shown."""
        self._draws = draws
        if self._shown is not None:
            self._make()

    def keep_up(self, checkpoint: int) -> None:
        """Take notice of the newest checkpoint."""
        is_making = self._making is not None and not self._making.is_finished
        is_wanted = self._shown is not None and not self._cannot_be_shown
        if is_wanted and checkpoint != self._checkpoint and not is_making:
            self._checkpoint = checkpoint
            self._make()

    def _make(self) -> None:
        preset, draws = self._shown, self._draws
        if preset is None:
            return
        self._cannot_be_shown = False

        def make() -> Curves:
            return curves_on(Run(self._folder), preset, draws)

        def show(curves: Curves) -> None:
            if self._shown is preset:
                self._chart.show_other(curves, preset.name)

        def fail(message: str) -> None:
            if self._shown is preset:  # a data set that is not there, for one
                self._cannot_be_shown = True
                self._chart.show_own()
                self._chart.notify(message, severity="error")

        self._making = in_background(self._chart, make, show, failed=fail, group=_GROUP, exclusive=True)
