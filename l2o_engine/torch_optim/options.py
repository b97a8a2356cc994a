"""What a trained optimizer is told beside its parameters, and how it tells that it is used beyond its training."""

from dataclasses import dataclass
from math import isfinite
from typing import Literal, TypeAlias

Scale: TypeAlias = Literal["rms"] | None
"""Whether gradients are brought to the magnitude that was typical in training."""


class OutsideTrainingWarning(UserWarning):
    """A learned optimizer is used beyond what it was trained on: it may do well, and nothing says that it does."""


@dataclass(frozen=True)
class Guard:
    """When Adam (β 0.9 and 0.999, ε 1e-8) steps in, and with which learning rate.

    A tensor takes Adam's step where its learned update has a number that is not finite; what the network remembers of
    it begins anew. Where the gradient itself is not finite, the tensor stays as it is. All tensors take Adam's steps
    while the smoothed loss is above ``growth`` times the lowest that it was, or times a tenth of the first where
    that is more, until half of that excess is gone: for
    this, :meth:`~l2o_engine.torch_optim.TorchOptimizer.step` must be told the loss, by a closure or ``loss=``. Looking
    for numbers that are not finite takes a synchronisation a tensor on an accelerator; Adam's means take 8 bytes a
    coordinate.

    This is no part of what was trained: a guarded optimizer is the learned one until it has stepped in, and is told
    apart from then on (:attr:`~l2o_engine.torch_optim.TorchOptimizer.guarded`).

    Attributes
    ----------
    lr
        Adam's learning rate; a group's ``lr`` multiplies it too.
    growth
        Above 1.

    Raises
    ------
    ValueError
        If one of them is out of its range.
    """

    lr: float = 1e-3
    growth: float = 2.0

    def __post_init__(self) -> None:
        if not (isfinite(self.lr) and self.lr > 0):
            raise ValueError(f"the guard's lr must be a number above 0, not {self.lr}")
        if not (isfinite(self.growth) and self.growth > 1):
            raise ValueError(f"the guard's growth must be a number above 1, not {self.growth}")
