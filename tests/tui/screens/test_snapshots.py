"""Every screen and pane as text, beside what it was: at 80x24, 120x40 and, for training, 200x50.

After a change that is meant: ``pytest tests/tui/test_snapshots.py --snapshot-update``, and read what git shows.
"""

import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from syrupy.assertion import SnapshotAssertion
from syrupy.extensions.single_file import SingleFileSnapshotExtension, WriteMode
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Input

from l2o_engine.meta.learner import Results
from l2o_engine.optimizers.learned.learned_optimizer import LEARNED
from l2o_engine.presets import shipped
from l2o_engine.presets.files import load
from l2o_engine.presets.schema import Preset
from l2o_engine.presets.shipped import find
from l2o_engine.presets.story import group_of
from l2o_engine.presets.tables import to_toml
from l2o_engine.records.events import (
    Checkpointed,
    Curves,
    Diagnosed,
    Ended,
    Event,
    Found,
    NewRows,
    Preparing,
    ShowDraws,
    Started,
    StatusChanged,
    Stop,
)
from l2o_engine.records.health import Diagnostician
from l2o_engine.records.rows import rows_of
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.studies.sweep import STATE_FILE, StudySettings, Sweep, parse_over, study_of
from l2o_engine.training.trainer import Chunk, Lane
from l2o_tui.app import L2oApp
from l2o_tui.panes import run_entries, status
from l2o_tui.screens import training
from l2o_tui.screens.compare import CompareScreen
from l2o_tui.screens.dialogs import ConfirmDialog, ExtendDialog, FailureScreen, HelpScreen, LeaveDialog
from l2o_tui.screens.evaluate import EvaluateDialog
from l2o_tui.screens.export import ExportDialog
from l2o_tui.screens.home import HomeScreen
from l2o_tui.screens.start import StartDialog
from l2o_tui.screens.sweep import SweepDialog
from l2o_tui.state import feed, keys
from l2o_tui.state.open_run import OpenRun
from l2o_tui.state.themes import THEMES
from l2o_tui.text import detail
from tests.engine import tiny
from tests.engine.made import made_run
from tests.tui.curves import falling
from tests.tui.screens.test_training import FailingSession
from tests.tui.scripted import LANE, LEVELS, ScriptedSession, curves, preset, progress, rows, started
from tests.tui.text.test_health import recorded
from tests.tui.waiting import at_rest, text_of, until

if TYPE_CHECKING:
    from l2o_engine.support.arrays import Doubles

pytestmark = pytest.mark.skipif(
    sys.version_info[:2] != (3, 11), reason="one Python version owns the snapshots: 3.11, the least that is supported"
)

SMALL, MIDDLE, LARGE = (80, 24), (120, 40), (200, 50)
DONE = 20_000  # meta-iterations that the scripted runs have got to


class Text(SingleFileSnapshotExtension):
    """A file a picture, which one can read."""

    file_extension = "txt"
    _write_mode = WriteMode.TEXT


@pytest.fixture
def pictures(snapshot: SnapshotAssertion) -> SnapshotAssertion:
    return snapshot.use_extension(Text)


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the presets of the first episodes: another one that is shipped changes no picture."""
    folder: Path = tmp_path_factory.mktemp("shelf")
    for path in shipped.shipped_folder().glob("*.toml"):
        if group_of(load(path)) in ("episode1", "episode2"):
            shutil.copy(path, folder)
    return folder


@pytest.fixture(autouse=True)
def _same_everywhere(shelf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make what depends on time and machine depend on the events alone; let the screen draw whenever it looks."""
    monkeypatch.setattr(shipped, "shipped_folder", lambda: shelf)
    seconds = count(step=0.25)
    monkeypatch.setattr(feed, "monotonic", lambda: next(seconds))  # asked once for every chunk of rows
    for module in (run_entries, detail):
        monkeypatch.setattr(module, "age", lambda _: "2h 05m ago")
    monkeypatch.setattr(training, "LOOK_SECONDS", 0.02)
    monkeypatch.setattr(status, "resident_bytes", lambda: 250_000_000)


