"""What a run's numbers say about its health, and why it does not learn if it does not.

At every look (:func:`next_look`) the :class:`Diagnostician` of a lane measures :class:`Vitals`: from the rows since the
look before, from the trace of the last meta-iterations, and from the learner. :func:`trend_of` and :func:`examine` are
pure functions of the vitals, so a recorded run gives the same findings as a live one. The thresholds lie between what
the shipped presets measure when they learn and when they do not; docs/why-it-does-not-learn.md has the figures.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import ceil, isnan, log10, nan
from typing import Literal, TypeAlias

import numpy as np

from l2o_engine.arrays import Flags, Floats
from l2o_engine.learner import Learner, Trace, traced
from l2o_engine.metrics import Rows
from l2o_engine.preset import LogTransform, Preset, RatioLogTransform

EARLY_LOOKS = (500, 1000, 2000)
"""The meta-iterations of a run's first looks; later ones are where reports are. What goes wrong mostly does at once."""

EPSILON_SHARE = 0.9
"""Of Adam's step lost to ε. Learning presets: 0.6 at most (simple_end, at its end). Stuck: log30 0.999, log43 1.0."""
EXPLODING = 1.5
"""Times as far from the optimum at the end as at the start. Learning: below 1 from the first look on; stuck: 1.0."""
NON_FINITE = 0.02
"""Of the meta-iterations. Learning presets: 0.01 at most (log60_unit), or because losses reach 0."""
FLIPPED = 0.5
"""Of the last gradients that the network sees. Learning presets: 0.26 at most (log15_end_log, at its end)."""
SATURATED = 0.75
"""Of the network's inputs. Learning presets: 0.5 at most (log30, at its start)."""
UNMOVED = 0.05
"""Of the first distance, left after the last update. Learning presets leave less from their take-off on."""

FLAT = 0.1
"""Decades a look, in the mean of the last three: less is flat."""
TAKE_OFF = 1.0
"""Decades since the last look."""
_FAR = 1e99  # a ratio that is infinite or greater: JSON, by which vitals are recorded, has no infinity
_LOOKS = 3
_REMEMBERED = 64

