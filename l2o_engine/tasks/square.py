"""A convex function with a cap: what RNNprop trains beside its problem."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from l2o_engine.support.arrays import Doubles, Floats
from l2o_engine.support.settings import Positive, Whole, settings
from l2o_engine.tasks.base import TASKS, Array, Arrays, Task
from l2o_engine.tasks.distributions import Constant, Distribution, Uniform
from l2o_engine.tasks.small import Compiled, SmallTask


@TASKS.register
@settings
class Square(SmallTask):
    """f(x) = mean of min((x - target)², cap) over the coordinates (Lv et al. 2017, vfleaking/rnnprop).

    Attributes
    ----------
    dims
        Number of coordinates.
    cap
        The most that a coordinate costs: beyond its root there is no slope.
    target
        What each coordinate's target is drawn from.
    start
        What each coordinate of the starting point is drawn from.
    """

    dims: Annotated[Whole, Field(ge=1, le=10_000)] = 20
    cap: Positive = 10.0
    target: Distribution = Uniform((-1.0, 1.0))
    start: Distribution = Constant(0.0)
    kind: Literal["square"] = "square"

    @property
    def shape(self) -> tuple[int, ...]:
        """[dims]."""
        return (self.dims,)

    @property
    def numbers(self) -> int:
        """2·dims: start, then target."""
        return 2 * self.dims

    def made(self, uniform: Doubles) -> tuple[Doubles, dict[str, Doubles]]:
        """Return start [..., dims] and target [..., dims]."""
        return self.start.of(uniform[..., : self.dims]), {"target": self.target.of(uniform[..., self.dims :])}

    @property
    def bare_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """A target for each coordinate."""
        return {"target": (self.dims,)}

    @property
    def compiled(self) -> Compiled:
        """The cap."""
        return (self.cap,)

    def bare_loss(self, z: Array, parameters: Arrays) -> Array:
        """Return f [...]."""
        return ((z - parameters["target"]) ** 2).clip(max=self.cap).mean(-1)

    def bare_gradient(self, z: Array, parameters: Arrays) -> Array:
        """Return 2·(z - target)/dims where that is below the cap, else 0."""
        off = z - parameters["target"]
        return 2 * off * (off**2 <= self.cap) / self.dims

    def bare_hessian_product(self, z: Array, v: Array, parameters: Arrays) -> Array:
        """Return 2·v/dims where it is below the cap, else 0."""
        off = z - parameters["target"]
        return 2 * v * (off**2 <= self.cap) / self.dims

    def bare_optimum(self, task: Task) -> Floats:
        """Return the target."""
        target: Floats = task.parameters["target"]
        return target
