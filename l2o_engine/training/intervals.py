"""How sure a figure of many draws is: 95 % intervals by the bootstrap, seeded, and cheap at any number of draws.

A bootstrap draws as many numbers as there are, with repetition, and takes the figure again, :data:`RESAMPLES` times;
the interval is what the middle 95 % of these figures span. Each kind of figure has a way that touches few numbers:

- a *mean* of more than :data:`BLOCKS` numbers resamples the means of so many blocks of them, which are as independent
  as the numbers themselves;
- a *quantile* of a resample is one of the numbers: the k-th smallest of n is the ⌈n·B⌉-th smallest of all, where B is
  drawn from Beta(k, n + 1 - k), the distribution of the k-th smallest of n uniform numbers;
- a *count* of a resample is drawn from Binomial(n, share).
"""

from functools import lru_cache
from math import floor, nan
from typing import TypeAlias

import numpy as np

from l2o_engine.support.arrays import Doubles, Integers

Interval: TypeAlias = tuple[float, float]
"""Low and high; both NaN where there is no figure."""

RESAMPLES = 2000
BLOCKS = 1000
NONE: Interval = (nan, nan)
_MIDDLE = (0.025, 0.975)
_SEED = 12  # of the resampling alone, so that the same numbers have the same intervals


def of_mean(values: Doubles) -> Interval:
    """Return the interval of the mean of finite values [n]."""
    n = values.size
    if not n:
        return NONE
    edges = np.linspace(0, n, min(n, BLOCKS) + 1).astype(np.int64)
    counts = np.diff(edges)
    with np.errstate(over="ignore", invalid="ignore"):
        sums = np.add.reduceat(values, edges[:-1])
        chosen = _resampled(counts.size)
        means = sums[chosen].sum(axis=1) / counts[chosen].sum(axis=1)
        low, high = np.quantile(means, _MIDDLE).tolist()
    return low, high


def of_quantile(values: Doubles, share: float) -> Interval:
    """Return the interval of a quantile of finite values [n]."""
    n = values.size
    if not n:
        return NONE
    k = 1 + round(share * (n - 1))
    places = np.quantile(_generator().beta(k, n + 1 - k, RESAMPLES), _MIDDLE)
    low, high = (min(floor(place * n), n - 1) for place in places.tolist())
    there = np.partition(values, (low, high))
    return float(there[low]), float(there[high])


def of_count(count: int, n: int) -> Interval:
    """Return the interval of a count of n."""
    low, high = np.quantile(_generator().binomial(n, count / n, RESAMPLES), _MIDDLE).tolist()
    return low, high


def of_share(count: int, n: int) -> Interval:
    """Return the interval of a share, count / n."""
    low, high = of_count(count, n)
    return low / n, high / n


@lru_cache(maxsize=4)
def _resampled(n: int) -> Integers:
    """Return which of n are drawn, [RESAMPLES, n]."""
    return _generator().integers(0, n, (RESAMPLES, n))


def _generator() -> np.random.Generator:
    return np.random.default_rng(_SEED)
