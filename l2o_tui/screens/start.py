"""The dialog before a run is started: its seed, its replicates, its length, any other setting, what it is called."""

import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.events import Resize
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Label

from l2o_engine.live.sizes import admit
from l2o_engine.presets.files import load
from l2o_engine.presets.schema import Preset
from l2o_engine.presets.tables import inline
from l2o_engine.runs.about import NOTHING_SAID, About
from l2o_tui.panes.about_fields import AboutFields
from l2o_tui.panes.plain import PlainText
from l2o_tui.state.workers import in_background, message_of
from l2o_tui.text.numbers import whole_number

_FIELDS = {"seed": "seed", "seeds": "replicates", "iterations": "meta-iterations"}
_LOW = 30  # lines, of which there are too few for space between the fields


@dataclass(frozen=True)
class NewRun:
    """A run that is to be started: the preset as it is to be run, and what people call it."""

    preset: Preset
    about: About = NOTHING_SAID


class StartDialog(ModalScreen[NewRun | None]):
    """Gives the run that is to be started, or None.

    Parameters
    ----------
    path
        The preset's file.
    title, about
        What is said above the fields; that the preset is started, and its title, if not given.
    settings
        What is proposed to be changed, "table.key" → value.
    follows
        Whether the file may be a link, which that of a run may not.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,ctrl+c", "dismiss(None)", "back", priority=True),
        Binding("up", "app.focus_previous", show=False),
        Binding("down", "app.focus_next", show=False),
    ]

    def __init__(
        self,
        path: Path,
        *,
        title: str = "",
        about: str = "",
        settings: Mapping[str, Any] | None = None,
        follows: bool = True,
    ) -> None:
        super().__init__()
        self._path = path
        self._follows = follows
        self._preset = load(path, follows=follows)
        self._title = title or f"Start {self._preset.name}"
        self._about = about or self._preset.title
        self._settings = typed(settings or {})

    def compose(self) -> ComposeResult:
        """Lay out the fields, as the preset has them."""
        run = self._preset.run
        with Vertical(classes="dialog"):
            yield PlainText(self._title, classes="dialog-title")
            yield PlainText(self._about)
            for name, label in _FIELDS.items():
                with Horizontal(classes="field"):
                    yield Label(Content(label))
                    yield Input(str(getattr(run, name)), id=name, compact=True)
            with Horizontal(classes="field"):
                yield Label("settings")
                yield Input(
                    self._settings, placeholder="meta.epsilon=1e-12 network.hidden=32", id="settings", compact=True
                )
            yield AboutFields()
            yield PlainText(id="start-error")
            with Horizontal(classes="dialog-buttons"):
                yield Button("Start (enter)", id="start", variant="primary")
                yield Button("Back (esc)", id="back")

    def on_mount(self) -> None:
        """Begin at the settings, where some are proposed."""
        if self._settings:
            self.query_one("#settings").focus()

    def on_resize(self, event: Resize) -> None:
        """Stand closer where there are few lines."""
        self.set_class(event.size.height < _LOW, "low")

    def on_input_submitted(self) -> None:
        """Start, if all is well."""
        self._start()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Start, or go back."""
        if event.button.id == "start":
            self._start()
        else:
            self.dismiss(None)

    def _start(self) -> None:
        values = {name: self.query_one(f"#{name}", Input).value.strip() for name in _FIELDS}
        try:
            settings = shlex.split(self.query_one("#settings", Input).value)
            numbers = {name: _number(label, values[name]) for name, label in _FIELDS.items() if values[name]}
            wanted = NewRun(
                load(self._path, settings, numbers, follows=self._follows), self.query_one(AboutFields).about
            )
            preset = wanted.preset
            if preset.problem.is_code:
                self._tell("the code of its problem is run …")
                in_background(self, partial(admit, preset), lambda _: self.dismiss(wanted), failed=self._tell)
                return
            admit(preset)
        except Exception as error:  # noqa: BLE001 (whatever a file or a setting does to what reads it)
            said = str(error) if isinstance(error, ValueError) else message_of(error)
            self._tell("\n".join(line.removeprefix("--set ").removeprefix("--") for line in said.splitlines()))
            return
        self.dismiss(wanted)

    def _tell(self, said: str) -> None:
        self.query_one("#start-error", PlainText).update(said)


def typed(settings: Mapping[str, Any]) -> str:
    """Return settings as the dialog's field has them, which is as a shell has those behind ``--set``."""
    values = {key: value if isinstance(value, str) else inline(value) for key, value in settings.items()}
    return shlex.join(f"{key}={value}" for key, value in values.items())


def _number(label: str, text: str) -> str:
    """Return a whole number, as people write it, in digits; say which it is if it is none."""
    try:
        return str(whole_number(text))
    except ValueError as error:
        raise ValueError(f"{label}: {error}") from None
