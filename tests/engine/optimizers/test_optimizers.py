"""What every hand-designed optimizer promises, by being registered; and each one's formula."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from l2o_engine.optimizers.adam import Adam
from l2o_engine.optimizers.base import (
    OPTIMIZERS,
    HandDesigned,
    Looking,
    Optimizer,
    Surroundings,
    repeated,
    run,
    side_by_side,
)
from l2o_engine.optimizers.learned.learned_optimizer import LearnedOptimizer
from l2o_engine.optimizers.learned.networks.lstm import LSTM
from l2o_engine.optimizers.momentum import Momentum
from l2o_engine.optimizers.rmsprop import RmsProp
from l2o_engine.optimizers.sgd import Sgd
from l2o_engine.optimizers.vsgd import VSgd
from l2o_engine.presets.files import load
from l2o_engine.presets.shipped import find
from l2o_engine.support.arrays import Floats
from l2o_engine.support.settings import fields_of
from l2o_engine.tasks.base import Task, TaskFamily
from l2o_engine.tasks.distributions import Normal
from l2o_engine.tasks.mixture import Mixture
from l2o_engine.tasks.quadratic import Quadratic
from l2o_engine.tasks.rastrigin import Rastrigin
from l2o_engine.training.evaluation import Baselines

RULES: list[HandDesigned] = [
    *(cls() for cls in OPTIMIZERS),
    Momentum(nesterov=True),
    RmsProp(momentum=0.9, centred=True, name="RMSProp-centred"),
    VSgd(variant="g", name="vSGD-g"),
    VSgd(variant="b", minibatch=4, samples=3, name="vSGD-b"),
    VSgd(curvature="differences", name="vSGD-fd"),
]
every_rule = pytest.mark.parametrize("optimizer", RULES, ids=lambda one: one.name)
every_rated_rule = pytest.mark.parametrize(
    "optimizer", [one for one in RULES if hasattr(one, "learning_rate")], ids=lambda one: one.name
)
DTYPES = ["float32", "float64"]


@dataclass(frozen=True)
class Valley(TaskFamily):
    """Rosenbrock's, (1 - x)² + b·(y - x²)², from (0, 0), whose noise stands in for minibatches; points are [2, 1]."""

    noise: float = 0.0
    kind: str = "valley"

    @property
    def shape(self) -> tuple[int, ...]:
        return (2, 1)

    def draw(self, generator: np.random.Generator, n: int, batch: int, *, steps: int, dtype: str) -> Task:
        noise = (self.noise * generator.standard_normal((n, batch, steps, 2, 1))).astype(dtype)
        start, b = np.zeros((n, batch, 2, 1), dtype), np.full((n, batch), 100.0, dtype)
        return Task(self, start, {"b": b}, {"noise": noise} if self.noise else {})

    def loss(self, x: Any, parameters: Mapping[str, Any], minibatch: Mapping[str, Any] | None = None) -> Any:
        return (1 - x[..., 0, 0]) ** 2 + parameters["b"] * (x[..., 1, 0] - x[..., 0, 0] ** 2) ** 2

    def gradient(self, x: Any, parameters: Mapping[str, Any], minibatch: Mapping[str, Any] | None = None) -> Any:
        b, u, v = parameters["b"], x[..., 0, 0], x[..., 1, 0]
        slope = _stacked([-2 * (1 - u) - 4 * b * u * (v - u**2), 2 * b * (v - u**2)])
        return slope if minibatch is None else slope + minibatch["noise"]

    def hessian_product(self, x: Any, v: Any, parameters: Mapping[str, Any]) -> Any:
        b, u, w = parameters["b"], x[..., 0, 0], x[..., 1, 0]
        mixed = -4 * b * u
        first = (2 - 4 * b * (w - 3 * u**2)) * v[..., 0, 0] + mixed * v[..., 1, 0]
        return _stacked([first, mixed * v[..., 0, 0] + 2 * b * v[..., 1, 0]])


def _stacked(parts: list[Any]) -> Any:
    return (torch.stack(parts, -1) if isinstance(parts[0], torch.Tensor) else np.stack(parts, -1))[..., None]


def well_conditioned(n: int = 20, dtype: str = "float64") -> Task:
    family = Quadratic(dims=3, scale=(0.8, 1.2))
    return family.draw(np.random.default_rng(0), n, 1, steps=0, dtype=dtype)


