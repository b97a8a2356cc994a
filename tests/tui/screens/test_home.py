"""The home screen: what it lists, and what its keys do, on real folders with tiny runs."""

import json
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from threading import Event as Flag
from typing import Any

import pytest
from pyarrow import parquet
from textual.pilot import Pilot
from textual.widgets import Input, RadioButton, Static

from l2o_engine.presets.tables import to_toml
from l2o_engine.runs.about import About
from l2o_engine.runs.catalogue import list_runs
from l2o_engine.runs.describe import about_of
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.export import export_file
from l2o_engine.runs.folder import Run
from l2o_tui.app import L2oApp
from l2o_tui.charts.widget import ComparisonChart
from l2o_tui.panes.entry_table import EntryTable
from l2o_tui.panes.preset_entries import PresetEntry, read_presets
from l2o_tui.screens.compare import CompareScreen
from l2o_tui.screens.describe import DescribeDialog
from l2o_tui.screens.dialogs import ConfirmDialog, ExtendDialog, FailureScreen, HelpScreen
from l2o_tui.screens.difference import DifferenceScreen
from l2o_tui.screens.export import ExportDialog
from l2o_tui.screens.home import HomeScreen
from l2o_tui.screens.start import StartDialog
from l2o_tui.screens.training import TrainingScreen
from tests.engine import tiny
from tests.tui.conftest import ENDLESS, TINY, Running
from tests.tui.waiting import PATIENCE_SECONDS, text_of, until

SIZES = [(80, 24), (120, 40), (160, 50)]


@pytest.fixture
def runs_dir(workplace: Path) -> Path:
    """A runs folder with two finished runs, in the working folder."""
    folder = workplace / "runs"
    tiny.run(folder / "first-s0", tiny.tiny_preset())
    tiny.run(folder / "second-s1", tiny.tiny_preset("run.seed=1"))
    return folder


@asynccontextmanager
async def home(runs_dir: Path, size: tuple[int, int] = (120, 40)) -> AsyncIterator[Pilot[int]]:
    app = L2oApp(runs_dir=runs_dir)
    async with app.run_test(size=size, notifications=True) as pilot:
        await until(pilot, lambda: isinstance(app.screen, HomeScreen) and app.screen.focused is not None)
        await until(pilot, lambda: "leave" in text_of(pilot))  # the footer comes last
        yield pilot


def table(pilot: Pilot[int], name: str) -> EntryTable:
    return pilot.app.screen.query_one(f"#{name}", EntryTable)


async def on_screen(pilot: Pilot[int], kind: type) -> None:
    await until(pilot, lambda: isinstance(pilot.app.screen, kind))
    await pilot.pause()


@pytest.mark.parametrize("size", SIZES)
async def test_presets_and_runs_are_listed_with_one_line_each(runs_dir: Path, size: tuple[int, int]) -> None:
    async with home(runs_dir, size) as pilot:
        seen = text_of(pilot)
        for text in ("simple_sum", "Episode 1", "first-s0", "second-s1", "finished", "30/30"):
            assert text in seen
        assert table(pilot, "runs").row_count == 2
        assert pilot.app.screen.focused is table(pilot, "runs")


async def test_without_runs_it_says_what_to_do(workplace: Path) -> None:
    async with home(workplace / "runs", (80, 24)) as pilot:
        assert "start a preset with enter" in text_of(pilot)
        assert pilot.app.screen.focused is table(pilot, "presets")
        for label in ("start", "filter", "help", "leave"):
            assert label in text_of(pilot)
        await pilot.press("r", "c", "e", "delete", "space")  # nothing is selected that they could be about
        assert isinstance(pilot.app.screen, HomeScreen)


async def test_the_presets_of_the_folder_are_listed_and_a_bad_one_says_why(workplace: Path) -> None:
    (workplace / "mine.toml").write_text(to_toml(tiny.tiny_preset()))
    (workplace / "bad.toml").write_text('name = "bad"\n[meta]\nepsilonn = 1\n')
    found = {entry.path.name: entry for entry in read_presets()}
    assert found["mine.toml"].name == "tiny"
    assert "epsilonn" in found["bad.toml"].problem
    async with home(workplace / "runs") as pilot:
        await pilot.press("slash", *"bad", "enter")
        await pilot.press("enter")
        assert isinstance(pilot.app.screen, HomeScreen)  # it cannot be started


