"""The gradient itself."""

from typing import TYPE_CHECKING, Literal

from l2o_engine.optimizers.learned.inputs.base import INPUTS, Encoded, Inputs, Memory, Numbers
from l2o_engine.support.settings import settings

if TYPE_CHECKING:
    from torch import Tensor


@INPUTS.register
@settings
class Identity(Inputs):
    """The network sees the gradient itself, and its output is the update."""

    kind: Literal["identity"] = "identity"

    def encode(self, gradient: "Tensor", memory: Memory, numbers: Numbers) -> Encoded:
        """Pass the gradient on."""
        return Encoded(gradient, gradient, gradient, {})
