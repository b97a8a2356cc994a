"""What a finding proposes to set: what its words say, and a setting that the preset takes and that changes it."""

import re
from collections.abc import Iterator
from dataclasses import replace
from math import inf, nan
from typing import Any

import pytest

from l2o_engine.meta.experiment import Experiment
from l2o_engine.presets.files import load, override, setting_of
from l2o_engine.presets.identity import all_settings, differing, trained_settings
from l2o_engine.presets.schema import Preset
from l2o_engine.presets.shipped import find, shipped_names
from l2o_engine.presets.tables import inline
from l2o_engine.records.codec import as_json
from l2o_engine.records.events import Found
from l2o_engine.records.health import Finding, Vitals, examine
from l2o_engine.training.trainer import Lane
from tests.engine.records.test_health import HEALTHY, looks
from tests.engine.records.test_truncated import CALM, TRUNCATED
from tests.engine.tiny import INPUTS, PROBLEMS, tiny_preset
from tests.engine.told import event_from_json

STUCK = replace(HEALTHY, distance_ratio=1.0, loss_ratio=1.0)
LOST = replace(STUCK, epsilon_share=0.9999, gradient_norm=1e-14, root=7e-18)
SHUT = {"lstm0.input": 1.0, "lstm0.forget": 1.0, "lstm0.output": 1.0}
CASES: dict[str, tuple[str, list[str], Any, dict[str, Any]]] = {
    "epsilon": ("log43_end_log", [], [LOST], {"meta.gradient": "unit"}),
    "epsilon with unit": ("log43_unit", ["meta.epsilon=1"], [LOST], {"meta.epsilon": 7e-20}),
    "epsilon of no root": ("log43_unit", ["meta.epsilon=1"], [replace(LOST, root=nan)], {"meta.epsilon": 1e-16}),
    "exploding": ("log30", [], [replace(STUCK, distance_ratio=9.0)], {"meta.learning_rate": 1e-4}),
    "exploding far": (
        "log30",
        ["meta.learning_rate=0.1"],
        [replace(STUCK, distance_ratio=9.0)],
        {"meta.learning_rate": 3e-4},
    ),
    "non_finite": ("log30", [], [replace(STUCK, non_finite=900)], {"run.dtype": "float64"}),
    "non_finite in float64": (
        "log30",
        ["run.dtype=float64"],
        [replace(STUCK, non_finite=900)],
        {"meta.learning_rate": 1e-4},
    ),
    "flipped": ("log15_end_log", [], [replace(STUCK, flipped=0.9)], {"inputs.min_log": -30.0}),
    "plateau": (
        "log30",
        [],
        looks(-0.3, -0.3, -0.3, -0.3, distance_ratio=0.9, update_ratio=1e-9),
        {"meta.gradient": "unit"},
    ),
    "plateau at a rate": (
        "log30_unit",
        ["meta.learning_rate=1e-9"],
        looks(-0.3, -0.3, -0.3, -0.3, distance_ratio=0.9, update_ratio=1e-9),
        {"meta.learning_rate": 3e-4},
    ),
    "saturated": ("log30", [], [replace(STUCK, saturated=0.9)], {}),  # either way may be right
    "spikes": (
        "dm_quadratic",
        [],
        [replace(TRUNCATED, truncated=replace(CALM, gradient_spikes=0.5))],
        {"meta.gradient": "clip", "meta.clip_norm": 42.0},
    ),
    "spikes clipped": (
        "dm_quadratic",
        ["meta.gradient=clip", "meta.clip_norm=1e6"],
        [replace(TRUNCATED, truncated=replace(CALM, gradient_spikes=0.5))],
        {"meta.clip_norm": 42.0},
    ),
    "gates": (
        "dm_quadratic",
        ["meta.learning_rate=0.1"],
        [replace(TRUNCATED, loss_ratio=1.0, truncated=replace(CALM, gates=SHUT))],
        {"meta.learning_rate": 3e-4},
    ),
    "layers": (
        "dm_quadratic",
        [],
        [replace(TRUNCATED, truncated=replace(CALM, layer_updates={"a": 1e-6, "b": 0.01}))],
        {"inputs": {"kind": "log_and_sign"}},
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_finding_s_settings_are_what_it_says_and_make_another_experiment(case: str) -> None:
    name, before, history, expected = CASES[case]
    preset = load(find(name), before)
    (finding, *_) = examine(preset.experiment, history)
    assert finding.code == case.split(maxsplit=1)[0]
    assert finding.settings == expected
    if expected:
        changes = [f"{key}={inline(value)}" for key, value in finding.settings.items()]
        changed = differing(trained_settings(preset), trained_settings(load(find(name), [*before, *changes])))
        assert {key.partition(".")[0] for key in changed} == {key.partition(".")[0] for key in expected}


def test_settings_are_recorded_and_what_earlier_versions_recorded_is_still_read() -> None:
    finding = Finding("layers", "still", "let it see", {"inputs": {"kind": "log_and_sign"}, "meta.epsilon": 1e-16})
    (document,) = as_json(Found(Lane(0, "RNN"), 500, finding))
    assert document["settings"] == {"inputs": {"kind": "log_and_sign"}, "meta.epsilon": 1e-16}
    assert event_from_json([document]) == Found(Lane(0, "RNN"), 500, finding)
    del document["settings"]
    assert event_from_json([document]) == Found(Lane(0, "RNN"), 500, replace(finding, settings={}))


# Whatever the kinds of a preset's pieces are.

KINDS = [
    *INPUTS.values(),
    *PROBLEMS.values(),
    'inputs = {kind = "clamp", min = -1.0, max = 1.0}',
    'inputs = {kind = "log_and_sign"}',
    'inputs = {kind = "rnnprop"}',
    'inputs = {kind = "momenta"}',
    'inputs = {kind = "log", min_log = -90.0}',
    'network = {kind = "mlp"}',
    'network = {kind = "linear"}',
    'problem = {kind = "python", factory = "mine:Problem"}',
    'problem = {kind = "network"}',
    'problem = {kind = "formula", loss = "x[0]**2 + x[1]**2"}',
    "meta.learning_rate = 1.5e-45",
]
OTHERWISE = [
    ("run.dtype = float64",),
    *(("unroll.truncation = 2", f"meta.gradient = {gradient}") for gradient in ("none", "clip", "unit")),
]


def in_trouble(experiment: Experiment) -> Iterator[list[Vitals]]:
    """Yield what a run of this experiment could have measured, for every finding, with the oddest numbers."""
    is_whole = experiment.truncation.is_whole
    numbers = experiment.trained.inputs.numbers
    calm = replace(STUCK, numbers=numbers, truncated=None if is_whole else CALM)
    yield [replace(calm, distance_ratio=9.0)]
    yield [replace(calm, distance_ratio=nan, loss_ratio=inf)]
    yield [replace(calm, non_finite=900)]
    yield [replace(calm, saturated=0.9)]
    yield from ([replace(LOST, numbers=numbers, root=root)] for root in (nan, 0.0, 1e-300, 7e-18, 1.0))
    for share in (1.0, 1.4, 10.0, 1e6):
        lower = {name: share * value for name, value in numbers.items()}
        yield [replace(calm, flipped=0.9, numbers=lower)]
        flat = {"distance_ratio": 0.9, "numbers": lower, "truncated": calm.truncated}
        yield from (looks(*[-0.3] * 4, update_ratio=ratio, **flat) for ratio in (1e-9, 0.9))
    if is_whole:
        return
    for norm in (0.0, nan, 5e-324, 1e-300, 1e-7, 42.0, 1e300):
        yield [replace(calm, gradient_norm=norm, truncated=replace(CALM, gradient_spikes=0.5))]
    yield [replace(calm, truncated=replace(CALM, gates=SHUT))]
    yield [replace(calm, truncated=replace(CALM, layer_updates={"a": 1e-6, "b": 0.01}))]


def hold_to_the_preset(preset: Preset) -> set[str]:
    """See that findings propose settings that the preset has and takes; return the codes that there were."""
    there = {".".join(name.split(".")[:2]) for name in all_settings(preset)}  # of one that is a table, too
    found = {
        (finding.code, finding.remedy, repr(finding.settings)): finding
        for history in in_trouble(preset.experiment)
        for finding in examine(preset.experiment, history)
    }
    for finding in found.values():
        named = set(re.findall(r"(?<![/\w])(?:meta|inputs|network|problem|unroll|run)\.[a-z_]+", finding.remedy))
        assert named <= there
        changed = override(preset, [setting_of(key, value) for key, value in finding.settings.items()])
        assert not finding.settings or trained_settings(changed) != trained_settings(preset)
    return {code for code, *_ in found}


@pytest.mark.parametrize("name", shipped_names())
def test_a_shipped_preset_takes_every_remedy(name: str) -> None:
    if (preset := load(find(name))).learns:
        assert {"exploding", "non_finite"} <= hold_to_the_preset(preset)


def test_a_preset_of_any_kind_takes_every_remedy() -> None:
    codes = set()
    for kind in KINDS:
        codes |= hold_to_the_preset(tiny_preset(kind))
        for changes in OTHERWISE:
            codes |= hold_to_the_preset(tiny_preset(kind, *changes))
    assert codes == {case.split(maxsplit=1)[0] for case in CASES}