async def test_what_is_called_a_preset_and_is_no_file_keeps_nobody_waiting(workplace: Path) -> None:
    os.mkfifo(workplace / "pipe.toml")
    (workplace / "zero.toml").symlink_to("/dev/zero")
    (workplace / "loop.toml").symlink_to("loop.toml")
    (workplace / "long.toml").write_text("#" * 2_000_000)
    found = {entry.path.name: entry for entry in read_presets()}
    for name in ("pipe.toml", "zero", "loop.toml", "long.toml"):
        assert "cannot be read" in found[name].problem


async def test_a_run_that_cannot_be_read_is_listed_with_its_reason_and_mended(runs_dir: Path) -> None:
    (runs_dir / "first-s0" / "run.json").write_text("")
    (runs_dir / "later").mkdir()
    (runs_dir / "later" / "run.json").write_text('{"format": 2}')
    async with home(runs_dir, (160, 50)) as pilot:
        seen = text_of(pilot)
        assert "first-s0: cannot be read: it is empty" in seen
        assert "later: is of format 2, this version reads 1" in seen
        assert "second-s1" in seen
        await pilot.press("down", "down", "enter")  # the last of them
        await until(pilot, lambda: text_of(pilot).count("later: is of format 2") == 2)
        await pilot.press("r", "space", "c", "e")
        assert isinstance(pilot.app.screen, HomeScreen)
        await pilot.press("up", "r")
        await on_screen(pilot, TrainingScreen)
        await until(pilot, lambda: "finished" in text_of(pilot))
    assert Run(runs_dir / "first-s0").record().iteration == 30


async def test_a_run_is_started_with_another_seed_and_length(workplace: Path) -> None:
    (workplace / "mine.toml").write_text(to_toml(tiny.tiny_preset()))
    async with home(workplace / "runs") as pilot:
        await pilot.press("slash", *"tiny", "enter", "enter")
        await on_screen(pilot, StartDialog)
        screen = pilot.app.screen
        screen.query_one("#iterations", Input).value = "0"
        await pilot.press("enter")
        assert "iterations" in str(screen.query_one("#start-error", Static).render())
        screen.query_one("#iterations", Input).focus()
        await pilot.press("home", "shift+end", *"1e6y", "enter")
        assert '"1e6y" is not a whole number' in str(screen.query_one("#start-error", Static).render())
        await pilot.press(*["backspace"] * 4, *"1.2e1")
        screen.query_one("#seed", Input).value = "7"
        screen.query_one("#settings", Input).value = "meta.epsilon=1e-12"
        screen.query_one("#about-tags", Input).value = "x" * 41
        await pilot.press("enter")
        assert "a tag may have 40 characters" in str(screen.query_one("#start-error", Static).render())
        screen.query_one("#about-tags", Input).value = "a, b"
        screen.query_one("#about-name", Input).value = "small ε"
        await pilot.press("enter")
        await on_screen(pilot, TrainingScreen)
        await until(pilot, lambda: "finished" in text_of(pilot))
        assert re.search(r"finished.* tiny · small ε · seed 7", text_of(pilot))
        await pilot.press("q")
        await on_screen(pilot, HomeScreen)
        await until(pilot, lambda: table(pilot, "runs").row_count == 1)
    (run,) = list_runs(workplace / "runs")
    assert (run.record().seed, run.record().iterations, run.status()) == (7, 12, "finished")
    assert run.preset().meta.epsilon == 1e-12
    assert about_of(run.record()) == About("small ε", "", ("a", "b"))
    assert run.record().changed == {"meta.epsilon": [tiny.tiny_preset().meta.epsilon, 1e-12]}  # against mine.toml


