"""What the terminal is sent of a line that changes in part; and that nothing else uses textual's private parts."""

import importlib
import inspect
import pkgutil
import re
from typing import Any, ClassVar

import pytest
from rich.text import Text
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal
from textual.drivers import linux_driver
from textual.events import Key
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Footer, Input

import l2o_tui
from l2o_tui.textual_private import ThinApp, ThinUpdate, cells_of_key, thinned


class Board(Widget):
    """Lines of text that are refreshed in part."""

    def __init__(self, name: str) -> None:
        super().__init__(id=name)
        self.lines = ["." * 40 for _ in range(5)]

    def render_line(self, y: int) -> Strip:
        return Strip(Text(self.lines[y] if y < len(self.lines) else "").render(self.app.console))

    def change(self, row: int, column: int, text: str) -> None:
        line = self.lines[row]
        self.lines[row] = line[:column] + text + line[column + len(text) :]
        self.refresh(Region(column, row, len(text), 1))


class Boards(App[None]):
    CSS = "#left { border: round white; width: 30; } #right { width: 1fr; }"

    def compose(self) -> ComposeResult:
        with Horizontal():
            yield Board("left")
            yield Board("right")


def painted(screen: list[str], sent: str) -> list[str]:
    """Return a terminal's screen once it was sent this."""
    cells = [list(line) for line in screen]
    for row, column, text in re.findall(r"\x1b\[(\d+);(\d+)H([^\x1b]*(?:\x1b\[[\d;]*m[^\x1b]*)*)", sent):
        for place, character in enumerate(re.sub(r"\x1b\[[\d;]*m", "", text), int(column) - 1):
            cells[int(row) - 1][place] = character
    return ["".join(line) for line in cells]


async def test_spans_are_sent_and_nothing_else_and_the_screen_is_right() -> None:
    app = Boards()
    async with app.run_test(size=(70, 10)) as pilot:
        await pilot.pause()
        compositor = app.screen._compositor

        def screen() -> list[str]:
            return [strip.text for strip in compositor.render_strips()]

        before = screen()
        left, right = app.query(Board)
        for board, row, column, text in (
            (left, 0, 20, "one"),
            (left, 0, 3, "two"),
            (right, 0, 9, "three"),
            (right, 3, 0, "4"),
        ):
            board.change(row, column, text)
        compositor.update_widgets({left, right})
        update: Any = compositor.render_partial_update()
        thin = thinned(update)
        assert isinstance(thin, ThinUpdate)
        sent = thin.render_segments(app.console)
        assert painted(before, sent) == screen() != before
        plain = re.sub(r"\x1b\[[\d;]*[mH]", "", sent)
        assert sorted(plain) == sorted("onetwothree4")
        assert len(sent) < len(update.render_segments(app.console))


