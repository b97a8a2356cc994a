"""The screens on strings of strangers, and on folders that are damaged in ways nobody has thought of."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Button, Input

from l2o_engine.presets.tables import to_toml
from l2o_engine.records.events import Ended, Found, LaneResult, Notice, Preparing
from l2o_engine.records.health import Finding
from l2o_engine.runs import listing
from l2o_engine.runs.folder import Run
from l2o_engine.runs.listing import Surveyor
from l2o_engine.runs.record import read_record_once
from l2o_engine.support.wording import shown
from l2o_tui.app import L2oApp
from l2o_tui.screens import compare, home
from l2o_tui.screens.compare import CompareScreen
from l2o_tui.screens.dialogs import ConfirmDialog, FailureScreen
from l2o_tui.screens.export import ExportDialog
from l2o_tui.screens.home import HomeScreen
from l2o_tui.screens.start import StartDialog
from l2o_tui.screens.training import TrainingScreen
from l2o_tui.state.open_run import OpenRun
from tests.engine.made import made_run
from tests.engine.tiny import tiny_preset
from tests.hostile import EVIL, NAME, evil_preset, evil_run, text_of_svg, unseen_in
from tests.tui.scripted import LANE, ScriptedSession, a_run, curves, preset, rows, started
from tests.tui.waiting import at_rest, text_of, until

SIZE = (170, 45)  # where names have room
START = shown(EVIL)[:30]


@asynccontextmanager
async def opened(app: L2oApp, size: tuple[int, int] = SIZE) -> AsyncIterator[Pilot[int]]:
    async with app.run_test(size=size, notifications=True) as pilot:
        await until(pilot, lambda: "leave" in text_of(pilot))
        yield pilot


async def is_clean(pilot: Pilot[int], *texts: str) -> str:
    """Wait until the screen shows these; all that it shows can be seen, and nothing of it is obeyed."""
    await until(pilot, lambda: all(text in text_of(pilot) for text in texts))
    await pilot.pause()
    assert unseen_in(text_of(pilot)) == set()
    return text_of(pilot)


async def on(pilot: Pilot[int], screen: type) -> None:
    await until(pilot, lambda: isinstance(pilot.app.screen, screen))
    await pilot.pause()


@pytest.fixture
def runs_dir(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder and a runs folder of evil names, an evil preset, and two evil runs."""
    place = workplace / NAME[:30]
    place.mkdir()
    monkeypatch.chdir(place)
    (place / "evil.toml").write_text(to_toml(evil_preset()), encoding="utf-8")
    (place / f"{NAME[:40]}.toml").write_text('name = "x"\n"\\u001b[2J[/]" = 1\n')
    folder = workplace / f"runs {NAME[:30]}"
    evil_run(folder / f"{NAME}1")
    evil_run(folder / f"{NAME}2", evil_preset("meta.learning_rate=0.01"))
    return folder


async def test_home_lists_evil_presets_and_runs(runs_dir: Path) -> None:
    async with opened(L2oApp(runs_dir=runs_dir), (280, 80)) as pilot:  # where all presets have room
        await is_clean(pilot, START[:25], r"\x1b[2J[/]: unknown key", shown(NAME)[:20])
        for name in (r"\udcff2", r"\udcff1"):  # of the selected one's folder: it is called something evil, too
            await is_clean(pilot, name)
            await pilot.press("down")
        await pilot.press("slash", *"[/]", "enter")
        await is_clean(pilot)
        await pilot.press("escape")


async def test_the_dialogs_of_home_quote_names(runs_dir: Path) -> None:
    async with opened(L2oApp(runs_dir=runs_dir)) as pilot:
        assert isinstance(pilot.app.screen, HomeScreen)
        await pilot.press("e")
        await on(pilot, ExportDialog)
        await is_clean(pilot, "Export", START[:10])
        assert unseen_in(pilot.app.screen.query_one("#output", Input).value) == set()
        await pilot.press("enter")
        await until(pilot, lambda: "exported to" in text_of(pilot))
        await is_clean(pilot)
        await on(pilot, HomeScreen)
        await pilot.press("delete")
        await on(pilot, ConfirmDialog)
        await is_clean(pilot, "Delete", START[:10])
        await pilot.press("escape")
        await on(pilot, HomeScreen)
        await pilot.press("r")  # which cannot be taken: its preset and rows say so, or its checkpoint is missing
        await pilot.pause(0.2)
        await is_clean(pilot)


async def test_an_evil_preset_is_started_by_a_dialog(runs_dir: Path) -> None:
    async with opened(L2oApp(runs_dir=runs_dir)) as pilot:
        await pilot.press("tab", "slash", *"tiny", "enter")
        await pilot.press("enter")
        await on(pilot, StartDialog)
        await is_clean(pilot, "Start tiny", START)
        settings = pilot.app.screen.query_one("#settings", Input)
        settings.value = (
            "meta.\x1b[2J[/]=1"  # pasted: an input holds what it is given, and the terminal gets none of it
        )
        pilot.app.screen.query_one("#start", Button).press()
        said = r"meta.\x1b[2J[/]=1: unknown key"
        await until(pilot, lambda: said in text_of(pilot))
        settings.value = ""
        await is_clean(pilot, said)


async def test_an_evil_run_is_looked_at_with_another_one_beside_it(runs_dir: Path) -> None:
    async with opened(L2oApp(OpenRun.watching(Run(runs_dir / f"{NAME}1")), runs_dir=runs_dir)) as pilot:
        await on(pilot, TrainingScreen)
        await is_clean(pilot, "tiny", shown(EVIL)[:20])  # its backend, and the log
        await pilot.press("p")
        await is_clean(pilot, "beside it:")
        await pilot.press("ctrl+p")
        await is_clean(pilot, "app: Help")
        await pilot.press("escape")


