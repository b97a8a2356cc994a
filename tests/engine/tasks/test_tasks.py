"""The families of functions to minimise."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from l2o_engine.presets.schema import ProblemSettings
from l2o_engine.tasks.base import Family, Problems, make_family

SEEDS = st.integers(0, 2**32)
DTYPES = ["float32", "float64"]


def a_family(dtype: str = "float64", dims: int = 3) -> Family:
    return make_family(ProblemSettings(dims=dims), dtype)


def a_draw(family: Family, seed: int, n: int = 4, batch: int = 2) -> Problems:
    return family.draw(np.random.default_rng(seed), n, batch)


@given(SEEDS, st.integers(1, 6), st.integers(1, 3), st.integers(1, 5), st.sampled_from(DTYPES))
def test_drawing_n_at_once_equals_n_draws_of_one(seed: int, n: int, batch: int, dims: int, dtype: str) -> None:
    family = a_family(dtype, dims)
    at_once = a_draw(family, seed, n, batch)
    generator = np.random.default_rng(seed)
    singly = [family.draw(generator, 1, batch) for _ in range(n)]
    assert np.array_equal(at_once.start, np.concatenate([one.start for one in singly]))
    for name, values in at_once.parameters.items():
        assert np.array_equal(values, np.concatenate([one.parameters[name] for one in singly]))


@given(SEEDS)
def test_both_dtypes_see_the_same_problems(seed: int) -> None:
    single, double = a_draw(a_family("float32"), seed), a_draw(a_family("float64"), seed)
    assert single.start.dtype == single.parameters["scale"].dtype == np.float32
    assert np.array_equal(single.start, double.start.astype(np.float32))
    assert np.array_equal(single.parameters["scale"], double.parameters["scale"].astype(np.float32))


def test_draws_fill_their_ranges_evenly() -> None:
    family = make_family(ProblemSettings(dims=2, scale=(0.5, 1.5), start=(-3.0, 1.0)), "float64")
    problems = a_draw(family, 0, n=20_000, batch=1)
    for values, low, high in ((problems.parameters["scale"], 0.5, 1.5), (problems.start, -3.0, 1.0)):
        assert values.shape == (20_000, 1, 2)
        counts, _ = np.histogram(values, bins=10, range=(low, high))
        assert counts.sum() == values.size
        assert np.allclose(counts, values.size / 10, rtol=0.1)


def test_scale_and_start_are_independent() -> None:
    problems = a_draw(a_family(), 0, n=20_000, batch=1)
    coordinates = np.concatenate([problems.start[:, 0], problems.parameters["scale"][:, 0]], axis=1)
    assert np.allclose(np.corrcoef(coordinates.T), np.eye(6), atol=0.05)


def test_a_slice_of_problems_is_those_problems() -> None:
    problems = a_draw(a_family(), 1, n=5)
    part = problems[2:4]
    assert len(part) == 2
    assert np.array_equal(part.start, problems.start[2:4])
    assert np.array_equal(part.parameters["scale"], problems.parameters["scale"][2:4])


def test_the_quadratic_is_the_sum_of_squares_of_scale_times_x() -> None:
    family = a_family(dims=2)
    x, parameters = np.array([3.0, 0.5]), {"scale": np.array([1.0, 2.0])}
    assert family.loss(x, parameters) == 10.0
    assert np.array_equal(family.gradient(x, parameters), [6.0, 4.0])


@given(SEEDS)
def test_gradient_is_what_autograd_finds(seed: int) -> None:
    family = a_family()
    problems = a_draw(family, seed)
    x = torch.from_numpy(problems.start).requires_grad_()
    parameters = {name: torch.from_numpy(values) for name, values in problems.parameters.items()}
    (expected,) = torch.autograd.grad(family.loss(x, parameters).sum(), x)
    np.testing.assert_allclose(family.gradient(problems.start, problems.parameters), expected.numpy(), rtol=1e-13)


@pytest.mark.parametrize("dtype", DTYPES)
def test_numpy_and_torch_give_the_same_gradient(dtype: str) -> None:
    family = a_family(dtype)
    problems = a_draw(family, 5)
    parameters = {name: torch.from_numpy(values) for name, values in problems.parameters.items()}
    gradient = family.gradient(torch.from_numpy(problems.start), parameters)
    assert np.array_equal(family.gradient(problems.start, problems.parameters), gradient.numpy())
