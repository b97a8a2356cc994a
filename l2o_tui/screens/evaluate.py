"""Judging a run's network from the screens: the dialog that asks on what, and the tables of how it did."""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.events import Resize
from textual.screen import ModalScreen
from textual.widgets import Button, Checkbox, Input, Label, Static

from l2o_engine.presets.schema import Preset
from l2o_engine.presets.story import episode_of
from l2o_engine.runs.folder import Run
from l2o_engine.studies.evaluation import (
    EvaluationError,
    Ranking,
    judge,
    matches_on,
    networks_of,
    other_problems,
    own_matches,
    rankings_of,
)
from l2o_tui.panes.plain import PlainText
from l2o_tui.state.workers import in_background
from l2o_tui.text.evaluation import LEGEND, notes_on, ranking_lines
from l2o_tui.text.names import cut, wrapped
from l2o_tui.text.numbers import count, whole_number

DRAWS = 1000
"""Held-out draws, unless the user asks for more: they take moments."""
_MOST_DRAWS = 1_000_000
_SEED = 0
_LOOK_SECONDS = 0.25
_MARGINS = 3  # columns beside the tables: their padding, and the scroll bar
_LOW = 30  # lines of a terminal, below which the dialog would not fit
_LONGEST = 49  # cells of a line of the list


_MOVES = (Binding("up", "app.focus_previous", show=False), Binding("down", "app.focus_next", show=False))


class _Choice(Checkbox, inherit_bindings=False):
    """A check box whose state is told by its mark, for textual's differ by colour alone; enter is the dialog's."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space", "toggle_button", show=False),
        *_MOVES,  # or else the list around it would scroll, and the focus stay
    ]

    def render(self) -> Content:
        """Return mark and label."""
        self.BUTTON_INNER = "✔" if self.value else " "
        return super().render()


@dataclass(frozen=True)
class Wish:
    """What a network is to be judged on: presets, the run's own problem among them or not, and how."""

    presets: tuple[Preset, ...]
    is_own: bool
    horizons: tuple[int, ...]
    draws: int
    settings: tuple[str, ...]


