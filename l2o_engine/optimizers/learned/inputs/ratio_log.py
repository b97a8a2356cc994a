"""The logarithm of the gradient in units of the one before."""

from functools import cached_property
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

from pydantic import Field

from l2o_engine.optimizers.learned.inputs.base import INPUTS, Encoded, Inputs, Memory, Numbers
from l2o_engine.optimizers.learned.inputs.log import Log, Residual
from l2o_engine.optimizers.learned.inputs.ratio import MAGNITUDE, Ratio
from l2o_engine.support.settings import Flag, Number, Positive, settings

if TYPE_CHECKING:
    from torch import Tensor


@INPUTS.register
@settings
class RatioLog(Inputs):
    """The ratio, then the ratio's log casting; on the way out the casting, then the ratio, undone.

    Attributes
    ----------
    min_log
        The casting's m before the first meta-iteration.
    residual
        Added to a ratio's magnitude before its logarithm: "exp(min_log - 5)", "exp(min_log)" or a number.
    adaptive
        Whether m moves, by the smallest last ratio.
    adaptation_rate
        How fast.
    ratio_residual
        Added to what the gradient is divided by.
    """

    min_log: Annotated[Number, Field(lt=0)]
    residual: Residual = 1e-38
    adaptive: Flag = False
    adaptation_rate: Annotated[Number, Field(gt=0, le=1)] = 0.01
    ratio_residual: Positive = 1e-38
    kind: Literal["ratio_log"] = "ratio_log"
    remembers: ClassVar[tuple[str, ...]] = (MAGNITUDE,)
    casts: ClassVar[bool] = True

    @cached_property
    def ratio(self) -> Ratio:
        """The first of the two."""
        return Ratio(self.ratio_residual)

    @cached_property
    def casting(self) -> Log:
        """The second."""
        return Log(self.min_log, self.residual, self.adaptive, self.adaptation_rate)

    @property
    def numbers(self) -> dict[str, float]:
        """min_log before the first meta-iteration."""
        return self.casting.numbers

    @property
    def adapts(self) -> bool:
        """Whether min_log moves."""
        return self.adaptive

    def encode(self, gradient: "Tensor", memory: Memory, numbers: Numbers) -> Encoded:
        """Take the ratio and cast it."""
        ratio = self.ratio.encode(gradient, memory, numbers)
        return ratio._replace(inputs=self.casting.encode(ratio.inputs, {}, numbers).inputs)

    def decode(self, outputs: "Tensor", encoded: Encoded, numbers: Numbers) -> "Tensor":
        """Undo the casting, then the ratio."""
        return self.ratio.decode(self.casting.decode(outputs, encoded, numbers), encoded, numbers)

    def adapt(self, numbers: Numbers, smallest_signal: float) -> Numbers:
        """Move m by the smallest last ratio."""
        return self.casting.adapt(numbers, smallest_signal)

    @property
    def small_numbers(self) -> dict[str, float]:
        """Both residuals."""
        return self.casting.small_numbers | self.ratio.small_numbers
