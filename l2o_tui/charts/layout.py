"""What is decided before anything is drawn: what is in view, points, ticks, places of labels. Draws nothing itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, floor, log10, nan

import numpy as np

from l2o_engine.support.arrays import Doubles, Integers
from l2o_tui.text.numbers import compact


@dataclass(frozen=True)
class Span:
    """A part of the x axis."""

    left: float
    right: float

    @property
    def width(self) -> float:
        """How much it covers."""
        return self.right - self.left

    def holds(self, x: float) -> bool:
        """Return whether x is in it."""
        return self.left <= x <= self.right

    def zoomed(self, factor: float, about: float, whole: "Span", least: float) -> "Span":
        """Return the span with its width divided by a factor, ``about`` staying where it is on the screen.

        It stays within ``whole``; what would be narrower than ``least`` stays as it is.
        """
        width = self.width / factor
        if width >= whole.width:
            return whole
        if width < least:
            return self
        share = (about - self.left) / self.width
        left = about - share * width
        return Span(left, left + width).within(whole)

    def moved(self, by: float, whole: "Span") -> "Span":
        """Return the span moved, but not beyond ``whole``."""
        return Span(self.left + by, self.right + by).within(whole)

    def within(self, whole: "Span") -> "Span":
        """Return the span, as wide as it is, moved into ``whole``; all of that if it is wider."""
        if self.width >= whole.width:
            return whole
        left = min(max(self.left, whole.left), whole.right - self.width)
        return Span(left, left + self.width)


def line_at(x: Integers, y: Doubles, edges: Doubles) -> Doubles:
    """Return a line's height [columns] at each column's right end, or at the line's own last point.

    Parameters
    ----------
    x, y
        The line's points [points], by x; NaN is a gap.
    edges
        The columns' ends [columns + 1]. A column without any of the line is NaN.
    """
    if not len(x):
        return np.full(len(edges) - 1, np.nan)
    left, right = edges[:-1], edges[1:]
    heights = np.interp(np.clip(right, x[0], x[-1]), x, y)
    return np.where((left <= x[-1]) & (right >= x[0]), heights, np.nan)


def extremes(x: Integers, low: Doubles, high: Doubles, edges: Doubles) -> tuple[Doubles, Doubles]:
    """Return the least ``low`` and the greatest ``high`` [columns] of the points that lie in each column.

    A point at x stands for all since the point before. Where points are narrower than columns, each counts in the
    column that it ends in; a column in which none ends is a part of the next point.

    Parameters
    ----------
    x, low, high
        The points [points], by x; NaN has no extremes.
    edges
        The columns' ends [columns + 1]. A column without points is NaN.
    """
    first = np.searchsorted(x, edges[:-1], side="right")
    if len(first):
        first[0] = np.searchsorted(x, edges[0])  # what lies on the left edge itself is in view, too
    last = np.searchsorted(x, edges[1:], side="right") - 1
    if len(last):
        last[-1] = np.searchsorted(x, edges[-1])  # the point that goes on beyond the right edge begins in view
    last = np.minimum(np.maximum(first, last), len(x) - 1)
    there = first < len(x)
    bounds = np.stack([first, last + 1], axis=1)[there].ravel()
    found = np.full((2, len(there)), np.nan)
    if len(bounds):
        # One more value, so that the end of the last point is an index as well.
        found[0, there] = np.fmin.reduceat(np.append(low, np.nan), bounds)[::2]
        found[1, there] = np.fmax.reduceat(np.append(high, np.nan), bounds)[::2]
    return found[0], found[1]


def point_at(x: Integers, edges: Doubles) -> int | None:
    """Return the index of the last point that a column [2 ends] has of a line; None if it has nothing of it."""
    left, right = edges.tolist()
    if not len(x) or x[0] > right or x[-1] < left:
        return None
    index = int(np.searchsorted(x, right, side="right")) - 1
    return index + 1 if index < 0 or x[index] < left else index  # where points are wider than columns, the next one


def value_at(x: Integers, y: Doubles, edges: Doubles) -> float:
    """Return the height of the last point that a column [2 ends] has of a line; NaN if it has nothing of it."""
    index = point_at(x, edges)
    return nan if index is None else float(y[index])


def decade_ticks(low: int, high: int, most: int) -> tuple[list[float], list[str]]:
    """Return ticks at powers of ten, as exponents, and their labels: at most so many, at even distances."""
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 1000) if (high - low) / step < most)
    ticks = [float(tick) for tick in range(ceil(low / step) * step, high + 1, step)]
    return ticks, [f"1e{tick:+.0f}" if tick else "1" for tick in ticks]


def even_ticks(low: float, high: float, most: int) -> tuple[list[float], list[str]]:
    """Return ticks at round numbers at even distances, at most so many, and their labels."""
    step = round_up((high - low) / most)
    ticks = [float(f"{tick * step:.10g}") for tick in range(ceil(low / step), floor(high / step) + 1)]
    labels = [compact(tick) for tick in ticks]
    if len(set(labels)) < len(labels):  # near to one another, far from 0
        labels = [f"{tick:,.10g}" for tick in ticks]
    return ticks, labels


def round_up(value: float) -> float:
    """Return the next 1, 2 or 5 times a power of ten."""
    magnitude = 10.0 ** floor(log10(value))
    return next(factor * magnitude for factor in (1, 2, 5, 10) if factor * magnitude >= value)


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
