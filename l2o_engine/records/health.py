"""What a run's numbers say about its health, and why it does not learn if it does not.

At every look (:func:`next_look`) the :class:`Diagnostician` of a lane measures :class:`Vitals`: from the rows since the
look before, from the trace of the last meta-iterations, and from the learner. :func:`trend_of` and :func:`examine` are
pure functions of the vitals, so a recorded run gives the same findings as a live one. The thresholds lie between what
the shipped presets measure when they learn and when they do not; docs/why-it-does-not-learn.md has the figures.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, isnan, log10, nan, sqrt
from typing import Any, Literal, TypeAlias

import numpy as np

from l2o_engine.meta.learner import Learner, Trace, traced
from l2o_engine.optimizers.learned.lstm import make_network
from l2o_engine.presets.schema import LogTransform, Preset, RatioLogTransform
from l2o_engine.records.rows import Rows
from l2o_engine.support.arrays import Doubles, Flags, Floats

EARLY_LOOKS = (500, 1000, 2000)
"""The meta-iterations of a run's first looks; later ones are where reports are. What goes wrong mostly does at once."""

# Thresholds. What the published presets measured over eight seeds stands behind each; docs/why-it-does-not-learn.md.
LEARNED = 0.05
"""Of the first distance to the optimum, left after the last update: with less, the network has learned to optimize."""
EXPLODING = 1.5
"""Of the first distance, left after the last update. Never more than 1.0, which is that of a network that is stuck."""
EPSILON_SHARE = 0.9
"""Of Adam's step lost to ε, before the network has learned: 0.9999 and more where it never does, or not yet."""
NON_FINITE = 0.02
"""Of the meta-iterations, before the network has learned: none at all."""
FLIPPED = 0.5
"""Of the last gradients that the network sees: 0.32 at most (log15_end_log, at its end)."""
SATURATED = 0.75
"""Of the network's inputs, before the network has learned: 0.54 at most (log30, at 1,000)."""
FLAT = 0.3
"""Decades in the last quarter of the run, or in three looks if that is longer: less is flat."""
TAKE_OFF = 1.0
"""Decades in the same time: more, from where the network had not learned yet, is a take-off."""
_FAR = 1e99  # a ratio that is infinite or greater: JSON, by which vitals are recorded, has no infinity
_LEAST_ROWS = 500  # meta-iterations between two looks: the average over fewer says little
_USUAL_RATE = 3e-4  # the notebook's
_BIG_UPDATE = 0.3  # of the distance to the optimum
_LOOKS = 3
_REMEMBERED = 4096

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
    epsilon_share, root
        Share of Adam's step that ε swallows, :func:`epsilon_share`, and the median √v that it stands beside, both over
        the weights that have a gradient.
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
    root: float
    non_finite: int
    zeros: int
    min_log: float
    saturated: float
    flipped: float
    update_ratio: float
    distance_ratio: float


