"""Texts that anybody may have written, on the screen: shown as they are, without meaning anything."""

from textual.visual import VisualType
from textual.widgets import Static

from l2o_engine.support.wording import shown_lines

_MOST_LINES = 1000


class PlainText(Static):
    """A text of one line or several. Brackets are brackets, and what a terminal would obey is an escape.

    Whatever is not written in this program goes through this; textual's own Static and Label take markup, and are for
    texts that stand in the code.
    """

    def __init__(self, text: VisualType = "", *, id: str | None = None, classes: str | None = None) -> None:  # noqa: A002 (textual's name)
        super().__init__(_as_shown(text), markup=False, id=id, classes=classes)

    def update(self, content: VisualType = "", *, layout: bool = True) -> None:
        """Show another text."""
        super().update(_as_shown(content), layout=layout)


def _as_shown(content: VisualType) -> VisualType:
    return shown_lines(content, most_lines=_MOST_LINES) if isinstance(content, str) else content
