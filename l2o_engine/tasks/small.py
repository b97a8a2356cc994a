"""Small tasks: functions of few numbers with known derivatives, and what may be wrapped around any of them.

A family says what its *bare* function f is, with gradient and Hessian, of z; the wrappers make the loss of it,

    loss(x) = f(z)  or  ln(f(z) + ε) - ln ε,    z = Q·(x - shift),

with Q a rotation, and add noise to the gradient that the optimizer sees. Everything is of leading axes of any shape,
for NumPy arrays and torch tensors alike; backends/fused/pieces has the same for the kernel.
"""

from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import InitVar
from math import log, prod
from typing import Annotated, Any, Literal, TypeAlias

import numpy as np
from pydantic import Field

from l2o_engine.support.arrays import Doubles, Floats, elementwise
from l2o_engine.support.settings import Flag, Number, settings
from l2o_engine.tasks.base import Array, Arrays, Task, TaskFamily
from l2o_engine.tasks.distributions import Distribution, standard_normal

MOST_ROTATED = 256
"""Coordinates of a task that is rotated, at most: its rotation takes their square."""

ROTATION, SHIFT, NOISE = "rotation", "shift", "noise"
"""What the wrappers' arrays are called among a task's parameters and minibatches."""

Compiled: TypeAlias = "tuple[str | int | float, ...]"


@settings
class SmallTask(TaskFamily):
    """A function of few numbers, bare or wrapped.

    Attributes
    ----------
    rotation
        "uniform": every task is rotated by a Q of its own, uniform over all rotations.
    shift
        What each coordinate of a task's shift is drawn from; none if left out.
    noise
        Standard deviation of what is added to each coordinate of the gradient that the optimizer sees, anew at every
        base step. The losses that are recorded have none.
    log
        ε of the loss ln(f + ε) - ln ε, for an f that is nowhere below 0; 0 for f itself.

    Parameters
    ----------
    rotated
        Short for ``rotation="uniform"`` or "none": an argument, and nothing that a task has.

    Raises
    ------
    ValueError
        If more coordinates than :data:`MOST_ROTATED` were to be rotated.
    """

    rotation: Literal["none", "uniform"] = Field(default="none", kw_only=True)
    shift: Distribution | None = Field(default=None, kw_only=True)
    noise: Annotated[Number, Field(ge=0)] = Field(default=0.0, kw_only=True)
    log: Annotated[Number, Field(ge=0)] = Field(default=0.0, kw_only=True)
    rotated: InitVar[Flag | None] = Field(default=None, kw_only=True)

    def __post_init__(self, rotated: bool | None) -> None:
        if rotated is not None:
            object.__setattr__(self, "rotation", "uniform" if rotated else "none")
        if self.is_rotated and self.size > MOST_ROTATED:
            raise ValueError(f"rotation is for at most {MOST_ROTATED} coordinates, of which it takes the square")

    # What a family says.

    @property
    @abstractmethod
    def numbers(self) -> int:
        """How many uniform numbers a task's start and the bare function's parameters are made of."""

    @abstractmethod
    def made(self, uniform: Doubles) -> tuple[Doubles, dict[str, Doubles]]:
        """Return start [..., size] and parameters, name → [..., *its shape], of uniform numbers [..., numbers]."""

    @property
    @abstractmethod
    def bare_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The shapes of one task's parameters, by name, in the order of :meth:`made`'s."""

    @abstractmethod
    def bare_loss(self, z: Array, parameters: Arrays) -> Array:
        """Return f [...] at points z [..., size]."""

    @abstractmethod
    def bare_gradient(self, z: Array, parameters: Arrays) -> Array:
        """Return ∇f [..., size] at points z [..., size]."""

    @abstractmethod
    def bare_hessian_product(self, z: Array, v: Array, parameters: Arrays) -> Array:
        """Return ∇²f·v [..., size] at points z, of vectors v [..., size]."""

    def bare_optimum(self, task: Task) -> Floats | None:
        """Return the z [..., size] where each task's f is least; None where that is not known."""
        return None

    @property
    def compiled(self) -> Compiled:
        """What a kernel for the bare function is compiled for, besides its size."""
        return ()

    # What is made of it.

    @property
    def is_rotated(self) -> bool:
        """Whether tasks are rotated."""
        return self.rotation == "uniform"

    @property
    def shapes(self) -> Mapping[str, tuple[int, ...]]:
        """The shapes of one task's parameters, by name: the bare function's, then the wrappers'."""
        rotation = {ROTATION: (self.size, self.size)} if self.is_rotated else {}
        shift = {SHIFT: (self.size,)} if self.shift is not None else {}
        return {**self.bare_shapes, **rotation, **shift}

    def numbers_drawn(self, steps: int) -> int:
        """Return how many uniform numbers a task of so many base steps takes from its generator."""
        noise = steps * self.size if self.noise else 0
        return self.numbers + sum(prod(self.shapes[name]) for name in (ROTATION, SHIFT) if name in self.shapes) + noise

    def draw(self, generator: np.random.Generator, n: int, batch: int, *, steps: int, dtype: str) -> Task:
        """Draw tasks; each takes :meth:`numbers_drawn` from the generator."""
        return self.task_of(generator.random((n, batch, self.numbers_drawn(steps))), steps, dtype)

    def task_of(self, uniform: Doubles, steps: int, dtype: str) -> Task:
        """Return the tasks [...] that uniform numbers [..., numbers_drawn] make."""
        size, leading = self.size, uniform.shape[:-1]
        own, *rest = np.split(uniform, np.cumsum([self.numbers, self._wrapping(ROTATION), self._wrapping(SHIFT)]), -1)
        start, parameters = self.made(own)
        if self.is_rotated:
            parameters[ROTATION] = rotation_of(standard_normal(rest[0]).reshape(*leading, size, size))
        if self.shift is not None:
            parameters[SHIFT] = self.shift.of(rest[1])
        minibatches = {}
        if self.noise:
            minibatches[NOISE] = self.noise * standard_normal(rest[2]).reshape(*leading, steps, size)
        task = Task(self, start, parameters, minibatches)
        return task.with_arrays(lambda values: values.astype(dtype))

    def _wrapping(self, name: str) -> int:
        return prod(self.shapes[name]) if name in self.shapes else 0

    def loss(self, x: Array, parameters: Arrays, minibatch: Arrays | None = None) -> Array:
        """Return the loss [...] at the points x [..., size]."""
        value = self.bare_loss(self._inside(x, parameters), parameters)
        return elementwise("log", value + self.log) - log(self.log) if self.log else value

    def gradient(self, x: Array, parameters: Arrays, minibatch: Arrays | None = None) -> Array:
        """Return the gradient [..., size] of the loss at the points x, with its noise."""
        z = self._inside(x, parameters)
        slope = self._outside(self.bare_gradient(z, parameters), parameters)
        if self.log:
            slope = slope / (self.bare_loss(z, parameters) + self.log)[..., None]
        noise = self.disturbance(parameters, minibatch)
        return slope if noise is None else slope + noise

    def hessian_product(self, x: Array, v: Array, parameters: Arrays) -> Array:
        """Return the Hessian of the loss at the points x times vectors v: [..., size], as both are."""
        z = self._inside(x, parameters)
        bent = self.bare_hessian_product(z, self._rotated(v, parameters), parameters)
        product = self._outside(bent, parameters)
        if not self.log:
            return product
        slope = self._outside(self.bare_gradient(z, parameters), parameters)
        value = (self.bare_loss(z, parameters) + self.log)[..., None]
        return product / value - slope * ((slope * v).sum(-1)[..., None] / value) / value

    def disturbance(self, parameters: Arrays, minibatch: Arrays | None) -> Array | None:
        """Return the noise of a base step's gradient, [..., size]; None where there is none."""
        return minibatch[NOISE] if self.noise and minibatch is not None else None

    def optimum(self, task: Task) -> Floats | None:
        """Return where each task's loss is least, [..., size]; None where that is not known."""
        z = self.bare_optimum(task)
        if z is None:
            return None
        inside: Floats = self._outside(z, task.parameters)
        return inside + task.parameters[SHIFT] if self.shift is not None else inside

    def _inside(self, x: Array, parameters: Arrays) -> Array:
        """Return z = Q·(x - shift)."""
        return self._rotated(x - parameters[SHIFT] if self.shift is not None else x, parameters)

    def _rotated(self, v: Array, parameters: Arrays) -> Array:
        """Return Q·v."""
        return (parameters[ROTATION] * v[..., None, :]).sum(-1) if self.is_rotated else v

    def _outside(self, v: Array, parameters: Arrays) -> Array:
        """Return Qᵀ·v: what a slope by z is by x."""
        return (parameters[ROTATION] * v[..., :, None]).sum(-2) if self.is_rotated else v


