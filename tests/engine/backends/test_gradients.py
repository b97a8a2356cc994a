"""Perceptrons' losses and gradients by the kernel, against torch."""

import numpy as np
import pytest
import torch

from l2o_engine.backends.compiled.compile import get_kernel
from l2o_engine.backends.coordinatewise.gradients import Gradients
from l2o_engine.backends.coordinatewise.spec import RowsSpec
from l2o_engine.tasks.base import Task
from l2o_engine.tasks.data import DataSet, Part
from l2o_engine.tasks.network import Network, network
from l2o_engine.tasks.network.architectures import Activation

pytestmark = pytest.mark.timeout(600)  # the first time, the kernel is compiled

BOUNDS = {"float32": 1e-5, "float64": 1e-13}


@pytest.fixture(autouse=True)
def images(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have fifty images that nobody has drawn."""
    draw(monkeypatch, side=8)


def draw(monkeypatch: pytest.MonkeyPatch, side: int) -> None:
    generator = np.random.default_rng(0)
    pixels, labels = generator.integers(0, 17, (50, side**2)), generator.integers(0, 10, 50)
    part = Part(pixels.astype(np.uint8), labels.astype(np.uint8))
    monkeypatch.setattr(network, "load", lambda name, pool: DataSet(name, (1, side, side), 16, part, part, {}))


def drawn(family: Network, dtype: str, batch: int = 2) -> tuple[Task, torch.Tensor]:
    """Return tasks with weights that a network might have."""
    generator = np.random.default_rng(family.batch)
    task = family.draw(generator, 1, batch, steps=2, dtype=dtype)[0].with_arrays(torch.from_numpy)
    return task, torch.from_numpy(generator.normal(0, 0.3, (batch, family.size)).astype(dtype))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_they_are_those_of_torch_whatever_the_layers_and_the_minibatch(dtype: str) -> None:
    gradients = Gradients(get_kernel(RowsSpec(dtype)), dtype)
    cases: list[tuple[tuple[int, ...], Activation, int]] = [
        ((20,), "sigmoid", 128),
        ((7, 5), "relu", 37),
        ((9, 3, 16), "tanh", 32),
        ((4,), "elu", 1),
        ((), "sigmoid", 50),
        ((20,), "sigmoid", 128),  # in memory that another network has used
    ]
    for sizes, activation, batch in cases:
        task, x = drawn(Network(sizes=sizes, activation=activation, batch=batch), dtype)
        losses, slopes, seen = gradients.of(task, x, 1)
        expected_losses, expected = task.loss_and_gradient(x, task.minibatch(1))
        assert losses.dtype == slopes.dtype == x.dtype
        assert seen is slopes
        assert float((losses - expected_losses).abs().max()) < BOUNDS[dtype] * float(expected_losses.max())
        assert float((slopes - expected).abs().max()) < BOUNDS[dtype] * float(expected.abs().max())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_pixels_may_be_as_many_as_no_vector_holds(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    draw(monkeypatch, side=7)
    task, x = drawn(Network(sizes=(5,), batch=37, data="fashion-mnist", pool=4), dtype)
    losses, slopes, _ = Gradients(get_kernel(RowsSpec(dtype)), dtype).of(task, x, 0)
    expected_losses, expected = task.loss_and_gradient(x, task.minibatch(0))
    assert float((losses - expected_losses).abs().max()) < BOUNDS[dtype] * float(expected_losses.max())
    assert float((slopes - expected).abs().max()) < BOUNDS[dtype] * float(expected.abs().max())


@pytest.mark.parametrize("activation", ["sigmoid", "relu", "tanh", "elu"])
def test_of_weights_that_are_no_numbers_the_loss_is_none_and_the_other_network_s_is_as_it_was(
    activation: Activation,
) -> None:
    gradients = Gradients(get_kernel(RowsSpec("float32")), "float32")
    task, x = drawn(Network(sizes=(5,), activation=activation, batch=9), "float32")
    (_, healthy), *_ = gradients.of(task, x, 0)
    x[0] = float("nan")
    (spoilt, same), slopes, _ = gradients.of(task, x, 0)
    assert torch.isnan(spoilt)
    assert torch.isnan(slopes[0]).any()
    assert same == healthy
    assert torch.isfinite(slopes[1]).all()


def test_points_of_another_float_type_are_refused() -> None:
    task, x = drawn(Network(sizes=(5,), batch=9), "float32")
    with pytest.raises(TypeError, match="Cannot cast"):
        Gradients(get_kernel(RowsSpec("float32")), "float32").of(task, x.double(), 0)
