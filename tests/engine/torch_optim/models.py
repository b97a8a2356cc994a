"""A trained optimizer that is small, and models to let it loose on."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from l2o_engine.optimizers.learned.exported import Exported, Origin, Seen
from l2o_engine.optimizers.learned.inputs.base import Inputs
from l2o_engine.optimizers.learned.inputs.rnnprop import RnnProp
from l2o_engine.optimizers.learned.learned_optimizer import LearnedOptimizer
from l2o_engine.optimizers.learned.networks.base import Network
from l2o_engine.optimizers.learned.networks.lstm import LSTM

TINY = LSTM(layers=2, hidden=5, input_projection="elu", initialiser="sonnet")
SHAPES = ((3, 70), (5,), (1,), (2, 3, 2, 2))
"""More coordinates than a tile has, fewer, and one alone; the last is a convolution's."""


def exported(
    network: Network = TINY, inputs: Inputs | None = None, *, seed: int = 0, steps: int = 100, seen: Seen | None = None
) -> Exported:
    """Return an optimizer with weights that were drawn, as if a run had trained it over so many steps."""
    learned = LearnedOptimizer(network, inputs or RnnProp())
    weights = learned.initialise(np.random.default_rng(seed), "float32")
    weights += 0.1 * np.random.default_rng(seed + 1).standard_normal(len(weights)).astype("float32")
    return Exported(learned, weights, learned.inputs.numbers, Origin("a run", "preset", "network", 0, 9, steps, seen))


def parameters(dtype: torch.dtype = torch.float32, shapes: Sequence[tuple[int, ...]] = SHAPES) -> list[nn.Parameter]:
    """Return parameters of these shapes, the same every time."""
    generator = torch.Generator().manual_seed(1)
    return [nn.Parameter(torch.randn(shape, generator=generator).to(dtype)) for shape in shapes]


def give_gradients(ones: Sequence[Tensor], step: int) -> None:
    """Give parameters the gradients of a step; some are exactly 0."""
    generator = torch.Generator().manual_seed(100 + step)
    for one in ones:
        gradient = 0.1 * torch.randn(one.shape, generator=generator)
        gradient.view(-1)[:: 7 if one.numel() > 1 else 2] *= step % 3
        one.grad = gradient.to(one.dtype)


def moved(optimizer: torch.optim.Optimizer, ones: Sequence[Tensor], steps: range) -> list[Tensor]:
    """Take steps and return copies of where the parameters are then."""
    for step in steps:
        give_gradients(ones, step)
        optimizer.step()
    return [one.detach().clone() for one in ones]
