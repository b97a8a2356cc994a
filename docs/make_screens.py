"""Makes the pictures of docs/screens.md and the README, and the key tables of docs/screens.md, from the real program.

.venv/bin/python docs/make_screens.py

It trains some runs in a temporary folder, opens them on the screens, presses keys, and saves what is seen. A minute.
"""

import asyncio
import os
import re
import resource
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Static

from l2o_engine.live.session import Session
from l2o_engine.presets.files import load, override
from l2o_engine.presets.shipped import find
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.folder import Run
from l2o_engine.studies.sweep import StudySettings, Sweep, parse_over, study_of
from l2o_tui.app import L2oApp
from l2o_tui.charts.widget import SettingChart
from l2o_tui.screens.compare import CompareScreen
from l2o_tui.screens.dialogs import ConfirmDialog, HelpScreen, LeaveDialog
from l2o_tui.screens.export import ExportDialog
from l2o_tui.screens.home import HomeScreen
from l2o_tui.screens.start import StartDialog
from l2o_tui.screens.study import StudyScreen
from l2o_tui.screens.sweep import SweepDialog
from l2o_tui.screens.training import TrainingScreen
from l2o_tui.state import keys
from l2o_tui.state.open_run import OpenRun
from l2o_tui.state.place import preferences_path
from l2o_tui.state.themes import DEFAULT_THEME

DOCS = Path(__file__).resolve().parent
PAGE, PICTURES, README_PICTURE = DOCS / "screens.md", DOCS / "screens", DOCS / "screen.svg"
BEGIN, END = "<!-- keys of {}: made by docs/make_screens.py -->", "<!-- end of keys -->"
SMALL, MIDDLE, LARGE = (80, 24), (120, 40), (200, 50)
_BACKGROUND = re.compile(r'<rect fill="([^"]+)" x="[^>]+ shape-rendering="crispEdges"/>')
_LINE_CLIP = re.compile(r' clip-path="url\(#[^"]+-line-\d+\)"|<clipPath id="[^"]+-line-\d+">.*?</clipPath>', re.DOTALL)
SWEPT, STUDIED = "log15_end_log", ("meta.learning_rate=1e-4,3e-4,1e-3,3e-3", "network.hidden=10,20")
PATIENCE = 120.0  # seconds, for a kernel may have to be compiled

# Runs that show something: a learned optimizer, one that never learns, replicates, others to compare with.
RUNS = {
    "log30-s6": ("log30", "run.seed=6"),
    "log43_end_log-s0": ("log43_end_log", "run.iterations=20000"),
    "simple_sum-s0": ("simple_sum",),
    "log15_end_log-s0-3": ("log15_end_log", "run.seeds=4"),
}


def key_table(screen: str) -> str:
    """Return the keys of a screen as a Markdown table."""
    rows = [f"| `{names.strip()}` | {text} |" for names, text in keys.help_lines(keys.on(screen))]
    return "\n".join(["| key | what it does |", "| --- | --- |", *rows])


def with_key_tables(page: str) -> str:
    """Return the page with its key tables made anew."""
    for screen in (keys.TRAINING, keys.HOME, keys.COMPARE, keys.OF_STUDY):
        before, begin, rest = page.partition(BEGIN.format(screen))
        _, end, after = rest.partition(END)
        page = f"{before}{begin}\n{key_table(screen)}\n{end}{after}"
    return page


def train(runs_dir: Path) -> dict[str, Run]:
    """Train the runs, the last of them the newest."""
    for name, (preset, *settings) in RUNS.items():
        for _ in Session(DrivenRun.create(load(find(preset), settings), runs_dir / name)).events():
            pass
    return {name: Run(runs_dir / name) for name in RUNS}


@asynccontextmanager
async def showing(app: L2oApp, size: tuple[int, int]) -> AsyncIterator[Pilot[int]]:
    """Show the program, once its first screen is there; what it remembers is forgotten afterwards."""
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: isinstance(app.screen, HomeScreen | TrainingScreen | StudyScreen))
        yield pilot
    preferences_path().unlink(missing_ok=True)