@pytest.mark.parametrize("size", SIZES)
async def test_all_of_the_dialog_is_seen(size: tuple[int, int], workplace: Path) -> None:
    async with home(workplace / "runs", size) as pilot:
        await pilot.press("slash", *"curriculum", "enter", "enter")
        await on_screen(pilot, StartDialog)
        await pilot.press("shift+tab")
        seen = text_of(pilot)
        for said in ("seed", "replicates", "meta-iterations", "settings", "name", "tags", "note", "Start (enter)"):
            assert said in seen
        dialog = pilot.app.screen.query_one(".dialog")
        assert dialog.max_scroll_y == 0


async def test_looking_at_a_run_changes_nothing_of_it(runs_dir: Path) -> None:
    def contents() -> dict[str, bytes]:
        return {p.name: p.read_bytes() for p in (runs_dir / "second-s1").iterdir() if p.is_file() and p.name != ".lock"}

    before = contents()
    async with home(runs_dir) as pilot:
        await pilot.press("enter")
        await on_screen(pilot, TrainingScreen)
        await until(pilot, lambda: "finished" in text_of(pilot))
        assert "stop" not in text_of(pilot)
        await pilot.press("q")
        await on_screen(pilot, HomeScreen)
    assert contents() == before


async def test_a_finished_run_is_continued_to_a_new_total(runs_dir: Path) -> None:
    async with home(runs_dir) as pilot:
        await pilot.press("r")
        await on_screen(pilot, ExtendDialog)
        await pilot.press("enter")  # twice as far is proposed
        await on_screen(pilot, TrainingScreen)
        await until(pilot, lambda: "60 of 60" in text_of(pilot) and "finished" in text_of(pilot))
        await pilot.press("q")
        await on_screen(pilot, HomeScreen)
    assert json.loads((runs_dir / "second-s1" / "run.json").read_text())["iteration"] == 60


async def test_an_interrupted_run_is_looked_at_and_gone_on_with_from_there(runs_dir: Path) -> None:
    driven = DrivenRun.take(runs_dir / "second-s1")
    driven.set_iterations(60)
    driven.update(status="interrupted")
    driven.close()
    async with home(runs_dir) as pilot:
        await pilot.press("enter")
        await on_screen(pilot, TrainingScreen)
        await until(pilot, lambda: "resume here" in text_of(pilot))
        await pilot.press("R")
        await until(pilot, lambda: "60 of 60" in text_of(pilot) and "finished" in text_of(pilot))
        await pilot.press("q")
        await on_screen(pilot, HomeScreen)
    assert json.loads((runs_dir / "second-s1" / "run.json").read_text())["iteration"] == 60


async def test_marked_runs_are_compared(runs_dir: Path) -> None:
    async with home(runs_dir) as pilot:
        await pilot.press("space", "space")
        await until(pilot, lambda: "2 marked" in text_of(pilot))
        await pilot.press("c")
        await on_screen(pilot, CompareScreen)
        await until(pilot, lambda: "took off" in text_of(pilot))
        seen = text_of(pilot)
        assert "RMSProp" in seen
        assert "Σ losses" in seen
        await pilot.press("question_mark")
        await on_screen(pilot, HelpScreen)
        await pilot.press("escape", "y", "q")
        await on_screen(pilot, HomeScreen)


async def test_all_runs_of_a_preset_are_compared_and_the_table_is_sorted(runs_dir: Path, workplace: Path) -> None:
    tiny.run(runs_dir / "third-s0", tiny.tiny_preset("meta.learning_rate=0.1"))
    (workplace / "mine.toml").write_text(to_toml(tiny.tiny_preset()))
    (workplace / "other.toml").write_text(to_toml(tiny.tiny_preset()).replace('"tiny"', '"other"'))
    async with home(runs_dir) as pilot:
        app = pilot.app
        await pilot.press("tab", "end", "c")
        await until(pilot, lambda: "there is no run of other yet" in text_of(pilot))
        await pilot.press("up", "c")
        await on_screen(pilot, CompareScreen)
        await until(pilot, lambda: "floor of" in text_of(pilot))
        figures = app.screen.query_one("#figures-text", Static)

        def order() -> list[str]:
            lines = str(figures.render()).splitlines()
            return [line[0] for line in lines if " lr " in line]

        chart = app.screen.query_one(ComparisonChart)
        assert chart.drawn is not None
        marks = [series.style.marker() for series in chart.drawn.series]
        assert order() == marks
        finals = [series.at for series in chart.drawn.series]
        await pilot.press("o")
        await until(pilot, lambda: "sorted by final" in str(figures.render()))
        assert order() == [mark for _, mark in sorted(zip(finals, marks, strict=True))]
        assert [series.style.marker() for series in chart.drawn.series] == marks  # the chart stays as it is
        await pilot.press("s")
        assert sum(series.is_replicate for series in chart.drawn.series) == 2  # of the two seeds
        await pilot.press("s", "right_square_bracket")
        assert not any(series.is_replicate for series in chart.drawn.series)
        assert "of 10" in chart.drawn.caption
        await pilot.press("left_square_bracket")
        assert " of " not in chart.drawn.caption
        scroller = app.screen.query_one("#figures")
        shown = []
        for _ in range(3):
            await pilot.press("m")
            shown.append((chart.display, scroller.display))
        assert shown == [(True, False), (False, True), (True, True)]
        await pilot.resize_terminal(80, 16)
        await pilot.press("down")
        await until(pilot, lambda: scroller.scroll_y == 1)


