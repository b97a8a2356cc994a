"""RMSProp."""

from typing import Literal

from l2o_engine.optimizers.base import OPTIMIZERS, HandDesigned, square_root
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

    def init(self, x: Array) -> float:
        """Return s = 0, for every coordinate."""
        return 0.0

    def update(self, gradient: Array, state: Array) -> tuple[Array, Array]:
        """Return the update and the next s."""
        state = self.decay * state + (1 - self.decay) * gradient**2
        return -self.learning_rate * gradient / (square_root(state) + self.epsilon), state

    @property
    def small_numbers(self) -> dict[str, float]:
        """ε, which keeps the first step from dividing by 0."""
        return {"epsilon": self.epsilon}
