"""The dialog that writes a run's metrics in another tool's format."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, cast

from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Label, RadioButton, RadioSet

from l2o_engine.runs.export import FileFormat, export_file, export_optimizer, export_tensorboard
from l2o_engine.runs.folder import Run
from l2o_engine.support.wording import shown
from l2o_tui.panes.plain import PlainText
from l2o_tui.state.workers import in_background

_FORMATS = {
    "csv": ".csv",
    "commas": ".csv",
    "json": ".json",
    "parquet": ".parquet",
    "tensorboard": "-tensorboard",
    "optimizer": ".safetensors",
}
_SHORT = {
    "csv": "CSV",
    "commas": "CSV",
    "json": "JSON",
    "parquet": "Parquet",
    "tensorboard": "events",
    "optimizer": "optimizer",
}
_NAMES = {
    "csv": "CSV",
    "commas": "CSV with decimal commas, for spreadsheets",
    "json": "JSON",
    "parquet": "Parquet",
    "tensorboard": "TensorBoard event files",
    "optimizer": "The trained optimizer, a file to use elsewhere",
}


class _Choice(RadioButton):
    """A radio button whose state is told by its mark, for textual's differ by colour alone."""

    def render(self) -> Content:
        """Return mark and label."""
        self.BUTTON_INNER = "●" if self.value else "○"
        return super().render()


class ExportDialog(ModalScreen[None]):
    """Asks for format and place, and exports.

    Parameters
    ----------
    run
        The run.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,ctrl+c", "back", "back", priority=True),
        Binding("up", "app.focus_previous", show=False),
        Binding("down", "app.focus_next", show=False),
    ]

    def __init__(self, run: Run) -> None:
        super().__init__()
        self._run = run
        self._format = "csv"
        self._is_writing = False

    def compose(self) -> ComposeResult:
        """Lay out the choices."""
        with Vertical(classes="dialog"):
            yield PlainText(f"Export {self._run.name}", classes="dialog-title")
            with RadioSet(id="formats", compact=True):
                for name, label in _NAMES.items():
                    yield _Choice(Content(label), value=name == self._format, id=name)
            with Horizontal(classes="field"):
                yield Label("to")
                yield Input(self._proposal, id="output", compact=True)
            yield PlainText(id="export-error")
            with Horizontal(classes="dialog-buttons"):
                yield Button("Export CSV (enter)", id="export", variant="primary")
                yield Button("Back (esc)", id="back")

    def on_mount(self) -> None:
        """Begin at the place: enter then exports."""
        self.query_one("#output").focus()

    @property
    def _proposal(self) -> str:
        suffix, stem = _FORMATS[self._format], shown(self._run.name)
        names = (f"{stem}{number}{suffix}" for number in ("", *(f"-{k}" for k in range(2, 1000))))
        return next((name for name in names if not Path(name).exists()), f"{stem}{suffix}")

    def on_radio_set_changed(self, event: RadioSet.Changed) -> None:
        """Propose a name that fits the format, unless the user has chosen one."""
        output = self.query_one("#output", Input)
        is_proposed = output.value == self._proposal
        self._format = event.pressed.id or "csv"
        self.query_one("#export", Button).label = Content(f"Export {_SHORT[self._format]} (enter)")
        if is_proposed:
            output.value = self._proposal

    def on_input_submitted(self) -> None:
        """Export."""
        self._export()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Export, or go back."""
        if event.button.id == "export":
            self._export()
        else:
            self.action_back()

    def action_back(self) -> None:
        """Go back; what is being written is written."""
        if self._is_writing:
            self.app.notify(f"the export of {self._run.name} goes on, and says when it is done")
        self.dismiss(None)

    def _export(self) -> None:
        output = Path(self.query_one("#output", Input).value.strip() or self._proposal).expanduser()
        if self._is_writing:
            return
        self._is_writing = True
        self._say("writing …")
        # Work of the app, which it tells how it went: it may outlive this dialog.
        app, file_format = self.app, self._format
        in_background(
            app,
            lambda: self._write(output, file_format),
            lambda damage: self._done(app, output, damage),
            failed=lambda why: self._failed(app, why),
        )

    def _write(self, output: Path, file_format: str) -> list[str]:
        """Export, and return what is known to be damaged of the run: in a thread, for a long run takes seconds."""
        if file_format == "tensorboard":
            export_tensorboard(self._run, output)
        elif file_format == "optimizer":
            _, why_not = export_optimizer(self._run, output)
            return [f"it does not say which losses it meets: {why_not}"] if why_not else []
        else:
            kind = cast("FileFormat", "csv" if file_format == "commas" else file_format)
            export_file(self._run, kind, output, decimal="," if file_format == "commas" else ".")
        return self._run.damage()

    def _say(self, text: str) -> None:
        self.query_one("#export-error", PlainText).update(text)

    def _failed(self, app: App[Any], message: str) -> None:
        # On the command line one would give an option; here one gives another name.
        why = message.replace("--force replaces it", "choose another name")
        self._is_writing = False
        if self in app.screen_stack:
            self._say(why)
        else:
            app.notify(why, severity="error")

    def _done(self, app: App[Any], output: Path, damage: Sequence[str]) -> None:
        # In one notice, for the next one would take its place.
        told = [f"exported to {output.resolve()}", *(f"{self._run.name}: {note}" for note in damage)]
        app.notify("\n".join(told), severity="warning" if damage else "information")
        self._is_writing = False
        if app.screen is self:
            self.dismiss(None)