async def test_a_run_is_started_anew_with_edits(runs_dir: Path) -> None:
    async with home(runs_dir) as pilot:
        await pilot.press("k")
        await on_screen(pilot, StartDialog)
        assert "Start anew from second-s1" in text_of(pilot)
        pilot.app.screen.query_one("#settings", Input).value = "meta.epsilon=1e-12"
        await pilot.press("enter")
        await on_screen(pilot, TrainingScreen)
        await until(pilot, lambda: "finished" in text_of(pilot))
    *_, newest = list_runs(runs_dir)
    assert (newest.preset().meta.epsilon, newest.preset().run.seed) == (1e-12, 1)
    assert newest.record().changed == {"meta.epsilon": [tiny.tiny_preset().meta.epsilon, 1e-12]}


async def test_what_must_be_known_of_a_comparison_is_said_below_it(runs_dir: Path) -> None:
    tiny.run(runs_dir / "third-s1", tiny.tiny_preset("run.seed=1"))
    async with home(runs_dir) as pilot:
        await pilot.press("space", "space", "space")
        await until(pilot, lambda: "3 marked" in text_of(pilot))
        await pilot.press("c")
        await on_screen(pilot, CompareScreen)
        await until(pilot, lambda: "seed 1 was run 2 times and counts 2 times" in text_of(pilot))


async def test_a_run_is_exported_and_a_file_that_is_there_is_not_overwritten(runs_dir: Path) -> None:
    target = runs_dir.parent / "second-s1.csv"
    async with home(runs_dir) as pilot:
        await pilot.press("e")
        await on_screen(pilot, ExportDialog)
        await pilot.press("enter")
        await on_screen(pilot, HomeScreen)
        assert target.read_bytes() == (runs_dir / "second-s1" / "metrics.csv").read_bytes()
        await pilot.press("e")
        await on_screen(pilot, ExportDialog)
        output = pilot.app.screen.query_one("#output", Input)
        assert output.value == "second-s1-2.csv"  # a name that is free
        output.value = target.name
        await pilot.press("enter")
        await until(
            pilot, lambda: str(target.name) in str(pilot.app.screen.query_one("#export-error", Static).render())
        )
        await pilot.press("escape")


async def test_a_run_is_exported_in_the_format_that_is_chosen(runs_dir: Path) -> None:
    async with home(runs_dir) as pilot:
        await pilot.press("e")
        await on_screen(pilot, ExportDialog)
        pilot.app.screen.query_one("#parquet", RadioButton).value = True
        output = pilot.app.screen.query_one("#output", Input)
        await until(pilot, lambda: output.value == "second-s1.parquet")
        await pilot.press("enter")
        await on_screen(pilot, HomeScreen)
    rows = (runs_dir / "second-s1" / "metrics.csv").read_bytes().count(b"\n") - 1
    assert parquet.read_table(runs_dir.parent / "second-s1.parquet").num_rows == rows


