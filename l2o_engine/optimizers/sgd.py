"""Gradient descent."""

from typing import Literal

from l2o_engine.optimizers.base import OPTIMIZERS, HandDesigned
from l2o_engine.optimizers.tuned import TunedNote
from l2o_engine.support.settings import Label, Positive, settings
from l2o_engine.tasks.base import Array


@OPTIMIZERS.register
@settings
class Sgd(HandDesigned):
    """Gradient descent: u = -learning_rate·g.

    Attributes
    ----------
    learning_rate
        The factor.
    name
        What it is called in charts and tables.
    tuned
        That tuning found these settings, and on what.
    """

    learning_rate: Positive = 0.1
    name: Label = "SGD"
    tuned: TunedNote = None
    kind: Literal["sgd"] = "sgd"

    def init(self, x: Array) -> None:
        """Return None: there is no state."""

    def update(self, gradient: Array, state: None) -> tuple[Array, None]:
        """Return -learning_rate·g."""
        return -self.learning_rate * gradient, state
