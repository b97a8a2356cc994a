"""RMSProp."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

from l2o_engine.optimizers.base import OPTIMIZERS, HandDesigned
from l2o_engine.optimizers.tuned import TunedNote
from l2o_engine.support.arrays import elementwise
from l2o_engine.support.settings import Flag, Fraction, Label, Positive, settings
from l2o_engine.tasks.base import Array


class _State(NamedTuple):
    """Means of g² and, where they are wanted, of g, and the momentum's mean of steps."""

    square: Array = 0.0
    mean: Array = 0.0
    velocity: Array = 0.0


@OPTIMIZERS.register
@settings
class RmsProp(HandDesigned):
    """RMSProp: s = decay·s + (1 - decay)·g², u = -learning_rate·g/(√s + epsilon), s from 0 (Hinton, lecture 6e).

    With centred = true √(s - m²) stands in place of √s, m = decay·m + (1 - decay)·g (Graves 2013); with momentum the
    steps add up, v = momentum·v + g/(√s + epsilon), u = -learning_rate·v. Both are as in torch.optim.RMSprop, with ε
    outside of the root (TensorFlow 1 has it inside).

    Attributes
    ----------
    learning_rate
        The factor.
    decay
        How much of s is kept from step to step.
    epsilon
        Added to √s.
    momentum
        How much of v is kept from step to step.
    centred
        Whether the square of the mean gradient is taken off s.
    name
        What it is called in charts and tables.
    tuned
        That tuning found these settings, and on what.
    """

    learning_rate: Positive = 0.1
    decay: Fraction = 0.99
    epsilon: Positive = 1e-5
    momentum: Fraction = 0.0
    centred: Flag = False
    name: Label = "RMSProp"
    tuned: TunedNote = None
    kind: Literal["rmsprop"] = "rmsprop"
    searched: ClassVar[Mapping[str, Sequence[Any]]] = {
        "decay": (0.5, 0.8, 0.9, 0.95, 0.99, 0.999),
        "momentum": (0.0, 0.3, 0.6, 0.9),
    }

    def init(self, x: Array) -> _State:
        """Return s = 0, for every coordinate."""
        return _State()

    def update(self, gradient: Array, state: _State) -> tuple[Array, _State]:
        """Return the update and the next s."""
        square = self.decay * state.square + (1 - self.decay) * gradient**2
        mean, variance = state.mean, square
        if self.centred:
            mean = self.decay * mean + (1 - self.decay) * gradient
            variance = (square - mean**2).clip(min=0)  # which rounding may bring below
        root = elementwise("sqrt", variance) + self.epsilon
        if not self.momentum:
            return -self.learning_rate * gradient / root, _State(square, mean)
        velocity = self.momentum * state.velocity + gradient / root
        return -self.learning_rate * velocity, _State(square, mean, velocity)

    @property
    def small_numbers(self) -> dict[str, float]:
        """ε, which keeps the first step from dividing by 0."""
        return {"epsilon": self.epsilon}