async def test_an_export_of_a_run_with_damage_says_it(runs_dir: Path) -> None:
    with (runs_dir / "second-s1" / "events.jsonl").open("ab") as file:
        file.write(b"\xff\n")
    async with home(runs_dir) as pilot:
        await pilot.press("e")
        await on_screen(pilot, ExportDialog)
        await pilot.press("enter")
        note = "second-s1: 1 damaged line was skipped in events.jsonl"
        await until(pilot, lambda: [told.message.partition("\n")[2] for told in pilot.app._notifications] == [note])


async def test_a_run_is_deleted_once_confirmed(runs_dir: Path) -> None:
    async with home(runs_dir) as pilot:
        await pilot.press("delete")
        await on_screen(pilot, ConfirmDialog)
        await pilot.press("enter")  # no has the focus
        await on_screen(pilot, HomeScreen)
        assert (runs_dir / "second-s1").is_dir()
        await pilot.press("delete")
        await on_screen(pilot, ConfirmDialog)
        await pilot.press("y")
        await until(pilot, lambda: not (runs_dir / "second-s1").exists())
        await until(pilot, lambda: table(pilot, "runs").row_count == 1)
    assert (runs_dir / "first-s0").is_dir()


async def test_a_run_that_cannot_be_read_is_deleted_alone(runs_dir: Path) -> None:
    (runs_dir / "second-s1" / "run.json").write_bytes(b"")
    async with home(runs_dir) as pilot:
        await pilot.press("space", "down", "delete")  # first-s0 is marked, and not what this is about
        await on_screen(pilot, ConfirmDialog)
        assert "Delete second-s1?" in text_of(pilot)
        assert "it is empty" in text_of(pilot)
        await pilot.press("y")
        await until(pilot, lambda: not (runs_dir / "second-s1").exists())
        await until(pilot, lambda: table(pilot, "runs").row_count == 1)
    assert (runs_dir / "first-s0").is_dir()


async def test_a_run_that_is_driven_can_be_watched_and_steered_and_not_deleted(runs_dir: Path) -> None:
    busy = runs_dir / "busy"
    # Quiet, for nobody reads what it says: a full pipe would stop it.
    running = Running("run", "log30", "--quiet", *TINY, f"--iterations={ENDLESS}", "--run-dir", busy)
    try:
        assert running.process.stdout
        assert running.process.stdout.readline().strip() == str(busy)
        async with home(runs_dir) as pilot:
            await until(pilot, lambda: "attach" in text_of(pilot))
            assert "resume" not in text_of(pilot)
            await pilot.press("delete", "r")
            assert isinstance(pilot.app.screen, HomeScreen)
            await pilot.press("enter")
            await on_screen(pilot, TrainingScreen)
            await until(pilot, lambda: "● running" in text_of(pilot))
            await pilot.press("space")
            await until(pilot, lambda: "‖ paused" in text_of(pilot))
            await pilot.press("q")  # leaving it asks nothing and ends nothing
            await on_screen(pilot, HomeScreen)
        assert running.process.poll() is None
        assert json.loads((busy / "run.json").read_text())["status"] == "paused"
    finally:
        running.end()


async def test_the_filter_shows_what_has_the_text_and_escape_shows_all_again(runs_dir: Path) -> None:
    async with home(runs_dir) as pilot:
        everything = table(pilot, "presets").row_count
        await pilot.press("slash", *"second")
        await until(pilot, lambda: (table(pilot, "runs").row_count, table(pilot, "presets").row_count) == (1, 0))
        await until(pilot, lambda: "1 not shown" in text_of(pilot))
        await pilot.press("enter")
        await pilot.pause()
        assert pilot.app.screen.focused is table(pilot, "runs")
        await pilot.press("escape")
        await until(
            pilot, lambda: (table(pilot, "runs").row_count, table(pilot, "presets").row_count) == (2, everything)
        )