@asynccontextmanager
async def showing(
    told: list[Event],
    experiment: Preset,
    session: ScriptedSession | None = None,
    *,
    driver: str = keys.OWN,
    size: tuple[int, int] = SMALL,
) -> AsyncIterator[Pilot[int]]:
    """Show what a run has said; what the session says comes after it."""
    session = session or ScriptedSession([])
    opened = OpenRun(session, experiment, driver=driver)
    for event in told:  # before the screen is there, which therefore always draws the same
        opened.feed.publish(event)
    app = L2oApp(opened, fps=1000)
    async with app.run_test(size=size, notifications=True) as pilot:
        try:
            await until(pilot, session.has_told.is_set)
            yield pilot
        finally:  # leaving a run that is watched would not end the session, nor the test
            session.mailbox.put(Stop("the test is over"))


async def compare_with(pictures: SnapshotAssertion, pilot: Pilot[int], *sizes: tuple[int, int], name: str = "") -> None:
    """Compare the screen with the pictures of it at these sizes."""
    for width, height in sizes or (SMALL, MIDDLE):
        if pilot.app.size != (width, height):
            await pilot.resize_terminal(width, height)
        assert await at_rest(pilot) == pictures(name=f"{name} {width}x{height}".lstrip())


async def press_for(pilot: Pilot[int], key: str, kind: type[Screen[Any]]) -> None:
    """Press a key that opens a screen."""
    await at_rest(pilot)
    await pilot.press(key)
    await until(pilot, lambda: isinstance(pilot.app.screen, kind))


# The training screen.


def learning(experiment: Preset) -> list[Event]:
    """Return what a run says that has learned for a fifth of its time."""
    results = 10.0 ** falling(DONE, to=-22)
    told: list[Event] = [started(experiment)]
    for first in range(0, DONE, 1000):
        told.append(rows(first, list(results[first : first + 1000])))
        if first % experiment.report.every == 0:
            told.append(progress(first, float(np.log10(results[first : first + 1000]).mean())))
    return [*told, curves(), Checkpointed(DONE - 1, "runs/test/checkpoints/x", (0,), requested=False)]


def replicates() -> list[Event]:
    """Return what a run of four seeds says, of which one never learns."""
    experiment = preset("log15_end_log", "run.seeds=4")
    lanes = tuple(Lane(seed, LEARNED) for seed in range(4))
    results = [10.0 ** falling(DONE, seed=lane.seed, to=-14.0 + lane.seed) for lane in lanes[:3]]
    results.append(10.0 ** falling(DONE, seed=3, to=-0.3))
    told: list[Event] = [
        Started("runs/test", experiment.name, experiment.seeds, lanes, "fused", "test", -1, 50_000, LEVELS)
    ]
    nothing = np.zeros(1000)
    for first in range(0, DONE, 1000):
        chunks = []
        for lane, losses in zip(lanes, results, strict=True):
            steps = np.ones((1000, 1, 20))
            steps[:, 0, -1] = losses[first : first + 1000]
            chunks.append(Chunk(lane, first, Results(steps, nothing, nothing, nothing > 0)))
        told.append(NewRows(rows_of(chunks, lanes)))
    return [*told, curves()]


def stuck() -> list[Event]:
    """Return what a run says that Adam's ε keeps from learning, as it was recorded."""
    experiment = preset("log43_end_log")
    diagnostician = Diagnostician(experiment.experiment, experiment.report.every)
    told: list[Event] = [started(experiment)]
    for vitals in recorded("log43_end_log"):
        diagnosis = diagnostician.judge(vitals)
        told += [rows(vitals.iteration, [10.0**vitals.average_log_result]), Diagnosed(LANE, diagnosis)]
        told += [Found(LANE, vitals.iteration, finding) for finding in diagnosis.new]
    told += [progress(5000 * row, -0.3) for row in range(11)]
    return [*told, curves()]


def many_draws() -> Curves:
    """Return base losses of a hundred problems."""
    spread = 10.0 ** np.linspace(-2, 2, 100)[:, None]
    losses: dict[str, Doubles] = {name: spread * values for name, values in curves().losses.items()}
    return Curves(0, 10, losses)


