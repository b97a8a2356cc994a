"""Objectives: from the losses of one unroll to the number that the meta-optimizer minimises."""

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Annotated, TypeAlias

from pydantic import Field

from l2o_engine.support.registry import Registry
from l2o_engine.support.settings import Number

if TYPE_CHECKING:
    from torch import Tensor

Residual: TypeAlias = Annotated[Number, Field(ge=0)]
"""Added to a loss before its logarithm; 0 in Episode 1 of the notebook, 1e-38 in Episode 2."""


class Objective(ABC):
    """The mean over the batch of a task's objective; its fields are its settings."""

    kind: str
    residual: float

    @abstractmethod
    def of_task(self, losses: "Tensor") -> "Tensor":
        """Return each task's objective [batch], of its losses [steps, batch]."""

    def __call__(self, losses: "Tensor") -> "Tensor":
        """Return the scalar objective of the losses [steps, batch]."""
        return self.of_task(losses).mean()

    def log(self, losses: "Tensor") -> "Tensor":
        """Return log(losses + residual)."""
        return (losses + self.residual if self.residual else losses).log()


OBJECTIVES: Registry[Objective] = Registry("objective", __package__)