async def until(pilot: Pilot[int], condition: Callable[[], bool]) -> None:
    """Wait for the screen to get there."""
    for _ in range(int(PATIENCE / 0.1)):
        if condition():
            return
        await pilot.pause(0.1)
    raise TimeoutError(str(pilot.app.screen))


async def save_dialog(pilot: Pilot[int], picture: Path, dialog: type[Screen[Any]], *pressed: str) -> None:
    """Open a dialog with some keys and save it."""
    await pilot.press(*pressed)
    await until(pilot, lambda: isinstance(pilot.app.screen, dialog))
    await save(pilot, picture)


async def save(pilot: Pilot[int], picture: Path) -> None:
    """Save what is seen, once all of it is drawn."""
    await pilot.pause(1.0)
    picture.write_text(smaller(pilot.app.export_screenshot(title="l2o-tui")), encoding="utf-8")


def smaller(svg: str) -> str:
    """Return the same picture in half the bytes: its background once, not run by run, and no clipping of each line."""
    commonest = Counter(_BACKGROUND.findall(svg)).most_common(1)[0][0]
    head, group, rest = svg.partition('-clip-terminal)">')
    rest = _BACKGROUND.sub(lambda found: "" if found[1] == commonest else found[0], rest)
    svg = f'{head}{group}<rect fill="{commonest}" width="100%" height="100%"/>{rest}'
    return _LINE_CLIP.sub("", svg).replace("&#160;", "\u00a0")


async def picture_run(
    run: Run, picture: Path, size: tuple[int, int], *pressed: str, theme: str = DEFAULT_THEME
) -> None:
    """Save the training screen of a run, after some keys."""
    app = L2oApp(OpenRun.driving(DrivenRun.take(run.folder)))
    app.theme = theme
    async with showing(app, size) as pilot:
        await until(pilot, lambda: app.screen.query_one("#status").render_line(0).text.lstrip().startswith("✔"))
        await pilot.pause(1.0)
        for key in pressed:
            await pilot.press(key)
        await save(pilot, picture)


async def picture_small_home(runs_dir: Path) -> None:
    """Save the home screen and a comparison on a small terminal."""
    app = L2oApp(runs_dir=runs_dir)
    async with showing(app, SMALL) as pilot:
        await save(pilot, PICTURES / "home-small.svg")
        await pilot.press("down", "space", "down", "space")
        await save_comparison(pilot, PICTURES / "compare-small.svg")


async def save_comparison(pilot: Pilot[int], picture: Path) -> None:
    """Compare the marked runs and save that, once all of it is there."""
    app = pilot.app
    await pilot.press("c")
    await until(pilot, lambda: isinstance(app.screen, CompareScreen))
    await until(pilot, lambda: "floor of" in str(app.screen.query_one("#figures-text", Static).render()))
    await save(pilot, picture)


async def picture_home(runs_dir: Path) -> None:
    """Save the home screen and what is opened from there."""
    app = L2oApp(runs_dir=runs_dir)
    async with showing(app, MIDDLE) as pilot:
        await save(pilot, PICTURES / "home.svg")
        await save_dialog(pilot, PICTURES / "start.svg", StartDialog, "shift+tab", "down", "down", "down", "enter")
        await save_dialog(pilot, PICTURES / "delete.svg", ConfirmDialog, "escape", "tab", "end", "D")
        await save_dialog(pilot, PICTURES / "export.svg", ExportDialog, "escape", "e")
        await pilot.press("escape", "space", "up", "up", "space")
        await save_comparison(pilot, PICTURES / "compare.svg")


async def save_chart(pilot: Pilot[int], picture: Path) -> None:
    """Save a study's screen, once its chart is drawn."""
    chart = pilot.app.screen.query_one(SettingChart)
    await until(pilot, lambda: chart.drawn is not None)
    await save(pilot, picture)


