"""The gradient in units of the one before."""

from typing import TYPE_CHECKING, ClassVar, Literal

from l2o_engine.optimizers.learned.inputs.base import INPUTS, Encoded, Inputs, Memory, Numbers
from l2o_engine.support.settings import Positive, settings

if TYPE_CHECKING:
    from torch import Tensor

MAGNITUDE = "magnitude"
"""The name of what is remembered: the last gradient's magnitude."""


@INPUTS.register
@settings
class Ratio(Inputs):
    """In g_t/(|g_{t-1}| + residual), out u·(|g_{t-1}| + residual); at the first step g_{t-1} is g_t itself.

    Attributes
    ----------
    ratio_residual
        Added to what is divided by.
    """

    ratio_residual: Positive = 1e-38
    kind: Literal["ratio"] = "ratio"
    remembers: ClassVar[tuple[str, ...]] = (MAGNITUDE,)

    def encode(self, gradient: "Tensor", memory: Memory, numbers: Numbers) -> Encoded:
        """Divide by the last gradient's magnitude, which is the memory."""
        magnitude = gradient.abs()
        reference = memory.get(MAGNITUDE, magnitude) + self.ratio_residual
        ratio = gradient / reference
        return Encoded(ratio, reference, ratio, {MAGNITUDE: magnitude})

    def decode(self, outputs: "Tensor", encoded: Encoded, numbers: Numbers) -> "Tensor":
        """Multiply by what the gradient was divided by."""
        return outputs * encoded.reference

    @property
    def small_numbers(self) -> dict[str, float]:
        """The residual, which keeps 0/0 away."""
        return {"ratio_residual": self.ratio_residual}
