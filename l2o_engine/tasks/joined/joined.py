"""Several tasks as one: a weighted sum of their losses, over the coordinates of one behind those of another."""

from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import numpy as np

from l2o_engine.support.arrays import Floats
from l2o_engine.tasks.base import Array, Arrays, Group, Task, TaskFamily


class Member(NamedTuple):
    """One of the families.

    Attributes
    ----------
    name
        Its arrays have this before their names among a task's.
    family, weight
        What it is, and what its loss is multiplied with.
    place
        Where its coordinates lie among all.
    """

    name: str
    family: TaskFamily
    weight: float
    place: slice

    def own(self, arrays: Arrays | None) -> dict[str, Array]:
        """Return its own of all arrays, by the names that its family has for them."""
        before = f"{self.name}."
        return {name.removeprefix(before): one for name, one in (arrays or {}).items() if name.startswith(before)}

    def minibatch(self, arrays: Arrays | None) -> dict[str, Array] | None:
        """Return its own of a base step's minibatch; None where it has none."""
        return self.own(arrays) or None

    def point(self, x: Array) -> Array:
        """Return its own point [..., *its shape] of points x [..., size]."""
        return x[..., self.place].reshape(*x.shape[:-1], *self.family.shape)

    def flat(self, values: Array) -> Array:
        """Return what its family says of points, [..., *its shape], as coordinates [..., its size]."""
        return values.reshape(*values.shape[: values.ndim - len(self.family.shape)], self.family.size)


@dataclass(frozen=True)
class Block:
    """A group among the coordinates of all; see :class:`~l2o_engine.tasks.base.Group`."""

    place: slice
    shape: tuple[int, ...]
    part: str


