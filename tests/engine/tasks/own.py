"""Problems as users write them."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Generator, Tensor


@dataclass
class Regression:
    """A line through points, of a slope and an offset that each task has; a minibatch a base step."""

    points: int = 4
    vectorises: bool = True

    def parameters(self, generator: Generator) -> dict[str, Tensor]:
        return {"true": torch.randn(3, generator=generator, dtype=torch.float64)}

    def init(self, generator: Generator) -> dict[str, Tensor]:
        drawn = torch.randn(3, generator=generator, dtype=torch.float64)
        return {"line.slope": drawn[:2].reshape(1, 2), "offset": drawn[2]}

    def batch(self, generator: Generator) -> tuple[Tensor, Tensor]:
        return torch.randn(self.points, 2, generator=generator, dtype=torch.float64), torch.arange(3)

    def loss(self, x: dict[str, Tensor], batch: Any, parameters: dict[str, Tensor]) -> Tensor:
        if not self.vectorises:
            float(x["offset"].detach())  # which torch.func.vmap cannot do
        found: Tensor = batch[0] @ x["line.slope"][0] + x["offset"]
        aim: Tensor = batch[0] @ parameters["true"][:2] + parameters["true"][2]
        return (found - aim).square().mean()
