"""A learned optimizer is an optimizer: with its weights it has the same ``(init, update)`` as gradient descent.

It computes with torch, through which the reference differentiates it. Given NumPy arrays it answers with NumPy arrays,
without a graph, so that whatever runs a hand-designed optimizer runs it too.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, cast

import numpy as np

from l2o_engine.optimizers.base import Placed
from l2o_engine.optimizers.learned.inputs.base import Encoded, Inputs, Memory, Numbers, Tensors
from l2o_engine.optimizers.learned.inputs.identity import Identity
from l2o_engine.optimizers.learned.layout import Layout
from l2o_engine.optimizers.learned.networks.base import Network, Stepping
from l2o_engine.optimizers.learned.networks.lstm import LSTM
from l2o_engine.support.arrays import Floats
from l2o_engine.tasks.base import Array, TaskFamily

if TYPE_CHECKING:
    from torch import Tensor

LEARNED = "RNN"
"""The published name of the learned optimizer, beside the names of the hand-designed ones."""


@dataclass(frozen=True, init=False)
class LearnedOptimizer:
    """A network between an optimizee's gradients and its updates; still without weights.

    Parameters
    ----------
    network
        What computes; the notebook's LSTM, if not given.
    inputs
        What it sees of the gradient, and what its output means; the gradient as it is, if not given.
    output_scale
        What the network's output is multiplied with: short for the LSTM's own ``output_scale``, which it replaces.

    Raises
    ------
    ValueError
        If an output scale is given and the network has none.

    Attributes
    ----------
    network, inputs
        These.
    """

    network: Network
    inputs: Inputs

    def __init__(
        self, network: Network | None = None, inputs: Inputs | None = None, *, output_scale: float | None = None
    ) -> None:
        network = LSTM() if network is None else network
        if output_scale is not None:
            if not isinstance(network, LSTM):
                raise ValueError(f"{type(network).__name__} has no output scale: it is the LSTM's")
            network = replace(network, output_scale=output_scale)
        object.__setattr__(self, "network", network)
        object.__setattr__(self, "inputs", Identity() if inputs is None else inputs)

    @cached_property
    def layout(self) -> Layout:
        """Its parameters' names and shapes."""
        return self.network.layout(self.inputs.width)

    @staticmethod
    def load(path: str | Path) -> "TrainedOptimizer":
        """Return the trained optimizer of a file; see :meth:`~l2o_engine.optimizers.learned.exported.Exported.load`.

        Raises
        ------
        OptimizerFileError
            If it is no optimizer file, or damaged.
        """
        from l2o_engine.optimizers.learned.exported import Exported

        return Exported.load(path).optimizer

    def initialise(self, generator: np.random.Generator, dtype: str) -> Floats:
        """Draw weights [size]."""
        return self.network.initialise(self.inputs.width, generator, dtype)

    def with_weights(
        self, weights: "Floats | Tensor", numbers: Numbers | None = None, *, name: str = LEARNED, stays: bool = True
    ) -> "TrainedOptimizer":
        """Return the optimizer that it is with these weights.

        Parameters
        ----------
        weights
            [size], the flat vector of :attr:`layout`; a tensor may require a gradient.
        numbers
            The inputs' adaptive numbers as training has left them; as they began, if not given.
        name
            What it is called in charts and tables.
        stays
            Whether a coordinate whose gradient is exactly 0 is left where it is; see :class:`TrainedOptimizer`.

        Raises
        ------
        ValueError
            If there are not as many weights as the network has.
        """
        if tuple(weights.shape) != (self.layout.size,):
            raise ValueError(f"the network has {self.layout.size:,} weights, these are {tuple(weights.shape)}")
        return TrainedOptimizer(self, weights, self.inputs.numbers if numbers is None else numbers, name, stays)


Encoding: TypeAlias = Callable[["Tensor", Memory, Numbers], Encoded]
"""What makes of a gradient what the network sees: see :meth:`Inputs.encode`."""


