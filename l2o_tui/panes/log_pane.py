"""The event log: what happened when, in meta-iterations."""

from collections import deque
from collections.abc import Iterable

from rich.text import Text
from textual.events import Resize
from textual.widgets import RichLog

from l2o_tui.panes.pane import Pane
from l2o_tui.state.feed import LOG_KEPT, Feed, LogLine, View
from l2o_tui.text.names import wrapped
from l2o_tui.text.numbers import count

_MARKS = {"finding": "⚠", "checkpoint": "▪", "status": "●", "notice": "i"}
_STYLES = {"finding": "bold", "checkpoint": "dim"}
_NUMBER = 9  # cells of a meta-iteration
_INDENT = _NUMBER + 3


class LogPane(RichLog, Pane):
    """A line an event; the newest stays in view unless the user has scrolled up."""

    def __init__(self, feed: Feed, *, id: str) -> None:  # noqa: A002 (textual's name)
        super().__init__(id=id, wrap=True, max_lines=LOG_KEPT)
        self.border_title = "events"
        self._feed = feed
        self._read = 0  # lines of the feed's, as ``log_seen`` counts them
        self._kept: deque[LogLine] = deque(maxlen=LOG_KEPT)
        self._width = 0  # that the lines are wrapped to; 0 while there is none

    def show_view(self, view: View) -> None:
        """Append the lines that are new."""
        new = self._feed.log_between(self._read, view.log_seen)
        self._read = view.log_seen
        self._kept += new
        if self._width and new:
            self._append(new)

    def on_resize(self, event: Resize) -> None:
        """Wrap the lines anew where the width has changed; textual calls RichLog's own handler as well."""
        width = self.scrollable_content_region.width
        if width != self._width:
            self._width = width
            self.clear()
            if self._kept:
                with self.drawing():
                    self._append(self._kept)

    def _append(self, lines: Iterable[LogLine]) -> None:
        # In one piece: a thousand take half a second, and every change of the terminal's width writes them all.
        text = Text("\n").join([self._wrapped(line) for line in lines])
        self.write(text, width=self._width, scroll_end=self.is_vertical_scroll_end)

    def _wrapped(self, line: LogLine) -> Text:
        """Return the line's text, which stays under itself where it needs several rows."""
        at = count(line.iteration) if line.iteration >= 0 else ""
        what = f"checkpoint {line.text}" if line.kind == "checkpoint" else line.text
        rows = wrapped(what, max(self._width - _INDENT, 1)) or [""]
        said = f"\n{' ' * _INDENT}".join(rows)
        return Text(f"{at:>{_NUMBER}} {_MARKS[line.kind]} {said}", style=_STYLES.get(line.kind, ""))
