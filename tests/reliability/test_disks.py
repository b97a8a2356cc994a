"""Bad disks: full, failing, read-only, late, gone. One message, earlier checkpoints stay good, going on works."""

import errno
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from l2o_engine.runs.metrics_file import last_iteration
from tests import soak
from tests.reliability.faults import Fault
from tests.reliability.laboratory import Laboratory
from tests.reliability.outcome import NOTHING_LOST, loss_of, place_of, status_of
from tests.reliability.program import Process

SHIM = "LD_PRELOAD: the file calls answer {}"
ROOM = "room"  # the disk is well again once a file of this name is beside the run
TAKING = ("create", "write", "sync", "mkdir")  # what a full disk refuses
CHANGING = (*TAKING, "rename", "unlink", "truncate")  # and what one that is read-only does
FULL = {"ENOSPC": TAKING, "EDQUOT": TAKING, "EROFS": CHANGING, "EIO": ("write", "sync")}


def bad(folder: Path, name: str, first: int, *, last: int = 0, path: str = "*") -> Fault:
    """A disk that fails from some call on, until there is room."""
    value = getattr(errno, name)
    return Fault(f"{folder}{path}", FULL[name], "error", value, first, last, until=folder.parent / ROOM)


def make_room(folder: Path) -> None:
    """Have the disk be well again."""
    (folder.parent / ROOM).touch()


def said_once(process: Process) -> Iterator[str]:
    """Yield what is wrong with the end of a process whose disk has failed: one message, exit code 1 or 2."""
    if process.code not in (1, 2):
        yield f"it ended with {process.code}"
    lines = process.err.splitlines()
    if len(lines) != 1 or not lines[0].startswith("l2o-tui: "):
        yield f"not one message: {process.err[-500:]}"


def strike(
    laboratory: Laboratory, experiment_name: str, name: str, first: int, *, path: str = "*", last: int = 0
) -> None:
    """Have the disk fail under a run without a screen."""
    experiment, folder = laboratory.experiment(experiment_name), laboratory.new()
    process = laboratory.run(experiment, folder, [bad(folder, name, first, path=path, last=last)])
    process.wait()
    struck = process.happened
    also = [] if process.code == 0 and last else said_once(process)
    if struck:
        place = place_of(process, folder)
        make_room(folder)
        laboratory.settle(
            process,
            experiment,
            folder,
            fault=f"{name}, no screen",
            how=SHIM.format(name),
            place=f"from {place} on" if last == 0 else place,
            also=also,
        )


def strike_on_screen(laboratory: Laboratory, name: str, first: int, *, path: str = "*", last: int = 0) -> None:
    """Have the disk fail under the live screen; there is room again, and the user goes on by the key."""
    experiment, folder = laboratory.experiment("fused"), laboratory.new()
    process = laboratory.run(experiment, folder, [bad(folder, name, first, path=path, last=last)], terminal=True)
    terminal = process.terminal
    assert terminal is not None
    process.wait_until(lambda: "paused" in process.screen or status_of(folder) == "finished")
    if not process.happened:  # it has fewer calls
        process.leave()
        return
    place, loss, also = place_of(process, folder), loss_of(folder), []
    make_room(folder)
    if process.code is None:
        process.wait_until(lambda: "go on" in process.screen)  # the key is offered
        terminal.send(" ")
        process.wait_until(lambda: status_of(folder) == "finished")
        also += [] if process.leave() == 0 else [f"it ended with {process.code}"]
    elif process.code not in (1, 2):
        also += [f"it ended with {process.code} before a screen"]
    laboratory.settle(
        process,
        experiment,
        folder,
        fault=f"{name}, under the screen: paused, gone on by key",
        how=SHIM.format(name),
        place=f"from {place} on" if last == 0 else place,
        loss=loss,
        also=also,
    )


@pytest.mark.soak
@pytest.mark.parametrize("experiment", ["fused, 3 seeds", "torch", "baselines"])
@pytest.mark.parametrize("name", FULL)
def test_a_bad_disk_from_every_call_on(name: str, experiment: str, laboratory: Laboratory) -> None:
    for turn in range(soak.times(14)):
        if not soak.is_over():
            strike(laboratory, experiment, name, 1 + 7 * turn)


@pytest.mark.soak
@pytest.mark.parametrize("path", ["/metrics.csv", "/events.jsonl", "/.run.json*", "/run.json", "/checkpoints/*"])
@pytest.mark.parametrize("name", FULL)
def test_one_call_that_fails(name: str, path: str, laboratory: Laboratory) -> None:
    for first in range(1, 1 + soak.times(5)):
        if not soak.is_over():
            strike(laboratory, "fused", name, first, last=first, path=path)


@pytest.mark.soak
@pytest.mark.parametrize("path", ["/metrics.csv", "/events.jsonl", "/.run.json*", "/checkpoints/*"])
@pytest.mark.parametrize("name", FULL)
def test_under_the_screen_a_bad_disk_pauses(name: str, path: str, laboratory: Laboratory) -> None:
    for first in range(2, 2 + soak.times(2)):
        if not soak.is_over():
            strike_on_screen(laboratory, name, first, path=path)


