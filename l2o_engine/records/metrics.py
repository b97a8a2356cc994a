"""A run's metrics as columns, for a notebook: of NumPy, and as a table of pandas, Polars or Arrow."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from l2o_engine.optimizers.learned.learned_optimizer import LEARNED
from l2o_engine.records.frames import Column, ParquetFile, schema_of, table_of
from l2o_engine.records.rows import Rows, joined
from l2o_engine.support.errors import UserError
from l2o_engine.support.files import atomic_file
from l2o_engine.support.libraries import library
from l2o_engine.training.trainer import Lane

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

_COLUMNS = ("iteration", "end_loss", "sum_loss", "end_log10", "mean_log10", "gradient_norm")


class Metrics(Mapping[str, NDArray[Any]]):
    """Name → column [rows], by iteration, then by seed and optimizer; the names are those of ``metrics.csv``.

    "iteration" and "seed" are int64, "non_finite" is bool, "optimizer" text, all others float64. Losses are as they
    are, "…_log10" their log10 with 1e-38 added, and "gradient_norm" is the meta-gradient's before clipping, NaN where
    no network is trained. Of an episode that goes on over several meta-iterations, the results are those of the one
    that ended last, NaN before any has.

    Parameters
    ----------
    parts
        The rows, in order, at least one part.
    lanes
        What a row's lane means.
    about
        What tables are to say of the run, in their schema's metadata.
    """

    def __init__(self, parts: Sequence[Rows], lanes: Sequence[Lane], about: Mapping[str, str] | None = None) -> None:
        rows = joined(parts)
        self._columns: dict[str, NDArray[Any]] = {name: getattr(rows, name) for name in _COLUMNS}
        self._columns |= rows.numbers
        self._columns["non_finite"] = rows.non_finite
        self._columns["optimizer"] = np.array([lane.optimizer for lane in lanes])[rows.lane]
        self._columns["seed"] = np.array([lane.seed for lane in lanes])[rows.lane]
        self._about = dict(about or {})
        self._lane, self._lanes = rows.lane, lanes

    def __getitem__(self, name: str) -> NDArray[Any]:
        return self._columns[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def __repr__(self) -> str:
        return f"Metrics of {len(self['iteration']):,} rows: {', '.join(self)}"

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names."""
        return tuple(self._columns)

    def of_seed(self, seed: int) -> dict[str, NDArray[Any]]:
        """Return the columns of one replicate's rows."""
        own = self["seed"] == seed
        return {name: values[own] for name, values in self.items()}

    def to_pandas(self) -> "pd.DataFrame":
        """Return the columns as a data frame of pandas.

        Raises
        ------
        MissingLibraryError
            If pandas is not installed; nothing else here needs it. It is an ImportError.
        """
        frame: pd.DataFrame = library("pandas", "to_pandas()", extra="frames").DataFrame(dict(self))
        return frame

    def to_arrow(self) -> "pa.Table":
        """Return the columns as an Arrow table: see :mod:`l2o_engine.records.frames`. Numbers are not copied.

        Raises
        ------
        MissingLibraryError
            If pyarrow is not installed. It is an ImportError.
        """
        optimizers = list(dict.fromkeys(lane.optimizer for lane in self._lanes))
        of_lane = np.array([optimizers.index(lane.optimizer) for lane in self._lanes], np.int32)
        columns: dict[str, Column] = {**self._columns, "optimizer": of_lane[self._lane]}
        if LEARNED not in optimizers:
            columns["gradient_norm"] = None
        behind = len(_COLUMNS)  # where the file has it, whether there is one or not
        names = [name for name in columns if name != "min_log"]
        names.insert(behind, "min_log")
        columns.setdefault("min_log", None)
        return table_of(columns, schema_of(names, self._about), optimizers)

    def to_polars(self) -> "pl.DataFrame":
        """Return the columns as a data frame of Polars, by way of :meth:`to_arrow`.

        Raises
        ------
        MissingLibraryError
            If polars or pyarrow is not installed. It is an ImportError.
        """
        frame: pl.DataFrame = library("polars", "to_polars()", extra="frames").from_arrow(self.to_arrow())
        return frame

    def to_parquet(self, path: str | Path) -> None:
        """Write the columns into a Parquet file, as ``export --format parquet`` does; one that is there is replaced.

        Raises
        ------
        MissingLibraryError
            If pyarrow is not installed. It is an ImportError.
        UserError
            If the file cannot be written; what was there is as it was then.
        """
        table = self.to_arrow()
        try:
            with atomic_file(Path(path)) as file, ParquetFile(file, table.schema) as parquet:
                parquet.add(table)
        except OSError as error:
            raise UserError(f"cannot write {path}: {error.strerror or error}") from error