async def picture_study(runs_dir: Path) -> None:
    """Save a study's screen at two sizes, and the dialog before one; one of its runs is under way, and some wait."""
    overs = [parse_over(over) for over in STUDIED]
    study = study_of(StudySettings(name="rates", seeds=4, set=("run.iterations=10000",)), [load(find(SWEPT))], overs)
    sweep = Sweep(study, runs_dir=runs_dir)
    sweep.begin()
    for job in sweep.jobs[:-3]:
        for _ in Session(DrivenRun.create(job.preset, job.folder)).events():
            pass
    half = override(sweep.jobs[-3].preset, ["run.iterations=6000"])
    for _ in Session(DrivenRun.create(half, sweep.jobs[-3].folder)).events():
        pass
    driven = DrivenRun.take(sweep.jobs[-3].folder)
    driven.set_iterations(10_000)
    driven.update(status="running")
    app = L2oApp(runs_dir=runs_dir)
    async with showing(app, MIDDLE) as pilot:
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))
        await pilot.press("tab", "slash", *SWEPT, "enter")
        await save_dialog(pilot, PICTURES / "sweep.svg", SweepDialog, "S")
    for size, picture in ((MIDDLE, "study.svg"), (SMALL, "study-small.svg")):
        async with showing(L2oApp(study=sweep.folder, runs_dir=runs_dir), size) as shown:
            await save_chart(shown, PICTURES / picture)
    driven.close()
    sweep.close()


async def picture_leaving_and_failing(folder: Path) -> None:
    """Save what is asked before a run that is not finished is left, and what is told when it fails."""
    for _ in Session(DrivenRun.create(load(find("log30"), ["run.iterations=60000"]), folder)).events():
        pass
    run = DrivenRun.take(folder)
    run.set_iterations(100_000)
    app = L2oApp(OpenRun(Session(run, interactive=True, start_paused=True), run.current, folder=folder))
    async with showing(app, SMALL) as pilot:
        await until(pilot, lambda: is_at(pilot, keys.PAUSED))
        await save_dialog(pilot, PICTURES / "leave.svg", LeaveDialog, "q")
        allowed = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, ((folder / "metrics.csv").stat().st_size, allowed[1]))
        await pilot.press("escape", "space")  # the next row does not fit on the disk
        await until(pilot, lambda: isinstance(app.screen, TrainingScreen) and bool(app.screen.view.message))
        resource.setrlimit(resource.RLIMIT_FSIZE, allowed)
        await save(pilot, PICTURES / "failure.svg")


def is_at(pilot: Pilot[int], phase: str) -> bool:
    """Return whether the training screen shows a run in this phase."""
    return isinstance(pilot.app.screen, TrainingScreen) and pilot.app.screen.phase == phase


async def picture_everything() -> None:
    """Train, and save every picture; in the working folder."""
    PICTURES.mkdir(exist_ok=True)
    runs = train(Path("runs"))
    learned, stuck, replicates = (runs[name] for name in ("log30-s6", "log43_end_log-s0", "log15_end_log-s0-3"))
    await picture_home(Path("runs"))
    await picture_small_home(Path("runs"))
    await picture_run(learned, README_PICTURE, MIDDLE)
    await picture_run(learned, PICTURES / "small.svg", SMALL)
    await picture_run(learned, PICTURES / "large.svg", LARGE)
    await picture_run(learned, PICTURES / "continue.svg", SMALL, "plus")
    await picture_run(learned, PICTURES / "cursor.svg", MIDDLE, "m", "z", "right", "left", "left", "left")
    await picture_run(replicates, PICTURES / "replicates.svg", MIDDLE, "m", "s")
    await picture_run(stuck, PICTURES / "finding.svg", MIDDLE)
    await picture_run(learned, PICTURES / "light.svg", MIDDLE, theme="light")
    await picture_run(replicates, PICTURES / "colour-blind.svg", MIDDLE, theme="colour-blind")
    app = L2oApp(OpenRun.watching(learned))
    async with showing(app, MIDDLE) as pilot:
        await save_dialog(pilot, PICTURES / "help.svg", HelpScreen, "question_mark")
    await picture_leaving_and_failing(Path("runs") / "log30-s0")
    await picture_study(Path("runs"))


def main() -> None:
    """Make the page's tables and all pictures."""
    PAGE.write_text(with_key_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    with TemporaryDirectory() as folder:
        # The pictures do not depend on who makes them or where, nor change his settings.
        os.environ |= {"XDG_CONFIG_HOME": folder, "COLORTERM": "truecolor"}
        os.chdir(folder)
        asyncio.run(picture_everything())


if __name__ == "__main__":
    main()
