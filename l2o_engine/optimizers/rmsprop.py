"""RMSProp."""

from typing import Literal

import numpy as np

from l2o_engine.optimizers.base import OPTIMIZERS, HandDesigned
from l2o_engine.support.settings import Fraction, Label, Positive, settings
from l2o_engine.tasks.base import Array


@OPTIMIZERS.register
@settings
class RmsProp(HandDesigned):
    """RMSProp: s = decay·s + (1 - decay)·g², u = -learning_rate·g/(√s + epsilon), s from 0 (Hinton, lecture 6e).

    Attributes
    ----------
    learning_rate
        The factor.
    decay
        How much of s is kept from step to step.
    epsilon
        Added to √s.
    name
        What it is called in charts and tables.
    """

    learning_rate: Positive = 0.1
    decay: Fraction = 0.99
    epsilon: Positive = 1e-5
    name: Label = "RMSProp"
    kind: Literal["rmsprop"] = "rmsprop"

    def init(self, x: Array) -> Array:
        """Return s = 0, of x's shape."""
        return np.zeros_like(x)

    def update(self, gradient: Array, state: Array) -> tuple[Array, Array]:
        """Return the update and the next s."""
        state = self.decay * state + (1 - self.decay) * gradient**2
        return -self.learning_rate * gradient / (np.sqrt(state) + self.epsilon), state

    @property
    def small_numbers(self) -> dict[str, float]:
        """ε, which keeps the first step from dividing by 0."""
        return {"epsilon": self.epsilon}
