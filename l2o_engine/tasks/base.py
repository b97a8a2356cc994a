"""What is optimized: a family draws tasks, and a task says where to start and what a point costs.

Draws are made here, outside of every backend, so that all backends see the same ones. A family's ``loss`` and
``gradient`` use only operators and methods that NumPy arrays and torch tensors share, so one definition serves the
vectorised hand-designed optimizers and the differentiated unroll alike.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, Protocol, TypeAlias

import numpy as np

from l2o_engine.support.arrays import Floats
from l2o_engine.support.registry import Registry

Array: TypeAlias = Any
"""A NumPy array or a torch tensor."""

Arrays: TypeAlias = Mapping[str, Array]


class Group(Protocol):
    """Coordinates of a point that belong together, a layer's matrix for instance."""

    @property
    def place(self) -> slice:
        """Where they lie in a point's coordinates, flat."""
        ...

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the tensor that they are."""
        ...

    @property
    def part(self) -> str:
        """What of the problem they are of, in a word: "conv", "fc"; optimizers may be given parts."""
        ...


class TaskFamily(ABC):
    """Draws tasks that differ in their start and their parameters. Its fields are its settings."""

    kind: str

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """The shape of a point x."""

    @property
    def size(self) -> int:
        """Number of coordinates of a point."""
        return prod(self.shape)

    @property
    def groups(self) -> Mapping[str, Group]:
        """Name → the coordinates of each group, in their order: all of them, or there are no groups."""
        return {}

    @abstractmethod
    def draw(self, generator: np.random.Generator, n: int, batch: int, *, steps: int, dtype: str) -> "Task":
        """Draw tasks.

        Numbers are drawn in float64 and rounded, so that both dtypes see the same tasks. Drawing n at once gives the
        same tasks as drawing one n times.

        Parameters
        ----------
        generator
            What is drawn from.
        n, batch
            How many batches of how many tasks: the leading axes of the task's arrays.
        steps
            For how many base steps minibatches are drawn; a family without minibatches needs none.
        dtype
            Of the arrays, but of those of whole numbers.
        """

    @abstractmethod
    def loss(self, x: Array, parameters: Arrays, minibatch: Arrays | None = None) -> Array:
        """Return the loss [...] at the points x [..., *shape]."""

    def gradient(self, x: Array, parameters: Arrays, minibatch: Arrays | None = None) -> Array:
        """Return the gradient [..., *shape] of the loss at the points x: by autograd, where no formula is known."""
        from l2o_engine.tasks.autograd import gradient

        return gradient(self.loss, x, parameters, minibatch)

    def loss_and_gradient(self, x: Array, parameters: Arrays, minibatch: Arrays | None = None) -> tuple[Array, Array]:
        """Return the loss [...] and its gradient [..., *shape] at the points x: together, where that is less work."""
        if type(self).gradient is TaskFamily.gradient:
            from l2o_engine.tasks.autograd import loss_and_gradient

            return loss_and_gradient(self.loss, x, parameters, minibatch)
        return self.loss(x, parameters, minibatch), self.gradient(x, parameters, minibatch)

    def hessian_product(self, x: Array, v: Array, parameters: Arrays) -> Array | None:
        """Return the Hessian of the loss at x times v, [..., *shape] as both are; None where no formula is known."""
        return None

    def disturbance(self, parameters: Arrays, minibatch: Arrays | None) -> Array | None:
        """Return what a base step's gradient is off the loss's, [..., *shape]; None where it is the loss's own.

        :meth:`gradient` has it in it; who differentiates the loss adds it.
        """
        return None

    def split(self, share: float) -> "TaskFamily":
        """Return a family of tasks whose losses are of a share of the data that their gradients are not of.

        Only meta-training asks for it.

        Raises
        ------
        ValueError
            If the losses are not of a data set's minibatches.
        """
        raise ValueError(f'"{self.kind}" has no data to be split')

    def optimum(self, task: "Task") -> Floats | None:
        """Return where each task's loss is least, [..., *shape]; None where that is not known."""
        return None

    @property
    def has_held_out(self) -> bool:
        """Whether there is data that no loss is of, and :meth:`held_out_loss` is the loss over it."""
        return False

    def held_out_loss(self, x: Floats) -> Floats:
        """Return the loss [...] at the points x [..., *shape] over data that no minibatch is drawn from.

        Raises
        ------
        ValueError
            If there is none.
        """
        raise ValueError(f'"{self.kind}" holds no data out')

    @property
    def is_known(self) -> bool:
        """Whether its shape is known: else to ask for it would run a user's code, which he may not have allowed."""
        return True

    @property
    def is_code(self) -> bool:
        """Whether its :attr:`sources` say what it computes, so that with others it is another problem."""
        return False

    @property
    def sources(self) -> Mapping[str, str]:
        """File name → SHA-256 of the files that its tasks are made of; they are read now, if they were not before.

        Raises
        ------
        UserError
            If one is not there or cannot be read.
        """
        return {}

    @property
    def graph_numbers(self) -> int:
        """How many numbers autograd keeps of one loss, besides those of the point: what an unroll takes, in memory."""
        return 0

    def numbers_drawn(self, steps: int) -> int:
        """Return how many numbers a task of so many base steps is made of: what drawing it takes, in memory."""
        return 2 * self.size


