"""Gradient descent with momentum, Polyak's and Nesterov's."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

from l2o_engine.optimizers.base import OPTIMIZERS, HandDesigned, Looking, Surroundings
from l2o_engine.optimizers.tuned import TunedNote
from l2o_engine.support.settings import Flag, Fraction, Label, Positive, settings
from l2o_engine.tasks.base import Array

_NESTEROV = "Nesterov"


class _State(NamedTuple):
    """The velocity v, and the gradient at x + momentum·v once it was looked at."""

    velocity: Array
    ahead: Array | None = None


@OPTIMIZERS.register
@settings
class Momentum(HandDesigned, Looking):
    """Gradient descent with momentum: v = momentum·v - learning_rate·g, u = v, v from 0.

    g is the gradient at x (Polyak 1964), or, with nesterov = true, at x + momentum·v (Nesterov 1983): both as Sutskever
    et al. 2013 write them, equations 1 to 4. Libraries that know the gradient at one point only (torch, Keras) keep
    x + momentum·v as their x, and so have the loss there; ours is that of x itself.

    Attributes
    ----------
    learning_rate
        The factor.
    momentum
        How much of v is kept from step to step.
    nesterov
        Whether the gradient is that of the point which v alone would lead to.
    name
        What it is called in charts and tables; with nesterov = true "Nesterov", if not given.
    tuned
        That tuning found these settings, and on what.
    """

    learning_rate: Positive = 0.1
    momentum: Fraction = 0.9
    nesterov: Flag = False
    name: Label = "Momentum"
    tuned: TunedNote = None
    kind: Literal["momentum"] = "momentum"
    searched: ClassVar[Mapping[str, Sequence[Any]]] = {"momentum": (0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.99)}

    def __post_init__(self) -> None:
        if self.nesterov and self.name == "Momentum":
            object.__setattr__(self, "name", _NESTEROV)

    def init(self, x: Array) -> _State:
        """Return v = 0, for every coordinate."""
        return _State(0 * x)

    def look(self, state: _State, around: Surroundings) -> _State:
        """Look at the gradient ahead, where that is wanted."""
        return state._replace(
            ahead=around.gradient_at(around.x + self.momentum * state.velocity) if self.nesterov else None
        )

    def update(self, gradient: Array, state: _State) -> tuple[Array, _State]:
        """Return the next v, which is the update.

        Raises
        ------
        ValueError
            If it is Nesterov's and has not looked ahead.
        """
        if self.nesterov:
            if state.ahead is None:
                raise ValueError("Nesterov's momentum needs the gradient ahead: give it a look before each update")
            gradient = state.ahead
        velocity = self.momentum * state.velocity - self.learning_rate * gradient
        return velocity, _State(velocity)
