"""A problem of your own, for l2o-tui: an object that says where an optimizer starts and what a point costs.

Try it, then train an optimizer for it, in the folder that this file is in:

    l2o-tui check quadratic.toml --allow-code .
    l2o-tui run quadratic.toml --allow-code .

Change whatever you like; the preset, quadratic.toml, names the class and its settings. docs/own-problem.md has more.
"""

from dataclasses import dataclass

import torch
from torch import Generator, Tensor


@dataclass
class Quadratic:
    """f(x) = |W x - y|^2 / dims, with another W and y for each task.

    The fields are the settings: [problem.arguments] in the preset gives them.
    """

    dims: int = 10

    def parameters(self, generator: Generator) -> dict[str, Tensor]:
        """What makes each task itself: drawn once a task, and given to loss. Leave it out if all tasks are alike.

        Draw with this generator and nothing else: so the run can be repeated and resumed.
        """
        return {
            "matrix": torch.randn(self.dims, self.dims, generator=generator),
            "target": torch.randn(self.dims, generator=generator),
        }

    def init(self, generator: Generator) -> Tensor:
        """Where an optimizer starts: a tensor of any shape, or a dict of tensors, {"weight": ..., "bias": ...}."""
        return 0.1 * torch.randn(self.dims, generator=generator)

    def loss(self, x: Tensor, parameters: dict[str, Tensor]) -> Tensor:
        """What the point x costs: one number, computed by torch's operations. Gradients are found by autograd."""
        missed = parameters["matrix"] @ x - parameters["target"]
        return missed.square().mean()

    # What a problem may have besides. Every method takes what it needs by name: x, batch, parameters, generator.
    #
    # A minibatch for every step, given to loss(self, x, batch):
    #
    #     def batch(self, generator: Generator) -> tuple[Tensor, Tensor]:
    #         places = torch.randint(len(self.inputs), (32,), generator=generator)
    #         return self.inputs[places], self.labels[places]
    #
    # Your own gradient, of x's shape, where you have a faster one than autograd's:
    #
    #     def gradient(self, x: Tensor, parameters: dict[str, Tensor]) -> Tensor:
    #
    # Where the loss is least, where you know it; then the screen can say how far away an optimizer is:
    #
    #     def optimum(self, parameters: dict[str, Tensor]) -> Tensor:
    #         return torch.linalg.solve(parameters["matrix"], parameters["target"])
    #
    # The loss over data that no minibatch is drawn from, drawn beside the training loss:
    #
    #     def held_out_loss(self, x: Tensor) -> Tensor:
