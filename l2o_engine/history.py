"""What a run looked like so far, in bounded memory: a convergence curve reduced to buckets that double in width.

A chart has some hundred columns, a run a million meta-iterations. Each bucket keeps the extremes of the raw results
and the rolling mean at its end, so nothing that stands out is lost, and what could not be drawn is counted.
"""

from dataclasses import dataclass

import numpy as np

from l2o_engine.arrays import Doubles, Flags, Integers
from l2o_engine.metrics import Rows


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
    non_finite, zeros
        How many results of the whole run were NaN or infinite, and how many exactly 0 (drawn at -38).
    """

    iteration: Integers
    low: Doubles
    high: Doubles
    rolling: Doubles
    non_finite: int
    zeros: int


class History:
    """Takes in the rows of one lane; memory does not grow beyond ``capacity`` buckets.

    Parameters
    ----------
    window
        Number of results in the rolling mean; non-finite ones are left out of it.
    capacity
        Greatest number of buckets, an even number.
    """

    def __init__(self, window: int, capacity: int = 2048) -> None:
        self._window = window
        self._capacity = capacity
        self._width = 1
        self._count = 0  # full buckets
        self._last, self._low, self._high, self._rolling = (np.zeros(capacity) for _ in range(4))
        self._pending: Doubles = np.zeros((0, 3))  # iteration, result, rolling mean: rows of no full bucket yet
        self._recent: Doubles = np.zeros(0)
        self._non_finite = 0
        self._zeros = 0

    def add(self, rows: Rows) -> None:
        """Take in the next rows."""
        results = np.where(np.isfinite(rows.end_log10), rows.end_log10, np.nan)
        self._non_finite += int(np.isnan(results).sum())
        self._zeros += int((rows.end_loss == 0).sum())
        table = np.stack([rows.iteration.astype(np.float64), results, self._rolling_mean(results)], axis=1)
        self._pending = np.concatenate([self._pending, table])
        while len(self._pending) >= self._width:
            if self._count == self._capacity:
                self._halve()
                continue
            n = min(len(self._pending) // self._width, self._capacity - self._count)
            full, self._pending = np.split(self._pending, [n * self._width])
            where = slice(self._count, self._count + n)
            points = _reduce(full.reshape(n, self._width, 3))
            self._last[where], self._low[where], self._high[where], self._rolling[where] = points
            self._count += n

    def curve(self) -> Curve:
        """Return the picture so far; rows that fill no bucket yet are its last point."""
        arrays = [values[: self._count] for values in (self._last, self._low, self._high, self._rolling)]
        if len(self._pending):
            arrays = [
                np.append(values, point) for values, point in zip(arrays, _reduce(self._pending[None]), strict=True)
            ]
        last, low, high, rolling = (values.copy() for values in arrays)
        return Curve(last.astype(np.int64), low, high, rolling, self._non_finite, self._zeros)

    def _rolling_mean(self, results: Doubles) -> Doubles:
        """Return the mean over the window that ends at each result, and remember what the next window needs."""
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

    def _halve(self) -> None:
        pairs = self._capacity // 2
        merged = (
            self._last[1::2],
            np.fmin(self._low[::2], self._low[1::2]),
            np.fmax(self._high[::2], self._high[1::2]),
            self._rolling[1::2],
        )
        for values, halved in zip((self._last, self._low, self._high, self._rolling), merged, strict=True):
            values[:pairs] = halved.copy()
        self._count = pairs
        self._width *= 2


def _reduce(buckets: Doubles) -> tuple[Doubles, Doubles, Doubles, Doubles]:
    """Return last iteration, lowest, highest result and last rolling mean of buckets [n, width, 3]."""
    results = buckets[..., 1]
    return buckets[:, -1, 0], np.fmin.reduce(results, axis=1), np.fmax.reduce(results, axis=1), buckets[:, -1, 2]
