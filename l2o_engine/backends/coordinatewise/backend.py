"""The backend for many coordinates, behind the engine's :class:`~l2o_engine.meta.learner.Backend`.

Where no derivative goes through the optimizee's own gradients, the way back through an unroll needs nothing of the
optimizee but the gradients ∇f(x_t) that the way forward has computed. With w_t the objective's derivative by the loss
f(x_t), λ_T = w_T·∇f(x_T) and λ_t = w_t·∇f(x_t) + λ_{t+1}, the objective's derivative by the update at step t is
λ_{t+1}; from there on coordinates are independent of one another. So of an unroll only what the network saw is kept,
and each block of coordinates is differentiated by itself (recording.py).
"""

from collections.abc import Mapping
from itertools import islice
from math import nan
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from l2o_engine.backends.coordinatewise.gradients import Gradients
from l2o_engine.backends.coordinatewise.kernel.perceptron import Desk
from l2o_engine.backends.coordinatewise.networks import Networks
from l2o_engine.backends.coordinatewise.recording import CompiledRecording, Recording
from l2o_engine.backends.course import Step, Unrolled, UnrollingBackend, torch_threads
from l2o_engine.meta.experiment import Experiment
from l2o_engine.meta.learner import Learner
from l2o_engine.meta.truncation import Carried
from l2o_engine.optimizers.base import Optimizer, run
from l2o_engine.optimizers.learned.inputs.base import Numbers
from l2o_engine.optimizers.learned.learned_optimizer import LearnedState, TrainedOptimizer
from l2o_engine.support.arrays import Doubles, Floats
from l2o_engine.support.processes import Child
from l2o_engine.tasks.base import Task, TaskFamily
from l2o_engine.tasks.network.network import INDEX


class CoordinatewiseBackend(UnrollingBackend):
    """First-order meta-training: forward in blocks of coordinates, backward by computing each block again.

    Parameters
    ----------
    experiment
        What is trained.
    compiler
        Where the process is ended from that compiles the kernel, if it has to be compiled.
    threads
        How many compute side by side; as many as there are cores, if not given. Results do not depend on it.
    """

    name = "coordinatewise"

    def __init__(self, experiment: Experiment, compiler: Child | None = None, threads: int | None = None) -> None:
        super().__init__(experiment)
        self._threads = threads
        self._networks = Networks(self._learned, experiment.dtype, compiler, threads)
        self._gradients = Gradients(self._networks.kernel, experiment.dtype)

    def __reduce__(self) -> tuple[type["CoordinatewiseBackend"], tuple[Experiment, None, int | None]]:
        """Travel to another process as the experiment; the kernel is loaded there."""
        return CoordinatewiseBackend, (self._experiment, None, self._threads)

    def evaluate(self, learner: Learner, task: Task, steps: int | None = None) -> Floats:
        """Return the losses of the learned optimizer as it is now; see :class:`~l2o_engine.meta.learner.Truncating`."""
        steps = self._experiment.steps if steps is None else steps
        trained, found = self._learned.with_weights(learner.weights, learner.numbers), []
        with torch_threads(self._experiment.torch_threads):
            for index in range(len(task)):
                optimizer, _ = self._networks.record(trained, task.family)
                losses = self._forward(optimizer, task[index], steps).unrolled.losses
                found.append(losses.T.numpy())
        return np.stack(found)

    def differentiate(self, weights: Tensor, numbers: Numbers, task: Task, carried: Carried | None = None) -> Step:
        """Differentiate an unroll; see :class:`UnrollingBackend`."""
        truncation = self._experiment.truncation
        trained = self._learned.with_weights(weights.detach(), numbers, stays=False)
        with self._gradients.desk(task, shared=self._networks.alone) as desk:
            optimizer, recordings = self._networks.record(trained, task.family, truncation.losses - 1, desk)
            settings, whole = self._networks.input_settings, _taking_all(optimizer, recordings, task, desk)
            if not whole or settings is None:
                way: _Stepwise | _Whole = self._forward(optimizer, task, truncation.losses, carried, recordings)
            else:
                way = _at_once(optimizer, whole, task, truncation.losses, settings, carried)
        losses = way.unrolled.losses
        counted = losses[: truncation.counted].clone().requires_grad_()
        objective = self._experiment.objective(counted)
        (by_losses,) = torch.autograd.grad(objective, counted)
        gradient = np.empty(len(weights))
        for name, found in way.gradients(by_losses).items():
            gradient[self._networks.members[name].where] = found
        rounded = torch.from_numpy(gradient).to(weights.dtype)
        norm = float(torch.linalg.vector_norm(rounded, dtype=torch.float64))
        return Step(losses.T.numpy(), float(objective.detach()), rounded, norm, way.unrolled)

    def _forward(
        self,
        optimizer: TrainedOptimizer,
        task: Task,
        steps: int,
        carried: Carried | None = None,
        recordings: Mapping[str, Recording] | None = None,
    ) -> "_Stepwise":
        """Run the learned optimizer on one batch of tasks, whose arrays are [batch, …], for so many losses.

        Where its steps are recorded to be differentiated, more is kept of them.
        """
        task = task.with_arrays(torch.from_numpy)
        x, state = _begun(optimizer, task, carried)
        losses, points, slopes, gradients, inputs, updates = [], [], [], [], [], []
        team = next((one.team for one in (recordings or {}).values()), None)
        train, smallest_signal = recordings is not None, nan
        for step in range(steps):
            last = step == steps - 1
            if last and not train:
                losses.append(task.loss(x, task.judging(step) or task.minibatch(step)))  # [batch]
                break
            loss, slope, gradient = self._gradients.of(task, x, step, team)
            losses.append(loss)
            if train:
                points.append(x)
                slopes.append(slope)
            if last:
                if self._learned.inputs.adapts:
                    smallest_signal = float(optimizer.encoded(gradient, state).signal.abs().min())
                break
            update, state = optimizer.update(gradient, state)
            state, x = state.first_order, x + update.detach()
            if train:
                gradients.append(gradient)
                inputs.append(state.seen)
                updates.append(update)
        on = {} if carried is None else optimizer.carried(x, state)
        moved = [update.detach() for update in updates]
        unrolled = Unrolled(torch.stack(losses), smallest_signal, points, gradients, inputs, moved, on)
        return _Stepwise(unrolled, slopes, updates, recordings or {})


