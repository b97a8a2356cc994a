"""A network's inputs: what it sees of the optimizee's gradient, and what its output means for x.

Inputs declare their ``width``, how many numbers a coordinate the network sees, and what they remember from step to step
of one episode (the ratio remembers the last gradient's magnitude), which is threaded through :meth:`Inputs.encode` and
through which gradients flow. They may depend on numbers that adapt from meta-iteration to meta-iteration (the log
casting's ``min_log``): these are arguments, are no weights, and move by :meth:`Inputs.adapt`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar, NamedTuple, TypeAlias

from l2o_engine.support.registry import Registry

if TYPE_CHECKING:
    from torch import Tensor

Numbers: TypeAlias = Mapping[str, float]
"""The numbers that adapt from meta-iteration to meta-iteration, by name; empty where there are none."""

Memory: TypeAlias = "Mapping[str, Tensor]"
"""What inputs remember from step to step, by name, each of x's shape; empty before the first step."""


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

    All tensors are coordinate-wise, of any shape.

    Attributes
    ----------
    width
        How many numbers a coordinate the network sees.
    remembers
        The names of what is remembered from step to step.
    casts
        Whether what the network sees was cast to [-1, 1] by a logarithm: beyond, it is saturated.
    """

    kind: str
    width: ClassVar[int] = 1
    remembers: ClassVar[tuple[str, ...]] = ()
    casts: ClassVar[bool] = False

    @property
    def numbers(self) -> dict[str, float]:
        """The adaptive numbers before the first meta-iteration."""
        return {}

    @property
    def adapts(self) -> bool:
        """Whether :meth:`adapt` moves a number."""
        return False

    @abstractmethod
    def encode(self, gradient: "Tensor", memory: Memory, numbers: Numbers) -> Encoded:
        """Encode one step's gradient."""

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
    """Return inputs of a width above 1, [..., width], of parts [...] of one shape."""
    from torch import stack

    return stack(parts, dim=-1)


INPUTS: Registry[Inputs] = Registry("inputs", __package__)
