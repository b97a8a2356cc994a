"""Metrics: one row a meta-iteration and lane, the same numbers in the file, in the reports and on the screen.

Nothing here depends on the clock or on how the meta-iterations were cut into chunks, so an interrupted and resumed
run's ``metrics.csv`` equals an uninterrupted run's, byte for byte. The logarithms are rounded to what the file holds
before anything is made of them, so that a report computed after a resume equals the one computed without.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from l2o_engine.support.arrays import LOG_FLOOR, Doubles, Flags, Integers, finite_mean
from l2o_engine.support.wording import quote
from l2o_engine.training.trainer import Chunk, Lane

HEADER = "iteration,end_loss,sum_loss,end_log10,mean_log10,gradient_norm,min_log,non_finite,optimizer,seed\n"
LOG_DECIMALS = 6
_FORMAT_BLOCK = 250  # rows at a time: one formatting holds the interpreter, which the next chunk may be waiting for
_READ_BLOCK = 2_000_000  # characters at a time, some 25,000 rows, so that reading a long run needs little memory


@dataclass(frozen=True)
class Rows:
    """Rows of metrics, by iteration, then by lane. All arrays are [rows].

    Attributes
    ----------
    iteration, lane
        The meta-iteration, and the index of the row's lane.
    end_loss, sum_loss
        The last loss, and the sum over the steps; means over the batch.
    end_log10, mean_log10
        log10(loss + 1e-38) of the last step, and its mean over all steps; means over the batch.
    gradient_norm
        The meta-gradient's norm before clipping; NaN where nothing is trained.
    min_log
        The transform's min_log; NaN where it has none.
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
    min_log: Doubles
    non_finite: Flags

    def __len__(self) -> int:
        return len(self.iteration)

    def of_lane(self, lane: int) -> "Rows":
        """Return the rows of one lane."""
        return self._at(np.flatnonzero(self.lane == lane))

    def _at(self, index: Integers) -> "Rows":
        return Rows(**{name: values[index] for name, values in vars(self).items()})


def rows_of(chunks: Iterable[Chunk], lanes: Sequence[Lane]) -> Rows:
    """Return the rows of what the lanes did, ordered by iteration, then as the lanes are."""
    parts = [_rows_of_one(chunk, lanes.index(chunk.lane)) for chunk in chunks]
    joined = Rows(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])})
    return joined._at(np.lexsort((joined.lane, joined.iteration)))


def _rows_of_one(chunk: Chunk, lane: int) -> Rows:
    results = chunk.results
    losses = results.losses.astype(np.float64)  # [n, batch, steps]
    with np.errstate(invalid="ignore", over="ignore"):
        logs = np.log10(losses + LOG_FLOOR)
        end_loss, sum_loss = losses[..., -1].mean(axis=1), losses.sum(axis=2).mean(axis=1)
    n = len(results)
    return Rows(
        iteration=np.arange(chunk.first, chunk.first + n, dtype=np.int64),
        lane=np.full(n, lane, np.int64),
        end_loss=end_loss,
        sum_loss=sum_loss,
        end_log10=logs[..., -1].mean(axis=1).round(LOG_DECIMALS),
        mean_log10=logs.mean(axis=(1, 2)).round(LOG_DECIMALS),
        gradient_norm=results.gradient_norm,
        min_log=results.min_log,
        non_finite=results.non_finite,
    )


class RowFormat:
    """Writes rows as CSV.

    Parameters
    ----------
    lanes
        What a row's lane index means.
    dtype
        The run's dtype: a float32 needs 9 digits to be read back exactly, a float64 17.
    learned
        Whether a network is trained; without one there is no gradient norm.
    has_min_log
        Whether the transform has a min_log.
    """

    def __init__(self, lanes: Sequence[Lane], dtype: str, *, learned: bool, has_min_log: bool) -> None:
        number = "%.9g" if dtype == "float32" else "%.17g"
        self._columns = ["iteration", "end_loss", "sum_loss", "end_log10", "mean_log10"]
        cells = ["%d", number, number, f"%.{LOG_DECIMALS}f", f"%.{LOG_DECIMALS}f"]
        for name, present in (("gradient_norm", learned), ("min_log", has_min_log)):
            self._columns += [name] if present else []
            cells.append(number if present else "")
        self._columns.append("non_finite")
        cells.append("%d")
        self._templates = [
            ",".join([*cells, lane.optimizer.replace("%", "%%"), str(lane.seed)]) + "\n" for lane in lanes
        ]

    def format(self, rows: Rows) -> bytes:
        """Return the rows' lines."""
        columns = [getattr(rows, name).tolist() for name in self._columns]
        values = [value for row in zip(*columns, strict=True) for value in row]
        templates = [self._templates[lane] for lane in rows.lane.tolist()]
        width, parts = len(columns), []
        for first in range(0, len(templates), _FORMAT_BLOCK):
            last = first + _FORMAT_BLOCK
            parts.append("".join(templates[first:last]) % tuple(values[first * width : last * width]))
        return "".join(parts).encode()


