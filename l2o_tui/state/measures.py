"""What else is shown over the meta-iterations than the end loss: read from the run's folder, once it is wanted.

So it is the same for a run that is driven here, one that is watched and one that is over, and costs nothing before.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import log, nan
from pathlib import Path

import numpy as np

from l2o_engine.presets.schema import Preset
from l2o_engine.records.curve import Curve, History
from l2o_engine.records.rows import Rows
from l2o_engine.runs.folder import Run, lanes_of
from l2o_engine.runs.metrics_file import RowReader
from l2o_engine.runs.tail import Tail
from l2o_engine.support.arrays import LOG_FLOOR, Doubles
from l2o_engine.training.trainer import Lane

_POINTS = 2048  # of a curve, at most


@dataclass(frozen=True)
class Measure:
    """Something that is measured at every meta-iteration.

    Attributes
    ----------
    title
        What it is, in words.
    of
        Returns log10 of it [rows]; NaN where there is none. None for what is measured at every look alone.
    is_share
        Whether it lies between 0 and 1, and is never drawn by its logarithm.
    """

    title: str
    of: Callable[[Rows], Doubles] | None
    is_share: bool = False


def _log10(values: Doubles) -> Doubles:
    with np.errstate(invalid="ignore", over="ignore"):
        logs: Doubles = np.log10(values + LOG_FLOOR)
    return np.where(np.isfinite(logs), logs, nan)


SUM = Measure("Σ of the losses, over the meta-iterations", lambda rows: _log10(rows.sum_loss))
GRADIENT = Measure("norm of the meta-gradient, over the meta-iterations", lambda rows: _log10(rows.gradient_norm))
MIN_LOG = Measure(
    "e^min_log, the least gradient that is told from less, over the meta-iterations",
    lambda rows: rows.numbers["min_log"] / log(10),
)
EPSILON = Measure("share of Adam's step lost to ε, over the meta-iterations", None, is_share=True)


def measures_of(preset: Preset) -> list[Measure]:
    """Return what is measured of a preset's runs, beside the end loss."""
    if not preset.learns:
        return [SUM]
    has_min_log = "min_log" in preset.inputs.numbers
    return [SUM, GRADIENT, *([MIN_LOG] if has_min_log else []), EPSILON]


class MeasureReader:
    """Reads a measure of a run, and what was added since.

    Parameters
    ----------
    folder
        The run's folder.
    preset
        Its preset.
    """

    def __init__(self, folder: Path, preset: Preset) -> None:
        self._run = Run(folder)
        self._lanes = lanes_of(preset)
        self._window = preset.report.rolling_window
        self._measure: Measure | None = None
        self._begin()

    def _begin(self) -> None:
        self._tail, self._reader = Tail(self._run.metrics_path), RowReader(self._lanes)
        self._histories = [History(self._window, _POINTS) for _ in self._lanes]

    def read(self, measure: Measure) -> Sequence[tuple[Lane, Curve]]:
        """Return each lane's curve of a measure as far as the run has come.

        Raises
        ------
        ValueError
            If metrics.csv is damaged.
        OSError, RunError
            If the folder cannot be read.
        """
        if measure.of is None:
            return self._looks()
        if measure is not self._measure or self._tail.is_cut:
            self._measure = measure
            self._begin()
        try:
            self._read_on(measure.of)
        except ValueError:  # perhaps the run went back to a checkpoint and on since: once more, from its beginning
            self._begin()
            self._read_on(measure.of)
        return [(lane, history.curve()) for lane, history in zip(self._lanes, self._histories, strict=True)]

    def _read_on(self, of: Callable[[Rows], Doubles]) -> None:
        for lines in self._tail.lines():
            rows = self._reader.read(lines)
            if rows is None:
                continue
            values = of(rows)
            for place, history in enumerate(self._histories):
                own = rows.lane == place
                history.add_values(rows.iteration[own], values[own])

    def _looks(self) -> Sequence[tuple[Lane, Curve]]:
        histories = {lane: History(1, _POINTS) for lane in self._lanes}
        for lane, vitals in self._run.vitals():
            value = _log10(np.array([vitals.epsilon_share]))
            histories[lane].add_values(np.array([vitals.iteration]), value)
        return [(lane, history.curve()) for lane, history in histories.items()]
