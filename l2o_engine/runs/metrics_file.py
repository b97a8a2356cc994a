"""``metrics.csv``, both ways: the only module that knows its format.

One row a meta-iteration and lane, by iteration, then by lane; the header first. What is not measured is an empty
column. The numbers of the network's inputs that adapt from meta-iteration to meta-iteration are columns by their names:
min_log, which is always there, and behind it those of other names, which only some files have. A file is read a block
at a time, so that a long run needs little memory; a last line that is still being written is left out.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from l2o_engine.records.rows import LOG_DECIMALS, Rows
from l2o_engine.support.arrays import Integers
from l2o_engine.support.wording import quote
from l2o_engine.training.trainer import Lane

_LEADING = ("iteration", "end_loss", "sum_loss", "end_log10", "mean_log10", "gradient_norm", "min_log")
_TRAILING = ("non_finite", "optimizer", "seed")
_MIN_LOG = _LEADING.index("min_log")
_FORMAT_BLOCK = 250  # rows at a time: one formatting holds the interpreter, which the next chunk may be waiting for
_LONGEST_HEADER = 65_536  # bytes
_BLOCK = 2_000_000  # bytes at a time, some 25,000 rows


class CutBackError(ValueError):
    """The file became shorter while it was read: a run that is resumed is cut back to its checkpoint."""


def header_of(numbers: Iterable[str] = ()) -> str:
    """Return the header of a file with these adaptive numbers.

    Raises
    ------
    ValueError
        If a name is another column's, or cannot be one's.
    """
    names = [*_LEADING, *(name for name in numbers if name != "min_log"), *_TRAILING]
    if len(set(names)) < len(names) or any(not name.isidentifier() for name in names):
        raise ValueError(f"not the names of columns: {', '.join(names)}")
    return ",".join(names) + "\n"


HEADER = header_of()
"""The header of a file without adaptive numbers of other names than min_log."""


def columns_of(header: str) -> list[str]:
    """Return the names of a file's columns, by its header.

    Raises
    ------
    ValueError
        If it is none; the message says why.
    """
    names = header.strip().split(",")
    if missing := {*_LEADING, *_TRAILING}.difference(names):
        raise ValueError(f"its header lacks {', '.join(sorted(missing))}")
    if header_of(names[len(_LEADING) : -len(_TRAILING)]).strip() != header.strip():
        raise ValueError("its header has the columns in another order")
    return names


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
    numbers
        The names of the adaptive numbers that the rows have.

    Attributes
    ----------
    header
        The line that the file begins with.

    Raises
    ------
    ValueError
        If a number has the name of another column.
    """

    def __init__(self, lanes: Sequence[Lane], dtype: str, *, learned: bool, numbers: Sequence[str] = ()) -> None:
        self.header = header_of(numbers)
        number, logarithm = "%.9g" if dtype == "float32" else "%.17g", f"%.{LOG_DECIMALS}f"
        cells = dict.fromkeys(columns_of(self.header)[: -len(_TRAILING)], number)
        cells |= {"iteration": "%d", "end_log10": logarithm, "mean_log10": logarithm, "non_finite": "%d"}
        cells |= {} if learned else {"gradient_norm": ""}
        cells |= {} if "min_log" in numbers else {"min_log": ""}
        self._columns = [name for name, cell in cells.items() if cell]
        self._templates = [
            ",".join([*cells.values(), lane.optimizer.replace("%", "%%"), str(lane.seed)]) + "\n" for lane in lanes
        ]

    def format(self, rows: Rows) -> bytes:
        """Return the rows' lines."""
        if not len(rows):
            return b""
        found = vars(rows) | rows.numbers
        columns = [found[name].tolist() for name in self._columns]
        values = [value for row in zip(*columns, strict=True) for value in row]
        templates = [self._templates[lane] for lane in rows.lane.tolist()]
        width, parts = len(columns), []
        for first in range(0, len(templates), _FORMAT_BLOCK):
            last = first + _FORMAT_BLOCK
            parts.append("".join(templates[first:last]) % tuple(values[first * width : last * width]))
        return "".join(parts).encode()


