"""What every family of tasks promises, by being registered; and what is particular to each."""

from dataclasses import replace
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
from l2o_engine.tasks.distributions import Constant, Distribution, LogUniform, Normal, Uniform, standard_normal
from l2o_engine.tasks.formula import Formula, Parameter
from l2o_engine.tasks.joined import Augmentation, Ensemble, Scaled
from l2o_engine.tasks.lasso import Lasso
from l2o_engine.tasks.least_squares import LeastSquares
from l2o_engine.tasks.mixture import Mixture
from l2o_engine.tasks.network import Network
from l2o_engine.tasks.python import Custom, Python
from l2o_engine.tasks.quadratic import Quadratic
from l2o_engine.tasks.rastrigin import Rastrigin
from l2o_engine.tasks.small import SmallTask, rotation_of
from tests.engine.averages import Averages
from tests.engine.tasks.own import Regression

SEEDS = st.integers(0, 2**32)
DTYPES = ["float32", "float64"]
STEPS = 3


MIXTURE = Mixture(
    of=(Quadratic(rotation="uniform"), Rastrigin(noise=0.1, shift=Constant(1.0)), Lasso(dims=1, problems=2)),
    weights=(1.0, 2.0, 1.0),
)
WRAPPED = (
    Quadratic(dims=3, rotation="uniform", shift=Uniform((-1.0, 1.0)), noise=0.1, log=1e-3),
    LeastSquares(dims=3, rows=4, problems=2, log=0.1),
    Rastrigin(rotation="uniform"),
)
FORMULA = Formula(
    loss="w[0]*sqrt(1 + x[0]**2) - exp(-b*x[1]**2) + abs(x[0]*x[1])",
    parameters={"b": Parameter(LogUniform((0.1, 1.0))), "w": Parameter(Uniform((1.0, 2.0)), length=1)},
    optimum=0.0,
)
MADE_OF_OTHERS = (Ensemble, Mixture)
PLAIN = [
    *(cls() for cls in TASKS if cls not in (Formula, Network, Python, *MADE_OF_OTHERS)),
    Formula(function="rosenbrock"),
    FORMULA,
]
NETWORK = Network(sizes=(3,), batch=4)
ENSEMBLE = Ensemble(of=(Quadratic(noise=0.1), Lasso(dims=3)), weights=(1.0, 2.0))
SCALED = Scaled(Quadratic(noise=0.1, log=0.1), 3.0)
JOINED = (
    ENSEMBLE,
    SCALED,
    Augmentation(scaling=1.0, companion=2).of(Averages()),
)
CUSTOM = (Custom(Regression()), Custom(Regression(vectorises=False)))
FAMILIES: list[TaskFamily] = [*PLAIN, *WRAPPED, NETWORK, MIXTURE, Averages(), *JOINED, *CUSTOM]
# Their gradients are no sums, which NumPy and torch take in another order, and in which large terms cancel.
UNSUMMED = (Quadratic(), Averages())
SMALL = [*(family for family in FAMILIES if isinstance(family, SmallTask | Mixture)), ENSEMBLE, SCALED]
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
        assert values.dtype == (np.int64 if name.endswith("index") else dtype)
        np.testing.assert_array_equal(values, joined[name])


@every_family
@given(seed=SEEDS)
def test_both_dtypes_see_the_same_tasks(family: TaskFamily, seed: int) -> None:
    double = arrays_of(drawn(family, seed, dtype="float64"))
    for name, values in arrays_of(drawn(family, seed, dtype="float32")).items():
        rounded = double[name] if name.endswith("index") else double[name].astype(np.float32)
        np.testing.assert_array_equal(values, rounded)


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
    noise = tensors.disturbance(tensors.minibatch(1))
    expected = expected if noise is None else expected + noise
    found = task.gradient(task.init(), task.minibatch(1))
    cancelled = 0.0 if family in UNSUMMED else 1e-12 * float(expected.abs().max())
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-12, atol=cancelled)


@every_family
@pytest.mark.parametrize("of", ["arrays", "tensors"])
def test_loss_and_gradient_together_are_both_alone(family: TaskFamily, of: str) -> None:
    task = drawn(family, 7)
    task = task if of == "arrays" else task.with_arrays(torch.from_numpy)
    x, minibatch = task.init(), task.minibatch(1)
    loss, gradient = task.loss_and_gradient(x, minibatch)
    np.testing.assert_allclose(loss, task.loss(x, minibatch), rtol=1e-13)
    np.testing.assert_array_equal(gradient, task.gradient(x, minibatch))


