"""What a run looked like so far, in bounded memory: a convergence curve reduced to buckets that double in width.

A chart has some hundred columns, a run a million meta-iterations. Each bucket keeps the extremes of the raw results
and the rolling mean at its end, so nothing that stands out is lost, and what could not be drawn is counted. It also
keeps their sum and number, of which the mean over any other window of whole buckets is made.
"""

from dataclasses import dataclass

import numpy as np

from l2o_engine.records.rows import Rows
from l2o_engine.support.arrays import Doubles, Flags, Integers


@dataclass(frozen=True)
class Curve:
    """A frozen picture of a history; arrays are [points], all results as log10(last loss + 1e-38).

    Attributes
    ----------
    iteration
        The last meta-iteration of each point.
    low, high
        The extremes of the finite raw results; NaN where a point has none.
    rolling
        The mean over the window that ends there.
    total, count
        The sum and the number of the finite raw results.
    width
        How many results a point holds; the last one may hold fewer.
    window
        How many results ``rolling`` is the mean of.
    non_finite, zeros
        How many results of the whole run cannot be drawn, for they were NaN or infinite, and how many were exactly 0
        (drawn at -38).
    """

    iteration: Integers
    low: Doubles
    high: Doubles
    rolling: Doubles
    total: Doubles
    count: Doubles
    width: int
    window: int
    non_finite: int
    zeros: int

    def nearest_window(self, window: int) -> int:
        """Return the window that stands for one of so many results: the curve's own, or whole points."""
        return window if window == self.window else -(-window // self.width) * self.width

    def rolling_over(self, window: int) -> Doubles:
        """Return the mean [points] over another window: over the fewest points, ending at each, that hold so many."""
        if window == self.window:
            return self.rolling
        before = np.searchsorted(self.iteration, self.iteration - window, side="right")
        total, count = (np.concatenate([[0.0], np.cumsum(values)]) for values in (self.total, self.count))
        with np.errstate(invalid="ignore"):
            mean: Doubles = (total[1:] - total[before]) / (count[1:] - count[before])
        return mean


class Rolling:
    """The mean over the window that ends at each result of a series, which comes a part at a time.

    Parameters
    ----------
    window
        How many results it is over; NaN is left out of it.
    """

    def __init__(self, window: int) -> None:
        self._window = window
        self._recent: Doubles = np.zeros(0)

    def over(self, results: Doubles) -> Doubles:
        """Return the mean at each of the next results, and remember what the next window needs."""
        values = np.concatenate([self._recent, results])
        finite: Flags = ~np.isnan(values)
        sums = np.concatenate([[0.0], np.cumsum(np.where(finite, values, 0.0))])
        counts = np.concatenate([[0], np.cumsum(finite)])
        end = np.arange(len(self._recent), len(values)) + 1
        start = np.maximum(end - self._window, 0)
        self._recent = values[len(values) - min(len(values), self._window - 1) :]
        with np.errstate(invalid="ignore"):
            mean: Doubles = (sums[end] - sums[start]) / (counts[end] - counts[start])
        return mean


class History:
    """Takes in the rows of one lane; memory does not grow beyond ``capacity`` buckets.

    Parameters
    ----------
    window
        Number of results in the rolling mean; non-finite ones are left out of it.
    capacity
        Greatest number of buckets, an even number.
    """

    def __init__(self, window: int, capacity: int = 16_384) -> None:
        self._window = window
        self._capacity = capacity
        self._width = 1
        self._count = 0  # full buckets
        self._buckets: Doubles = np.zeros((6, capacity))  # in rows: what :func:`_reduce` returns of each
        self._pending: Doubles = np.zeros((0, 3))  # iteration, result, rolling mean: rows of no full bucket yet
        self._rolling = Rolling(window)
        self._non_finite = 0
        self._zeros = 0

    def add(self, rows: Rows) -> None:
        """Take in the next rows."""
        self._non_finite += rows.unseen
        self._zeros += int((rows.end_loss == 0).sum())
        self.add_values(rows.iteration, rows.results)

    def add_values(self, iteration: Integers, values: Doubles) -> None:
        """Take in the next values [n] of whatever is told of each meta-iteration [n]; NaN where there is none."""
        table = np.stack([iteration.astype(np.float64), values, self._rolling.over(values)], axis=1)
        self._pending = np.concatenate([self._pending, table])
        while len(self._pending) >= self._width:
            if self._count == self._capacity:
                self._halve()
                continue
            n = min(len(self._pending) // self._width, self._capacity - self._count)
            full, self._pending = np.split(self._pending, [n * self._width])
            where = slice(self._count, self._count + n)
            self._buckets[:, where] = _reduce(full.reshape(n, self._width, 3))
            self._count += n

    def begin_with(self, buckets: Doubles, before: Rows, *, non_finite: int, zeros: int) -> None:
        """Take in the beginning of the lane, summed up; then its rows from there on are to be added.

        Parameters
        ----------
        buckets
            [6, buckets], all of one width that is a power of two: what a curve says of each, in the order of its
            arrays. Where they are more than the capacity, so many of them that they can be halved to it.
        before
            The last rows of that beginning: at least as many as the rolling mean is over.
        non_finite, zeros
            How many of its results were NaN or infinite, and how many exactly 0.

        Raises
        ------
        ValueError
            If something was added before, or the buckets cannot be halved to the capacity.
        """
        if self._count or len(self._pending):
            raise ValueError("this history has begun")
        width = int(buckets[0, 0]) + 1
        while buckets.shape[1] > self._capacity:
            if buckets.shape[1] % 2:
                raise ValueError(f"{buckets.shape[1]} buckets cannot be halved to {self._capacity}")
            buckets, width = _merged(buckets), 2 * width
        self._width, self._count = width, buckets.shape[1]
        self._buckets[:, : self._count] = buckets
        self._rolling.over(np.where(np.isfinite(before.end_log10), before.end_log10, np.nan))
        self._non_finite, self._zeros = non_finite, zeros

    def curve(self) -> Curve:
        """Return the picture so far; rows that fill no bucket yet are its last point."""
        buckets = self._buckets[:, : self._count].copy()
        if len(self._pending):
            buckets = np.concatenate([buckets, _reduce(self._pending[None])], axis=1)
        last, low, high, rolling, total, count = buckets
        return Curve(
            last.astype(np.int64),
            low,
            high,
            rolling,
            total,
            count,
            width=self._width,
            window=self._window,
            non_finite=self._non_finite,
            zeros=self._zeros,
        )

    def _halve(self) -> None:
        self._count = self._capacity // 2
        self._buckets[:, : self._count] = _merged(self._buckets)
        self._width *= 2


def _merged(buckets: Doubles) -> Doubles:
    """Return buckets [6, n] of twice the width."""
    first, second = buckets[:, ::2], buckets[:, 1::2]
    merged = second.copy()  # the last iteration, and the rolling mean there
    merged[1] = np.fmin(first[1], second[1])
    merged[2] = np.fmax(first[2], second[2])
    merged[4:] += first[4:]
    return merged


def bucket_of(rows: Doubles) -> Doubles:
    """Return what is kept of rows [n, 3] (iteration, result, rolling mean), in the order of a curve's arrays."""
    bucket: Doubles = _reduce(rows[None])[:, 0]
    return bucket


def _reduce(buckets: Doubles) -> Doubles:
    """Return what is kept of buckets [n, width, 3], as rows [6, n] in the order of a curve's arrays."""
    iteration, results, rolling = buckets[:, -1, 0], buckets[..., 1], buckets[:, -1, 2]
    finite: Flags = ~np.isnan(results)
    return np.stack(
        [
            iteration,
            np.fmin.reduce(results, axis=1),
            np.fmax.reduce(results, axis=1),
            rolling,
            np.where(finite, results, 0.0).sum(axis=1),
            finite.sum(axis=1),
        ]
    )
