"""What every hand-designed optimizer promises, by being registered; and each one's formula."""

import numpy as np
import pytest
import torch

from l2o_engine.optimizers.base import OPTIMIZERS, HandDesigned, Optimizer, run
from l2o_engine.optimizers.learned.learned_optimizer import LearnedOptimizer
from l2o_engine.optimizers.learned.networks.lstm import LSTM
from l2o_engine.optimizers.rmsprop import RmsProp
from l2o_engine.optimizers.sgd import Sgd
from l2o_engine.presets.files import load
from l2o_engine.presets.shipped import find
from l2o_engine.support.arrays import Floats
from l2o_engine.tasks.base import Task
from l2o_engine.tasks.quadratic import Quadratic
from l2o_engine.training.evaluation import Baselines

every_optimizer = pytest.mark.parametrize("optimizer", [cls() for cls in OPTIMIZERS], ids=lambda one: one.kind)


def well_conditioned(n: int = 20, dtype: str = "float64") -> Task:
    family = Quadratic(dims=3, scale=(0.8, 1.2))
    return family.draw(np.random.default_rng(0), n, 1, steps=0, dtype=dtype)


def losses_of(optimizer: Optimizer, steps: int, dtype: str = "float64") -> Floats:
    return run(optimizer, well_conditioned(dtype=dtype), steps)


# The suite.


@every_optimizer
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_converges_on_a_well_conditioned_quadratic(optimizer: HandDesigned, dtype: str) -> None:
    losses = losses_of(optimizer, steps=50, dtype=dtype)
    assert losses.dtype == dtype
    assert (losses[..., -1] < 1e-6 * losses[..., 0]).all()


@every_optimizer
def test_losses_are_recorded_before_their_updates(optimizer: HandDesigned) -> None:
    task = well_conditioned()
    losses = losses_of(optimizer, steps=4)
    assert losses.shape == (20, 1, 4)
    assert np.array_equal(losses[..., 0], task.loss(task.start))
    assert np.array_equal(losses[..., :3], losses_of(optimizer, steps=3))


@every_optimizer
def test_many_tasks_at_once_equal_each_alone(optimizer: HandDesigned) -> None:
    task = well_conditioned()
    together = run(optimizer, task, 6)
    alone = [run(optimizer, task[k : k + 1], 6) for k in range(len(task))]
    assert np.array_equal(together, np.concatenate(alone))


@every_optimizer
def test_no_update_changes_what_it_was_given(optimizer: HandDesigned) -> None:
    gradient = np.array([1.0, -2.0])
    state = optimizer.init(gradient)
    first, _ = optimizer.update(gradient, state)
    again, _ = optimizer.update(gradient, state)
    assert np.array_equal(first, again)
    assert gradient.tolist() == [1.0, -2.0]


def learned() -> Optimizer:
    untrained = LearnedOptimizer(LSTM(layers=1, hidden=3))
    return untrained.with_weights(untrained.initialise(np.random.default_rng(0), "float64"))


@pytest.mark.parametrize("optimizer", [*(cls() for cls in OPTIMIZERS), learned()], ids=lambda one: one.name)
def test_arrays_and_tensors_get_the_same_updates(optimizer: Optimizer) -> None:
    x = np.array([[1.0, -2.0, 0.5]])
    state, tensor_state = optimizer.init(x), optimizer.init(torch.from_numpy(x))
    for gradient in (x, 0.3 * x, -x):
        update, state = optimizer.update(gradient, state)
        tensor_update, tensor_state = optimizer.update(torch.from_numpy(gradient), tensor_state)
        assert isinstance(update, np.ndarray)
        assert isinstance(tensor_update, torch.Tensor)
        assert update.shape == x.shape
        np.testing.assert_allclose(update, tensor_update.detach().numpy(), rtol=1e-14)


@every_optimizer
def test_it_has_a_name_of_its_own_and_its_numbers_are_its_settings(optimizer: HandDesigned) -> None:
    assert [cls().name for cls in OPTIMIZERS].count(optimizer.name) == 1
    assert all(getattr(optimizer, name) == value for name, value in optimizer.small_numbers.items())


# Each one's formula.


def test_sgd_steps_by_the_learning_rate_times_the_gradient() -> None:
    optimizer = Sgd(learning_rate=0.5)
    update, _ = optimizer.update(np.array([2.0, -3.0]), None)
    assert np.array_equal(update, [-1.0, 1.5])


def test_rmsprop_is_the_notebook_s_formula() -> None:
    optimizer = RmsProp(learning_rate=0.1, decay=0.99, epsilon=1e-5)
    state = optimizer.init(np.zeros(1))
    expected_s = 0.0
    for g in (2.0, -0.5, 1e-4):
        update, state = optimizer.update(np.array([g]), state)
        expected_s = 0.99 * expected_s + 0.01 * g**2
        np.testing.assert_allclose(update, [-0.1 * g / (expected_s**0.5 + 1e-5)], rtol=1e-12)


def test_a_diverging_baseline_shows_as_infinite_losses() -> None:
    losses = losses_of(Sgd(learning_rate=1e10), 20, dtype="float32")
    assert np.isfinite(losses[..., 0]).all()
    assert not np.isfinite(losses[..., -1]).any()


def test_the_baselines_reach_the_levels_of_the_notebook() -> None:
    levels = Baselines(load(find("baselines")).experiment, seed=0).levels
    assert levels["SGD"] == pytest.approx(-3.70, abs=0.2)
    assert levels["RMSProp"] == pytest.approx(-18.17, abs=0.5)
