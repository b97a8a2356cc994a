"""``metrics.csv``, both ways: the only module that knows its format.

One row a meta-iteration and lane, by iteration, then by lane; the header first. What is not measured is an empty
column. The numbers of the network's inputs that adapt from meta-iteration to meta-iteration are columns by their names:
min_log, which is always there, and behind it those of other names, which only some files have. A file is read a block
at a time, so that a long run needs little memory; a last line that is still being written is left out. Whatever a
reader returns, it has made sure of: each lane's rows are there from meta-iteration 0 on, in order, each once.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from l2o_engine.records.rows import LOG_DECIMALS, Rows
from l2o_engine.runs.tail import MOST_LINE
from l2o_engine.support.arrays import Doubles, Flags, Integers
from l2o_engine.support.files import open_to_read
from l2o_engine.support.wording import quote, shown
from l2o_engine.training.trainer import Lane

if TYPE_CHECKING:
    from hashlib import _Hash

_LEADING = ("iteration", "end_loss", "sum_loss", "end_log10", "mean_log10", "gradient_norm", "min_log")
_TRAILING = ("non_finite", "optimizer", "seed")
_MIN_LOG = _LEADING.index("min_log")
_FORMAT_BLOCK = 250  # rows at a time: one formatting holds the interpreter, which the next chunk may be waiting for
_BLOCK = 2_000_000  # bytes at a time, some 25,000 rows
_GREATEST_LOG = 400.0  # in absolute value; a float64 has none beyond 324
_MOST_ITERATION = 10**15  # beyond that, no run is


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


def _number(dtype: str) -> str:
    return "%.9g" if dtype == "float32" else "%.17g"


def as_written(values: Doubles, dtype: str) -> Doubles:
    """Return losses or norms [n] as a file of a run of this dtype holds them."""
    cell = _number(dtype)
    return np.array([float(cell % value) for value in values.tolist()])


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
        number, logarithm = _number(dtype), f"%.{LOG_DECIMALS}f"
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
        self._lanes = len(lanes)
        self._order = _Order(len(lanes))
        self._names: list[str] = []  # none: the header was damaged
        self._next = 1  # the number of the next line

    def read(self, lines: Sequence[str]) -> Rows | None:
        """Return the rows of the next lines, each with its newline or without; None if there is but the header.

        Raises
        ------
        ValueError
            If a line is not what :class:`RowFormat` writes for these lanes, or not where it belongs: one before it is
            missing, or it has been there already. The message says which, and why. Further lines can be read none the
            less, but for those of a file whose header is damaged.
        """
        first, self._next = self._next, self._next + len(lines)
        if lines and first == 1:
            self._names = columns_of(lines[0])
            first, lines = first + 1, lines[1:]
        if not lines:
            return None
        if not self._names:
            raise ValueError("its header is damaged")
        try:
            rows = self._parse(lines)
        except (ValueError, KeyError) as error:
            self._order.forget()
            raise ValueError(self._what_is_wrong(lines, first)) from error
        misplaced = self._order.misplaced(rows)
        if misplaced is not None:
            place, why = misplaced
            raise ValueError(f"line {first + place} ({quote(lines[place].rstrip()[:60])}) {why}")
        return rows

    def pass_over(self, header: str, after: int) -> None:
        """Take the header, and go on behind the rows that every lane has up to a meta-iteration, which are not read.

        Raises
        ------
        ValueError
            If it is no header.
        """
        self.read([header])
        self._order.pass_over(after)
        self._next += (after + 1) * self._lanes

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
        _check(columns)
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
                lane = f"{shown(cells[-2], most=24)}, seed {shown(cells[-1], most=24)}"
                return f"{where} is of {lane}, which the preset does not have"
            try:
                self._parse([line])
            except _ImpossibleError as error:
                return f"{where} {error}"
            except ValueError:
                return f"{where} holds something that is not a number"
        return f"lines {first} to {first + len(lines) - 1} do not have the same columns"


class _ImpossibleError(ValueError):
    """A number that no run writes."""


def _check(columns: dict[str, Doubles]) -> None:
    """Raise _ImpossibleError if a number of these columns is none that a run writes."""
    iteration, non_finite = columns["iteration"], columns["non_finite"]
    with np.errstate(invalid="ignore"):
        counts: Flags = (iteration >= 0) & (iteration <= _MOST_ITERATION) & (iteration == np.floor(iteration))
    if not counts.all():
        raise _ImpossibleError("is of no meta-iteration that can be")
    if not np.isin(non_finite, (0, 1)).all():
        raise _ImpossibleError("does not say whether its numbers are finite")
    for name in ("end_log10", "mean_log10"):
        logs = columns[name][np.isfinite(columns[name])]
        if len(logs) and np.abs(logs).max() > _GREATEST_LOG:
            raise _ImpossibleError(f"has an {name} that is no loss's")


class _Order:
    """Looks whether rows come as they are written: by meta-iteration, then by lane, none missing and none twice.

    Parameters
    ----------
    lanes
        How many lanes there are.
    """

    def __init__(self, lanes: int) -> None:
        self._last: Integers = np.full(lanes, -1)  # the meta-iteration of each lane's last row
        self._place: Integers = np.array([-1])  # of the last row, counted as if every lane had all
        self._is_lost = False

    def pass_over(self, after: int) -> None:
        """Count the rows of every lane up to a meta-iteration as seen."""
        self._last[:] = after
        self._place[:] = (after + 1) * len(self._last) - 1

    def forget(self) -> None:
        """Take the next rows as they come: some before them could not be read, and that has been said."""
        self._is_lost = True

    def misplaced(self, rows: Rows) -> tuple[int, str] | None:
        """Return which of the next rows is the first that is not where it belongs, and why; None if all are."""
        iteration, lane = rows.iteration, rows.lane
        places: Integers = iteration * len(self._last) + lane
        before: Integers = np.concatenate([self._place, places[:-1]])
        order = np.argsort(lane, kind="stable")
        starts = np.flatnonzero(np.diff(lane[order], prepend=-1))
        previous = np.empty_like(iteration)
        previous[order[1:]] = iteration[order[:-1]]
        own = order[starts]
        previous[own] = iteration[own] - 1 if self._is_lost else self._last[lane[own]]
        if self._is_lost:
            before[0] = -1
        self._is_lost = False
        ends = order[np.append(starts[1:], len(order)) - 1]
        self._last[lane[ends]], self._place = iteration[ends], places[-1:]
        wrong = np.flatnonzero((iteration != previous + 1) | (places <= before))
        if not len(wrong):
            return None
        self.forget()
        at = int(wrong[0])
        if iteration[at] > previous[at] + 1:
            return at, f"comes where meta-iteration {previous[at] + 1} is missing"
        if iteration[at] <= previous[at]:
            return at, f"comes behind meta-iteration {previous[at]}"
        return at, "comes behind rows that belong behind it"


def read_rows(
    path: Path, lanes: Sequence[Lane], *, start: int = 0, after: int = -1, stop: int | None = None
) -> Iterator[Rows]:
    """Read a file as it is now, some rows at a time.

    Parameters
    ----------
    path
        The file.
    lanes
        The run's lanes.
    start, after
        Where in it to begin, in bytes: behind the rows that every lane has up to this meta-iteration. Not given: at
        the beginning.
    stop
        Where to end, in bytes; None: where it ends now.

    Raises
    ------
    OSError
        If it cannot be read, or is no regular file.
    ValueError
        If a line is not what :class:`RowFormat` writes for these lanes, or not where it belongs; the message says
        which, and why.
    """
    for rows, _ in _read_blocks(path, lanes, start, after, stop):
        yield rows


def placed_rows(
    path: Path, lanes: Sequence[Lane], *, start: int = 0, after: int = -1, stop: int | None = None
) -> Iterator[tuple[Rows, Integers]]:
    """Read a file as :func:`read_rows` does, and where in it each row ends."""
    for rows, block in _read_blocks(path, lanes, start, after, stop):
        start += len(block)
        lengths = np.array([len(line) + 1 for line in block[:-1].split(b"\n")], np.int64)[-len(rows) :]
        yield rows, start - lengths[::-1].cumsum()[::-1] + lengths


def header_in(path: Path) -> str:
    """Return a file's first line.

    Raises
    ------
    OSError
        If it cannot be read, or is no regular file.
    """
    with open_to_read(path) as file:
        return _lines_of(file.readline(MOST_LINE))[0]


def _read_blocks(
    path: Path, lanes: Sequence[Lane], start: int, after: int, stop: int | None
) -> Iterator[tuple[Rows, bytes]]:
    reader = RowReader(lanes)
    if after >= 0:
        reader.pass_over(header_in(path), after)
    for block in _whole_lines(path, start, stop):
        rows = reader.read(_lines_of(block))
        if rows is not None:
            yield rows, block


def check_prefix(
    path: Path, header: str, lanes: Sequence[Lane], ends: Sequence[int], size: int, digest: str | None
) -> "_Hash":
    """Make sure of the beginning of a file, which a run is to go on from, and return its running SHA-256.

    Parameters
    ----------
    path
        The file.
    header
        Its first line.
    lanes
        The run's lanes.
    ends
        Of each lane the meta-iteration of its last row, -1 if it has none.
    size
        How many bytes belong to it.
    digest
        Their SHA-256; None where nobody has kept it.

    Raises
    ------
    OSError
        If the file cannot be read, or is no regular file.
    ValueError
        If it does not hold these rows. The message says, where that can be told, which line is wrong.
    """
    last = max(ends)
    owners = [lane for lane, end in zip(lanes, ends, strict=True) if end == last >= 0]
    running, count, tail = sha256(), 0, b""
    with open_to_read(path) as file:
        begins = file.read(len(header)) == header.encode()
        file.seek(0)
        left = size
        while left > 0 and (data := file.read(min(_BLOCK, left))):
            left -= len(data)
            running.update(data)
            count += data.count(b"\n")
            tail = (data if len(data) >= MOST_LINE else tail + data)[-MOST_LINE:]
    if not begins:
        raise ValueError("its header is damaged")
    rows = tail.split(b"\n")[-1 - len(owners) : -1]
    is_whole = (
        left <= 0
        and tail.endswith(b"\n")
        and count == 1 + sum(end + 1 for end in ends)
        and all(
            row.startswith(f"{last},".encode()) and row.endswith(f",{lane.optimizer},{lane.seed}".encode())
            for row, lane in zip(rows, owners, strict=True)
        )
    )
    if is_whole and digest == running.hexdigest():
        return running
    for _ in read_rows(path, lanes, stop=size - max(left, 0)):  # which says where the first damage is
        pass
    if is_whole and digest is None:
        return running
    raise ValueError("it has lost rows" if left > 0 else "its rows are not those that the run wrote")


def last_iteration(path: Path) -> int:
    """Return the meta-iteration of a file's last whole line; -1 where there is none."""
    try:
        with open_to_read(path) as file:
            file.seek(max(file.seek(0, os.SEEK_END) - 4096, 0))
            lines = file.read().split(b"\n")
    except FileNotFoundError:
        return -1
    last = lines[-2].split(b",")[0] if len(lines) > 1 else b""
    return int(last) if last.isdigit() and len(last) < 16 else -1


