"""What lists of many runs cost: made-up runs of log30, listed by ``runs``, by the library and by the home screen.

    .venv/bin/python benchmarks/listing.py              # 10,000 runs that belong together by nothing
    .venv/bin/python benchmarks/listing.py --study      # the same as the runs of one study
    .venv/bin/python benchmarks/listing.py --runs 1000

They are made in a temporary folder: files and bytes as runs have them, but for their metrics. Times are of the
processor: a busy machine takes longer, and says nearly the same. Memory is what a process has had at most.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from multiprocessing import get_context
from pathlib import Path
from time import process_time

from made_runs import Pattern
from textual.worker import WorkerCancelled

from l2o_engine.presets.files import load
from l2o_engine.presets.shipped import find
from l2o_engine.runs.listing import Surveyor
from l2o_engine.studies.sweep import StudySettings, Sweep, parse_over, study_of
from l2o_tui.app import L2oApp
from l2o_tui.panes.entry_table import EntryTable
from l2o_tui.screens.home import HomeScreen

_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
_SEEDS = 4
_REFRESHES = 50


def main() -> None:
    """Make the runs and measure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--study", action="store_true", help="all of them are of one study")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        runs_dir = Path(name) / "runs"
        # In a process of its own: a program that we start begins with the most memory that we had ourselves.
        maker = get_context("spawn").Process(target=_make, args=(runs_dir, options.runs, options.study))
        maker.start()
        maker.join()
        print(f"{options.runs:,} runs{' of one study' if options.study else ''}")
        asked = [(), ("--where", "meta.learning_rate=1e-3"), ("--sort", "result"), ("--json",)]
        asked += [("--all",), ("--all", "--json")] if options.study else []
        for more in asked:
            _tell(f"l2o-tui runs {' '.join(more)}", ["runs", "--runs-dir", str(runs_dir), *more])
        _tell("l2o-tui runs, of none", ["runs", "--runs-dir", f"{name}/none"])
        surveyor = Surveyor(runs_dir)
        for which in ("first", "second", "third"):
            began = process_time()
            surveyor.look()
            print(f"the {which} look: {process_time() - began:.2f} s, {_resident():.0f} MB")
        asyncio.run(_home(runs_dir, is_study=options.study))


def _make(runs_dir: Path, number: int, in_study: bool) -> None:
    """Make runs of one preset, of which a setting is varied: those of a sweep, beside one another or in its folder."""
    over = parse_over("meta.learning_rate=1e-6:1e-1:log" if in_study else "meta.learning_rate=1e-4,3e-4,1e-3")
    draw = {"draw": "latin", "points": number // _SEEDS, "seeds": _SEEDS} if in_study else {"seeds": 1}
    sweep = Sweep(study_of(StudySettings(name="study", **draw), [load(find("log30"))], [over]), runs_dir=runs_dir)
    patterns: dict[str, Pattern] = {}
    with tempfile.TemporaryDirectory() as elsewhere:
        for job in sweep.jobs:
            if job.of not in patterns:
                patterns[job.of] = Pattern.of(job.preset, Path(elsewhere) / job.of)
    if in_study:
        sweep.begin()
    for place in range(number):
        begun = _BEGIN + timedelta(minutes=place)
        job = sweep.jobs[place % len(sweep.jobs)]
        folder = job.folder if in_study else runs_dir / f"log30-s{place}-{begun:%Y%m%d-%H%M%S}"
        moment = begun.isoformat(timespec="milliseconds")
        changes = {"seed": place, "created": moment, "updated": moment, "average_log_result": -20.0 - place % 7}
        patterns[job.of].write(folder, **changes)
        os.utime(folder / "run.json", (begun.timestamp(), begun.timestamp()))
    if in_study:
        sweep.close(status="finished")


def _tell(what: str, arguments: list[str]) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "l2o_tui", *arguments], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{what} has failed")
    print(f"{what:48} {used.ru_utime + used.ru_stime:.2f} s, {used.ru_maxrss * 1024 / 1e6:.0f} MB")


def _resident() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


async def _home(runs_dir: Path, *, is_study: bool) -> None:
    began = process_time()
    app = L2oApp(runs_dir=runs_dir)
    async with app.run_test(size=(120, 40)) as pilot:
        while not (isinstance(app.screen, HomeScreen) and app.screen.focused):
            await pilot.pause(0.01)
        home = app.screen
        print(f"home is there after {process_time() - began:.2f} s, {_resident():.0f} MB")
        await _refresh(home)
        if is_study:
            table, before = home.query_one("#runs", EntryTable), process_time()
            table.focus()
            await pilot.press("enter")
            await pilot.pause()
            print(f"unfolded after another {process_time() - before:.2f} s, {table.row_count:,} lines")
            await _refresh(home)


async def _refresh(home: HomeScreen) -> None:
    """Have the runs read again and again, and tell what each time costs and what memory it leaves."""
    for which in ("first", "next"):
        before = process_time()
        for _ in range(_REFRESHES // 2):
            home._refresh()  # what a timer does every two seconds
            with suppress(WorkerCancelled):  # by that timer
                await home.workers.wait_for_complete()
        each = (process_time() - before) / (_REFRESHES // 2)
        print(f"the {which} {_REFRESHES // 2} refreshes: {each:.3f} s each, {_resident():.0f} MB")


if __name__ == "__main__":
    main()
