"""Where the named parameters of a network lie in the flat vector of all of them."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import prod

import numpy as np

from l2o_engine.support.arrays import Floats

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layout:
    """Named arrays in one flat vector.

    Attributes
    ----------
    shapes
        Name → shape of every parameter, in the order of the flat vector.
    """

    shapes: Mapping[str, Shape]

    @property
    def size(self) -> int:
        """Number of weights; 6,621 for an LSTM of two layers of 20."""
        return sum(prod(shape) for shape in self.shapes.values())

    def slices(self) -> Iterator[tuple[str, slice, Shape]]:
        """Yield where each parameter lies in the flat vector of all of them."""
        offset = 0
        for name, shape in self.shapes.items():
            yield name, slice(offset, offset + prod(shape)), shape
            offset += prod(shape)

    def split(self, flat: Floats) -> dict[str, Floats]:
        """Return named views of a flat vector [size]."""
        return {name: flat[where].reshape(shape) for name, where, shape in self.slices()}

    def join(self, named: Mapping[str, Floats]) -> Floats:
        """Return the flat vector of named arrays.

        Raises
        ------
        KeyError, ValueError
            If an array is missing or of another shape.
        """
        for name, shape in self.shapes.items():
            if named[name].shape != shape:
                raise ValueError(f"{name} is {named[name].shape}, not {shape}")
        return np.concatenate([named[name].ravel() for name in self.shapes])
