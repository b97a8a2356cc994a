"""What a pane is: it is told the run's state and shows what is new to it."""

from textual.reactive import var
from textual.widget import Widget

from l2o_tui.state.feed import View


class Pane(Widget):
    """A part of the training screen.

    The screen has one ``view`` and binds it to each pane's: ``Pane(…).data_bind(TrainingScreen.view)``. What of it is
    drawn already, and what has to be read of the feed for it, is the pane's own business. A pane that is hidden shows
    nothing, and catches up when it comes into view.

    Beside another widget it is the second base, for textual takes styles and keys from the first.
    """

    view: var[View] = var(View(phase="loading"), init=False)

    def show_view(self, view: View) -> None:
        """Show what is new in a view; one that was shown already changes nothing."""
        raise NotImplementedError

    def watch_view(self, view: View) -> None:
        """Show a new view, if it can be seen."""
        if self.display:
            self.show_view(view)

    def on_show(self) -> None:
        """Catch up with what came while the pane was hidden."""
        self.show_view(self.view)
