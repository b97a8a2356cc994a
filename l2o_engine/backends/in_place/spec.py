"""What the kernel is compiled for, and how a state lies in memory."""

from dataclasses import dataclass
from typing import ClassVar

from l2o_engine.backends.compiled.shape import Shape

TILE = 64
"""Rows whose numbers lie side by side in a state: a multiple of any block of the kernel's, on any CPU."""


@dataclass(frozen=True)
class InPlaceSpec(Shape):
    """What is compiled in; all else, sizes and settings of the network, are arguments.

    Attributes
    ----------
    dtype
        "float32" or "float64".
    """

    dtype: str
    kernel: ClassVar[str] = "l2o_engine.backends.in_place.kernel"
