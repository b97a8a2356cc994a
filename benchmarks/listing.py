"""What lists of many runs cost: made-up runs of log30, listed by ``runs``, by the library and by the home screen.

``python benchmarks/listing.py [RUNS]`` makes them in a temporary folder, 10,000 if no number is given: files and bytes
as runs have them, but for their metrics. Times are of the processor: a busy machine takes longer, and says the same.
"""

import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import process_time

from l2o_engine.presets.files import load, override
from l2o_engine.presets.shipped import find
from l2o_engine.presets.tables import to_toml
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.listing import Surveyor
from l2o_tui.app import L2oApp
from l2o_tui.screens.home import HomeScreen

_BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
_RATES = ("1e-4", "3e-4", "1e-3")


def main() -> None:
    """Make the runs and measure."""
    number = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with tempfile.TemporaryDirectory() as name:
        runs_dir = Path(name) / "runs"
        _make(runs_dir, number)
        print(f"{number:,} runs")
        for options in ((), ("--where", "meta.learning_rate=1e-3"), ("--sort", "result"), ("--json",)):
            print(f"l2o-tui runs {' '.join(options):34} {_cost_of(['runs', '--runs-dir', str(runs_dir), *options])}")
        print(f"l2o-tui runs, of none                          {_cost_of(['runs', '--runs-dir', name + '/none'])}")
        surveyor = Surveyor(runs_dir)
        for which in ("first", "second", "third"):
            began = process_time()
            surveyor.look()
            print(f"the {which} look: {process_time() - began:.2f} s, {_resident():.0f} MB")
        asyncio.run(_home(runs_dir))


def _make(runs_dir: Path, number: int) -> None:
    """Make runs: of each learning rate one that is real, and the others after its pattern."""
    patterns: list[tuple[dict[str, object], str]] = []
    for place in range(number):
        begun = _BEGIN + timedelta(minutes=place)
        folder = runs_dir / f"log30-s{place}-{begun:%Y%m%d-%H%M%S}"
        if place < len(_RATES):
            preset = override(load(find("log30")), [f"meta.learning_rate={_RATES[place]}"])
            driven = DrivenRun.create(preset, folder)
            driven.update(status="finished", iteration=100_000, elapsed_seconds=3.2, backend="fused")
            driven.close()
            patterns.append((json.loads((folder / "run.json").read_text()), to_toml(preset)))
        folder.mkdir(exist_ok=True)
        record, text = patterns[place % len(_RATES)]
        moment = begun.isoformat(timespec="milliseconds")
        changes = {"seed": place, "created": moment, "updated": moment, "average_log_result": -20.0 - place % 7}
        (folder / "run.json").write_text(json.dumps(record | changes, indent=2) + "\n")
        (folder / "preset.toml").write_text(text)
        for empty in ("metrics.csv", "events.jsonl", ".lock"):
            (folder / empty).touch()
        os.utime(folder / "run.json", (begun.timestamp(), begun.timestamp()))


def _cost_of(arguments: list[str]) -> str:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    command = [sys.executable, "-m", "l2o_tui", *arguments]
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return f"{seconds:.2f} s, at most {after.ru_maxrss / 1024:.0f} MB by now"


def _resident() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


async def _home(runs_dir: Path) -> None:
    began = process_time()
    app = L2oApp(runs_dir=runs_dir)
    async with app.run_test(size=(120, 40)) as pilot:
        while not (isinstance(app.screen, HomeScreen) and app.screen.focused):
            await pilot.pause(0.01)
        print(f"home is there after {process_time() - began:.2f} s, {_resident():.0f} MB")
        await pilot.pause(20)
        print(f"and 20 s later after {process_time() - began:.2f} s, {_resident():.0f} MB")


if __name__ == "__main__":
    main()
