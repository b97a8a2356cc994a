"""Adam."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, NamedTuple

from l2o_engine.optimizers.base import OPTIMIZERS, HandDesigned
from l2o_engine.optimizers.tuned import TunedNote
from l2o_engine.support.arrays import elementwise
from l2o_engine.support.settings import Fraction, Label, Positive, settings
from l2o_engine.tasks.base import Array


class _State(NamedTuple):
    """Means of g and g², and how many steps were done."""

    mean: Array = 0.0
    square: Array = 0.0
    steps: int = 0


@OPTIMIZERS.register
@settings
class Adam(HandDesigned):
    """Adam: u = -learning_rate·m̂/(√v̂ + epsilon), m̂ and v̂ the means of g and g² (Kingma & Ba 2015, algorithm 1).

    m = beta1·m + (1 - beta1)·g, v = beta2·v + (1 - beta2)·g², both from 0; at step t, from 1 on, the bias towards 0 is
    taken off: m̂ = m/(1 - beta1^t), v̂ = v/(1 - beta2^t). The meta-optimizer is TensorFlow 1's, which adds ε elsewhere.

    Attributes
    ----------
    learning_rate
        The factor.
    beta1
        How much of m is kept from step to step.
    beta2
        How much of v is kept from step to step.
    epsilon
        Added to √v̂.
    name
        What it is called in charts and tables.
    tuned
        That tuning found these settings, and on what.
    """

    learning_rate: Positive = 0.001
    beta1: Fraction = 0.9
    beta2: Fraction = 0.999
    epsilon: Positive = 1e-8
    name: Label = "Adam"
    tuned: TunedNote = None
    kind: Literal["adam"] = "adam"
    searched: ClassVar[Mapping[str, Sequence[Any]]] = {
        "beta1": (0.0, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95),
        "beta2": (0.5, 0.9, 0.99, 0.999),
    }

    def init(self, x: Array) -> _State:
        """Return m = v = 0, for every coordinate."""
        return _State()

    def update(self, gradient: Array, state: _State) -> tuple[Array, _State]:
        """Return the update and the next means."""
        mean = self.beta1 * state.mean + (1 - self.beta1) * gradient
        square = self.beta2 * state.square + (1 - self.beta2) * gradient**2
        steps = state.steps + 1
        unbiased, root = mean / (1 - self.beta1**steps), elementwise("sqrt", square / (1 - self.beta2**steps))
        return -self.learning_rate * unbiased / (root + self.epsilon), _State(mean, square, steps)

    @property
    def small_numbers(self) -> dict[str, float]:
        """ε, which keeps a step from dividing by 0."""
        return {"epsilon": self.epsilon}