def tasks_of(dtype: str = "float64") -> list[Task]:
    generator = np.random.default_rng(1)
    wrapped = Quadratic(dims=3, rotation="uniform", shift=Normal((0.0, 1.0)), noise=0.1, log=1e-6)
    families = [Quadratic(dims=3), Valley(noise=0.1), wrapped, Mixture(of=(wrapped, Rastrigin(dims=3)))]
    return [family.draw(generator, 4, 2, steps=6, dtype=dtype) for family in families]


def losses_of(optimizer: Optimizer, steps: int, dtype: str = "float64") -> Floats:
    return run(optimizer, well_conditioned(dtype=dtype), steps)


def updates_of(optimizer: Optimizer, task: Task, steps: int) -> list[Any]:
    """Return what an optimizer adds to x at each step."""
    x, updates = task.init(), []
    state = optimizer.init(x)
    for step in range(steps):
        gradient = task.gradient(x, task.minibatch(step))
        if isinstance(optimizer, Looking):
            state = optimizer.look(state, Surroundings(task, x, step, gradient))
        update, state = optimizer.update(gradient, state)
        updates.append(update)
        x = x + update
    return updates


# The suite.


@every_rule
@pytest.mark.parametrize("dtype", DTYPES)
def test_it_converges_on_a_well_conditioned_quadratic(optimizer: HandDesigned, dtype: str) -> None:
    swings = not isinstance(optimizer, Sgd | VSgd) and optimizer != RmsProp()
    rule: Any = optimizer
    losses = losses_of(replace(rule, learning_rate=0.03) if swings else rule, steps=400 if swings else 50, dtype=dtype)
    assert losses.dtype == dtype
    assert (losses[..., -1] < 1e-6 * losses[..., 0]).all()


@every_rule
def test_losses_are_recorded_before_their_updates(optimizer: HandDesigned) -> None:
    task = well_conditioned()
    losses = losses_of(optimizer, steps=4)
    assert losses.shape == (20, 1, 4)
    assert np.array_equal(losses[..., 0], task.loss(task.start))
    assert np.array_equal(losses[..., :3], losses_of(optimizer, steps=3))


@every_rule
def test_many_tasks_at_once_equal_each_alone(optimizer: HandDesigned) -> None:
    for task in tasks_of():
        together = run(optimizer, task, 6)
        alone = [run(optimizer, task[k : k + 1], 6) for k in range(len(task))]
        assert np.array_equal(together, np.concatenate(alone))


@every_rule
def test_any_leading_axes_give_the_same(optimizer: HandDesigned) -> None:
    for task in tasks_of():
        expected = run(optimizer, task, 6)
        flat = task.with_arrays(lambda values: values.reshape(8, *values.shape[2:]))
        assert np.array_equal(run(optimizer, flat, 6).reshape(4, 2, 6), expected)
        assert np.array_equal(run(optimizer, task[3].with_arrays(lambda values: values[1]), 6), expected[3, 1])


@every_rated_rule
@pytest.mark.parametrize("dtype", DTYPES)
def test_many_learning_rates_at_once_equal_each_alone(optimizer: Any, dtype: str) -> None:
    rules = [replace(optimizer, learning_rate=rate) for rate in (1e-4, 0.0123, 0.3, 1e9)]
    for task in tasks_of(dtype):
        together = run(side_by_side(rules, task.start), repeated(task, len(rules)), 6)
        assert together.dtype == dtype
        np.testing.assert_array_equal(together, np.stack([run(rule, task, 6) for rule in rules]))


def test_rules_that_differ_in_more_than_their_rate_are_not_put_side_by_side() -> None:
    start = np.zeros((1, 1, 2))
    for rules in ([Sgd(0.1), RmsProp(0.1)], [Adam(0.1), Adam(0.2, beta1=0.5)]):
        with pytest.raises(ValueError, match="learning rate alone"):
            side_by_side(rules, start)


@every_rule
def test_no_update_changes_what_it_was_given(optimizer: HandDesigned) -> None:
    task = well_conditioned(1)
    gradient, kept = task.gradient(task.start), task.gradient(task.start)
    state = optimizer.init(task.start)
    if isinstance(optimizer, Looking):
        around = Surroundings(task, task.start, 0, gradient)
        state = optimizer.look(state, around)
        again = optimizer.look(state, around)
        np.testing.assert_array_equal(optimizer.update(gradient, again)[0], optimizer.update(gradient, state)[0])
    first, _ = optimizer.update(gradient, state)
    second, _ = optimizer.update(gradient, state)
    assert np.array_equal(first, second)
    assert np.array_equal(gradient, kept)


