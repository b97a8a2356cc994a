"""What is used of textual that textual does not promise to keep: how it updates the screen, and lays out its footer.

Over a thin line every character counts: of a line of the screen that changes in part, only that part is sent.

Textual's own update sends such a line from the left edge of its widget up to the last change, once for every change,
and the colours anew with every piece of a widget, such as a table's cell, be they the same or not.
"""

from typing import Any

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.control import Control
from rich.segment import Segment
from textual._compositor import ChopsUpdate
from textual.app import App, ReturnType
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets._footer import FooterKey


class ThinUpdate(ChopsUpdate):
    """The same update of the screen, but of each line only the spans that changed."""

    def render_segments(self, console: Console) -> str:
        """Return what the terminal is sent."""
        sent = []
        for y, left, right in self.spans:
            # A line is made of chops: parts of it, by where they begin, that belong to one widget.
            for end, (begin, strip) in zip(self.chop_ends[y], self.chops[y].items(), strict=False):
                first, last = max(begin, left), min(end, right)
                if strip is not None and first < last:
                    span = _joined(strip.crop(first - begin, last - begin))
                    sent += [Control.move_to(first, y).segment.text, span.render(console)]
        return "".join(sent)


def _joined(strip: Strip) -> Strip:
    """Return a strip whose neighbours of one look are one piece; what tells them apart is for the mouse alone."""
    looks = [Segment(text, style.clear_meta_and_links() if style else style) for text, style, _ in strip]
    return Strip(looks, strip.cell_length).simplify()


def thinned(update: RenderableType | None) -> RenderableType | None:
    """Return an update of parts of the screen as one that sends no more than them; any other one as it is."""
    return ThinUpdate(update.chops, update.spans, update.chop_ends) if isinstance(update, ChopsUpdate) else update


class ThinApp(App[ReturnType]):
    """An app that sends the terminal no more than what has changed."""

    def _display(self, screen: Screen[Any], renderable: RenderableType | None) -> None:
        super()._display(screen, thinned(renderable))

    def give_terminal_back(self) -> None:
        """Leave the terminal as it was found, from a signal handler: the process ends at once."""
        if self._driver is not None:
            self._driver.stop_application_mode()
            self._driver.close()


def cells_of_key(key: Widget) -> int:
    """Return how many cells a key of textual's footer takes: one lies around the key, and one behind its label."""
    return cell_len(key.key_display) + cell_len(key.description) + 3 if isinstance(key, FooterKey) else 0
