"""The hand-designed optimizers."""

from typing import get_args

import numpy as np
import pytest

from l2o_engine.optimizers.base import Optimizer, make_optimizer, run_optimizer
from l2o_engine.presets import schema as presets
from l2o_engine.presets.schema import BaselineSettings, ProblemSettings, RmsPropBaseline, SgdBaseline
from l2o_engine.support.arrays import Floats
from l2o_engine.tasks.base import Problems, make_family
from l2o_engine.training.trainer import Baselines

SETTINGS: list[BaselineSettings] = [
    SgdBaseline(kind="sgd", name="SGD"),
    RmsPropBaseline(kind="rmsprop", name="RMSProp"),
]


def well_conditioned(n: int = 20, dtype: str = "float64") -> tuple[presets.ProblemSettings, Problems]:
    settings = ProblemSettings(dims=3, scale=(0.8, 1.2))
    return settings, make_family(settings, dtype).draw(np.random.default_rng(0), n, 1)


def losses_of(optimizer: Optimizer, steps: int, n: int = 20, dtype: str = "float64") -> Floats:
    settings, problems = well_conditioned(n, dtype)
    return run_optimizer(optimizer, make_family(settings, dtype), problems, steps)


def test_the_convergence_test_covers_every_optimizer() -> None:
    assert {type(settings) for settings in SETTINGS} == set(get_args(get_args(BaselineSettings)[0]))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: settings.name)
def test_it_converges_on_a_well_conditioned_quadratic(settings: BaselineSettings, dtype: str) -> None:
    losses = losses_of(make_optimizer(settings), steps=50, dtype=dtype)
    assert losses.dtype == dtype
    assert (losses[..., -1] < 1e-6 * losses[..., 0]).all()


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: settings.name)
def test_losses_are_recorded_before_their_updates(settings: BaselineSettings) -> None:
    table, problems = well_conditioned()
    family = make_family(table, "float64")
    losses = losses_of(make_optimizer(settings), steps=4)
    assert losses.shape == (20, 1, 4)
    assert np.array_equal(losses[..., 0], family.loss(problems.start, problems.parameters))
    assert np.array_equal(losses[..., :3], losses_of(make_optimizer(settings), steps=3))


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: settings.name)
def test_many_problems_at_once_equal_each_alone(settings: BaselineSettings) -> None:
    table, problems = well_conditioned()
    family, optimizer = make_family(table, "float64"), make_optimizer(settings)
    together = run_optimizer(optimizer, family, problems, 6)
    alone = [run_optimizer(optimizer, family, problems[k : k + 1], 6) for k in range(len(problems))]
    assert np.array_equal(together, np.concatenate(alone))


def test_sgd_steps_by_the_learning_rate_times_the_gradient() -> None:
    optimizer = make_optimizer(SgdBaseline(kind="sgd", name="SGD", learning_rate=0.5))
    update, _ = optimizer.update(np.array([2.0, -3.0]), optimizer.init(np.zeros(2)))
    assert np.array_equal(update, [-1.0, 1.5])


def test_rmsprop_is_the_notebook_s_formula() -> None:
    optimizer = make_optimizer(RmsPropBaseline(kind="rmsprop", name="R", learning_rate=0.1, decay=0.99, epsilon=1e-5))
    state = optimizer.init(np.zeros(1))
    expected_s = 0.0
    for g in (2.0, -0.5, 1e-4):
        update, state = optimizer.update(np.array([g]), state)
        expected_s = 0.99 * expected_s + 0.01 * g**2
        np.testing.assert_allclose(update, [-0.1 * g / (expected_s**0.5 + 1e-5)], rtol=1e-12)


def test_a_diverging_baseline_shows_as_infinite_losses() -> None:
    losses = losses_of(make_optimizer(SgdBaseline(kind="sgd", name="SGD", learning_rate=1e10)), 20, dtype="float32")
    assert np.isfinite(losses[..., 0]).all()
    assert not np.isfinite(losses[..., -1]).any()


def test_the_baselines_reach_the_levels_of_the_notebook() -> None:
    levels = Baselines(presets.load(presets.find("baselines")), seed=0).levels
    assert levels["SGD"] == pytest.approx(-3.70, abs=0.2)
    assert levels["RMSProp"] == pytest.approx(-18.17, abs=0.5)
