"""Formulas in the kernel, against the reference. Its mixture has one, in test_fused.py; here are any, in a soak."""

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from numpy.testing import assert_allclose

from l2o_engine.backends.fused.backend import FusedBackend, why_not
from l2o_engine.backends.reference import TorchBackend
from l2o_engine.presets.files import check
from l2o_engine.presets.schema import Preset
from l2o_engine.presets.tables import to_dict
from l2o_engine.tasks.formula import Formula
from l2o_engine.tasks.formula.expression import Source
from l2o_engine.tasks.small import flat_of
from tests import soak
from tests.engine.tasks.formula.formulas import sources
from tests.engine.tiny import draw, new_learner, tiny_preset

pytestmark = pytest.mark.timeout(600)  # each formula is a kernel


def preset_of(source: Source) -> Preset:
    """Return the small experiment on a formula."""
    tables = to_dict(tiny_preset("run.dtype=float64", 'inputs={kind = "log", min_log = -5.0}'))
    parameters = {
        name: {"uniform": [0.5, 2], **({"length": length} if length else {})} for name, length in source.parameters
    }
    problem = {"kind": "formula", "loss": source.text, "dims": source.dims, "parameters": parameters}
    return check({**tables, "problem": problem, "meta": {"batch": 2}})


def test_the_kernel_takes_a_formula_and_gets_no_numbers_where_it_has_no_parameter() -> None:
    preset = preset_of(Source("x[0]**2 + x[1]**2", 2))
    assert why_not(preset.experiment) == ""
    task = draw(preset, 3)
    assert flat_of(task.parameters, task.start).shape == (3, 2, 0)
    assert flat_of(task.parameters, task.start).dtype == np.float64


@pytest.mark.soak
@settings(max_examples=soak.times(6), suppress_health_check=[HealthCheck.too_slow])
@given(source=sources())
def test_the_kernel_and_the_reference_agree_on_any_formula(source: Source) -> None:
    agree_on(preset_of(source))


@pytest.mark.soak
@pytest.mark.parametrize("name", ["ackley", "branin", "michalewicz"])
def test_the_kernel_and_the_reference_agree_on_functions_without_a_parameter(name: str) -> None:
    tables = to_dict(preset_of(Formula(function=name).source))
    assert agree_on(check({**tables, "problem": {"kind": "formula", "function": name, "rotation": "uniform"}})) > 10


def agree_on(preset: Preset) -> int:
    """Hold the kernel to the reference's losses and meta-gradient, where these are not huge; return how often so."""
    torch, fused = TorchBackend(preset.experiment), FusedBackend(preset.experiment)
    task, learner = draw(preset, 20), new_learner(preset, torch)
    compared = 0
    for k in range(len(task)):
        expected, found = torch.meta_gradient(learner, task[k : k + 1]), fused.meta_gradient(learner, task[k : k + 1])
        if not np.isfinite(expected.norm) or expected.norm > 1e6:
            continue
        assert_allclose(found.losses, expected.losses, rtol=1e-8, atol=1e-12)
        assert_allclose(found.gradient, expected.gradient, rtol=1e-6, atol=1e-8 * expected.norm)
        compared += 1
    return compared