Trend: TypeAlias = Literal["starting", "flat", "falling", "taking off", "rising", "diverging"]
"""Of the mean log10 of the last loss: where the end loss is going."""


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
    epsilon_share
        Share of Adam's step that ε swallows: 1 - |m/(√v + ε)|₁ / |m/√v|₁ over the weights.
    non_finite, zeros
        How many meta-iterations met a NaN or an infinity, and how many ended on a loss of exactly 0.
    min_log
        The transform's min_log at the look.
    saturated
        Share of the network's inputs beyond [-1, 1], which is what the log casting casts to.
    flipped
        Share of the last gradients the network sees that lie below e^min_log, where the log casting turns their sign.
    update_ratio
        Median over the base steps of |update| / |distance to the optimum|: 1 or a little less for a good optimizer.
    distance_ratio
        Median of the distance to the optimum after the last update over that at the start.
    """

    iteration: int
    rows: int
    average_log_result: float
    gradient_norm: float
    clipped: float
    epsilon_share: float
    non_finite: int
    zeros: int
    min_log: float
    saturated: float
    flipped: float
    update_ratio: float
    distance_ratio: float


def next_look(iteration: int, every: int) -> int:
    """Return the first meta-iteration from this one on that ends in a look: a report's, or an early one."""
    report = -(-iteration // every) * every
    return min([report or every, *(early for early in EARLY_LOOKS if early >= iteration)])


@dataclass(frozen=True)
class Finding:
    """Something that keeps a run from learning: a name for scripts, a sentence with its evidence, what to do."""

    code: str
    message: str
    remedy: str


@dataclass(frozen=True)
class Diagnosis:
    """What one look says: the vitals, where the end loss is going, and what is wrong; of that, what was not before."""

    vitals: Vitals
    trend: Trend
    findings: tuple[Finding, ...]
    new: tuple[Finding, ...]


class Diagnostician:
    """Examines one lane of a run, look by look.

    Parameters
    ----------
    preset
        The run's preset.
    """

    def __init__(self, preset: Preset) -> None:
        self._preset = preset
        self._most_rows = max(preset.report.every, *EARLY_LOOKS)
        self._traced = traced(preset.unroll.steps, preset.meta.batch * preset.problem.dims)
        self._casts = isinstance(preset.transform, LogTransform | RatioLogTransform)
        self._rows: list[Rows] = []
        self._traces: list[Trace] = []
        self._history: deque[Vitals] = deque(maxlen=_REMEMBERED)
        self._codes: set[str] = set()

    def judge(self, vitals: Vitals) -> Diagnosis:
        """Return what the next vitals mean, after those before."""
        self._history.append(vitals)
        history = list(self._history)
        findings = tuple(examine(self._preset, history))
        new = tuple(finding for finding in findings if finding.code not in self._codes)
        self._codes = {finding.code for finding in findings}
        return Diagnosis(vitals, trend_of(history), findings, new)

    def add(self, rows: Rows, trace: Trace | None = None) -> None:
        """Take in the lane's next rows, and the trace of the last of them."""
        self._rows.append(rows)
        while sum(map(len, self._rows[1:])) >= self._most_rows:
            del self._rows[0]
        if trace is not None:  # the same meta-iterations are told of, however they were cut into chunks
            self._traces.append(trace)
            while sum(map(len, self._traces[1:])) >= self._traced:
                del self._traces[0]

    def look(self, learner: Learner) -> Diagnosis:
        """Measure and judge what came since the last look."""
        vitals = self._measure(learner)
        self._rows, self._traces = [], []
        return self.judge(vitals)

    def _measure(self, learner: Learner) -> Vitals:
        columns = {
            name: np.concatenate([getattr(rows, name) for rows in self._rows])
            for name in ("iteration", "end_log10", "end_loss", "gradient_norm", "non_finite")
        }
        fresh = columns["iteration"] > (self._history[-1].iteration if self._history else -1)
        iteration, results, losses, norms, non_finite = (values[fresh] for values in columns.values())
        finite_norms = norms[np.isfinite(norms)]
        meta = self._preset.meta
        return Vitals(
            iteration=int(iteration[-1]),
            rows=len(iteration),
            average_log_result=_mean(results[np.isfinite(results)]),
            gradient_norm=_median(finite_norms),
            clipped=_mean(finite_norms > meta.clip_norm) if meta.gradient == "clip" else nan,
            epsilon_share=epsilon_share(learner, meta.epsilon),
            non_finite=int(non_finite.sum()),
            zeros=int((losses == 0).sum()),
            min_log=learner.min_log,
            **self._transit(),
        )

    def _transit(self) -> dict[str, float]:
        """Measure what passed between optimizee and network in the last meta-iterations."""
        distance, gradient, inputs, updates = (
            np.concatenate([getattr(trace, name) for trace in self._traces])[-self._traced :].astype(np.float64)
            for name in ("distance", "gradient", "inputs", "updates")
        )
        with np.errstate(all="ignore"):
            lengths = np.linalg.norm(distance, axis=-1)  # [k, batch, steps]
            update_ratios = np.minimum(np.linalg.norm(updates, axis=-1) / lengths[..., :-1], _FAR)
            distance_ratios = np.minimum(lengths[..., -1] / lengths[..., 0], _FAR)
            last, last_gradient = inputs[..., -1, :], gradient[..., -1, :]
            flipped = np.sign(last) * np.sign(last_gradient) < 0
        return {
            "saturated": _mean(np.abs(inputs[np.isfinite(inputs)]) > 1) if self._casts else nan,
            "flipped": _mean(flipped[np.isfinite(last) & (last_gradient != 0)]) if self._casts else nan,
            "update_ratio": _median(update_ratios[~np.isnan(update_ratios)]),
            "distance_ratio": _median(distance_ratios[~np.isnan(distance_ratios)]),
        }


def epsilon_share(learner: Learner, epsilon: float) -> float:
    """Return which share of Adam's step m/√v is lost by dividing by √v + ε instead.

    It is the mean of ε/(√v + ε) over the weights that have a gradient at all (m is not 0); NaN if none has.
    """
    root = np.sqrt(learner.moment2[learner.moment1 != 0].astype(np.float64))
    return _mean(epsilon / (root[np.isfinite(root)] + epsilon))


def _mean(values: Floats | Flags) -> float:
    return float(values.mean()) if values.size else nan


def _median(values: Floats) -> float:
    return float(np.median(values)) if values.size else nan


def trend_of(history: Sequence[Vitals]) -> Trend:
    """Return where the end loss is going, from the vitals of the looks up to now."""
    if history and history[-1].distance_ratio > EXPLODING:
        return "diverging"
    averages = [vitals.average_log_result for vitals in history[-_LOOKS - 1 :]]
    changes = [after - before for before, after in pairwise(averages)]
    if not changes or any(map(isnan, changes)):
        return "starting"
    mean = sum(changes) / len(changes)
    if changes[-1] <= -TAKE_OFF:
        return "taking off"
    if abs(mean) < FLAT:
        return "flat"
    return "falling" if mean < 0 else "rising"


def examine(preset: Preset, history: Sequence[Vitals]) -> list[Finding]:
    """Return what is wrong at the last look, the likeliest cause first; an empty list for a healthy run.

    Parameters
    ----------
    preset
        The run's preset: what it sets decides which remedies are left.
    history
        The vitals of the looks up to now, in order.
    """
    vitals = history[-1]
    causes = [
        finding
        for check in (_non_finite, _exploding, _epsilon, _flipped, _saturated)
        if (finding := check(preset, vitals)) is not None
    ]
    plateau = None if causes else _plateau(preset, history)
    return causes + ([plateau] if plateau else [])


def _non_finite(preset: Preset, vitals: Vitals) -> Finding | None:
    near_zero = vitals.zeros > vitals.non_finite  # losses that reach 0 are what was wanted, and spoil some gradients
    if vitals.non_finite <= NON_FINITE * vitals.rows or near_zero:
        return None
    policies = {"zero": "their meta-gradients count as 0", "skip": "they change nothing", "stop": "one ends the run"}
    finer = ', or run.dtype = "float64"' if preset.run.dtype == "float32" else ""
    return Finding(
        "non_finite",
        f"{vitals.non_finite:,} of {vitals.rows:,} meta-iterations met a NaN or an infinity; "
        f"{policies[preset.meta.non_finite]}",
        f"bring the problem's numbers nearer to 1 (problem.start, problem.scale), lower meta.learning_rate{finer}",
    )


def _exploding(preset: Preset, vitals: Vitals) -> Finding | None:
    if not vitals.distance_ratio > EXPLODING:
        return None
    clip = ', or set meta.gradient = "clip"' if preset.meta.gradient == "none" else ""
    return Finding(
        "exploding",
        f"the updates carry x away: after the last one it is {_number(vitals.distance_ratio)} times as far from the "
        f"optimum as at the start (mean log10 of the last loss {vitals.average_log_result:.2f})",
        f"lower meta.learning_rate (it is {preset.meta.learning_rate:g}){clip}",
    )


def _epsilon(preset: Preset, vitals: Vitals) -> Finding | None:
    if not vitals.epsilon_share > EPSILON_SHARE:
        return None
    lower = "lower meta.epsilon, as in presets/log43_eps16.toml"
    unit = 'try meta.gradient = "unit", as in presets/log43_unit.toml, or '
    return Finding(
        "epsilon",
        f"the meta-gradient is {_number(vitals.gradient_norm)}, Adam's ε is {_number(preset.meta.epsilon)}: "
        f"{percent(vitals.epsilon_share)} of the step is lost",
        lower if preset.meta.gradient == "unit" else unit + lower,
    )


def _flipped(preset: Preset, vitals: Vitals) -> Finding | None:
    if not vitals.flipped > FLIPPED:
        return None
    return Finding(
        "flipped",
        f"{percent(vitals.flipped)} of the last gradients lie below e^{vitals.min_log:g}, where the log casting turns "
        "their sign: the network cannot tell which way is down",
        "lower transform.min_log, or let it follow the gradients: transform.adaptive, as in presets/logv_end_log.toml",
    )


def _saturated(preset: Preset, vitals: Vitals) -> Finding | None:
    if not vitals.saturated > SATURATED:
        return None
    return Finding(
        "saturated",
        f"{percent(vitals.saturated)} of the network's inputs lie beyond [-1, 1], which the log casting is to cast to",
        f"the gradients are not between e^{vitals.min_log:g} and 1: change transform.min_log, or bring the problem's "
        "numbers nearer to 1 (problem.start, problem.scale)",
    )


def _plateau(preset: Preset, history: Sequence[Vitals]) -> Finding | None:
    vitals = history[-1]
    if len(history) <= _LOOKS or trend_of(history) != "flat" or not vitals.distance_ratio > UNMOVED:
        return None
    unit = "" if preset.meta.gradient == "unit" else 'try meta.gradient = "unit", as in presets/log30_unit.toml; '
    return Finding(
        "plateau",
        f"the mean log10 of the last loss has stayed at {vitals.average_log_result:.2f} since meta-iteration "
        f"{history[-_LOOKS - 1].iteration:,}: an update is {_number(vitals.update_ratio)} of the distance to the "
        f"optimum, and {percent(vitals.distance_ratio)} of it are left after the last",
        f"{unit}some seeds take tens of thousands of meta-iterations to take off: wait, or try another run.seed",
    )


def percent(share: float) -> str:
    """Return a share as a percentage with as many digits as tell it from all: 99.99 %."""
    rest = round(abs(1 - share), 12)
    decimals = min(max(ceil(-log10(rest)) - 2, 0), 6) if 0 < rest < 1 else 0
    return f"{100 * share:.{decimals}f} %"


def _number(value: float) -> str:
    written = f"{value:.2g}" if 0.001 <= abs(value) < 10_000 else f"{value:.0e}"
    return written.replace("e-0", "e-").replace("e+0", "e+")
