"""The event log: what happened when, in meta-iterations."""

from collections.abc import Iterable

from rich.text import Text
from textual.widgets import RichLog

from l2o_tui.feed import LOG_KEPT, LogLine
from l2o_tui.figures import count

_MARKS = {"finding": "⚠", "checkpoint": "▪", "status": "●", "notice": "i"}
_STYLES = {"finding": "bold", "checkpoint": "dim"}


class LogPane(RichLog):
    """A line an event; the newest stays in view unless the user has scrolled up."""

    def __init__(self, *, id: str) -> None:  # noqa: A002 (textual's name)
        super().__init__(id=id, wrap=True, max_lines=LOG_KEPT, min_width=20)
        self.border_title = "events"

    def add(self, lines: Iterable[LogLine]) -> None:
        """Append lines."""
        for line in lines:
            at = count(line.iteration) if line.iteration >= 0 else ""
            what = f"checkpoint {line.text}" if line.kind == "checkpoint" else line.text
            text = Text(f"{at:>9} {_MARKS[line.kind]} {what}", style=_STYLES.get(line.kind, ""))
            self.write(text, scroll_end=self.is_vertical_scroll_end)