_NAMES = HEADER.strip().split(",")
_NUMBERS = _NAMES.index("optimizer")  # the columns before this one are numbers
_MAY_BE_EMPTY = ("gradient_norm", "min_log")


def read_rows(path: Path, lanes: Sequence[Lane]) -> Iterator[Rows]:
    """Read a metrics file, some rows at a time; a last line that is still being written is left out.

    Raises
    ------
    ValueError
        If a line is not what :class:`RowFormat` writes for these lanes; the message says which, and why.
    """
    lane_of, first = _lane_of(lanes), 2
    with path.open(encoding="utf-8") as file:
        file.readline()
        while lines := file.readlines(_READ_BLOCK):
            is_torn = not lines[-1].endswith("\n")
            if is_torn:
                lines.pop()
            if lines:
                try:
                    rows = _parse(lines, lane_of)
                except (ValueError, KeyError) as error:
                    raise ValueError(_what_is_wrong(lines, lane_of, first)) from error
                yield rows
            if is_torn:
                return
            first += len(lines)


def parse_rows(lines: list[str], lanes: Sequence[Lane]) -> Rows:
    """Return the rows of some of a metrics file's lines, not of its header; each line ends with a newline.

    Raises
    ------
    ValueError, KeyError
        If a line is not what :class:`RowFormat` writes for these lanes.
    """
    return _parse(lines, _lane_of(lanes))


def _lane_of(lanes: Sequence[Lane]) -> dict[str, int]:
    """Return how a line of each lane ends → its index."""
    return {f"{lane.optimizer},{lane.seed}\n": index for index, lane in enumerate(lanes)}


def _what_is_wrong(lines: list[str], lane_of: Mapping[str, int], first: int) -> str:
    """Return which of the lines, the first of which has this number, cannot be parsed, and why."""
    for number, line in enumerate(lines, first):
        cells = line.rstrip("\n").split(",")
        where = f"line {number} ({quote(line.rstrip()[:60])})"
        if len(cells) != len(_NAMES):
            return f"{where} has {len(cells)} cells, not {len(_NAMES)}"
        if line.split(",", _NUMBERS)[-1] not in lane_of:
            return f"{where} is of {cells[-2]}, seed {cells[-1]}, which the preset does not have"
        try:
            _parse([line], lane_of)
        except ValueError:
            return f"{where} holds something that is not a number"
    return f"lines {first} to {first + len(lines) - 1} do not have the same columns"


def _parse(lines: list[str], lane_of: Mapping[str, int]) -> Rows:
    lane = np.array([lane_of[line.split(",", _NUMBERS)[-1]] for line in lines], np.int64)
    # A column that is empty is so in the whole file: a run either has a min_log or not.
    first = dict(zip(_NAMES, lines[0].split(","), strict=False))
    empty = [name for name in _MAY_BE_EMPTY if first.get(name) == ""]
    filled = [name for name in _NAMES[:_NUMBERS] if name not in empty]
    indices = [_NAMES.index(name) for name in filled]
    table = np.loadtxt(lines, delimiter=",", usecols=indices, ndmin=2, comments=None, unpack=True)
    columns = {name: np.full(len(lines), np.nan) for name in empty} | dict(zip(filled, table, strict=True))
    return Rows(
        lane=lane,
        iteration=columns.pop("iteration").astype(np.int64),
        non_finite=columns.pop("non_finite") > 0,
        **columns,
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