async def test_evil_runs_are_compared(runs_dir: Path) -> None:
    async with opened(L2oApp(runs_dir=runs_dir)) as pilot:
        pilot.app.push_screen(CompareScreen([Run(folder) for folder in sorted(runs_dir.iterdir())]))
        await on(pilot, CompareScreen)
        await is_clean(pilot, "Σ losses", "lr 0.01", "is interrupted", START)


async def test_what_a_session_says_is_quoted(tmp_path: Path) -> None:
    finding = Finding(EVIL, EVIL, EVIL)
    told: list[Any] = [*a_run(preset()), Notice(EVIL), Found(LANE, 10_000, finding), Preparing(EVIL)]
    answers: dict[type, list[Any]] = {}
    app = L2oApp(OpenRun(ScriptedSession(told, answers), preset(), folder=tmp_path / NAME))
    async with opened(app) as pilot:
        await is_clean(pilot, "loading", START)
        app.push_screen(FailureScreen(EVIL, EVIL))
        await is_clean(pilot, "esc closes this")
        await pilot.press("escape")
        for markup in (True, False):
            app.screen.notify(EVIL, title=EVIL, markup=markup)
            await is_clean(pilot, START, "[/][@click='x]y[red]")
        assert unseen_in(app.export_screenshot()) == set()


async def test_a_chart_and_a_screen_are_saved_as_svg_that_is_well_formed(runs_dir: Path) -> None:
    async with opened(L2oApp(OpenRun.watching(Run(runs_dir / f"{NAME}1")), runs_dir=runs_dir)) as pilot:
        await until(pilot, lambda: "log10" in text_of(pilot) or "loss" in text_of(pilot))
        await at_rest(pilot)
        screen = pilot.app.screen
        assert isinstance(screen, TrainingScreen)
        screen.action_save_svg()
        screen.action_save_text()
        (picture,), (text,) = (list((runs_dir / f"{NAME}1").glob(f"*{suffix}")) for suffix in (".svg", ".txt"))
        assert START[:10] in text_of_svg(picture)
        assert unseen_in(text.read_text()) == set()
        path = Path(pilot.app.save_screenshot(path=str(runs_dir)))
        assert "tiny" in text_of_svg(path)


# Damage that nobody has thought of.


def fails(*_: object) -> Any:
    raise IndexError("[/x] of a neighbour\x1b[2J")


SAID = r"IndexError: [/x] of a neighbour\x1b[2J"


async def test_a_neighbour_s_bad_run_is_passed_over_when_it_is_to_be_pinned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_run(tmp_path / "bad", tiny_preset(), [[-1.0] * 25])
    monkeypatch.setattr("l2o_tui.panes.pinned_runs.summarise", fails)
    async with opened(L2oApp(OpenRun(ScriptedSession(a_run(preset())), preset(), folder=tmp_path / "own"))) as pilot:
        await pilot.press("p")
        await is_clean(pilot, SAID)
        await pilot.press("p")
        await is_clean(pilot, "no other run is left")


async def test_runs_that_cannot_be_compared_say_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "compare", fails)
    async with opened(L2oApp(runs_dir=tmp_path)) as pilot:
        pilot.app.push_screen(CompareScreen([]))
        await is_clean(pilot, SAID)


async def test_a_run_that_cannot_be_listed_keeps_no_other_from_it(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("good", "worse"):
        made_run(workplace / "runs" / name, tiny_preset(), [[-1.0] * 25])

    def of_one(path: Path) -> Any:
        return fails() if path.parent.name == "worse" else read_record_once(path)

    monkeypatch.setattr(listing, "read_record_once", of_one)
    async with opened(L2oApp(runs_dir=workplace / "runs")) as pilot:
        await is_clean(pilot, "good", "worse: IndexError: [/x] of a", "unreadable")


async def test_a_runs_folder_that_cannot_be_read_says_so_once(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(home, "REFRESH_SECONDS", 0.05)
    told: list[str] = []
    async with opened(L2oApp(runs_dir=workplace / "runs")) as pilot:
        monkeypatch.setattr(pilot.app, "notify", lambda message, **_: told.append(message))
        monkeypatch.setattr(Surveyor, "look", fails)
        await until(pilot, lambda: bool(told))
        await pilot.pause(0.3)
        assert told == ["IndexError: [/x] of a neighbour\x1b[2J"]  # as it is: notify makes it safe


async def test_a_run_that_cannot_be_opened_says_why(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made_run(workplace / "runs" / "bad", tiny_preset(), [[-1.0] * 25])
    monkeypatch.setattr(OpenRun, "watching", fails)
    async with opened(L2oApp(runs_dir=workplace / "runs")) as pilot:
        await pilot.press("enter")
        await is_clean(pilot, SAID)
        assert isinstance(pilot.app.screen, HomeScreen)


async def test_a_detach_is_no_interruption(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[str] = []

    def hand_over(*_: object) -> int:
        seen.append(opened_run.phase)
        return 77

    monkeypatch.setattr("l2o_tui.state.open_run.hand_over", hand_over)
    run = made_run(tmp_path / "run", tiny_preset(), [[-1.0] * 25])
    end = Ended("interrupted", 24, 1.0, (LaneResult(LANE, 24, -1.0),))
    session = ScriptedSession([started(preset()), rows(0, [1.0] * 25), curves(), end])
    opened_run = OpenRun(session, preset(), folder=run.folder)
    opened_run.detaching = True
    opened_run.leave("detached")
    opened_run.listen()
    assert seen == ["loading"]
    assert opened_run.background_pid == 77
    assert next(opened_run.farewell()).startswith("finished at 24")  # what was handed over is over by now