class Joined(TaskFamily):
    """Several families as one: loss(x) = Σ weight·loss of each family at its own coordinates.

    Every family draws as it would alone, and each coordinate of a task is of one family.
    """

    @abstractmethod
    def parts(self) -> Iterator[tuple[str, TaskFamily, float]]:
        """Yield the name, the family and the weight of each, in the order of the coordinates."""

    @property
    def is_known(self) -> bool:
        """Whether the shape of each family is known."""
        return all(family.is_known for _, family, _ in self.parts())

    @cached_property
    def members(self) -> tuple[Member, ...]:
        """The families and where their coordinates lie."""
        found, start = [], 0
        for name, family, weight in self.parts():
            found.append(Member(name, family, weight, slice(start, start + family.size)))
            start += family.size
        return tuple(found)

    @property
    def shape(self) -> tuple[int, ...]:
        """[coordinates]: those of one family behind those of another."""
        return (self.members[-1].place.stop,)

    def group_name(self, member: Member, name: str) -> str:
        """Return what a family's group is called among all; ``name`` is "" where it is all of its coordinates."""
        return f"{member.name}.{name}" if name else member.name

    @cached_property
    def groups(self) -> Mapping[str, Group]:
        """Name → group: each family's own, or all of its coordinates, a part by its name, where it has none."""
        found: dict[str, Group] = {}
        for member in self.members:
            whole = {"": Block(slice(0, member.family.size), member.family.shape, member.name)}
            for name, group in (member.family.groups or whole).items():
                start = member.place.start
                place = slice(start + group.place.start, start + group.place.stop)
                found[self.group_name(member, name)] = Block(place, group.shape, group.part)
        return found

    @property
    def sources(self) -> Mapping[str, str]:
        """File name → SHA-256 of the files of all families."""
        return {name: digest for member in self.members for name, digest in member.family.sources.items()}

    @property
    def graph_numbers(self) -> int:
        """How many numbers autograd keeps of a loss."""
        return sum(member.family.graph_numbers for member in self.members)

    def numbers_drawn(self, steps: int) -> int:
        """Return how many numbers a task of so many base steps is made of."""
        return sum(member.family.numbers_drawn(steps) for member in self.members)

    def draw(self, generator: np.random.Generator, n: int, batch: int, *, steps: int, dtype: str) -> Task:
        """Draw tasks: for one batch after another, what each family draws."""

        def drawn(generator: np.random.Generator) -> Task:
            each = [one.family.draw(generator, 1, batch, steps=steps, dtype=dtype) for one in self.members]
            judged = self._named(task.judged or task.minibatches for task in each)
            return Task(
                self,
                np.concatenate([one.flat(task.start) for one, task in zip(self.members, each, strict=True)], axis=-1),
                self._named(task.parameters for task in each),
                self._named(task.minibatches for task in each),
                judged if any(task.judged for task in each) else {},
            )

        return batch_by_batch(drawn, generator, n)

    def loss(self, x: Array, parameters: Arrays, minibatch: Arrays | None = None) -> Array:
        """Return the loss [...] at the points x [..., size]."""
        return sum(
            one.weight * one.family.loss(one.point(x), one.own(parameters), one.minibatch(minibatch))
            for one in self.members
        )

    def gradient(self, x: Array, parameters: Arrays, minibatch: Arrays | None = None) -> Array:
        """Return the gradient [..., size] of the loss at the points x."""
        return side_by_side(
            one.weight * one.flat(one.family.gradient(one.point(x), one.own(parameters), one.minibatch(minibatch)))
            for one in self.members
        )

    def loss_and_gradient(self, x: Array, parameters: Arrays, minibatch: Arrays | None = None) -> tuple[Array, Array]:
        """Return the loss [...] and its gradient [..., size] at the points x."""
        losses, gradients = [], []
        for one in self.members:
            own = one.own(parameters), one.minibatch(minibatch)
            loss, gradient = one.family.loss_and_gradient(one.point(x), *own)
            losses.append(one.weight * loss)
            gradients.append(one.weight * one.flat(gradient))
        return sum(losses), side_by_side(gradients)

    def hessian_product(self, x: Array, v: Array, parameters: Arrays) -> Array | None:
        """Return the Hessian of the loss at x times v, [..., size] as both are; None where a family knows none."""
        products = []
        for one in self.members:
            product = one.family.hessian_product(one.point(x), one.point(v), one.own(parameters))
            if product is None:
                return None
            products.append(one.weight * one.flat(product))
        return side_by_side(products)

    def disturbance(self, parameters: Arrays, minibatch: Arrays | None) -> Array | None:
        """Return what a base step's gradient is off the loss's, [..., size]; None where it is nowhere."""
        found: dict[str, Array] = {}
        for one in self.members:
            noise = one.family.disturbance(one.own(parameters), one.minibatch(minibatch))
            if noise is not None:
                found[one.name] = one.weight * one.flat(noise)
        if not found:
            return None
        any_one = next(iter(found.values()))
        return side_by_side(
            found[one.name] if one.name in found else 0 * any_one[..., [0] * one.family.size] for one in self.members
        )

    def optimum(self, task: Task) -> Floats | None:
        """Return where each task's loss is least, [..., size]; None where that is not known of a family."""
        found = []
        for one in self.members:
            own = Task(one.family, one.point(task.start), one.own(task.parameters), one.own(task.minibatches))
            optimum = own.optimum()
            if optimum is None:
                return None
            found.append(one.flat(optimum))
        return np.concatenate(found, axis=-1)

    def _named(self, each: Iterator[Arrays]) -> dict[str, Array]:
        """Return the arrays of all families, each by its name among a task's."""
        pairs = zip(self.members, each, strict=True)
        return {f"{one.name}.{name}": values for one, arrays in pairs for name, values in arrays.items()}


def batch_by_batch(draw: Callable[[np.random.Generator], Task], generator: np.random.Generator, n: int) -> Task:
    """Return n batches of tasks, each drawn whole before the next: so n at once are the same as n times one.

    Parameters
    ----------
    draw
        Draws one batch, [1, batch].
    generator
        What is drawn from.
    n
        How many; none takes nothing from the generator.
    """
    if n == 0:
        return draw(np.random.default_rng(0))[:0]
    return Task.joined([draw(generator) for _ in range(n)])


def side_by_side(parts: "Iterator[Array] | list[Array]") -> Array:
    """Return arrays, or tensors, [..., numbers] side by side along the last axis."""
    several = list(parts)
    if isinstance(several[0], np.ndarray):
        return np.concatenate(several, axis=-1)
    from torch import cat

    return cat(several, dim=-1)
