"""Judging a network from the screens, and another preset's problem in the base chart."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from textual.pilot import Pilot
from textual.widgets import Checkbox, Input

from l2o_engine.presets import shipped as shipped_presets
from l2o_engine.presets.files import override
from l2o_engine.presets.schema import Preset
from l2o_engine.presets.tables import to_toml
from l2o_engine.records.events import Curves, ShowDraws
from l2o_engine.runs.folder import Run
from l2o_engine.tasks.data.base import DataError
from l2o_engine.tasks.formula.functions import shipped_functions
from l2o_tui.app import L2oApp
from l2o_tui.panes.base_pane import BasePane
from l2o_tui.screens.evaluate import EvaluateDialog, JudgedScreen
from l2o_tui.screens.home import HomeScreen
from l2o_tui.screens.training import TrainingScreen
from l2o_tui.state.open_run import OpenRun
from tests.engine import tiny
from tests.tui.waiting import at_rest, text_of, until

PRESET = tiny.tiny_preset("run.seeds=2")
WIDE = override(PRESET, ["name=wide", "title=Of three dimensions", "problem.dims=3", "unroll.steps=6"])


@pytest.fixture
def runs_dir(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A runs folder with a finished run, and a shipped preset of another problem."""
    folder = workplace / "shipped"
    folder.mkdir()
    for preset in (PRESET, WIDE, override(WIDE, ["name=wider"])):
        (folder / f"{preset.name}.toml").write_text(to_toml(preset))
    monkeypatch.setattr(shipped_presets, "shipped_folder", lambda: folder)
    monkeypatch.setattr("l2o_engine.studies.evaluation.looks.shipped_functions", lambda: ("booth",))
    # Nobody compiles a kernel for a test.
    monkeypatch.setattr("l2o_engine.backends.forward.why_not_forward", lambda name, experiment: "not in a test")
    tiny.run(workplace / "runs" / "ours", PRESET)
    return workplace / "runs"


@asynccontextmanager
async def home(runs_dir: Path, size: tuple[int, int] = (80, 24)) -> AsyncIterator[Pilot[int]]:
    app = L2oApp(runs_dir=runs_dir)
    async with app.run_test(size=size, notifications=True) as pilot:
        await until(pilot, lambda: isinstance(app.screen, HomeScreen) and "ours" in text_of(pilot))
        yield pilot


@asynccontextmanager
async def watching(run: Run, size: tuple[int, int] = (120, 40)) -> AsyncIterator[Pilot[int]]:
    app = L2oApp(OpenRun.watching(run), fps=1000)
    async with app.run_test(size=size, notifications=True) as pilot:
        await until(pilot, lambda: isinstance(app.screen, TrainingScreen) and app.screen.phase == "finished")
        yield pilot


async def dialog_of(pilot: Pilot[int]) -> EvaluateDialog:
    await pilot.press("v")
    await until(pilot, lambda: isinstance(pilot.app.screen, EvaluateDialog))
    assert isinstance(pilot.app.screen, EvaluateDialog)
    return pilot.app.screen


async def test_v_at_home_asks_on_what_and_shows_the_tables_beside_the_rivals(runs_dir: Path) -> None:
    async with home(runs_dir) as pilot:
        dialog = await dialog_of(pilot)
        assert [(one.id, one.value) for one in dialog.query(Checkbox)] == [
            *(("own", True), ("other-0", False), ("other-1", False))
        ]
        assert "booth: a test function" in text_of(pilot)
        assert "wide: Of three dimensions" in text_of(pilot)  # and wider's problem is the same
        await pilot.press("up", "up", "space")
        assert "▐✔▌ wide" in text_of(pilot)
        dialog.query_one("#steps", Input).value = "4,5"
        dialog.query_one("#draws", Input).value = "30"
        await pilot.press("enter")  # from the list as well: space alone ticks
        await until(pilot, lambda: "held-out draws" in text_of(pilot))
        assert isinstance(pilot.app.screen, JudgedScreen)
        seen = text_of(pilot)
        assert "tiny: 4 steps, 30 held-out draws of seed 0" in seen
        for name in ("RNN, 2 seeds", "SGD", "RMSProp", "Σ median"):
            assert name in seen
        assert max(map(len, seen.splitlines())) <= 80
        await pilot.press("end")
        await until(pilot, lambda: "ours: of its newest checkpoint, at 30" in text_of(pilot))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(pilot.app.screen, HomeScreen))


