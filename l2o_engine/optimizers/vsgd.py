"""vSGD: gradient descent whose learning rates follow from the gradients' variance and the curvature."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import Field

from l2o_engine.optimizers.base import OPTIMIZERS, HandDesigned, Looking, Surroundings
from l2o_engine.optimizers.tuned import TunedNote
from l2o_engine.support.settings import Label, Number, Positive, Whole, settings
from l2o_engine.tasks.base import Array


class _State(NamedTuple):
    """The running means and their memory.

    Attributes
    ----------
    mean, square, curvature
        ḡ, v̄ and h̄; where a task has one learning rate, v̄ is the mean of ‖g‖².
    memory
        τ, in steps.
    seen
        max(ε, |H|) as it was last looked at.
    axes
        Over which a task has one learning rate; none where each coordinate has its own.
    """

    mean: Array
    square: Array
    curvature: Array
    memory: Array
    seen: Array
    axes: tuple[int, ...]


@OPTIMIZERS.register
@settings
class VSgd(HandDesigned, Looking):
    """vSGD (Schaul, Zhang & LeCun 2013, algorithm 1): u = -η·g, η = ḡ²/(h̄·v̄), no learning rate to be set.

    ḡ, v̄ and h̄ are running means of g, g² and max(epsilon, |H|) with a memory of τ steps, ḡ ← (1 - 1/τ)·ḡ + g/τ, and
    τ ← (1 - ḡ²/v̄)·τ + 1 after each. H is the diagonal of the Hessian. With as few samples as 1, and slow_start 1, on a
    task without noise, it is Newton's method for every coordinate alone: an exact one, where the task lies along the
    axes. Where the gradient has been 0 all the time, η is 0 and τ stays.

    Attributes
    ----------
    variant
        "l": each coordinate has its η. "g" (global), "b" (a block): all coordinates of a task have one,
        Σḡ²/(max h̄ · l̄), l̄ the mean of ‖g‖². The coordinates of a task are one block here, so the two are the same.
    samples
        How many gradients at the start the means begin with, and their memory: of the first minibatches, where a task
        has some.
    slow_start
        What v̄ and h̄ of the start are multiplied by, so that the first steps are small.
    minibatch
        Of how many examples a gradient is the mean: ḡ²/(v̄/n + (n - 1)/n·ḡ²) stands in place of ḡ²/v̄.
    epsilon
        What a curvature counts as at least.
    curvature
        "exact": the task's own, where it knows products with its Hessian and has no more than 100 coordinates.
        "differences", and else: |∇(x + ḡ) - ∇(x)|/|ḡ| on the same minibatch (Schaul & LeCun 2013, without their
        detection of outliers), at one more gradient a step.
    name
        What it is called in charts and tables.
    tuned
        That tuning found these settings, and on what.
    """

    variant: Literal["l", "g", "b"] = "l"
    samples: Annotated[Whole, Field(ge=1, le=10_000)] = 2
    slow_start: Annotated[Number, Field(ge=1)] = 2.0
    minibatch: Annotated[Whole, Field(ge=1)] = 1
    epsilon: Positive = 1e-9
    curvature: Literal["exact", "differences"] = "exact"
    name: Label = "vSGD"
    tuned: TunedNote = None
    kind: Literal["vsgd"] = "vsgd"
    searched: ClassVar[Mapping[str, Sequence[Any]]] = {
        "variant": ("l", "g"),
        "samples": (1, 2, 5, 10),
        "slow_start": (1.0, 2.0, 10.0, 100.0),
    }

    def init(self, x: Array) -> None:
        """Return None: the state begins with what is seen at the first step."""

    def look(self, state: _State | None, around: Surroundings) -> _State:
        """Look at the curvature here; before the first step also at the gradients that the means begin with."""
        if state is None:
            state = self._begun(around)
        mean = _moved(state.mean, around.gradient, state.memory)
        return state._replace(seen=self._curvature(around, mean, state.curvature))

    def update(self, gradient: Array, state: _State | None) -> tuple[Array, _State]:
        """Return the update and the next means.

        Raises
        ------
        ValueError
            If it has not looked at the curvature.
        """
        if state is None:
            raise ValueError("vSGD needs the curvature: give it a look before each update")
        memory, axes, n = state.memory, state.axes, self.minibatch
        mean = _moved(state.mean, gradient, memory)
        square = _moved(state.square, _summed(gradient**2, axes), memory)
        curvature = _moved(state.curvature, state.seen, memory)
        signal = _summed(mean**2, axes)
        spread = square / n + (n - 1) / n * signal
        is_known = spread > 0
        ratio = (signal / (spread + ~is_known)).clip(max=1)  # 0 where nothing is known; rounding may bring it above 1
        memory = memory + (1 - ratio * memory) * is_known
        return -ratio / _greatest(curvature, axes) * gradient, _State(mean, square, curvature, memory, state.seen, axes)

    def _begun(self, around: Surroundings) -> _State:
        """Return the means of the gradients and curvatures at the start."""
        axes = around.axes if self.variant != "l" else ()
        samples = list(around.samples(self.samples))
        number = len(samples)
        mean = sum(one.gradient for one in samples) / number
        square = self.slow_start * sum(_summed(one.gradient**2, axes) for one in samples) / number
        none = 0 * around.x
        curvature = self.slow_start * sum(self._curvature(one, mean, none) for one in samples) / number
        return _State(mean, square, curvature, 0 * square + self.samples, curvature, axes)

    def _curvature(self, around: Surroundings, mean: Array, before: Array) -> Array:
        """Return max(ε, |H|); by differences, as it was before where ḡ leads nowhere and there is none."""
        exact = around.curvature() if self.curvature == "exact" else None
        if exact is not None:
            return abs(exact).clip(min=self.epsilon)
        ahead = around.x + mean
        gap = abs(ahead - around.x)  # which rounding may make of ḡ
        is_there = gap > 0
        slope = abs(around.gradient_at(ahead) - around.gradient) / (gap + ~is_there)
        return (slope * is_there + before * ~is_there).clip(min=self.epsilon)

    @property
    def small_numbers(self) -> dict[str, float]:
        """ε, which keeps a step from dividing by 0."""
        return {"epsilon": self.epsilon}


def _moved(mean: Array, new: Array, memory: Array) -> Array:
    """Return a running mean after one more value."""
    return (1 - 1 / memory) * mean + new / memory


def _summed(values: Array, axes: tuple[int, ...]) -> Array:
    """Return sums over a task's coordinates, as many axes as before; the values themselves over no axes."""
    return values.sum(axes, keepdims=True) if axes else values


def _greatest(values: Array, axes: tuple[int, ...]) -> Array:
    """Return the greatest over a task's coordinates, as many axes as before; the values themselves over no axes."""
    if not axes:
        return values
    return values.max(axes, keepdims=True) if isinstance(values, np.ndarray) else values.amax(axes, keepdim=True)
