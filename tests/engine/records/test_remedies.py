"""What a finding proposes to set: what its words say, and a setting that the preset takes and that changes it."""

from dataclasses import replace
from math import nan
from typing import Any

import pytest

from l2o_engine.presets.files import load
from l2o_engine.presets.identity import differing, trained_settings
from l2o_engine.presets.shipped import find
from l2o_engine.presets.tables import inline
from l2o_engine.records.codec import as_json
from l2o_engine.records.events import Found
from l2o_engine.records.health import Finding, examine
from l2o_engine.training.trainer import Lane
from tests.engine.records.test_health import HEALTHY, looks
from tests.engine.records.test_truncated import CALM, TRUNCATED
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
    name, given, history, expected = CASES[case]
    preset = load(find(name), given)
    (finding, *_) = examine(preset.experiment, history)
    assert finding.code == case.split(maxsplit=1)[0]
    assert finding.settings == expected
    if expected:
        settings = [f"{key}={inline(value)}" for key, value in finding.settings.items()]
        changed = differing(trained_settings(preset), trained_settings(load(find(name), [*given, *settings])))
        assert {key.partition(".")[0] for key in changed} == {key.partition(".")[0] for key in expected}


def test_settings_are_recorded_and_what_earlier_versions_recorded_is_still_read() -> None:
    finding = Finding("layers", "still", "let it see", {"inputs": {"kind": "log_and_sign"}, "meta.epsilon": 1e-16})
    (document,) = as_json(Found(Lane(0, "RNN"), 500, finding))
    assert document["settings"] == {"inputs": {"kind": "log_and_sign"}, "meta.epsilon": 1e-16}
    assert event_from_json([document]) == Found(Lane(0, "RNN"), 500, finding)
    del document["settings"]
    assert event_from_json([document]) == Found(Lane(0, "RNN"), 500, replace(finding, settings={}))
