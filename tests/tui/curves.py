"""Curves and pictures for the tests of the charts."""

from collections.abc import Sequence

import numpy as np

from l2o_engine.records.curve import Curve, History
from l2o_engine.records.rows import Rows
from l2o_engine.support.arrays import Doubles
from l2o_tui.charts.canvas import Canvas
from l2o_tui.charts.drawing import Series


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


def series_of(label: str, curve: Curve) -> Series:
    """Return what is drawn of a curve."""
    return Series(label, curve.iteration, curve.low, curve.high, curve.rolling)


def text_of(canvas: Canvas) -> str:
    """Return a picture without its looks."""
    rows = range(len(canvas.cells.characters))
    return "\n".join("".join(text for text, _ in canvas.cells.runs(row)) for row in rows)
