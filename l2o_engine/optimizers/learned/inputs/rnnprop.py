"""The gradient and its running mean, in units of its running magnitude: RNNprop's inputs."""

from typing import TYPE_CHECKING, ClassVar, Literal

from l2o_engine.optimizers.learned.inputs.base import INPUTS, Encoded, Inputs, Memory, Numbers, side_by_side
from l2o_engine.support.settings import Fraction, Positive, settings

if TYPE_CHECKING:
    from torch import Tensor

_LEAST = 2e-38  # of a square: nothing beside ε², and the root of 0 would have no derivative


@INPUTS.register
@settings
class RnnProp(Inputs):
    """In g/s and m̂/s with s = √v̂ + ε, where m̂ and v̂ are Adam's of this gradient; out -reach·tanh(u).

    m ← β1·m + (1 - β1)·g, v ← β2·v + (1 - β2)·g², and m̂ = m/(1 - β1^t), v̂ = v/(1 - β2^t) at the t-th step, from 1 on
    (Lv, Jiang & Li, 2017; vfleaking/rnnprop). The network was an LSTM with input_projection = "elu".

    Attributes
    ----------
    beta1, beta2
        How much of the means m and v is kept from step to step.
    epsilon
        Added to the magnitude that is divided by.
    reach
        No coordinate moves farther in one step.
    """

    beta1: Fraction = 0.95
    beta2: Fraction = 0.95
    epsilon: Positive = 1e-8
    reach: Positive = 0.1
    kind: Literal["rnnprop"] = "rnnprop"
    width: ClassVar[int] = 2
    scales_itself: ClassVar[bool] = True
    remembers: ClassVar[tuple[str, ...]] = ("mean", "square", "steps")

    def begin(self, x: "Tensor") -> Memory:
        """Begin with means of 0: of the gradient and its square, of x's shape, and of the steps [] that were seen."""
        return {"mean": x.new_zeros(x.shape), "square": x.new_zeros(x.shape), "steps": x.new_zeros(())}

    def encode(self, gradient: "Tensor", memory: Memory, numbers: Numbers) -> Encoded:
        """Return both numbers, behind the coordinates: [..., 2]."""
        steps = memory["steps"] + 1
        mean = self.beta1 * memory["mean"] + (1 - self.beta1) * gradient
        square = self.beta2 * memory["square"] + (1 - self.beta2) * gradient**2
        magnitude = (square / (1 - self.beta2**steps)).clamp(min=_LEAST).sqrt() + self.epsilon
        inputs = side_by_side(gradient / magnitude, mean / (1 - self.beta1**steps) / magnitude)
        return Encoded(inputs, gradient, gradient, {"mean": mean, "square": square, "steps": steps})

    def decode(self, outputs: "Tensor", encoded: Encoded, numbers: Numbers) -> "Tensor":
        """Move down for an output above 0, by the reach at most."""
        return -self.reach * outputs.tanh()

    @property
    def small_numbers(self) -> dict[str, float]:
        """What keeps 0/0 away."""
        return {"epsilon": self.epsilon}