class Fields(ThinApp[None]):
    """Two fields, one below the other."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("down", "app.focus_next", show=False)]

    def compose(self) -> ComposeResult:
        yield Input("400", id="first")
        yield Input("50000", id="second")


async def test_what_is_typed_while_the_program_is_busy_lands_where_it_was_typed() -> None:
    app = Fields()
    async with app.run_test() as pilot:
        await pilot.pause()
        for key in ("ctrl+u", "7", "down", "ctrl+u", "5", "e", "3", "backspace", "4"):  # at once, as a queue has them
            app.post_message(Key(key, key if len(key) == 1 else None))
        await pilot.pause()
        assert [field.value for field in app.query(Input)] == ["7", "5e4"]


def test_any_other_update_stays_as_it_is() -> None:
    text = Text("all")
    assert thinned(text) is text
    assert thinned(None) is None


MODULES = [
    module.name
    for module in pkgutil.walk_packages(l2o_tui.__path__, "l2o_tui.")
    if module.name not in ("l2o_tui.__main__", "l2o_tui.textual_private")
]


def private_uses(name: str) -> set[str]:
    """Return which private parts of textual and rich a module imports, calls or overrides."""
    module = importlib.import_module(name)
    found = set(re.findall(r"(?:textual|rich)(?:\.\w+)*\._\w+", inspect.getsource(module)))
    for kind in vars(module).values():
        if inspect.isclass(kind) and kind.__module__ == name:
            theirs = [base for base in kind.__mro__ if base.__module__.startswith(("textual.", "rich."))]
            named = set(re.findall(r"\b(?:self|super\(\)|def )\W?(_[a-z]\w*)", inspect.getsource(kind)))
            found |= {f"{kind.__name__}.{part}" for part in named for base in theirs if part in vars(base)}
    return found


@pytest.mark.parametrize("name", MODULES)
def test_private_parts_of_textual_are_used_in_one_module(name: str) -> None:
    assert private_uses(name) == set()


class Failing(ThinApp[None]):
    """Fails, and quotes what it met."""

    def fit(self, text: str) -> str:
        return text.replace("\x1b", "")

    def on_mount(self) -> None:
        raise ValueError("a\x1b]0;pwned\x07b")


async def test_a_failure_is_told_without_what_a_terminal_would_obey(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="pwned"):
        async with Failing().run_test():
            pass
    said = capsys.readouterr().err
    assert "ValueError" in said
    assert "a]0;pwned" in said
    assert "\x1b]" not in said


async def test_a_whole_screen_that_fits_keeps_what_it_has_rendered_and_another_is_made_to_fit() -> None:
    app = Boards()
    async with app.run_test(size=(70, 10)) as pilot:
        await pilot.pause()
        update: Any = app.screen._compositor.render_full_update()
        same: Any = thinned(update, lambda text: text)
        assert [list(line) for line in same.strips] == [list(line) for line in update.strips]
        fitted: Any = thinned(update, lambda text: text.replace(".", "-"))
        assert "." in update.render_segments(app.console)
        assert "." not in fitted.render_segments(app.console)


def test_the_one_module_is_seen_to_use_them() -> None:
    assert private_uses("l2o_tui.textual_private") == {
        "textual._compositor",
        "textual._xterm_parser",
        "textual.widgets._footer",
        "EscapeParser._sequence_to_key_events",
        "ThinApp._check_bindings",
        "ThinApp._display",
        "ThinApp._print_error_renderables",
        "PatientPalette._select_or_command",
    }


async def test_a_key_of_the_footer_takes_as_many_cells_as_are_reckoned() -> None:
    class Keys(App[None]):
        BINDINGS: ClassVar[list[BindingType]] = [("a", "bell", "均方根"), ("f12", "bell_twice", "e\u0301")]

        def action_bell_twice(self) -> None:
            self.bell()

        def compose(self) -> ComposeResult:
            yield Footer(show_command_palette=False)

    app = Keys()
    async with app.run_test() as pilot:
        await pilot.pause()
        keys = list(app.query_one(Footer).children)
        assert [cells_of_key(key) for key in keys] == [key.outer_size.width for key in keys] == [10, 7]


@pytest.mark.parametrize(
    ("sent", "keys"),
    [
        ("\x1bq", ["escape", "q"]),
        ("\x1b", ["escape"]),
        ("\x1b\x1b", ["escape", "escape"]),
        ("\x1b/log\r", ["escape", "slash", "l", "o", "g", "enter"]),
        ("\x1bD", ["escape", "D"]),
        ("\x1b\t", ["escape", "tab"]),
        ("\x1b\x1b[A", ["escape", "up"]),
        ("\x1b[Aq", ["up", "q"]),
        ("\x1bOP", ["f1"]),
        ("\x1b[1;3A", ["alt+up"]),
        ("\x1bb", ["ctrl+left"]),  # option and an arrow on a Mac
    ],
)
def test_a_key_that_is_pressed_right_behind_escape_is_not_lost(sent: str, keys: list[str]) -> None:
    parser = vars(linux_driver)["XTermParser"]()
    found = [*parser.feed(sent), *parser.feed("")]
    assert [event.key for event in found if isinstance(event, Key)] == keys