class RowReader:
    """Makes rows of a file's lines. They come in order, some at a time, from the header on.

    Parameters
    ----------
    lanes
        The run's lanes.
    """

    def __init__(self, lanes: Sequence[Lane]) -> None:
        ends = {f"{lane.optimizer},{lane.seed}": index for index, lane in enumerate(lanes)}
        self._lane_of = ends | {f"{end}\n": index for end, index in ends.items()}
        self._names = columns_of(HEADER)
        self._next = 1  # the number of the next line

    def read(self, lines: Sequence[str]) -> Rows | None:
        """Return the rows of the next lines, each with its newline or without; None if there is but the header.

        Raises
        ------
        ValueError
            If a line is not what :class:`RowFormat` writes for these lanes; the message says which, and why. Further
            lines can be read none the less.
        """
        first, self._next = self._next, self._next + len(lines)
        if lines and lines[0].startswith("iteration,"):
            self._names = columns_of(lines[0])
            first, lines = first + 1, lines[1:]
        try:
            return self._parse(lines) if lines else None
        except (ValueError, KeyError) as error:
            raise ValueError(self._what_is_wrong(lines, first)) from error

    def _parse(self, lines: Sequence[str]) -> Rows:
        numeric = self._names[:-2]  # all but the optimizer and the seed
        lane_of, n = self._lane_of, len(numeric)
        lane = np.array([lane_of[line.split(",", n)[-1]] for line in lines], np.int64)
        # A column that is empty is so in the whole file: a run either has a number or not.
        cells = dict(zip(numeric, lines[0].split(","), strict=False))
        adaptive = self._names[_MIN_LOG : -len(_TRAILING)]
        empty = [name for name in ("gradient_norm", *adaptive) if not cells.get(name)]
        filled = [name for name in numeric if name not in empty]
        indices = [numeric.index(name) for name in filled]
        table = np.loadtxt(lines, delimiter=",", usecols=indices, ndmin=2, comments=None, unpack=True)
        columns: dict[str, Any] = dict(zip(filled, table, strict=True))
        return Rows(
            lane=lane,
            iteration=columns.pop("iteration").astype(np.int64),
            non_finite=columns.pop("non_finite") > 0,
            gradient_norm=columns.pop("gradient_norm", np.full(len(lines), np.nan)),
            numbers={name: columns.pop(name) for name in adaptive if name in columns},
            **columns,
        )

    def _what_is_wrong(self, lines: Sequence[str], first: int) -> str:
        """Return which of the lines, the first of which has this number, cannot be parsed, and why."""
        for number, line in enumerate(lines, first):
            cells = line.rstrip("\n").split(",")
            where = f"line {number} ({quote(line.rstrip()[:60])})"
            if len(cells) != len(self._names):
                return f"{where} has {len(cells)} cells, not {len(self._names)}"
            if line.split(",", len(self._names) - 2)[-1] not in self._lane_of:
                return f"{where} is of {cells[-2]}, seed {cells[-1]}, which the preset does not have"
            try:
                self._parse([line])
            except ValueError:
                return f"{where} holds something that is not a number"
        return f"lines {first} to {first + len(lines) - 1} do not have the same columns"


def read_rows(path: Path, lanes: Sequence[Lane], start: int = 0, stop: int | None = None) -> Iterator[Rows]:
    """Read a file as it is now, some rows at a time.

    Parameters
    ----------
    path
        The file.
    lanes
        The run's lanes.
    start, stop
        Where in it to begin, behind a line, and where to end; else the whole file.

    Raises
    ------
    OSError
        If it cannot be read.
    ValueError
        If a line is not what :class:`RowFormat` writes for these lanes; the message says which, and why.
    """
    for rows, _ in _read_blocks(path, lanes, start, stop):
        yield rows


def placed_rows(
    path: Path, lanes: Sequence[Lane], start: int = 0, stop: int | None = None
) -> Iterator[tuple[Rows, Integers]]:
    """Read a file as :func:`read_rows` does, and where in it each row ends."""
    for rows, block in _read_blocks(path, lanes, start, stop):
        start += len(block)
        lengths = np.array([len(line) + 1 for line in block[:-1].split(b"\n")], np.int64)[-len(rows) :]
        yield rows, start - lengths[::-1].cumsum()[::-1] + lengths


