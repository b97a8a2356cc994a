"""Logistic regression on data of your own, for l2o-tui: minibatches, and data held out.

    l2o-tui check logistic.toml --allow-code .
    l2o-tui run logistic.toml --allow-code .

The data are made up here; read yours in __post_init__. docs/own-problem.md has more.
"""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor
from torch.nn.functional import binary_cross_entropy_with_logits


@dataclass
class Logistic:
    """The mean cross-entropy of a minibatch's labels, given w and b: p = sigmoid(w.x + b)."""

    features: int = 20
    examples: int = 1000
    batch_size: int = 32

    def __post_init__(self) -> None:
        """Make the data: they must be the same every time, for a run that is resumed goes on with them."""
        generator = torch.Generator().manual_seed(0)
        self.inputs = torch.randn(self.examples, self.features, generator=generator)
        true = torch.randn(self.features, generator=generator)
        noise = torch.randn(self.examples, generator=generator)
        self.labels = (self.inputs @ true + noise > 0).float()
        self.train = int(0.8 * self.examples)

    def init(self, generator: Generator) -> dict[str, Tensor]:
        """Two tensors by name: each is a group, so that networks by group could move them differently."""
        return {"weight": torch.randn(self.features, generator=generator), "bias": torch.zeros(1)}

    def batch(self, generator: Generator) -> tuple[Tensor, Tensor]:
        """A minibatch for every step."""
        places = torch.randint(self.train, (self.batch_size,), generator=generator)
        return self.inputs[places], self.labels[places]

    def loss(self, x: dict[str, Tensor], batch: tuple[Tensor, Tensor]) -> Tensor:
        """The mean cross-entropy of the minibatch."""
        inputs, labels = batch
        return binary_cross_entropy_with_logits(inputs @ x["weight"] + x["bias"], labels)

    def held_out_loss(self, x: dict[str, Tensor]) -> Tensor:
        """The same over the examples that no minibatch is drawn from."""
        inputs, labels = self.inputs[self.train :].to(x["bias"]), self.labels[self.train :].to(x["bias"])
        return self.loss(x, (inputs, labels))
