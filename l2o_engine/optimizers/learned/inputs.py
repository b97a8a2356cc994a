"""Transforms: from the optimizee's gradient to what the network sees, and from its output to the update.

A transform may remember something from step to step within one unroll (the ratio remembers the last gradient's
magnitude) and may depend on a number that adapts from meta-iteration to meta-iteration (``min_log``). The first is
threaded through :meth:`Transform.encode`, and gradients flow through it; the second is an argument, is no weight, and
moves by :meth:`Transform.adapt`.
"""

from dataclasses import dataclass
from math import isfinite, isnan, log, nan
from typing import TYPE_CHECKING, NamedTuple, Protocol

from l2o_engine.presets.schema import (
    IdentityTransform,
    LogTransform,
    RatioLogTransform,
    RatioTransform,
    TransformSettings,
    residual_at,
)
from l2o_engine.support.arrays import LOG_FLOOR

if TYPE_CHECKING:
    from torch import Tensor


class Encoded(NamedTuple):
    """One encoded gradient.

    Attributes
    ----------
    inputs
        What the network sees.
    reference
        What :meth:`Transform.decode` needs of this step: the ratio's denominator, and without one the gradient.
    signal
        What the log casting was applied to, whose smallest magnitude moves an adaptive ``min_log``.
    memory
        To be passed to the next step's :meth:`Transform.encode`.
    """

    inputs: "Tensor"
    reference: "Tensor"
    signal: "Tensor"
    memory: "Tensor | None"


class Transform(Protocol):
    """What stands between an optimizee's gradients and the network. All tensors are coordinate-wise, of any shape."""

    @property
    def adaptive(self) -> bool:
        """Whether :meth:`adapt` moves min_log."""
        ...

    @property
    def initial_min_log(self) -> float:
        """min_log before the first meta-iteration; NaN for a transform that has none."""
        ...

    def encode(self, gradient: "Tensor", memory: "Tensor | None", min_log: float) -> Encoded:
        """Encode one step's gradient; ``memory`` is None at the first step of an unroll."""
        ...

    def decode(self, outputs: "Tensor", encoded: Encoded, min_log: float) -> "Tensor":
        """Turn the network's outputs into the update of x."""
        ...

    def adapt(self, min_log: float, smallest_signal: float) -> float:
        """Return the next min_log, given the smallest |signal| of the meta-iteration's last step."""
        ...


class _Fixed:
    """A transform without a min_log."""

    @property
    def adaptive(self) -> bool:
        return False

    @property
    def initial_min_log(self) -> float:
        return nan

    def adapt(self, min_log: float, smallest_signal: float) -> float:
        return min_log


class Identity(_Fixed):
    """The network sees the gradient, and its output is the update."""

    def encode(self, gradient: "Tensor", memory: "Tensor | None", min_log: float) -> Encoded:
        """Pass the gradient on."""
        return Encoded(gradient, gradient, gradient, None)

    def decode(self, outputs: "Tensor", encoded: Encoded, min_log: float) -> "Tensor":
        """Pass the output on."""
        return outputs


@dataclass(frozen=True)
class LogCasting:
    """Log casting with m = min_log < 0: in sign(g)·(log(|g| + residual) - m)/(-m), out sign(u)·exp(|u|·(-m) + m).

    Nothing is clamped: a magnitude below e^m - residual changes sign on the way in, one above 1 leaves [-1, 1].

    Attributes
    ----------
    initial_min_log
        m before the first meta-iteration.
    residual
        "exp(min_log - 5)", "exp(min_log)" or a number.
    adaptive
        Whether m moves: m ← min(m, (1 - rate)·m + rate·log(smallest |signal| + 1e-38)), Episode 2 of the notebook.
    adaptation_rate
        That rate.
    """

    initial_min_log: float
    residual: str | float
    adaptive: bool
    adaptation_rate: float

    def encode(self, gradient: "Tensor", memory: "Tensor | None", min_log: float) -> Encoded:
        """Cast exp(m)…1 to 0…1, keeping the sign."""
        magnitude = (gradient.abs() + residual_at(self.residual, min_log)).log()
        return Encoded(gradient.sign() * ((magnitude - min_log) / -min_log), gradient, gradient, None)

    def decode(self, outputs: "Tensor", encoded: Encoded, min_log: float) -> "Tensor":
        """Cast 0…1 back to exp(m)…1, keeping the sign."""
        return outputs.sign() * (outputs.abs() * -min_log + min_log).exp()

    def adapt(self, min_log: float, smallest_signal: float) -> float:
        """Move m; only a finite proposal may, for one NaN here would make every later cast NaN."""
        if not self.adaptive or isnan(smallest_signal):
            return min_log
        rate = self.adaptation_rate
        proposal = (1 - rate) * min_log + rate * log(smallest_signal + LOG_FLOOR)
        return min(min_log, proposal) if isfinite(proposal) else min_log


@dataclass(frozen=True)
class Ratio(_Fixed):
    """In g_t/(|g_{t-1}| + residual), out u·(|g_{t-1}| + residual); at the first step g_{t-1} is g_t itself."""

    residual: float

    def encode(self, gradient: "Tensor", memory: "Tensor | None", min_log: float) -> Encoded:
        """Divide by the last gradient's magnitude, which is the memory."""
        magnitude = gradient.abs()
        reference = (magnitude if memory is None else memory) + self.residual
        ratio = gradient / reference
        return Encoded(ratio, reference, ratio, magnitude)

    def decode(self, outputs: "Tensor", encoded: Encoded, min_log: float) -> "Tensor":
        """Multiply by what the gradient was divided by."""
        return outputs * encoded.reference


@dataclass(frozen=True)
class RatioLog:
    """The ratio, then the ratio's log casting; on the way out the casting, then the ratio, undone."""

    ratio: Ratio
    casting: LogCasting

    @property
    def adaptive(self) -> bool:
        """Whether min_log moves."""
        return self.casting.adaptive

    @property
    def initial_min_log(self) -> float:
        """min_log before the first meta-iteration."""
        return self.casting.initial_min_log

    def encode(self, gradient: "Tensor", memory: "Tensor | None", min_log: float) -> Encoded:
        """Take the ratio and cast it."""
        ratio = self.ratio.encode(gradient, memory, min_log)
        return ratio._replace(inputs=self.casting.encode(ratio.inputs, None, min_log).inputs)

    def decode(self, outputs: "Tensor", encoded: Encoded, min_log: float) -> "Tensor":
        """Undo the casting, then the ratio."""
        return self.ratio.decode(self.casting.decode(outputs, encoded, min_log), encoded, min_log)

    def adapt(self, min_log: float, smallest_signal: float) -> float:
        """Move m by the smallest last ratio."""
        return self.casting.adapt(min_log, smallest_signal)


def make_transform(settings: TransformSettings) -> Transform:
    """Return the transform that the preset's [transform] table describes."""
    match settings:
        case IdentityTransform():
            return Identity()
        case RatioTransform():
            return Ratio(settings.ratio_residual)
        case LogTransform():
            return _casting(settings)
        case RatioLogTransform():
            return RatioLog(Ratio(settings.ratio_residual), _casting(settings))


def _casting(settings: LogTransform | RatioLogTransform) -> LogCasting:
    return LogCasting(settings.min_log, settings.residual, settings.adaptive, settings.adaptation_rate)