class EvaluateDialog(ModalScreen[Wish | None]):
    """Asks on which problems the network of a run is to be judged, over how many steps, on how many draws.

    Parameters
    ----------
    name
        The run's.
    preset
        The run's preset.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,ctrl+c", "dismiss(None)", "back", priority=True),
        Binding("enter", "judge", "judge", show=False),
        *_MOVES,
    ]

    def __init__(self, name: str, preset: Preset) -> None:
        super().__init__()
        self._run_name = name
        self._preset = preset
        self._others = other_problems(preset)

    def compose(self) -> ComposeResult:
        """Lay out the problems, its own chosen, and the fields."""
        with Vertical(classes="dialog"):
            yield PlainText(f"Judge {self._run_name}, as it is now, on held-out draws", classes="dialog-title")
            with VerticalScroll(id="problems", can_focus=False):
                yield _Choice(Content(cut(f"its own: {self._preset.name}", _LONGEST)), True, id="own", compact=True)
                for place, other in enumerate(self._others):
                    title = other.title.removeprefix(f"Episode {episode_of(other)}: ")
                    said = cut(f"{other.name}: {title}", _LONGEST)
                    yield _Choice(Content(said), id=f"other-{place}", compact=True)
            for name, label, value in (
                ("steps", "steps", ""),
                ("draws", "draws", str(DRAWS)),
                ("settings", "settings", ""),
            ):
                with Horizontal(classes="field"):
                    yield Label(Content(label))
                    yield Input(value, placeholder=_PLACEHOLDERS.get(name, ""), id=name, compact=True)
            yield PlainText(id="evaluate-error")
            with Horizontal(classes="dialog-buttons"):
                yield Button("Judge (enter)", id="judge", variant="primary")
                yield Button("Back (esc)", id="back")

    def on_mount(self) -> None:
        """Begin at the steps: enter then judges."""
        self.query_one("#steps").focus()

    def on_resize(self, event: Resize) -> None:
        """Stand closer where there are few lines."""
        self.set_class(event.size.height < _LOW, "low")

    def on_input_submitted(self) -> None:
        """Judge, if all is well."""
        self.action_judge()

    def on_button_pressed(self, event: Button.Pressed) -> None:
        """Judge, or go back."""
        if event.button.id == "judge":
            self.action_judge()
        else:
            self.dismiss(None)

    def action_judge(self) -> None:
        """Judge, or say what is wrong with what was asked for."""
        is_own = self.query_one("#own", Checkbox).value
        chosen = [self.query_one(f"#other-{place}", Checkbox).value for place in range(len(self._others))]
        try:
            if not (is_own or any(chosen)):
                raise ValueError("choose a problem, with space")
            values = {name: self.query_one(f"#{name}", Input).value for name in ("steps", "draws", "settings")}
            horizons = tuple(whole_number(part) for part in values["steps"].split(",") if part.strip())
            draws = whole_number(values["draws"])
            if not 1 <= draws <= _MOST_DRAWS:
                raise ValueError(f"draws: from 1 to {count(_MOST_DRAWS)}")
            settings = tuple(shlex.split(values["settings"]))
        except ValueError as error:
            said = self.query_one("#evaluate-error", PlainText)
            said.update(str(error))
            said.scroll_visible()
            return
        presets = tuple(other for other, wanted in zip(self._others, chosen, strict=True) if wanted)
        self.dismiss(Wish(presets, is_own, horizons, draws, settings))


_PLACEHOLDERS = {"steps": "20,100 (each problem's own if empty)", "settings": "problem.dims=10"}


class JudgedScreen(ModalScreen[None]):
    """Judges in a thread, tells how far it is, then shows the tables.

    Parameters
    ----------
    run
        The run.
    wish
        What on.
    """

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,q,enter,ctrl+c", "dismiss(None)", "close", priority=True)]

    def __init__(self, run: Run, wish: Wish) -> None:
        super().__init__()
        self._run = run
        self._wish = wish
        self._share = 0.0
        self._is_over = False
        self._judged: tuple[Sequence[Ranking], Sequence[str]] | None = None

    def compose(self) -> ComposeResult:
        """Lay out the tables."""
        with VerticalScroll(id="judged"):
            yield PlainText("judging …", id="rankings")
            yield Static("\n[$text-muted]esc closes this[/]")

    def on_mount(self) -> None:
        """Begin."""
        in_background(self, self._judge, self._show, failed=self._fail)
        self.set_interval(_LOOK_SECONDS, self._tell)

    def on_unmount(self) -> None:
        """Let what is still being judged end."""
        self._is_over = True

    def on_resize(self) -> None:
        """Fold the tables as the width asks for."""
        self._draw()

    # In the thread.

    def _judge(self) -> tuple[Sequence[Ranking], Sequence[str]]:
        wish, networks = self._wish, networks_of(self._run, newest=True)
        matches = own_matches(networks, wish.settings, wish.horizons) if wish.is_own else []
        matches += matches_on(wish.presets, networks, wish.settings, wish.horizons)
        rankings = rankings_of(judge(matches, draws=wish.draws, seed=_SEED, told=self._take))
        return rankings, notes_on(rankings)

    def _take(self, share: float) -> None:
        self._share = share
        if self._is_over:
            raise EvaluationError("nobody waits for it any more")

    # On the screen.

    def _tell(self) -> None:
        if not self._is_over:
            self._text.update(f"judging … {self._share:.0%}")

    def _show(self, judged: tuple[Sequence[Ranking], Sequence[str]]) -> None:
        self._judged, self._is_over = judged, True
        self._draw()

    def _fail(self, message: str) -> None:
        self._is_over = True
        self._text.update(message)

    @property
    def _text(self) -> PlainText:
        return self.query_one("#rankings", PlainText)

    def _draw(self) -> None:
        if self._judged is None:
            return
        rankings, notes = self._judged
        width = self.size.width - _MARGINS
        tables = ["\n".join(ranking_lines(ranking, seed=_SEED, width=width)) for ranking in rankings]
        said = "\n".join([*(line for note in notes for line in wrapped(f"i {note}", width)), *wrapped(LEGEND, width)])
        self._text.update("\n\n".join([*tables, said]))
