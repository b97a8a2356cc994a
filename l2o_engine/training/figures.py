"""The figures that an optimizer is judged by, of its losses on many tasks, each with its interval."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np

from l2o_engine.support.arrays import LOG_FLOOR, Doubles, Flags, finite_mean
from l2o_engine.training import intervals
from l2o_engine.training.intervals import Interval

THRESHOLDS = {"1e-3": 1e-3, "1e-6": 1e-6, "1e-12": 1e-12}
"""Losses that are to be reached, by the names that they have in figures."""

SOLVED = 1e-6
"""A task whose loss is at or below this counts as solved."""

_LOST = 1e6
_QUARTILES = {"lower": 0.25, "median": 0.5, "upper": 0.75}


@dataclass(frozen=True, eq=False)
class Evaluated:
    """What an optimizer did on tasks that it is judged by.

    Figures are of the tasks whose number is finite, NaN where none is; a last loss counts as its log10 with 1e-38
    added.

    Attributes
    ----------
    name
        The optimizer's.
    losses
        [tasks, steps], float64.
    """

    name: str
    losses: Doubles

    def __repr__(self) -> str:
        figures = f"end_log10_mean {self.end_log10_mean:.2f}, sum_median {self.sum_median:.4g}"
        return f"{self.name} on {len(self.losses):,} problems: {figures}"

    @cached_property
    def end_log10(self) -> Doubles:
        """log10(last loss + 1e-38) of each task [tasks]."""
        with np.errstate(invalid="ignore", divide="ignore"):
            logs: Doubles = np.log10(self.losses[:, -1] + LOG_FLOOR)
        return logs

    @cached_property
    def sums(self) -> Doubles:
        """The sum of each task's losses [tasks]."""
        with np.errstate(over="ignore", invalid="ignore"):
            sums: Doubles = self.losses.sum(axis=1)
        return sums

    def steps_to(self, threshold: float) -> Doubles:
        """Return after how many updates each task's loss is at or below a threshold first [tasks]; NaN if never."""
        with np.errstate(invalid="ignore"):
            reached = self.losses <= threshold
        return np.where(reached.any(axis=1), reached.argmax(axis=1), np.nan)

    @property
    def end_log10_mean(self) -> float:
        """Mean of :attr:`end_log10`."""
        return finite_mean(self.end_log10)

    @property
    def end_log10_median(self) -> float:
        """Median of :attr:`end_log10`."""
        return _quantile(_finite(self.end_log10), 0.5)

    @property
    def sum_mean(self) -> float:
        """Mean of :attr:`sums`."""
        return finite_mean(self.sums)

    @property
    def sum_median(self) -> float:
        """Median of :attr:`sums`."""
        return _quantile(_finite(self.sums), 0.5)

    @property
    def non_finite(self) -> int:
        """How many tasks' last loss is no finite number."""
        return int((~np.isfinite(self.losses[:, -1])).sum())

    @property
    def lost(self) -> int:
        """How many tasks are lost, see :func:`are_lost`."""
        return int(are_lost(self.losses[:, 0], self.losses[:, -1]).sum())

    @property
    def worse_than_start(self) -> int:
        """How many tasks' last loss is above their first, or no finite number."""
        first, last = self.losses[:, 0], self.losses[:, -1]
        return int((~np.isfinite(last) | (last > first)).sum())

    @property
    def figures(self) -> Mapping[str, float]:
        """All figures by name, for a row of a table.

        ``end_log10_mean``, and ``_lower``, ``_median`` and ``_upper``, the quartiles; ``sum_mean`` and ``sum_median``;
        ``worse_than_start``, ``non_finite`` and ``lost``, counts of tasks; and for each of :data:`THRESHOLDS`
        ``reached_1e-3``, the share of all tasks that get there, and ``steps_to_1e-3``, the median of the updates that
        these take.
        """
        return {name: figure for name, figure, _ in self._judged()}

    @property
    def intervals(self) -> Mapping[str, Interval]:
        """The 95 % interval of each of :attr:`figures`; see :mod:`~l2o_engine.training.intervals`."""
        return {name: interval() for name, _, interval in self._judged()}

    @property
    def is_exploit(self) -> bool:
        """Whether it buys its last losses by going far away first; see :func:`is_exploit`."""
        first, last = self.losses[:, 0], self.losses[:, -1]
        is_there = np.isfinite(self.losses).all(axis=1) & np.isfinite(self.sums)
        first, last, sums = (np.where(is_there, values, np.nan) for values in (first, last, self.sums))
        return is_exploit(first, last, sums, self.losses.shape[1])

    def _judged(self) -> Iterator[tuple[str, float, Callable[[], Interval]]]:
        """Yield each figure by its name, with what gives its interval."""
        n, ends, sums = len(self.losses), _finite(self.end_log10), _finite(self.sums)
        yield "end_log10_mean", self.end_log10_mean, partial(intervals.of_mean, ends)
        for name, share in _QUARTILES.items():
            yield f"end_log10_{name}", _quantile(ends, share), partial(intervals.of_quantile, ends, share)
        yield "sum_mean", self.sum_mean, partial(intervals.of_mean, sums)
        yield "sum_median", self.sum_median, partial(intervals.of_quantile, sums, 0.5)
        for name in ("worse_than_start", "non_finite", "lost"):
            count: int = getattr(self, name)
            yield name, count, partial(intervals.of_count, count, n)
        for name, threshold in THRESHOLDS.items():
            steps = _finite(self.steps_to(threshold))
            yield f"reached_{name}", steps.size / n, partial(intervals.of_share, steps.size, n)
            yield f"steps_to_{name}", _quantile(steps, 0.5), partial(intervals.of_quantile, steps, 0.5)


def are_lost(first: Doubles, last: Doubles) -> Flags:
    """Return which tasks [tasks] an optimizer has lost: their last loss is no finite number, or has diverged.

    It has if it is above a millionfold of the median first loss.
    """
    typical = float(np.median(np.where(np.isfinite(first), first, np.inf)))
    with np.errstate(invalid="ignore"):
        lost: Flags = ~np.isfinite(last) | (last > _LOST * abs(typical))
    return lost


def is_exploit(first: Doubles, last: Doubles, sums: Doubles, steps: int) -> bool:
    """Return whether an optimizer buys its last losses by going far away first: one giant step may do it.

    It does if the median of its losses' sums is above that of standing still (steps times the first loss), though on at
    least half of the tasks it does not end above the first loss.

    Parameters
    ----------
    first, last, sums
        First loss, last loss and sum of each task's losses [tasks]; NaN of those where one was not finite.
    steps
        How many losses.
    """
    medians = (float(np.median(np.where(np.isfinite(sums), values, np.inf))) for values in (sums, first))
    median_sum, median_first = medians
    return median_sum > steps * median_first and bool((last <= first).mean() >= 0.5)


def _finite(values: Doubles) -> Doubles:
    return values[np.isfinite(values)]


def _quantile(finite: Doubles, share: float) -> float:
    """Return a quantile of finite values; NaN where there is none."""
    return float(np.quantile(finite, share)) if finite.size else float("nan")
