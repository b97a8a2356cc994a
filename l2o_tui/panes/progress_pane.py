"""The progress table on the screen: our rows, and the notebook's beside them."""

from rich.text import Text
from textual.widgets import DataTable

from l2o_engine.presets.schema import Preset
from l2o_engine.records.events import Progress
from l2o_engine.training.trainer import Lane
from l2o_tui.state.feed import PROGRESS_KEPT
from l2o_tui.text.progress_table import ProgressTable


class ProgressPane(DataTable[Text]):
    """Rows as they are reported; the newest stays in view unless the user has scrolled up."""

    def __init__(self, preset: Preset, *, id: str) -> None:  # noqa: A002 (textual's name)
        super().__init__(id=id, cursor_type="none", cell_padding=0)
        self._preset = preset
        self._table: ProgressTable | None = None
        self._lanes: tuple[Lane, ...] = ()
        self._follows = True
        self.border_title = "progress"

    def start(self, lanes: tuple[Lane, ...]) -> None:
        """Make the columns for a run's lanes; once."""
        if self._table:
            return
        self._lanes = lanes
        self._table = ProgressTable(self._preset, lanes)
        # A column is a space and its text: the notebook's seven fit into 80 characters so.
        for column in self._table.columns:
            self.add_column(Text(column.heading, justify="right"), width=column.width + 1)
        for column in self._table.notebook_columns:
            self.add_column(Text(column.heading, justify="right", style="italic"), width=column.width + 1)
        self.border_subtitle = "the notebook's rows in italics" if self._table.has_notebook else ""

    def restart(self) -> None:
        """Begin anew: the run is told once more from its beginning."""
        if self._table:
            self.clear()
            self._follows = True  # it was not the user who scrolled up
            self._table = ProgressTable(self._preset, self._lanes)

    def add(self, rows: list[Progress]) -> None:
        """Append new rows."""
        if not self._table:
            return
        for progress in rows:
            for ours, published in self._table.rows(progress):
                cells = [Text(cell, justify="right") for cell in ours]
                self.add_row(*cells, *(Text(cell, justify="right", style="italic") for cell in published))
        while self.row_count > PROGRESS_KEPT:
            self.remove_row(next(iter(self.rows)))

    def _follow(self) -> None:
        if self._follows:
            self.call_after_refresh(self.scroll_end, animate=False)

    def catch_up(self) -> None:
        """Go to the newest row, if it is to be in view and is not: a scroll before the layout is known is dropped."""
        if self._follows and self.scroll_y < self.max_scroll_y:
            self.scroll_end(animate=False, force=True, immediate=True)

    def watch_virtual_size(self) -> None:
        """Follow once new rows count, which textual finds in an idle moment after they were added."""
        self._follow()

    def on_show(self) -> None:
        """Catch up with what came while the pane was hidden."""
        self._follow()

    def on_resize(self) -> None:
        """Keep the newest row in view."""
        self._follow()

    def watch_scroll_y(self, old: float, new: float) -> None:
        """Follow the newest row unless the user has scrolled up."""
        super().watch_scroll_y(old, new)
        if new >= self.max_scroll_y:
            self._follows = True
        elif new < old <= self.max_scroll_y:  # and not because there are fewer rows, or more room
            self._follows = False
