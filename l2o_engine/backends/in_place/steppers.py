"""Who takes a network's steps for pieces of tensors: the kernel for LSTMs on a CPU, torch's operations elsewhere."""

import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import accumulate
from typing import Any

import numpy as np
import torch
from torch import Tensor

from l2o_engine.backends.compiled.compile import CompilationError, Kernel, get_kernel
from l2o_engine.backends.compiled.numba_private import is_told_not_to_compile
from l2o_engine.backends.compiled.vectors import Target
from l2o_engine.backends.coordinatewise.crew import Crew
from l2o_engine.backends.coordinatewise.kernel.lines import block_of
from l2o_engine.backends.coordinatewise.memory import aligned
from l2o_engine.backends.coordinatewise.pack import Packing
from l2o_engine.backends.in_place.kernel import COLUMNS
from l2o_engine.backends.in_place.spec import TILE, InPlaceSpec
from l2o_engine.backends.in_place.tiles import Piece, gathered, scatter, tiles_of
from l2o_engine.optimizers.learned.networks.base import Network
from l2o_engine.optimizers.learned.networks.lstm import LSTM
from l2o_engine.support.arrays import Floats

_TILES = 4  # that one thread takes at a time
_AT_ONCE = 2**16  # rows of a network without a state


def _some(inputs: Tensor) -> Sequence[Tensor]:
    found: Sequence[Tensor] = torch.split(inputs, _AT_ONCE)
    return found


class TorchStepper:
    """Any network, on any device, by torch's operations; it takes the network's place in an optimizer.

    It is a :class:`~l2o_engine.optimizers.learned.networks.base.Stepping` whose steps have another state: the pieces
    whose rows the inputs are of, one piece behind the other. They are written over.
    """

    def __init__(self, network: Network) -> None:
        self._network = network

    def step(
        self, weights: Mapping[str, Any], inputs: Tensor, state: Sequence[Piece]
    ) -> tuple[Tensor, Sequence[Piece]]:
        """Take one step; see :meth:`~l2o_engine.optimizers.learned.networks.base.Network.step`."""
        if not state[0].states:
            return torch.cat([self._network.step(weights, some, ())[0] for some in _some(inputs)]), state
        before = self._network.of_named(gathered(state))
        outputs, after = self._network.step(weights, inputs, before)
        scatter(self._network.named(after), state)
        return outputs, state

    def start(self, rows: int, like: Tensor) -> Any:
        """Return the network's zero state."""
        return self._network.start(rows, like)

    def named(self, state: Any) -> dict[str, Tensor]:
        """Return such a state by name."""
        return self._network.named(state)

    def of_named(self, named: Mapping[str, Tensor]) -> Any:
        """Return such a state of tensors by name."""
        return self._network.of_named(named)


class KernelStepper(TorchStepper):
    """An LSTM, on the CPU, by the kernel, which is compiled if need be.

    Parameters
    ----------
    network, width, weights
        It, how many numbers a row it sees, and its weights, flat.
    threads
        How many compute side by side; results do not depend on it.

    Raises
    ------
    CompilationError
        If the kernel cannot be compiled.
    """

    def __init__(self, network: LSTM, width: int, weights: Floats, threads: int) -> None:
        super().__init__(network)
        dtype = str(weights.dtype)
        self._dtype: torch.dtype = getattr(torch, dtype)
        self._lstm, self._packing, self._crew = network, Packing.of(network, width, dtype), Crew(threads)
        self._weights, self._places = self._packing.pack(weights), self._packing.places
        self._kernel = _kernel(dtype)
        self._names = [f"lstm{layer}.{part}" for layer in range(network.layers) for part in ("hidden", "cell")]
        self._lines = (self._packing.scratch_lines + 5 * self._packing.lines) * block_of(Target.for_host(dtype))
        self._workspace = aligned(threads * self._lines, dtype)

    def step(
        self, weights: Mapping[str, Any], inputs: Tensor, state: Sequence[Piece]
    ) -> tuple[Tensor, Sequence[Piece]]:
        """Take one step with the weights that it was made with; see :class:`TorchStepper`."""
        seen, table = np.ascontiguousarray(inputs.numpy().T), self._table(state)
        outputs, counter = inputs.new_empty(inputs.shape[0]), np.zeros(1, np.int64)
        filled = outputs.numpy()

        def work(thread: int) -> None:
            self._kernel.advance(
                self._weights, self._places, seen, table, self._workspace, thread * self._lines, filled, counter,
                self._lstm.layers, self._lstm.hidden, self._packing.projection, _TILES * TILE,
            )  # fmt: skip

        self._crew.do(work, int(table[-1, 0]))
        return self._lstm.scaled(outputs), state

    def _table(self, pieces: Sequence[Piece]) -> Any:
        """Return the kernel's `pieces`."""
        table = np.zeros((len(pieces) + 1, COLUMNS + 2 * self._lstm.layers), np.int64)
        rows = [piece.rows for piece in pieces]
        table[1:, 0] = list(accumulate(-(-one // (_TILES * TILE)) for one in rows))
        table[1:, 1] = list(accumulate(rows))
        table[:-1, 2] = rows
        table[:-1, COLUMNS:] = [self._addresses(piece) for piece in pieces]
        return table

    def _addresses(self, piece: Piece) -> list[int]:
        """Return where a piece's states lie; the kernel writes there, so each must be all that it takes it for."""
        found, shape = [], (tiles_of(piece.rows), self._lstm.hidden, TILE)
        for name in self._names:
            tiles = piece.states[name]
            if tiles.shape != shape or tiles.dtype != self._dtype or not tiles.is_contiguous() or not tiles.is_cpu:
                raise ValueError(
                    f"the state of {piece.rows:,} coordinates is not {list(shape)} of {str(self._dtype)[6:]} on the CPU"
                )
            found.append(tiles.data_ptr())
        return found


@cache
def _kernel(dtype: str) -> Kernel:
    """Return the kernel, loaded once a process: what it is made of in memory is never given back."""
    return get_kernel(InPlaceSpec(dtype))


def stepper_for(network: Network, width: int, weights: Floats, device: torch.device, threads: int) -> TorchStepper:
    """Return who takes a network's steps on a device: the kernel where it can, compiled if need be, or torch.

    Parameters
    ----------
    network, width, weights
        It, how many numbers a row it sees, and its weights [size], float32 or float64.
    device
        Where the states are.
    threads
        How many threads the kernel takes.
    """
    # The kernel knows LSTM itself: one made of it may take other steps.
    if type(network) is not LSTM or device.type != "cpu" or is_told_not_to_compile():
        return TorchStepper(network)
    try:
        return KernelStepper(network, width, weights, threads)
    except CompilationError as error:
        warnings.warn(f"torch computes, several times slower: the kernel cannot be compiled ({error})", stacklevel=2)
        return TorchStepper(network)
