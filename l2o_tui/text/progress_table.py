"""The progress table: our rows, and the notebook's beside them. The same for the printed table and the screen's."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from math import isnan, nan

from rich.cells import cell_len

from l2o_engine.presets.published import NotebookRow, PublishedRow
from l2o_engine.presets.schema import Preset
from l2o_engine.records.events import Progress
from l2o_engine.support.wording import shown
from l2o_engine.training.trainer import Lane
from l2o_tui.text.names import right
from l2o_tui.text.numbers import fixed, scientific

_NONE_YET = "–"


@dataclass(frozen=True)
class Column:
    """A column: its heading and its width; numbers are aligned to the right."""

    heading: str
    width: int


class ProgressTable:
    """Which columns a run's table has, and its rows' cells.

    The average over all steps, ``av_sum``, is a column where the objective is made of all losses' logarithms, or where
    the notebook printed it (``to_date``: its average goes back to the start, ours to the row before). The headings
    beside it are short then, so that the table is no wider than 80 characters; only an adapting number beside the
    notebook's, or the seeds of replicates, make it wider.

    Parameters
    ----------
    preset
        The run's preset, which carries the notebook's rows, or our own reference's averages.
    lanes
        The run's series; more than one seed or optimizer gets a column that tells them apart.
    after
        Leave out the notebook's rows up to this iteration: a table that goes on where another one stopped.
    """

    def __init__(self, preset: Preset, lanes: Sequence[Lane], *, after: int = -1) -> None:
        self._by_optimizer = preset.kind == "baselines"
        self._by_seed = len({lane.seed for lane in lanes}) > 1
        self._numbers = tuple(preset.inputs.numbers) if preset.learns and preset.inputs.adapts else ()
        published = preset.published_rows
        printed = [row for row in published if isinstance(row, NotebookRow)]
        self._published_sum = any(row.average_sum_log_result is not None for row in printed)
        self._published_min_log = "min_log" in self._numbers and any(row.min_log is not None for row in printed)
        self._has_sum = self._published_sum or preset.objective.kind == "sum_log"
        self._pending = [row for row in published if row.it > after]
        self.has_notebook = bool(published)
        self.whose = "the notebook's rows" if printed else "our own reference"
        self.columns = [Column("it", max(6, len(str(preset.run.iterations))))]
        if self._by_optimizer:
            self.columns.append(Column("optimizer", max(9, *(cell_len(shown(lane.optimizer)) for lane in lanes))))
        if self._by_seed:
            self.columns.append(Column("seed", 4))
        self.columns.append(Column("sum_error", 9))
        if self._has_sum:
            self.columns += [Column("optim_res", 9), Column("av_log", 6), Column("av_sum", 6)]
        elif self._numbers and self.has_notebook and not printed:  # all of it would not fit into 80 columns
            self.columns += [Column("optim_res", 9), Column("average_log_result", 18)]
        else:
            self.columns += [Column("optim_result", 12), Column("average_log_result", 18)]
        self.columns += [Column(name, max(7, len(name))) for name in self._numbers]
        self.columns.append(Column("non_finite", 10))
        self.notebook_columns: list[Column] = []
        if self.has_notebook:
            average = Column("av_log", 6) if self._has_sum else Column("average", 7)
            self.notebook_columns += [Column("notebook", 8), average] if printed else [Column("reference", 9)]
        if self._published_sum:
            self.notebook_columns.append(Column("to_date", 7))  # av_sum, but since the start: no match for ours
        if self._published_min_log:
            self.notebook_columns.append(Column("min_log", 7))

    def rows(self, progress: Progress) -> Iterator[tuple[list[str], list[str]]]:
        """Yield our cells and the notebook's for a new row, after the notebook's rows that lie before it.

        Rows must come in order; each of the notebook's is given once.
        """
        while self._pending and self._pending[0].it < progress.iteration:
            row = self._pending.pop(0)
            yield [str(row.it), *[""] * (len(self.columns) - 1)], self._published_cells(row)
        matches = self._pending and self._pending[0].it == progress.iteration
        published = self._published_cells(self._pending.pop(0)) if matches else [""] * len(self.notebook_columns)
        cells = [str(progress.iteration)]
        cells += [progress.lane.optimizer] if self._by_optimizer else []
        cells += [str(progress.lane.seed)] if self._by_seed else []
        results = [
            fixed(progress.sum_error) if abs(progress.sum_error) < 1e6 else scientific(progress.sum_error),
            scientific(progress.optim_result),
            fixed(progress.average_log_result),
        ]
        results += [fixed(progress.average_sum_log_result)] if self._has_sum else []
        is_none_yet = isnan(progress.optim_result) and not progress.non_finite  # no episode has ended
        cells += [_NONE_YET] * len(results) if is_none_yet else results
        cells += [fixed(progress.numbers.get(name, nan)) for name in self._numbers]
        yield [*cells, str(progress.non_finite)], published

    def _published_cells(self, row: PublishedRow) -> list[str]:
        if not isinstance(row, NotebookRow):
            return [fixed(row.average_log_result)]
        cells = [scientific(row.optim_result), fixed(row.average_log_result)]
        cells += [fixed(row.average_sum_log_result)] if self._published_sum else []
        cells += [fixed(row.min_log)] if self._published_min_log else []
        return cells

    def heading(self) -> str:
        """Return the printed table's first line."""
        line = " ".join(right(column.heading, column.width) for column in self.columns)
        published = " ".join(right(column.heading, column.width) for column in self.notebook_columns)
        return f"{line} │ {published}" if self.has_notebook else line

    def lines(self, progress: Progress) -> Iterator[str]:
        """Yield the printed table's next lines."""
        for ours, published in self.rows(progress):
            line = _align(ours, self.columns)
            yield f"{line} │ {_align(published, self.notebook_columns)}".rstrip() if self.has_notebook else line


def _align(cells: Sequence[str], columns: Sequence[Column]) -> str:
    return " ".join(right(cell, column.width) for cell, column in zip(cells, columns, strict=True))
