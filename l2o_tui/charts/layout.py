"""What is decided before anything is drawn: points, ticks, places of labels. Knows no library that draws."""

from collections.abc import Sequence
from itertools import pairwise
from math import ceil, floor, log10

import numpy as np

from l2o_engine.history import Curve
from l2o_tui.figures import compact


def reduce_curve(curve: Curve, points: int) -> Curve:
    """Return a curve with at most so many points: extremes of the raw results, last rolling mean of each group."""
    n = len(curve.iteration)
    if n <= points:
        return curve
    starts = np.unique(np.linspace(0, n, points, endpoint=False).astype(int))
    ends = np.append(starts[1:], n) - 1
    return Curve(
        iteration=curve.iteration[ends],
        low=np.fmin.reduceat(curve.low, starts),
        high=np.fmax.reduceat(curve.high, starts),
        rolling=curve.rolling[ends],
        non_finite=curve.non_finite,
        zeros=curve.zeros,
    )


def decade_ticks(low: int, high: int, most: int) -> tuple[list[float], list[str]]:
    """Return ticks at powers of ten, as exponents, and their labels: at most so many, at even distances."""
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 1000) if (high - low) / step < most)
    ticks = [float(tick) for tick in range(ceil(low / step) * step, high + 1, step)]
    return ticks, [f"1e{tick:+.0f}" if tick else "1" for tick in ticks]


def even_ticks(low: float, high: float, most: int) -> tuple[list[float], list[str]]:
    """Return ticks at round numbers at even distances, at most so many, and their labels."""
    rough = (high - low) / most
    magnitude = 10.0 ** floor(log10(rough))
    step = next(factor * magnitude for factor in (1, 2, 5, 10) if factor * magnitude >= rough)
    ticks = [tick * step for tick in range(ceil(low / step), floor(high / step) + 1)]
    return ticks, [compact(round(tick, 12)) for tick in ticks]


def spread(heights: Sequence[float], low: float, high: float, distance: float) -> list[float]:
    """Return the heights moved apart to at least this distance, and into low … high, in the same order."""
    placed = [min(max(height, low), high) for height in heights]
    order = sorted(range(len(placed)), key=lambda index: placed[index])
    for below, above in pairwise(order):
        placed[above] = max(placed[above], placed[below] + distance)
    ceiling = high
    for index in reversed(order):
        placed[index] = min(placed[index], ceiling)
        ceiling = placed[index] - distance
    return placed
