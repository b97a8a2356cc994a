"""The small screens that ask or tell something."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.validation import Integer
from textual.widgets import Button, Input, Label, Static

from l2o_tui.figures import count
from l2o_tui.keys import KEYS, readable


class LeaveDialog(ModalScreen[bool]):
    """Asks, while training, whether to checkpoint and quit (True) or to stay (False)."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("q,y,ctrl+c", "dismiss(True)", "checkpoint and quit", priority=True),
        Binding("escape,n", "dismiss(False)", "stay", priority=True),
        Binding("left,right,up,down", "app.focus_next", show=False),
    ]

    def compose(self) -> ComposeResult:
        """Lay out the question."""
        with Vertical(classes="dialog"):
            yield Label("The run is not finished.", classes="dialog-title")
            yield Label("A checkpoint is saved before leaving; l2o-tui resume goes on from it.")
            with Horizontal(classes="dialog-buttons"):
                yield Button("Checkpoint and quit (q)", id="quit", variant="primary")
                yield Button("Stay (esc)", id="stay")

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Answer."""
        self.dismiss(event.button.id == "quit")


class ExtendDialog(ModalScreen[int | None]):
    """Asks for a new total of meta-iterations."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "stay", priority=True)]

    def __init__(self, iteration: int, proposal: int) -> None:
        super().__init__()
        self._iteration = iteration
        self._proposal = proposal

    def compose(self) -> ComposeResult:
        """Lay out the question."""
        with Vertical(classes="dialog"):
            yield Label("Continue to how many meta-iterations in all?", classes="dialog-title")
            yield Label(f"The run is at {count(max(self._iteration, 0))}. Enter to continue, esc to leave it.")
            yield Input(
                str(self._proposal),
                type="integer",
                validators=[Integer(minimum=max(self._iteration, 0) + 1, maximum=10**12)],
                id="total",
            )
            yield Label("", id="total-error")

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Answer, if the number will do."""
        if event.validation_result and not event.validation_result.is_valid:
            least = count(max(self._iteration, 0) + 1)
            self.query_one("#total-error", Label).update(f"[$text-error]It must be a whole number from {least} on.[/]")
            return
        self.dismiss(int(event.value))


class HelpScreen(ModalScreen[None]):
    """The keys, and how to read the screen."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,question_mark,f1,enter,ctrl+c", "dismiss(None)", "close", priority=True)
    ]

    READING = (
        "[b]Convergence[/b]  The last loss of each meta-iteration. The faint band holds every raw result; the line is "
        "10 to the mean of log10 over the rolling window. The baselines' levels are labelled lines: below the line of "
        "RMSProp, the network has won.\n"
        "[b]Base losses[/b]  One problem, all optimizers on the same draw, the network as it is now.\n"
        "[b]Progress[/b]  A row a report: the notebook's columns, and its published rows beside ours. "
        "average_log_result is the mean log10 of the last losses since the row before.\n"
        "[b]Health[/b]  What each look at the run measures, and what keeps it from learning, with a remedy: the "
        "meta-gradient's norm and how often it was clipped; the share of Adam's step that its ε swallows; an update's "
        "size against the distance to the optimum, and the distance left after the last; the network's inputs beyond "
        "±1, and gradients too small to be told from those of the other sign."
    )

    def compose(self) -> ComposeResult:
        """Lay out the help."""
        width = max(len(readable(key)) for key in KEYS)
        lines = [f"[b]{readable(key).rjust(width)}[/b]  {key.help}" for key in KEYS]
        lines.append(f"[b]{'ctrl+p'.rjust(width)}[/b]  Everything by name: the palette.")
        with VerticalScroll(classes="dialog help"):
            yield Static("Keys", classes="dialog-title")
            yield Static("\n".join(lines))
            yield Static("\nHow to read the screen", classes="dialog-title")
            yield Static(self.READING)
            yield Static("\n[$text-muted]esc closes this[/]")


class FailureScreen(ModalScreen[None]):
    """Says that training failed, and where the last checkpoint is."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,enter,ctrl+c", "dismiss(None)", "close", priority=True)]

    def __init__(self, message: str) -> None:
        super().__init__()
        self._message = message

    def compose(self) -> ComposeResult:
        """Lay out the message."""
        with Vertical(classes="dialog"):
            yield Label("Training failed", classes="dialog-title")
            yield Static(self._message, markup=False)
            yield Static("\n[$text-muted]esc closes this; q then leaves[/]")