def learned() -> Optimizer:
    untrained = LearnedOptimizer(LSTM(layers=1, hidden=3))
    return untrained.with_weights(untrained.initialise(np.random.default_rng(0), "float64"))


@pytest.mark.parametrize("optimizer", [*RULES, learned()], ids=lambda one: one.name)
def test_arrays_and_tensors_get_the_same_updates(optimizer: Optimizer) -> None:
    for task in tasks_of():
        tensors = task.with_arrays(torch.from_numpy)
        for ours, theirs in zip(updates_of(optimizer, task, 5), updates_of(optimizer, tensors, 5), strict=True):
            assert isinstance(ours, np.ndarray)
            assert isinstance(theirs, torch.Tensor)
            assert ours.shape == task.start.shape
            np.testing.assert_allclose(ours, theirs.detach().numpy(), rtol=1e-12)


@every_rule
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("family", [Quadratic(start=(0.0, 0.0)), Quadratic(scale=(0.0, 0.0))], ids=["there", "flat"])
def test_a_zero_gradient_leaves_x_where_it_is(optimizer: HandDesigned, family: TaskFamily, dtype: str) -> None:
    task = family.draw(np.random.default_rng(0), 3, 1, steps=0, dtype=dtype)
    with np.errstate(all="raise"):
        for update in updates_of(optimizer, task, 5):
            assert update.shape == task.start.shape
            assert not update.any()


@every_rule
def test_it_has_a_name_of_its_own_and_its_numbers_are_its_settings(optimizer: HandDesigned) -> None:
    assert [one.name for one in RULES].count(optimizer.name) == 1
    assert all(getattr(optimizer, name) == value for name, value in optimizer.small_numbers.items())


@every_rule
def test_what_tuning_tries_are_its_settings_and_valid_ones(optimizer: Any) -> None:
    for name, values in optimizer.searched.items():
        assert fields_of(type(optimizer))[name].default in values
        for value in values:
            assert getattr(replace(optimizer, **{name: value}), name) == value


# Each one's formula.


def test_sgd_steps_by_the_learning_rate_times_the_gradient() -> None:
    optimizer = Sgd(learning_rate=0.5)
    update, _ = optimizer.update(np.array([2.0, -3.0]), None)
    assert np.array_equal(update, [-1.0, 1.5])


def test_rmsprop_is_the_notebook_s_formula_to_the_bit() -> None:
    optimizer = RmsProp(learning_rate=0.1, decay=0.99, epsilon=1e-5)
    state = optimizer.init(np.zeros(1))
    s = np.zeros(1)
    for g in (2.0, -0.5, 1e-4):
        gradient = np.array([g])
        update, state = optimizer.update(gradient, state)
        s = 0.99 * s + (1 - 0.99) * gradient**2
        np.testing.assert_array_equal(update, -0.1 * gradient / (np.sqrt(s) + 1e-5))


@pytest.mark.parametrize(("rate", "decay", "momentum"), [(0.1, 0.99, 0.9), (0.02, 0.0, 0.5), (0.5, 0.7, 0.0)])
def test_rules_of_one_gradient_are_those_of_torch(rate: float, decay: float, momentum: float) -> None:
    gradients = np.random.default_rng(0).standard_normal((5, 3))
    ours_and_theirs: list[tuple[HandDesigned, Any, dict[str, Any]]] = [
        (Sgd(rate), torch.optim.SGD, {}),
        (Momentum(rate, momentum), torch.optim.SGD, {"momentum": momentum}),
        (
            RmsProp(rate, decay, 1e-5, momentum),
            torch.optim.RMSprop,
            {"alpha": decay, "eps": 1e-5, "momentum": momentum},
        ),
        (
            RmsProp(rate, 0.5, 1e-5, momentum, centred=True),
            torch.optim.RMSprop,
            {"alpha": 0.5, "eps": 1e-5, "momentum": momentum, "centered": True},
        ),
        (Adam(rate, momentum, decay), torch.optim.Adam, {"betas": (momentum, decay)}),
    ]
    for ours, cls, settings in ours_and_theirs:
        x = np.array([1.0, -2.0, 0.5])
        theirs = torch.nn.Parameter(torch.from_numpy(x.copy()))
        optimizer, state = cls([theirs], lr=rate, **settings), ours.init(x)
        for gradient in gradients:
            theirs.grad = torch.from_numpy(gradient)
            optimizer.step()
            update, state = ours.update(gradient, state)
            x = x + update
        np.testing.assert_allclose(x, theirs.detach().numpy(), rtol=1e-9, atol=1e-9)