LOG30, LOG15, LOG43 = preset(), preset("log15_end_log", "run.seeds=4"), preset("log43_end_log")
STATES: dict[str, tuple[Preset, Callable[[], list[Event]]]] = {
    "loading": (LOG30, lambda: [Preparing("compiling the kernel: once, some seconds")]),
    "running": (LOG30, lambda: learning(LOG30)),
    "paused": (LOG30, lambda: [*learning(LOG30), StatusChanged("paused", DONE - 1)]),
    "finished": (LOG30, lambda: [*learning(LOG30), Ended("finished", 100_000, 10.0, ())]),
    "diverged": (
        LOG30,
        lambda: [
            *learning(LOG30),
            rows(DONE, [1.0, float("nan"), float("inf"), 0.0]),
            Ended("diverged", DONE + 4, 10.0, (), "seed 0 diverged: 2 meta-iterations were not finite"),
        ],
    ),
    "replicates": (LOG15, replicates),
    "finding": (LOG43, stuck),
}


@pytest.mark.parametrize("state", STATES)
async def test_training(state: str, pictures: SnapshotAssertion) -> None:
    experiment, told = STATES[state]
    async with showing(told(), experiment) as pilot:
        await compare_with(pictures, pilot, SMALL, MIDDLE, LARGE)


async def test_training_failed(pictures: SnapshotAssertion) -> None:
    async with showing(learning(LOG30), LOG30, FailingSession([])) as pilot:
        await until(pilot, lambda: isinstance(pilot.app.screen, FailureScreen))
        await compare_with(pictures, pilot, name="dialog")
        await pilot.press("escape")
        await compare_with(pictures, pilot)


async def test_training_each_seed(pictures: SnapshotAssertion) -> None:
    async with showing(replicates(), LOG15) as pilot:
        await at_rest(pilot)
        await pilot.press("s", "b")
        await compare_with(pictures, pilot)


async def test_training_watched(pictures: SnapshotAssertion) -> None:
    async with showing(learning(LOG30), LOG30, driver=keys.WATCHED) as pilot:
        await compare_with(pictures, pilot)


async def test_training_too_small(pictures: SnapshotAssertion) -> None:
    async with showing(learning(LOG30), LOG30) as pilot:
        await compare_with(pictures, pilot, (40, 10))


PANES = ("convergence", "base", "progress", "health", "log")


@pytest.mark.parametrize("size", [SMALL, MIDDLE])
async def test_training_panes(size: tuple[int, int], pictures: SnapshotAssertion) -> None:
    """Alone: on a small screen always, on a greater one maximised."""
    async with showing(stuck(), LOG43, size=size) as pilot:
        await at_rest(pilot)
        if size != SMALL:
            await pilot.press("m")
        for pane in PANES:
            await compare_with(pictures, pilot, size, name=pane)
            await pilot.press("tab")


async def test_training_cursor_and_zoom(pictures: SnapshotAssertion) -> None:
    async with showing(learning(LOG30), LOG30) as pilot:
        await pilot.resize_terminal(*MIDDLE)
        await at_rest(pilot)
        await pilot.press("right", "pageup")
        await compare_with(pictures, pilot, name="cursor")
        await pilot.press("z", "z")
        await compare_with(pictures, pilot, name="zoomed")
        await pilot.press("escape", "l")
        await compare_with(pictures, pilot, name="panned")


async def test_training_linear(pictures: SnapshotAssertion) -> None:
    async with showing(learning(LOG30), LOG30) as pilot:
        await at_rest(pilot)
        await pilot.press("y")
        await compare_with(pictures, pilot)


async def test_training_many_draws(pictures: SnapshotAssertion) -> None:
    async with showing(learning(LOG30), LOG30, ScriptedSession([], {ShowDraws: [many_draws()]})) as pilot:
        await at_rest(pilot)
        await pilot.press("tab", "N")
        await until(pilot, lambda: "100 draws" in text_of(pilot))
        await compare_with(pictures, pilot)


@pytest.mark.parametrize(("key", "dialog"), [("question_mark", HelpScreen), ("q", LeaveDialog), ("+", ExtendDialog)])
async def test_training_dialogs(key: str, dialog: type[Screen[Any]], pictures: SnapshotAssertion) -> None:
    async with showing(learning(LOG30), LOG30) as pilot:
        await press_for(pilot, key, dialog)
        await compare_with(pictures, pilot)


async def test_what_a_network_is_judged_on_is_asked(
    pictures: SnapshotAssertion, monkeypatch: pytest.MonkeyPatch
) -> None:
    others = [load(find("log30"), [f"name={name}", f"title=A problem of {name}"]) for name in ("one", "another")]
    monkeypatch.setattr("l2o_tui.screens.evaluate.other_problems", lambda preset: others)
    async with showing(learning(LOG30), LOG30) as pilot:
        await press_for(pilot, "v", EvaluateDialog)
        await compare_with(pictures, pilot)


