"""A mixture: every meta-iteration's tasks are drawn from one of several families."""

from collections.abc import Callable, Mapping
from math import prod
from typing import Annotated, Any, Literal, cast

import numpy as np
from pydantic import BeforeValidator, Field

from l2o_engine.support.arrays import Floats
from l2o_engine.support.settings import Number, SettingError, list_to_tuple, settings
from l2o_engine.tasks.base import TASKS, Array, Arrays, Task, TaskFamily
from l2o_engine.tasks.small import NOISE, SmallTask, arrays_of, flat_of

_MOST_FAMILIES = 64
_FamilyTable: Any = TASKS.union_of(SmallTask, __name__, "l2o_engine.tasks.joined")
_Weight = Annotated[Number, Field(gt=0)]

MEMBER, NUMBERS = "member", "numbers"


@TASKS.register
@settings
class Mixture(TaskFamily):
    """Tasks of one of several families, all with as many coordinates; all tasks of a batch are of the same one.

    Attributes
    ----------
    of
        The families, tables like [problem] each, with wrappers of their own.
    weights
        How often each is drawn, in proportion; all alike if left out.

    Raises
    ------
    SettingError
        If the families' points are of different sizes, or there is not one weight for each.
    """

    of: Annotated[
        tuple[_FamilyTable, ...], BeforeValidator(list_to_tuple), Field(min_length=1, max_length=_MOST_FAMILIES)
    ]
    weights: Annotated[tuple[_Weight, ...], BeforeValidator(list_to_tuple)] = ()
    kind: Literal["mixture"] = "mixture"

    def __post_init__(self) -> None:
        sizes = sorted({family.size for family in self.families})
        if len(sizes) > 1:
            have = " and ".join(map(str, sizes))
            raise SettingError("of", f"all families have the same number of coordinates; these have {have}")
        if self.weights and len(self.weights) != len(self.of):
            raise SettingError("weights", f"there are {len(self.weights)} for {len(self.of)} families")

    @property
    def families(self) -> tuple[SmallTask, ...]:
        """The families."""
        return cast("tuple[SmallTask, ...]", self.of)

    @property
    def shape(self) -> tuple[int, ...]:
        """[coordinates], as every family's."""
        return self.families[0].shape

    @property
    def noise(self) -> bool:
        """Whether any family's gradients have noise."""
        return any(family.noise for family in self.families)

    @property
    def parameter_numbers(self) -> int:
        """How many numbers the parameters of a task take, of the family that has most."""
        return max(sum(map(prod, family.shapes.values())) for family in self.families)

    def numbers_drawn(self, steps: int) -> int:
        """Return how many uniform numbers a task takes: one that says of which family, and as many as any needs."""
        return 1 + max(family.numbers_drawn(steps) for family in self.families)

    def draw(self, generator: np.random.Generator, n: int, batch: int, *, steps: int, dtype: str) -> Task:
        """Draw tasks; each takes :meth:`numbers_drawn` from the generator."""
        uniform = generator.random((n, batch, self.numbers_drawn(steps)))
        shares = np.cumsum(self.weights or [1.0] * len(self.of))
        member = np.searchsorted(shares / shares[-1], uniform[:, 0, 0], side="right").clip(max=len(self.of) - 1)
        start = np.empty((n, batch, self.size), dtype)
        numbers = np.zeros((n, batch, self.parameter_numbers), dtype)
        noise = np.zeros((n, batch, steps, self.size), dtype) if self.noise else None
        for index, family in enumerate(self.families):
            drawn = member == index
            task = family.task_of(uniform[drawn, :, 1 : 1 + family.numbers_drawn(steps)], steps, dtype)
            flat = flat_of(task.parameters, task.start)
            start[drawn], numbers[drawn, :, : flat.shape[-1]] = task.start, flat
            if noise is not None and family.noise:
                noise[drawn] = task.minibatches[NOISE]
        which = np.repeat(member[:, None], batch, axis=1).astype(dtype)
        return Task(self, start, {MEMBER: which, NUMBERS: numbers}, {} if noise is None else {NOISE: noise})

    def loss(self, x: Array, parameters: Arrays, minibatch: Arrays | None = None) -> Array:
        """Return the loss [...] at the points x [..., size]."""
        return self._by_family(parameters, x[..., 0], lambda family, at, own: family.loss(x[at], own), 0)

    def gradient(self, x: Array, parameters: Arrays, minibatch: Arrays | None = None) -> Array:
        """Return the gradient [..., size] of the loss at the points x, with its noise."""
        slope = self._by_family(parameters, x, lambda family, at, own: family.gradient(x[at], own), 1)
        noise = self.disturbance(parameters, minibatch)
        return slope if noise is None else slope + noise

    def hessian_product(self, x: Array, v: Array, parameters: Arrays) -> Array:
        """Return the Hessian of the loss at the points x times vectors v: [..., size], as both are."""
        return self._by_family(parameters, x, lambda family, at, own: family.hessian_product(x[at], v[at], own), 1)

    def disturbance(self, parameters: Arrays, minibatch: Arrays | None) -> Array | None:
        """Return the noise of a base step's gradient, [..., size]; None where there is none."""
        return minibatch[NOISE] if self.noise and minibatch is not None else None

    def optimum(self, task: Task) -> Floats | None:
        """Return where each task's loss is least, [..., size]; None where that is not known of one of them."""
        found: Floats = np.empty_like(task.start)
        for index, family in enumerate(self.families):
            at = task.parameters[MEMBER] == index
            own = arrays_of(task.parameters[NUMBERS][at], family.shapes)
            optimum = family.optimum(Task(family, task.start[at], own))
            if optimum is None:
                return None
            found[at] = optimum
        return found

    def _by_family(
        self, parameters: Arrays, like: Array, value: Callable[[SmallTask, Any, Mapping[str, Any]], Array], axes: int
    ) -> Array:
        """Return what each task's own family computes, of an array's shape: ``value(family, which tasks, theirs)``.

        Points may have more leading axes than parameters have, which are the same along these; ``axes`` are those
        behind.
        """
        leading = like.shape[: like.ndim - axes]
        numbers = parameters[NUMBERS]
        if isinstance(numbers, np.ndarray):
            member = np.broadcast_to(parameters[MEMBER], leading)
            numbers, found = np.broadcast_to(numbers, (*leading, numbers.shape[-1])), np.zeros_like(like)
        else:
            member = parameters[MEMBER].expand(leading)
            numbers, found = numbers.expand(*leading, -1), like.new_zeros(like.shape)
        for index, family in enumerate(self.families):
            at = member == index
            if bool(at.any()):
                found[at] = value(family, at, arrays_of(numbers[at], family.shapes))
        return found
