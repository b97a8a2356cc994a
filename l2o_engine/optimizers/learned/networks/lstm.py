"""The coordinate-wise LSTM.

The layout is TensorFlow 1's ``LSTMCell``: one kernel [inputs + hidden, 4·hidden] a layer, gate order i, j, f, o, one
bias, and a constant ``forget_bias`` added when the cell runs (it is no weight).
"""

from collections.abc import Mapping
from math import prod, sqrt
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, Field

from l2o_engine.optimizers.learned.layout import Layout, Shape
from l2o_engine.optimizers.learned.networks.base import NETWORKS, Network
from l2o_engine.support.arrays import Floats
from l2o_engine.support.settings import Number, Whole, Words, settings
from l2o_engine.support.wording import size

if TYPE_CHECKING:
    from torch import Tensor


_MOST_HIDDEN = 1024


def _check_hidden(hidden: int) -> int:
    if hidden > _MOST_HIDDEN:
        weights = 8 * min(hidden, 10**12) ** 2  # a number of any length may stand in a file
        raise ValueError(f"must be at most {_MOST_HIDDEN}: the weights of one layer would take {size(4 * weights)}")
    return hidden


@NETWORKS.register
@settings
class LSTM(Network):
    """width → hidden (linear) → LSTM × layers → 1 (linear).

    Attributes
    ----------
    layers
        How many LSTM layers.
    hidden
        How many units each has.
    forget_bias
        Added to the forget gate.
    """

    layers: Annotated[Whole, Field(ge=1, le=16)] = 2
    hidden: Annotated[Whole, Field(ge=1), AfterValidator(_check_hidden), Words("whole number ≥ 1 and ≤ 1,024")] = 20
    forget_bias: Number = 1.0
    kind: Literal["lstm"] = "lstm"

    def layout(self, width: int) -> Layout:
        """Return its parameters' names and shapes, for inputs of this width."""
        hidden = self.hidden
        shapes: dict[str, Shape] = {"input_projection.kernel": (width, hidden), "input_projection.bias": (hidden,)}
        for layer in range(self.layers):
            shapes[f"lstm{layer}.kernel"] = (2 * hidden, 4 * hidden)  # rows: input, then hidden; columns: i, j, f, o
            shapes[f"lstm{layer}.bias"] = (4 * hidden,)
        return Layout(shapes | {"output_projection.kernel": (hidden, 1), "output_projection.bias": (1,)})

    def initialise(self, width: int, generator: np.random.Generator, dtype: str) -> Floats:
        """Draw weights [size]: kernels Glorot-uniform, ±√(6/(inputs + outputs)), biases 0 (Glorot & Bengio 2010)."""
        layout = self.layout(width)
        flat = np.zeros(layout.size)
        for _, where, shape in layout.slices():
            if len(shape) > 1:
                limit = sqrt(6 / sum(shape))
                flat[where] = generator.uniform(-limit, limit, prod(shape))
        return flat.astype(dtype)

    def start(self, rows: int, like: "Tensor") -> list[tuple["Tensor", "Tensor"]]:
        """Return the zero state: for each layer (hidden, cell), both [rows, hidden]."""
        zero = like.new_zeros(rows, self.hidden)
        return [(zero, zero)] * self.layers

    def step(
        self, weights: Mapping[str, Any], inputs: "Tensor", state: list[tuple["Tensor", "Tensor"]]
    ) -> tuple["Tensor", list[tuple["Tensor", "Tensor"]]]:
        """Take one step; see :meth:`~l2o_engine.optimizers.learned.networks.base.Network.step`."""
        signal = inputs @ weights["input_projection.kernel"] + weights["input_projection.bias"]
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