def _read_blocks(path: Path, lanes: Sequence[Lane], start: int, stop: int | None) -> Iterator[tuple[Rows, bytes]]:
    reader = RowReader(lanes)
    if start:
        with path.open("rb") as file:
            reader.read([file.readline(_LONGEST_HEADER).decode()])
    for block in _whole_lines(path, start, path.stat().st_size if stop is None else stop):
        rows = reader.read(block[:-1].decode().split("\n"))
        if rows is not None:
            yield rows, block


def last_iteration(path: Path) -> int:
    """Return the meta-iteration of a file's last whole line; -1 where there is none."""
    try:
        with path.open("rb") as file:
            file.seek(max(file.seek(0, os.SEEK_END) - 4096, 0))
            lines = file.read().split(b"\n")
    except FileNotFoundError:
        return -1
    last = lines[-2].split(b",")[0] if len(lines) > 1 else b""
    return int(last) if last.isdigit() else -1


class ThinnedLines:
    """A file's lines as they are now, thinned: rows that are added later are left out, and numbers stay as written.

    Parameters
    ----------
    path
        The file.
    every
        Only the meta-iterations that it divides are told, and each lane's last one.

    Attributes
    ----------
    header
        The first line.
    names
        The columns' names.

    Raises
    ------
    ValueError
        If the file cannot be read or is damaged, here and later; :class:`CutBackError` if it becomes shorter. No
        OSError, which whoever writes the lines elsewhere has cause to expect of that.
    """

    def __init__(self, path: Path, every: int) -> None:
        self._path, self._every = path, every
        with _as_value_error(), path.open("rb") as file:
            self.header = file.readline()
            self._size = file.seek(0, os.SEEK_END)
        self.names = columns_of(self.header.decode())
        self._last_lines = frozenset(self._last_line_of_each_lane()) if every > 1 else frozenset()

    def blocks(self) -> Iterator[bytes]:
        """Yield the lines, some at a time, as they are in the file."""
        for block in self._blocks():
            for line in block.splitlines():
                self._cells(line)  # raises where it is damaged
            yield block if self._every == 1 else b"".join(line + b"\n" for line in self._kept(block))

    def rows(self) -> Iterator[list[list[bytes]]]:
        """Yield the cells of the lines, some lines at a time."""
        for block in self._blocks():
            yield [self._cells(line) for line in self._kept(block)]

    def owner(self, row: Sequence[bytes]) -> tuple[bytes, bytes]:
        """Return the optimizer and the seed that a row is of."""
        return row[-2], row[-1]

    def _blocks(self) -> Iterator[bytes]:
        with _as_value_error():
            yield from _whole_lines(self._path, len(self.header), self._size)

    def _kept(self, block: bytes) -> list[bytes]:
        lines = block.splitlines()
        return lines if self._every == 1 else [line for line in lines if self._keeps(line)]

    def _keeps(self, line: bytes) -> bool:
        return int(line.partition(b",")[0]) % self._every == 0 or line in self._last_lines

    def _last_line_of_each_lane(self) -> Iterable[bytes]:
        # A lane that has diverged ends before the others.
        lines = (line for block in self._blocks() for line in block.splitlines())
        return {self.owner(self._cells(line)): line for line in lines}.values()

    def _cells(self, line: bytes) -> list[bytes]:
        cells = line.split(b",")
        if len(cells) != len(self.names):
            raise ValueError(f"not a row of metrics: {line[:80]!r}")
        return cells


@contextmanager
def _as_value_error() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from error


def _whole_lines(path: Path, start: int, size: int) -> Iterator[bytes]:
    """Yield the whole lines between two places of a file, some at a time."""
    rest = b""
    with path.open("rb") as file:
        left = size - file.seek(start)
        while left > 0:
            data = file.read(min(_BLOCK, left))
            if not data:
                raise CutBackError("it became shorter while it was read")
            left -= len(data)
            lines, newline, rest = (rest + data).rpartition(b"\n")
            if newline:
                yield lines + newline
