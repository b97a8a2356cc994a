"""What optimizes: an (init, update) pair with explicit state, as in optax.

A hand-designed rule and a learned optimizer with its weights are the same to who calls them. :func:`run` lets any of
them loose on any number of tasks at once, so that a thousand draws cost milliseconds; and one rule at many learning
rates (:func:`side_by_side`), so that a search costs little more. A rule that needs more than the gradient where it
stands :class:`looks <Looking>` before each update.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Protocol

import numpy as np

from l2o_engine.support.arrays import Floats
from l2o_engine.support.registry import Registry
from l2o_engine.support.settings import fields_of
from l2o_engine.tasks.base import Array, Task, TaskFamily

_MOST_EXACT = 100  # coordinates of a task whose Hessian's diagonal is taken a product a coordinate


class Optimizer(Protocol):
    """A rule that turns gradients into updates."""

    @property
    def name(self) -> str:
        """What it is called in charts and tables."""
        ...

    def init(self, x: Array) -> Any:
        """Return the state before the first step, for points x of any shape."""
        ...

    def update(self, gradient: Array, state: Any) -> tuple[Array, Any]:
        """Return what to add to x, of the gradient's shape, and the next state."""
        ...


class HandDesigned(ABC):
    """An optimizer that a preset's [[baseline]] table describes: its fields are its settings.

    Attributes
    ----------
    searched
        Setting → the values that tuning tries, one setting after the other, each value with the learning rate searched
        anew.
    """

    kind: str
    name: str
    searched: ClassVar[Mapping[str, Sequence[Any]]] = {}

    @abstractmethod
    def init(self, x: Array) -> Any:
        """Return the state before the first step, for points x of any shape."""

    @abstractmethod
    def update(self, gradient: Array, state: Any) -> tuple[Array, Any]:
        """Return what to add to x, of the gradient's shape, and the next state."""

    @property
    def settings(self) -> dict[str, Any]:
        """Name → value of what makes it the rule that it is: not its kind, its name, or what is noted of it."""
        return {name: getattr(self, name) for name in fields_of(type(self)) if name not in ("kind", "name", "tuned")}

    @property
    def small_numbers(self) -> dict[str, float]:
        """Setting → number that must not round to 0 in the run's dtype."""
        return {}


OPTIMIZERS: Registry[HandDesigned] = Registry("optimizer", __package__)


@dataclass(frozen=True, eq=False)
class Surroundings:
    """What there is to see where an optimizer stands, at one base step.

    Attributes
    ----------
    task
        What is optimized.
    x
        The points [..., *shape].
    step
        Which base step it is, from 0 on: whose minibatch.
    gradient
        [..., *shape], at x.
    """

    task: Task
    x: Array
    step: int
    gradient: Array

    @property
    def axes(self) -> tuple[int, ...]:
        """The axes that are the coordinates of one task, from the end: (-1,) for most."""
        return tuple(range(-len(self.task.family.shape), 0))

    def gradient_at(self, x: Array) -> Array:
        """Return the gradient [..., *shape] at other points, on this step's minibatch."""
        return self.task.gradient(x, self.task.minibatch(self.step))

    def curvature(self) -> Array | None:
        """Return the diagonal of the Hessian at x, [..., *shape].

        None where the task knows no product with its Hessian, or has so many coordinates that as many products would
        take too long.
        """
        family, x = self.task.family, self.x
        if family.size > _MOST_EXACT:
            return None
        diagonal = nothing = 0 * x
        for unit in np.eye(family.size).reshape(family.size, *family.shape):
            along = nothing + self._like_x(unit)
            product = family.hessian_product(x, along, self.task.parameters)
            if product is None:
                return None
            diagonal = diagonal + along * product
        return diagonal

    def samples(self, number: int) -> Iterator["Surroundings"]:
        """Yield what is to be seen at x on each of the first minibatches; itself alone, where a task has none."""
        if not self.task.minibatches:
            yield self
            return
        steps = next(iter(self.task.minibatches.values())).shape[self.x.ndim - len(self.axes)]
        for step in range(min(number, steps)):
            yield replace(self, step=step, gradient=self.task.gradient(self.x, self.task.minibatch(step)))

    def _like_x(self, values: Floats) -> Array:
        """Return numbers as an array, or as a tensor, of the points' dtype."""
        is_array = isinstance(self.x, np.ndarray)
        return values.astype(self.x.dtype) if is_array else self.x.new_tensor(values.tolist())


