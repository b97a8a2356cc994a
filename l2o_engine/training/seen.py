"""What a trained optimizer meets over episodes of the problem that it was trained on: losses, sizes of gradients.

On held-out tasks, as its training never saw them, and over as many base steps as it was trained for: whoever uses it
elsewhere can then tell when it is somewhere else.
"""

from typing import Any

import numpy as np

from l2o_engine.backends.forward import SteppingForward, choose_forward
from l2o_engine.meta.experiment import Experiment
from l2o_engine.optimizers.base import Optimizer, course
from l2o_engine.optimizers.learned.exported import Seen
from l2o_engine.optimizers.learned.inputs.base import Tensors
from l2o_engine.optimizers.learned.learned_optimizer import TrainedOptimizer
from l2o_engine.support.arrays import Doubles, Floats
from l2o_engine.support.errors import UserError
from l2o_engine.tasks.base import TaskFamily
from l2o_engine.training.evaluation import drawn_at_once, parts
from l2o_engine.training.streams import Streams, generator_of

_TASKS = 8
_OPERATIONS = {"coordinatewise": 2e10, "torch": 4e9}  # of all tasks, so that it takes seconds
_MOST = 5  # times as many, of a single one
_COORDINATES = 50_000  # that the network moves at once: its state and gates take some hundred numbers each
_SHARES = (5, 95)  # per cent


class UnmeasuredError(UserError):
    """What an optimizer meets cannot be measured. The message says why."""


class _Watched:
    """An optimizer, of whose gradients the magnitudes are noted.

    Parameters
    ----------
    optimizer
        The optimizer.
    family
        What it optimizes, which says which coordinates are a tensor.
    """

    def __init__(self, optimizer: Optimizer, family: TaskFamily) -> None:
        self.name = optimizer.name
        self.magnitudes: list[Doubles] = []
        self._optimizer = optimizer
        self._tensors = Tensors.of(family).where
        self._axes = len(family.shape)

    def init(self, x: Floats) -> Any:
        """Return the optimizer's state."""
        return self._optimizer.init(x)

    def update(self, gradient: Floats, state: Any) -> tuple[Floats, Any]:
        """Return the optimizer's update, and its state."""
        flat = gradient.reshape(*gradient.shape[: gradient.ndim - self._axes], -1).astype(np.float64)
        self.magnitudes += [np.sqrt((flat[..., where] ** 2).mean(axis=-1)).ravel() for where in self._tensors]
        return self._optimizer.update(gradient, state)


def seen_by(optimizer: TrainedOptimizer, experiment: Experiment, steps: int, seed: int) -> Seen:
    """Return what a trained optimizer meets over episodes of so many base steps.

    Parameters
    ----------
    optimizer, experiment
        The optimizer, and what it was trained as.
    steps
        Base steps of an episode.
    seed
        Decides the tasks, some of its stream of held-out ones.

    Raises
    ------
    UnmeasuredError
        If it would take long, or nothing that is met is a number.
    UserError
        If data that the problem is made of is not there.
    """
    losses_of_each = steps if experiment.truncation.is_whole else steps + 1
    judged = experiment.judged_on(experiment.task, losses_of_each)
    task, forward = judged.task, choose_forward(judged, may_compile=False)
    tasks = _affordable(judged, forward.name if isinstance(forward, SteppingForward) else "torch")
    placed: Optimizer = optimizer.on(task)
    if isinstance(forward, SteppingForward):
        placed = forward.stepping(optimizer, task)
    watched, losses = _Watched(placed, task), list[Doubles]()
    generator = generator_of(Streams(seed).held_out)
    at_once = max(1, min(drawn_at_once(task, losses_of_each), _COORDINATES // task.size))
    for n in parts(tasks, at_once):
        drawn = task.draw(generator, n, 1, steps=losses_of_each, dtype=experiment.dtype)
        losses.append(course(watched, drawn, losses_of_each)[0].astype(np.float64).ravel())
    magnitudes = np.concatenate(watched.magnitudes)
    return Seen(_range(np.concatenate(losses), "loss"), _range(magnitudes[magnitudes > 0], "gradient"))


def _affordable(judged: Experiment, name: str) -> int:
    """Return how many tasks are run, at least one."""
    one, most = judged.trained.layout.size * judged.task.size * judged.steps, _OPERATIONS[name]
    if one > _MOST * most:
        raise UnmeasuredError(
            f"an episode of {judged.steps:,} steps of {judged.task.size:,} coordinates takes more than some seconds"
        )
    return max(1, min(_TASKS, int(most / one)))


def _range(values: Doubles, what: str) -> tuple[float, float]:
    finite = values[np.isfinite(values)]
    if not finite.size:
        raise UnmeasuredError(
            f"over an episode, no {what} is a number above 0" if what != "loss" else "no loss is finite"
        )
    low, high = np.percentile(finite, _SHARES)
    return float(low), float(high)