class LearnedState(NamedTuple):
    """What a learned optimizer carries from step to step of an episode.

    Attributes
    ----------
    network
        The network's state: tensors [coordinates, …].
    memory
        What the inputs remember.
    seen
        What the network saw at the last update, [..., width] or, for a width of 1, of the gradient's shape; [0]
        before the first.
    """

    network: Any
    memory: Memory
    seen: "Tensor"

    @property
    def first_order(self) -> "LearnedState":
        """The same state, but no derivative goes through what the inputs remember: they are data, as gradients are."""
        return self._replace(memory={name: values.detach() for name, values in self.memory.items()})


@dataclass(frozen=True, eq=False)
class TrainedOptimizer(Placed):
    """A learned optimizer with its weights; see :meth:`LearnedOptimizer.with_weights`.

    What it has found is safe: where a coordinate's gradient is exactly 0, its update is exactly 0 and what the network
    sees of it is a number. Meta-training alone unrolls it without that (``stays=False``): what is differentiated is the
    network and nothing else, and trainings give the numbers that they always gave.

    Where ``stepping`` is given, it takes the network's steps, in its place, and ``encoding`` what the network sees is
    made by, in the inputs'; ``tensors`` say which coordinates belong together where that is not the family's to say.
    """

    learned: LearnedOptimizer
    weights: "Floats | Tensor"
    numbers: Numbers
    name: str = LEARNED
    stays: bool = True
    family: TaskFamily | None = None
    stepping: Stepping | None = None
    encoding: Encoding | None = None
    tensors: Tensors | None = None

    @cached_property
    def _named(self) -> Mapping[str, "Tensor"]:
        """Views of the weights, name → tensor."""
        weights = _tensor(self.weights)
        return {name: weights[where].view(shape) for name, where, shape in self.learned.layout.slices()}

    @cached_property
    def _tensors(self) -> Tensors:
        if self.tensors is not None:
            return self.tensors
        return Tensors() if self.family is None else Tensors.of(self.family)

    @cached_property
    def _network(self) -> Stepping:
        network = self.stepping or self.learned.network
        return network if self.family is None or not isinstance(network, Network) else network.on(self.family)

    def on(self, family: TaskFamily) -> "TrainedOptimizer":
        """Return the optimizer that knows how a family's points are made of groups.

        Without, every row [..., coordinates] is one tensor.
        """
        return replace(self, family=family)

    def init(self, x: Array) -> LearnedState:
        """Return the state before the first step, for points x of any shape."""
        start = _tensor(x).detach()
        network = self._network.start(start.numel(), like=start)
        return LearnedState(network, self.learned.inputs.begin(start), start.new_zeros(0))

    def update(self, gradient: Array, state: LearnedState, taken: "Tensor | None" = None) -> tuple[Array, LearnedState]:
        """Return what to add to x, of the gradient's shape and kind, and the next state.

        Parameters
        ----------
        gradient, state
            Of points x, and as from :meth:`init` or the last update.
        taken
            What is added to x instead, where somebody else moves it: for tensors alone.
        """
        if not isinstance(gradient, np.ndarray):
            return self._update(gradient, state, taken)
        import torch

        with torch.no_grad():
            update, state = self._update(torch.from_numpy(np.ascontiguousarray(gradient)), state)
        return update.numpy(), state

    def _update(
        self, gradient: "Tensor", state: LearnedState, taken: "Tensor | None" = None
    ) -> tuple["Tensor", LearnedState]:
        inputs = self.learned.inputs
        encoded = self.encoded(gradient, state)
        at_zero = gradient == 0 if self.stays else None
        if at_zero is not None:
            encoded = encoded._replace(inputs=_numbers_at_zero(encoded.inputs, at_zero))
        seen = encoded.inputs.reshape(-1, inputs.width)
        outputs, network = self._network.step(self._named, seen, state.network)
        update = inputs.decode(outputs.view_as(gradient), encoded, self.numbers)
        if at_zero is not None:
            update = update.masked_fill(at_zero, 0)
        moved = inputs.moved(encoded.memory, update if taken is None else taken)
        return update, LearnedState(network, moved, encoded.inputs)

    def beginning(self, x: Floats) -> dict[str, Floats]:
        """Return what is carried into an episode's first truncation from the points x [batch, *shape]."""
        start = _tensor(x)
        return self.carried(start, self.init(start))

    def carried(self, x: "Tensor", state: LearnedState) -> dict[str, Floats]:
        """Return points x [batch, *shape] and a state as numbers: see :data:`~l2o_engine.meta.truncation.Carried`."""
        batch = len(x)
        named = {
            f"network.{name}": values.reshape(batch, -1, *values.shape[1:])
            for name, values in self._network.named(state.network).items()
        }
        for name, values in state.memory.items():
            each = (batch, *(1 for _ in x.shape[1:]))
            named[f"memory.{name}"] = values if values.ndim else values.expand(each)
        return {name: np.ascontiguousarray(values.detach().cpu().numpy()) for name, values in {"x": x, **named}.items()}

    def resumed(self, carried: Mapping[str, Floats]) -> tuple["Tensor", LearnedState]:
        """Return the points and the state that were carried, cut from any graph, where the weights are."""
        device = _tensor(self.weights).device
        tensors = {name: _tensor(values).to(device) for name, values in carried.items()}

        def of(prefix: str) -> "dict[str, Tensor]":
            return {name.removeprefix(prefix): one for name, one in tensors.items() if name.startswith(prefix)}

        network = {name: values.flatten(0, 1) for name, values in of("network.").items()}
        x = tensors["x"].clone()
        return x, LearnedState(self._network.of_named(network), of("memory."), x.new_zeros(0))

    def encoded(self, gradient: "Tensor", state: LearnedState) -> Encoded:
        """Return what the network would see of a gradient."""
        inputs = self.learned.inputs
        encode = self.encoding or inputs.encode
        return inputs.among(encode(gradient, state.memory, self.numbers), self._tensors)


