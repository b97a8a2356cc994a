"""Which checkpoints a session writes, and when.

Regular ones fall due by meta-iterations, and are written by the clock: a fast run must not write twenty a second, a
slow one must not lose minutes. So which are on the disk depends on the clock; what is in them does not.
"""

from collections.abc import Iterator
from dataclasses import replace
from math import inf
from pathlib import Path
from time import monotonic

from l2o_engine.runs.checkpoints import Checkpoint, Kind
from l2o_engine.runs.driven import DrivenRun

_LONGEST = 2  # intervals without a regular checkpoint after which the state is saved all the same
_SLOW_SECONDS = 0.1  # to write run.json: on a network's file system, and not on a disk
_RECORDS = 3  # what a checkpoint takes, in the time that run.json does: thrice as many calls
_SHARE = 0.05  # of the time that writing may take, where checkpoints are as many as the clock allows

Saved = tuple[Checkpoint, Kind, Path]


class Saving:
    """Writes a run's checkpoints.

    The best one is held back until another is written: while a network learns fast, each report is the best so far.

    Parameters
    ----------
    run
        The run.
    """

    def __init__(self, run: DrivenRun) -> None:
        self._run = run
        self._seconds = run.current.run.checkpoint_seconds
        is_slow = run.write_seconds > _SLOW_SECONDS
        self._cost = _RECORDS * run.write_seconds if is_slow else 0.0  # until one was written
        self._saved_at = monotonic()
        self._saved: tuple[int, Kind | None] = (-1, None)
        self._best = 0, inf
        self._better: Checkpoint | None = None  # than the best on the disk

    def go_on_from(self, checkpoint: Checkpoint | None) -> None:
        """Take notice of where the run goes on: nothing has to be written there."""
        self._saved = (checkpoint.iteration, Kind.REGULAR) if checkpoint else (-1, None)
        self._best = self._run.best_rank(self.iteration)
        self._better = None

    @property
    def iteration(self) -> int:
        """The meta-iteration of the last checkpoint; -1 where there is none."""
        return self._saved[0]

    @property
    def _interval(self) -> float:
        return max(self._seconds, self._cost / _SHARE) if self._seconds else 0.0

    def judge(self, checkpoint: Checkpoint, figure: float, stage: int = 0) -> None:
        """Hold a state that may be the best so far.

        Parameters
        ----------
        checkpoint
            The state.
        figure
            The report's, or that of a validation: the lower, the better.
        stage
            Of a curriculum: what is of a later one is better than what is of an earlier one.
        """
        rank = -stage, figure
        if rank < self._best:
            self._best, self._better = rank, replace(checkpoint, average_log_result=figure, stage=stage)

    def due(self, *, is_regular: bool) -> Kind | None:
        """Return which kind of checkpoint is to be written now.

        Parameters
        ----------
        is_regular
            Whether a regular one falls due at this meta-iteration.
        """
        since = monotonic() - self._saved_at
        if is_regular and since >= self._interval:
            return Kind.REGULAR
        if not self._seconds:
            return Kind.BEST if self._better else None
        return Kind.LATEST if since >= _LONGEST * self._interval else None

    def save(self, checkpoint: Checkpoint, kind: Kind, *, is_finite: bool) -> Iterator[Saved]:
        """Write a checkpoint, and the best one before, if there is a better one; yield each that was written.

        Parameters
        ----------
        checkpoint
            The state now.
        kind
            What it is kept for; BEST if only the best one is to be written.
        is_finite
            Whether its results were.
        """
        if self._better is not None:
            best, self._better = self._better, None
            yield self._write(best, Kind.BEST)
        saved_at, saved = self._saved
        if kind is Kind.BEST or (
            saved_at == checkpoint.iteration and Kind.LATEST is not saved and kind is not Kind.KEPT
        ):
            return
        if kind is Kind.REGULAR and not is_finite:
            kind = Kind.NON_FINITE
        yield self._write(checkpoint, kind)

    def _write(self, checkpoint: Checkpoint, kind: Kind) -> Saved:
        began = monotonic()
        path = self._run.save(checkpoint, kind)
        self._saved_at = monotonic()
        self._cost = self._saved_at - began
        if checkpoint.iteration >= self.iteration:
            self._saved = checkpoint.iteration, kind
        return checkpoint, kind, path
