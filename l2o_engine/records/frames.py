"""Metrics as tables of other libraries: Arrow, and by way of it Polars and Parquet.

An Arrow table of metrics has the columns of ``metrics.csv``, by its names and in its order. ``iteration`` and ``seed``
are int64, ``non_finite`` a truth value, ``optimizer`` a dictionary of strings, all others float64. A number that is NaN
or infinite is in the table as it is; null is what the run does not measure at all, and then the whole column is. The
schema's metadata say of which run it is: see :data:`FORMAT`, :data:`PRESET` and :data:`RECORD`. None of these libraries
is loaded before it is needed.
"""

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, TypeAlias, cast

import numpy as np

from l2o_engine.support.libraries import library

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

FORMAT, PRESET, RECORD = "l2o.format", "l2o.preset", "l2o.run"
"""What a schema's metadata have: the format's number, the effective preset as TOML, and what run.json says, as JSON."""

INTEGERS = ("iteration", "seed")
"""The columns of whole numbers."""

ROW_GROUP = 2**17
"""Rows of a Parquet file's row group, about: some 10 MB in memory."""

Column: TypeAlias = "NDArray[Any] | None"
"""Numbers [rows]; of the optimizers' names, which of them it is; None of what the run does not measure."""


def schema_of(names: Sequence[str], about: Mapping[str, str]) -> "pa.Schema":
    """Return the schema of a table with these columns, and these metadata.

    Raises
    ------
    MissingLibraryError
        If pyarrow is not installed.
    """
    pa = _pyarrow()
    types = dict.fromkeys(names, pa.float64()) | dict.fromkeys(INTEGERS, pa.int64())
    types |= {"non_finite": pa.bool_(), "optimizer": pa.dictionary(pa.int32(), pa.string())}
    return pa.schema([pa.field(name, types[name]) for name in names], dict(about))


def table_of(columns: Mapping[str, Column], schema: "pa.Schema", optimizers: Sequence[str]) -> "pa.Table":
    """Return columns [rows] as a table; numbers are not copied.

    Parameters
    ----------
    columns
        Name → values, of the schema's fields; "optimizer" [rows] int32, places in ``optimizers``.
    schema
        As from :func:`schema_of`.
    optimizers
        The optimizers' names, each once.
    """
    pa, rows = _pyarrow(), len(cast("NDArray[Any]", columns["iteration"]))
    arrays = []
    for field in schema:
        values = columns[field.name]
        if values is None:
            arrays.append(pa.nulls(rows, field.type))
        elif field.name == "optimizer":
            names = pa.array(list(optimizers), pa.string())
            arrays.append(pa.DictionaryArray.from_arrays(pa.array(values.astype(np.int32, copy=False)), names))
        else:
            arrays.append(pa.array(values, field.type))
    return pa.Table.from_arrays(arrays, schema=schema)


class ParquetFile:
    """Writes a table, which comes a part at a time, as Parquet: row groups of :data:`ROW_GROUP` rows, zstd-compressed.

    The same table gives the same bytes, whatever the parts. Where an error leaves the block, nothing more is written.

    Parameters
    ----------
    file
        Where the bytes go, one behind the other; a pipe will do.
    schema
        The table's.

    Raises
    ------
    OSError
        If the file does not take what is written, here and later.
    MissingLibraryError
        If pyarrow is not installed.
    """

    def __init__(self, file: BinaryIO, schema: "pa.Schema") -> None:
        parquet = library("pyarrow.parquet", "Parquet", extra="frames")
        self._schema = schema
        self._sink = _Sink(file)
        self._waiting: list[pa.Table] = []
        self._rows = 0  # of these
        self._writer = parquet.ParquetWriter(
            self._sink, schema, compression="zstd", use_dictionary=["optimizer", "seed", "non_finite"]
        )

    def __enter__(self) -> "ParquetFile":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> Literal[False]:
        if error is None:
            try:
                self._flush(least=1)
                self._writer.close()
            finally:
                self._abandon()
        else:
            self._abandon()
        return False

    def add(self, table: "pa.Table") -> None:
        """Write the next rows, or keep them until a row group is full."""
        self._waiting.append(table)
        self._rows += len(table)
        self._flush(least=ROW_GROUP)

    def _flush(self, least: int) -> None:
        """Write row groups as long as there are so many rows."""
        while self._rows >= least:
            table = _pyarrow().concat_tables(self._waiting).combine_chunks()
            self._writer.write_table(table.slice(0, ROW_GROUP), row_group_size=ROW_GROUP)
            self._waiting = [table.slice(ROW_GROUP)]
            self._rows = len(self._waiting[0])

    def _abandon(self) -> None:
        """Let the writer write into nothing, for it writes the file's end whenever it is let go."""
        self._sink.is_open = False
        self._writer.close()


class _Sink:
    """A file for pyarrow, which asks where it is: of a pipe nobody else could say."""

    closed = False

    def __init__(self, file: BinaryIO) -> None:
        self.is_open = True
        self._file = file
        self._place = 0

    def write(self, data: Any) -> int:
        if self.is_open:
            self._file.write(data)
        self._place += len(data)
        return len(data)

    def tell(self) -> int:
        return self._place

    def flush(self) -> None:
        if self.is_open:
            self._file.flush()

    def close(self) -> None:
        """Leave the file open: whoever opened it closes it."""


def _pyarrow() -> Any:
    return library("pyarrow", "an Arrow table", extra="frames")
