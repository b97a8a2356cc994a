"""A run's metrics as columns, for a notebook."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from l2o_engine.records.rows import Rows, joined
from l2o_engine.training.trainer import Lane

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = ("iteration", "end_loss", "sum_loss", "end_log10", "mean_log10", "gradient_norm")


class Metrics(Mapping[str, NDArray[Any]]):
    """Name → column [rows], by iteration, then by seed and optimizer; the names are those of ``metrics.csv``.

    Parameters
    ----------
    parts
        The rows, in order, at least one part.
    lanes
        What a row's lane means.
    """

    def __init__(self, parts: Sequence[Rows], lanes: Sequence[Lane]) -> None:
        rows = joined(parts)
        self._columns: dict[str, NDArray[Any]] = {name: getattr(rows, name) for name in _COLUMNS}
        self._columns |= rows.numbers
        self._columns["non_finite"] = rows.non_finite
        self._columns["optimizer"] = np.array([lane.optimizer for lane in lanes])[rows.lane]
        self._columns["seed"] = np.array([lane.seed for lane in lanes])[rows.lane]

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
        """Return the columns as a data frame.

        Raises
        ------
        ImportError
            If pandas is not installed; nothing here needs it.
        """
        from pandas import DataFrame

        return DataFrame(dict(self))
