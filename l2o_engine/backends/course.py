"""What every backend in torch does: the course that a learner takes, a differentiated unroll a meta-iteration.

How an unroll is differentiated is the backend's own (:meth:`UnrollingBackend.differentiate`); what the policy makes of
one that is not finite, clipping, Adam and what is told of it are here.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from math import isfinite
from threading import Lock
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from l2o_engine.meta.experiment import Experiment
from l2o_engine.meta.learner import Learner, MetaGradient, Results, Trace, Truncated, traced
from l2o_engine.meta.meta_adam import MetaAdam
from l2o_engine.meta.truncation import Carried
from l2o_engine.optimizers.learned.inputs.base import Numbers
from l2o_engine.support.arrays import Floats
from l2o_engine.tasks.base import Task

_inside: list[int] = []  # how many threads those ask for who are in `torch_threads`, after how many there were before
_changing = Lock()


@contextmanager
def torch_threads(count: int) -> Iterator[None]:
    """Have torch take so many threads for an operation.

    It is one number for this thread and all that use torch for the first time meanwhile. Where several ask at once, the
    last one has it; when the last of them leaves, it is what it was before the first.
    """
    with _changing:
        if not _inside:
            _inside.append(torch.get_num_threads())
        _inside.append(count)
        if torch.get_num_threads() != count:
            torch.set_num_threads(count)
    try:
        yield
    finally:
        with _changing:
            _inside.remove(count)
            wanted = _inside[-1]
            if len(_inside) == 1:
                _inside.clear()
            if torch.get_num_threads() != wanted:
                torch.set_num_threads(wanted)


def matrix_product(side: int, threads: int) -> Callable[[], None]:
    """Return what multiplies two matrices [side, side] of float32 in so many threads: what a machine can do."""
    one, out = torch.ones(side, side), torch.empty(side, side)

    def product() -> None:
        with torch_threads(threads):
            torch.mm(one, one, out=out)

    return product


class UnrollingBackend(ABC):
    """Computes meta-iterations one after the other, each an unroll that is differentiated at once."""

    is_parallel = False

    def __init__(self, experiment: Experiment) -> None:
        self._experiment = experiment
        self._learned = experiment.trained

    @abstractmethod
    def differentiate(self, weights: Tensor, numbers: Numbers, task: Task, carried: Carried | None = None) -> "Step":
        """Unroll the learned optimizer on one batch of tasks, and differentiate the objective of its losses.

        Parameters
        ----------
        weights, numbers
            [size], and the inputs' adaptive numbers.
        task
            Its arrays are [batch, …].
        carried
            What the episodes have come to; None where the tasks are begun.
        """

    def train(self, learner: Learner, task: Task) -> tuple[Learner, Results]:
        """Do one meta-iteration for each batch of tasks; see :class:`~l2o_engine.meta.learner.Backend`."""
        course = _Course(self._experiment, learner)
        with torch_threads(self._experiment.torch_threads):
            for index in range(len(task)):
                if course.diverged:
                    break
                course.take(self.differentiate(course.weights, course.numbers, task[index]))
        results = course.results()
        return course.learner, replace(results, trace=course.trace(task[: len(results)])) if len(results) else results

    def truncated(self, learner: Learner, task: Task, carried: Carried) -> Truncated:
        """Do one meta-iteration of a part of an episode; see :class:`~l2o_engine.meta.learner.Truncating`."""
        course = _Course(self._experiment, learner)
        with torch_threads(self._experiment.torch_threads):
            step = self.differentiate(course.weights, course.numbers, task[0], carried)
        course.take(step)
        return Truncated(course.learner, course.results(), step.unrolled.carried, lambda: course.trace(task))

    def meta_gradient(self, learner: Learner, task: Task, carried: Carried | None = None) -> MetaGradient:
        """Return one meta-gradient before clipping; see :class:`~l2o_engine.meta.learner.Truncating`."""
        with torch_threads(self._experiment.torch_threads):
            step = self.differentiate(torch.from_numpy(learner.weights), learner.numbers, task[0], carried)
        return MetaGradient(step.losses, step.objective, step.norm, step.gradient.numpy())


class Unrolled(NamedTuple):
    """One unroll on one batch of tasks."""

    losses: Tensor  # [steps, batch], each recorded before its update
    smallest_signal: float  # |signal| at the last step; NaN where the inputs do not adapt
    points: list[Tensor]  # steps × [batch, *shape]
    gradients: list[Tensor]  # steps - 1 × [batch, *shape], as are updates
    inputs: list[Tensor]  # the same, and [..., width] where that is not 1
    updates: list[Tensor]
    carried: Carried  # into the next truncation; nothing where there is none


class Step(NamedTuple):
    """One differentiated unroll."""

    losses: Floats  # [batch, steps]
    objective: float
    gradient: Tensor  # [size], the meta-gradient before clipping
    norm: float
    unrolled: Unrolled


class _Course:
    """What a learner becomes, meta-iteration by meta-iteration, and what each gave.

    Attributes
    ----------
    numbers, diverged
        The learner's, as they are now.
    """

    def __init__(self, experiment: Experiment, learner: Learner) -> None:
        self.numbers, self.diverged = learner.numbers, learner.diverged
        self._experiment = experiment
        self._optimizer = MetaOptimizer(experiment.meta, learner)
        self._in_a_row = learner.non_finite_in_a_row
        self._losses: list[Floats] = []
        self._objectives: list[float] = []
        self._norms: list[float] = []
        self._used: list[Numbers] = []
        self._non_finite: list[bool] = []
        rows = experiment.meta.batch * experiment.trained_on.size
        self._unrolled: deque[Unrolled] = deque(maxlen=traced(experiment.truncation.losses, rows))

    @property
    def weights(self) -> Tensor:
        """The weights as they are now."""
        return self._optimizer.weights

    def take(self, step: Step) -> None:
        """Take one step of the meta-optimizer, unless the policy forbids it."""
        meta = self._experiment.meta
        bad = not (isfinite(step.norm) and bool(np.isfinite(step.losses).all()))
        self._in_a_row = self._in_a_row + 1 if bad else 0
        self._unrolled.append(step.unrolled)
        self._losses.append(step.losses)
        self._objectives.append(step.objective)
        self._norms.append(step.norm)
        self._used.append(self.numbers)
        self._non_finite.append(bad)
        beyond_policy = bad and (meta.non_finite == "stop" or 0 < meta.max_non_finite < self._in_a_row)
        if not beyond_policy and not (bad and meta.non_finite == "skip"):
            self._optimizer.step(_condition(step.gradient, step.norm, meta))
        self.diverged = beyond_policy or not bool(torch.isfinite(self.weights).all())
        self.numbers = self._experiment.trained.inputs.adapt(self.numbers, step.unrolled.smallest_signal)

    @property
    def learner(self) -> Learner:
        """The learner as it is now."""
        return self._optimizer.learner(self.numbers, self._in_a_row, self.diverged)

    def results(self) -> Results:
        """Return what the meta-iterations gave, without their trace."""
        n, names = len(self._losses), self.numbers
        if not n:
            experiment = self._experiment
            return Results.nothing(experiment.meta.batch, experiment.truncation.losses, experiment.dtype, names)
        return Results(
            np.stack(self._losses),
            np.array(self._objectives),
            np.array(self._norms),
            np.array(self._non_finite, bool),
            {name: np.array([one[name] for one in self._used]) for name in names},
        )

    def trace(self, task: Task) -> Trace:
        """Return what passed in the last meta-iterations, of those on these batches of tasks."""
        task = task[len(task) - len(self._unrolled) :]

        def stack(name: str) -> Floats:
            """Return [k, batch, steps, numbers of a task]."""
            each = [torch.stack(getattr(one, name)).detach().transpose(0, 1).cpu().numpy() for one in self._unrolled]
            stacked = np.stack(each)
            return stacked.reshape(*stacked.shape[:3], -1)

        optimum = task.optimum()
        points = stack("points")
        distance = None if optimum is None else points - optimum.reshape(*points.shape[:2], 1, -1)
        return Trace(distance, stack("gradients"), stack("inputs"), stack("updates"))


def _condition(gradient: Tensor, norm: float, meta: MetaAdam) -> Tensor:
    """Return the meta-gradient as Adam sees it: clipped, scaled to norm 1 or left as it is; spoilt entries 0."""
    if not isfinite(norm):
        # TF1's clip_by_global_norm spoils every entry then, and every spoilt entry becomes 0 (Episode 2).
        whole = meta.gradient != "none"
        return torch.zeros_like(gradient) if whole else torch.where(torch.isfinite(gradient), gradient, 0.0)
    match meta.gradient:
        case "clip" if norm > meta.clip_norm:
            return gradient * (meta.clip_norm / norm)
        case "unit" if norm > 0:
            return (gradient.double() / norm).to(gradient.dtype)  # 1 / norm may be beyond float32
        case _:
            return gradient


class MetaOptimizer:
    """Adam on the flat vector of all weights; see :mod:`l2o_engine.meta.meta_adam` for the formula.

    Attributes
    ----------
    weights
        [size], as they are now.
    """

    def __init__(self, meta: MetaAdam, learner: Learner) -> None:
        self._meta = meta
        self._learner = learner
        self._powers = learner.powers
        self.weights = torch.from_numpy(learner.weights.copy())
        self._moment1 = torch.from_numpy(learner.moment1.copy())
        self._moment2 = torch.from_numpy(learner.moment2.copy())

    def step(self, gradient: Tensor) -> None:
        """Take one step along a meta-gradient [size]."""
        adam = self._meta.constants
        self._powers = self._meta.advance(self._powers)
        self._moment1.mul_(adam.beta1).add_(gradient, alpha=1 - adam.beta1)
        self._moment2.mul_(adam.beta2).addcmul_(gradient, gradient, value=1 - adam.beta2)
        denominator = self._moment2.sqrt().add_(adam.epsilon)
        self.weights.addcdiv_(self._moment1, denominator, value=-self._meta.rate(self._powers))

    def learner(self, numbers: Numbers, in_a_row: int, diverged: bool) -> Learner:
        """Return the learner that it was made of, with its weights and moments as they are now, and these numbers."""
        return replace(
            self._learner,
            weights=self.weights.numpy(),
            moment1=self._moment1.numpy(),
            moment2=self._moment2.numpy(),
            powers=self._powers,
            numbers=numbers,
            non_finite_in_a_row=in_a_row,
            diverged=diverged,
        )
