"""DeepMind's and RNNprop's learned optimizers meet the values of another library, over the first truncation.

Another folder of such files is tested with the environment variable L2O_GOLDEN_DEEPMIND_DIR.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from l2o_engine.optimizers.learned.inputs.identity import Identity
from l2o_engine.optimizers.learned.inputs.log_and_sign import LogAndSign
from l2o_engine.optimizers.learned.inputs.rnnprop import RnnProp
from l2o_engine.optimizers.learned.learned_optimizer import LearnedOptimizer
from l2o_engine.optimizers.learned.networks.lstm import LSTM

FOLDER = Path(os.environ.get("L2O_GOLDEN_DEEPMIND_DIR") or Path(__file__).parents[2] / "data" / "golden_deepmind")
Arrays = dict[str, NDArray[Any]]
Loss = Callable[[Tensor, int], Tensor]
"""The loss of a point [coordinates] at a step of the first truncation."""


class Golden(NamedTuple):
    """What an experiment's files are of."""

    learned: LearnedOptimizer
    loss_of: Callable[[Arrays], Loss]
    counted: slice  # the losses that the objective is the sum of


def _quadratic(data: Arrays) -> Loss:
    matrices, targets = torch.from_numpy(data["data.W"]), torch.from_numpy(data["data.y"])

    def loss(x: Tensor, step: int) -> Tensor:
        residual = torch.einsum("kij,kj->ki", matrices, x.view(targets.shape)) - targets
        return (residual**2).sum(1).mean()

    return loss


def _mlp(data: Arrays) -> Loss:
    images, labels = torch.from_numpy(data["data.images"]), torch.from_numpy(data["data.labels"])
    batches = torch.from_numpy(data["data.batches"][0])

    def loss(x: Tensor, step: int) -> Tensor:
        hidden = (images[batches[step]] @ x[:512].view(64, 8) + x[512:520]).sigmoid()
        logits = hidden @ x[520:600].view(8, 10) + x[600:]
        return torch.nn.functional.cross_entropy(logits, labels[batches[step]])

    return loss


def deepmind_s(output_scale: float) -> LSTM:
    return LSTM(input_projection="none", initialiser="sonnet", output_scale=output_scale)


EVERY, LAST = slice(0, 21), slice(19, 20)
EXPERIMENTS = {
    "deepmind_quadratic": Golden(LearnedOptimizer(deepmind_s(0.1), Identity()), _quadratic, EVERY),
    "deepmind_mlp": Golden(LearnedOptimizer(deepmind_s(0.01), LogAndSign(k=5.0)), _mlp, EVERY),
    "rnnprop_mlp": Golden(LearnedOptimizer(LSTM(input_projection="elu"), RnnProp()), _mlp, LAST),
}
FILES = [
    path for path in sorted(FOLDER.glob("*.float64.npz")) if path.name.split(".")[0] in EXPERIMENTS
]  # second derivatives change no loss


def test_there_is_a_golden_file_of_every_experiment() -> None:
    assert {path.name.split(".")[0] for path in FILES} == set(EXPERIMENTS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_first_truncation_has_the_golden_losses_and_meta_gradient(path: Path) -> None:
    learned, loss_of, counted = EXPERIMENTS[path.name.split(".")[0]]
    with np.load(path) as file:
        golden: Arrays = dict(file)
    shapes = learned.layout.shapes
    flat = learned.layout.join({name: golden[f"weights.{name}"] for name in shapes})
    weights = torch.from_numpy(flat).requires_grad_()
    optimizer, loss = learned.with_weights(weights, stays=False), loss_of(golden)

    x = torch.from_numpy(golden["x0"]).requires_grad_()
    state, losses = optimizer.init(x), []
    for step in range(21):
        losses.append(loss(x, step))
        if step < 20:
            (gradient,) = torch.autograd.grad(losses[-1], x, retain_graph=True)
            update, state = optimizer.update(gradient, state)
            x = x + update
    (gradient,) = torch.autograd.grad(torch.stack(losses)[counted].sum(), weights)

    computed = {"losses": torch.stack(losses).detach().numpy(), "x_after": x.detach().numpy()}
    expected = {"losses": golden["losses"][0], "x_after": golden["x_after"][0]}
    for name, values in learned.layout.split(gradient.numpy()).items():
        computed[f"grad0.{name}"], expected[f"grad0.{name}"] = values, golden[f"grad0.{name}"]
    assert {name: deviation(values, expected[name]) for name, values in computed.items()} == pytest.approx(
        dict.fromkeys(expected, 0.0), abs=1e-10
    )


def deviation(computed: NDArray[Any], golden: NDArray[Any]) -> float:
    """Return the greatest difference relative to the golden array's largest entry."""
    assert computed.shape == golden.shape
    return float(np.abs(computed - golden).max() / np.abs(golden).max())