@pytest.mark.parametrize("family", SMALL, ids=lambda family: family.kind)
@given(seed=SEEDS)
def test_the_hessian_s_product_is_what_autograd_finds(family: TaskFamily, seed: int) -> None:
    task = drawn(family, seed)
    tensors = task.with_arrays(torch.from_numpy)
    x, v = tensors.init().clone().requires_grad_(), torch.randn(tensors.start.shape, dtype=torch.float64)
    (gradient,) = torch.autograd.grad(tensors.loss(x, tensors.minibatch(0)).sum(), x, create_graph=True)
    (expected,) = torch.autograd.grad((gradient * v).sum(), x)
    found: Any = family.hessian_product(task.start, v.numpy(), task.parameters)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-9, atol=1e-11 * float(expected.abs().max()))
    of_tensors: Any = family.hessian_product(tensors.start, v, tensors.parameters)
    np.testing.assert_allclose(found, of_tensors.numpy(), rtol=1e-9, atol=1e-11 * float(expected.abs().max()))


@pytest.mark.parametrize("family", SMALL, ids=lambda family: family.kind)
def test_points_may_have_more_leading_axes_than_parameters(family: TaskFamily) -> None:
    task = drawn(family, 3)
    several = np.stack([task.start, 2 * task.start, -task.start])
    minibatch = task.minibatch(0)
    for k in range(3):
        np.testing.assert_allclose(task.loss(several)[k], task.loss(several[k]), rtol=1e-12)
        at_once, alone = task.gradient(several, minibatch)[k], task.gradient(several[k], minibatch)
        np.testing.assert_allclose(at_once, alone, rtol=1e-12, atol=1e-12)


@every_family
@pytest.mark.parametrize("dtype", DTYPES)
def test_numpy_and_torch_give_the_same_gradient(family: TaskFamily, dtype: str) -> None:
    task = drawn(family, 5, dtype=dtype)
    tensors = task.with_arrays(torch.from_numpy)
    gradient = tensors.gradient(tensors.init(), tensors.minibatch(0))
    assert isinstance(gradient, torch.Tensor)
    found = task.gradient(task.init(), task.minibatch(0))
    few = 0.0 if family in UNSUMMED else 16 * float(np.finfo(dtype).eps)  # units of the last place
    np.testing.assert_allclose(found, gradient.numpy(), rtol=few, atol=few * float(np.abs(found).max()))


@every_family
@given(seed=SEEDS)
def test_nothing_is_below_the_optimum(family: TaskFamily, seed: int) -> None:
    task = drawn(family, seed)
    optimum = task.optimum()
    if optimum is not None:
        least = task.loss(optimum, task.minibatch(0)) - (0.0 if family in UNSUMMED else 1e-12)
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
    assert {family, replace(family)} == {family}  # type: ignore[type-var] # every family is a dataclass


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


# Wrappers.


def test_rotations_are_rotations_and_uniform() -> None:
    rotations = rotation_of(np.random.default_rng(0).standard_normal((20_000, 3, 3)))
    np.testing.assert_allclose(
        rotations @ rotations.swapaxes(-1, -2), np.broadcast_to(np.eye(3), rotations.shape), atol=1e-12
    )
    np.testing.assert_allclose(np.linalg.det(rotations), 1, atol=1e-12)
    # Each entry of a uniform rotation of three dimensions has mean 0 and variance 1/3.
    np.testing.assert_allclose(rotations.mean(axis=0), 0, atol=0.02)
    np.testing.assert_allclose((rotations**2).mean(axis=0), 1 / 3, atol=0.01)
    assert np.array_equal(rotation_of(np.array([[-2.0]])), [[1.0]])


@pytest.mark.parametrize("family", [Quadratic, LeastSquares, Lasso, Rastrigin, tasks.Rosenbrock])
def test_rotated_is_short_for_a_uniform_rotation(family: Any) -> None:
    assert family(rotated=True) == family(rotation="uniform") != family()
    assert family(rotated=False, rotation="uniform") == family()
    assert replace(family(rotated=True), noise=0.5).rotation == "uniform"
    assert replace(family(rotated=True), rotation="none") == family()
    with pytest.raises(ValueError, match="rotated"):
        family(rotated=1)


def test_a_rotated_quadratic_is_the_norm_of_scale_times_the_rotated_point() -> None:
    task = drawn(Quadratic(dims=3, rotation="uniform"), 1)
    matrix = task.parameters["scale"][..., None] * task.parameters["rotation"]
    expected = (np.einsum("...ij,...j->...i", matrix, task.start) ** 2).sum(-1)
    np.testing.assert_allclose(task.loss(task.start), expected, rtol=1e-12)


def test_a_wrapped_task_draws_the_bare_one_s_numbers_first() -> None:
    bare, wrapped = drawn(Quadratic(dims=3), 5, n=1, batch=1), drawn(WRAPPED[0], 5, n=1, batch=1)
    np.testing.assert_array_equal(wrapped.start, bare.start)
    np.testing.assert_array_equal(wrapped.parameters["scale"], bare.parameters["scale"])


