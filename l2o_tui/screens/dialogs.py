"""The small screens that ask or tell something."""

from collections.abc import Sequence
from typing import ClassVar

from rich.table import Column, Table
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Label, Static

from l2o_engine.presets.schema import MOST_ITERATIONS
from l2o_tui.panes.plain import PlainText
from l2o_tui.state.keys import Key, help_lines
from l2o_tui.text.numbers import count, whole_number


class LeaveDialog(ModalScreen[str]):
    """Asks, while training, what becomes of the run: "quit", "detach" or "stay"."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,y,ctrl+c", "dismiss('quit')", "checkpoint and quit", priority=True),
        Binding("d", "dismiss('detach')", "detach", priority=True),
        Binding("escape,n", "dismiss('stay')", "stay", priority=True),
        Binding("left,up", "app.focus_previous", show=False),
        Binding("right,down", "app.focus_next", show=False),
    ]

    def __init__(self, title: str = "The run is not finished.") -> None:
        super().__init__()
        self._title = title

    def compose(self) -> ComposeResult:
        """Lay out the question."""
        with Vertical(classes="dialog"):
            yield Label(self._title, classes="dialog-title")
            yield Label(
                "A checkpoint is saved before leaving. Quit, and l2o-tui resume goes on from it; detach, and "
                "training goes on in the background, where l2o-tui attach finds it."
            )
            with Horizontal(classes="dialog-buttons"):
                yield Button("Quit (q)", id="quit", variant="primary")
                yield Button("Detach (d)", id="detach")
                yield Button("Stay (esc)", id="stay")

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Answer."""
        self.dismiss(event.button.id)


class ConfirmDialog(ModalScreen[bool]):
    """Asks whether to do something that cannot be undone."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "dismiss(True)", "yes", priority=True),
        Binding("escape,n,q,ctrl+c", "dismiss(False)", "no", priority=True),
        Binding("left,right,up,down", "app.focus_next", show=False),
    ]

    def __init__(self, question: str, consequence: str, verb: str) -> None:
        super().__init__()
        self._question, self._consequence, self._verb = question, consequence, verb

    def compose(self) -> ComposeResult:
        """Lay out the question; what has the focus is no."""
        with Vertical(classes="dialog"):
            yield PlainText(self._question, classes="dialog-title")
            yield PlainText(self._consequence)
            with Horizontal(classes="dialog-buttons"):
                yield Button("No (esc)", id="no")
                yield Button(Content(f"{self._verb} (y)"), id="yes", variant="error")

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Answer."""
        self.dismiss(event.button.id == "yes")


class ExtendDialog(ModalScreen[int | None]):
    """Asks for a new total of meta-iterations."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,ctrl+c", "dismiss(None)", "stay", priority=True)]

    def __init__(self, iteration: int, proposal: int) -> None:
        super().__init__()
        self._iteration = iteration
        self._proposal = proposal

    def compose(self) -> ComposeResult:
        """Lay out the question."""
        with Vertical(classes="dialog"):
            yield Label("Continue to how many meta-iterations in all?", classes="dialog-title")
            yield PlainText(f"The run is at {count(max(self._iteration, 0))}. Enter to continue, esc to leave it.")
            yield Input(str(self._proposal), id="total")
            yield PlainText(id="total-error")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Answer, if the number will do."""
        least = max(self._iteration, 0) + 1
        try:
            total = whole_number(event.value)
        except ValueError:
            total = 0
        if not least <= total <= MOST_ITERATIONS:
            self.query_one("#total-error", PlainText).update(f"It must be a whole number from {count(least)} on.")
            return
        self.dismiss(total)


class HelpScreen(ModalScreen[None]):
    """The keys, and how to read the screen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,f1,enter,ctrl+c", "dismiss(None)", "close", priority=True)
    ]

    def __init__(self, now: Sequence[Key], later: Sequence[Key], reading: Content) -> None:
        super().__init__()
        self._now, self._later = now, later
        self._reading = reading

    def compose(self) -> ComposeResult:
        """Lay out the help: first the keys that apply now, then those that will."""
        with VerticalScroll(classes="dialog help"):
            yield Static("Keys", classes="dialog-title")
            yield PlainText(_as_table(help_lines(self._now)))
            if self._later:
                yield Static("\nNot now", classes="dialog-title")
                yield PlainText(_as_table(help_lines(self._later, with_palette=False)), classes="later")
            if self._reading:
                yield Static("\nHow to read the screen", classes="dialog-title")
                yield PlainText(self._reading)
            yield Static("\n[$text-muted]esc closes this[/]")


def _as_table(lines: Sequence[tuple[str, str]]) -> Table:
    """Return a table in which a text that needs two lines stays under itself."""
    table = Table.grid(Column(no_wrap=True, style="bold"), Column(), padding=(0, 2, 0, 0))
    for names, text in lines:
        table.add_row(names, text)
    return table


class FailureScreen(ModalScreen[None]):
    """Says that training failed, and where the last checkpoint is; or that a watched run is gone."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,enter,ctrl+c", "dismiss(None)", "close", priority=True)]

    def __init__(self, title: str, message: str) -> None:
        super().__init__()
        self._title = title
        self._message = message

    def compose(self) -> ComposeResult:
        """Lay out the message."""
        with Vertical(classes="dialog"):
            yield PlainText(self._title, classes="dialog-title")
            yield PlainText(self._message)
            yield Static("\n[$text-muted]esc closes this; q then leaves[/]")
