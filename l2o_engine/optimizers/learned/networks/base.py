"""A learned optimizer's network: coordinate-wise, every coordinate of every task a row of its batch.

All rows share one set of weights, and each has a state of its own.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from l2o_engine.optimizers.learned.layout import Layout
from l2o_engine.support.arrays import Floats
from l2o_engine.support.registry import Registry
from l2o_engine.tasks.base import TaskFamily

if TYPE_CHECKING:
    from torch import Tensor


class Stepping(Protocol):
    """What takes steps for the rows of points: a network."""

    def start(self, rows: int, like: "Tensor") -> Any:
        """Return the state before the first step; see :meth:`Network.start`."""
        ...

    def step(self, weights: Mapping[str, Any], inputs: "Tensor", state: Any) -> tuple["Tensor", Any]:
        """Take one step; see :meth:`Network.step`."""
        ...

    def named(self, state: Any) -> dict[str, "Tensor"]:
        """Return a state as tensors [rows, …] by name."""
        ...

    def of_named(self, named: Mapping[str, "Tensor"]) -> Any:
        """Return the state that these tensors are of."""
        ...


class Network(ABC):
    """width numbers in, one number out, for every row; its fields are its settings."""

    kind: str

    @property
    def units(self) -> int:
        """How many hidden units a row has, in all layers: what an unroll keeps goes by it."""
        return 1

    @abstractmethod
    def layout(self, width: int) -> Layout:
        """Return its parameters' names and shapes, for inputs of this width."""

    @abstractmethod
    def initialise(self, width: int, generator: np.random.Generator, dtype: str) -> Floats:
        """Draw weights, the flat vector of :meth:`layout`."""

    def on(self, family: TaskFamily) -> Stepping:
        """Return what takes the steps for points of a family: here itself, for all coordinates are alike.

        Raises
        ------
        ValueError
            If it can be none for this family.
        """
        return self

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

    def gates(self, weights: Mapping[str, Any], inputs: "Tensor", state: Any) -> dict[str, "Tensor"]:
        """Return the gates of a step, name → [rows, units], each in [0, 1]: here there are none.

        Parameters
        ----------
        weights, inputs, state
            What :meth:`step` would be given.
        """
        return {}

    def named(self, state: Any) -> dict[str, "Tensor"]:
        """Return a state as tensors [rows, …] by name: here there is none."""
        return {}

    def of_named(self, named: Mapping[str, "Tensor"]) -> Any:
        """Return the state that these tensors are of: here there is none."""
        return ()


NETWORKS: Registry[Network] = Registry("network", __package__)
