"""The pane that tells more of what is selected in a list, where the screen has room for it."""

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import VerticalScroll
from textual.content import Content

from l2o_engine.support.wording import shown
from l2o_tui.panes.plain import PlainText
from l2o_tui.text.detail import Kind, Line

_STYLES: dict[Kind, str] = {
    "title": "$text-primary b",
    "plain": "",
    "muted": "$text-muted",
    "heading": "b",
    "warning": "$text-warning",
}
_MOST_LINES = 500


class DetailPane(VerticalScroll, can_focus=False):
    """Lines of several kinds; a long one is wrapped, and what has no room is scrolled to by the mouse."""

    def compose(self) -> ComposeResult:
        """Lay out the text."""
        yield PlainText(id="detail-text")

    def show(self, lines: Sequence[Line]) -> None:
        """Show these lines, from the first one on."""
        told = [Content.styled(shown(line.text), _STYLES[line.kind]) for line in lines[:_MOST_LINES]]
        self.query_one("#detail-text", PlainText).update(Content("\n").join(told))
        self.scroll_home(animate=False)
