"""The progress table on the screen: our rows, and the notebook's beside them."""

from rich.text import Text
from textual.content import Content
from textual.geometry import Size
from textual.widgets import DataTable

from l2o_engine.presets.schema import Preset
from l2o_engine.support.wording import shown
from l2o_tui.panes.pane import Pane
from l2o_tui.state.feed import PROGRESS_KEPT, Feed, View
from l2o_tui.text.progress_table import ProgressTable

_FOLLOW_SECONDS = 0.05  # how soon the newest row comes into view where it has not by itself


class ProgressPane(DataTable[Text], Pane):
    """Rows as they are reported; the newest stays in view unless the user has scrolled up."""

    def __init__(self, preset: Preset, feed: Feed, *, id: str) -> None:  # noqa: A002 (textual's name)
        super().__init__(id=id, cursor_type="none", cell_padding=0)
        self._preset = preset
        self._feed = feed
        self._table: ProgressTable | None = None
        self._start = 0  # which telling of the run the rows are of, as ``starts`` counts them
        self._read = 0  # rows of the feed's, as ``progress_seen`` counts them
        self._follows = True
        self.border_title = "progress"

    def show_view(self, view: View) -> None:
        """Append the rows that are new; begin with none where the run is told anew."""
        if not view.lanes:
            return
        table = self._table
        if table is None or view.starts != self._start:
            table = self._table = self._begin(ProgressTable(self._preset, view.lanes))
            self._start, self._read = view.starts, 0
        for progress in self._feed.progress_between(self._read, view.progress_seen):
            for ours, published in table.rows(progress):
                cells = [Text(shown(cell), justify="right") for cell in ours]
                self.add_row(*cells, *(Text(cell, justify="right", style="italic") for cell in published))
        self._read = view.progress_seen
        while self.row_count > PROGRESS_KEPT:
            self.remove_row(next(iter(self.rows)))

    def _begin(self, table: ProgressTable) -> ProgressTable:
        """Take away the rows there are; make the table's columns, where there are none yet."""
        self.clear()
        self._follows = True  # it was not the user who scrolled up
        if self.columns:
            return table
        # A column is a space and its text: the notebook's seven fit into 80 characters so.
        for column in table.columns:
            self.add_column(Text(column.heading, justify="right"), width=column.width + 1)
        for column in table.notebook_columns:
            self.add_column(Text(column.heading, justify="right", style="italic"), width=column.width + 1)
        self.border_subtitle = Content(f"{table.whose} in italics" if table.has_notebook else "")
        self.refresh(layout=True)  # as wide as its columns, where there is room
        return table

    def get_content_width(self, container: Size, viewport: Size) -> int:
        """Return the width of all columns, and of the scroll bar beside them."""
        return sum(column.width for column in self.ordered_columns) + self.styles.scrollbar_size_vertical

    def _follow(self) -> None:
        if self._follows:
            self.call_after_refresh(self.scroll_end, animate=False)

    def on_mount(self) -> None:
        """See to it that the newest row is in view."""
        self.set_interval(_FOLLOW_SECONDS, self._catch_up)

    def _catch_up(self) -> None:
        """Go to the newest row, if it is to be in view and is not: a scroll before the layout is known is dropped."""
        if self._follows and self.scroll_y < self.max_scroll_y:
            self.scroll_end(animate=False, force=True, immediate=True)

    def watch_virtual_size(self) -> None:
        """Follow once new rows count, which textual finds in an idle moment after they were added."""
        self._follow()

    def on_show(self) -> None:
        """Keep the newest row in view, as it was before the pane was hidden; textual calls Pane's own as well."""
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
