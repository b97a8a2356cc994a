"""A family of tasks of a test's own: all that a family may do without, and all that no shipped small one has."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from l2o_engine.tasks.base import Task, TaskFamily


@dataclass(frozen=True)
class Averages(TaskFamily):
    """½‖x - y‖ to a power, of matrices y that each step sees some of: no gradient, no optimum, points of two axes.

    Attributes
    ----------
    power
        Of each difference, before they are summed.
    away
        How far from all y the points start.
    """

    power: int = 2
    away: float = 0.0
    kind: str = "averages"

    @property
    def shape(self) -> tuple[int, ...]:
        """[2, 3]."""
        return (2, 3)

    def draw(self, generator: np.random.Generator, n: int, batch: int, *, steps: int, dtype: str) -> Task:
        """Draw start, y of every step, and the constant ½."""
        drawn = generator.random((n, batch, steps + 1, 2, 3)).astype(dtype)
        half = {"half": np.full((n, batch), 0.5, dtype)}
        return Task(self, np.asarray(self.away, dtype) + drawn[:, :, 0], half, {"y": drawn[:, :, 1:]})

    def loss(self, x: Any, parameters: Mapping[str, Any], minibatch: Mapping[str, Any] | None = None) -> Any:
        """Return the loss [...] at the points x [..., 2, 3]."""
        assert minibatch is not None
        return parameters["half"] * ((x - minibatch["y"]) ** self.power).sum(-1).sum(-1)
