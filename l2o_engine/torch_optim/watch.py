"""Tells that a learned optimizer is used beyond its training: each thing once, to who has called ``step``."""

import sys
import warnings
from math import isfinite
from pathlib import Path
from shlex import quote
from typing import Any

import torch
from torch import Tensor

from l2o_engine.optimizers.learned.exported import Exported
from l2o_engine.support.wording import shown
from l2o_engine.torch_optim.options import OutsideTrainingWarning

_FAR = 10.0  # times beyond what was seen in training
_SELDOM = 100  # steps between two looks at a loss on an accelerator, which is waited for
_NOT_THE_CALLER = tuple(str(Path(file).parent) for file in (torch.__file__, __file__))


class Watch:
    """What is known of how a learned optimizer was trained, and what has been told.

    Parameters
    ----------
    exported
        The optimizer.
    called
        What `l2o-tui evaluate` is told to find it.
    """

    def __init__(self, exported: Exported, called: str) -> None:
        self._origin, self._called = exported.origin, shown(called)
        self._scales_itself = exported.learned.inputs.scales_itself
        self._told: set[str] = set()
        self._losses = 0

    def loss(self, loss: Any) -> None:
        """Look at a loss: a number, a tensor of one, or anything else, which is none."""
        seen = self._origin.seen
        if seen is None or "loss" in self._told or loss is None:
            return
        self._losses += 1
        if isinstance(loss, Tensor) and not loss.is_cpu and self._losses % _SELDOM:
            return
        value = number_in(loss)
        if value is not None and _is_far_above(value, seen.loss[1]):
            self._tell("loss", f"a loss of {value:.3g} is far above those of its training, {_range(seen.loss)}")

    def steps(self, steps: float) -> None:
        """Look at how many steps a parameter has taken."""
        most = self._origin.steps
        if steps > most and "steps" not in self._told:
            said = f"it takes more than the {most:,} steps that it was trained for"
            self._tell("steps", said, options=f" --steps {10 * most}")

    def gradient(self, name: str, gradient: Tensor) -> None:
        """Look at the first gradient of a parameter, of a magnitude that the network sees."""
        seen = self._origin.seen
        if seen is None or self._scales_itself or "gradient" in self._told:
            return
        low, high = seen.gradient_rms
        own = float(rms(gradient))
        if _is_far_above(own, high) or 0 < own < low / _FAR:
            range_ = _range(seen.gradient_rms)
            said = f"the gradient of {name} has a root mean square of {own:.3g}, in its training it was {range_}"
            self._tell("gradient", said, also='; scale="rms" brings it there')

    def _tell(self, what: str, said: str, options: str = "", also: str = "") -> None:
        self._told.add(what)
        see = f"`l2o-tui evaluate {quote(self._called)}{options}` shows what it does where it was trained"
        warnings.warn(
            f"the learned optimizer {shown(self._origin.run)} is used beyond its training: {said} ({see}{also})",
            OutsideTrainingWarning,
            stacklevel=_callers(),
        )


def number_in(loss: Any) -> float | None:
    """Return the number that a loss is; None of what is none."""
    if isinstance(loss, Tensor) and loss.numel() == 1 and not loss.is_complex():
        return float(loss)
    return float(loss) if isinstance(loss, int | float) else None


def rms(gradient: Tensor) -> Tensor:
    """Return the root mean square [] of a gradient [n], whose squares alone may be beyond all numbers."""
    largest = gradient.abs().amax()
    scaled = (gradient / largest).square().mean().sqrt() * largest
    return torch.where(largest > 0, scaled, largest)


def _callers() -> int:
    """Return how many calls above the one of `warnings.warn` it was that somebody called us, or PyTorch, or both."""
    frame, count = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_NOT_THE_CALLER):
        frame, count = frame.f_back, count + 1
    return count


def _is_far_above(value: float, high: float) -> bool:
    return isfinite(value) and value > high + (_FAR - 1) * abs(high)


def _range(low_high: tuple[float, float]) -> str:
    low, high = low_high
    return f"{low:.3g} to {high:.3g}"