def test_nesterov_s_gradient_is_that_of_where_the_velocity_leads() -> None:
    optimizer, task = Momentum(0.05, 0.9, nesterov=True), well_conditioned()
    x, v = task.start, np.zeros_like(task.start)
    for update in updates_of(optimizer, task, 5):
        v = 0.9 * v - 0.05 * task.gradient(x + 0.9 * v)
        np.testing.assert_array_equal(update, v)
        x = x + v


def test_nesterov_has_a_name_of_its_own_unless_it_is_given_another() -> None:
    assert Momentum(nesterov=True).name == "Nesterov"
    assert Momentum(nesterov=True, name="NAG").name == "NAG"
    assert Momentum().name == "Momentum"


@pytest.mark.parametrize("optimizer", [Momentum(nesterov=True), VSgd()], ids=lambda one: one.name)
def test_who_must_look_and_has_not_says_so(optimizer: HandDesigned) -> None:
    with pytest.raises(ValueError, match="give it a look"):
        optimizer.update(np.ones(2), optimizer.init(np.ones(2)))


# vSGD: the case that rlowrance/vsgd computed by hand, f = 0.5·x² + 2.5·y² from (1, 1).


def by_hand(start: tuple[float, float] = (1.0, 1.0)) -> Task:
    scale = np.sqrt([[0.5, 2.5]])  # of Σ (scale·x)²
    return Task(Quadratic(), np.array([start]), {"scale": scale})


def test_vsgd_s_first_step_is_the_one_computed_by_hand() -> None:
    optimizer, task = VSgd(samples=2, slow_start=10.0), by_hand()
    gradient = task.gradient(task.start)
    state = optimizer.look(None, Surroundings(task, task.start, 0, gradient))
    update, state = optimizer.update(gradient, state)
    np.testing.assert_allclose(state.mean, [[1.0, 5.0]])
    np.testing.assert_allclose(state.square, [[5.5, 137.5]])
    np.testing.assert_allclose(state.curvature, [[5.5, 27.5]])
    np.testing.assert_allclose(-update / gradient, [[1 / 5.5**2, 1 / 5.5 / 27.5]])
    np.testing.assert_allclose(state.memory, [[(1 - 1 / 5.5) * 2 + 1] * 2])
    np.testing.assert_allclose(task.start + update, [[1 - 1 / 5.5**2] * 2])


@pytest.mark.parametrize(("start", "steps", "end"), [((1.0, 1.0), 50, 5.8e-4), ((100.0, -100.0), 200, 3.7e-3)])
def test_vsgd_gets_as_far_as_the_reference(start: tuple[float, float], steps: int, end: float) -> None:
    task = by_hand(start)
    x = task.start + sum(updates_of(VSgd(samples=2, slow_start=2.0), task, steps))
    assert np.abs(x).max() == pytest.approx(end, rel=0.05)


def mean_end(optimizer: HandDesigned, scale: float = 1.0) -> float:
    family = Quadratic(scale=(0.5 * scale, 1.5 * scale))
    losses = run(optimizer, family.draw(np.random.default_rng(0), 2000, 1, steps=0, dtype="float64"), 20)
    return float(np.log10(losses[..., -1] / scale**2 + 1e-38).mean())


@pytest.mark.parametrize("curvature", ["exact", "differences"])
def test_vsgd_on_the_notebook_s_problem(curvature: Any) -> None:
    newton = VSgd(samples=1, slow_start=1.0, curvature=curvature)
    (first,) = updates_of(newton, well_conditioned(), 1)
    np.testing.assert_allclose(well_conditioned().start + first, 0, atol=1e-15)
    for scale in (1.0, 1e-4, 1e4):
        assert mean_end(VSgd(samples=2, slow_start=2.0, curvature=curvature), scale) == pytest.approx(-5.16, abs=0.05)
        assert mean_end(VSgd(samples=2, slow_start=10.0, curvature=curvature), scale) == pytest.approx(-4.32, abs=0.05)


