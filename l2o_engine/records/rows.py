"""Metrics: one row a meta-iteration and lane, the same numbers in the file, in the reports and on the screen.

Nothing here depends on the clock or on how the meta-iterations were cut into chunks, so an interrupted and resumed
run's ``metrics.csv`` equals an uninterrupted run's, byte for byte. The logarithms are rounded to what the file holds
before anything is made of them, so that a report computed after a resume equals the one computed without.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from l2o_engine.meta.learner import Outcomes
from l2o_engine.support.arrays import LOG_FLOOR, Doubles, Flags, Integers, finite_mean
from l2o_engine.training.trainer import Chunk, Lane

LOG_DECIMALS = 6
"""Of the logarithms."""


@dataclass(frozen=True)
class Rows:
    """Rows of metrics, by iteration, then by lane. All arrays are [rows].

    Attributes
    ----------
    iteration, lane
        The meta-iteration, and the index of the row's lane.
    end_loss, sum_loss
        The last loss, and the sum over the steps; means over the batch. Where an episode goes on over several
        meta-iterations, those of the one that ended last, and NaN before any has; so with the next two.
    end_log10, mean_log10
        log10(loss + 1e-38) of the last step, and its mean over all steps; means over the batch.
    gradient_norm
        The meta-gradient's norm before clipping; NaN where nothing is trained.
    numbers
        Name → [rows] of the numbers of the network's inputs that adapt from meta-iteration to meta-iteration, as each
        used them; {} where the inputs have none.
    non_finite
        Whether a loss or the meta-gradient held a NaN or an infinity.
    """

    iteration: Integers
    lane: Integers
    end_loss: Doubles
    sum_loss: Doubles
    end_log10: Doubles
    mean_log10: Doubles
    gradient_norm: Doubles
    numbers: dict[str, Doubles]
    non_finite: Flags

    def __len__(self) -> int:
        return len(self.iteration)

    @property
    def results(self) -> Doubles:
        """What a curve is of, log10 of the last loss [rows]: NaN where it is not finite."""
        results: Doubles = np.where(np.isfinite(self.end_log10), self.end_log10, np.nan)
        return results

    @property
    def unseen(self) -> int:
        """How many results cannot be drawn; where nothing is spoilt and none is there, no episode has ended yet."""
        is_none_yet = np.isnan(self.end_log10) & ~self.non_finite
        return int((~np.isfinite(self.end_log10) & ~is_none_yet).sum())

    def of_lane(self, lane: int) -> "Rows":
        """Return the rows of one lane."""
        return self._at(np.flatnonzero(self.lane == lane))

    def between(self, start: int, stop: int) -> "Rows":
        """Return the rows from place ``start`` on, up to ``stop``."""
        return self._at(slice(start, stop))

    def _at(self, index: Integers | slice) -> "Rows":
        numbers = {name: values[index] for name, values in self.numbers.items()}
        columns = {name: values[index] for name, values in vars(self).items() if name != "numbers"}
        return Rows(**columns, numbers=numbers)


def joined(parts: Sequence[Rows]) -> Rows:
    """Return the rows of parts, at least one, of one run, one after the other."""
    parts = [part for part in parts if len(part)] or parts[:1]
    numbers = {name: np.concatenate([part.numbers[name] for part in parts]) for name in parts[0].numbers}
    names = [name for name in vars(parts[0]) if name != "numbers"]
    columns: dict[str, Any] = {name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    return Rows(**columns, numbers=numbers)


def rows_of(chunks: Iterable[Chunk], lanes: Sequence[Lane]) -> Rows:
    """Return the rows of what the lanes did, ordered by iteration, then as the lanes are."""
    rows = joined([_rows_of_one(chunk, lanes.index(chunk.lane)) for chunk in chunks])
    return rows._at(np.lexsort((rows.lane, rows.iteration)))


def _rows_of_one(chunk: Chunk, lane: int) -> Rows:
    results = chunk.results
    outcomes, n = results.outcomes or _outcomes_of(results.losses.astype(np.float64)), len(results)
    return Rows(
        iteration=np.arange(chunk.first, chunk.first + n, dtype=np.int64),
        lane=np.full(n, lane, np.int64),
        end_loss=outcomes.end_loss,
        sum_loss=outcomes.sum_loss,
        end_log10=outcomes.end_log10.round(LOG_DECIMALS),
        mean_log10=outcomes.mean_log10.round(LOG_DECIMALS),
        gradient_norm=results.gradient_norm,
        numbers=dict(results.numbers),
        non_finite=results.non_finite,
    )


def _outcomes_of(losses: Doubles) -> Outcomes:
    """Return what episodes with these losses [n, batch, steps] came to."""
    with np.errstate(invalid="ignore", over="ignore"):
        logs = np.log10(losses + LOG_FLOOR)
        return Outcomes(
            end_loss=losses[..., -1].mean(axis=1),
            sum_loss=losses.sum(axis=2).mean(axis=1),
            end_log10=logs[..., -1].mean(axis=1),
            mean_log10=logs.mean(axis=(1, 2)),
        )


class ReportWindow:
    """The last rows of one lane, for the averages that a report gives.

    Parameters
    ----------
    length
        Number of rows averaged: the preset's ``report.every``.
    """

    def __init__(self, length: int) -> None:
        self._length = length
        self._end_log10: Doubles = np.zeros(0)
        self._mean_log10: Doubles = np.zeros(0)
        self._sum_loss: Doubles = np.zeros(0)
        self._non_finite: Flags = np.zeros(0, bool)

    def add(self, rows: Rows) -> None:
        """Take in the next rows of the lane."""
        self._end_log10 = np.concatenate([self._end_log10, rows.end_log10])[-self._length :]
        self._mean_log10 = np.concatenate([self._mean_log10, rows.mean_log10])[-self._length :]
        self._sum_loss = np.concatenate([self._sum_loss, rows.sum_loss])[-self._length :]
        self._non_finite = np.concatenate([self._non_finite, rows.non_finite])[-self._length :]

    def change_sums(self, changed: Callable[[Doubles], Doubles]) -> None:
        """Put other numbers in place of the summed losses."""
        self._sum_loss = changed(self._sum_loss)

    @property
    def average_log_result(self) -> float:
        """Mean of log10(last loss); rows where it is not finite are left out. NaN where none is left."""
        return finite_mean(self._end_log10)

    @property
    def average_sum_log_result(self) -> float:
        """Mean over all steps of log10(loss); non-finite rows are left out. The notebook averages from the start on."""
        return finite_mean(self._mean_log10)

    @property
    def average_sum_loss(self) -> float:
        """Mean of the summed loss; non-finite rows are left out."""
        return finite_mean(self._sum_loss)

    @property
    def non_finite(self) -> int:
        """How many of the rows met a NaN or an infinity."""
        return int(self._non_finite.sum())
