"""Every theme's texts can be read, and greys stay grey on a terminal of 256 colours: measured on the screens."""

from collections.abc import AsyncIterator, Iterator
from functools import cache
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.color import Color as RichColor
from rich.color import ColorSystem
from textual.color import Color
from textual.pilot import Pilot
from textual.screen import Screen
from textual.theme import Theme
from textual.widgets import Button, DataTable

from l2o_engine.presets.files import load
from l2o_engine.presets.shipped import find
from l2o_tui.app import L2oApp
from l2o_tui.screens.compare import CompareScreen
from l2o_tui.screens.home import HomeScreen
from l2o_tui.state.open_run import OpenRun
from l2o_tui.state.themes import THEMES
from tests.engine.made import made_run
from tests.tui.curves import falling
from tests.tui.screens.test_snapshots import LOG43, stuck
from tests.tui.scripted import ScriptedSession
from tests.tui.waiting import at_rest, text_of, until

LEAST = {"high-contrast": 7.0}  # else 4.5, as WCAG has it


@cache
def contrast(one: Color, other: Color) -> float:
    """Return the contrast of two colours, from 1 to 21, by WCAG 2."""
    dark, light = sorted((_luminance(one), _luminance(other)))
    return (light + 0.05) / (dark + 0.05)


def _luminance(colour: Color) -> float:
    parts = (part / 255 for part in colour.rgb)
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@cache
def of_256(colour: Color) -> Color:
    """Return what a terminal of 256 colours shows."""
    shown = RichColor.from_rgb(*colour.rgb).downgrade(ColorSystem.EIGHT_BIT).get_truecolor()
    return Color(*shown)


def looks(screen: Screen[object]) -> Iterator[tuple[str, Color, Color]]:
    """Yield all pieces of text of a screen, and their colours: its own and the one behind it.

    What lies behind a dialog is meant to be faint, and is left out.
    """
    boxes = [one.region for one in screen.query(".dialog, CommandPalette > Vertical, Toast")] if screen.is_modal else []
    for y, strip in enumerate(screen._compositor.render_strips()):
        x = 0
        for text, style, _ in strip:
            at, x = x, x + cell_len(text)
            is_there = not screen.is_modal or any(box.contains(at, y) for box in boxes)
            if is_there and style and style.color and style.bgcolor:
                pair = [Color(*colour.get_truecolor()) for colour in (style.color, style.bgcolor)]
                front, back = reversed(pair) if style.reverse else pair
                yield text, front, back


def is_read(text: str) -> bool:
    return any(character.isalnum() for character in text)


def unreadable(screen: Screen[object], theme: Theme) -> list[str]:
    """Say which texts have too little contrast, in true colour or on a terminal of 256."""
    least = LEAST.get(theme.name, 4.5)
    found = {}
    for text, front, back in looks(screen):
        if is_read(text):
            reached = min(contrast(front, back), contrast(of_256(front), of_256(back)))
            if reached < least:
                found[front.hex, back.hex] = f"{text.strip()[:30]!r} {front.hex} on {back.hex}: {reached:.1f}"
    return sorted(found.values())


def tinted(screen: Screen[object]) -> list[str]:
    """Say which greys a terminal of 256 colours shows in a colour, and which table's headings in several."""
    found = []
    for widget in screen.walk_children():
        if not isinstance(widget, Button) and widget.is_on_screen:
            back = of_256(widget.background_colors[1])
            found += [f"{widget}: {back.hex}"] if len(set(back.rgb)) > 1 else []
        if isinstance(widget, DataTable) and widget.is_on_screen and widget.size.height:
            headings = {style.bgcolor for _, style, _ in widget.render_line(0) if style}
            found += [f"{widget}: headings on {headings}"] if len(headings) > 1 else []
    return found


