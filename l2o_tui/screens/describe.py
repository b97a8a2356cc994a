"""The dialog for what a run is called: its name, its tags and its note."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import ModalScreen
from textual.widgets import Button

from l2o_engine.runs.about import About, AboutError
from l2o_tui.panes.about_fields import AboutFields
from l2o_tui.panes.plain import PlainText


class DescribeDialog(ModalScreen[About | None]):
    """Gives what the run is to be called, or None.

    Parameters
    ----------
    run
        The name of the run's folder.
    about
        What it is called now.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,ctrl+c", "dismiss(None)", "back", priority=True),
        Binding("up", "app.focus_previous", show=False),
        Binding("down", "app.focus_next", show=False),
    ]

    def __init__(self, run: str, about: About) -> None:
        super().__init__()
        self._run = run
        self._about = about

    def compose(self) -> ComposeResult:
        """Lay out the fields."""
        with Vertical(classes="dialog"):
            yield PlainText(f"What is {self._run} called?", classes="dialog-title")
            yield AboutFields(self._about)
            yield PlainText(id="about-error")
            with Horizontal(classes="dialog-buttons"):
                yield Button("Keep it (enter)", id="keep", variant="primary")
                yield Button("Back (esc)", id="back")

    def on_input_submitted(self) -> None:
        """Answer, if a run can be called so."""
        self._answer()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Answer, or go back."""
        if event.button.id == "keep":
            self._answer()
        else:
            self.dismiss(None)

    def _answer(self) -> None:
        try:
            about = self.query_one(AboutFields).about
        except AboutError as error:
            self.query_one("#about-error", PlainText).update(str(error))
            return
        self.dismiss(about)