def test_noise_is_in_the_gradient_that_is_seen_and_in_no_loss() -> None:
    quiet, noisy = drawn(Quadratic(), 2, n=1, batch=1), drawn(Quadratic(noise=0.5), 2, n=1, batch=1)
    assert np.array_equal(noisy.loss(noisy.start, noisy.minibatch(0)), quiet.loss(quiet.start))
    off = noisy.gradient(noisy.start, noisy.minibatch(1)) - quiet.gradient(quiet.start)
    np.testing.assert_allclose(off, noisy.minibatches["noise"][:, :, 1])
    many = drawn(Quadratic(noise=0.5), 2, n=20_000)
    assert many.minibatches["noise"].std() == pytest.approx(0.5, rel=0.01)
    assert np.corrcoef(many.minibatches["noise"].reshape(-1, 2 * STEPS).T) == pytest.approx(np.eye(2 * STEPS), abs=0.03)


@pytest.mark.parametrize(
    ("distribution", "quantiles"),
    [
        (Constant(2.0), [2.0, 2.0, 2.0]),
        (Uniform((-1.0, 3.0)), [0.0, 1.0, 2.0]),
        (Normal((1.0, 2.0)), [1 - 2 * 0.67448975, 1.0, 1 + 2 * 0.67448975]),
        (LogUniform((1.0, 10_000.0)), [10.0, 100.0, 1000.0]),
    ],
)
def test_a_distribution_has_its_quartiles(distribution: Distribution, quantiles: list[float]) -> None:
    np.testing.assert_allclose(distribution.of(np.array([0.25, 0.5, 0.75])), quantiles, rtol=1e-6)


@given(uniform=st.floats(0, 1, exclude_max=True))
def test_the_normal_s_quantiles_are_pytorch_s(uniform: float) -> None:
    probability = np.clip(np.array([uniform]), 2.0**-54, 1 - 2.0**-54)
    expected = torch.special.ndtri(torch.from_numpy(probability)).numpy()
    np.testing.assert_allclose(standard_normal(np.array([uniform])), expected, rtol=1e-13, atol=1e-15)


# Residuals and mixtures.


def test_the_mean_over_problems_is_in_the_gradient() -> None:
    """DeepMind's form: what each problem's coordinates see is divided by the number of problems."""
    task = drawn(LeastSquares(dims=2, problems=8), 0, n=1, batch=1)
    matrix, target, x = task.parameters["matrix"][0, 0], task.parameters["target"][0, 0], task.start.reshape(8, 2)
    missed = np.einsum("prd,pd->pr", matrix, x) - target
    assert task.loss(task.start)[0, 0] == pytest.approx((missed**2).sum() / 8)
    expected = 2 * np.einsum("prd,pr->pd", matrix, missed) / 8
    np.testing.assert_allclose(task.gradient(task.start).reshape(8, 2), expected, rtol=1e-12)


def test_lasso_and_rastrigin_are_open_l2o_s() -> None:
    lasso, rastrigin = drawn(Lasso(dims=2), 0, n=1, batch=1), drawn(Rastrigin(), 0, n=1, batch=1)
    w, y, x = lasso.parameters["matrix"][0, 0, 0], lasso.parameters["target"][0, 0, 0], lasso.start[0, 0]
    assert lasso.loss(lasso.start)[0, 0] == pytest.approx(0.5 * ((w @ x - y) ** 2).sum() + 0.005 * abs(x).sum())
    (a, b, c), x = ([values[0, 0, 0] for values in rastrigin.parameters.values()]), rastrigin.start[0, 0]
    expected = 0.5 * ((a @ x - b) ** 2).sum() - 10 * (c @ np.cos(2 * np.pi * x)) + 10 * 2
    assert rastrigin.loss(rastrigin.start)[0, 0] == pytest.approx(expected)


def test_a_mixture_draws_its_families_by_weight_and_as_they_would_alone() -> None:
    task = drawn(MIXTURE, 0, n=8_000)
    member = task.parameters["member"]
    assert (member[:, 0] == member[:, 1]).all()
    np.testing.assert_allclose(np.bincount(member[:, 0].astype(int)) / 8_000, [0.25, 0.5, 0.25], atol=0.02)
    rotated = np.nonzero(member[:, 0] == 0)[0][0]
    own = {"scale": task.parameters["numbers"][rotated, :, :2]}
    own["rotation"] = task.parameters["numbers"][rotated, :, 2:6].reshape(2, 2, 2)
    expected = MIXTURE.families[0].loss(task.start[rotated], own)
    np.testing.assert_array_equal(task[rotated].loss(task.start[rotated]), expected)
    assert (task.minibatches["noise"][member[:, 0] != 1] == 0).all()
    assert (task.minibatches["noise"][member[:, 0] == 1] != 0).all()


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
    with pytest.raises(AttributeError, match=r"no task Cubic; there are .*, Quadratic"):
        TASKS.named("Cubic")
    assert not hasattr(tasks, "Cubic")
    assert "Quadratic" in dir(tasks)
