"""Blocks: the rows of a long run summed up, so that who shows or compares it need not read them all.

A block is ``BLOCK`` meta-iterations of one lane, from a multiple of that on. It says what a curve keeps of so many rows
(:mod:`~l2o_engine.records.curve`), so a curve begun with blocks is the curve of their rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from l2o_engine.records.curve import History, Rolling, bucket_of
from l2o_engine.records.rows import Rows, joined
from l2o_engine.support.arrays import Doubles

BLOCK = 1024
"""Meta-iterations of a block: a power of two, as the buckets of curves are."""


@dataclass(frozen=True, eq=False)
class Blocks:
    """The beginning of a run, in blocks.

    Attributes
    ----------
    buckets
        [lanes, 6, blocks]: what :class:`~l2o_engine.records.curve.Curve` says of each, in the order of its arrays.
    unseen
        [lanes]: how many results were NaN or infinite.
    zeros
        [lanes]: how many were exactly 0.
    spoilt
        [lanes]: how many meta-iterations met a NaN or an infinity.
    window
        How many results the rolling means are over.
    before
        The last rows of the beginning, at least ``window`` a lane: what a rolling mean needs to go on.
    end
        How long ``metrics.csv`` is at its end.
    """

    buckets: Doubles
    unseen: Sequence[int]
    zeros: Sequence[int]
    spoilt: Sequence[int]
    window: int
    before: Rows
    end: int

    @property
    def iteration(self) -> int:
        """The last meta-iteration of the beginning."""
        return int(self.buckets[0, 0, -1])

    def begin(self, history: History, lane: int) -> None:
        """Let the history of a lane, which must be new, begin with it."""
        counted = {"non_finite": self.unseen[lane], "zeros": self.zeros[lane]}
        history.begin_with(self.buckets[lane], self.before.of_lane(lane), **counted)


@dataclass(frozen=True)
class BlockOfLane:
    """A block of one lane: its bucket [6], and what was counted in it."""

    bucket: Doubles
    rows: int
    unseen: int
    zeros: int
    spoilt: int


class Summing:
    """Sums up the rows of one lane, block by block.

    Parameters
    ----------
    window
        How many results the rolling means are over.
    """

    def __init__(self, window: int) -> None:
        self._rolling = Rolling(window)
        self._parts: list[Rows] = []
        self._means: list[Doubles] = []

    def prime(self, rows: Rows) -> None:
        """Take in rows before a block begins, for its rolling mean."""
        self._rolling.over(rows.results)

    def add(self, rows: Rows) -> None:
        """Take in rows of one block."""
        if len(rows):
            self._parts.append(rows)
            self._means.append(self._rolling.over(rows.results))

    def take(self) -> BlockOfLane | None:
        """Return the block of what was taken in, and begin the next one; None if nothing was."""
        if not self._parts:
            return None
        rows, means = joined(self._parts), np.concatenate(self._means)
        self._parts, self._means = [], []
        table = np.stack([rows.iteration.astype(np.float64), rows.results, means], axis=1)
        zeros = int((rows.end_loss == 0).sum())
        return BlockOfLane(bucket_of(table), len(rows), rows.unseen, zeros, int(rows.non_finite.sum()))