def gates_of(
    network: Network, weights: Floats, seen: Floats, carried: Mapping[str, Floats] | None = None
) -> dict[str, Floats]:
    """Return a network's gates over some steps, name → [steps, rows, units], each in [0, 1]; of one without, nothing.

    Parameters
    ----------
    network, weights
        One network, and its weights, flat.
    seen
        [steps, rows, width]: what it sees.
    carried
        Its state before the first step, as tensors [rows, …] by name; that of a beginning, if not given.
    """
    import torch

    named = {name: _tensor(values) for name, values in network.layout(seen.shape[-1]).split(weights).items()}
    each: list[dict[str, Tensor]] = []
    with torch.no_grad():
        state = network.start(seen.shape[1], like=named[next(iter(named))])
        if carried:
            state = network.of_named({name: _tensor(values) for name, values in carried.items()})
        for inputs in _tensor(seen):
            each.append(network.gates(named, inputs, state))
            if not each[-1]:
                return {}
            _, state = network.step(named, inputs, state)
    return {name: torch.stack([gates[name] for gates in each]).numpy() for name in (each[0] if each else ())}


def _numbers_at_zero(inputs: "Tensor", at_zero: "Tensor") -> "Tensor":
    """Return inputs with 0 for what is no number of a gradient of 0: the ratio's 0/0, where subnormals are flushed."""
    import torch

    each = at_zero if inputs.shape == at_zero.shape else at_zero.unsqueeze(-1)
    return torch.where(each & inputs.isnan(), 0.0, inputs)  # masked_fill takes five times as long for a width above 1


def _tensor(values: "Array") -> "Tensor":
    if not isinstance(values, np.ndarray):
        return cast("Tensor", values)
    import torch

    return torch.from_numpy(np.ascontiguousarray(values))
