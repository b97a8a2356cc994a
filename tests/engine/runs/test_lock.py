"""Who drives a run: by its lock, by a process that lives, and by its sign of life on another host."""

import errno
import fcntl
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from l2o_engine.live.session import Session, SessionError
from l2o_engine.records.events import Ended, Event, NewRows, Notice
from l2o_engine.runs import driven as driving
from l2o_engine.runs import lock
from l2o_engine.runs.driven import DrivenRun, TakenError
from l2o_engine.runs.folder import Run
from l2o_engine.runs.record import Driver, RunError
from l2o_engine.support.process_ids import began, whereabouts
from tests.engine.made import change_record
from tests.engine.tiny import of_kind, resume, start, tiny_preset


def elsewhere(folder: Path, **changes: object) -> None:
    """Let run.json say that a process of another host drives the run."""
    change_record(folder, **({"status": "running", "host": "node17", "pid": 99, "driver": None} | changes))


def written(folder: Path, seconds: float) -> None:
    """Let run.json have been written so many seconds ago, by the file system's clock."""
    moment = time.time() - seconds
    os.utime(folder / "run.json", (moment, moment))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run that a process has left as running."""
    DrivenRun.create(tiny_preset(), tmp_path / "run").close()
    return tmp_path / "run"


@pytest.fixture
def process() -> Iterator[subprocess.Popen[bytes]]:
    """A process that lives."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as living:
        try:
            yield living
        finally:
            living.kill()


def test_a_run_whose_process_is_gone_reads_as_interrupted(tmp_path: Path) -> None:
    driven = DrivenRun.create(tiny_preset(), tmp_path / "run")
    driven.close()
    assert driven.record().status == "running"
    assert driven.status() == "interrupted"


# Other hosts.


def test_whether_another_host_drives_a_run_is_told_by_the_file_s_time_and_not_by_its_clock(folder: Path) -> None:
    watched = Run(folder)
    for status in ("running", "paused"):
        for seconds, seen in (
            (lock.SILENT_SECONDS / 2, status),
            (-30, status),
            (2 * lock.SILENT_SECONDS, "interrupted"),
        ):
            elsewhere(folder, status=status, updated="2031-01-01T00:00:00.000+00:00")
            written(folder, seconds)
            assert watched.status() == seen
            assert watched.is_driven() == (seen == status)


