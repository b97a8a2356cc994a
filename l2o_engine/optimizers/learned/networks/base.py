"""A learned optimizer's network: coordinate-wise, every coordinate of every task a row of its batch.

All rows share one set of weights, and each has a state of its own.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import numpy as np
from pydantic import AfterValidator, Field

from l2o_engine.optimizers.learned.layout import Layout
from l2o_engine.support.arrays import Floats
from l2o_engine.support.registry import Registry
from l2o_engine.support.settings import Whole, Words
from l2o_engine.support.wording import size

if TYPE_CHECKING:
    from torch import Tensor

_MOST_HIDDEN = 1024


def _check_hidden(hidden: int) -> int:
    if hidden > _MOST_HIDDEN:
        weights = 8 * min(hidden, 10**12) ** 2  # of an LSTM; a number of any length may stand in a file
        raise ValueError(f"must be at most {_MOST_HIDDEN}: the weights of one layer would take {size(4 * weights)}")
    return hidden


Hidden: TypeAlias = Annotated[Whole, Field(ge=1), AfterValidator(_check_hidden), Words("whole number ≥ 1 and ≤ 1,024")]
"""How many units a layer has."""


class Network(ABC):
    """width numbers in, one number out, for every row; its fields are its settings."""

    kind: str

    @abstractmethod
    def layout(self, width: int) -> Layout:
        """Return its parameters' names and shapes, for inputs of this width."""

    @abstractmethod
    def initialise(self, width: int, generator: np.random.Generator, dtype: str) -> Floats:
        """Draw weights, the flat vector of :meth:`layout`."""

    @abstractmethod
    def start(self, rows: int, like: "Tensor") -> Any:
        """Return the state before the first step: tensors [rows, …] of the dtype and device of another."""

    @abstractmethod
    def step(self, weights: Mapping[str, Any], inputs: "Tensor", state: Any) -> tuple["Tensor", Any]:
        """Take one step.

        Parameters
        ----------
        weights
            Name → tensor, of :meth:`layout`.
        inputs
            [rows, width].
        state
            As from :meth:`start`.

        Returns
        -------
        tuple
            The outputs [rows] and the next state.
        """


NETWORKS: Registry[Network] = Registry("network", __package__)
