"""The gradient's logarithm, sign kept: many orders of magnitude in a network's range."""

import sys
from math import exp, isfinite, isnan, log
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, TypeAlias

from pydantic import BeforeValidator, Field

from l2o_engine.optimizers.learned.inputs.base import INPUTS, Encoded, Inputs, Memory, Numbers
from l2o_engine.support.arrays import LOG_FLOOR
from l2o_engine.support.settings import Flag, Number, Words, is_number, settings

if TYPE_CHECKING:
    from torch import Tensor

RESIDUAL_FORMULAS = ("exp(min_log - 5)", "exp(min_log)")
_FORMULAS = " or ".join(f'"{formula}"' for formula in RESIDUAL_FORMULAS)


def _check_residual(value: object) -> object:
    if value in RESIDUAL_FORMULAS or (isinstance(value, int | float) and is_number(value) and value > 0):
        return value
    raise ValueError(f"must be {_FORMULAS} or a number above 0")


Residual: TypeAlias = Annotated[str | float, BeforeValidator(_check_residual), Words(f"{_FORMULAS}, or a number > 0")]
"""What is added to a magnitude before its logarithm: a formula of min_log, or a number."""


def residual_at(residual: str | float, min_log: float) -> float:
    """Return the number that a residual is at this min_log."""
    match residual:
        case "exp(min_log - 5)":
            return exp(min_log - 5)
        case "exp(min_log)":
            return exp(min_log)
        case _:
            return float(residual)


@INPUTS.register
@settings
class Log(Inputs):
    """Log casting with m = min_log < 0: in sign(g)·(log(|g| + residual) - m)/(-m), out sign(u)·exp(|u|·(-m) + m).

    So exp(m)…1 is cast to 0…1 on the way in, and back on the way out. Nothing is clamped: a magnitude below
    e^m - residual changes sign on the way in, one above 1 leaves [-1, 1].

    Attributes
    ----------
    min_log
        m before the first meta-iteration.
    residual
        Added to a magnitude before its logarithm: "exp(min_log - 5)", "exp(min_log)" or a number.
    adaptive
        Whether m moves: m ← min(m, (1 - rate)·m + rate·log(smallest |signal| + 1e-38)), Episode 2 of the notebook.
    adaptation_rate
        That rate.
    """

    min_log: Annotated[Number, Field(lt=0)]
    residual: Residual = "exp(min_log - 5)"
    adaptive: Flag = False
    adaptation_rate: Annotated[Number, Field(gt=0, le=1)] = 0.01
    kind: Literal["log"] = "log"
    casts: ClassVar[bool] = True

    @property
    def numbers(self) -> dict[str, float]:
        """min_log before the first meta-iteration."""
        return {"min_log": self.min_log}

    @property
    def adapts(self) -> bool:
        """Whether min_log moves."""
        return self.adaptive

    def encode(self, gradient: "Tensor", memory: Memory, numbers: Numbers) -> Encoded:
        """Cast exp(m)…1 to 0…1, keeping the sign."""
        min_log = numbers["min_log"]
        magnitude = (gradient.abs() + residual_at(self.residual, min_log)).log()
        return Encoded(gradient.sign() * ((magnitude - min_log) / -min_log), gradient, gradient, {})

    def decode(self, outputs: "Tensor", encoded: Encoded, numbers: Numbers) -> "Tensor":
        """Cast 0…1 back to exp(m)…1, keeping the sign."""
        min_log = numbers["min_log"]
        return outputs.sign() * (outputs.abs() * -min_log + min_log).exp()

    def adapt(self, numbers: Numbers, smallest_signal: float) -> Numbers:
        """Move m; only a finite proposal may, for one NaN here would make every later cast NaN."""
        if not self.adaptive or isnan(smallest_signal):
            return numbers
        min_log, rate = numbers["min_log"], self.adaptation_rate
        proposal = (1 - rate) * min_log + rate * log(smallest_signal + LOG_FLOOR)
        return {**numbers, "min_log": min(min_log, proposal)} if isfinite(proposal) else numbers

    @property
    def small_numbers(self) -> dict[str, float]:
        """The residual, which keeps the logarithm of 0 finite."""
        return {"residual": max(residual_at(self.residual, self.min_log), sys.float_info.min)}
