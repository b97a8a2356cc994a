"""In which order an LSTM's weights lie for the kernel, and its gradients from it.

Packed weights, where each begins as ``places`` says: the input projection, the output's weights (its bias, then one a
unit), and for each layer the matrix of the way forward and that of the way back. A matrix lies tile by tile of its
columns (so many of each as :func:`~l2o_engine.backends.coordinatewise.kernel.lines.columns_of` says, padded with zeros
to whole narrow tiles), in each a line of biases, then a line an input; the forget bias is added. On the way back,
inputs are the gates, and columns the layer's previous outputs, then what lies below it.

Gradients come as the kernel sums them up: the projection's bias and kernel, then the output's bias (and three
numbers that are nothing) and kernel, then each layer's bias and kernel.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from l2o_engine.backends.compiled.vectors import GATES, Target
from l2o_engine.backends.coordinatewise.kernel.lines import HALF, columns_of
from l2o_engine.optimizers.learned.networks.lstm import LSTM
from l2o_engine.support.arrays import Doubles, Floats, Integers

FORGET = 2  # the index of f among the gates
_NOTHING = -1  # the place of a 0


@dataclass(frozen=True)
class Packing:
    """The order of one network's weights.

    Attributes
    ----------
    network, width
        The LSTM, and how many numbers a row it sees.
    columns
        Of a wide tile.
    """

    network: LSTM
    width: int
    columns: int

    @classmethod
    def of(cls, network: LSTM, width: int, dtype: str) -> "Packing":
        """Return the order for the CPU that kernels are compiled for."""
        return cls(network, width, columns_of(Target.for_host(dtype)))

    @property
    def projection(self) -> int:
        """What stands before the first layer, as the kernel has it."""
        return ("none", "linear", "elu").index(self.network.input_projection)

    @property
    def scales(self) -> bool:
        """Whether the kernel gives outputs that are the network's; where they are bounded, that is left to others."""
        return self.network.output_bound == "none"

    @property
    def scale(self) -> float:
        """What the kernel multiplies outputs with."""
        return self.network.output_scale if self.scales else 1.0

    @property
    def lines(self) -> int:
        """Lines of a layer's units: padded to whole narrow tiles."""
        return -(-self.network.hidden // HALF) * HALF

    @property
    def scratch_lines(self) -> int:
        """Lines of a thread for a step: inputs, what the first layer takes, the output."""
        return self.width + self.lines + 1

    def pack(self, weights: Floats) -> Floats:
        """Return weights [size], in the order of the network's layout, packed."""
        packed: Floats = np.append(weights, weights.dtype.type(0))[self._sources]
        packed[self._forgetting] += weights.dtype.type(self.network.forget_bias)
        return packed

    def unpack(self, sums: Doubles) -> Doubles:
        """Return the gradient [size], in the order of the network's layout, of what the kernel has summed up."""
        gradient: Doubles = sums[self._places_in_sums]
        return gradient

    @property
    def places(self) -> Integers:
        """Where each packed matrix begins."""
        sizes = [matrix.size for matrix in self._matrices]
        return np.cumsum([0, *sizes[:-1]])

    @property
    def sums(self) -> int:
        """How many numbers the kernel sums up."""
        return int(self._summed.size)

    @cached_property
    def _labels(self) -> dict[str, Integers]:
        """Name → each parameter's places in the flat vector, in its shape."""
        layout = self.network.layout(self.width)
        return {name: np.arange(where.start, where.stop).reshape(shape) for name, where, shape in layout.slices()}

    def _by_unit(self, gates: Integers) -> Integers:
        """Return columns [n, 4·hidden], gate by gate, unit by unit."""
        hidden = self.network.hidden
        return gates.reshape(-1, GATES, hidden).swapaxes(1, 2).reshape(-1, GATES * hidden)

    def _layers(self) -> Iterator[tuple[Integers, Integers]]:
        """Yield the labels of each layer's kernel and bias, [n, 4·hidden] and [1, 4·hidden], unit by unit."""
        for layer in range(self.network.layers):
            kernel, bias = self._labels[f"lstm{layer}.kernel"], self._labels[f"lstm{layer}.bias"]
            yield self._by_unit(kernel), self._by_unit(bias)

    @cached_property
    def _matrices(self) -> list[Integers]:
        """The packed matrices, flat: the places of their numbers."""
        found = [np.zeros(0, np.int64)]
        if self.projection:
            kernel, bias = self._labels["input_projection.kernel"], self._labels["input_projection.bias"]
            found = [self._tiled(np.vstack([bias, kernel]))]
        found.append(np.append(self._labels["output_projection.bias"], self._labels["output_projection.kernel"]))
        for layer, (kernel, bias) in enumerate(self._layers()):
            found.append(self._tiled(np.vstack([bias, kernel])))
            n_below = len(kernel) - self.network.hidden
            back = [self._padded(kernel[n_below:].T)]
            if layer or self.projection:
                back.append(self._padded(kernel[:n_below].T))
            matrix = np.hstack(back)
            found.append(self._tiled(np.vstack([np.full(matrix.shape[1], _NOTHING), matrix])))
        return found

    def _padded(self, matrix: Integers) -> Integers:
        return np.pad(matrix, ((0, 0), (0, self.lines - matrix.shape[1])), constant_values=_NOTHING)

    def _tiled(self, matrix: Integers) -> Integers:
        """Return a matrix, with a line of biases first, tile by tile, flat."""
        padded = np.pad(matrix, ((0, 0), (0, -matrix.shape[1] % HALF)), constant_values=_NOTHING)
        wide = padded.shape[1] // self.columns * self.columns
        cuts = [*range(self.columns, wide + 1, self.columns), *range(wide + HALF, padded.shape[1] + 1, HALF)]
        return np.concatenate([tile.ravel() for tile in np.split(padded, cuts, axis=1)])

    @cached_property
    def _sources(self) -> Integers:
        return np.concatenate(self._matrices)

    @cached_property
    def _forgetting(self) -> Integers:
        """Where the forget gates' biases are."""
        hidden = self.network.hidden
        biases = [self._labels[f"lstm{layer}.bias"] for layer in range(self.network.layers)]
        return np.flatnonzero(
            np.isin(self._sources, [bias[FORGET * hidden : (FORGET + 1) * hidden] for bias in biases])
        )

    @cached_property
    def _summed(self) -> Integers:
        """The labels of what the kernel sums up."""
        parts = []
        if self.projection:
            kernel, bias = self._labels["input_projection.kernel"], self._labels["input_projection.bias"]
            parts.append(self._padded(np.vstack([bias, kernel])))
        output = self._labels["output_projection.kernel"].T
        parts += [self._labels["output_projection.bias"], np.full(HALF - 1, _NOTHING), self._padded(output)]
        for kernel, bias in self._layers():
            parts += [bias, kernel]
        return np.concatenate([part.ravel() for part in parts])

    @cached_property
    def _places_in_sums(self) -> Integers:
        used = np.flatnonzero(self._summed != _NOTHING)
        places = np.empty(used.size, np.int64)
        places[self._summed[used]] = used
        return places
