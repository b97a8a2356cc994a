"""The optimizees' losses and gradients: perceptrons' by the kernel, all others' by torch."""

from itertools import pairwise
from typing import NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor

from l2o_engine.backends.compiled.compile import Kernel
from l2o_engine.backends.compiled.vectors import Target
from l2o_engine.backends.coordinatewise.lines import HALF, block_of
from l2o_engine.backends.coordinatewise.memory import aligned
from l2o_engine.support.arrays import Doubles, Floats
from l2o_engine.tasks.base import Arrays, Task
from l2o_engine.tasks.network.architectures import Activation, Perceptron
from l2o_engine.tasks.network.network import INDEX, Network


class _Workspace(NamedTuple):
    """What the gradients of one shape of perceptron and of minibatch are computed in."""

    sizes: tuple[int, ...]
    images: int
    packed: Floats
    lines: Floats
    sums: Doubles


class Gradients:
    """Losses and gradients, for any number of threads that ask.

    Parameters
    ----------
    kernel
        That of rows; None where there is none, and torch computes everything.
    dtype
        The float type.
    """

    def __init__(self, kernel: Kernel | None, dtype: str) -> None:
        self._kernel, self._dtype = kernel, dtype
        self._spare: list[_Workspace] = []

    def of(self, task: Task, x: Tensor, step: int) -> tuple[Tensor, Tensor, Tensor]:
        """Return the losses [batch] at points x, their gradients, and what an optimizer sees of these.

        Parameters
        ----------
        task, x, step
            One batch of tasks, of tensors; points [batch, *shape]; the base step.
        """
        minibatch, judging = task.minibatch(step), task.judging(step)
        if judging is None:
            return self._of(task, x, minibatch)
        loss, slope, _ = self._of(task, x, judging)
        _, _, shown = self._of(task, x, minibatch)
        return loss, slope, shown

    def _of(self, task: Task, x: Tensor, minibatch: Arrays | None) -> tuple[Tensor, Tensor, Tensor]:
        noise = task.disturbance(minibatch)
        if noise is not None:
            x = x.detach().requires_grad_()
            loss = task.loss(x, minibatch)
            (slope,) = torch.autograd.grad(loss.sum(), x)
            return loss.detach(), slope, slope + noise
        family = task.family
        if (
            self._kernel is not None
            and minibatch
            and type(family) is Network
            and isinstance(family.network, Perceptron)
        ):
            loss, slope = self._of_perceptrons(self._kernel, family, family.network, x, minibatch)
        else:
            loss, slope = task.loss_and_gradient(x, minibatch)
        return loss, slope, slope

    def _of_perceptrons(
        self, kernel: Kernel, family: Network, network: Perceptron, x: Tensor, minibatch: Arrays
    ) -> tuple[Tensor, Tensor]:
        index, points = np.ascontiguousarray(minibatch[INDEX]), x.detach().contiguous().numpy()
        images, labels = (one.numpy() for one in family.images.train.on(x.device))
        shades = np.arange(256).astype(self._dtype) / np.dtype(self._dtype).type(family.images.white)
        space = self._take(network.widths, index.shape[1])
        losses, gradients = np.empty(len(points), self._dtype), np.empty_like(points)
        activation = get_args(Activation).index(network.activation)
        kernel.perceptrons(
            points, index, images, labels, shades, np.array(network.widths), activation, space.packed, space.lines,
            space.sums, losses, gradients,
        )  # fmt: skip
        self._spare.append(space)
        return torch.from_numpy(losses), torch.from_numpy(gradients)

    def _take(self, sizes: tuple[int, ...], images: int) -> _Workspace:
        """Return a workspace, for the caller alone."""
        while self._spare:
            try:
                space = self._spare.pop()
            except IndexError:  # another thread was faster
                break
            if (space.sizes, space.images) == (sizes, images):
                return space
        block = block_of(Target.for_host(self._dtype))
        padded = [-(-size // HALF) * HALF for size in sizes]
        rows = -(-images // block) * block
        matrix = max((n + 1) * (m + 1) for n, m in pairwise(padded))  # either way, with its biases
        return _Workspace(
            sizes,
            images,
            packed=aligned(matrix, self._dtype),
            lines=aligned(sum(padded) * rows + max(padded) * block, self._dtype),
            sums=np.zeros(matrix),
        )