class Looking(ABC):
    """A rule that needs more than the gradient where it stands: it looks around before each update."""

    @abstractmethod
    def look(self, state: Any, around: Surroundings) -> Any:
        """Return the state with what was seen in it, for the update of this step."""


class Placed(ABC):
    """A rule that asks which coordinates of a point belong together, before it is let loose on tasks."""

    @abstractmethod
    def on(self, family: TaskFamily) -> Optimizer:
        """Return the rule for points of this family."""


def side_by_side(rules: Sequence[HandDesigned], like: Floats) -> HandDesigned:
    """Return one rule at many learning rates at once, for :func:`run` on :func:`repeated` tasks.

    Parameters
    ----------
    rules
        The rule at each of them; what they have besides is equal.
    like
        [...], the starting points of the tasks that are repeated: of their dtype and number of axes.

    Raises
    ------
    ValueError
        If they differ in anything but the learning rate.
    """
    first = rules[0]
    for rule in rules:
        if type(rule) is not type(first) or any(
            getattr(rule, name) != getattr(first, name) for name in fields_of(type(first)) if name != "learning_rate"
        ):
            raise ValueError("rules side by side differ in their learning rate alone")
    rates = np.array([vars(rule)["learning_rate"] for rule in rules], like.dtype)
    many = copy(first)  # whose rates were checked when each rule was made
    object.__setattr__(many, "learning_rate", rates.reshape(-1, *(1 for _ in like.shape)))
    return many


def repeated(task: Task, times: int) -> Task:
    """Return tasks with one more axis in front, along which they are the same; no number is copied."""
    return task.with_arrays(lambda values: np.broadcast_to(values, (times, *values.shape)))


def run(optimizer: Optimizer, task: Task, steps: int, between: Callable[[], None] = lambda: None) -> Floats:
    """Run an optimizer on drawn tasks, as NumPy arrays; see :func:`course`, of which this is the losses."""
    return course(optimizer, task, steps, between)[0]


def course(
    optimizer: Optimizer,
    task: Task,
    steps: int,
    between: Callable[[], None] = lambda: None,
    *,
    seen: Callable[[int, Array], None] = lambda step, x: None,
) -> tuple[Floats, Floats]:
    """Run an optimizer on drawn tasks, as NumPy arrays.

    Parameters
    ----------
    optimizer, task, steps
        What runs on what, and how many losses are recorded.
    between
        Called before each step; what it raises ends the run.
    seen
        Told each step and the points [..., *shape] where its loss is recorded.

    Returns
    -------
    tuple
        The losses [..., steps], each recorded before its update, so the last is the one after steps - 1 updates; and
        the points [..., *shape] where it was recorded.
    """
    x = task.init()
    if isinstance(optimizer, Placed):
        optimizer = optimizer.on(task.family)
    state = optimizer.init(x)
    losses = []
    with np.errstate(over="ignore", invalid="ignore"):  # a diverging optimizer shows as inf or NaN, which is reported
        for step in range(steps):
            between()
            seen(step, x)
            minibatch = task.minibatch(step)
            if step == steps - 1:
                losses.append(task.loss(x, minibatch))
                break
            loss, gradient = task.loss_and_gradient(x, minibatch)
            losses.append(loss)
            if isinstance(optimizer, Looking):
                state = optimizer.look(state, Surroundings(task, x, step, gradient))
            update, state = optimizer.update(gradient, state)
            x = x + update
    return np.stack(losses, axis=-1), x