# Home and comparison, on folders as runs leave them.

SHORT = ("report.every=100", "report.rolling_window=20", "report.baseline_draws=100", "run.iterations=399")


@asynccontextmanager
async def at_home() -> AsyncIterator[Pilot[int]]:
    app = L2oApp(runs_dir=Path("runs"))
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        await until(pilot, lambda: isinstance(app.screen, HomeScreen) and app.screen.focused is not None)
        yield pilot


def ends_as(folder: Path, **changes: object) -> None:
    """Change what a run's record says."""
    record = folder / "run.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | changes))


@pytest.fixture
def runs(workplace: Path) -> Iterator[Path]:
    """A run in every state; the names rise with the time of creation."""
    folder = workplace / "runs"
    log30, simple = load(find("log30"), [*SHORT, "run.seeds=3"]), load(find("simple_sum"), SHORT)
    falls = [falling(400, seed=seed, to=to) for seed, to in enumerate((-22.0, -20.0, -1.0))]
    made_run(folder / "a-log30", log30, [list(fall) for fall in falls])
    made_run(folder / "b-simple", simple, [list(falling(400, to=-6.0))])
    made_run(folder / "c-interrupted", simple, [[-1.0] * 200])
    made_run(folder / "d-diverged", simple, [[-1.0] * 100])
    made_run(folder / "e-failed", simple, [[-1.0] * 50])
    for name, average in (("a-log30", -20.0), ("b-simple", -6.0), ("c-interrupted", -1.0)):
        ends_as(folder / name, average_log_result=average)
    for name in ("interrupted", "diverged", "failed"):
        ends_as(next(folder.glob(f"*-{name}")), status=name)
    driven = DrivenRun.create(simple, folder / "f-busy")
    driven.update(status="running", iteration=150)
    yield folder
    driven.close()


async def test_home(runs: Path, pictures: SnapshotAssertion) -> None:
    async with at_home() as pilot:
        await compare_with(pictures, pilot, SMALL, MIDDLE, LARGE, name="driven run")
        await pilot.press("down", "space")
        await until(pilot, lambda: "1 marked" in text_of(pilot))
        await compare_with(pictures, pilot, name="marked")
        await pilot.press("tab")
        await compare_with(pictures, pilot, name="presets")


async def test_home_empty(workplace: Path, pictures: SnapshotAssertion) -> None:
    (workplace / "mine.toml").write_text(to_toml(tiny.tiny_preset()))
    (workplace / "bad.toml").write_text('name = "bad"\n[meta]\nepsilonn = 1\n')
    async with at_home() as pilot:
        await compare_with(pictures, pilot)
        await pilot.press("end")
        await compare_with(pictures, pilot, name="end")


async def test_home_filtered(runs: Path, pictures: SnapshotAssertion) -> None:
    async with at_home() as pilot:
        await pilot.press("slash", *"simple")
        await compare_with(pictures, pilot, name="typing")
        await pilot.press("enter")
        await compare_with(pictures, pilot, name="found")
        await pilot.press("slash", *"nothing")
        await compare_with(pictures, pilot, name="nothing")


@pytest.mark.parametrize(
    ("key", "dialog"), [("question_mark", HelpScreen), ("delete", ConfirmDialog), ("e", ExportDialog)]
)
async def test_home_dialogs(runs: Path, key: str, dialog: type[Screen[Any]], pictures: SnapshotAssertion) -> None:
    async with at_home() as pilot:
        await pilot.press("down")
        await press_for(pilot, key, dialog)
        await compare_with(pictures, pilot)


async def test_home_start_dialog(workplace: Path, pictures: SnapshotAssertion) -> None:
    async with at_home() as pilot:
        await press_for(pilot, "enter", StartDialog)
        await compare_with(pictures, pilot)
        pilot.app.screen.query_one("#settings").focus()
        await pilot.press(*"meta.epsilonn", "equals_sign", "1", "enter")
        await until(pilot, lambda: "did you mean" in text_of(pilot))
        await compare_with(pictures, pilot, name="refused")


