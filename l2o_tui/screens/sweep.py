"""The dialog before a study is begun: what is varied, over how many seeds, for how long."""

import shlex
from math import floor, log10
from pathlib import Path
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.events import Resize
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Label

from l2o_engine.presets.files import load
from l2o_engine.presets.labels import short_number
from l2o_engine.studies.sweep import StudySettings, parse_over, study_of
from l2o_tui.panes.plain import PlainText
from l2o_tui.state.studies import begin_study
from l2o_tui.state.workers import in_background, message_of
from l2o_tui.text.numbers import count, whole_number

_LOW = 28  # lines of a terminal, below which the dialog would not fit
_SEEDS = 4  # with fewer a median says little


class SweepDialog(ModalScreen[Path | None]):
    """Begins a study of a preset, in a process of its own, and gives its folder; or None.

    Parameters
    ----------
    path
        The preset's file.
    runs_dir
        Where the study's folder is made.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,ctrl+c", "dismiss(None)", "back", priority=True),
        Binding("up", "app.focus_previous", show=False),
        Binding("down", "app.focus_next", show=False),
    ]

    def __init__(self, path: Path, runs_dir: Path) -> None:
        super().__init__()
        self._path = path
        self._runs_dir = runs_dir
        self._preset = load(path)
        self._is_beginning = False

    def compose(self) -> ComposeResult:
        """Lay out the fields, with a proposal."""
        proposal = f"meta.learning_rate={','.join(map(short_number, _around(self._preset.meta.learning_rate)))}"
        fields = {
            "over": ("vary", proposal, "table.key=a,b,c"),
            "and-over": ("and vary", "", "network.hidden=10,20"),
            "seeds": ("seeds", str(_SEEDS), ""),
            "iterations": ("meta-iterations", str(self._preset.run.iterations), ""),
            "settings": ("settings of all", "", "meta.epsilon=1e-12"),
        }
        with Vertical(classes="dialog"):
            yield PlainText(f"Sweep {self._preset.name}", classes="dialog-title")
            yield PlainText(
                "Every combination of the values is trained with each seed, on all cores, in the background."
            )
            for name, (label, value, placeholder) in fields.items():
                with Horizontal(classes="field"):
                    yield Label(Content(label))
                    yield Input(value, placeholder=placeholder, id=name, compact=True)
            yield PlainText(id="start-error")
            with Horizontal(classes="dialog-buttons"):
                yield Button("Start (enter)", id="start", variant="primary")
                yield Button("Back (esc)", id="back")

    def on_resize(self, event: Resize) -> None:
        """Leave no room between the fields where there is none."""
        self.set_class(event.size.height < _LOW, "low")

    def on_input_submitted(self) -> None:
        """Begin, if all is well."""
        self._begin()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Begin, or go back."""
        if event.button.id == "start":
            self._begin()
        else:
            self.dismiss(None)

    def _begin(self) -> None:
        if self._is_beginning:
            return
        try:
            overs = [parse_over(text) for text in map(self._value, ("over", "and-over")) if text]
            settings = [*shlex.split(self._value("settings")), f"run.iterations={self._number('iterations')}"]
            asked = StudySettings(set=tuple(settings), seeds=self._number("seeds"))
            study = study_of(asked, [load(self._path)], overs)
            runs = len(study.variations) * study.seeds
        except Exception as error:  # noqa: BLE001 (whatever a file or a setting does to what reads it)
            said = str(error) if isinstance(error, ValueError) else message_of(error)
            self._tell("\n".join(line.removeprefix("--set ").removeprefix("--") for line in said.splitlines()))
            return
        self._is_beginning = True
        self._tell(f"{count(runs)} runs: starting …")
        in_background(self, lambda: begin_study(study, self._runs_dir), self.dismiss, failed=self._fail)

    def _fail(self, said: str) -> None:
        self._is_beginning = False
        self._tell(said)

    def _value(self, name: str) -> str:
        return self.query_one(f"#{name}", Input).value.strip()

    def _number(self, name: str) -> int:
        try:
            return whole_number(self._value(name))
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None

    def _tell(self, said: str) -> None:
        self.query_one("#start-error", PlainText).update(said)


def _around(value: float) -> list[float]:
    """Return a value between the nearest of 1, 3, 10, 30, … that are at least a factor of two away."""
    decade = floor(log10(value))
    steps = [float(f"{digit}e{decade + power}") for power in (-1, 0, 1) for digit in (1, 3)]
    return [max(step for step in steps if step <= value / 2), value, min(step for step in steps if step >= value * 2)]
