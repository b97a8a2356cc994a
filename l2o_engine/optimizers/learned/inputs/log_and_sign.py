"""The gradient's logarithm and its sign, side by side: DeepMind's preprocessing."""

from math import exp
from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np

from l2o_engine.optimizers.learned.inputs.base import INPUTS, Encoded, Inputs, Memory, Numbers, side_by_side
from l2o_engine.support.settings import Positive, settings

if TYPE_CHECKING:
    from torch import Tensor

EPSILON = float(np.finfo(np.float32).eps)  # of float32 whatever the run's dtype is, as in preprocess.py


@INPUTS.register
@settings
class LogAndSign(Inputs):
    """Two numbers a coordinate: max(log(|g| + ε)/k, -1), and g·e^k held within [-1, 1]; the output is the update.

    From e^-k on the first tells the magnitude and the second the sign; below, the first is -1 and the second is linear
    (appendix A of Andrychowicz et al., 2016; preprocess.py of DeepMind's code). There is no upper limit to the first.

    Attributes
    ----------
    k
        How many powers of e below 1 magnitudes are told apart.
    """

    k: Positive = 5.0
    kind: Literal["log_and_sign"] = "log_and_sign"
    width: ClassVar[int] = 2

    def encode(self, gradient: "Tensor", memory: Memory, numbers: Numbers) -> Encoded:
        """Return both numbers, behind the coordinates: [..., 2]."""
        magnitude = ((gradient.abs() + EPSILON).log() / self.k).clamp(min=-1.0)
        sign = (gradient * exp(self.k)).clamp(min=-1.0, max=1.0)
        return Encoded(side_by_side(magnitude, sign), gradient, gradient, {})
