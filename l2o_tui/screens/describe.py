"""The dialog for what a run is called: its name, its tags and its note."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Label

from l2o_engine.runs.about import About, AboutError
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
        """Lay out the fields; of a note of several lines the lines stand beside one another."""
        fields = {"name": self._about.name, "tags": " ".join(self._about.tags), "note": _in_a_line(self._about.note)}
        with Vertical(classes="dialog"):
            yield PlainText(f"What is {self._run} called?", classes="dialog-title")
            for name, value in fields.items():
                with Horizontal(classes="field"):
                    yield Label(Content(name))
                    yield Input(value, id=f"about-{name}", compact=True)
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
        name, tags, note = (self.query_one(f"#about-{field}", Input).value for field in ("name", "tags", "note"))
        note = self._about.note if note == _in_a_line(self._about.note) else note
        try:
            about = About(name.strip(), note.strip(), tuple(tags.replace(",", " ").split()))
        except AboutError as error:
            self.query_one("#about-error", PlainText).update(str(error))
            return
        self.dismiss(about)


def _in_a_line(note: str) -> str:
    return note.replace("\n", " / ")