TASKS: Registry[TaskFamily] = Registry("task", __package__)


@dataclass(frozen=True, eq=False)
class Task:
    """Drawn tasks of one family, any number at once: all arrays have the same leading axes, [n, batch] as drawn.

    Attributes
    ----------
    family
        What they were drawn from.
    start
        [..., *shape]: where an optimizer starts.
    parameters
        Name → [..., anything]: what makes each task itself.
    minibatches
        Name → [..., steps, anything]: the data that each base step's loss is of; empty where the loss needs none.
    judged
        The same, where the losses that an unroll is judged by are of other data than the gradients that the optimizer
        sees (:meth:`TaskFamily.split`); else empty.
    """

    family: TaskFamily
    start: Array
    parameters: Arrays
    minibatches: Arrays = field(default_factory=dict)
    judged: Arrays = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.start)

    def __getitem__(self, index: int | slice) -> "Task":
        return self.with_arrays(lambda values: values[index])

    def with_arrays(self, change: Callable[[Array], Array]) -> "Task":
        """Return the tasks with every array changed, into a tensor for instance."""
        return replace(
            self,
            start=change(self.start),
            parameters={name: change(values) for name, values in self.parameters.items()},
            minibatches={name: change(values) for name, values in self.minibatches.items()},
            judged={name: change(values) for name, values in self.judged.items()},
        )

    def init(self) -> Array:
        """Return the starting points [..., *shape]."""
        return self.start

    def loss(self, x: Array, minibatch: Arrays | None = None) -> Array:
        """Return the loss [...] at the points x [..., *shape]."""
        return self.family.loss(x, self.parameters, minibatch)

    def gradient(self, x: Array, minibatch: Arrays | None = None) -> Array:
        """Return the gradient [..., *shape] of the loss at the points x."""
        return self.family.gradient(x, self.parameters, minibatch)

    def loss_and_gradient(self, x: Array, minibatch: Arrays | None = None) -> tuple[Array, Array]:
        """Return the loss [...] and its gradient [..., *shape] at the points x."""
        return self.family.loss_and_gradient(x, self.parameters, minibatch)

    def disturbance(self, minibatch: Arrays | None = None) -> Array | None:
        """Return what the gradient is off the loss's, [..., *shape]; None where it is the loss's own."""
        return self.family.disturbance(self.parameters, minibatch)

    def optimum(self) -> Floats | None:
        """Return where the loss is least, [..., *shape]; None where that is not known."""
        return self.family.optimum(self)

    def minibatch(self, step: int) -> Arrays | None:
        """Return the data of a base step, name → [..., anything]; None where the loss needs none."""
        return self._of_step(self.minibatches, step)

    def judging(self, step: int) -> Arrays | None:
        """Return the data that a base step is judged by, where that is other than :meth:`minibatch`; else None."""
        return self._of_step(self.judged, step)

    def _of_step(self, arrays: Arrays, step: int) -> Arrays | None:
        if not arrays:
            return None
        leading = (slice(None),) * (self.start.ndim - len(self.family.shape))
        return {name: values[*leading, step] for name, values in arrays.items()}

    def in_batches_of(self, size: int) -> "Task":
        """Return the same tasks, in order, in batches of another size; the last, repeated, fills the last batch."""
        n, batch = self.start.shape[:2]
        missing = -(n * batch) % size

        def regrouped(values: Floats) -> Floats:
            singles = values.reshape(n * batch, *values.shape[2:])
            filled = np.concatenate([singles, np.repeat(singles[-1:], missing, axis=0)])
            return filled.reshape(len(filled) // size, size, *values.shape[2:])

        return self.with_arrays(regrouped)

    @staticmethod
    def joined(tasks: "list[Task]") -> "Task":
        """Return tasks of one family one behind the other, along the first axis."""
        first = tasks[0]
        return replace(
            first,
            start=np.concatenate([task.start for task in tasks]),
            parameters={name: np.concatenate([task.parameters[name] for task in tasks]) for name in first.parameters},
            minibatches={
                name: np.concatenate([task.minibatches[name] for task in tasks]) for name in first.minibatches
            },
            judged={name: np.concatenate([task.judged[name] for task in tasks]) for name in first.judged},
        )
