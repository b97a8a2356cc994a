"""The gradient, held within bounds."""

from typing import TYPE_CHECKING, Literal

from l2o_engine.optimizers.learned.inputs.base import INPUTS, Encoded, Inputs, Memory, Numbers
from l2o_engine.support.settings import Number, SettingError, settings

if TYPE_CHECKING:
    from torch import Tensor


@INPUTS.register
@settings
class Clamp(Inputs):
    """The gradient, not below min and not above max; the output is the update (preprocess.py of DeepMind's code).

    Attributes
    ----------
    min
        The least that the network sees; without one there is no lower bound.
    max
        The most.
    """

    min: Number | None = None
    max: Number | None = None
    kind: Literal["clamp"] = "clamp"

    def __post_init__(self) -> None:
        if self.min is None and self.max is None:
            raise SettingError("min", 'is missing, and so is max: without bounds it is kind = "identity"')
        if self.min is not None and self.max is not None and self.min > self.max:
            raise SettingError("min", f"must be at most max (got {self.min:g} and {self.max:g})")

    def encode(self, gradient: "Tensor", memory: Memory, numbers: Numbers) -> Encoded:
        """Hold it within the bounds."""
        return Encoded(gradient.clamp(min=self.min, max=self.max), gradient, gradient, {})
