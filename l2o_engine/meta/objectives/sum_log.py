"""The sum of the losses' logarithms."""

from typing import TYPE_CHECKING, Literal

from l2o_engine.meta.objectives.base import OBJECTIVES, Objective, Residual
from l2o_engine.support.settings import Positive, settings

if TYPE_CHECKING:
    from torch import Tensor


@OBJECTIVES.register
@settings
class SumLog(Objective):
    """Σ log(loss + residual): every step's orders of magnitude count; and, if it is told, how large the losses are.

    Attributes
    ----------
    residual
        Added to a loss before its logarithm.
    sum_weight
        Where given, so many times Σ loss is added: logarithms alone bear a large loss now and then.
    """

    residual: Residual = 0.0
    sum_weight: Positive | None = None
    kind: Literal["sum_log"] = "sum_log"

    def of_task(self, losses: "Tensor") -> "Tensor":
        """Return Σ log(loss + residual) + sum_weight·Σ loss [batch]."""
        logs = self.log(losses).sum(0)
        return logs if self.sum_weight is None else logs + self.sum_weight * losses.sum(0)