async def test_compare(runs: Path, pictures: SnapshotAssertion) -> None:
    async with at_home() as pilot:
        await pilot.press("end", "space", "up", "space")
        await until(pilot, lambda: "2 marked" in text_of(pilot))
        await press_for(pilot, "c", CompareScreen)
        await until(pilot, lambda: "floor of" in text_of(pilot))
        await compare_with(pictures, pilot)
        await press_for(pilot, "question_mark", HelpScreen)
        await compare_with(pictures, pilot, name="help")


async def test_home_sweep_dialog(workplace: Path, pictures: SnapshotAssertion) -> None:
    async with at_home() as pilot:
        await press_for(pilot, "S", SweepDialog)
        await compare_with(pictures, pilot)
        pilot.app.screen.query_one("#over", Input).value = "meta.epsilonn=1"
        await pilot.press("enter")
        await until(pilot, lambda: "did you mean" in text_of(pilot))
        await compare_with(pictures, pilot, name="refused")


# A study.


@pytest.fixture
def studied(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a study that is under way: runs in every state, two that wait."""
    asked = StudySettings(name="rates", seeds=2, set=SHORT)
    overs = [parse_over("meta.learning_rate=1e-4,1e-3,1e-2"), parse_over("network.hidden=10,20")]
    sweep = Sweep(study_of(asked, [load(find("log15_end_log"))], overs), runs_dir=workplace / "runs")
    sweep.begin()
    ends = {9: "running", 8: "diverged", 7: "failed", 6: "interrupted"}
    for place, job in enumerate(sweep.jobs[:10]):
        made_run(job.folder, job.preset, [list(falling(400, seed=place, to=-1.0 - place))])
        ends_as(job.folder, average_log_result=-1.0 - place, elapsed_seconds=60.0, status=ends.get(place, "finished"))
    ends_as(sweep.jobs[9].folder, iteration=150, pid=os.getpid())
    state = json.loads((sweep.folder / STATE_FILE).read_text())
    (sweep.folder / STATE_FILE).write_text(json.dumps(state | {"pid": 4711, "host": "lab"}))
    return sweep.folder


@asynccontextmanager
async def at_study(folder: Path) -> AsyncIterator[Pilot[int]]:
    app = L2oApp(study=folder, runs_dir=folder.parent)
    async with app.run_test(size=SMALL, notifications=True) as pilot:
        await until(pilot, lambda: "of 12 runs" in text_of(pilot))
        yield pilot


async def test_study(studied: Path, pictures: SnapshotAssertion) -> None:
    async with at_study(studied) as pilot:
        await compare_with(pictures, pilot, SMALL, MIDDLE)
        await pilot.press("g", "tab")
        await compare_with(pictures, pilot, name="settings")
        await pilot.press("m")
        await compare_with(pictures, pilot, name="chart alone")
        await press_for(pilot, "question_mark", HelpScreen)
        await compare_with(pictures, pilot, name="help")


# Colours.

Looks = Callable[[Pilot[int]], Awaitable[None]]


def colours_of(pilot: Pilot[int]) -> set[tuple[int, int, int]]:
    """Return all colours of characters and backgrounds that are on the screen."""
    segments = [segment for strip in pilot.app.screen._compositor.render_strips() for segment in strip]
    styles = [segment.style for segment in segments if segment.style]
    found = [colour for style in styles for colour in (style.color, style.bgcolor) if colour]
    return {tuple(colour.get_truecolor()) for colour in found}  # type: ignore[misc]


def is_grey(colour: Sequence[int]) -> bool:
    return max(colour) - min(colour) <= 1  # rounded


@pytest.mark.parametrize("variable", ["NO_COLOR", "NOTHING"])
async def test_no_color_means_no_colours(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv(variable, "1")
    async with showing(learning(LOG30), LOG30) as pilot:
        await pilot.resize_terminal(*MIDDLE)
        await at_rest(pilot)
        assert all(map(is_grey, colours_of(pilot))) == (variable == "NO_COLOR")


async def test_every_theme_shows_the_same_in_colours_of_its_own() -> None:
    async with showing(replicates(), LOG15) as pilot:
        await pilot.resize_terminal(*MIDDLE)
        texts, palettes = set(), set()
        for theme in THEMES:
            pilot.app.theme = theme.name
            texts.add(await at_rest(pilot))
            palettes.add(frozenset(colours_of(pilot)))
            first = theme.variables["series-1"]
            assert tuple(bytes.fromhex(first[1:])) in colours_of(pilot), theme.name
        assert len(texts) == 1
        assert len(palettes) == len(THEMES)