async def faults(pilot: Pilot[int]) -> list[str]:
    """Say what is wrong with the screen as it is now, in every theme."""
    found = []
    for theme in THEMES:
        pilot.app.theme = theme.name
        await pilot.pause()
        screen = pilot.app.screen
        found += [f"{theme.name}: {fault}" for fault in (*unreadable(screen, theme), *tinted(screen))]
    return found


@pytest.fixture
def runs_dir(workplace: Path) -> Path:
    small = ("report.every=100", "report.rolling_window=20", "report.baseline_draws=100", "run.iterations=399")
    for place, rate in enumerate(("1e-3", "3e-3")):
        preset = load(find("log30"), [*small, f"meta.learning_rate={rate}"])
        made_run(workplace / "runs" / f"{place}", preset, [list(falling(400, seed=place, to=-20.0))])
    return workplace / "runs"


async def pictures_at_home(pilot: Pilot[int]) -> AsyncIterator[str]:
    """Go through the home screen, what it opens, and the comparison."""
    screens = pilot.app
    await until(pilot, lambda: isinstance(screens.screen, HomeScreen) and screens.screen.focused is not None)
    yield "home"
    await pilot.press("space", "space")
    await pilot.press("tab")
    yield "presets"
    for key in ("enter", "slash", "ctrl+p"):
        await pilot.press(key)
        await at_rest(pilot)
        yield key
        await pilot.press("escape")
        await at_rest(pilot)
    screens.screen.query_one("#runs").focus()
    for key in ("e", "D", "question_mark", "r"):
        await pilot.press(key)
        await at_rest(pilot)
        yield key
        await pilot.press("escape")
        await at_rest(pilot)
    await pilot.press("c")
    await until(pilot, lambda: isinstance(screens.screen, CompareScreen) and "floor of" in text_of(pilot))
    yield "compare"


async def pictures_of_training(pilot: Pilot[int]) -> AsyncIterator[str]:
    """Go through the training screen and its dialogs."""
    await at_rest(pilot)
    for severity in ("information", "warning", "error"):
        pilot.app.notify("a notice", title="title", severity=severity)
        await until(pilot, lambda: "a notice" in text_of(pilot))
        yield f"training, {severity}"
    for _ in range(4):
        await pilot.press("tab")
        await at_rest(pilot)
        yield "pane"
    for key in ("q", "plus", "question_mark", "ctrl+p"):
        await pilot.press(key)
        if key == "plus":
            await pilot.press("x", "enter")  # what it says to that
        await at_rest(pilot)
        yield key
        await pilot.press("escape")


async def test_at_home_every_text_can_be_read_and_greys_stay_grey(runs_dir: Path) -> None:
    app = L2oApp(runs_dir=runs_dir)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        found = {place: await faults(pilot) async for place in pictures_at_home(pilot)}
    assert not {place: said for place, said in found.items() if said}


async def test_of_a_run_every_text_can_be_read_and_greys_stay_grey() -> None:
    opened = OpenRun(ScriptedSession([]), LOG43)
    for event in stuck():
        opened.feed.publish(event)
    app = L2oApp(opened, fps=1000)
    async with app.run_test(size=(200, 50), notifications=True) as pilot:
        found = {place: await faults(pilot) async for place in pictures_of_training(pilot)}
    assert not {place: said for place, said in found.items() if said}


async def test_what_only_names_or_rests_is_quieter_than_what_it_stands_beside() -> None:
    opened = OpenRun(ScriptedSession([]), LOG43)
    for event in stuck():
        opened.feed.publish(event)
    app = L2oApp(opened, fps=1000)
    async with app.run_test(size=(200, 50)) as pilot:
        await at_rest(pilot)
        for theme in THEMES:
            app.theme = theme.name
            await pilot.pause()
            reached = [(text.strip(), contrast(front, back)) for text, front, back in looks(app.screen)]
            bar, label, value = (
                next(quiet for text, quiet in reached if text.startswith(start)) for start in ("──", "clipped", "flat")
            )
            assert bar < value, theme.name
            assert label < value, theme.name
