"""Hand-designed optimizers, the baselines: each an (init, update) pair with explicit state, as in optax.

They run on NumPy arrays, over any number of problems at once, so a thousand draws cost milliseconds.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from l2o_engine.presets.schema import BaselineSettings, RmsPropBaseline, SgdBaseline
from l2o_engine.support.arrays import Floats
from l2o_engine.tasks.base import Family, Problems


class Optimizer(Protocol):
    """A rule that turns gradients into updates."""

    def init(self, x: Floats) -> Any:
        """Return the state before the first step, for points x [..., dims]."""
        ...

    def update(self, gradient: Floats, state: Any) -> tuple[Floats, Any]:
        """Return what to add to x, and the next state."""
        ...


@dataclass(frozen=True)
class Sgd:
    """Gradient descent: u = -learning_rate·g."""

    learning_rate: float

    def init(self, x: Floats) -> None:
        """Return None: there is no state."""

    def update(self, gradient: Floats, state: None) -> tuple[Floats, None]:
        """Return -learning_rate·g."""
        return -self.learning_rate * gradient, state


@dataclass(frozen=True)
class RmsProp:
    """RMSProp: s = decay·s + (1 - decay)·g², u = -learning_rate·g/(√s + epsilon), s from 0 (Hinton, lecture 6e)."""

    learning_rate: float
    decay: float
    epsilon: float

    def init(self, x: Floats) -> Floats:
        """Return s = 0, of x's shape."""
        return np.zeros_like(x)

    def update(self, gradient: Floats, state: Floats) -> tuple[Floats, Floats]:
        """Return the update and the next s."""
        state = self.decay * state + (1 - self.decay) * gradient**2
        return -self.learning_rate * gradient / (np.sqrt(state) + self.epsilon), state


def make_optimizer(settings: BaselineSettings) -> Optimizer:
    """Return the optimizer that a [[baseline]] table describes."""
    match settings:
        case SgdBaseline():
            return Sgd(settings.learning_rate)
        case RmsPropBaseline():
            return RmsProp(settings.learning_rate, settings.decay, settings.epsilon)


def run_optimizer(optimizer: Optimizer, family: Family, problems: Problems, steps: int) -> Floats:
    """Run an optimizer on drawn problems.

    Returns
    -------
    Floats
        [n, batch, steps]: the losses, each recorded before its update, so the last is the one after steps - 1 updates.
    """
    x = problems.start
    state = optimizer.init(x)
    losses = []
    with np.errstate(over="ignore", invalid="ignore"):  # a diverging baseline shows as inf or NaN, which is reported
        for step in range(steps):
            losses.append(family.loss(x, problems.parameters))
            if step < steps - 1:
                update, state = optimizer.update(family.gradient(x, problems.parameters), state)
                x = x + update
    return np.stack(losses, axis=-1)