class ThinnedLines:
    """A file's lines as they are now, thinned: rows that are added later are left out, and numbers stay as written.

    Parameters
    ----------
    path
        The file.
    lanes
        The run's lanes.
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

    def __init__(self, path: Path, lanes: Sequence[Lane], every: int) -> None:
        self._path, self._lanes, self._every = path, lanes, every
        self._is_checked = False
        with _as_value_error(), open_to_read(path) as file:
            self.header = file.readline(MOST_LINE)
            self._size = file.seek(0, os.SEEK_END)
        self.names = columns_of(_lines_of(self.header)[0])
        self._last_lines = frozenset(self._last_line_of_each_lane()) if every > 1 else frozenset()

    def blocks(self) -> Iterator[bytes]:
        """Yield the lines, some at a time, as they are in the file."""
        for block in self._blocks():
            yield block if self._every == 1 else b"".join(line + b"\n" for line in self._kept(block))

    def blocks_with_commas(self) -> Iterator[bytes]:
        """Yield header and lines as spreadsheets read them that write 0,5: semicolons between cells, decimal commas."""
        yield self.header.replace(b",", b";")
        for rows in self.rows():
            yield b"".join(b";".join(self._with_comma(row)) + b"\n" for row in rows)

    def _with_comma(self, row: Sequence[bytes]) -> list[bytes]:
        *numbers, optimizer, seed = row
        if b";" in optimizer or b'"' in optimizer:
            optimizer = b'"' + optimizer.replace(b'"', b'""') + b'"'
        return [*(number.replace(b".", b",") for number in numbers), optimizer, seed]

    def rows(self) -> Iterator[list[list[bytes]]]:
        """Yield the cells of the lines, some lines at a time."""
        for block in self._blocks():
            yield [line.split(b",") for line in self._kept(block)]

    def owner(self, row: Sequence[bytes]) -> tuple[bytes, bytes]:
        """Return the optimizer and the seed that a row is of."""
        return row[-2], row[-1]

    def _blocks(self) -> Iterator[bytes]:
        reader = None if self._is_checked else RowReader(self._lanes)  # once: a reader may come for every column
        if reader is not None:
            reader.read(_lines_of(self.header))
        with _as_value_error():
            for block in _whole_lines(self._path, len(self.header), self._size):
                if reader is not None:
                    reader.read(_lines_of(block))  # raises where it is damaged
                yield block
        self._is_checked = True

    def _kept(self, block: bytes) -> list[bytes]:
        lines = block.splitlines()
        return lines if self._every == 1 else [line for line in lines if self._keeps(line)]

    def _keeps(self, line: bytes) -> bool:
        return int(line.partition(b",")[0]) % self._every == 0 or line in self._last_lines

    def _last_line_of_each_lane(self) -> Iterable[bytes]:
        # A lane that has diverged ends before the others.
        lines = (line for block in self._blocks() for line in block.splitlines())
        return {self.owner(line.split(b",")): line for line in lines}.values()


@contextmanager
def _as_value_error() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from error


def _lines_of(block: bytes) -> list[str]:
    """Return the lines of a block that ends with one; bytes that are no UTF-8 become what is no cell."""
    return block.removesuffix(b"\n").decode("utf-8", "surrogateescape").split("\n")


def _whole_lines(path: Path, start: int, size: int | None = None) -> Iterator[bytes]:
    """Yield the whole lines between two places of a file, some at a time; up to its present end without a size."""
    rest = b""
    with open_to_read(path) as file:
        size = file.seek(0, os.SEEK_END) if size is None else size
        left = size - file.seek(start)
        while left > 0:
            data = file.read(min(_BLOCK, left))
            if not data:
                raise CutBackError("it became shorter while it was read")
            left -= len(data)
            lines, newline, rest = (rest + data).rpartition(b"\n")
            if newline:
                yield lines + newline
            if len(rest) > MOST_LINE:
                raise ValueError(f"it has a line of more than {MOST_LINE:,} bytes")
