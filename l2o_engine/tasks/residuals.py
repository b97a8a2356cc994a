"""What least squares, Lasso and Rastrigin's function have in common: a drawn matrix, a target, their residuals."""

from collections.abc import Mapping
from math import prod
from typing import Annotated, Any, ClassVar

from pydantic import Field

from l2o_engine.support.arrays import Doubles
from l2o_engine.support.settings import Whole, settings
from l2o_engine.tasks.base import Array, Arrays
from l2o_engine.tasks.distributions import Distribution, Normal, Uniform
from l2o_engine.tasks.small import Compiled, SmallTask, arrays_of

MOST_NUMBERS = 1_000_000
"""Numbers of a task's matrices, at most."""


@settings
class Residuals(SmallTask):
    """mean over problems of factor·‖W·x - y‖² + Σ (something of each coordinate).

    Attributes
    ----------
    dims
        Coordinates of a problem.
    rows
        Of each problem's matrix; as many as coordinates if left out.
    problems
        How many problems, each with a matrix, a target and coordinates of its own, are one task: its loss is their
        mean, so what a coordinate's gradient is of one problem is divided by their number (DeepMind's 128).
    matrix
        What each entry of W [rows, dims] is drawn from.
    target
        What each entry of y [rows] is drawn from.
    start
        What each coordinate of the starting point is drawn from.
    """

    dims: Annotated[Whole, Field(ge=1, le=1_000)] = 10
    rows: Annotated[Whole, Field(ge=1, le=1_000)] | None = None
    problems: Annotated[Whole, Field(ge=1, le=10_000)] = 1
    matrix: Distribution = Uniform((0.0, 1.0))
    target: Distribution = Uniform((0.0, 1.0))
    start: Distribution = Normal((0.0, 0.01))

    factor: ClassVar[float]

    def __post_init__(self, rotated: bool | None) -> None:
        super().__post_init__(rotated)
        if (many := prod(self.bare_shapes["matrix"])) > MOST_NUMBERS:
            raise ValueError(f"the matrices of a task would have {many:,} numbers: {MOST_NUMBERS:,} at most")

    @property
    def shape(self) -> tuple[int, ...]:
        """[problems·dims]: one problem's coordinates behind the other's."""
        return (self.problems * self.dims,)

    @property
    def height(self) -> int:
        """Rows of a matrix."""
        return self.dims if self.rows is None else self.rows

    @property
    def bare_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """W [problems, rows, dims] and y [problems, rows]."""
        return {"matrix": (self.problems, self.height, self.dims), "target": (self.problems, self.height)}

    @property
    def numbers(self) -> int:
        """The start, then the parameters in their order."""
        return self.size + sum(map(prod, self.bare_shapes.values()))

    def made(self, uniform: Doubles) -> tuple[Doubles, dict[str, Doubles]]:
        """Return start [..., size] and the parameters."""
        drawn = arrays_of(uniform[..., self.size :], self.bare_shapes)
        sources = self._sources()
        return self.start.of(uniform[..., : self.size]), {name: sources[name].of(own) for name, own in drawn.items()}

    def _sources(self) -> dict[str, Any]:
        """Return what each parameter is drawn from."""
        return {"matrix": self.matrix, "target": self.target}

    @property
    def compiled(self) -> Compiled:
        """Sizes."""
        return (self.problems, self.height, self.dims)

    def bare_loss(self, z: Array, parameters: Arrays) -> Array:
        """Return f [...]."""
        each = self._each(z)
        squares = (self._missed(each, parameters) ** 2).sum(-1)
        return (self.factor * squares + self._term(each, parameters)).mean(-1)

    def bare_gradient(self, z: Array, parameters: Arrays) -> Array:
        """Return ∇f [..., size]: (2·factor·Wᵀ(Wz - y) + the terms' slopes)/problems."""
        each = self._each(z)
        slope = 2 * self.factor * _times(self._missed(each, parameters), parameters["matrix"])
        return ((slope + self._term_slope(each, parameters)) / self.problems).reshape(z.shape)

    def bare_hessian_product(self, z: Array, v: Array, parameters: Arrays) -> Array:
        """Return ∇²f·v [..., size]."""
        each, along = self._each(z), self._each(v)
        image = (parameters["matrix"] * along[..., None, :]).sum(-1)
        bent = 2 * self.factor * _times(image, parameters["matrix"])
        return ((bent + self._term_bend(each, parameters) * along) / self.problems).reshape(v.shape)

    def _each(self, z: Array) -> Array:
        """Return z by problem, [..., problems, dims]."""
        return z.reshape(*z.shape[:-1], self.problems, self.dims)

    def _missed(self, each: Array, parameters: Arrays) -> Array:
        """Return W·z - y, [..., problems, rows]."""
        return (parameters["matrix"] * each[..., None, :]).sum(-1) - parameters["target"]

    def _term(self, each: Array, parameters: Arrays) -> Any:
        """Return what is added to each problem's squares, [..., problems]."""
        return 0.0

    def _term_slope(self, each: Array, parameters: Arrays) -> Any:
        """Return its derivative by every coordinate, [..., problems, dims]."""
        return 0.0

    def _term_bend(self, each: Array, parameters: Arrays) -> Any:
        """Return its second derivative by every coordinate, [..., problems, dims]."""
        return 0.0


def _times(rows: Array, matrix: Array) -> Array:
    """Return Wᵀ·rows, [..., problems, dims]."""
    return (matrix * rows[..., :, None]).sum(-2)
