"""The coordinate-wise LSTM: its parameters, their initialisation, and one step.

Every coordinate of every problem is a row of the batch with a state of its own, zero at the start; all rows share one
set of weights. The layout is TensorFlow 1's ``LSTMCell``: one kernel [inputs + hidden, 4·hidden] a layer, gate order
i, j, f, o, one bias, and a constant ``forget_bias`` added when the cell runs (it is no weight).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod, sqrt
from typing import TYPE_CHECKING, Any

import numpy as np

from l2o_engine.presets.schema import NetworkSettings
from l2o_engine.support.arrays import Floats

if TYPE_CHECKING:
    from torch import Tensor

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Network:
    """1 → hidden (linear) → LSTM × layers → 1 (linear)."""

    layers: int
    hidden: int
    forget_bias: float

    @property
    def shapes(self) -> dict[str, Shape]:
        """Name → shape of every parameter, in the order of the flat vector."""
        hidden = self.hidden
        shapes: dict[str, Shape] = {"input_projection.kernel": (1, hidden), "input_projection.bias": (hidden,)}
        for layer in range(self.layers):
            shapes[f"lstm{layer}.kernel"] = (2 * hidden, 4 * hidden)  # rows: input, then hidden; columns: i, j, f, o
            shapes[f"lstm{layer}.bias"] = (4 * hidden,)
        return shapes | {"output_projection.kernel": (hidden, 1), "output_projection.bias": (1,)}

    @property
    def size(self) -> int:
        """Number of weights; 6,621 for two layers of 20."""
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

    def join(self, named: dict[str, Floats]) -> Floats:
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

    def initialise(self, generator: np.random.Generator, dtype: str) -> Floats:
        """Draw weights [size]: kernels Glorot-uniform, ±√(6/(inputs + outputs)), biases 0 (Glorot & Bengio 2010)."""
        flat = np.zeros(self.size)
        for _, where, shape in self.slices():
            if len(shape) > 1:
                limit = sqrt(6 / sum(shape))
                flat[where] = generator.uniform(-limit, limit, prod(shape))
        return flat.astype(dtype)

    def start(self, rows: int, like: "Tensor") -> list[tuple["Tensor", "Tensor"]]:
        """Return the zero state: for each layer (hidden, cell), both [rows, hidden]."""
        zero = like.new_zeros(rows, self.hidden)
        return [(zero, zero)] * self.layers

    def step(
        self, weights: dict[str, Any], inputs: "Tensor", state: list[tuple["Tensor", "Tensor"]]
    ) -> tuple["Tensor", list[tuple["Tensor", "Tensor"]]]:
        """Take one step.

        Parameters
        ----------
        weights
            Name → tensor, of :attr:`shapes`.
        inputs
            [rows], one number a coordinate.
        state
            As from :meth:`start`.

        Returns
        -------
        tuple
            The outputs [rows] and the next state.
        """
        signal = inputs[:, None] @ weights["input_projection.kernel"] + weights["input_projection.bias"]
        next_state = []
        for layer, (hidden, previous) in enumerate(state):
            kernel, bias = weights[f"lstm{layer}.kernel"], weights[f"lstm{layer}.bias"]
            # [signal, hidden] @ kernel, without copying the two side by side first.
            i, j, f, o = (signal @ kernel[: self.hidden] + hidden @ kernel[self.hidden :] + bias).chunk(4, dim=1)
            cell = (f + self.forget_bias).sigmoid() * previous + i.sigmoid() * j.tanh()
            signal = o.sigmoid() * cell.tanh()
            next_state.append((signal, cell))
        outputs = signal @ weights["output_projection.kernel"] + weights["output_projection.bias"]
        return outputs[:, 0], next_state


def make_network(settings: NetworkSettings) -> Network:
    """Return the network that the preset's [network] table describes."""
    return Network(settings.layers, settings.hidden, settings.forget_bias)
