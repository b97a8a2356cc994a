"""Lasso: least squares whose coordinates cost their magnitude."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from l2o_engine.support.arrays import elementwise
from l2o_engine.support.settings import Number, settings
from l2o_engine.tasks.base import TASKS, Array, Arrays
from l2o_engine.tasks.residuals import Residuals
from l2o_engine.tasks.small import Compiled


@TASKS.register
@settings
class Lasso(Residuals):
    """f(x) = ½‖W·x - y‖² + weight·‖x‖₁, the mean over so many problems (Open-L2O).

    At 0 a magnitude's slope counts as 0, and its second derivative is 0 everywhere.

    Attributes
    ----------
    weight
        Of the magnitudes.
    """

    weight: Annotated[Number, Field(ge=0)] = 0.005
    kind: Literal["lasso"] = "lasso"
    factor: ClassVar[float] = 0.5

    @property
    def compiled(self) -> Compiled:
        """Sizes, and the weight."""
        return (*super().compiled, self.weight)

    def _term(self, each: Array, parameters: Arrays) -> Any:
        return self.weight * elementwise("abs", each).sum(-1)

    def _term_slope(self, each: Array, parameters: Arrays) -> Any:
        return self.weight * elementwise("sign", each)
