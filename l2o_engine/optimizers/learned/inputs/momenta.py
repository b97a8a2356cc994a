"""The gradient, x itself, six running means of the gradient, and the time: learned_optimization's inputs."""

from typing import TYPE_CHECKING, ClassVar, Literal

from l2o_engine.optimizers.learned.inputs.base import (
    INPUTS,
    Encoded,
    Inputs,
    Memory,
    Numbers,
    Tensors,
    one_behind_the_other,
    side_by_side,
)
from l2o_engine.support.settings import settings

if TYPE_CHECKING:
    from torch import Tensor

DECAYS = (0.1, 0.5, 0.9, 0.99, 0.999, 0.9999)
"""How much of each running mean is kept from step to step."""

TIMESCALES = (1, 3, 10, 30, 100, 300, 1_000, 3_000, 10_000, 30_000, 100_000)
"""The steps t/T = 1 of each of the numbers that tell the time."""

_NORMALISED = 2 + len(DECAYS)  # the numbers of a coordinate that are seen beside those of its tensor
_EPSILON = 1e-5


@INPUTS.register
@settings
class Momenta(Inputs):
    """19 numbers a coordinate: g, x, six momenta of g, and tanh(t/T - 1) for eleven T from 1 to 100,000.

    The first eight, each divided by √(mean of its square over the tensor + 1e-5): a tensor is a group of the problem's
    weights, or the whole point where a problem has no groups. The momenta keep 0.1, 0.5, 0.9, 0.99, 0.999 and 0.9999 of
    themselves from step to step, and t is 0 at the first. Made for a network of kind "mlp" (Metz et al., 2019;
    mlp_lopt.py of google/learned_optimization).
    """

    kind: Literal["momenta"] = "momenta"
    width: ClassVar[int] = _NORMALISED + len(TIMESCALES)
    remembers: ClassVar[tuple[str, ...]] = ("x", "momenta", "steps")

    def begin(self, x: "Tensor") -> Memory:
        """Begin at x, with momenta [..., 6] of 0 and no steps [] done."""
        return {"x": x.clone(), "momenta": x.new_zeros(*x.shape, len(DECAYS)), "steps": x.new_zeros(())}

    def encode(self, gradient: "Tensor", memory: Memory, numbers: Numbers) -> Encoded:
        """Return all numbers, behind the coordinates, [..., 19]; they are not normalised yet."""
        kept, added = gradient.new_tensor(DECAYS), gradient.new_tensor([1 - decay for decay in DECAYS])
        momenta = memory["momenta"] * kept + gradient.unsqueeze(-1) * added
        time = (memory["steps"].unsqueeze(-1) / gradient.new_tensor(TIMESCALES) - 1).tanh()
        inputs = one_behind_the_other(
            side_by_side(gradient, memory["x"]), momenta, time.expand(*gradient.shape, len(TIMESCALES))
        )
        return Encoded(inputs, gradient, gradient, {**memory, "momenta": momenta, "steps": memory["steps"] + 1})

    def among(self, encoded: Encoded, tensors: Tensors) -> Encoded:
        """Divide all but the time by their root mean squares over the coordinate's tensor."""
        own, time = encoded.inputs[..., :_NORMALISED], encoded.inputs[..., _NORMALISED:]
        normalised = own * (tensors.mean(own**2) + _EPSILON).rsqrt()
        return encoded._replace(inputs=one_behind_the_other(normalised, time))

    def at(self, memory: Memory, x: "Tensor") -> Memory:
        """Remember that x is here: who moves it may do more than the updates."""
        return {**memory, "x": x}

    def moved(self, memory: Memory, update: "Tensor") -> Memory:
        """Remember where x is now."""
        return {**memory, "x": memory["x"] + update}
