"""Successive halving: hopeless settings are given up early, and what they would have taken goes to the others.

Jamieson and Talwalkar, "Non-stochastic Best Arm Identification and Hyperparameter Optimization", AISTATS 2016,
Algorithm 1: in each of ⌈log2 n⌉ rounds all that are left get as much, and the better half of them goes on. Here a
setting is an arm, with all its seeds; its loss is the median, over its seeds, of the figure that is reported at the
round's end; a round ends where the runs report anyway. Each round goes twice as far as the one before, and the last to
the runs' end.

What takes off late looks hopeless early: where that is how a problem learns, a first round that is long enough is
needed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, inf, isfinite, log2

import numpy as np

from l2o_engine.presets.schema import Preset


@dataclass(frozen=True)
class Halving:
    """Successive halving.

    Attributes
    ----------
    first
        The meta-iteration that the first round goes to, at least; 0 for as early as the number of settings has it.
    """

    first: int = 0

    def rounds(self, preset: Preset, arms: int) -> list[int]:
        """Return the meta-iterations that rounds go to, before the last one, which goes to the end.

        Parameters
        ----------
        preset
            Says how long a run is, and when it reports.
        arms
            How many settings there are.
        """
        every, end = preset.report.every, preset.run.iterations
        halvings = ceil(log2(arms)) if arms > 1 else 0
        wanted = [max(end / 2**left, self.first) for left in range(halvings, 0, -1)]
        at = sorted({ceil(one / every) * every for one in wanted})
        return [one for one in at if one < end]


def survivors(figures: Mapping[str, Sequence[float]], kept: int) -> list[str]:
    """Return the best arms, the best first.

    Parameters
    ----------
    figures
        Arm → the figure of each seed; lower is better, and one that is not finite is the worst.
    kept
        How many are to be kept; of those that are equal, the first.
    """
    losses = {arm: median_with_losses(values) for arm, values in figures.items()}
    return sorted(losses, key=lambda arm: losses[arm])[:kept]


def median_with_losses(values: Sequence[float]) -> float:
    """Return the median in which a figure that is not finite, a lost seed's, counts as worse than all others.

    Infinity where half of them or more are lost, or there is none.
    """
    there = sorted(value if isfinite(value) else inf for value in values)
    if not there:
        return inf
    middle = there[(len(there) - 1) // 2], there[len(there) // 2]
    return float(np.mean(middle)) if isfinite(middle[1]) else inf


def kept_after(arms: int, rounds: int) -> int:
    """Return how many arms are left after so many rounds: each leaves the better half, rounded up."""
    for _ in range(rounds):
        arms = ceil(arms / 2)
    return arms
