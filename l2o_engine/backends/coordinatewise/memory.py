"""What an unroll is computed in: taken for it, and handed on to the next, for asking the system anew takes long."""

from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from l2o_engine.backends.compiled.vectors import Target
from l2o_engine.backends.coordinatewise.kernel.lines import HALF, block_of
from l2o_engine.backends.coordinatewise.kernel.lstm import Rows
from l2o_engine.backends.coordinatewise.kernel.perceptron import Desk
from l2o_engine.support.arrays import Doubles, Floats


class Sizes(NamedTuple):
    """Of an unroll.

    Attributes
    ----------
    dtype
        The float type.
    state, scratch, gates
        Numbers of a state of all rows, of what all threads have to themselves, and of gates that are kept.
    steps, width
        Steps that are remembered, and numbers a row that the network sees.
    rows, padded
        Rows, and how many they are in whole blocks.
    chunks, sums
        Chunks of rows, and what each sums up.
    """

    dtype: str
    state: int
    scratch: int
    gates: int
    steps: int
    width: int
    rows: int
    padded: int
    chunks: int
    sums: int


class Memory:
    """The arrays of one unroll; what is in them is whatever the last one left, and 0 at first.

    Attributes
    ----------
    sizes
        Of these.
    arena
        Flat, at a boundary of 64 bytes: three states, the threads' own, then the gates of all steps.
    tape
        [steps, width, padded]: what the network saw; rows behind the last are 0.
    slopes
        [steps, padded]: the objective's derivatives by the outputs; rows behind the last are 0.
    sums
        [chunks, sums]: what each chunk adds to the weight gradients, and then what several do, the first what all do.
    """

    def __init__(self, sizes: Sizes) -> None:
        self.sizes = sizes
        self.arena = aligned(3 * sizes.state + sizes.scratch + sizes.gates, sizes.dtype)
        self.tape: Floats = np.zeros((max(1, sizes.steps), sizes.width, sizes.padded), sizes.dtype)
        self.slopes: Floats = np.zeros((sizes.steps, sizes.padded), sizes.dtype)
        self.sums: Doubles = np.zeros((sizes.chunks if sizes.steps else 0, sizes.sums))


class Spare:
    """Memory that nobody computes in: as much as there were unrolls at once, and of the sizes asked for last."""

    def __init__(self) -> None:
        self._spare: list[Memory] = []

    def take(self, sizes: Sizes) -> Memory:
        """Return memory of these sizes, for the caller alone."""
        while self._spare:
            try:
                memory = self._spare.pop()
            except IndexError:  # another thread was faster
                break
            if memory.sizes == sizes:
                return memory
        return Memory(sizes)

    def give(self, memory: Memory) -> None:
        """Take memory back."""
        self._spare.append(memory)


def aligned(size: int, dtype: str) -> Floats:
    """Return a flat array of zeros that begins on a boundary of 64 bytes."""
    raw: Floats = np.zeros(size + 64, dtype)
    return raw[(-raw.ctypes.data % 64) // raw.itemsize :][:size]


def new_desk(dtype: str, widths: Sequence[int], networks: int, images: int) -> Desk:
    """Return where so many perceptrons are computed, each on so many images: nothing is known yet but the sizes."""
    block = block_of(Target.for_host(dtype))
    padded = [-(-width // HALF) * HALF for width in widths]
    blocks, layers = -(-images // block), [*pairwise(padded)]
    weights = sum((n + 1) * m for n, m in pairwise(widths))
    matrices = sum((n + 1) * m + (m + 1) * n for n, m in layers)  # either way, with their biases
    lines = sum(padded) + sum(padded[1:-1])  # of the derivatives, those by the logits are these
    return Desk(
        points=np.empty((networks, weights), dtype),
        chosen=np.empty((networks, images), np.int64),
        images=np.empty((0, 0), np.uint8),
        labels=np.empty(0, np.uint8),
        sizes=np.array(widths, np.int64),
        kinds=np.zeros(2, np.int64),
        packed=aligned(matrices, dtype),
        lines=aligned(lines * blocks * block, dtype),
        sums=np.zeros(sum(n * m for n, m in layers)),
        partial=np.zeros(blocks),
        losses=np.empty(networks, dtype),
        gradients=np.empty((networks, weights), dtype),
    )


@cache
def no_desk(dtype: str) -> Desk:
    """Return one for no network."""
    return new_desk(dtype, (), 0, 0)


@cache
def no_rows(dtype: str) -> Rows:
    """Return an unroll of nothing."""
    none, nowhere = np.empty(0, dtype), np.empty(0, np.int64)
    return Rows(
        none, nowhere, np.empty((0, 0, 0), dtype), np.empty((0, 0), dtype), none, none,
        own=0, state=0, kept=-1, layers=0, hidden=0, projection=0, chunk=0, scale=none,
    )  # fmt: skip