def next_look(iteration: int, every: int) -> int:
    """Return the first meta-iteration from this one on that ends in a look: a report's, or an early one."""
    apart = every * ceil(_LEAST_ROWS / every)
    return min([max(ceil(iteration / apart), 1) * apart, *(early for early in EARLY_LOOKS if early >= iteration)])


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
        def column(name: str) -> Any:
            return np.concatenate([getattr(rows, name) for rows in self._rows])

        fresh = column("iteration") > (self._history[-1].iteration if self._history else -1)
        iteration, end_log10, norms = (column(name)[fresh] for name in ("iteration", "end_log10", "gradient_norm"))
        finite_norms = norms[np.isfinite(norms)]
        meta = self._preset.meta
        return Vitals(
            iteration=int(iteration[-1]),
            rows=len(iteration),
            average_log_result=_mean(end_log10[np.isfinite(end_log10)]),
            gradient_norm=_median(finite_norms),
            clipped=_mean(finite_norms > meta.clip_norm) if meta.gradient == "clip" else nan,
            epsilon_share=epsilon_share(learner, meta.epsilon),
            root=_median(_roots(learner)),
            non_finite=int(column("non_finite")[fresh].sum()),
            zeros=int((column("end_loss")[fresh] == 0).sum()),
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
    return _mean(epsilon / (_roots(learner) + epsilon))


def _roots(learner: Learner) -> Doubles:
    """Return the finite √v of the weights that have a gradient."""
    roots: Doubles = np.sqrt(learner.moment2[learner.moment1 != 0].astype(np.float64))
    return roots[np.isfinite(roots)]


def _mean(values: Floats | Flags) -> float:
    return float(values.mean()) if values.size else nan


def _median(values: Floats) -> float:
    return float(np.median(values)) if values.size else nan


def trend_of(history: Sequence[Vitals]) -> Trend:
    """Return where the end loss is going, from the vitals of the looks up to now."""
    now, then = history[-1], _reference(history)
    if now.distance_ratio > EXPLODING:
        return "diverging"
    change = now.average_log_result - then.average_log_result
    if now is then or isnan(change):
        return "starting"
    if abs(change) < FLAT:
        return "flat"
    if change < 0:
        is_first = then.distance_ratio >= LEARNED > now.distance_ratio
        return "taking off" if change <= -TAKE_OFF and is_first else "falling"
    return "rising"


def _reference(history: Sequence[Vitals]) -> Vitals:
    """Return the look to compare the last one with: three quarters of the run ago, and three looks ago at least."""
    before = [vitals for vitals in history[:-_LOOKS] if vitals.iteration <= 0.75 * history[-1].iteration]
    return before[-1] if before else history[0]


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
    # What has taught the network to optimize may go on so, whatever ε takes and however many numbers are spoilt.
    checks = (
        (_flipped,) if vitals.distance_ratio < LEARNED else (_exploding, _non_finite, _epsilon, _flipped, _saturated)
    )
    causes = [finding for check in checks if (finding := check(preset, vitals)) is not None]
    plateau = None if causes else _plateau(preset, history)
    return causes + ([plateau] if plateau else [])


def _exploding(preset: Preset, vitals: Vitals) -> Finding | None:
    if not vitals.distance_ratio > EXPLODING:
        return None
    far = "infinitely" if vitals.distance_ratio >= _FAR else f"{number(vitals.distance_ratio)} times as"
    average = vitals.average_log_result
    clip = ', or set meta.gradient = "clip"' if preset.meta.gradient == "none" else ""
    return Finding(
        "exploding",
        f"the updates carry x away: after the last one it is {far} far from the optimum as at the start"
        + ("" if isnan(average) else f" (mean log10 of the last loss {average:.2f})"),
        f"lower meta.learning_rate (it is {preset.meta.learning_rate:g}){clip}",
    )


def _non_finite(preset: Preset, vitals: Vitals) -> Finding | None:
    near_zero = vitals.zeros > vitals.non_finite  # losses that reach 0 are what was wanted, and spoil some gradients
    if vitals.non_finite <= NON_FINITE * vitals.rows or near_zero:
        return None
    policies = {"zero": "their meta-gradients count as 0", "skip": "they change nothing", "stop": "one ends the run"}
    finer = ', or run.dtype = "float64"' if preset.run.dtype == "float32" else ""
    rate, nearer = preset.meta.learning_rate, "bring the problem's numbers nearer to 1 (problem.start, problem.scale)"
    lower = f"lower meta.learning_rate (it is {rate:g})"
    return Finding(
        "non_finite",
        f"{vitals.non_finite:,} of {vitals.rows:,} meta-iterations met a NaN or an infinity; "
        f"{policies[preset.meta.non_finite]}",
        (f"{lower}, {nearer}" if rate > 3 * _USUAL_RATE else f"{nearer}, {lower}") + finer,
    )


def _epsilon(preset: Preset, vitals: Vitals) -> Finding | None:
    if not vitals.epsilon_share > EPSILON_SHARE or isnan(vitals.gradient_norm):
        return None
    # A gradient of norm 1 is about 1/√size a weight: with an ε near that, to scale it helps nothing.
    unit_root = 1 / sqrt(make_network(preset.network).size)
    helps = preset.meta.gradient != "unit" and preset.meta.epsilon < 0.1 * unit_root
    unit = 'try meta.gradient = "unit", as in presets/log43_unit.toml, or ' if helps else ""
    weight = "" if isnan(vitals.root) else f" ({number(vitals.root)} a weight, by √v)"
    return Finding(
        "epsilon",
        f"the meta-gradient is {number(vitals.gradient_norm)}{weight}, Adam's ε is {number(preset.meta.epsilon)}: "
        f"{percent(vitals.epsilon_share)} of the step is lost",
        f"{unit}lower meta.epsilon, as in presets/log43_eps16.toml",
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
    if len(history) <= _LOOKS or trend_of(history) != "flat" or not vitals.distance_ratio >= LEARNED:
        return None
    casts = isinstance(preset.transform, LogTransform | RatioLogTransform)
    moves = vitals.update_ratio > _BIG_UPDATE
    if moves and not casts:
        return None  # as near as so few steps, or this network, can get
    rate = preset.meta.learning_rate
    remedies = []
    if preset.meta.gradient != "unit" and not moves:
        remedies.append('try meta.gradient = "unit", as in presets/log30_unit.toml')
    if not _USUAL_RATE / 3 < rate < _USUAL_RATE * 3:
        remedies.append(f"{'raise' if rate < _USUAL_RATE else 'lower'} meta.learning_rate (it is {rate:g})")
    if moves:
        remedies.append(f"lower transform.min_log (it is {vitals.min_log:g}): smaller gradients are all the same to it")
    remedies.append("some seeds take tens of thousands of meta-iterations to take off: wait, or try another run.seed")
    return Finding(
        "plateau",
        f"the mean log10 of the last loss has stayed at {vitals.average_log_result:.2f} since meta-iteration "
        f"{_flat_since(history):,}: an update is {number(vitals.update_ratio)} of the distance to the "
        f"optimum, and {percent(vitals.distance_ratio)} of it are left after the last",
        "; ".join(remedies),
    )


def _flat_since(history: Sequence[Vitals]) -> int:
    """Return the meta-iteration of the first look from which on the end loss has been as it is now."""
    now = history[-1]
    since = now.iteration
    for vitals in reversed(history):
        if not abs(vitals.average_log_result - now.average_log_result) < FLAT:
            break
        since = vitals.iteration
    return since


def percent(share: float) -> str:
    """Return a share as a percentage with as many digits as tell it from all: 99.99 %."""
    rest = round(abs(1 - share), 12)
    decimals = min(max(ceil(-log10(rest)) - 2, 0), 6) if 0 < rest < 1 else 0
    return f"{100 * share:.{decimals}f} %"


def number(value: float) -> str:
    """Return a number as a person would write it down: 35, 1.4e-14."""
    written = f"{value:.2g}" if 0.001 <= abs(value) < 10_000 else f"{value:.0e}"
    return written.replace("e-0", "e-").replace("e+0", "e+")
