"""Others at the same run: a second driver, a lock that is removed, viewers, a flood of commands."""

import shutil
import signal
from functools import partial
from pathlib import Path

import pytest

from l2o_engine.runs.metrics_file import last_iteration
from tests import soak
from tests.reliability.laboratory import Laboratory
from tests.reliability.outcome import Experiment, status_of
from tests.reliability.program import Process

BUSY = "torch, long"


def busy(laboratory: Laboratory) -> tuple[Experiment, Path, Process]:
    """Start a run that takes some seconds, and wait until it trains."""
    experiment, folder = laboratory.experiment(BUSY), laboratory.new()
    process = laboratory.run(experiment, folder)
    process.wait_until(lambda: last_iteration(folder / "metrics.csv") > 0)
    return experiment, folder, process


def _is_open(viewer: Process) -> bool:
    return "\x1b[?1049h" in viewer.screen


def end(
    laboratory: Laboratory,
    process: Process,
    experiment: Experiment,
    folder: Path,
    fault: str,
    how: str,
    also: list[str],
) -> None:
    """Let a run come to its end, and look at it."""
    process.wait()
    also += [] if process.code == 0 else [f"it ended with {process.code}: {process.err.strip()[-300:]}"]
    laboratory.settle(process, experiment, folder, fault=fault, how=how, place="while it trains", also=also)


@pytest.mark.soak
@pytest.mark.parametrize("lock", ["there", "removed", "replaced"])
def test_a_second_driver_is_refused(lock: str, laboratory: Laboratory) -> None:
    for _ in range(soak.times(3)):
        experiment, folder, process = busy(laboratory)
        if lock != "there":
            (folder / ".lock").unlink()
        if lock == "replaced":
            (folder / ".lock").touch()
        also = []
        for _ in range(2):
            second = laboratory.resume(folder)
            if second.wait() == 0 and status_of(folder) != "finished":
                also.append("a second driver was let in")
            also += second.complaints
        process.wait()
        if process.code == 1 and lock != "there":  # it noticed that its lock is gone, and has stopped: as good
            process.code = 0
        end(
            laboratory, process, experiment, folder, f"two drivers at once, the lock file {lock}", "resume, twice", also
        )


@pytest.mark.soak
def test_ten_viewers_and_a_flood_of_commands_do_no_harm(laboratory: Laboratory) -> None:
    experiment, folder, process = busy(laboratory)
    viewers = [laboratory.start("attach", folder, folder=laboratory.streams(folder), terminal=True) for _ in range(10)]
    for number in range(soak.times(5000)):
        (folder / "commands" / f"{number:020d}-junk.json").write_text("{}" if number % 2 else "[" * number)
    also = []
    for viewer in viewers:
        viewer.wait_until(partial(_is_open, viewer))
        viewer.signal(signal.SIGKILL)
        viewer.wait()
        also += viewer.complaints
    end(
        laboratory,
        process,
        experiment,
        folder,
        "ten viewers, killed, and a flood of command files",
        "5,000 files",
        also,
    )


@pytest.mark.soak
@pytest.mark.parametrize("what", ["commands", ".lock", "events.jsonl", "run.json", "background.log"])
def test_what_is_removed_while_it_trains_costs_no_result(what: str, laboratory: Laboratory) -> None:
    experiment, folder, process = busy(laboratory)
    path = folder / what
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    code = process.wait()
    also = [] if code in (0, 1) else [f"it ended with {code}"]
    laboratory.settle(
        process, experiment, folder, fault=f"{what} is removed while training", how="rm", place=what, also=also
    )
