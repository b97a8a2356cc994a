"""Gradients of tasks that know no formula for theirs."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np


def gradient(
    loss: Callable[..., Any], x: Any, parameters: Mapping[str, Any], minibatch: Mapping[str, Any] | None
) -> Any:
    """Return the gradient of a loss at points x; see :func:`loss_and_gradient`."""
    return loss_and_gradient(loss, x, parameters, minibatch)[1]


def loss_and_gradient(
    loss: Callable[..., Any], x: Any, parameters: Mapping[str, Any], minibatch: Mapping[str, Any] | None
) -> tuple[Any, Any]:
    """Return a loss at points x and its gradient, as PyTorch's autograd finds it.

    Parameters
    ----------
    loss
        As :meth:`~l2o_engine.tasks.base.TaskFamily.loss`.
    x
        [..., *shape], an array or a tensor; what is returned, [...] and [..., *shape], is of the same kind.
    parameters, minibatch
        What the loss is given, of the same kind.
    """
    import torch

    def tensor(value: Any) -> Any:  # torch wants arrays that can be written to, which a broadcast one cannot
        return torch.as_tensor(np.require(value, requirements="W") if isinstance(value, np.ndarray) else value)

    def tensors(values: Mapping[str, Any] | None) -> dict[str, Any] | None:
        return None if values is None else {name: tensor(value) for name, value in values.items()}

    with torch.enable_grad():
        point = tensor(x).detach().requires_grad_()
        value = loss(point, tensors(parameters), tensors(minibatch))
        (found,) = torch.autograd.grad(value.sum(), point)
    return (value.detach().numpy(), found.numpy()) if isinstance(x, np.ndarray) else (value.detach(), found)
