"""Objectives: from the losses of one unroll to the number that the meta-optimizer minimises."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from l2o_engine.presets.schema import ObjectiveSettings

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Objective:
    """The mean over the batch of a problem's objective.

    Attributes
    ----------
    last_only
        Whether only the last loss counts, or the sum over all steps.
    logarithm
        Whether each loss counts by its natural logarithm.
    residual
        Added to a loss before its logarithm; 0 in Episode 1, 1e-38 in Episode 2.
    """

    last_only: bool
    logarithm: bool
    residual: float

    def __call__(self, losses: "Tensor") -> "Tensor":
        """Return the scalar objective of the losses [steps, batch]."""
        counted = losses[-1:] if self.last_only else losses
        if self.logarithm:
            counted = (counted + self.residual if self.residual else counted).log()
        return counted.sum(0).mean()


_KINDS: dict[Literal["sum", "end", "end_log", "sum_log"], tuple[bool, bool]] = {
    "sum": (False, False),
    "end": (True, False),
    "end_log": (True, True),
    "sum_log": (False, True),
}


def make_objective(settings: ObjectiveSettings) -> Objective:
    """Return the objective that the preset's [objective] table describes."""
    last_only, logarithm = _KINDS[settings.kind]
    return Objective(last_only, logarithm, settings.residual)
