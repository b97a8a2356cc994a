"""Statistics over replicates: one figure's spread, and the spread of their curves. The only home of both.

Take-off times vary by seed, so what replicates have in common are medians and quartiles, never means.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, nan

import numpy as np

from l2o_engine.records.curve import Curve
from l2o_engine.support.arrays import Doubles, Integers


@dataclass(frozen=True)
class Spread:
    """How a figure is spread over replicates: NaN ones are left out, all are NaN where none is left.

    Attributes
    ----------
    median, lower, upper
        The quartiles.
    least, greatest
        The extremes.
    count
        How many replicates the figures are of.
    lost
        How many more there are whose figure is NaN.
    """

    median: float
    lower: float
    upper: float
    least: float
    greatest: float
    count: int
    lost: int


def spread_of(values: Sequence[float]) -> Spread:
    """Return how a figure is spread over replicates."""
    there = np.array([value for value in values if isfinite(value)])
    lost = len(values) - len(there)
    if not there.size:
        return Spread(nan, nan, nan, nan, nan, 0, lost)
    lower, median, upper = quartiles(there[:, None])[:, 0].tolist()
    return Spread(median, lower, upper, float(there.min()), float(there.max()), len(there), lost)


def quartiles(values: Doubles) -> Doubles:
    """Return lower quartile, median and upper quartile, as rows [3, points], of the finite values in [n, points].

    To the last bit as ``numpy.nanquantile``, which goes through the points one at a time and is too slow for a chart.
    A point without a finite value has NaN.
    """
    ordered = np.sort(np.where(np.isfinite(values), values, np.nan), axis=0)  # NaN comes last
    count = np.isfinite(ordered).sum(axis=0)
    found = []
    for share in (0.25, 0.5, 0.75):
        place = share * np.maximum(count - 1, 0)
        below = np.floor(place).astype(int)
        above = np.minimum(below + 1, np.maximum(count - 1, 0))
        lower, upper = (np.take_along_axis(ordered, index[None], axis=0)[0] for index in (below, above))
        rest, gap = place - below, upper - lower
        found.append(np.where(rest < 0.5, lower + rest * gap, upper - (1 - rest) * gap))  # NumPy's rounding
    return np.stack(found)


@dataclass(frozen=True, eq=False)
class MedianLine:
    """The median of replicates' lines with their quartiles; arrays are [points].

    Attributes
    ----------
    iteration
        The meta-iteration of each point: those of the line that goes furthest.
    median, lower, upper
        Quartiles over the replicates; NaN where no replicate has a finite value.
    replicates
        How many replicates the quartiles are of: those that have come so far and are finite there.
    """

    iteration: Integers
    median: Doubles
    lower: Doubles
    upper: Doubles
    replicates: Integers


def median_line(lines: Sequence[tuple[Integers, Doubles]]) -> MedianLine:
    """Return the median of replicates' lines, each given by its points' meta-iterations and values.

    The points are those of curves (:class:`~l2o_engine.records.curve.Curve`): the ends of buckets, which are the same
    for curves of one length and else lie in one another, for their widths are powers of two. So a replicate counts
    where it has a point itself, and is never interpolated: the point in the middle of a bucket at which a shorter run
    stopped is a mean up to there, not up to the bucket's end.

    Parameters
    ----------
    lines
        (meta-iterations [points], values [points]) of each replicate, at least one; one without points counts nowhere.
    """
    iteration = max((one for one, _ in lines), key=_last)
    values = np.full((len(lines), len(iteration)), nan)
    for place, (own, line) in enumerate(lines):
        bucket = np.searchsorted(iteration, own)
        is_end = iteration[bucket] == own if len(own) else np.zeros(0, bool)
        values[place, bucket[is_end]] = line[is_end]
    lower, median, upper = quartiles(values)
    return MedianLine(iteration, median, lower, upper, np.isfinite(values).sum(axis=0))


@dataclass(frozen=True, eq=False)
class GroupCurve(MedianLine):
    """A group's convergence; arrays are [points], all results as log10(last loss + 1e-38).

    Its quartiles are those of the rolling log-average.

    Attributes
    ----------
    low, high
        The extremes of all replicates' raw results since the point before; NaN where there are none.
    """

    low: Doubles
    high: Doubles


def group_curve(curves: Sequence[Curve]) -> GroupCurve:
    """Return the convergence of a group of replicates, at least one, over the buckets of the longest."""
    middle = median_line([(curve.iteration, curve.rolling) for curve in curves])
    low, high = np.full((2, len(middle.iteration)), nan)
    for curve in curves:
        # A shorter run has narrower buckets, each of which lies in one of the longest run's.
        bucket = np.searchsorted(middle.iteration, curve.iteration)
        np.fmin.at(low, bucket, curve.low)
        np.fmax.at(high, bucket, curve.high)
    return GroupCurve(**vars(middle), low=low, high=high)


@dataclass(frozen=True)
class MedianCurve(Curve):
    """The convergence of several replicates: ``rolling`` is the median of theirs, over any window.

    Attributes
    ----------
    replicates
        Their curves.
    """

    replicates: tuple[Curve, ...]

    def rolling_over(self, window: int) -> Doubles:
        """Return the median [points] of the replicates' means over another window."""
        return median_line([(one.iteration, one.rolling_over(window)) for one in self.replicates]).median


def median_curve(curves: Sequence[Curve]) -> Curve:
    """Return the curve of one replicate, or the median of several, of one window; what could not be drawn is summed."""
    if len(curves) == 1:
        return curves[0]
    middle = group_curve(curves)
    total, count = np.zeros((2, len(middle.iteration)))
    for curve in curves:
        bucket = np.searchsorted(middle.iteration, curve.iteration)
        np.add.at(total, bucket, curve.total)
        np.add.at(count, bucket, curve.count)
    return MedianCurve(
        iteration=middle.iteration,
        low=middle.low,
        high=middle.high,
        rolling=middle.median,
        total=total,
        count=count,
        width=max(curve.width for curve in curves),
        window=curves[0].window,
        non_finite=sum(curve.non_finite for curve in curves),
        zeros=sum(curve.zeros for curve in curves),
        replicates=tuple(curves),
    )


def _last(iteration: Integers) -> int:
    return int(iteration[-1]) if len(iteration) else -1
