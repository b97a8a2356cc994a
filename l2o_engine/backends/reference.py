"""The reference backend: meta-training through PyTorch autograd, written to be read.

One meta-iteration unrolls the learned optimizer for a number of base steps on one batch of tasks, differentiates
the objective of its losses with respect to the network's weights (back-propagation through time, and, unless the
experiment says otherwise, through the optimizee's own gradient as well), and takes one Adam step.

The unroll may be on another device than the CPU: weights, tasks and what is carried go there for each meta-iteration,
losses and the meta-gradient come back. All else, Adam too, stays on the CPU: a learner goes on on any device.
"""

from math import nan
from typing import Any

import numpy as np
import torch
from torch import Tensor

from l2o_engine.backends.course import Step, Unrolled, UnrollingBackend, torch_threads
from l2o_engine.backends.devices import CPU
from l2o_engine.meta.experiment import Experiment
from l2o_engine.meta.learner import Learner
from l2o_engine.meta.truncation import Carried
from l2o_engine.optimizers.learned.inputs.base import Numbers
from l2o_engine.optimizers.learned.learned_optimizer import TrainedOptimizer
from l2o_engine.support.arrays import Floats
from l2o_engine.tasks.base import Task


class TorchBackend(UnrollingBackend):
    """Any experiment, through autograd.

    Parameters
    ----------
    experiment
        What is trained.
    device
        Where torch unrolls it, as torch calls it.
    """

    name = "torch"

    def __init__(self, experiment: Experiment, device: str = CPU) -> None:
        super().__init__(experiment)
        self._device = torch.device(device)

    def evaluate(self, learner: Learner, task: Task, steps: int | None = None) -> Floats:
        """Return the losses of the learned optimizer as it is now; see :class:`~l2o_engine.meta.learner.Truncating`."""
        optimizer = self._learned.with_weights(self._there(learner.weights), learner.numbers)
        steps = self._experiment.steps if steps is None else steps
        with torch_threads(self._experiment.torch_threads):
            each = [self._unroll(optimizer, task[k], steps, train=False).losses for k in range(len(task))]
        return np.stack([losses.T.cpu().numpy() for losses in each])

    def differentiate(self, weights: Tensor, numbers: Numbers, task: Task, carried: Carried | None = None) -> Step:
        """Differentiate an unroll; see :class:`UnrollingBackend`."""
        weights, truncation = weights.detach().to(self._device).requires_grad_(), self._experiment.truncation
        optimizer = self._learned.with_weights(weights, numbers, stays=False)
        unrolled = self._unroll(optimizer, task, truncation.losses, train=True, carried=carried)
        objective = self._experiment.objective(unrolled.losses[: truncation.counted])
        gradient = torch.autograd.grad(objective, weights)[0].cpu()  # where there is float64 for its norm
        norm = float(torch.linalg.vector_norm(gradient, dtype=torch.float64))
        unrolled = unrolled._replace(losses=unrolled.losses.detach().cpu())  # who keeps it must not keep the graph
        return Step(unrolled.losses.T.numpy(), float(objective.detach()), gradient, norm, unrolled)

    def _unroll(
        self, optimizer: TrainedOptimizer, task: Task, steps: int, *, train: bool, carried: Carried | None = None
    ) -> Unrolled:
        """Run the learned optimizer on one batch of tasks, whose arrays are [batch, …], for so many losses."""
        adapts = self._learned.inputs.adapts
        second_derivatives = train and self._experiment.second_derivatives
        task, optimizer = task.with_arrays(self._there), optimizer.on(task.family)
        x, state = (task.init(), optimizer.init(task.init())) if carried is None else optimizer.resumed(carried)
        x = x.requires_grad_()
        losses, points, gradients, inputs, updates = [], [], [], [], []
        smallest_signal = nan
        for step in range(steps):
            minibatch, judging = task.minibatch(step), task.judging(step)
            loss = task.loss(x, judging or minibatch)  # [batch]
            losses.append(loss if train else loss.detach())
            if train:
                points.append(x.detach())
            last = step == steps - 1
            if last and not adapts:
                break
            shown = task.loss(x, minibatch) if judging else loss
            (gradient,) = torch.autograd.grad(
                shown.sum(), x, create_graph=second_derivatives and not last, retain_graph=True
            )
            noise = task.disturbance(minibatch)
            gradient = gradient if noise is None else gradient + noise
            if last:
                smallest_signal = float(optimizer.encoded(gradient, state).signal.detach().abs().min())
                break
            update, state = optimizer.update(gradient, state)
            state = state if second_derivatives else state.first_order
            x = x + update
            if not train:
                x = x.detach().requires_grad_()
                continue
            gradients.append(gradient.detach())
            inputs.append(state.seen.detach())
            updates.append(update.detach())
        on = {} if carried is None else optimizer.carried(x, state)
        return Unrolled(torch.stack(losses), smallest_signal, points, gradients, inputs, updates, on)

    def _there(self, values: Any) -> Tensor:
        """Return an array as a tensor where the unroll is."""
        return torch.from_numpy(values).to(self._device)
