"""The logarithm of the last loss."""

from typing import TYPE_CHECKING, Literal

from l2o_engine.meta.objectives.base import OBJECTIVES, Objective, Residual
from l2o_engine.support.settings import settings

if TYPE_CHECKING:
    from torch import Tensor


@OBJECTIVES.register
@settings
class EndLog(Objective):
    """log(last loss + residual): orders of magnitude count.

    Attributes
    ----------
    residual
        Added to a loss before its logarithm.
    """

    residual: Residual = 0.0
    kind: Literal["end_log"] = "end_log"

    def of_task(self, losses: "Tensor") -> "Tensor":
        """Return the last loss's logarithm [batch]."""
        return self.log(losses[-1:]).sum(0)
