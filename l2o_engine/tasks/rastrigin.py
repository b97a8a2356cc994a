"""Rastrigin's function as Open-L2O draws it: a bowl with many hollows."""

from collections.abc import Mapping
from math import pi
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from l2o_engine.support.arrays import elementwise
from l2o_engine.support.settings import Number, Whole, settings
from l2o_engine.tasks.base import TASKS, Array, Arrays
from l2o_engine.tasks.distributions import Distribution, Normal
from l2o_engine.tasks.residuals import Residuals
from l2o_engine.tasks.small import Compiled


@TASKS.register
@settings
class Rastrigin(Residuals):
    """f(x) = ½‖A·x - b‖² - α·cᵀcos(2πx) + α·dims, the mean over so many problems (Open-L2O).

    A, b, c and the start are all from N(0, 1) there.

    Attributes
    ----------
    coefficient
        What each entry of c [dims] is drawn from.
    alpha
        α.
    """

    dims: Annotated[Whole, Field(ge=1, le=1_000)] = 2
    matrix: Distribution = Normal((0.0, 1.0))
    target: Distribution = Normal((0.0, 1.0))
    start: Distribution = Normal((0.0, 1.0))
    coefficient: Distribution = Normal((0.0, 1.0))
    alpha: Annotated[Number, Field(ge=0)] = 10.0
    kind: Literal["rastrigin"] = "rastrigin"
    factor: ClassVar[float] = 0.5

    @property
    def bare_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """A [problems, rows, dims], b [problems, rows], c [problems, dims]."""
        return {**super().bare_shapes, "coefficient": (self.problems, self.dims)}

    def _sources(self) -> dict[str, Any]:
        return {**super()._sources(), "coefficient": self.coefficient}

    @property
    def compiled(self) -> Compiled:
        """Sizes, and α."""
        return (*super().compiled, self.alpha)

    def _term(self, each: Array, parameters: Arrays) -> Any:
        waves = parameters["coefficient"] * elementwise("cos", 2 * pi * each)
        return self.alpha * (self.dims - waves.sum(-1))

    def _term_slope(self, each: Array, parameters: Arrays) -> Any:
        return 2 * pi * self.alpha * parameters["coefficient"] * elementwise("sin", 2 * pi * each)

    def _term_bend(self, each: Array, parameters: Arrays) -> Any:
        return (2 * pi) ** 2 * self.alpha * parameters["coefficient"] * elementwise("cos", 2 * pi * each)
