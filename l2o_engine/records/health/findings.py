"""What keeps a run from learning: one function a finding, each with its evidence and what to do."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from math import ceil, inf, isnan, log10, nan, sqrt
from typing import Any

from l2o_engine.meta.experiment import Experiment
from l2o_engine.optimizers.learned.inputs.log import Log
from l2o_engine.optimizers.learned.inputs.log_and_sign import LogAndSign
from l2o_engine.optimizers.learned.inputs.ratio_log import RatioLog
from l2o_engine.optimizers.learned.networks.lstm import LSTM
from l2o_engine.records.health.thresholds import (
    EPSILON_SHARE,
    EXPLODING,
    FLIPPED,
    GATES,
    GREATEST,
    HAS_LEARNED,
    LAYERS,
    LOOKS,
    NON_FINITE,
    SATURATED,
    SPIKE,
    SPIKES,
    STANDS_STILL,
)
from l2o_engine.records.health.trend import flat_since, trend_of
from l2o_engine.records.health.vitals import Vitals
from l2o_engine.support.wording import shown

_USUAL_RATE = 3e-4  # the notebook's
_USUAL_NORMS = (0.1, 1e4)  # of a meta-gradient of a network that is not lost: 0.4 to 270 of DeepMind's problems
_BIG_UPDATE = 0.3  # of the distance to the optimum
_SMALL_EPSILON = 1e-16  # presets/log43_eps16.toml's
_LEAST = 1.2e-38  # float32's least number, in which Adam's constants are, but for subnormal ones
_MIN_LOGS = (-15.0, -30.0, -43.0, -60.0)  # the presets'


@dataclass(frozen=True)
class Finding:
    """Something that keeps a run from learning.

    Attributes
    ----------
    code
        A name for scripts.
    message
        A sentence with the evidence.
    remedy
        What to do, in words.
    settings
        What to try first of that, "table.key" → value, as a preset's settings; nothing where no setting is known to
        be better than another.
    """

    code: str
    message: str
    remedy: str
    settings: Mapping[str, Any] = field(default_factory=dict, hash=False)


def examine(experiment: Experiment, history: Sequence[Vitals]) -> list[Finding]:
    """Return what is wrong at the last look, the likeliest cause first; an empty list for a healthy run.

    Parameters
    ----------
    experiment
        What is trained: what it sets decides which remedies are left.
    history
        The vitals of the looks up to now, in order.
    """
    vitals = history[-1]
    # What has taught the network to optimize may go on so, whatever ε takes and however many numbers are spoilt.
    checks = (
        (_spikes, _flipped, _layers)
        if _has_learned(experiment, vitals)
        else (_exploding, _non_finite, _spikes, _epsilon, _gates, _flipped, _saturated, _layers)
    )
    causes = [finding for check in checks if (finding := check(experiment, vitals)) is not None]
    plateau = None if causes else _plateau(experiment, history)
    return causes + ([plateau] if plateau else [])


def _has_learned(experiment: Experiment, vitals: Vitals) -> bool:
    """Return whether the network has learned to optimize; nothing tells, where nothing is measured."""
    if experiment.truncation.is_whole:
        return vitals.remaining < HAS_LEARNED
    return vitals.loss_ratio < STANDS_STILL


def _beside(experiment: Experiment) -> str:
    """Return what ``loss_ratio`` is told in."""
    return "the first" if experiment.truncation.is_whole else "the mean of its episode"


def _exploding(experiment: Experiment, vitals: Vitals) -> Finding | None:
    if not vitals.remaining > EXPLODING:
        return None
    if vitals.has_distance:
        far = "infinitely" if vitals.distance_ratio >= GREATEST else f"{number(vitals.distance_ratio)} times as"
        evidence = f"after the last one it is {far} far from the optimum as at the start"
    else:
        times = "infinitely many" if vitals.loss_ratio >= GREATEST else number(vitals.loss_ratio)
        evidence = f"the last loss is {times} times {_beside(experiment)}"
    average = vitals.average_log_result
    clip = ', or set meta.gradient = "clip"' if experiment.meta.gradient == "none" else ""
    rate = experiment.meta.learning_rate
    return Finding(
        "exploding",
        f"the updates carry x away: {evidence}"
        + ("" if isnan(average) else f" (mean log10 of the last loss {average:.2f})"),
        f"lower meta.learning_rate (it is {rate:g}){clip}",
        _lower_rate(rate),
    )


def _non_finite(experiment: Experiment, vitals: Vitals) -> Finding | None:
    near_zero = vitals.zeros > vitals.non_finite  # losses that reach 0 are what was wanted, and spoil some gradients
    if vitals.non_finite <= NON_FINITE * vitals.rows or near_zero:
        return None
    policies = {"zero": "their meta-gradients count as 0", "skip": "they change nothing", "stop": "one ends the run"}
    finer = ', or run.dtype = "float64"' if experiment.dtype == "float32" else ""
    rate, nearer = experiment.meta.learning_rate, _nearer_to_1(experiment)
    lower = f"lower meta.learning_rate (it is {rate:g})"
    return Finding(
        "non_finite",
        f"{vitals.non_finite:,} of {vitals.rows:,} meta-iterations met a NaN or an infinity; "
        f"{policies[experiment.meta.non_finite]}",
        (f"{lower}, {nearer}" if rate > 3 * _USUAL_RATE else f"{nearer}, {lower}") + finer,
        {"run.dtype": "float64"} if finer and rate <= 3 * _USUAL_RATE else _lower_rate(rate),
    )


def _epsilon(experiment: Experiment, vitals: Vitals) -> Finding | None:
    if not vitals.epsilon_share > EPSILON_SHARE or isnan(vitals.gradient_norm):
        return None
    if 2 * vitals.non_finite > vitals.rows:
        return None  # their meta-gradients counted as 0, which is why v is small beside ε
    # A gradient of norm 1 is about 1/√size a weight: with an ε near that, to scale it helps nothing.
    unit_root = 1 / sqrt(experiment.trained.layout.size)
    helps = experiment.meta.gradient != "unit" and experiment.meta.epsilon < 0.1 * unit_root
    unit = 'try meta.gradient = "unit", as in presets/log43_unit.toml, or ' if helps else ""
    weight = "" if isnan(vitals.root) else f" ({number(vitals.root)} a weight, by √v)"
    return Finding(
        "epsilon",
        f"the meta-gradient is {number(vitals.gradient_norm)}{weight}, Adam's ε is {number(experiment.meta.epsilon)}: "
        f"{percent(vitals.epsilon_share)} of the step is lost",
        f"{unit}lower meta.epsilon, as in presets/log43_eps16.toml",
        {"meta.gradient": "unit"} if helps else {"meta.epsilon": _smaller_epsilon(vitals)},
    )


def _spikes(experiment: Experiment, vitals: Vitals) -> Finding | None:
    meta, found = experiment.meta, vitals.truncated
    # What Adam sees of them: nothing is longer than clip_norm where they are clipped.
    bound = {"unit": 0.0, "clip": meta.clip_norm}.get(meta.gradient, inf)
    if found is None or not found.gradient_spikes > SPIKES or bound <= SPIKE * vitals.gradient_norm:
        return None
    steps = experiment.truncation.steps
    where = "" if isnan(found.spike_step) else f", where the gradient was longest at step {found.spike_step:.0f}"
    norm = vitals.gradient_norm
    remedies = [f"lower meta.clip_norm (it is {number(meta.clip_norm)})"]
    settings: dict[str, Any] = {"meta.clip_norm": _rounded(norm)} if _rounded(norm) > 0 else {}  # half may be 0
    if meta.gradient == "none":
        is_usual = _USUAL_NORMS[0] < norm < _USUAL_NORMS[1]
        near = f" and meta.clip_norm near {number(norm)}" if is_usual else ""
        remedies = [f'set meta.gradient = "clip"{near}']
        settings = {"meta.gradient": "clip"} | (settings if is_usual else {})
    remedies.append(f"lower meta.learning_rate (it is {meta.learning_rate:g})")
    remedies.append(f"a shorter unroll.truncation (it is {steps})")
    if (scale := _output_scale(experiment)) is not None:
        remedies.append(f"a smaller network.output_scale (it is {scale:g})")
    return Finding(
        "spikes",
        f"the meta-gradient explodes over the truncation: {percent(found.gradient_spikes)} of them are more than "
        f"{SPIKE:.0f} times their median, {number(vitals.gradient_norm)}, and one {number(found.gradient_peak)} times"
        f"{where}; after each Adam's steps are small for long",
        ", ".join(remedies[:-1]) + f", or {remedies[-1]}",
        settings,
    )


def _gates(experiment: Experiment, vitals: Vitals) -> Finding | None:
    layers: dict[str, dict[str, float]] = {}
    for name, share in (vitals.truncated.gates if vitals.truncated else {}).items():
        layer, _, gate = name.rpartition(".")
        layers.setdefault(layer, {})[gate] = share
    shut = {layer: sum(gates.values()) / len(gates) for layer, gates in layers.items()}
    worst = max(shut, key=shut.__getitem__, default="")
    if not shut.get(worst, 0) > GATES:
        return None
    each = ", ".join(f"{_named(gate)} {percent(share)}" for gate, share in layers[worst].items())
    return Finding(
        "gates",
        f"the gates of {_named(worst)} are open or closed for good ({each}): hardly any derivative goes through them",
        f"lower meta.learning_rate (it is {experiment.meta.learning_rate:g}) and begin anew, or from a checkpoint "
        "before: such weights do not come back",
        _lower_rate(experiment.meta.learning_rate),
    )


def _layers(experiment: Experiment, vitals: Vitals) -> Finding | None:
    updates = vitals.truncated.layer_updates if vitals.truncated else {}
    moved = {name: size for name, size in updates.items() if not isnan(size)}
    if len(moved) < 2:
        return None
    least, most = min(moved, key=moved.__getitem__), max(moved, key=moved.__getitem__)
    if not moved[most] > LAYERS * moved[least]:
        return None
    inputs = experiment.trained.inputs
    settings: dict[str, Any]
    if isinstance(inputs, LogAndSign):
        shows, settings = f"a greater inputs.k (it is {inputs.k:g})", {"inputs.k": 2 * inputs.k}
    else:
        shows, settings = 'inputs.kind = "log_and_sign"', {"inputs": {"kind": "log_and_sign"}}
    return Finding(
        "layers",
        f"{_named(least)} of the problem does not move: its updates are {number(moved[least])} in the median, those of "
        f"{_named(most)} {number(moved[most])}",
        f"let the network see small gradients as well as large ones ({shows}), or give these weights a network of "
        'their own (network.kind = "by_group")',
        settings,
    )


def _named(name: str) -> str:
    """Return a gate's or a layer's name, which may come from a file, as it is shown."""
    return shown(name, most=40)


def _output_scale(experiment: Experiment) -> float | None:
    network = experiment.trained.network
    return network.output_scale if isinstance(network, LSTM) else None


def _flipped(experiment: Experiment, vitals: Vitals) -> Finding | None:
    if not vitals.flipped > FLIPPED or "min_log" not in vitals.numbers:
        return None
    return Finding(
        "flipped",
        f"{percent(vitals.flipped)} of the last gradients lie below e^{_min_log(vitals):g}, where the log casting "
        "turns their sign: the network cannot tell which way is down",
        "lower inputs.min_log, or let it follow the gradients: inputs.adaptive, as in presets/logv_end_log.toml",
        _lower_min_log(experiment, vitals),
    )


def _saturated(experiment: Experiment, vitals: Vitals) -> Finding | None:
    if not vitals.saturated > SATURATED or "min_log" not in vitals.numbers:
        return None
    return Finding(
        "saturated",
        f"{percent(vitals.saturated)} of the network's inputs lie beyond [-1, 1], which the log casting is to cast to",
        f"the gradients are not between e^{_min_log(vitals):g} and 1: change inputs.min_log, or "
        f"{_nearer_to_1(experiment)}",
    )


def _plateau(experiment: Experiment, history: Sequence[Vitals]) -> Finding | None:
    vitals = history[-1]
    is_known = not isnan(vitals.remaining)
    if len(history) <= LOOKS or trend_of(history) != "flat" or not is_known or _has_learned(experiment, vitals):
        return None
    casts = experiment.trained.inputs.casts and "min_log" in vitals.numbers
    moves = vitals.update_ratio > _BIG_UPDATE
    if moves and not casts:
        return None  # as near as so few steps, or this network, can get
    rate = experiment.meta.learning_rate
    remedies: list[str] = []
    settings: list[dict[str, Any]] = []
    if experiment.meta.gradient != "unit" and not moves:
        settings.append({"meta.gradient": "unit"})
        remedies.append('try meta.gradient = "unit", as in presets/log30_unit.toml')
    if not _USUAL_RATE / 3 < rate < _USUAL_RATE * 3:
        settings.append({"meta.learning_rate": _USUAL_RATE})
        remedies.append(f"{'raise' if rate < _USUAL_RATE else 'lower'} meta.learning_rate (it is {rate:g})")
    if moves:
        settings.append(_lower_min_log(experiment, vitals))
        remedies.append(f"lower inputs.min_log (it is {_min_log(vitals):g}): smaller gradients are all the same to it")
    remedies.append("some seeds take tens of thousands of meta-iterations to take off: wait, or try another run.seed")
    if vitals.has_distance:
        evidence = f"an update is {number(vitals.update_ratio)} of the distance to the optimum, and "
        evidence += f"{percent(vitals.distance_ratio)} of it are left after the last"
    else:
        evidence = f"the last loss is {percent(vitals.loss_ratio)} of {_beside(experiment)}"
    return Finding(
        "plateau",
        f"the mean log10 of the last loss has stayed at {vitals.average_log_result:.2f} since meta-iteration "
        f"{flat_since(history):,}: {evidence}",
        "; ".join(remedies),
        settings[0] if settings else {},
    )


def _lower_rate(rate: float) -> dict[str, Any]:
    """Return the setting of a lower learning rate: the usual one, or a third of one that is not far above it.

    Nothing where float32 holds none that is lower.
    """
    lower = _USUAL_RATE if rate > 3 * _USUAL_RATE else max(_rounded(rate / 3), _LEAST)
    return {"meta.learning_rate": lower} if lower < rate else {}


def _smaller_epsilon(vitals: Vitals) -> float:
    """Return an ε beside which a hundredth of what Adam divides by still counts, as far as float32 holds it."""
    return max(_rounded(min(_SMALL_EPSILON, vitals.root / 100)), _LEAST) if vitals.root > 0 else _SMALL_EPSILON


def _lower_min_log(experiment: Experiment, vitals: Vitals) -> dict[str, Any]:
    """Return the setting of the next lower one of the presets', or of one lower than all of them.

    Nothing where that would be too low for the dtype: the residual that follows it would be 0.
    """
    now, learned = _min_log(vitals), experiment.trained
    lower = next((one for one in _MIN_LOGS if one < now), _rounded(1.5 * now))
    if not isinstance(learned.inputs, Log | RatioLog):
        return {}
    try:
        replace(experiment, learned=replace(learned, inputs=replace(learned.inputs, min_log=lower)))
    except ValueError:
        return {}
    return {"inputs.min_log": lower}


def _nearer_to_1(experiment: Experiment) -> str:
    """Return what brings a problem's numbers nearer to 1, by the settings that one of its kind has."""
    task = experiment.task  # which may be a user's own class, and a formula may have no parameters
    there: set[str] = {one.name for one in fields(task) if getattr(task, one.name)} if is_dataclass(task) else set()
    names = ", ".join(f"problem.{name}" for name in ("start", "scale", "parameters") if name in there)
    return f"bring the problem's numbers nearer to 1{f' ({names})' if names else ''}"


def _rounded(value: float) -> float:
    return float(f"{value:.1e}")


def _min_log(vitals: Vitals) -> float:
    return vitals.numbers.get("min_log", nan)


def percent(share: float) -> str:
    """Return a share as a percentage with as many digits as tell it from all: 99.99 %."""
    rest = round(abs(1 - share), 12)
    decimals = min(max(ceil(-log10(rest)) - 2, 0), 6) if 0 < rest < 1 else 0
    return f"{100 * share:.{decimals}f} %"


def number(value: float) -> str:
    """Return a number as a person would write it down: 35, 1.4e-14."""
    written = f"{value:.2g}" if 0.001 <= abs(value) < 10_000 else f"{value:.0e}"
    return written.replace("e-0", "e-").replace("e+0", "e+")
