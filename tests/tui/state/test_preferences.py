"""What the user prefers lasts from one session to the next, and never keeps the program from starting."""

from pathlib import Path
from threading import Event

import pytest

from l2o_tui.app import L2oApp
from l2o_tui.panes.arrangement import Panes
from l2o_tui.state.open_run import OpenRun
from l2o_tui.state.place import preferences_path
from l2o_tui.state.preferences import Preferences, Settings
from l2o_tui.state.themes import DEFAULT_THEME, THEMES
from tests.tui.scripted import ScriptedSession, a_run, preset
from tests.tui.waiting import at_rest, until


def test_settings_last() -> None:
    preferences = Preferences()
    preferences.change(theme="light")
    preferences.change(window=2000)
    preferences.close()
    assert Preferences().settings == Settings(theme="light", window=2000)


def test_a_disk_that_answers_late_keeps_nobody_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = Event()

    def write_late(path: Path, data: bytes) -> None:
        answered.wait()
        path.write_bytes(data)

    monkeypatch.setattr("l2o_tui.state.preferences.write_atomically", write_late)
    preferences = Preferences()
    preferences.change(logarithmic=False)
    assert not preferences.settings.logarithmic
    assert Preferences().settings.logarithmic  # it is not written yet
    answered.set()
    preferences.close()
    assert not Preferences().settings.logarithmic


@pytest.mark.parametrize(
    "text", ["", "not toml [", "theme = 3\nwindow = 'wide'\nlogarithmic = 1\n", "colour = 'red'\n", "\x00\xff"]
)
def test_what_cannot_be_used_has_its_default(text: str) -> None:
    preferences_path().parent.mkdir(parents=True)
    preferences_path().write_text(text)
    assert Preferences().settings == Settings()


def test_a_folder_that_cannot_be_written_costs_nothing_but_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", "/proc/nowhere")
    preferences = Preferences()
    preferences.change(theme="light")
    assert preferences.settings.theme == "light"


async def test_the_screen_is_as_it_was_left(tmp_path: Path) -> None:
    session = ScriptedSession(a_run(preset()))
    first = L2oApp(OpenRun(session, preset()), fps=10)
    async with first.run_test(size=(120, 40)) as pilot:
        await until(pilot, session.has_told.is_set)
        await at_rest(pilot)
        assert first.theme == DEFAULT_THEME
        await pilot.press("t", "y", "m", "right_square_bracket")
        await pilot.pause()
        window = first.screen.chart.window  # type: ignore[attr-defined]
        assert window > 500
    first.preferences.close()
    session = ScriptedSession(a_run(preset()))
    second = L2oApp(OpenRun(session, preset()), fps=10)
    async with second.run_test(size=(120, 40)) as pilot:
        await until(pilot, session.has_told.is_set)
        await at_rest(pilot)
        assert second.theme == THEMES[1].name
        chart = second.screen.chart  # type: ignore[attr-defined]
        assert not chart.logarithmic
        assert chart.window == window
        assert second.screen.query_one(Panes).is_maximised


async def test_a_theme_that_is_gone_gives_way_to_the_default() -> None:
    preferences = Preferences()
    preferences.change(theme="no-such-theme")
    preferences.close()
    app = L2oApp(OpenRun(ScriptedSession([]), preset()))
    async with app.run_test():
        assert app.theme == DEFAULT_THEME


def test_every_theme_has_a_colour_for_every_series() -> None:
    for theme in THEMES:
        colours = [theme.variables[f"series-{place}"] for place in range(1, 9)]
        assert len(set(colours)) == 8
