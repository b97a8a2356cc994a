"""A run's health in words: the same for the printed page, stderr and the health pane."""

from collections import Counter
from collections.abc import Mapping, Sequence
from math import isnan, nan

from l2o_engine.records.health import Diagnosis, Diagnostician, Finding, Vitals, percent
from l2o_engine.records.statistics import spread_of
from l2o_engine.runs.folder import Run
from l2o_engine.support.wording import shown
from l2o_engine.training.trainer import Lane
from l2o_tui.text.numbers import count, scientific


def sentence(finding: Finding) -> str:
    """Return a finding with its remedy."""
    return f"{finding.message}. Remedy: {finding.remedy}"


def diagnoses_of(run: Run) -> dict[Lane, Diagnosis]:
    """Return what the last look at each lane of a run says."""
    preset = run.preset()
    past: dict[Lane, list[Vitals]] = {}
    for lane, vitals in run.vitals():
        past.setdefault(lane, []).append(vitals)
    return {
        lane: Diagnostician(preset.experiment, preset.report.every).recall(of_lane) for lane, of_lane in past.items()
    }


def vitals_of(diagnoses: Sequence[Diagnosis]) -> list[tuple[str, str]]:
    """Return what was measured as (name, value), the median over the lanes; what none has is left out."""
    vitals = [diagnosis.vitals for diagnosis in diagnoses]
    measured = [vars(v) | (vars(v.truncated) if v.truncated else {}) for v in vitals]
    numbers = {name: spread_of([each.get(name, nan) for each in measured]).median for name in _SHOWN}
    if not isnan(numbers["distance_ratio"]):
        numbers["loss_ratio"] = nan
    told = [(label, write(numbers[name])) for name, (label, write) in _SHOWN.items() if not isnan(numbers[name])]
    non_finite, rows = sum(v.non_finite for v in vitals), sum(v.rows for v in vitals)
    trends = Counter(diagnosis.trend for diagnosis in diagnoses)
    trend = ", ".join(f"{n} {name}" if len(diagnoses) > 1 else name for name, n in trends.most_common())
    return [("end loss", trend), *told, ("not finite", f"{count(non_finite)} of {count(rows)}")]


def details_of(diagnoses: Sequence[Diagnosis]) -> list[tuple[str, str]]:
    """Return what was measured part by part as (name, values), the median over the lanes; nothing of what none has.

    Of each layer of the network, which share of its input, forget and output gates is open or closed for good; of each
    layer of the optimizee, its effective learning rate.
    """
    vitals = [diagnosis.vitals.truncated for diagnosis in diagnoses if diagnosis.vitals.truncated]
    layers: dict[str, list[float]] = {}
    for name, share in _medians([one.gates for one in vitals]).items():
        layers.setdefault(name.rpartition(".")[0], []).append(share)
    gates = {layer: f"{'/'.join(f'{100 * share:.0f}' for share in shares)} %" for layer, shares in layers.items()}
    rates = {name: scientific(rate) for name, rate in _medians([one.layer_rates for one in vitals]).items()}
    told = (("gates shut, i/f/o", gates), ("layers' rates", rates))
    return [(label, _listed(values)) for label, values in told if values]


def _medians(all_shares: Sequence[Mapping[str, float]]) -> dict[str, float]:
    names = dict.fromkeys(name for shares in all_shares for name in shares)
    return {name: spread_of([shares.get(name, nan) for shares in all_shares]).median for name in names}


def _listed(values: Mapping[str, str]) -> str:
    each = [f"{shown(name, most=_MOST_NAME)} {value}" for name, value in values.items()]
    more = [f"{len(each) - _MOST_PARTS} more"] if len(each) > _MOST_PARTS else []
    return " · ".join(each[:_MOST_PARTS] + more)


def findings_of(diagnoses: Mapping[Lane, Diagnosis]) -> list[tuple[str, Finding]]:
    """Return each finding once, with whose it is: "" for a run of one seed, else "seeds 1, 3: "."""
    first: dict[str, Finding] = {}
    seeds: dict[str, list[int]] = {}
    for lane, diagnosis in diagnoses.items():
        for finding in diagnosis.findings:
            first.setdefault(finding.code, finding)
            seeds.setdefault(finding.code, []).append(lane.seed)
    several = len(diagnoses) > 1
    return [(_owners(seeds[code]) if several else "", finding) for code, finding in first.items()]


def _owners(seeds: Sequence[int]) -> str:
    return f"seed{'s' if len(seeds) > 1 else ''} {', '.join(map(str, seeds))}: "


def _ratio(value: float) -> str:
    return scientific(value) if value < 1e99 else "∞"


_MOST_PARTS = 20  # layers of which something is said
_MOST_NAME = 40
_SHOWN = {
    "gradient_norm": ("meta-gradient", scientific),
    "gradient_peak": ("longest / median", _ratio),
    "clipped": ("clipped", percent),
    "epsilon_share": ("lost to ε", percent),
    "update_ratio": ("update / distance", _ratio),
    "distance_ratio": ("distance left", _ratio),
    "loss_ratio": ("loss left", _ratio),  # where no distance is known; in truncations, of the mean of the episode
    "saturated": ("inputs beyond ±1", percent),
    "flipped": ("sign turned", percent),
}