async def test_the_arrows_go_through_a_list_that_is_longer_than_its_place(
    runs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("l2o_engine.studies.evaluation.looks.shipped_functions", shipped_functions)
    async with home(runs_dir) as pilot:
        dialog = await dialog_of(pilot)
        choices = list(dialog.query(Checkbox))
        await pilot.press("up", "up", "up", "space")
        assert [one.value for one in choices] == [True, *[False] * (len(choices) - 4), True, False, False]
        assert "▐✔▌" in text_of(pilot)
        dialog.query_one("#draws", Input).value = "0"
        await pilot.press("enter")  # and what is wrong is seen, though there are but 24 lines
        await until(pilot, lambda: "draws: from 1 to 1,000,000" in text_of(pilot))
        assert "Judge (enter)" in text_of(pilot)


async def test_what_is_wrong_is_said_in_the_dialog_or_where_the_tables_would_be(runs_dir: Path) -> None:
    async with home(runs_dir) as pilot:
        dialog = await dialog_of(pilot)
        for name, value, message in (
            ("steps", "4,x", '"x" is not a whole number'),
            ("draws", "0", "draws: from 1 to 1,000,000"),
            ("settings", "'", "No closing quotation"),
        ):
            before = dialog.query_one(f"#{name}", Input).value
            dialog.query_one(f"#{name}", Input).value = value
            await pilot.press("enter")
            await until(pilot, lambda message=message: message in text_of(pilot))  # type: ignore[misc]
            dialog.query_one(f"#{name}", Input).value = before
        dialog.query_one("#settings", Input).value = "problem.dmis=3"
        await pilot.press("enter")
        await until(pilot, lambda: 'did you mean "dims"' in text_of(pilot))
        await pilot.press("escape")
        dialog = await dialog_of(pilot)
        dialog.query_one("#own", Checkbox).value = False
        await pilot.press("enter")
        await until(pilot, lambda: "choose a problem" in text_of(pilot))


async def test_who_leaves_the_tables_ends_the_judging(runs_dir: Path) -> None:
    async with home(runs_dir) as pilot:
        dialog = await dialog_of(pilot)
        dialog.query_one("#draws", Input).value = "1e6"
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, JudgedScreen) and " 0%" not in text_of(pilot))
        await pilot.press("escape")
        assert isinstance(pilot.app.screen, HomeScreen)
        await until(pilot, lambda: not pilot.app.workers._workers)
        await at_rest(pilot)
        assert not pilot.app._notifications


async def test_o_shows_the_network_on_another_problem_and_then_on_its_own_again(runs_dir: Path) -> None:
    async with watching(Run(runs_dir / "ours")) as pilot:
        pane = pilot.app.screen.query_one(BasePane)
        await until(pilot, lambda: pane.figure(None) is not None)

        def steps() -> int:
            figure = pane.figure(None)
            assert figure is not None
            return len(figure.series[0].x)

        assert steps() == 4
        await pilot.press("o")
        await until(pilot, lambda: steps() == 6)
        assert "base losses: wide" in text_of(pilot)
        await pilot.press("N")
        await until(pilot, lambda: "100 draws" in pane._caption())
        await pilot.press("r")
        await until(pilot, lambda: "seed 1" in pane._caption())
        assert steps() == 6
        await pilot.press("o")
        await until(pilot, lambda: "base losses: booth" in text_of(pilot))
        await pilot.press("o")
        await until(pilot, lambda: "base losses:" not in text_of(pilot))
        assert steps() == 4


async def test_a_problem_that_cannot_be_shown_is_said_once_and_passed_over(
    runs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []

    def cannot(run: Run, preset: Preset, shown: ShowDraws) -> Curves:
        tried.append(preset.name)
        raise DataError(f"no data for {preset.name}")

    monkeypatch.setattr("l2o_tui.panes.other_problem.curves_on", cannot)
    async with watching(Run(runs_dir / "ours")) as pilot:
        screen = pilot.app.screen
        assert isinstance(screen, TrainingScreen)
        for name in ("wide", "booth"):
            await pilot.press("o")
            await until(pilot, lambda name=name: f"no data for {name}" in text_of(pilot))  # type: ignore[misc]
            assert "base losses:" not in text_of(pilot)
            screen._other.keep_up(10**6)  # a newer checkpoint
        await at_rest(pilot)
        assert tried == ["wide", "booth"]


@pytest.mark.parametrize("key", ["o", "n", "r"])
async def test_where_one_pane_has_room_what_changes_the_base_chart_shows_it(runs_dir: Path, key: str) -> None:
    async with watching(Run(runs_dir / "ours"), (80, 24)) as pilot:
        pane = pilot.app.screen.query_one(BasePane)
        for keys in ((), ("tab", "tab")):  # from the pane before it, and from one behind
            await pilot.press("shift+tab", *keys)
            assert not pane.display
            await pilot.press(key)
            await until(pilot, lambda: "base losses" in text_of(pilot))
            assert pane.has_class("active")


async def test_v_while_a_run_is_shown_judges_its_network(runs_dir: Path) -> None:
    async with watching(Run(runs_dir / "ours")) as pilot:
        await dialog_of(pilot)
        await pilot.press("enter")
        await until(pilot, lambda: "1,000 held-out draws" in text_of(pilot))
        await pilot.press("q")
        assert isinstance(pilot.app.screen, TrainingScreen)


async def test_a_run_without_a_network_has_nothing_to_judge(workplace: Path) -> None:
    tiny.run(workplace / "runs" / "ours", tiny.tiny_baselines())
    async with home(workplace / "runs") as pilot:
        await pilot.press("v")
        await until(pilot, lambda: "ours trains no network" in text_of(pilot))
        assert isinstance(pilot.app.screen, HomeScreen)