async def test_what_happens_in_the_folder_is_seen(runs_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("l2o_tui.screens.home.REFRESH_SECONDS", 0.1)
    async with home(runs_dir) as pilot:
        tiny.run(runs_dir / "third", tiny.tiny_preset("run.seed=2"))
        await until(pilot, lambda: table(pilot, "runs").row_count == 3)
        assert pilot.app.screen.focused is table(pilot, "runs")


async def test_q_leaves_with_0(runs_dir: Path) -> None:
    app = L2oApp(runs_dir=runs_dir)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.pause()
        await pilot.press("tab", "tab", "question_mark", "escape", "q")
    assert app.return_code == 0


# What may go wrong.


def change_record(folder: Path, **changes: object) -> None:
    record = folder / "run.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | changes))


async def test_deleting_tells_of_the_marked_run_and_not_of_the_selected_one(runs_dir: Path) -> None:
    change_record(runs_dir / "first-s0", status="interrupted", iteration=17)
    async with home(runs_dir) as pilot:
        await pilot.press("down", "space", "up", "delete")  # first-s0 is marked, the cursor is on second-s1
        await on_screen(pilot, ConfirmDialog)
        seen = text_of(pilot)
        assert "Delete first-s0?" in seen
        assert "17 meta-iterations, interrupted" in seen
        await pilot.press("y")
        await until(pilot, lambda: not (runs_dir / "first-s0").exists())
    assert (runs_dir / "second-s1").is_dir()


async def test_deleting_marked_runs_names_each_be_it_hidden_or_not(runs_dir: Path) -> None:
    change_record(runs_dir / "first-s0", status="interrupted", iteration=17)
    async with home(runs_dir) as pilot:
        await pilot.press("space", "space", "slash", *"second", "enter", "delete")
        await on_screen(pilot, ConfirmDialog)
        seen = text_of(pilot)
        assert "Delete the 2 marked runs?" in seen
        assert "first-s0: 17 meta-iterations, interrupted" in seen
        assert "second-s1: 30 meta-iterations, finished" in seen


async def test_a_look_that_began_before_a_mark_does_not_take_it_away(runs_dir: Path) -> None:
    async with home(runs_dir) as pilot:
        screen = pilot.app.screen
        assert isinstance(screen, HomeScreen)
        before = screen._read_runs()
        await pilot.press("space")
        screen._take_runs(before)
        await pilot.pause()
        assert "● second-s1" in " ".join(text_of(pilot).split())
        assert "1 marked" in text_of(pilot)


@pytest.mark.parametrize("text", [None, 'name = "mine"\n[meta]\nepsilonn = 1\n'])
async def test_a_preset_that_was_deleted_or_spoilt_since_it_was_listed_says_so(
    workplace: Path, text: str | None
) -> None:
    mine = workplace / "mine.toml"
    mine.write_text(to_toml(tiny.tiny_preset()))
    async with home(workplace / "runs") as pilot:
        await pilot.press("slash", *"tiny", "enter")
        await until(pilot, lambda: table(pilot, "presets").row_count == 1)
        if text is None:
            mine.unlink()
        else:
            mine.write_text(text)
        await pilot.press("enter")
        await until(pilot, lambda: "mine.toml" in messages(pilot))
        assert isinstance(pilot.app.screen, HomeScreen)
        assert table(pilot, "presets").row_count == 0  # none called "tiny" is left


def messages(pilot: Pilot[int]) -> str:
    return "\n".join(notification.message for notification in pilot.app._notifications)


async def test_a_run_that_vanished_cannot_be_taken_over_and_the_program_says_so(runs_dir: Path) -> None:
    change_record(runs_dir / "second-s1", status="interrupted")
    async with home(runs_dir) as pilot:
        await pilot.press("enter")
        await on_screen(pilot, TrainingScreen)
        await until(pilot, lambda: "resume here" in text_of(pilot))
        (runs_dir / "second-s1").rename(runs_dir.parent / "elsewhere")
        await pilot.press("R")
        await until(pilot, lambda: "second-s1" in messages(pilot))
        await pilot.press("q")
        await on_screen(pilot, HomeScreen)


async def test_looking_at_a_failed_run_says_why_it_failed(runs_dir: Path) -> None:
    change_record(runs_dir / "second-s1", status="failed", message="No space left on device")
    async with home(runs_dir) as pilot:
        await pilot.press("enter")
        await on_screen(pilot, FailureScreen)
        assert "Training failed" in text_of(pilot)
        assert "No space left on device" in text_of(pilot)
        await pilot.press("escape")
        await on_screen(pilot, TrainingScreen)
        await until(pilot, lambda: "✖ failed" in text_of(pilot))


async def test_while_a_run_is_being_taken_the_screen_answers_and_it_is_taken_once(
    runs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_record(runs_dir / "second-s1", status="interrupted")
    take, taken, may_go_on = DrivenRun.take, [], Flag()

    def slowly(folder: Path, **options: Any) -> DrivenRun:
        taken.append(folder.name)
        assert may_go_on.wait(PATIENCE_SECONDS)
        return take(folder, **options)

    monkeypatch.setattr(DrivenRun, "take", slowly)
    async with home(runs_dir) as pilot:
        try:
            await pilot.press("r")
            await until(pilot, lambda: taken == ["second-s1"])
            await pilot.press("question_mark")
            await on_screen(pilot, HelpScreen)
            await pilot.press("escape")
            await on_screen(pilot, HomeScreen)
            await pilot.press("r", "enter")
            await until(pilot, lambda: "being opened already" in messages(pilot))
        finally:
            may_go_on.set()
        await on_screen(pilot, TrainingScreen)
        await until(pilot, lambda: "✔ finished" in text_of(pilot))
        await pilot.press("q")
        await on_screen(pilot, HomeScreen)
    assert taken == ["second-s1"]


async def test_a_run_that_another_process_drives_is_not_taken_and_the_program_says_so(runs_dir: Path) -> None:
    change_record(runs_dir / "second-s1", status="interrupted")
    async with home(runs_dir) as pilot:
        other = DrivenRun.take(runs_dir / "second-s1")
        try:
            # Not by its key, which is no longer offered once the list shows that the run is driven.
            pilot.app.resume(Run(runs_dir / "second-s1"), None)  # type: ignore[attr-defined]
            await until(pilot, lambda: "is being driven" in messages(pilot))
            assert isinstance(pilot.app.screen, HomeScreen)
        finally:
            other.close()


async def test_escape_is_offered_where_it_does_something(runs_dir: Path) -> None:
    async with home(runs_dir) as pilot:
        screen = pilot.app.screen
        assert isinstance(screen, HomeScreen)
        assert "clear_filter" not in {key.action for key in screen.offered_keys()}
        await pilot.press("slash", "x")
        assert "clear_filter" in {key.action for key in screen.offered_keys()}
        await pilot.press("escape")
        await until(pilot, lambda: "clear_filter" not in {key.action for key in screen.offered_keys()})


async def test_filtering_presets_stays_among_presets_and_begins_at_the_first(runs_dir: Path) -> None:
    tiny.run(runs_dir / "log43_end-s2", tiny.tiny_preset("run.seed=2"))
    async with home(runs_dir) as pilot:
        await pilot.press("tab", "end", "slash", *"log43_end", "enter")
        presets = table(pilot, "presets")
        await until(pilot, lambda: pilot.app.screen.focused is presets)
        assert isinstance(presets.selected, PresetEntry)
        assert presets.selected.name == "log43_end_log"
        await pilot.press("escape")
        await pilot.pause()
        assert pilot.app.screen.focused is presets


async def test_an_export_outlives_its_dialog(runs_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    may_write = Flag()

    def slow(*args: Any, **options: Any) -> None:
        assert may_write.wait(60)
        export_file(*args, **options)

    monkeypatch.setattr("l2o_tui.screens.export.export_file", slow)
    async with home(runs_dir) as pilot:
        await pilot.press("e")
        await on_screen(pilot, ExportDialog)
        await pilot.press("enter", "escape")
        await on_screen(pilot, HomeScreen)
        await until(pilot, lambda: any("goes on" in told.message for told in pilot.app._notifications))
        may_write.set()
        await until(pilot, lambda: any("exported to" in told.message for told in pilot.app._notifications))
    assert (runs_dir.parent / "second-s1.csv").read_bytes() == (runs_dir / "second-s1" / "metrics.csv").read_bytes()


# Names, studies, and more of what is selected.


async def test_what_is_selected_is_told_beside_the_lists_where_there_is_room(runs_dir: Path) -> None:
    tiny.run(runs_dir / "third", tiny.tiny_preset("meta.epsilon=1e-12", "name=log30"))
    async with home(runs_dir) as pilot:
        await until(pilot, lambda: "changed of log30" in text_of(pilot))
        await until(pilot, lambda: "meta.epsilon 1e-08 → 1e-12" in text_of(pilot))
        assert "end loss, log10" in text_of(pilot)
        await pilot.press("tab")
        await until(pilot, lambda: 'kind = "quadratic"' in text_of(pilot))
        await pilot.resize_terminal(80, 24)
        await until(pilot, lambda: 'kind = "quadratic"' not in text_of(pilot))


async def test_a_study_is_one_line_that_can_be_unfolded(runs_dir: Path) -> None:
    for seed in range(2):
        tiny.run(runs_dir / "sweep" / f"a-s{seed}", tiny.tiny_preset(f"run.seed={seed}"))
    async with home(runs_dir) as pilot:
        await until(pilot, lambda: "sweep/" in text_of(pilot) and table(pilot, "runs").row_count == 3)
        assert "2 finished" in text_of(pilot)
        await pilot.press("u")  # it is the newest
        await until(pilot, lambda: table(pilot, "runs").row_count == 5)
        await pilot.press("down", "enter")
        await on_screen(pilot, TrainingScreen)
        await pilot.press("q")
        await on_screen(pilot, HomeScreen)
        await pilot.press("up", "u")
        await until(pilot, lambda: table(pilot, "runs").row_count == 3)


async def test_what_a_run_is_called_is_asked_and_kept(runs_dir: Path) -> None:
    async with home(runs_dir) as pilot:
        await pilot.press("n")
        await on_screen(pilot, DescribeDialog)
        await pilot.press(*"best", "down", *"a,b", "enter")
        await on_screen(pilot, HomeScreen)
        await until(pilot, lambda: "best" in text_of(pilot))
        await pilot.press("n")
        await on_screen(pilot, DescribeDialog)
        pilot.app.screen.query_one("#about-tags", Input).value = "x" * 41
        await pilot.press("enter")
        await until(pilot, lambda: "a tag may have 40 characters" in text_of(pilot))
        await pilot.press("escape")
        await pilot.press("slash", *"finished BEST a", "enter")  # every word, wherever it stands
        await until(pilot, lambda: table(pilot, "runs").row_count == 1)
    assert about_of(Run(runs_dir / "second-s1").record()) == About("best", "", ("a", "b"))


async def test_the_difference_of_two_marked_runs_is_shown(runs_dir: Path) -> None:
    async with home(runs_dir) as pilot:
        await pilot.press("d")  # nothing is marked
        assert isinstance(pilot.app.screen, HomeScreen)
        await pilot.press("space", "space")
        await until(pilot, lambda: "2 marked" in text_of(pilot))
        await pilot.press("d")
        await on_screen(pilot, DifferenceScreen)
        assert re.search(r"first-s0 +second-s1 ", text_of(pilot))
        assert re.search(r"run\.seed +0 +1 ", text_of(pilot))
        await pilot.press("escape")
        await on_screen(pilot, HomeScreen)


async def test_runs_are_sorted_another_way_and_the_presets_say_how_theirs_are(runs_dir: Path) -> None:
    async with home(runs_dir) as pilot:
        names = [line.split()[1] for line in text_of(pilot).splitlines() if "30/30" in line]
        assert names == ["second-s1", "first-s0"]
        await pilot.press("s", "s")
        await until(pilot, lambda: "by name" in text_of(pilot))
        names = [line.split()[1] for line in text_of(pilot).splitlines() if "30/30" in line]
        assert names == ["first-s0", "second-s1"]


async def test_of_very_many_runs_the_newest_are_listed_and_more_on_request(
    runs_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("l2o_tui.screens.home.MOST_RUNS", 1)
    async with home(runs_dir) as pilot:
        assert table(pilot, "runs").row_count == 2
        assert "… and 1 more" in text_of(pilot)
        await pilot.press("slash", *"first", "enter")  # the filter looks at all of them
        await until(pilot, lambda: "first-s0" in text_of(pilot))
        await pilot.press("escape", "end", "enter")
        await until(pilot, lambda: "first-s0" in text_of(pilot) and "more" not in text_of(pilot))
