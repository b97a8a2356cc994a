"""The event log: what happened when, in meta-iterations."""

from collections import deque
from collections.abc import Iterable

from rich.table import Column, Table
from rich.text import Text
from textual.events import Resize
from textual.widgets import RichLog

from l2o_tui.feed import LOG_KEPT, LogLine
from l2o_tui.figures import count

_MARKS = {"finding": "⚠", "checkpoint": "▪", "status": "●", "notice": "i"}
_STYLES = {"finding": "bold", "checkpoint": "dim"}
_NUMBER = 9  # characters of a meta-iteration


class LogPane(RichLog):
    """A line an event; the newest stays in view unless the user has scrolled up."""

    def __init__(self, *, id: str) -> None:  # noqa: A002 (textual's name)
        super().__init__(id=id, wrap=True, max_lines=LOG_KEPT)
        self.border_title = "events"
        self._kept: deque[LogLine] = deque(maxlen=LOG_KEPT)
        self._width = 0  # that the lines are wrapped to; 0 while there is none

    def add(self, lines: Iterable[LogLine]) -> None:
        """Append lines."""
        for line in lines:
            self._kept.append(line)
            if self._width:
                self._append(line)

    def on_resize(self, event: Resize) -> None:
        """Wrap the lines anew where the width has changed; textual calls RichLog's own handler as well."""
        width = self.scrollable_content_region.width
        if width != self._width:
            self._width = width
            self.clear()
            for line in self._kept:
                self._append(line)

    def _append(self, line: LogLine) -> None:
        at = count(line.iteration) if line.iteration >= 0 else ""
        what = f"checkpoint {line.text}" if line.kind == "checkpoint" else line.text
        # A table, so that a text that needs two lines stays under itself.
        row = Table.grid(
            Column(width=_NUMBER, justify="right", no_wrap=True), Column(width=1), Column(ratio=1), padding=(0, 1, 0, 0)
        )
        row.add_row(at, _MARKS[line.kind], Text(what), style=_STYLES.get(line.kind))
        self.write(row, width=self._width, scroll_end=self.is_vertical_scroll_end)
