"""Random scaling: every coordinate of a problem by a factor of its own."""

from dataclasses import dataclass, replace

import numpy as np

from l2o_engine.support.arrays import Floats
from l2o_engine.tasks.around import Around
from l2o_engine.tasks.base import Array, Arrays, Task, TaskFamily
from l2o_engine.tasks.joined.joined import batch_by_batch

FACTOR = "factor"
"""What the factors of a task's coordinates are called among its parameters."""

MOST_BOUND = 20.0
"""The greatest bound: e^20 squared is still a number in float32."""


@dataclass(frozen=True)
class Scaled(Around):
    """f(c·x), c = exp(u) for each coordinate, u uniform in [-bound, bound]; it starts where f does, at x₀/c.

    Drawn anew for every task, so nothing can be learned of how large a coordinate's gradients are (random scaling, Lv
    et al. 2017, "Learning Gradient Descent: Better Generalization and Longer Horizons").

    Attributes
    ----------
    inner
        The family of f.
    bound
        Of u.
    """

    inner: TaskFamily
    bound: float
    kind: str = "scaled"

    @property
    def graph_numbers(self) -> int:
        """How many numbers autograd keeps of a loss."""
        return self.inner.graph_numbers + self.size

    def numbers_drawn(self, steps: int) -> int:
        """Return how many numbers a task is made of: f's, and a factor a coordinate."""
        return self.inner.numbers_drawn(steps) + self.size

    def draw(self, generator: np.random.Generator, n: int, batch: int, *, steps: int, dtype: str) -> Task:
        """Draw tasks: for one batch after another, what f draws, then the factors."""

        def drawn(generator: np.random.Generator) -> Task:
            # In float64, so that the start is rounded once.
            task = self.inner.draw(generator, 1, batch, steps=steps, dtype="float64")
            factor = np.exp(self.bound * (2 * generator.random(task.start.shape) - 1))
            scaled = replace(
                task, family=self, start=task.start / factor, parameters={**task.parameters, FACTOR: factor}
            )
            return scaled.with_arrays(lambda values: _rounded(values, dtype))

        return batch_by_batch(drawn, generator, n)

    def loss(self, x: Array, parameters: Arrays, minibatch: Arrays | None = None) -> Array:
        """Return the loss [...] at the points x [..., *shape]."""
        return self.inner.loss(parameters[FACTOR] * x, parameters, minibatch)

    def gradient(self, x: Array, parameters: Arrays, minibatch: Arrays | None = None) -> Array:
        """Return c·∇f(c·x), [..., *shape]; noise in f's gradient is scaled as well."""
        factor = parameters[FACTOR]
        return factor * self.inner.gradient(factor * x, parameters, minibatch)

    def loss_and_gradient(self, x: Array, parameters: Arrays, minibatch: Arrays | None = None) -> tuple[Array, Array]:
        """Return f(c·x), [...], and c·∇f(c·x), [..., *shape]."""
        factor = parameters[FACTOR]
        loss, gradient = self.inner.loss_and_gradient(factor * x, parameters, minibatch)
        return loss, factor * gradient

    def hessian_product(self, x: Array, v: Array, parameters: Arrays) -> Array | None:
        """Return c·(∇²f(c·x)·(c·v)), [..., *shape]; None where f knows none."""
        factor = parameters[FACTOR]
        product = self.inner.hessian_product(factor * x, factor * v, parameters)
        return None if product is None else factor * product

    def disturbance(self, parameters: Arrays, minibatch: Arrays | None) -> Array | None:
        """Return what a base step's gradient is off the loss's, [..., *shape]; None where it is the loss's own."""
        noise = self.inner.disturbance(parameters, minibatch)
        return None if noise is None else parameters[FACTOR] * noise

    def optimum(self, task: Task) -> Floats | None:
        """Return f's optimum/c, [..., *shape]; None where f's is not known."""
        found = self.inner.optimum(task)
        return None if found is None else found / task.parameters[FACTOR]


def _rounded(values: Array, dtype: str) -> Array:
    """Return numbers in a dtype, but whole ones, which count places, as they are."""
    return values.astype(dtype) if np.issubdtype(values.dtype, np.floating) else values
