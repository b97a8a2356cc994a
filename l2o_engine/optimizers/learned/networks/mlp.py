"""The multilayer perceptron of each coordinate's inputs: learned_optimization's ``MLPLOpt``."""

from collections.abc import Mapping
from math import sqrt
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field

from l2o_engine.optimizers.learned.layout import Layout, Shape
from l2o_engine.optimizers.learned.networks.base import NETWORKS, Network
from l2o_engine.optimizers.learned.networks.initial import truncated_normal
from l2o_engine.support.arrays import Floats
from l2o_engine.support.settings import Number, Positive, Whole, settings

if TYPE_CHECKING:
    from torch import Tensor


@NETWORKS.register
@settings
class MLP(Network):
    """width → hidden (ReLU) × layers → a direction d and a magnitude a; the output is -d·exp(a·exp_mult)·step_mult.

    It has no state: what it is to remember, its inputs do. With those of kind "momenta" it is the optimizer of Metz et
    al. (2019), of 1,762 weights; mlp_lopt.py of google/learned_optimization. Weights begin truncated normal, σ =
    1/√inputs, cut at 2σ, biases 0.

    Attributes
    ----------
    layers
        How many hidden layers.
    hidden
        How many units each has.
    exp_mult
        What the magnitude is multiplied with before it is the exponent.
    step_mult
        What the step is multiplied with.
    """

    layers: Annotated[Whole, Field(ge=1, le=16)] = 2
    hidden: Annotated[Whole, Field(ge=1, le=1024)] = 32
    exp_mult: Number = 0.001
    step_mult: Positive = 0.001
    kind: Literal["mlp"] = "mlp"

    @property
    def units(self) -> int:
        """How many hidden units a row has."""
        return self.layers * self.hidden

    def layout(self, width: int) -> Layout:
        """Return its parameters' names and shapes, for inputs of this width."""
        shapes: dict[str, Shape] = {}
        for layer in range(self.layers):
            shapes |= {f"layer{layer}.kernel": (width, self.hidden), f"layer{layer}.bias": (self.hidden,)}
            width = self.hidden
        return Layout(shapes | {"output_projection.kernel": (width, 2), "output_projection.bias": (2,)})

    def initialise(self, width: int, generator: np.random.Generator, dtype: str) -> Floats:
        """Draw weights [size], in the order of :meth:`layout`, as Haiku's ``Linear`` does."""
        layout = self.layout(width)
        flat = np.zeros(layout.size)
        for name, where, shape in layout.slices():
            if name.endswith("kernel"):
                flat[where] = truncated_normal(generator, shape, 1 / sqrt(shape[0]))
        return flat.astype(dtype)

    def start(self, rows: int, like: "Tensor") -> tuple[()]:
        """Return that there is no state."""
        return ()

    def step(self, weights: Mapping[str, Any], inputs: "Tensor", state: tuple[()]) -> tuple["Tensor", tuple[()]]:
        """Take one step; see :meth:`~l2o_engine.optimizers.learned.networks.base.Network.step`."""
        signal = inputs
        for layer in range(self.layers):
            signal = (signal @ weights[f"layer{layer}.kernel"] + weights[f"layer{layer}.bias"]).relu()
        outputs = signal @ weights["output_projection.kernel"] + weights["output_projection.bias"]
        direction, magnitude = outputs.unbind(dim=1)
        return -direction * (magnitude * self.exp_mult).exp() * self.step_mult, state
