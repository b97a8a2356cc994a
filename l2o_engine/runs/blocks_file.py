"""``blocks.csv``, both ways: a long run's rows summed up, block by block, so that few of them have to be read.

A line a block and lane, with where in ``metrics.csv`` the block ends, and a checksum of all lines up to it. The file
only saves time: it holds nothing that the rows do not say, whoever reads it looks whether it is whole and fits them,
and who drives the run makes it anew where it is missing, damaged or does not fit. A block is in it only if every lane
has all of its rows.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING
from zlib import crc32

import numpy as np

from l2o_engine.records.blocks import BLOCK, Blocks, Summing
from l2o_engine.records.rows import Rows, joined
from l2o_engine.runs.metrics_file import placed_rows, read_rows
from l2o_engine.support.arrays import Doubles, Integers
from l2o_engine.support.files import append, open_to_append, open_to_read, read_bytes, remove, write_atomically
from l2o_engine.training.trainer import Lane

if TYPE_CHECKING:
    from io import FileIO

_COLUMNS = (
    "end",
    "lanes",
    "lane",
    "iteration",
    "low",
    "high",
    "rolling",
    "total",
    "count",
    "unseen",
    "zeros",
    "spoilt",
    "checksum",
)
_BUCKET, _COUNTS = slice(3, 9), slice(9, 12)  # of the columns
_WHOLE = (0, 1, 2, 3, 9, 10, 11)  # columns of whole numbers
_MOST = 2.0**53  # of which is exact
_LEAST = 256  # blocks that are worth it: fewer rows are read in half a second
_ALIGNED = 64  # blocks; so that the buckets of any curve can be made of them
_GREATEST_CURVE = 512  # buckets that the smallest curve has
_MOST_BYTES = 256 * 2**20


def _header(window: int) -> bytes:
    return ",".join(_COLUMNS).replace("rolling", f"rolling_{window}").encode()


@dataclass(frozen=True, eq=False)
class _Table:
    """What the file says: its lines, [blocks] of where each ends, and [blocks, lanes, columns] of all."""

    lines: Sequence[bytes]
    ends: Integers
    cells: Doubles


def beginning_of(path: Path, metrics: Path, lanes: Sequence[Lane], *, least: int, window: int) -> Blocks | None:
    """Return the beginning of a long run in blocks.

    Parameters
    ----------
    path, metrics
        The two files.
    lanes
        The run's lanes.
    least
        How many meta-iterations are not to be summed up, at least: the last ones.
    window
        How many results rolling means are over.

    Returns
    -------
    Blocks or None
        None where the run is short, the file is missing, damaged, of another window, or does not fit the metrics.

    Raises
    ------
    OSError
        If the rows cannot be read.
    """
    table = _read(path, metrics, len(lanes), window)
    if table is None:
        return None
    most = len(table.ends) - ceil(least / BLOCK)
    aligned = max(_ALIGNED, 1 << (max(most, 1) // _GREATEST_CURVE).bit_length())
    count = most // aligned * aligned
    lead = ceil(window / BLOCK)
    if count < _LEAST or count <= lead:
        return None
    cells = table.cells[:count]
    start, end = int(table.ends[count - lead - 1]), int(table.ends[count - 1])
    try:
        before = joined(list(read_rows(metrics, lanes, start=start, after=(count - lead) * BLOCK - 1, stop=end)))
    except ValueError:  # who reads all of the rows is told which of them are damaged
        return None
    unseen, zeros, spoilt = cells[..., _COUNTS].sum(axis=0).astype(int).T.tolist()
    return Blocks(
        buckets=cells[..., _BUCKET].transpose(1, 2, 0),
        unseen=unseen,
        zeros=zeros,
        spoilt=spoilt,
        window=window,
        before=before,
        end=end,
    )


def _read(path: Path, metrics: Path, lanes: int, window: int) -> _Table | None:
    """Return what the file says up to the last block of all lanes; None where it is not to be relied on."""
    try:
        lines = _undamaged(read_bytes(path, _MOST_BYTES).split(b"\n")[:-1])
        if not lines or lines[0] != _header(window):
            return None
        rest = [line.decode("ascii") for line in lines[1:]]
        cells = np.loadtxt(rest, delimiter=",", ndmin=2, comments=None) if rest else np.zeros((0, len(_COLUMNS)))
    except (OSError, ValueError):
        return None
    if cells.shape[1] != len(_COLUMNS) or not (np.abs(cells[:, _WHOLE]) < _MOST).all():
        return None
    others = np.flatnonzero(cells[:, 1] != lanes)
    whole = (int(others[0]) if len(others) else len(cells)) // lanes
    blocks = cells[: whole * lanes].reshape(whole, lanes, len(_COLUMNS))
    ends = blocks[:, 0, 0].astype(np.int64) if whole else np.zeros(0, np.int64)
    fits = (
        (blocks[..., 0] == ends[:, None]).all()
        and (blocks[..., 2] == np.arange(lanes)).all()
        and (blocks[..., 3] == (np.arange(1, whole + 1) * BLOCK - 1)[:, None]).all()
        and (np.diff(ends) > 0).all()
    )
    if not fits:
        return None
    with suppress(OSError):
        if not whole or _ends_at(metrics, int(ends[-1]), whole * BLOCK - 1):
            return _Table(lines[: whole * lanes + 1], ends, blocks)
    return None


def _undamaged(lines: Sequence[bytes]) -> list[bytes]:
    """Return the lines up to the first whose checksum does not fit."""
    whole, sum_so_far = list(lines[:1]), crc32(b"".join(lines[:1]))
    for line in lines[1:]:
        cells, _, checksum = line.rpartition(b",")
        sum_so_far = crc32(cells, sum_so_far)
        if checksum != b"%d" % sum_so_far:
            break
        whole.append(line)
    return whole


def _ends_at(metrics: Path, end: int, iteration: int) -> bool:
    """Return whether a line of this meta-iteration ends at a place of metrics.csv."""
    with open_to_read(metrics) as file:
        file.seek(max(end - 4096, 0))
        lines = file.read(min(end, 4096)).split(b"\n")
    return len(lines) > 1 and not lines[-1] and lines[-2].split(b",")[0] == b"%d" % iteration


class BlockWriter:
    """Sums up the rows that a run's driver writes, and appends to the file what fills a block.

    Parameters
    ----------
    path, metrics
        The two files.
    lanes
        The run's lanes.
    window
        How many results rolling means are over.
    """

    def __init__(self, path: Path, metrics: Path, lanes: Sequence[Lane], window: int) -> None:
        self._path = path
        self._metrics = metrics
        self._lanes = lanes
        self._window = window
        self._sums = [Summing(window) for _ in lanes]
        self._block = 0  # the number of the one that is summed up
        self._end = 0  # of its last row so far
        self._file: FileIO | None = None  # made with the first block: a short run has none
        self._checksum = 0  # of what is in it

    def go_on(self, size: int) -> None:
        """Go on where metrics.csv has this size: what the file says of rows beyond is cut off, what it lacks is added.

        Raises
        ------
        OSError, ValueError
            If the file cannot be written, or the rows cannot be read.
        """
        self.close()
        lanes, lead = self._lanes, ceil(self._window / BLOCK)
        self._sums = [Summing(self._window) for _ in lanes]
        table = _read(self._path, self._metrics, len(lanes), self._window)
        ends = [] if table is None else [end for end in table.ends.tolist() if end <= size]
        self._block = len(ends)
        if table is not None and ends:
            lines = table.lines[: len(ends) * len(lanes) + 1]
            write_atomically(self._path, b"\n".join(lines) + b"\n")
            self._checksum = int(lines[-1].rpartition(b",")[2])
        else:
            remove(self._path)
        begins, first = [0, *ends], max(len(ends) - lead, 0)
        lead_in = {"start": begins[first], "after": first * BLOCK - 1, "stop": begins[-1]}
        for rows in read_rows(self._metrics, lanes, **lead_in) if ends else ():
            for lane, summing in enumerate(self._sums):
                summing.prime(rows.of_lane(lane))
        last = len(ends) * BLOCK - 1
        for rows, places in placed_rows(self._metrics, lanes, start=begins[-1], after=last, stop=size):
            for start, stop in cuts(rows):
                self.add(rows.between(start, stop), int(places[stop - 1]))

    def add(self, rows: Rows, end: int) -> None:
        """Take in rows that lie within one block.

        Parameters
        ----------
        rows
            The rows that come next, see :func:`cuts`.
        end
            How long metrics.csv is behind them.

        Raises
        ------
        OSError
            If the file cannot be written.
        """
        block = int(rows.iteration[0]) // BLOCK
        if block != self._block:
            self._write()
        self._block, self._end = block, end
        for lane, summing in enumerate(self._sums):
            summing.add(rows.of_lane(lane))

    def _write(self) -> None:
        blocks = [summing.take() for summing in self._sums]
        whole = sum(block is not None and block.rows == BLOCK for block in blocks)
        if self._file is None:
            self._file = open_to_append(self._path)
            if not self._file.tell():
                header = _header(self._window)
                self._checksum = crc32(header)
                append(self._file, header + b"\n")
        lines = []
        for lane, block in enumerate(blocks):
            if block is not None:
                iteration, *others = block.bucket.tolist()
                cells = [self._end, whole, lane, int(iteration), *others, block.unseen, block.zeros, block.spoilt]
                line = ",".join(map(repr, cells)).encode()
                self._checksum = crc32(line, self._checksum)
                lines.append(b"%s,%d\n" % (line, self._checksum))
        append(self._file, b"".join(lines))

    def close(self) -> None:
        """Let go of the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


def cuts(rows: Rows) -> list[tuple[int, int]]:
    """Return from which place to which rows lie within one block, one after the other."""
    if not len(rows):
        return []
    first, last = int(rows.iteration[0]) // BLOCK, int(rows.iteration[-1]) // BLOCK
    places = np.searchsorted(rows.iteration, np.arange(first, last + 2) * BLOCK).tolist()
    return [(start, stop) for start, stop in pairwise(places) if stop > start]
