"""What steps in where a learned optimizer does harm: Adam, a rule that somebody has designed."""

from collections.abc import Mapping
from math import isfinite
from typing import Any

import torch
from torch import Tensor

from l2o_engine.torch_optim.options import Guard
from l2o_engine.torch_optim.passes import GUARD

_BETAS, _EPSILON = (0.9, 0.999), 1e-8
_KEPT = 0.9  # of the smoothed loss, from step to step
_LITTLE = 0.1  # of the first loss, and less: how much one of minibatches that is all but 0 grows means nothing
_MEAN, _SQUARE, _COUNT = f"{GUARD}mean", f"{GUARD}square", f"{GUARD}steps"


def at_first() -> dict[str, Any]:
    """Return what is known of the losses, and counted, before the first step."""
    return {"first": None, "smoothed": None, "lowest": None, "is_grown": False, "fallbacks": 0, "non_finite": 0}


def after(loss: float, known: Mapping[str, Any], guard: Guard) -> dict[str, Any]:
    """Return what is known of the losses after one more."""
    if not isfinite(loss):  # which tells nothing of how far it has grown
        return {**known, "is_grown": True}
    first = loss if known["first"] is None else known["first"]
    smoothed = loss if known["smoothed"] is None else _KEPT * known["smoothed"] + (1 - _KEPT) * loss
    lowest = smoothed if known["lowest"] is None else min(known["lowest"], smoothed)
    allowed = (guard.growth - 1) * max(abs(lowest), _LITTLE * abs(first))
    is_grown = smoothed - lowest > (allowed / 2 if known["is_grown"] else allowed)
    return {**known, "first": first, "smoothed": smoothed, "lowest": lowest, "is_grown": is_grown}


def begin(state: dict[str, Any], gradient: Tensor) -> None:
    """Put what Adam remembers of a tensor before its first step into its state, where it is not there."""
    if _MEAN in state:
        return
    state[_MEAN], state[_SQUARE] = torch.zeros_like(gradient), torch.zeros_like(gradient)
    state[_COUNT] = gradient.new_zeros(())


def adam(state: dict[str, Any], gradient: Tensor) -> Tensor:
    """Return Adam's step for a learning rate of 1, given a gradient, flat; its means, in the state, are moved."""
    mean, square, count = state[_MEAN], state[_SQUARE], state[_COUNT]
    count += 1
    mean.lerp_(gradient, 1 - _BETAS[0])
    square.lerp_(gradient * gradient, 1 - _BETAS[1])
    magnitude = (square / (1 - _BETAS[1] ** count)).sqrt_().add_(_EPSILON)
    return torch.div(mean / (_BETAS[0] ** count - 1), magnitude)
