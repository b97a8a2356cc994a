"""Families of functions to minimise: the optimizees.

A family draws problems from a generator and says what one costs. Draws are made here, outside of every backend, so
that all backends see the same ones. ``loss`` and ``gradient`` use only operators and methods that NumPy arrays and
torch tensors share, so one definition serves the vectorised baselines and the differentiated unroll alike.
"""

from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np

from l2o_engine.presets.schema import ProblemSettings
from l2o_engine.support.arrays import Floats

Array: TypeAlias = Any
"""A NumPy array or a torch tensor."""


@dataclass(frozen=True)
class Problems:
    """Drawn problems, one batch a meta-iteration.

    Attributes
    ----------
    start
        [n, batch, dims]: where the optimizers start.
    parameters
        Name → [n, batch, dims]: what makes each problem itself.
    """

    start: Floats
    parameters: dict[str, Floats]

    def __len__(self) -> int:
        return len(self.start)

    def __getitem__(self, index: slice) -> "Problems":
        return Problems(self.start[index], {name: values[index] for name, values in self.parameters.items()})

    def in_batches_of(self, size: int) -> "Problems":
        """Return the same problems, in order, in batches of another size; the last, repeated, fills the last batch."""
        missing = -self.start[..., 0].size % size

        def regrouped(values: Floats) -> Floats:
            singles = values.reshape(-1, values.shape[-1])
            filled = np.concatenate([singles, np.repeat(singles[-1:], missing, axis=0)])
            return filled.reshape(-1, size, values.shape[-1])

        return Problems(regrouped(self.start), {name: regrouped(values) for name, values in self.parameters.items()})


class Family(Protocol):
    """A family of problems."""

    def draw(self, generator: np.random.Generator, n: int, batch: int) -> Problems:
        """Draw n batches. Drawing n at once gives the same problems as drawing one n times."""
        ...

    def loss(self, x: Array, parameters: dict[str, Array]) -> Array:
        """Return the loss [...] at the points x [..., dims]."""
        ...

    def gradient(self, x: Array, parameters: dict[str, Array]) -> Array:
        """Return the gradient [..., dims] of the loss at the points x [..., dims]."""
        ...

    def optimum(self, problems: Problems) -> Floats:
        """Return where each problem's loss is least: [n, batch, dims]."""
        ...


@dataclass(frozen=True)
class Quadratic:
    """f(x) = Σ (scale·x)², scale and start uniform: the notebook's problem.

    Attributes
    ----------
    dims
        Number of coordinates.
    scale, start
        The ranges that scale and starting point are drawn from.
    dtype
        Of the drawn arrays. Numbers are drawn in float64 and rounded, so both dtypes see the same problems.
    """

    dims: int
    scale: tuple[float, float]
    start: tuple[float, float]
    dtype: np.dtype[Any]

    def draw(self, generator: np.random.Generator, n: int, batch: int) -> Problems:
        """Draw n batches of problems; each problem takes 2·dims numbers from the generator, scale first."""
        uniform = generator.random((n, batch, 2, self.dims))
        scale = self.scale[0] + (self.scale[1] - self.scale[0]) * uniform[:, :, 0]
        start = self.start[0] + (self.start[1] - self.start[0]) * uniform[:, :, 1]
        return Problems(start.astype(self.dtype), {"scale": scale.astype(self.dtype)})

    def loss(self, x: Array, parameters: dict[str, Array]) -> Array:
        """Return Σ (scale·x)² over the last axis."""
        return ((parameters["scale"] * x) ** 2).sum(-1)

    def gradient(self, x: Array, parameters: dict[str, Array]) -> Array:
        """Return 2·scale²·x."""
        scale = parameters["scale"]
        return 2.0 * scale * (scale * x)

    def optimum(self, problems: Problems) -> Floats:
        """Return 0, wherever the start is."""
        return np.zeros_like(problems.start)


def make_family(settings: ProblemSettings, dtype: str) -> Family:
    """Return the family that the preset's [problem] table describes."""
    return Quadratic(settings.dims, settings.scale, settings.start, np.dtype(dtype))
