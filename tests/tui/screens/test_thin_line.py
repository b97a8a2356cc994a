"""What the terminal is sent of a line that changes in part."""

import re
from typing import Any

from rich.text import Text
from textual.app import App, ComposeResult
from textual.containers import Horizontal
from textual.geometry import Region
from textual.strip import Strip
from textual.widget import Widget

from l2o_tui.screens.thin_line import ThinUpdate, thinned


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


def test_any_other_update_stays_as_it_is() -> None:
    text = Text("all")
    assert thinned(text) is text
    assert thinned(None) is None
