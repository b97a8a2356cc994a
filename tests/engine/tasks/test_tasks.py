"""What every family of tasks promises, by being registered; and what is particular to each."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from l2o_engine import tasks
from l2o_engine.optimizers.base import run
from l2o_engine.optimizers.sgd import Sgd
from l2o_engine.support.arrays import Floats
from l2o_engine.tasks.base import TASKS, Task, TaskFamily
from l2o_engine.tasks.quadratic import Quadratic

SEEDS = st.integers(0, 2**32)
DTYPES = ["float32", "float64"]
STEPS = 3


@dataclass(frozen=True)
class Averages(TaskFamily):
    """‖x - y‖² of drawn y, a matrix, that each step sees some rows of: no formula, no optimum, minibatches."""

    kind: str = "averages"

    @property
    def shape(self) -> tuple[int, ...]:
        return (2, 3)

    def draw(self, generator: np.random.Generator, n: int, batch: int, *, steps: int, dtype: str) -> Task:
        drawn = generator.random((n, batch, steps + 1, 2, 3)).astype(dtype)
        return Task(self, drawn[:, :, 0], {"half": np.full((n, batch), 0.5, dtype)}, {"y": drawn[:, :, 1:]})

    def loss(self, x: Any, parameters: Mapping[str, Any], minibatch: Mapping[str, Any] | None = None) -> Any:
        assert minibatch is not None
        return parameters["half"] * ((x - minibatch["y"]) ** 2).sum(-1).sum(-1)


FAMILIES: list[TaskFamily] = [*(cls() for cls in TASKS), Averages()]
every_family = pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.kind)


def drawn(family: TaskFamily, seed: int, n: int = 4, batch: int = 2, dtype: str = "float64") -> Task:
    return family.draw(np.random.default_rng(seed), n, batch, steps=STEPS, dtype=dtype)


def arrays_of(task: Task) -> dict[str, Floats]:
    return {"start": task.start, **task.parameters, **task.minibatches}


# The suite.


@every_family
@given(seed=SEEDS, n=st.integers(1, 6), batch=st.integers(1, 3), dtype=st.sampled_from(DTYPES))
def test_drawing_n_at_once_equals_n_draws_of_one(family: TaskFamily, seed: int, n: int, batch: int, dtype: str) -> None:
    at_once = drawn(family, seed, n, batch, dtype)
    generator = np.random.default_rng(seed)
    singly = [family.draw(generator, 1, batch, steps=STEPS, dtype=dtype) for _ in range(n)]
    joined = arrays_of(Task.joined(singly))
    for name, values in arrays_of(at_once).items():
        assert values.dtype == dtype
        np.testing.assert_array_equal(values, joined[name])


@every_family
@given(seed=SEEDS)
def test_both_dtypes_see_the_same_tasks(family: TaskFamily, seed: int) -> None:
    double = arrays_of(drawn(family, seed, dtype="float64"))
    for name, values in arrays_of(drawn(family, seed, dtype="float32")).items():
        np.testing.assert_array_equal(values, double[name].astype(np.float32))


@every_family
@given(seed=SEEDS)
def test_shapes_are_what_the_family_says(family: TaskFamily, seed: int) -> None:
    task = drawn(family, seed)
    x = task.init()
    assert x.shape == (4, 2, *family.shape)
    assert family.size == np.prod(family.shape)
    assert task.loss(x, task.minibatch(0)).shape == (4, 2)
    assert task.gradient(x, task.minibatch(0)).shape == x.shape
    optimum = task.optimum()
    assert optimum is None or optimum.shape == x.shape


@every_family
@given(seed=SEEDS)
def test_the_gradient_is_what_autograd_finds(family: TaskFamily, seed: int) -> None:
    task = drawn(family, seed)
    tensors = task.with_arrays(torch.from_numpy)
    x = tensors.init().requires_grad_()
    (expected,) = torch.autograd.grad(tensors.loss(x, tensors.minibatch(1)).sum(), x)
    np.testing.assert_allclose(task.gradient(task.init(), task.minibatch(1)), expected.numpy(), rtol=1e-12)


@every_family
@pytest.mark.parametrize("dtype", DTYPES)
def test_numpy_and_torch_give_the_same_gradient(family: TaskFamily, dtype: str) -> None:
    task = drawn(family, 5, dtype=dtype)
    tensors = task.with_arrays(torch.from_numpy)
    gradient = tensors.gradient(tensors.init(), tensors.minibatch(0))
    assert isinstance(gradient, torch.Tensor)
    np.testing.assert_array_equal(task.gradient(task.init(), task.minibatch(0)), gradient.numpy())


@every_family
@given(seed=SEEDS)
def test_nothing_is_below_the_optimum(family: TaskFamily, seed: int) -> None:
    task = drawn(family, seed)
    optimum = task.optimum()
    if optimum is not None:
        least = task.loss(optimum, task.minibatch(0))
        for step in (0.0, 1e-3, 1.0):
            assert (task.loss(task.init() * step + optimum * (1 - step), task.minibatch(0)) >= least).all()


@every_family
def test_a_slice_of_tasks_is_those_tasks(family: TaskFamily) -> None:
    task = drawn(family, 1, n=5)
    part = task[2:4]
    assert len(part) == 2
    for name, values in arrays_of(part).items():
        np.testing.assert_array_equal(values, arrays_of(task)[name][2:4])
    np.testing.assert_array_equal(task[3].start, task.start[3])


@every_family
@pytest.mark.parametrize("size", [1, 3, 10, 16])
def test_regrouped_tasks_are_the_same_in_order_and_the_last_fills_up(family: TaskFamily, size: int) -> None:
    task = drawn(family, 1, n=5, batch=2)
    for name, values in arrays_of(task.in_batches_of(size)).items():
        singles = values.reshape(-1, *values.shape[2:])
        expected = arrays_of(task)[name].reshape(10, *values.shape[2:])
        assert values.shape[1] == size
        np.testing.assert_array_equal(singles[:10], expected)
        assert all(np.array_equal(filler, expected[-1]) for filler in singles[10:])


@every_family
def test_a_family_can_be_compared_and_kept_in_a_set(family: TaskFamily) -> None:
    assert {family, type(family)()} == {family}


# The quadratic.


def test_draws_fill_their_ranges_evenly() -> None:
    task = drawn(Quadratic(dims=2, scale=(0.5, 1.5), start=(-3.0, 1.0)), 0, n=20_000, batch=1)
    for values, low, high in ((task.parameters["scale"], 0.5, 1.5), (task.start, -3.0, 1.0)):
        assert values.shape == (20_000, 1, 2)
        counts, _ = np.histogram(values, bins=10, range=(low, high))
        assert counts.sum() == values.size
        assert np.allclose(counts, values.size / 10, rtol=0.1)


def test_scale_and_start_are_independent() -> None:
    task = drawn(Quadratic(dims=3), 0, n=20_000, batch=1)
    coordinates = np.concatenate([task.start[:, 0], task.parameters["scale"][:, 0]], axis=1)
    assert np.allclose(np.corrcoef(coordinates.T), np.eye(6), atol=0.05)


def test_the_quadratic_is_the_sum_of_squares_of_scale_times_x() -> None:
    family = tasks.Quadratic(dims=2)
    x, parameters = np.array([3.0, 0.5]), {"scale": np.array([1.0, 2.0])}
    assert family.loss(x, parameters) == 10.0
    assert np.array_equal(family.gradient(x, parameters), [6.0, 4.0])


# Minibatches, and what is not known.


def test_every_base_step_has_a_minibatch_of_its_own() -> None:
    task = drawn(Averages(), 0, n=1, batch=1)
    losses = run(Sgd(0.25), task, STEPS)
    x = task.start
    for step in range(STEPS):
        y = task.minibatches["y"][:, :, step]
        np.testing.assert_allclose(losses[..., step], 0.5 * ((x - y) ** 2).sum((-1, -2)))
        x = x - 0.25 * (x - y)


def test_a_family_that_knows_neither_gradient_nor_optimum_says_so_and_is_differentiated() -> None:
    task = drawn(Averages(), 0)
    assert task.optimum() is None
    minibatch = task.minibatch(2)
    assert minibatch is not None
    np.testing.assert_allclose(task.gradient(task.start, minibatch), task.start - minibatch["y"], rtol=1e-12)


def test_a_kind_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(AttributeError, match="no task Cubic; there are Quadratic"):
        _ = tasks.Cubic
    assert "Quadratic" in dir(tasks)
