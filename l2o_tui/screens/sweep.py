"""The dialog before a study is begun: what is varied, over how many seeds, for how long."""

import re
import shlex
from math import floor, log10, prod
from pathlib import Path
from typing import ClassVar

from pydantic import ValidationError
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.events import Resize
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Label

from l2o_engine.presets.files import load
from l2o_engine.presets.labels import short_number
from l2o_engine.presets.messages import rule_of
from l2o_engine.studies.sweep import Over, StudySettings, parse_over, study_of
from l2o_tui.panes.plain import PlainText
from l2o_tui.state.studies import begin_study, of_its_own
from l2o_tui.state.workers import in_background, message_of
from l2o_tui.text.numbers import count, counted_as, whole_number

_LOW = 28  # lines of a terminal, below which the dialog would not fit
_SEEDS = 4  # with fewer a median says little
_LABELS = {
    "over": "vary",
    "and-over": "and vary",
    "seeds": "seeds",
    "iterations": "meta-iterations",
    "settings": "settings of all",
    "name": "name",
}
_OPTION = re.compile(r"--(?:set|over) |--(?=[a-z])")  # of the command line, which messages speak of


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
        self._left = ""  # the field that had the focus when it was begun

    def compose(self) -> ComposeResult:
        """Lay out the fields, with a proposal."""
        proposal = f"meta.learning_rate={','.join(map(short_number, _around(self._preset.meta.learning_rate)))}"
        fields = {
            "over": (proposal, "table.key=a,b,c"),
            "and-over": ("", "such as network.hidden=10,20"),
            "seeds": (str(_SEEDS), ""),
            "iterations": (str(self._preset.run.iterations), ""),
            "settings": ("", "such as meta.epsilon=1e-12"),
            "name": ("", "if empty, made of what is varied"),
        }
        with Vertical(classes="dialog"):
            yield PlainText(f"Sweep {self._preset.name}", classes="dialog-title")
            yield PlainText(
                "Every combination of the values is trained with each seed, on all cores, in the background."
            )
            for name, (value, placeholder) in fields.items():
                with Horizontal(classes="field"):
                    yield Label(Content(_LABELS[name]))
                    yield Input(value, placeholder=placeholder, id=name, compact=True)
            yield PlainText(id="start-error")
            with Horizontal(classes="dialog-buttons"):
                yield Button("Start (enter)", id="start", variant="primary")
                yield Button("Back (esc)", id="back")

    def on_resize(self, event: Resize) -> None:
        """Leave no room between the fields where there is none."""
        self.set_class(event.size.height < _LOW, "low")

    def on_mount(self) -> None:
        """Say how much is proposed."""
        self._tell_size()

    @on(Input.Changed)
    def _tell_size(self) -> None:
        """Say how many runs it will be, as long as all of it can be read; what is wrong is told when it is started."""
        try:
            settings = prod(len(over.values) for over in self._overs())
            seeds, iterations = self._number("seeds"), self._number("iterations")
        except ValueError:
            self._tell("")
            return
        counted = f"{counted_as(settings, 'setting')} × {counted_as(seeds, 'seed')}"
        runs = f"{counted_as(settings * seeds, 'run')} of {count(iterations)} meta-iterations"
        self._tell(Content.styled(f"{counted}: {runs}", "$text-muted"))

    async def action_dismiss(self, result: Path | None = None) -> None:
        """Go back; a study that is being begun is begun nonetheless."""
        if self._is_beginning:
            self.app.notify("the study begins nonetheless: its line will be among the runs")
        await super().action_dismiss(result)

    def on_input_submitted(self) -> None:
        """Begin, if all is well."""
        self._begin()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Begin, or go back."""
        if event.button.id == "start":
            self._begin()
        else:
            self.call_later(self.action_dismiss)

    def _begin(self) -> None:
        if self._is_beginning:
            return
        try:
            overs = self._overs()
            settings = [*shlex.split(self._value("settings")), f"run.iterations={self._number('iterations')}"]
            seeds, name = self._number("seeds"), self._value("name") or None
            asked = StudySettings(set=tuple(settings), seeds=seeds).model_copy(update={"name": name})
            study = study_of(asked, [load(self._path)], overs)
            runs = len(study.variations) * study.seeds
        except ValidationError as error:
            self._tell("\n".join(f"{_LABELS[str(one['loc'][0])]}: {rule_of(one)}" for one in error.errors()))
            return
        except Exception as error:  # noqa: BLE001 (whatever a file or a setting does to what reads it)
            self._tell(_in_fields(str(error) if isinstance(error, ValueError) else message_of(error)))
            return
        self._set_beginning(True)
        self._tell(Content.styled(f"{counted_as(runs, 'run')}: starting …", "$text-muted"))

        def begin() -> Path:
            return begin_study(study if name else of_its_own(study, self._runs_dir), self._runs_dir)

        in_background(self, begin, self.dismiss, failed=self._fail)

    def _overs(self) -> list[Over]:
        """Return what is varied.

        Raises
        ------
        ValueError, SweepError
            If that cannot be read.
        """
        found = []
        for name in ("over", "and-over"):
            if not (text := self._value(name)):
                continue
            if "=" not in text:
                raise ValueError(f"{_LABELS[name]}: write it as table.key=a,b,c")
            over = parse_over(text)
            if over.range is not None:
                raise ValueError(f"{_LABELS[name]}: list the values; points of a range draws l2o-tui sweep --latin N")
            found.append(over)
        return found

    def _fail(self, said: str) -> None:
        self._set_beginning(False)
        self._tell(_in_fields(said))

    def _set_beginning(self, is_beginning: bool) -> None:
        """Take no keys into the fields while it is begun: what it is of has been read."""
        if is_beginning and self.focused is not None:
            self._left = self.focused.id or ""
        self._is_beginning = is_beginning
        for field in self.query(Input):
            field.disabled = is_beginning
        if not is_beginning and self._left:
            self.query_one(f"#{self._left}").focus()

    def _value(self, name: str) -> str:
        return self.query_one(f"#{name}", Input).value.strip()

    def _number(self, name: str) -> int:
        try:
            return whole_number(self._value(name))
        except ValueError as error:
            raise ValueError(f"{_LABELS[name]}: {error}") from None

    def _tell(self, said: str | Content) -> None:
        self.query_one("#start-error", PlainText).update(said)


def _in_fields(said: str) -> str:
    """Return a message without the options of a command line that it speaks of: here they are fields."""
    return _OPTION.sub("", said)


def _around(value: float) -> list[float]:
    """Return a value between the nearest of 1, 3, 10, 30, … that are at least a factor of two away."""
    decade = floor(log10(value))
    steps = [float(f"{digit}e{decade + power}") for power in (-1, 0, 1) for digit in (1, 3)]
    return [max(step for step in steps if step <= value / 2), value, min(step for step in steps if step >= value * 2)]
