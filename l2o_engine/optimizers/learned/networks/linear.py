"""A linear map of each coordinate's inputs."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from l2o_engine.optimizers.learned.layout import Layout
from l2o_engine.optimizers.learned.networks.base import NETWORKS, Network
from l2o_engine.support.arrays import Floats
from l2o_engine.support.settings import settings

if TYPE_CHECKING:
    from torch import Tensor


@NETWORKS.register
@settings
class Linear(Network):
    """width → 1 (linear), without a state; it begins as 0.

    The network of DeepMind's problem "simple": gradient descent whose rate and offset are learned.
    """

    kind: Literal["linear"] = "linear"

    def layout(self, width: int) -> Layout:
        """Return its parameters' names and shapes, for inputs of this width."""
        return Layout({"output_projection.kernel": (width, 1), "output_projection.bias": (1,)})

    def initialise(self, width: int, generator: np.random.Generator, dtype: str) -> Floats:
        """Return zeros [size]; nothing is drawn."""
        return np.zeros(self.layout(width).size, dtype)

    def start(self, rows: int, like: "Tensor") -> tuple[()]:
        """Return that there is no state."""
        return ()

    def step(self, weights: Mapping[str, Any], inputs: "Tensor", state: tuple[()]) -> tuple["Tensor", tuple[()]]:
        """Take one step; see :meth:`~l2o_engine.optimizers.learned.networks.base.Network.step`."""
        outputs = inputs @ weights["output_projection.kernel"] + weights["output_projection.bias"]
        return outputs[:, 0], state
