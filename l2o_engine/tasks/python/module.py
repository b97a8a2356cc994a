"""A torch.nn.Module as a problem: its parameters are what is optimized."""

from collections.abc import Callable
from threading import Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Generator, Tensor, nn

_drawing = Lock()  # a module draws its weights with torch's one generator, which is lent to one at a time


class ModuleProblem:
    """The parameters of a module, and a loss of what it computes; for a factory to return, or for ``Custom``.

    Each task starts where a new module does, as torch initialises it, seeded by the task's generator. A point is a
    dict, name → parameter, as ``named_parameters`` has them, so networks by group find the layers.

    Parameters
    ----------
    make
        Returns a new module; it is called for each task.
    loss
        Given the module, to be called as one, and a minibatch; returns one number: ``loss(model, batch)``.
    batch
        Draws a minibatch with a generator; without one, ``loss`` is given None.
    held_out
        Given the module; returns its loss over data that no minibatch is drawn from.
    """

    def __init__(
        self,
        make: "Callable[[], nn.Module]",
        loss: "Callable[[Callable[..., Any], Any], Tensor]",
        batch: "Callable[[Generator], Any] | None" = None,
        held_out: "Callable[[Callable[..., Any]], Tensor] | None" = None,
    ) -> None:
        self._make = make
        self._loss = loss
        self._module = make()  # whose parameters are exchanged for those of a point
        if batch is not None:
            self.batch = batch
        if held_out is not None:
            self.held_out_loss = lambda x: held_out(self._with(x))

    def init(self, generator: "Generator") -> dict[str, "Tensor"]:
        """Return the parameters of a new module, name → tensor."""
        import torch

        seed = int(torch.randint(0, 2**62, (), generator=generator))
        with _drawing, torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            module = self._make()
        return {name: values.detach() for name, values in module.named_parameters() if values.requires_grad}

    def loss(self, x: dict[str, "Tensor"], batch: Any) -> "Tensor":
        """Return the loss of the module with these parameters, on a minibatch."""
        return self._loss(self._with(x), batch)

    def _with(self, x: dict[str, "Tensor"]) -> Callable[..., Any]:
        """Return the module with these parameters, to be called."""
        from torch.func import functional_call

        def model(*inputs: Any, **named: Any) -> Any:
            return functional_call(self._module, x, inputs, named)

        return model