def test_vsgd_that_is_newton_stays_where_it_arrives() -> None:
    losses = losses_of(VSgd(samples=1, slow_start=1.0), 30)
    assert (losses[..., 1] < 1e-30).all()
    assert (losses[..., 2:] <= losses[..., 1:-1]).all()


def test_vsgd_explodes_in_rosenbrock_s_valley() -> None:
    task = Valley().draw(np.random.default_rng(0), 1, 1, steps=0, dtype="float64")
    losses = run(VSgd(samples=1, slow_start=20.0), task, 26)
    assert losses[0, 0, -1] == pytest.approx(6e5, rel=0.2)


def test_vsgd_s_one_rate_for_a_task_is_by_its_greatest_curvature() -> None:
    optimizer, task = VSgd(variant="g", samples=2, slow_start=10.0), by_hand()
    (update,) = updates_of(optimizer, task, 1)
    rate = (1 + 25) / ((5.5 + 137.5) * 27.5)
    np.testing.assert_allclose(update, [[-rate, -5 * rate]])
    np.testing.assert_array_equal(update, updates_of(replace(optimizer, variant="b"), task, 1)[0])


def test_vsgd_s_minibatch_makes_it_trust_a_mean_of_more() -> None:
    task = by_hand()
    (one,), (hundred,) = (updates_of(VSgd(slow_start=10.0, minibatch=n), task, 1) for n in (1, 100))
    ratio = 1 / (5.5 / 100 + 99 / 100)
    np.testing.assert_allclose(hundred / one, ratio * 5.5)


def test_vsgd_begins_with_the_gradients_of_the_first_minibatches() -> None:
    optimizer = VSgd(samples=3, slow_start=2.0)
    task = Valley(noise=0.5).draw(np.random.default_rng(2), 1, 1, steps=4, dtype="float64")
    gradients = np.stack([task.gradient(task.start, task.minibatch(step)) for step in range(3)])
    gradient = gradients[0]
    state = optimizer.look(None, Surroundings(task, task.start, 0, gradient))
    np.testing.assert_allclose(state.mean, gradients.mean(0))
    np.testing.assert_allclose(state.square, 2 * (gradients**2).mean(0))
    np.testing.assert_allclose(state.curvature[0, 0, :, 0], [4.0, 400.0])
    np.testing.assert_array_equal(state.memory, np.full_like(state.memory, 3))


def test_where_no_curvature_is_known_vsgd_takes_differences() -> None:
    large = Quadratic(dims=101).draw(np.random.default_rng(0), 2, 1, steps=0, dtype="float64")
    assert Surroundings(large, large.start, 0, large.start).curvature() is None
    np.testing.assert_array_equal(run(VSgd(), large, 4), run(VSgd(curvature="differences"), large, 4))


def test_the_curvature_is_the_diagonal_of_the_hessian() -> None:
    task = Valley().draw(np.random.default_rng(0), 1, 1, steps=0, dtype="float64")
    x = np.array([[[[0.5], [-0.25]]]])
    seen = Surroundings(task, x, 0, x).curvature()
    assert seen is not None
    np.testing.assert_allclose(seen, [[[[2 - 400 * (-0.25 - 0.75)], [200.0]]]])


@given(seed=st.integers(0, 2**32))
def test_the_curvature_of_a_rotated_bowl_is_the_diagonal_of_q_transposed_times_its_scales_times_q(seed: int) -> None:
    task = Quadratic(dims=4, rotation="uniform").draw(np.random.default_rng(seed), 2, 3, steps=0, dtype="float64")
    q, scale = task.parameters["rotation"], task.parameters["scale"]
    hessian = np.einsum("...ki,...k,...kj->...ij", q, 2 * scale**2, q)
    seen = Surroundings(task, task.start, 0, task.start).curvature()
    assert seen is not None
    np.testing.assert_allclose(seen, np.diagonal(hessian, axis1=-2, axis2=-1), rtol=1e-12)


# The notebook's.


def test_a_diverging_baseline_shows_as_infinite_losses() -> None:
    losses = losses_of(Sgd(learning_rate=1e10), 20, dtype="float32")
    assert np.isfinite(losses[..., 0]).all()
    assert not np.isfinite(losses[..., -1]).any()


def test_the_baselines_reach_the_levels_of_the_notebook() -> None:
    levels = Baselines(load(find("baselines")).experiment, seed=0).levels
    assert levels["SGD"] == pytest.approx(-3.70, abs=0.2)
    assert levels["RMSProp"] == pytest.approx(-18.17, abs=0.5)
