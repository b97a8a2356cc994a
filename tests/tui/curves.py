"""Curves and pictures for the tests of the charts."""

from collections.abc import Mapping, Sequence

import numpy as np

from l2o_engine.optimizers.learned.learned_optimizer import LEARNED
from l2o_engine.records.curve import Curve, History
from l2o_engine.records.rows import Rows
from l2o_engine.support.arrays import Doubles
from l2o_tui.charts.cells import Cells
from l2o_tui.charts.convergence import convergence, curve_series
from l2o_tui.charts.figure import Figure, Series
from l2o_tui.charts.styles import Style, optimizer_styles

LEVELS = {"SGD": -3.7, "RMSProp": -18.17}


def curve_of(results: Sequence[float] | Doubles, *, window: int = 5, capacity: int = 64) -> Curve:
    """Return the curve of these log10 results; -38 is an exact zero."""
    logs = np.asarray(results, np.float64)
    nothing, iteration = np.zeros(len(logs)), np.arange(len(logs))
    losses = np.where(logs == -38, 0.0, 1.0)
    history = History(window, capacity)
    history.add(Rows(iteration, iteration * 0, losses, nothing, logs, nothing, nothing, {}, ~np.isfinite(logs)))
    return history.curve()


def falling(n: int, *, seed: int = 0, to: float = -20.0) -> Doubles:
    """Return results that fall like a run's."""
    share = np.arange(n) / n
    return to * (1 - np.exp(-5 * share)) + np.random.default_rng(seed).normal(0, 1, n)


def series_of(label: str, curve: Curve, place: int = 0) -> Series:
    """Return what is drawn of a curve."""
    return curve_series(label, Style(place), curve, curve.window)


def figure_of(
    series: Sequence[Series] | None = None, levels: Mapping[str, float] = LEVELS, **options: object
) -> Figure:
    """Return the picture of a run, or of these series."""
    if series is None:
        series = [series_of(LEARNED, curve_of(falling(600), capacity=1024))]
    styles = optimizer_styles(levels)
    return convergence(series, {name: (styles[name], level) for name, level in levels.items()}, **options)  # type: ignore[arg-type]


def text_of(cells: Cells) -> str:
    """Return a picture without its looks."""
    return "\n".join("".join(text for text, _ in cells.runs(row)) for row in range(cells.size[1]))
