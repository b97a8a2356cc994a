"""A network's inputs: what it sees of the optimizee's gradient, and what its output means for x.

Inputs declare their ``width``, how many numbers a coordinate the network sees, and what they remember from step to step
of one episode (the ratio remembers the last gradient's magnitude), which is threaded through :meth:`Inputs.encode` and
through which gradients flow. They may see a coordinate beside the others of its tensor (:meth:`Inputs.among`), and
depend on numbers that adapt from meta-iteration to meta-iteration (the log casting's ``min_log``): these are arguments,
are no weights, and move by :meth:`Inputs.adapt`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple, TypeAlias

from l2o_engine.support.registry import Registry
from l2o_engine.tasks.base import TaskFamily

if TYPE_CHECKING:
    from torch import Tensor

Numbers: TypeAlias = Mapping[str, float]
"""The numbers that adapt from meta-iteration to meta-iteration, by name; empty where there are none."""

Memory: TypeAlias = "Mapping[str, Tensor]"
"""What inputs remember from step to step, by name: of x's shape, of some numbers a coordinate, or a count.

A count is [] where all points began together, and of x's number of axes, [..., 1, 1], where they did not.
"""


MOST_REMEMBERED = 6
"""How many numbers a coordinate one thing takes that inputs remember, at most: the six momenta."""


@dataclass(frozen=True)
class Tensors:
    """Which coordinates of a point are one tensor: a layer's matrix, its biases.

    Attributes
    ----------
    axes
        How many axes, from the end, are the coordinates of one point.
    where
        Where each tensor lies in a point's coordinates, flat: in order, and all of them.
    """

    axes: int = 1
    where: tuple[slice, ...] = (slice(None),)

    @classmethod
    def of(cls, family: TaskFamily) -> "Tensors":
        """Return those of a family's points: its groups, or the whole point where it has none."""
        return cls(len(family.shape), tuple(group.place for group in family.groups.values()) or cls.where)

    def mean(self, values: "Tensor") -> "Tensor":
        """Return the means of numbers [..., *coordinates, n] over each coordinate's tensor, of that shape."""
        from torch import cat

        flat = values.reshape(*values.shape[: values.ndim - 1 - self.axes], -1, values.shape[-1])
        each = [flat[..., where, :] for where in self.where]
        return cat([one.mean(-2, keepdim=True).expand_as(one) for one in each], dim=-2).reshape(values.shape)


class Encoded(NamedTuple):
    """One encoded gradient.

    Attributes
    ----------
    inputs
        What the network sees: of the gradient's shape for a width of 1, else [..., width].
    reference
        What :meth:`Inputs.decode` needs of this step: the ratio's denominator, and without one the gradient.
    signal
        What the log casting was applied to, whose smallest magnitude moves an adaptive number.
    memory
        To be passed to the next step's :meth:`Inputs.encode`.
    """

    inputs: "Tensor"
    reference: "Tensor"
    signal: "Tensor"
    memory: Memory


class Inputs(ABC):
    """What stands between an optimizee's gradients and the network; its fields are its settings.

    All tensors are coordinate-wise, of any shape, and every coordinate is by itself: but for :meth:`among`.

    Attributes
    ----------
    width
        How many numbers a coordinate the network sees.
    remembers
        The names of what is remembered from step to step.
    casts
        Whether what the network sees was cast to [-1, 1] by a logarithm: beyond, it is saturated.
    scales_itself
        Whether the network sees the same whatever all gradients are multiplied with.
    """

    kind: str
    width: ClassVar[int] = 1
    remembers: ClassVar[tuple[str, ...]] = ()
    casts: ClassVar[bool] = False
    scales_itself: ClassVar[bool] = False

    @property
    def numbers(self) -> dict[str, float]:
        """The adaptive numbers before the first meta-iteration."""
        return {}

    @property
    def adapts(self) -> bool:
        """Whether :meth:`adapt` moves a number."""
        return False

    def begin(self, x: "Tensor") -> Memory:
        """Return what is remembered before the first step, at the points x: nothing."""
        return {}

    @abstractmethod
    def encode(self, gradient: "Tensor", memory: Memory, numbers: Numbers) -> Encoded:
        """Encode one step's gradient."""

    def among(self, encoded: Encoded, tensors: Tensors) -> Encoded:
        """Return what the network sees of a coordinate among the others of its tensor: here it makes no difference."""
        return encoded

    def at(self, memory: Memory, x: "Tensor") -> Memory:
        """Return what is remembered where the points are known to be at x: here it makes no difference."""
        return memory

    def moved(self, memory: Memory, update: "Tensor") -> Memory:
        """Return what is remembered once x has moved by an update: here it makes no difference."""
        return memory

    def decode(self, outputs: "Tensor", encoded: Encoded, numbers: Numbers) -> "Tensor":
        """Turn the network's outputs, one a coordinate, into the update of x: here they are the update."""
        return outputs

    def adapt(self, numbers: Numbers, smallest_signal: float) -> Numbers:
        """Return the next numbers, given the smallest |signal| of the episode's last step."""
        return numbers

    @property
    def small_numbers(self) -> dict[str, float]:
        """Setting → number that must not round to 0 in the run's dtype."""
        return {}


def side_by_side(*parts: "Tensor") -> "Tensor":
    """Return inputs of a width above 1, [..., width], of parts [...] of one shape; in memory, each part is whole."""
    from torch import stack

    return stack(parts).movedim(0, -1)


def one_behind_the_other(*parts: "Tensor") -> "Tensor":
    """Return inputs [..., width] of parts [..., any width]."""
    from torch import cat

    return cat(parts, dim=-1)


INPUTS: Registry[Inputs] = Registry("inputs", __package__)
