"""A study's own screen, on real folders: what it shows, what its keys do; and the dialog that begins a study."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from textual.pilot import Pilot
from textual.widgets import Input

from l2o_engine.live.background import HandOverError
from l2o_engine.presets.tables import to_toml
from l2o_engine.records.events import Pause, Stop
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.studies.sweep import (
    PAUSE_FILE,
    STOP_FILE,
    JobStanding,
    Study,
    StudyStanding,
    StudyWatcher,
    Sweep,
    read_study,
)
from l2o_tui.app import L2oApp
from l2o_tui.panes.entry_table import EntryTable
from l2o_tui.screens.compare import CompareScreen
from l2o_tui.screens.dialogs import ConfirmDialog, HelpScreen
from l2o_tui.screens.home import HomeScreen
from l2o_tui.screens.study import StudyScreen
from l2o_tui.screens.sweep import SweepDialog, _around
from l2o_tui.screens.training import TrainingScreen
from l2o_tui.state.studies import of_its_own
from l2o_tui.text.study import Labels, edge_of, progress_of
from tests.engine.studies.test_sweep import RATES, drive, study
from tests.engine.tiny import tiny_preset
from tests.tui.waiting import text_of, until

SIZES = [(80, 24), (120, 40)]


@pytest.fixture
def finished(workplace: Path) -> Path:
    """The folder of a study that is at its end: two settings, two seeds."""
    return drive(Sweep(study(RATES, seeds=2), runs_dir=workplace / "runs")).folder


@pytest.fixture
def begun(workplace: Path) -> Sweep:
    """A study that this process works on, and of which nothing is trained."""
    sweep = Sweep(study(RATES, seeds=2), runs_dir=workplace / "runs")
    sweep.begin()
    return sweep


@asynccontextmanager
async def watching(folder: Path, size: tuple[int, int] = (120, 40)) -> AsyncIterator[Pilot[int]]:
    app = L2oApp(study=folder, runs_dir=folder.parent)
    async with app.run_test(size=size, notifications=True) as pilot:
        await until(pilot, lambda: isinstance(app.screen, StudyScreen) and app.screen.phase != "loading")
        await until(pilot, lambda: "leave" in text_of(pilot))
        yield pilot


def table(pilot: Pilot[int], name: str) -> EntryTable:
    return pilot.app.screen.query_one(f"#{name}-table", EntryTable)


def messages(pilot: Pilot[int]) -> str:
    return "\n".join(notification.message for notification in pilot.app._notifications)


def is_said(pilot: Pilot[int], text: str) -> bool:
    """Return whether a text is on the screen, on however many lines of a dialog."""
    return text in " ".join(text_of(pilot).replace("│", " ").split())


async def on_screen(pilot: Pilot[int], kind: type) -> None:
    await until(pilot, lambda: isinstance(pilot.app.screen, kind))
    await pilot.pause()


@pytest.mark.parametrize("size", SIZES)
async def test_a_finished_study_shows_its_answer(finished: Path, size: tuple[int, int]) -> None:
    async with watching(finished, size) as pilot:
        await until(pilot, lambda: "against meta.learning_rate" in text_of(pilot))
        for text in ("✔ finished", "2 settings, 2 seeds", "4 of 4 runs (100%)", "best ", "lr 1e-3 · s0", "30/30"):
            assert text in text_of(pilot)
        is_roomy = size == (120, 40)
        assert ("the best first" in text_of(pilot)) is is_roomy
        await pilot.press("tab")
        await until(pilot, lambda: "the best first" in text_of(pilot) and pilot.app.focused is table(pilot, "settings"))
        assert ("30/30" in text_of(pilot)) is is_roomy
        assert "100%" in text_of(pilot)


async def test_the_chart_alone_the_lists_alone_and_all_again(finished: Path) -> None:
    async with watching(finished, (80, 24)) as pilot:
        seen = []
        for _ in range(3):
            await pilot.press("m")
            await pilot.pause()
            seen.append(("against" in text_of(pilot), "30/30" in text_of(pilot)))
        assert seen == [(True, False), (False, True), (True, True)]


async def test_after_the_chart_alone_a_list_has_the_keys_again(finished: Path) -> None:
    async with watching(finished, (80, 24)) as pilot:
        await pilot.press("tab", "m")
        await until(pilot, lambda: "open" not in text_of(pilot).splitlines()[-1])  # nothing is selected
        await pilot.press("m")
        await until(pilot, lambda: pilot.app.focused is table(pilot, "settings"))
        await pilot.press("tab")
        await until(pilot, lambda: pilot.app.focused is table(pilot, "jobs") and "30/30" in text_of(pilot))


async def test_of_one_setting_there_is_nothing_to_draw_against(workplace: Path) -> None:
    sweep = Sweep(study("meta.learning_rate=1e-3", seeds=2), runs_dir=workplace / "runs")
    sweep.begin()
    async with watching(sweep.folder) as pilot:
        await until(pilot, lambda: "of one setting there is no chart" in text_of(pilot))
        await until(pilot, lambda: "e export" in text_of(pilot))
        assert "g setting" not in text_of(pilot)


async def test_a_run_is_opened_and_a_setting_leads_to_its_best_run(finished: Path) -> None:
    async with watching(finished) as pilot:
        await pilot.press("tab", "enter")
        best = StudyWatcher(finished).look().settings[0]
        first = min(best.jobs, key=lambda job: job.final)
        await until(pilot, lambda: pilot.app.focused is table(pilot, "jobs"))
        await until(pilot, lambda: (one := table(pilot, "jobs").selected) is not None and one.identity == first.folder)
        await pilot.press("enter")
        await on_screen(pilot, TrainingScreen)
        await pilot.press("q")
        await on_screen(pilot, StudyScreen)


async def test_what_waits_cannot_be_opened_and_the_study_is_paused_and_stopped(begun: Sweep) -> None:
    driven = DrivenRun.create(begun.jobs[0].preset, begun.jobs[0].folder)
    driven.update(status="running", iteration=10)
    async with watching(begun.folder) as pilot:
        await until(pilot, lambda: "● running" in text_of(pilot) and "3 waiting" in text_of(pilot))
        assert "no two settings have a result yet" in text_of(pilot)
        await pilot.press("down", "enter")
        await until(pilot, lambda: "waits for its turn" in messages(pilot))
        await pilot.press("space")
        await until(pilot, lambda: (begun.folder / PAUSE_FILE).exists() and "‖ paused" in text_of(pilot))
        await until(pilot, lambda: isinstance(driven.inbox.take(), Pause))
        await pilot.press("space")
        await until(pilot, lambda: not (begun.folder / PAUSE_FILE).exists())
        await pilot.press("x")
        await on_screen(pilot, ConfirmDialog)
        await pilot.press("escape")
        await on_screen(pilot, StudyScreen)
        assert not (begun.folder / STOP_FILE).exists()
        await pilot.press("x", "y")
        await until(pilot, (begun.folder / STOP_FILE).exists)
        await until(pilot, lambda: isinstance(driven.inbox.take(), Stop))
        driven.close()
        begun.close(status="interrupted")
        await until(pilot, lambda: "■ interrupted" in text_of(pilot))


async def test_who_goes_on_with_a_study_is_a_process_of_its_own(begun: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def hand_over(folder: Path, command: list[str], **_: object) -> int:
        asked.append((folder, command[-2:]))
        if len(asked) == 1:
            raise HandOverError("no process today")
        return 77

    monkeypatch.setattr("l2o_tui.state.studies.hand_over", hand_over)
    begun.close(status="interrupted")
    async with watching(begun.folder) as pilot:
        await pilot.press("r")
        await until(pilot, lambda: "no process today" in messages(pilot))
        assert "starting" not in text_of(pilot)
        await pilot.press("r")
        await until(pilot, lambda: len(asked) == 2)
        assert asked[1] == (begun.folder, ["sweep", str(begun.folder)])


async def test_settings_are_compared_exported_and_drawn(finished: Path, workplace: Path) -> None:
    async with watching(finished) as pilot:
        await pilot.press("e")
        await until(pilot, (workplace / "study.csv").is_file)
        assert (workplace / "study.csv").read_text().splitlines()[0].startswith("preset,meta.learning_rate,seeds")
        await pilot.press("w")
        await until(pilot, (workplace / "study-meta.learning_rate.txt").is_file)
        await pilot.press("c")
        await on_screen(pilot, CompareScreen)
        await until(pilot, lambda: "lr" in text_of(pilot) and "final" in text_of(pilot))
        await pilot.press("escape")
        await on_screen(pilot, StudyScreen)
        await pilot.press("question_mark")
        await on_screen(pilot, HelpScreen)


async def test_runs_under_way_are_counted_when_asked_and_sorted(begun: Sweep) -> None:
    for place, figure in enumerate((-2.0, -3.0)):
        driven = DrivenRun.create(begun.jobs[place].preset, begun.jobs[place].folder)
        driven.update(status="running", iteration=20, average_log_result=figure)
        driven.close()
    async with watching(begun.folder) as pilot:
        await until(pilot, lambda: "2 interrupted" in text_of(pilot))
        assert "against" not in text_of(pilot)
        await pilot.press("u")
        await until(pilot, lambda: "against meta.learning_rate" in text_of(pilot))
        assert "as they are now" in text_of(pilot)
        await pilot.press("o")
        await until(pilot, lambda: "best first" in text_of(pilot))
        first = table(pilot, "jobs").get_row_at(0)
        assert "-3.00" in str(first[4])


async def test_home_opens_a_study_and_comes_back(finished: Path) -> None:
    app = L2oApp(runs_dir=finished.parent)
    async with app.run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, HomeScreen) and "study/" in text_of(pilot))
        await pilot.press("enter")
        await on_screen(pilot, StudyScreen)
        await pilot.press("escape")
        await on_screen(pilot, HomeScreen)


async def test_a_key_that_comes_as_the_screen_is_left_ends_nothing(finished: Path) -> None:
    app = L2oApp(runs_dir=finished.parent)
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, HomeScreen) and "study/" in text_of(pilot))
        await pilot.press("enter")
        await on_screen(pilot, StudyScreen)
        left = app.screen
        await pilot.press("escape")
        await on_screen(pilot, HomeScreen)
        await until(pilot, lambda: not left.children)
        assert left.check_action("other_table", ())


# The dialog.


@pytest.mark.parametrize(
    ("value", "proposed"), [(3e-4, [1e-4, 3e-4, 1e-3]), (1e-3, [3e-4, 1e-3, 3e-3]), (2e-3, [1e-3, 2e-3, 1e-2])]
)
def test_rates_around_the_presets_own_are_proposed(value: float, proposed: list[float]) -> None:
    assert _around(value) == pytest.approx(proposed, rel=1e-12)


async def test_a_preset_is_swept_from_home(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (workplace / "mine.toml").write_text(to_toml(tiny_preset("name=mine")))
    handed: list[Path] = []

    def hand_over(folder: Path, *_: object, **__: object) -> int:
        handed.append(folder)
        return 77

    monkeypatch.setattr("l2o_tui.state.studies.hand_over", hand_over)
    app = L2oApp(runs_dir=workplace / "runs")
    async with app.run_test(size=(80, 24), notifications=True) as pilot:
        await until(pilot, lambda: isinstance(app.screen, HomeScreen) and "leave" in text_of(pilot))
        await pilot.press("slash", *"mine", "enter", "S")
        await on_screen(pilot, SweepDialog)
        app.screen.query_one("#over", Input).value = "meta.learning_rate=1e-3"
        app.screen.query_one("#and-over", Input).value = "network.hiden=3,4"
        await pilot.press("enter")
        await until(pilot, lambda: 'did you mean "hidden"' in text_of(pilot))
        assert not (workplace / "runs").exists()
        app.screen.query_one("#and-over", Input).value = "network.hidden=3,4"
        app.screen.query_one("#seeds", Input).value = "2.5"
        await pilot.press("enter")
        await until(pilot, lambda: "seeds: " in text_of(pilot))
        app.screen.query_one("#seeds", Input).value = "2"
        await pilot.press("enter")
        await on_screen(pilot, StudyScreen)
        await until(pilot, lambda: "4 waiting" in text_of(pilot))
        (folder,) = handed
        made: Study = read_study(folder)
        assert [dict(one.settings) for one in made.variations] == [
            {"meta.learning_rate": 1e-3, "network.hidden": hidden} for hidden in (3, 4)
        ]
        assert (made.seeds, made.presets[0].name) == (2, "mine")


async def test_the_dialog_says_how_many_runs_it_will_be_and_speaks_of_its_fields(workplace: Path) -> None:
    (workplace / "mine.toml").write_text(to_toml(tiny_preset("name=mine")))
    app = L2oApp(runs_dir=workplace / "runs")
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: isinstance(app.screen, HomeScreen) and "leave" in text_of(pilot))
        app.push_screen(SweepDialog(workplace / "mine.toml", workplace / "runs"))
        await on_screen(pilot, SweepDialog)
        await until(pilot, lambda: "3 settings × 4 seeds: 12 runs of 30 meta-iterations" in text_of(pilot))
        for name, typed, is_started, said in (
            ("over", "meta.learning_rate", True, "vary: write it as table.key=a,b,c"),
            ("over", "meta.learning_rate=1e-4:1e-2:log", True, "vary: list the values"),
            ("over", "meta.learning_rate=1e-3", False, "1 setting × 4 seeds: 4 runs of 30"),
            ("seeds", "0", True, "seeds: must be at least 1"),
            ("seeds", "2", False, "2 runs of 30"),
            ("iterations", "", True, 'meta-iterations: "" is not a whole number'),
            ("iterations", "1e3", False, "2 runs of 1,000 meta-iterations"),
            ("name", "my study", True, 'cannot be called "my study"'),
            ("over", "run.seed=1,2", True, "run.seed is not varied"),
        ):
            app.screen.query_one(f"#{name}", Input).value = typed
            await pilot.pause()
            if is_started:
                await pilot.press("enter")
            await until(pilot, partial(is_said, pilot, said))
            assert "--" not in text_of(pilot)
        assert not (workplace / "runs").exists()


def job(rate: float, final: float, state: Any = "finished") -> JobStanding:
    return JobStanding(Path(f"{rate}"), "mine", {"meta.learning_rate": rate}, 0, state, 30, 30, final, 1.0)


@pytest.mark.parametrize(
    ("finals", "said"),
    [
        ((-1.0, -2.0, -3.0), "lr 3e-3 is the greatest tried"),
        ((-3.0, -2.0, -1.0), "lr 1e-4 is the least tried"),
        ((-1.0, -3.0, -2.0), ""),
        ((-1.0, -3.0), ""),
    ],
)
def test_it_is_said_where_the_best_lies_at_an_end_of_what_was_tried(finals: tuple[float, ...], said: str) -> None:
    jobs = tuple(job(rate, final) for rate, final in zip((1e-4, 1e-3, 3e-3), finals, strict=False))
    standing = StudyStanding("rates", Path("rates"), "finished", jobs)
    assert edge_of(standing, Labels(jobs)) == said
    assert (said in progress_of(standing, Labels(jobs))) is bool(said)


def test_while_a_kernel_is_compiled_that_is_said_and_what_is_paused_is_called_so() -> None:
    waits = (job(1e-4, float("nan"), "waits"), job(1e-3, float("nan"), "waits"))
    standing = StudyStanding("rates", Path("rates"), "running", waits, preparing=2)
    assert "compiling the kernel for 2 runs" in progress_of(standing, Labels(waits))
    paused = (job(1e-4, -1.0, "paused"), waits[1])
    assert "1 paused" in progress_of(replace(standing, status="paused", jobs=paused), Labels(paused))


def test_a_study_from_the_screen_takes_no_other_s_place(tmp_path: Path) -> None:
    first, other = study(RATES, seeds=2), study("meta.learning_rate=3e-3", seeds=2)
    assert of_its_own(first, tmp_path) == first
    begin = Sweep(first, runs_dir=tmp_path)
    begin.begin()
    assert of_its_own(first, tmp_path).name == first.name  # it goes on
    assert of_its_own(other, tmp_path).name == f"{first.name}-2"
    (tmp_path / f"{first.name}-2").mkdir()
    assert of_its_own(other, tmp_path).name == f"{first.name}-3"
    long = replace(other, name="a" * 64)
    (tmp_path / long.name).mkdir()
    assert of_its_own(long, tmp_path).name == "a" * 60 + "-2"
