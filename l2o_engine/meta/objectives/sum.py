"""The sum of the losses."""

from typing import TYPE_CHECKING, Literal

from l2o_engine.meta.objectives.base import OBJECTIVES, Objective, Residual
from l2o_engine.support.settings import settings

if TYPE_CHECKING:
    from torch import Tensor


@OBJECTIVES.register
@settings
class Sum(Objective):
    """Σ losses: every step counts by its size.

    Attributes
    ----------
    residual
        Changes nothing here: no logarithm is taken.
    """

    residual: Residual = 0.0
    kind: Literal["sum"] = "sum"

    def of_task(self, losses: "Tensor") -> "Tensor":
        """Return Σ losses [batch]."""
        return losses.sum(0)
