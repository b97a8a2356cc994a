"""The last loss."""

from typing import TYPE_CHECKING, Literal

from l2o_engine.meta.objectives.base import OBJECTIVES, Objective, Residual
from l2o_engine.support.settings import settings

if TYPE_CHECKING:
    from torch import Tensor


@OBJECTIVES.register
@settings
class End(Objective):
    """The last loss alone.

    Attributes
    ----------
    residual
        Changes nothing here: no logarithm is taken.
    """

    residual: Residual = 0.0
    kind: Literal["end"] = "end"

    def of_task(self, losses: "Tensor") -> "Tensor":
        """Return the last loss [batch]."""
        return losses[-1:].sum(0)
