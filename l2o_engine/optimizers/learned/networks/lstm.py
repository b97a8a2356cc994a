"""The coordinate-wise LSTM.

The layout is TensorFlow 1's ``LSTMCell``, and Sonnet 1's: one kernel [inputs + hidden, 4·hidden] a layer, gate order i,
j, f, o, one bias, and a constant ``forget_bias`` added when the cell runs (it is no weight).
"""

from collections.abc import Iterator, Mapping
from math import sqrt
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import AfterValidator, Field

from l2o_engine.optimizers.learned.layout import Layout, Shape
from l2o_engine.optimizers.learned.networks.base import NETWORKS, Network
from l2o_engine.optimizers.learned.networks.initial import glorot_uniform, truncated_normal
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
    """width → hidden (the input projection) → LSTM × layers → 1 (linear), times output_scale.

    Attributes
    ----------
    layers
        How many LSTM layers.
    hidden
        How many units each has.
    forget_bias
        Added to the forget gate.
    input_projection
        What stands before the first layer: a linear map to hidden numbers, one with an ELU behind it (RNNprop), or
        nothing: then the first layer takes the inputs as they are (DeepMind).
    initialiser
        How weights begin. "glorot": kernels Glorot-uniform, biases 0. "sonnet", DeepMind's: the layers' kernels and
        biases truncated normal with σ = 1/√(inputs + hidden), cut at 2σ, the projections' kernels with 1/√inputs, their
        biases 0. "rnnprop": the projections' kernels truncated normal with σ = 0.1, the layers' Glorot-uniform, biases
        0.
    output_scale
        What the output is multiplied with.
    output_bound
        What the output goes through before that: "tanh" holds it within [-1, 1].
    """

    layers: Annotated[Whole, Field(ge=1, le=16)] = 2
    hidden: Annotated[Whole, Field(ge=1), AfterValidator(_check_hidden), Words("whole number ≥ 1 and ≤ 1,024")] = 20
    forget_bias: Number = 1.0
    input_projection: Literal["linear", "elu", "none"] = "linear"
    initialiser: Literal["glorot", "sonnet", "rnnprop"] = "glorot"
    output_scale: Number = 1.0
    output_bound: Literal["none", "tanh"] = "none"
    kind: Literal["lstm"] = "lstm"

    @property
    def units(self) -> int:
        """How many hidden units a row has."""
        return self.layers * self.hidden

    def layout(self, width: int) -> Layout:
        """Return its parameters' names and shapes, for inputs of this width."""
        hidden = self.hidden
        shapes: dict[str, Shape] = {}
        if self.input_projection != "none":
            shapes |= {"input_projection.kernel": (width, hidden), "input_projection.bias": (hidden,)}
            width = hidden
        for layer in range(self.layers):
            shapes[f"lstm{layer}.kernel"] = (
                width + hidden,
                4 * hidden,
            )  # rows: input, then hidden; columns: i, j, f, o
            shapes[f"lstm{layer}.bias"] = (4 * hidden,)
            width = hidden
        return Layout(shapes | {"output_projection.kernel": (hidden, 1), "output_projection.bias": (1,)})

    def initialise(self, width: int, generator: np.random.Generator, dtype: str) -> Floats:
        """Draw weights [size], in the order of :meth:`layout`; see :attr:`initialiser`."""
        layout = self.layout(width)
        flat = np.zeros(layout.size)
        for name, where, shape in layout.slices():
            is_kernel, is_layer = name.endswith("kernel"), name.startswith("lstm")
            inputs, _ = layout.shapes[name.replace("bias", "kernel")]
            match self.initialiser:
                case "sonnet" if is_kernel or is_layer:
                    flat[where] = truncated_normal(generator, shape, 1 / sqrt(inputs))
                case "rnnprop" if is_kernel and not is_layer:
                    flat[where] = truncated_normal(generator, shape, 0.1)
                case "glorot" | "rnnprop" if is_kernel:
                    flat[where] = glorot_uniform(generator, shape)
        return flat.astype(dtype)

    def start(self, rows: int, like: "Tensor") -> list[tuple["Tensor", "Tensor"]]:
        """Return the zero state: for each layer (hidden, cell), both [rows, hidden]."""
        zero = like.new_zeros(rows, self.hidden)
        return [(zero, zero)] * self.layers

    def step(
        self, weights: Mapping[str, Any], inputs: "Tensor", state: list[tuple["Tensor", "Tensor"]]
    ) -> tuple["Tensor", list[tuple["Tensor", "Tensor"]]]:
        """Take one step; see :meth:`~l2o_engine.optimizers.learned.networks.base.Network.step`."""
        next_state = []
        for signal, cell, _ in self._layers(weights, inputs, state):
            next_state.append((signal, cell))
        outputs = (signal @ weights["output_projection.kernel"] + weights["output_projection.bias"])[:, 0]
        return self.scaled(outputs), next_state

    def _layers(
        self, weights: Mapping[str, Any], inputs: "Tensor", state: list[tuple["Tensor", "Tensor"]]
    ) -> Iterator[tuple["Tensor", "Tensor", tuple["Tensor", "Tensor", "Tensor"]]]:
        """Yield what each layer comes to in a step: its hidden numbers, its cell, and its gates i, f, o."""
        signal = self._projected(weights, inputs)
        for layer, (hidden, previous) in enumerate(state):
            kernel, bias, below = weights[f"lstm{layer}.kernel"], weights[f"lstm{layer}.bias"], signal.shape[1]
            # [signal, hidden] @ kernel, without copying the two side by side first.
            i, j, f, o = (signal @ kernel[:below] + hidden @ kernel[below:] + bias).chunk(4, dim=1)
            gates = i.sigmoid(), (f + self.forget_bias).sigmoid(), o.sigmoid()
            cell = gates[1] * previous + gates[0] * j.tanh()
            signal = gates[2] * cell.tanh()
            yield signal, cell, gates

    def gates(
        self, weights: Mapping[str, Any], inputs: "Tensor", state: list[tuple["Tensor", "Tensor"]]
    ) -> dict[str, "Tensor"]:
        """Return the gates of a step, "lstm0.input", "lstm0.forget", "lstm0.output", … [rows, hidden]."""
        return {
            f"lstm{layer}.{name}": values
            for layer, (_, _, gates) in enumerate(self._layers(weights, inputs, state))
            for name, values in zip(("input", "forget", "output"), gates, strict=True)
        }

    def scaled(self, outputs: "Tensor") -> "Tensor":
        """Return what the last layer's outputs are bounded and scaled to."""
        bounded = outputs.tanh() if self.output_bound == "tanh" else outputs
        return bounded if self.output_scale == 1 else bounded * self.output_scale

    def named(self, state: list[tuple["Tensor", "Tensor"]]) -> dict[str, "Tensor"]:
        """Return a state by name: "lstm0.hidden", "lstm0.cell", … [rows, hidden]."""
        parts = [(("hidden", hidden), ("cell", cell)) for hidden, cell in state]
        return {f"lstm{layer}.{name}": values for layer, both in enumerate(parts) for name, values in both}

    def of_named(self, named: Mapping[str, "Tensor"]) -> list[tuple["Tensor", "Tensor"]]:
        """Return the state that these tensors are of."""
        return [(named[f"lstm{layer}.hidden"], named[f"lstm{layer}.cell"]) for layer in range(self.layers)]

    def _projected(self, weights: Mapping[str, Any], inputs: "Tensor") -> "Tensor":
        """Return what the first layer takes, [rows, hidden], or the inputs as they are."""
        if self.input_projection == "none":
            return inputs
        projected: Tensor = inputs @ weights["input_projection.kernel"] + weights["input_projection.bias"]
        # ELU, of derivative 1 at 0 from both sides: relu has 0 there, and clamp 1.
        return projected.relu() + projected.clamp(max=0).expm1() if self.input_projection == "elu" else projected
