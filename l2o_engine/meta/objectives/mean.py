"""The mean of the losses."""

from typing import TYPE_CHECKING, Literal

from l2o_engine.meta.objectives.base import OBJECTIVES, Objective, Residual
from l2o_engine.support.settings import settings

if TYPE_CHECKING:
    from torch import Tensor


@OBJECTIVES.register
@settings
class Mean(Objective):
    """Mean of the losses: every step counts by its size, however many there are.

    Attributes
    ----------
    residual
        Changes nothing here: no logarithm is taken.
    """

    residual: Residual = 0.0
    kind: Literal["mean"] = "mean"

    def of_task(self, losses: "Tensor") -> "Tensor":
        """Return the mean of the losses [batch]."""
        return losses.mean(0)
