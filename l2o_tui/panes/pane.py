"""What a pane is: it is told the run's state and shows what is new to it."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.segment import Segment
from textual.geometry import Region
from textual.reactive import var
from textual.strip import Strip
from textual.widget import Widget

from l2o_engine.support.wording import shown
from l2o_tui.state.feed import View
from l2o_tui.state.workers import message_of
from l2o_tui.text.names import cut


class Pane(Widget):
    """A part of the training screen.

    The screen has one ``view`` and binds it to each pane's: ``Pane(…).data_bind(TrainingScreen.view)``. What of it is
    drawn already, and what has to be read of the feed for it, is the pane's own business. A pane that is hidden shows
    nothing, and catches up when it comes into view.

    A pane that cannot draw, whatever the reason, shows one line that says so, and tries again with the next view: what
    is wrong with a picture must end neither the others nor the training.

    Beside another widget it is the second base, for textual takes styles and keys from the first.
    """

    view: var[View] = var(View(phase="loading"), init=False)

    _trouble = ""  # why the last view could not be shown

    def show_view(self, view: View) -> None:
        """Show what is new in a view; one that was shown already changes nothing."""
        raise NotImplementedError

    def watch_view(self, view: View) -> None:
        """Show a new view, if it can be seen."""
        if self.display:
            with self.drawing():
                self.show_view(view)

    def on_show(self) -> None:
        """Catch up with what came while the pane was hidden."""
        with self.drawing():
            self.show_view(self.view)

    @contextmanager
    def drawing(self) -> Iterator[None]:
        """Draw; where that fails, the pane says so in place of its content, until it is done once without a fault."""
        before, self._trouble = self._trouble, ""
        try:
            yield
        except Exception as error:  # noqa: BLE001 (what a damaged run makes of a picture is open-ended)
            self._trouble = message_of(error)
        if self._trouble != before:
            self.refresh(layout=True)

    def render_lines(self, crop: Region) -> list[Strip]:
        """Return the lines that textual asks for; of what cannot be drawn, one that says so."""
        trouble = self._trouble
        if not trouble:
            try:
                return super().render_lines(crop)
            except Exception as error:  # noqa: BLE001 (the same)
                trouble = message_of(error)
        width = self.outer_size.width
        said = Strip([Segment(cut(shown(f"cannot be drawn: {trouble}"), width), self.rich_style)])
        blank = Strip.blank(width, self.rich_style)
        lines = [said.adjust_cell_length(width, self.rich_style) if y == 0 else blank for y in crop.line_range]
        return [line.crop(crop.x, crop.right) for line in lines]
