"""A problem in Python from the home screen: what is said without the permission, and that it is trained with it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from textual.widgets import Static

from l2o_engine.live.train import train
from l2o_engine.presets.files import load
from l2o_engine.runs.catalogue import list_runs
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.support.user_code import allow_code
from l2o_tui.screens.home import HomeScreen
from l2o_tui.screens.start import StartDialog
from l2o_tui.screens.training import TrainingScreen
from tests.own_code import nothing_allowed, was_run, write_problem
from tests.tui.screens.test_home import home, on_screen
from tests.tui.waiting import text_of, until


@pytest.fixture(autouse=True)
def _nothing_allowed() -> Iterator[None]:
    with nothing_allowed():
        yield


async def test_it_is_listed_and_not_started_without_the_permission(workplace: Path) -> None:
    write_problem(workplace)
    async with home(workplace / "runs") as pilot:
        await pilot.press("slash", *"mine", "enter", "enter")
        await on_screen(pilot, StartDialog)
        await pilot.press("enter")
        said = pilot.app.screen.query_one("#start-error", Static)
        await until(pilot, lambda: "Nothing of it was run" in str(said.render()))
        assert "--allow-code ." in str(said.render())
    assert not was_run(workplace)
    assert list_runs(workplace / "runs") == []


async def test_with_the_permission_it_is_trained_and_without_it_a_run_is_not_gone_on_with(workplace: Path) -> None:
    preset = write_problem(workplace)
    with nothing_allowed():
        driven = train(load(preset), run_dir=workplace / "runs" / "mine", allow_code=workplace, iterations=12)
        stopped = DrivenRun.take(driven.folder)
        stopped.set_iterations(30)
        stopped.update(status="interrupted")
        stopped.close()
    (workplace / "was_run").unlink()
    async with home(workplace / "runs") as pilot:
        await pilot.press("r")
        await until(pilot, lambda: "would run code of yours" in text_of(pilot))
        assert not was_run(workplace)
        assert isinstance(pilot.app.screen, HomeScreen)
        allow_code(workplace)
        await pilot.press("r")
        await on_screen(pilot, TrainingScreen)
        await until(pilot, lambda: "30 of 30" in text_of(pilot) and "finished" in text_of(pilot))
