"""The notebook's problem, a bowl along the axes; rotated, the one of Episode 3."""

from collections.abc import Mapping
from typing import Annotated, Literal

import numpy as np
from pydantic import Field

from l2o_engine.support.arrays import Doubles, Floats
from l2o_engine.support.settings import Interval, Whole, settings
from l2o_engine.tasks.base import TASKS, Array, Arrays, Task
from l2o_engine.tasks.small import SmallTask


@TASKS.register
@settings
class Quadratic(SmallTask):
    """f(x) = Σ (scale·x)², scale and start drawn anew for every task.

    Along the axes, where a rule for each coordinate alone can make exact Newton steps; with rotation = "uniform" it is
    ‖diag(scale)·Q·x‖², where none can.

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

    @property
    def numbers(self) -> int:
        """2·dims: scale, then start."""
        return 2 * self.dims

    def made(self, uniform: Doubles) -> tuple[Doubles, dict[str, Doubles]]:
        """Return start [..., dims] and scale [..., dims]."""
        scale = self.scale[0] + (self.scale[1] - self.scale[0]) * uniform[..., : self.dims]
        start = self.start[0] + (self.start[1] - self.start[0]) * uniform[..., self.dims :]
        return start, {"scale": scale}

    @property
    def bare_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """A scale for each coordinate."""
        return {"scale": (self.dims,)}

    def bare_loss(self, z: Array, parameters: Arrays) -> Array:
        """Return Σ (scale·z)² over the last axis."""
        return ((parameters["scale"] * z) ** 2).sum(-1)

    def bare_gradient(self, z: Array, parameters: Arrays) -> Array:
        """Return 2·scale²·z."""
        scale = parameters["scale"]
        return 2.0 * scale * (scale * z)

    def bare_hessian_product(self, z: Array, v: Array, parameters: Arrays) -> Array:
        """Return 2·scale²·v."""
        return self.bare_gradient(v, parameters)

    def bare_optimum(self, task: Task) -> Floats:
        """Return 0, wherever the start is."""
        zero: Floats = np.zeros_like(task.start)
        return zero