@pytest.mark.parametrize("is_alive", [True, False])
@pytest.mark.parametrize("updated", ["2031-01-01T00:00:00.000+00:00", "2021-01-01T00:00:00.000+00:00"])
def test_a_run_of_another_host_is_watched_and_taken_only_if_it_stands_still(
    updated: str, is_alive: bool, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A container under another name, say, whatever its clock said and however lately it was killed."""
    elsewhere(folder, updated=updated)
    looks: list[float] = []
    told: list[str] = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if is_alive and len(looks) == 4:
            change_record(folder, updated="2021-01-01T00:00:01.000+00:00")

    monkeypatch.setattr(lock, "sleep", sleep)
    if is_alive:
        with pytest.raises(RunError, match="process 99 on node17"):
            DrivenRun.take(folder, tell=told.append)
    else:
        DrivenRun.take(folder, tell=told.append).close()
        assert Run(folder).record().host == socket.gethostname()
        assert sum(looks) == pytest.approx(lock.WATCH_SECONDS)
    assert len(told) == 1
    assert "node17" in told[0]
    assert "sign of life" in told[0]


def test_a_run_of_another_host_that_has_ended_is_taken_at_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "sleep", lambda _: pytest.fail("it was watched"))
    elsewhere(folder, status="interrupted")
    DrivenRun.take(folder).close()


def test_the_processes_of_another_container_are_not_ours_whatever_it_is_called(folder: Path) -> None:
    found = Run(folder).record()
    assert found.driver is not None
    assert lock.is_here(found)
    there = replace(found.driver, where="another boot, another container")
    assert not lock.is_here(replace(found, driver=there))
    assert lock.is_here(replace(found, host="renamed meanwhile"))
    assert lock.is_here(replace(found, driver=None))
    assert not lock.is_here(replace(found, driver=None, host="node17"))


# Without a lock.


def living(folder: Path, process: "subprocess.Popen[bytes]", **changes: object) -> None:
    """Let run.json name a process that lives here."""
    driver = asdict(Driver(whereabouts(), began(process.pid) or 0, 1)) | changes
    change_record(folder, pid=process.pid, driver=driver)


@pytest.mark.parametrize("is_there", [True, False], ids=["another lock file", "no lock file"])
def test_a_process_that_lives_is_believed_without_its_lock(
    is_there: bool, folder: Path, process: "subprocess.Popen[bytes]"
) -> None:
    living(folder, process)
    if not is_there:
        (folder / ".lock").unlink()
    assert Run(folder).status() == "running"
    with pytest.raises(RunError, match=f"process {process.pid}"):
        DrivenRun.take(folder)
    process.kill()
    process.wait()
    assert Run(folder).status() == "interrupted"
    DrivenRun.take(folder).close()


def test_a_process_that_has_let_go_of_its_lock_drives_no_more(folder: Path, process: "subprocess.Popen[bytes]") -> None:
    living(folder, process, lock=(folder / ".lock").stat().st_ino)
    assert Run(folder).status() == "interrupted"
    DrivenRun.take(folder).close()


def test_another_process_that_has_its_id_by_now_is_not_taken_for_it(
    folder: Path, process: "subprocess.Popen[bytes]"
) -> None:
    living(folder, process, began=(began(process.pid) or 0) - 1)
    (folder / ".lock").unlink()
    assert Run(folder).status() == "interrupted"
    DrivenRun.take(folder).close()


def test_a_process_that_has_ended_and_was_not_heard_of_yet_is_gone(process: "subprocess.Popen[bytes]") -> None:
    assert began(process.pid)
    process.kill()
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert began(process.pid) is None
    assert began(10**9) is None
    assert began(10**30) is None


# The driver's own lock.


def advance(told: Iterator[Event]) -> list[Event]:
    """Let a session do one chunk, and return what it said."""
    events = []
    for event in told:
        events.append(event)
        if isinstance(event, NewRows):
            break
    return events


@pytest.fixture
def _guards_always(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driving, "_GUARD_SECONDS", 0.0)


guards_always = pytest.mark.usefixtures("_guards_always")


@guards_always
def test_a_lock_file_that_is_removed_while_it_is_held_is_made_anew(tmp_path: Path) -> None:
    told = start(tmp_path / "run", tiny_preset(), chunk=1).events()
    advance(told)
    (tmp_path / "run" / ".lock").unlink()
    with pytest.raises(RunError, match=f"process {os.getpid()}"):
        DrivenRun.take(tmp_path / "run")
    events = advance(told)
    record = Run(tmp_path / "run").record()
    assert record.driver is not None
    assert record.driver.lock == (tmp_path / "run" / ".lock").stat().st_ino
    command = ["flock", "--nonblock", str(tmp_path / "run" / ".lock"), "true"]
    assert subprocess.run(command, check=False).returncode == 1
    events += told
    assert ["lock file" in notice.message for notice in of_kind(events, Notice)] == [True]
    assert of_kind(events, Ended)[-1].status == "finished"


@guards_always
def test_a_driver_that_has_lost_the_run_to_another_writes_nothing_more(
    tmp_path: Path, process: "subprocess.Popen[bytes]"
) -> None:
    """It was stopped for minutes, and somebody on another host went on with the run."""
    told = start(tmp_path / "run", tiny_preset(), chunk=1).events()
    advance(told)
    elsewhere(tmp_path / "run", pid=process.pid)
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    with pytest.raises(SessionError, match=rf"other hands, of process {process.pid} on node17"):
        list(told)
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before


@guards_always
def test_who_writes_to_a_run_that_is_another_s_is_told(tmp_path: Path) -> None:
    driven = DrivenRun.create(tiny_preset(), tmp_path / "run")
    elsewhere(tmp_path / "run")
    with pytest.raises(TakenError, match="node17"):
        driven.update(status="finished")
    driven.close()
    assert Run(tmp_path / "run").record().status == "running"


# File systems without locks.


@pytest.fixture(params=["ENOLCK", "EOPNOTSUPP", "ENOSYS"])
def _without_locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(getattr(errno, request.param), "no locks here")

    monkeypatch.setattr(fcntl, "flock", refuse)


without_locks = pytest.mark.usefixtures("_without_locks")


@without_locks
def test_without_locks_a_run_is_made_driven_and_gone_on_with(
    tmp_path: Path, process: "subprocess.Popen[bytes]"
) -> None:
    told = start(tmp_path / "run", tiny_preset(), chunk=1).events()
    advance(told)
    assert Run(tmp_path / "run").status() == "running"
    with pytest.raises(RunError, match=f"process {os.getpid()}"):
        DrivenRun.take(tmp_path / "run")
    told.close()  # type: ignore[attr-defined]
    assert Run(tmp_path / "run").status() == "interrupted"
    living(tmp_path / "run", process, lock=(tmp_path / "run" / ".lock").stat().st_ino)
    with pytest.raises(RunError, match=f"process {process.pid}"):
        DrivenRun.take(tmp_path / "run")
    process.kill()
    process.wait()
    assert of_kind(resume(tmp_path / "run"), Ended)[-1].status == "finished"


def test_a_lock_that_fails_otherwise_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(RunError, match="Input/output error"):
        DrivenRun.create(tiny_preset(), tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_one_process_holds_a_run_once(tmp_path: Path) -> None:
    with lock.take_lock(tmp_path), pytest.raises(lock.HeldError):
        lock.take_lock(tmp_path, patience=0)
    lock.take_lock(tmp_path).release()


def test_a_session_that_fails_to_open_lets_the_run_go(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(driving, "versions", fail)
        with pytest.raises(RunError, match="No space left"):
            DrivenRun.take(folder)
    Session(DrivenRun.take(folder))._run.close()
