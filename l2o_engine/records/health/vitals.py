"""What is measured at one look, and when the looks are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, isnan, nan, sqrt

import numpy as np

from l2o_engine.meta.learner import Learner, Trace
from l2o_engine.records.health.thresholds import GREATEST
from l2o_engine.records.health.truncated import TruncatedVitals
from l2o_engine.support.arrays import Doubles, Flags, Floats

EARLY_LOOKS = (500, 1000, 2000)
"""The meta-iterations of a run's first looks; later ones are where reports are. What goes wrong mostly does at once."""

_LEAST_ROWS = 500  # meta-iterations between two looks: the average over fewer says little


@dataclass(frozen=True)
class Vitals:
    """What was measured at one look. Shares are 0 … 1; NaN stands where there is nothing to measure.

    Attributes
    ----------
    iteration, rows
        The meta-iteration, and how many meta-iterations the look is about: those since the look before.
    average_log_result
        Mean log10 of their last losses, the finite ones.
    gradient_norm
        Median of the meta-gradient's norm before clipping, over the finite ones.
    clipped
        Share of the meta-gradients that were longer than ``clip_norm``; NaN unless they are clipped.
    epsilon_share, root
        Share of Adam's step that ε swallows, :func:`epsilon_share`, and the median √v that it stands beside, both over
        the weights that have a gradient.
    non_finite, zeros
        How many meta-iterations met a NaN or an infinity, and how many ended on a loss of exactly 0.
    numbers
        The inputs' adaptive numbers at the look, by name: a log casting's min_log.
    saturated
        Share of the network's inputs beyond [-1, 1], which is what the log casting casts to.
    flipped
        Share of the last gradients the network sees that lie below e^min_log, where the log casting turns their sign.
    update_ratio
        Median over the base steps of |update| / |distance to the optimum|: 1 or a little less for a good optimizer.
        NaN where no optimum is known.
    distance_ratio
        Median of the distance to the optimum after the last update over that at the start; NaN where none is known.
    loss_ratio
        Median of the last loss over the first, which says the same of a task without a known optimum. Where an episode
        goes in truncations, of its final loss over the geometric mean of its losses, and no distance is measured.
    truncated
        What is measured besides where an episode goes in truncations; None elsewhere.
    """

    iteration: int
    rows: int
    average_log_result: float
    gradient_norm: float
    clipped: float
    epsilon_share: float
    root: float
    non_finite: int
    zeros: int
    numbers: Mapping[str, float]
    saturated: float
    flipped: float
    update_ratio: float
    distance_ratio: float
    loss_ratio: float
    truncated: TruncatedVitals | None = None

    @property
    def has_distance(self) -> bool:
        """Whether the distance to an optimum was measured."""
        return not isnan(self.distance_ratio)

    @property
    def remaining(self) -> float:
        """Which share of the way to the optimum is left after the last update; NaN where nothing tells.

        It is ``distance_ratio`` where that is measured. Elsewhere it is √loss_ratio: near a minimum, a loss (from its
        least value on, which should be near 0) goes with the square of the distance.
        """
        return self.distance_ratio if self.has_distance else sqrt(self.loss_ratio)


def looks_apart(every: int) -> int:
    """Return how many meta-iterations lie between two looks: a report's, or several where these are close."""
    return every * ceil(_LEAST_ROWS / every)


def next_look(iteration: int, every: int) -> int:
    """Return the first meta-iteration from this one on that ends in a look: a report's, or an early one."""
    apart = looks_apart(every)
    return min([max(ceil(iteration / apart), 1) * apart, *(early for early in EARLY_LOOKS if early >= iteration)])


def epsilon_share(learner: Learner, epsilon: float) -> float:
    """Return which share of Adam's step m/√v is lost by dividing by √v + ε instead.

    It is the mean of ε/(√v + ε) over the weights that have a gradient at all (m is not 0); NaN if none has.
    """
    roots = roots_of(learner)
    return mean(epsilon / (roots + epsilon))


def roots_of(learner: Learner) -> Doubles:
    """Return the finite √v of the weights that have a gradient."""
    roots: Doubles = np.sqrt(learner.moment2[learner.moment1 != 0].astype(np.float64))
    return roots[np.isfinite(roots)]


def distance_ratios(traces: Sequence[Trace], last: int) -> dict[str, float]:
    """Return ``update_ratio`` and ``distance_ratio`` of the last meta-iterations of traces, at most so many."""
    if any(trace.distance is None for trace in traces):
        return {"update_ratio": nan, "distance_ratio": nan}
    distance = _last([trace.distance for trace in traces if trace.distance is not None], last)
    updates = _last([trace.updates for trace in traces], last)
    with np.errstate(all="ignore"):
        lengths = np.linalg.norm(distance, axis=-1)  # [k, batch, steps]
        update_ratios = np.minimum(np.linalg.norm(updates, axis=-1) / lengths[..., :-1], GREATEST)
        ratios = np.minimum(lengths[..., -1] / lengths[..., 0], GREATEST)
    return {
        "update_ratio": median(update_ratios[~np.isnan(update_ratios)]),
        "distance_ratio": median(ratios[~np.isnan(ratios)]),
    }


def casting_shares(traces: Sequence[Trace], last: int) -> dict[str, float]:
    """Return ``saturated`` and ``flipped`` of the last meta-iterations of traces, at most so many."""
    inputs = _last([trace.inputs for trace in traces], last)
    gradient = _last([trace.gradient for trace in traces], last)[..., -1, :]
    # Of several numbers a coordinate, the first is the one that was cast.
    seen = inputs[..., -1, :].reshape(*gradient.shape, -1)[..., 0]
    with np.errstate(all="ignore"):
        flipped = np.sign(seen) * np.sign(gradient) < 0
    return {
        "saturated": mean(np.abs(inputs[np.isfinite(inputs)]) > 1),
        "flipped": mean(flipped[np.isfinite(seen) & (gradient != 0)]),
    }


def loss_ratio(losses: Sequence[Floats], last: int) -> float:
    """Return ``loss_ratio`` of the last meta-iterations, at most so many, of losses [n, batch, steps].

    Of what begins above 0 only; where it ends below 0, nothing is left of it.
    """
    shown = _last(losses, last)
    first, end = shown[..., 0], np.maximum(shown[..., -1], 0)
    with np.errstate(all="ignore"):
        ratios = np.where(first > 0, np.minimum(end / first, GREATEST), nan)
    return median(ratios[~np.isnan(ratios)])


def episode_ratio(end_log10: Doubles, mean_log10: Doubles) -> float:
    """Return ``loss_ratio`` of episodes in truncations, of log10 of their final losses and its mean over theirs [n].

    A truncation alone says little: the last one of an episode that went well has little left to gain.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        ratios = np.minimum(10.0 ** (end_log10 - mean_log10), GREATEST)
    return median(ratios[~np.isnan(ratios)])


def mean(values: Floats | Flags) -> float:
    """Return the mean; NaN of nothing."""
    return float(values.mean()) if values.size else nan


def median(values: Floats) -> float:
    """Return the median; NaN of nothing."""
    return float(np.median(values)) if values.size else nan


def _last(arrays: Sequence[Floats], n: int) -> Doubles:
    """Return the last n entries of arrays that follow one another."""
    found: Doubles = np.concatenate(arrays)[-n:].astype(np.float64)
    return found
