"""The inputs of DeepMind's, RNNprop's and learned_optimization's code, by their own definitions."""

from dataclasses import dataclass
from math import log, sqrt, tanh

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from torch import Tensor

from l2o_engine.optimizers.learned.inputs.base import Tensors
from l2o_engine.optimizers.learned.inputs.clamp import Clamp
from l2o_engine.optimizers.learned.inputs.log_and_sign import LogAndSign
from l2o_engine.optimizers.learned.inputs.momenta import DECAYS, Momenta
from l2o_engine.optimizers.learned.inputs.rnnprop import RnnProp
from l2o_engine.optimizers.learned.learned_optimizer import LearnedOptimizer
from l2o_engine.optimizers.learned.networks.mlp import MLP
from l2o_engine.tasks.quadratic import Quadratic


def column(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


# DeepMind's own tests of its preprocessing and networks (FIELD.md, A3), as far as they are inputs'.


def test_log_and_sign_of_1_begins_with_0_and_its_second_number_has_the_gradient_s_sign() -> None:
    inputs = LogAndSign(k=10.0)
    assert inputs.encode(column(1.0), {}, {}).inputs[0, 0].item() == pytest.approx(0.0, abs=1e-6)
    gradients = torch.from_numpy(np.random.default_rng(0).normal(size=100))
    assert torch.equal(inputs.encode(gradients, {}, {}).inputs[:, 1].sign(), gradients.sign())


@pytest.mark.parametrize(
    ("least", "most", "seen"),
    [(-1.0, None, [-1.0, 0.5, 3.0]), (None, 1.0, [-2.0, 0.5, 1.0]), (-1.0, 1.0, [-1.0, 0.5, 1.0])],
)
def test_a_clamp_holds_within_the_bounds_that_it_has(
    least: float | None, most: float | None, seen: list[float]
) -> None:
    assert Clamp(min=least, max=most).encode(column(-2.0, 0.5, 3.0), {}, {}).inputs.tolist() == seen


@pytest.mark.parametrize(
    ("least", "most", "said"), [(None, None, "without bounds"), (1.0, -1.0, "must be at most max")]
)
def test_a_clamp_needs_bounds_in_order(least: float | None, most: float | None, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Clamp(min=least, max=most)


# RNNprop's.


def test_rnnprop_s_inputs_are_the_gradient_and_its_mean_in_units_of_its_running_magnitude() -> None:
    inputs, mean, square = RnnProp(), 0.0, 0.0
    memory = inputs.begin(column(0.7))
    for step, g in enumerate([2.0, -1.0, 1e-9, 0.5], start=1):
        encoded = inputs.encode(column(g), memory, {})
        memory = encoded.memory
        mean, square = 0.95 * mean + 0.05 * g, 0.95 * square + 0.05 * g * g
        s = sqrt(square / (1 - 0.95**step)) + 1e-8
        assert encoded.inputs[0].tolist() == pytest.approx([g / s, mean / (1 - 0.95**step) / s], rel=1e-12)
    assert memory["steps"].item() == 4


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_a_gradient_of_0_spoils_no_meta_gradient(dtype: torch.dtype) -> None:
    gradient = torch.zeros(2, dtype=dtype, requires_grad=True)
    encoded = RnnProp().encode(gradient, RnnProp().begin(gradient.detach()), {})
    assert not encoded.inputs.any()
    (slope,) = torch.autograd.grad(encoded.inputs.sum(), gradient)
    assert torch.isfinite(slope).all()


def test_rnnprop_moves_against_its_output_and_never_farther_than_its_reach() -> None:
    encoded = RnnProp().encode(column(1.0), RnnProp().begin(column(0.0)), {})
    assert RnnProp().decode(column(0.3), encoded, {}).item() == pytest.approx(-0.1 * tanh(0.3))
    assert RnnProp(reach=0.02).decode(column(-50.0), encoded, {}).item() == 0.02


# learned_optimization's.


@dataclass(frozen=True)
class _Part:
    place: slice
    shape: tuple[int, ...]
    part: str = "fc"


class _InTwo(Quadratic):
    """Five coordinates, two groups."""

    @property
    def groups(self) -> dict[str, _Part]:
        return {"weights": _Part(slice(0, 3), (3, 1)), "bias": _Part(slice(3, 5), (2,))}


def _expected(gradients: list[list[float]], points: list[list[float]], where: list[slice]) -> np.ndarray:
    """Return mlp_lopt.py's 19 numbers a coordinate at the last of some steps, in NumPy."""
    momenta = np.zeros((len(DECAYS), 5))
    for g in gradients:
        momenta = np.array([d * m + (1 - d) * np.array(g) for d, m in zip(DECAYS, momenta, strict=True)])
    raw = np.stack([gradients[-1], points[-1], *momenta])
    scaled = np.concatenate(
        [raw[:, w] / np.sqrt(1e-5 + (raw[:, w] ** 2).mean(axis=1, keepdims=True)) for w in where], axis=1
    )
    scales = [1, 3, 10, 30, 100, 300, 1000, 3000, 10000, 30000, 100000]
    time = np.tanh((len(gradients) - 1) / np.array(scales) - 1)
    return np.concatenate([scaled.T, np.tile(time, (5, 1))], axis=1)


@pytest.mark.parametrize("family", [Quadratic(dims=5), _InTwo(dims=5)], ids=["a point", "two groups"])
def test_momenta_are_normalised_over_each_tensor_and_x_is_followed(family: Quadratic) -> None:
    learned = LearnedOptimizer(MLP(), Momenta())
    assert learned.layout.size == 1762
    optimizer = learned.with_weights(learned.initialise(np.random.default_rng(0), "float64")).on(family)
    where = [group.place for group in family.groups.values()] or [slice(0, 5)]
    generator = np.random.default_rng(1)
    x = generator.normal(size=(2, 5))
    state, gradients, points = optimizer.init(x), [], []
    for _ in range(3):
        gradients.append(generator.normal(size=(2, 5)))
        points.append(x)
        update, state = optimizer.update(gradients[-1], state)
        x = x + update
        for task in range(2):
            expected = _expected([g[task].tolist() for g in gradients], [p[task].tolist() for p in points], where)
            np.testing.assert_allclose(state.seen[task].numpy(), expected, rtol=1e-12)
    np.testing.assert_array_equal(state.memory["x"].numpy(), x)


def test_means_over_tensors_are_of_each_point_by_itself_whatever_its_axes() -> None:
    values = torch.arange(12.0, dtype=torch.float64).view(2, 2, 3, 1)
    of_points = Tensors(axes=2).mean(values)[..., 0]
    assert of_points.tolist() == [[[2.5] * 3] * 2, [[8.5] * 3] * 2]
    of_parts = Tensors(2, (slice(0, 2), slice(2, 6))).mean(values)[..., 0]
    assert of_parts[0].tolist() == [[0.5, 0.5, 3.5], [3.5, 3.5, 3.5]]
    assert Tensors(axes=0).mean(values[:, 0, 0]).tolist() == values[:, 0, 0].tolist()


def test_the_mlp_s_step_is_its_direction_times_the_exponential_of_its_magnitude() -> None:
    network = MLP(layers=1, hidden=2)
    layout = network.layout(1)
    weights = {name: torch.zeros(shape, dtype=torch.float64) for name, shape in layout.shapes.items()}
    weights["output_projection.bias"] = column(2.0, log(3.0) / 0.001)
    outputs, _ = network.step(weights, column(0.0, 1.0)[:, None], ())
    assert outputs.tolist() == pytest.approx([-2.0 * 3.0 * 0.001] * 2)