@pytest.mark.soak
@pytest.mark.parametrize("name", ["EINVAL", "ENOTSUP", "EBADF"])
def test_a_folder_that_cannot_be_synced_is_none_the_worse(name: str, laboratory: Laboratory) -> None:
    experiment, folder = laboratory.experiment("fused"), laboratory.new()
    fault = Fault(f"{folder}*", ("sync_folder",), "error", getattr(errno, name), last=0)
    process = laboratory.run(experiment, folder, [fault])
    also = [] if process.wait() == 0 else [f"it ended with {process.code}: {process.err}"]
    how = f"LD_PRELOAD: fsync of a folder answers {name}, as CIFS and FUSE do"
    laboratory.settle(process, experiment, folder, fault="fsync of a folder refused", how=how, place=name, also=also)


@pytest.mark.soak
@pytest.mark.parametrize("name", ["ENOLCK", "EOPNOTSUPP", "ENOSYS"])
def test_where_locks_are_refused_a_run_goes_on_without(name: str, laboratory: Laboratory) -> None:
    experiment, folder = laboratory.experiment("fused"), laboratory.new()
    fault = Fault(f"{folder}*", ("lock",), "error", getattr(errno, name), last=0)
    process = laboratory.run(experiment, folder, [fault])
    also = [] if process.wait() == 0 else [f"it ended with {process.code}: {process.err}"]
    how = f"LD_PRELOAD: flock answers {name}, as NFS without a lock daemon does"
    laboratory.settle(process, experiment, folder, fault="locks refused", how=how, place=name, also=also)


@pytest.mark.soak
@pytest.mark.parametrize("call", ["write", "sync", "rename"])
def test_a_disk_that_answers_late_leaves_the_screen_alive(call: str, laboratory: Laboratory) -> None:
    experiment, folder = laboratory.experiment("fused"), laboratory.new()
    late = Fault(f"{folder}/*", (call,), "delay", 6000, first=12)
    process = laboratory.run(experiment, folder, [late], terminal=True)
    assert process.terminal is not None
    process.wait_until(lambda: bool(process.happened))
    before = last_iteration(folder / "metrics.csv")
    process.terminal.send("?")
    process.wait_until(lambda: "Save a checkpoint that is kept." in process.screen)
    also = [] if last_iteration(folder / "metrics.csv") == before else ["the key was answered after the disk only"]
    process.terminal.send("q")
    process.wait_until(lambda: status_of(folder) == "finished")
    also += [] if process.leave() == 0 else [f"it ended with {process.code}"]
    how = "LD_PRELOAD: one call takes 6 s; a key is answered meanwhile"
    laboratory.settle(process, experiment, folder, fault="a disk that answers late", how=how, also=also)


def remove_while_training(laboratory: Laboratory, *, terminal: bool) -> None:
    """Remove the folder of a run that is being trained."""
    experiment, folder = laboratory.experiment("torch"), laboratory.new()
    process = laboratory.run(experiment, folder, [], "--iterations=1000000", terminal=terminal)
    process.wait_until(lambda: last_iteration(folder / "metrics.csv") > 0)
    shutil.rmtree(folder, ignore_errors=True)
    while folder.exists():  # it wrote a file meanwhile
        shutil.rmtree(folder, ignore_errors=True)
    if process.terminal:
        process.wait_until(lambda: "is gone" in process.screen)
        process.leave()
    process.wait()
    wrong = [*process.complaints, *(() if terminal else said_once(process))]
    wrong += [] if process.code == 1 else [f"it ended with {process.code}"]
    wrong += ["the folder is there again"] if folder.exists() else []
    screen = "under the screen" if terminal else "no screen"
    laboratory.keep(f"the folder is removed while training, {screen}", "rm -r", "once it trains", wrong, NOTHING_LOST)


@pytest.mark.soak
@pytest.mark.parametrize("terminal", [False, True], ids=["no screen", "screen"])
def test_a_folder_that_disappears(terminal: bool, laboratory: Laboratory) -> None:
    for _ in range(soak.times(3)):
        remove_while_training(laboratory, terminal=terminal)


# A real file system that fills up, where we may mount one.


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    disk = tmp_path / "disk"
    disk.mkdir()
    try:
        _mount("-t", "tmpfs", "-o", "size=400k", "tmpfs", disk)
    except (subprocess.CalledProcessError, FileNotFoundError):
        pytest.skip("no tmpfs can be mounted here: a full disk is tried by LD_PRELOAD alone")
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def _mount(*args: str | Path) -> None:
    subprocess.run(["mount", *map(str, args)], check=True, capture_output=True)


@pytest.mark.soak
@pytest.mark.parametrize("experiment", ["fused", "fused, 3 seeds"])
def test_a_tmpfs_that_fills_up_is_made_larger(experiment: str, small_disk: Path, laboratory: Laboratory) -> None:
    trained, folder = laboratory.experiment(experiment), small_disk / "run"
    process = laboratory.start("run", *trained.args, "--quiet", "--run-dir", folder, folder=laboratory.new())
    process.wait()
    also = [*said_once(process)]
    loss = loss_of(folder)
    _mount("-o", "remount,ro", small_disk)
    for command in (("show", folder), ("resume", folder, "--quiet"), ("runs", "--runs-dir", small_disk)):
        looked = laboratory.start(*command, folder=laboratory.new())
        looked.wait()
        also += looked.complaints
    _mount("-o", "remount,rw,size=64m", small_disk)
    laboratory.settle(
        process,
        trained,
        folder,
        fault="a disk that is full, then read-only, then has room",
        how="a tmpfs of 400 KiB, remounted",
        place="anywhere",
        loss=loss,
        also=also,
    )
