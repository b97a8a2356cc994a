"""The notebook's problem: a bowl along the axes."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from l2o_engine.support.arrays import Floats
from l2o_engine.support.settings import Interval, Whole, settings
from l2o_engine.tasks.base import TASKS, Task, TaskFamily


@TASKS.register
@settings
class Quadratic(TaskFamily):
    """f(x) = Σ (scale·x)², scale and start drawn anew for every task.

    Attributes
    ----------
    dims
        Number of coordinates.
    scale
        The range that the scale of each coordinate is drawn from.
    start
        The range that each coordinate of the starting point is drawn from.
    """

    dims: Annotated[Whole, Field(ge=1, le=10_000)] = 2
    scale: Interval = (0.5, 1.5)
    start: Interval = (-1.0, 1.0)
    kind: Literal["quadratic"] = "quadratic"

    @property
    def shape(self) -> tuple[int, ...]:
        """[dims]."""
        return (self.dims,)

    def draw(self, generator: np.random.Generator, n: int, batch: int, *, steps: int, dtype: str) -> Task:
        """Draw tasks; each takes 2·dims numbers from the generator, scale first."""
        uniform = generator.random((n, batch, 2, self.dims))
        scale = self.scale[0] + (self.scale[1] - self.scale[0]) * uniform[:, :, 0]
        start = self.start[0] + (self.start[1] - self.start[0]) * uniform[:, :, 1]
        return Task(self, start.astype(dtype), {"scale": scale.astype(dtype)})

    def loss(self, x: Any, parameters: Mapping[str, Any], minibatch: Mapping[str, Any] | None = None) -> Any:
        """Return Σ (scale·x)² over the last axis."""
        return ((parameters["scale"] * x) ** 2).sum(-1)

    def gradient(self, x: Any, parameters: Mapping[str, Any], minibatch: Mapping[str, Any] | None = None) -> Any:
        """Return 2·scale²·x."""
        scale = parameters["scale"]
        return 2.0 * scale * (scale * x)

    def hessian_product(self, x: Any, v: Any, parameters: Mapping[str, Any]) -> Any:
        """Return 2·scale²·v."""
        return self.gradient(v, parameters)

    def optimum(self, task: Task) -> Floats:
        """Return 0, wherever the start is."""
        zero: Floats = np.zeros_like(task.start)
        return zero
