"""What optimizes: an (init, update) pair with explicit state, as in optax.

A hand-designed rule and a learned optimizer with its weights are the same to who calls them. :func:`run` lets any of
them loose on any number of tasks at once, so that a thousand draws cost milliseconds.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Protocol

import numpy as np

from l2o_engine.support.arrays import Floats
from l2o_engine.support.registry import Registry
from l2o_engine.tasks.base import Array, Task


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
    """An optimizer that a preset's [[baseline]] table describes: its fields are its settings."""

    kind: str
    name: str

    @abstractmethod
    def init(self, x: Array) -> Any:
        """Return the state before the first step, for points x of any shape."""

    @abstractmethod
    def update(self, gradient: Array, state: Any) -> tuple[Array, Any]:
        """Return what to add to x, of the gradient's shape, and the next state."""

    @property
    def small_numbers(self) -> dict[str, float]:
        """Setting → number that must not round to 0 in the run's dtype."""
        return {}


OPTIMIZERS: Registry[HandDesigned] = Registry("optimizer", __package__)


def square_root(values: Array) -> Array:
    """Return √values, of an array or of a tensor."""
    return np.sqrt(values) if isinstance(values, np.ndarray | np.generic) else values.sqrt()


def run(optimizer: Optimizer, task: Task, steps: int, between: Callable[[], None] = lambda: None) -> Floats:
    """Run an optimizer on drawn tasks, as NumPy arrays.

    Parameters
    ----------
    optimizer, task, steps
        What runs on what, and how many losses are recorded.
    between
        Called before each step; what it raises ends the run.

    Returns
    -------
    Floats
        [..., steps]: the losses, each recorded before its update, so the last is the one after steps - 1 updates.
    """
    x = task.init()
    state = optimizer.init(x)
    losses = []
    with np.errstate(over="ignore", invalid="ignore"):  # a diverging optimizer shows as inf or NaN, which is reported
        for step in range(steps):
            between()
            minibatch = task.minibatch(step)
            losses.append(task.loss(x, minibatch))
            if step < steps - 1:
                update, state = optimizer.update(task.gradient(x, minibatch), state)
                x = x + update
    return np.stack(losses, axis=-1)