def rotation_of(normal: Doubles) -> Doubles:
    """Return rotations Q [..., D, D] of standard normal numbers [..., D, D]; uniform over all rotations.

    The Q of a QR decomposition whose R has a positive diagonal is uniform over the orthogonal matrices (Mezzadri,
    "How to generate random matrices from the classical compact groups", 2007); where it mirrors, one row is turned.
    """
    q, r = np.linalg.qr(normal)
    rotation: Doubles = q * np.where(np.diagonal(r, axis1=-2, axis2=-1) < 0, -1.0, 1.0)[..., None, :]
    rotation[..., 0, :] *= np.where(np.linalg.det(rotation) < 0, -1.0, 1.0)[..., None]
    return rotation


def arrays_of(flat: Any, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    """Return parameters by name, name → [..., *shape], of numbers [..., at least as many], side by side."""
    found, start = {}, 0
    for name, shape in shapes.items():
        found[name] = flat[..., start : start + prod(shape)].reshape(*flat.shape[:-1], *shape)
        start += prod(shape)
    return found


def flat_of(parameters: Arrays, start: Floats) -> Floats:
    """Return parameters side by side, [..., numbers], of tasks that begin at start [..., size]: the other way.

    A task may have none; its numbers are then [..., 0].
    """
    leading = start.shape[:-1]
    parts = [values.reshape(*leading, prod(values.shape[len(leading) :])) for values in parameters.values()]
    return np.concatenate([start[..., :0], *parts], axis=-1)