class _Stepwise(NamedTuple):
    """An unroll taken step by step, and what its way back needs."""

    unrolled: Unrolled
    slopes: list[Tensor]  # the losses' own gradients, [batch, *shape] each
    updates: list[Tensor]
    recordings: Mapping[str, Recording]

    def gradients(self, by_losses: Tensor) -> dict[str, Doubles]:
        """Return the derivatives by each network's weights, given those by the losses that count, [counted, batch]."""
        by_updates, later = [], torch.zeros_like(self.slopes[0])  # λ, from the last update on
        for step in range(len(self.updates), 0, -1):
            if step < len(by_losses):
                each = by_losses[step].reshape(-1, *(1 for _ in later.shape[1:]))
                later = later + self.slopes[step] * each  # rounded twice, as the kernel does
            by_updates.append(later)
        by_updates.reverse()
        outputs = [one for recording in self.recordings.values() for one in recording.outputs]
        by_outputs = iter(torch.autograd.grad(self.updates, outputs, by_updates))
        return {
            name: recording.gradient([*islice(by_outputs, len(recording.outputs))])
            for name, recording in self.recordings.items()
        }


class _Whole(NamedTuple):
    """An unroll of one network that the kernel has taken whole, and finds the way back through by itself."""

    unrolled: Unrolled
    recordings: Mapping[str, CompiledRecording]

    def gradients(self, by_losses: Tensor) -> dict[str, Doubles]:
        """Return the derivatives by its weights, given those by the losses that count, [counted, batch]."""
        given = by_losses.contiguous().numpy()
        return {name: recording.gradient_by_losses(given) for name, recording in self.recordings.items()}


def _begun(optimizer: TrainedOptimizer, task: Task, carried: Carried | None) -> tuple[Tensor, LearnedState]:
    """Return where an unroll begins, on tasks of tensors."""
    return (task.init(), optimizer.init(task.init())) if carried is None else optimizer.resumed(carried)


def _taking_all(
    optimizer: TrainedOptimizer, recordings: Mapping[str, Recording], task: Task, desk: Desk | None
) -> dict[str, CompiledRecording]:
    """Return the one recording by name, where the kernel finds all gradients of an unroll and gives all updates."""
    if desk is None or task.judged:
        return {}
    return {
        name: recording
        for name, recording in recordings.items()
        if recording is optimizer.stepping and isinstance(recording, CompiledRecording) and recording.gives_updates
    }


def _at_once(
    optimizer: TrainedOptimizer,
    recordings: Mapping[str, CompiledRecording],
    task: Task,
    losses: int,
    settings: Floats,
    carried: Carried | None,
) -> _Whole:
    """Run the learned optimizer on one batch of perceptrons, as `_forward` does, with all steps in the kernel.

    What is found is the same to the last bit, but Python says only that some steps come next.
    """
    x, state = _begun(optimizer, task.with_arrays(torch.from_numpy), carried)
    chosen = np.array(task.minibatches[INDEX][:, :losses].swapaxes(0, 1), order="C")
    (recording,) = recordings.values()
    desk, seen, given, reached = recording.unroll(x.numpy(), chosen, settings)
    shape = (losses, *x.shape)
    points, gradients = [*torch.from_numpy(desk.points).view(shape)], [*torch.from_numpy(desk.gradients).view(shape)]
    inputs = [*torch.from_numpy(seen).view(len(seen), -1, *x.shape).movedim(1, -1)]
    updates = [*torch.from_numpy(given).view(-1, *x.shape)]
    on = {}
    if carried is not None:  # of the points, the last alone
        on = optimizer.carried(points[-1].clone(), LearnedState(reached, state.memory, state.seen))
    found = torch.from_numpy(desk.losses).view(shape[:2])
    unrolled = Unrolled(found, nan, points, gradients[:-1], inputs, updates, on)
    return _Whole(unrolled, recordings)


class CoordinatewiseForward:
    """The networks where they only go forward, for any number of steps; nothing of these is remembered.

    Parameters
    ----------
    experiment
        Its optimizer is of the shape of those that run.
    """

    name = "coordinatewise"

    def __init__(self, experiment: Experiment) -> None:
        self._networks = Networks(experiment.trained, experiment.dtype, None, None)

    def losses(self, optimizer: TrainedOptimizer, task: Task, steps: int) -> Floats:
        """Return the losses of an optimizer; see :class:`~l2o_engine.backends.forward.Forward`."""
        return run(self.stepping(optimizer, task.family), task, steps)

    def stepping(self, optimizer: TrainedOptimizer, family: TaskFamily) -> Optimizer:
        """Return the optimizer as it is computed here; see :class:`~l2o_engine.backends.forward.SteppingForward`."""
        recorded, _ = self._networks.record(optimizer, family)
        return recorded
