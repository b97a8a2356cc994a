"""The sum of the losses' logarithms."""

from typing import TYPE_CHECKING, Literal

from l2o_engine.meta.objectives.base import OBJECTIVES, Objective, Residual
from l2o_engine.support.settings import settings

if TYPE_CHECKING:
    from torch import Tensor


@OBJECTIVES.register
@settings
class SumLog(Objective):
    """Σ log(loss + residual): every step's orders of magnitude count.

    Attributes
    ----------
    residual
        Added to a loss before its logarithm.
    """

    residual: Residual = 0.0
    kind: Literal["sum_log"] = "sum_log"

    def of_task(self, losses: "Tensor") -> "Tensor":
        """Return Σ log(loss + residual) [batch]."""
        return self.log(losses).sum(0)
