"""Few points for many: what a picture of so many columns needs of a line or a band, and no outlier less."""

from dataclasses import dataclass
from math import nan

import numpy as np

from l2o_engine.support.arrays import Doubles, Flags, Integers
from l2o_tui.charts.axes import Span


@dataclass(frozen=True, eq=False)
class Polyline:
    """Points to draw, all finite and in view; arrays are [points].

    Attributes
    ----------
    x, y
        The points, by x.
    joined
        Whether each is joined to the one before it; the first never is.
    """

    x: Doubles
    y: Doubles
    joined: Flags

    def heights(self, x: Doubles) -> Doubles:
        """Return the line's height at each x; NaN beside it and in its gaps."""
        if not len(self.x):
            return np.full(len(x), nan)
        after = np.searchsorted(self.x, x)
        inside = (after < len(self.x)) & (x >= self.x[0])
        after = np.minimum(after, len(self.x) - 1)
        inside &= self.joined[after] | (self.x[after] == x)
        return np.where(inside, np.interp(x, self.x, self.y), nan)


def reduced(x: Integers | Doubles, y: Doubles, view: Span, columns: int, *, grain: float = 0.0) -> Polyline:
    """Return the points of a line that so many columns can show: its end, and the lowest and highest of each column.

    What enters or leaves the view begins or ends at its edge.

    Parameters
    ----------
    x, y
        The line's points [points], by x. What is not finite is a gap.
    view
        What of the x axis is drawn.
    columns
        In how many columns.
    grain
        Where a column's heights differ by less, its last point stands for all.
    """
    finite = np.isfinite(y)
    gaps, x, y = np.cumsum(~finite)[finite], x[finite].astype(np.float64), y[finite]
    first, last = np.searchsorted(x, view.left), np.searchsorted(x, view.right, side="right")
    chosen = first + _extreme_points(x[first:last], y[first:last], view, columns, grain)
    gap, ends_x, ends_y = gaps[chosen], x[chosen], y[chosen]
    for edge, before, after in ((view.left, first - 1, first), (view.right, last - 1, last)):
        if before >= 0 and after < len(x) and x[before] < edge < x[after] and gaps[before] == gaps[after]:
            place = int(np.searchsorted(ends_x, edge))
            share = (edge - x[before]) / (x[after] - x[before])
            ends_x = np.insert(ends_x, place, edge)
            ends_y = np.insert(ends_y, place, y[before] + share * (y[after] - y[before]))
            gap = np.insert(gap, place, gaps[before])
    joined = np.append(False, gap[1:] == gap[:-1])[: len(ends_x)]
    return Polyline(ends_x, ends_y, joined)


def _extreme_points(x: Doubles, y: Doubles, view: Span, columns: int, grain: float) -> Integers:
    """Return the indices of each column's lowest and highest point, or of its last one, and of the last of all."""
    if not len(x):
        return np.zeros(0, np.int64)
    column = np.minimum(((x - view.left) / view.width * columns).astype(np.int64), columns - 1)
    starts = np.flatnonzero(np.diff(column, prepend=-1))
    group = np.repeat(np.arange(len(starts)), np.diff(starts, append=len(x)))
    low, high = np.minimum.reduceat(y, starts), np.maximum.reduceat(y, starts)
    lowest, highest = _firsts(y == low[group], group), _firsts(y == high[group], group)
    is_flat, last = high - low < grain, np.append(starts[1:], len(x)) - 1
    return np.unique(np.append(np.where(is_flat, last, np.stack([lowest, highest])), last[-1:]))


def _firsts(wanted: Flags, group: Integers) -> Integers:
    """Return the index of the first wanted one of each group."""
    index = np.flatnonzero(wanted)
    return index[np.diff(group[index], prepend=-1) > 0]


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
