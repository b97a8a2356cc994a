"""The optimizees' losses and gradients: perceptrons' by the kernel, all others' by torch."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeGuard, cast, get_args

import numpy as np
import torch
from torch import Tensor

from l2o_engine.backends.compiled.compile import Kernel
from l2o_engine.backends.coordinatewise.crew import Crew
from l2o_engine.backends.coordinatewise.kernel.perceptron import Desk
from l2o_engine.backends.coordinatewise.memory import new_desk, no_rows
from l2o_engine.backends.coordinatewise.team import Team
from l2o_engine.support.arrays import Floats, Integers
from l2o_engine.tasks.base import Arrays, Task, TaskFamily
from l2o_engine.tasks.network.architectures import Activation, Perceptron
from l2o_engine.tasks.network.network import INDEX, Network


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
        self._spare: list[Desk] = []

    @contextmanager
    def desk(self, task: Task, *, shared: bool) -> Iterator[Desk | None]:
        """Have, for a while, where a team can share the gradients of an unroll; None if torch computes them.

        None too where there will be no team: each gradient then has a desk of its own.
        """
        minibatch = task.minibatch(0)
        if not shared or not minibatch or not self._computes(task.family):
            yield None
            return
        desk = self._take(task.family, *minibatch[INDEX].shape)
        yield desk
        self._spare.append(desk)  # whoever is still awake computes nothing there any more

    def of(self, task: Task, x: Tensor, step: int, team: Team | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """Return the losses [batch] at points x, their gradients, and what an optimizer sees of these.

        Parameters
        ----------
        task, x, step
            One batch of tasks, of tensors; points [batch, *shape]; the base step.
        team
            Who shares the work, at a desk for this task.
        """
        minibatch, judging = task.minibatch(step), task.judging(step)
        if judging is None:
            return self._of(task, x, minibatch, team)
        loss, slope, _ = self._of(task, x, judging, team)
        _, _, shown = self._of(task, x, minibatch, team)
        return loss, slope, shown

    def _of(self, task: Task, x: Tensor, minibatch: Arrays | None, team: Team | None) -> tuple[Tensor, Tensor, Tensor]:
        noise = task.disturbance(minibatch)
        if noise is not None:
            x = x.detach().requires_grad_()
            loss = task.loss(x, minibatch)
            (slope,) = torch.autograd.grad(loss.sum(), x)
            return loss.detach(), slope, slope + noise
        if minibatch and self._computes(task.family):
            points, chosen = x.detach().numpy(), np.asarray(minibatch[INDEX])
            loss, slope = self._of_perceptrons(task.family, points, chosen, team)
        else:
            loss, slope = task.loss_and_gradient(x, minibatch)
        return loss, slope, slope

    def _of_perceptrons(
        self, family: Network, points: Floats, chosen: Integers, team: Team | None
    ) -> tuple[Tensor, Tensor]:
        if team is not None and team.desk.chosen.shape == chosen.shape:
            return _found(team, points, chosen)
        desk, kernel = self._take(family, *chosen.shape), cast("Kernel", self._kernel)
        alone = Team(kernel, Crew(1), 1, no_rows(self._dtype), desk, 2 * len(points))
        found = _found(alone, points, chosen)
        self._spare.append(desk)
        return found

    def _computes(self, family: TaskFamily) -> TypeGuard[Network]:
        """Whether the kernel computes the losses of a family."""
        return self._kernel is not None and type(family) is Network and isinstance(family.network, Perceptron)

    def _take(self, family: Network, networks: int, images: int) -> Desk:
        """Return a desk, for the caller alone."""
        network = cast("Perceptron", family.network)
        pixels, labels = (one.numpy() for one in family.images.train.on(torch.device("cpu")))
        given = {
            "images": pixels,
            "labels": labels,
            "kinds": np.array([get_args(Activation).index(network.activation), family.images.white]),
        }
        while self._spare:
            try:
                desk = self._spare.pop()
            except IndexError:  # another thread was faster
                break
            if tuple(desk.sizes) == network.widths and desk.chosen.shape == (networks, images):
                return desk._replace(**given)
        return new_desk(self._dtype, network.widths, networks, images)._replace(**given)


def _found(team: Team, points: Floats, chosen: Integers) -> tuple[Tensor, Tensor]:
    """Return what a team finds at its desk of networks' losses and gradients."""
    desk = team.desk
    np.copyto(desk.points, points, casting="no")
    np.copyto(desk.chosen, chosen, casting="no")
    team.learn()
    return torch.from_numpy(desk.losses.copy()), torch.from_numpy(desk.gradients.copy())
