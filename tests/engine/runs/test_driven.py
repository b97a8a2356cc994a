"""Driving a run: one process at a time makes it, takes it, and mends what another left."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from l2o_engine.runs import driven as module
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.folder import Run
from l2o_engine.runs.record import RunError
from tests.engine.tiny import resume, run, tiny_preset

# Making and taking.


def test_a_run_is_never_overwritten(tmp_path: Path) -> None:
    run(tmp_path / "run", tiny_preset())
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    with pytest.raises(RunError, match="already holds a run"):
        DrivenRun.create(tiny_preset("run.seed=4"), tmp_path / "run")
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("chapter 1")
    with pytest.raises(RunError, match="is not empty"):
        DrivenRun.create(tiny_preset(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_folder_that_cannot_be_made_is_the_user_s_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot make the run's folder"):
        DrivenRun.create(tiny_preset(), tmp_path / "file" / "run")


def test_what_a_bad_disk_leaves_of_a_run_that_could_not_be_made_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that does not even let go of the file that it has refused."""
    folder = tmp_path / "run"
    left = folder / ".run.json.1.tmp"

    def refuse(path: Path, record: object) -> None:
        left.write_text("{")
        raise OSError(errno.EROFS, "Read-only file system")

    def hold(path: Path, root: Path | None = None) -> None:
        if path == left:
            raise OSError(errno.EROFS, "Read-only file system")
        path.unlink(missing_ok=True)

    with monkeypatch.context() as bad_disk:
        bad_disk.setattr(module, "write_record", refuse)
        bad_disk.setattr(module, "remove", hold)
        with pytest.raises(RunError, match="Read-only file system"):
            DrivenRun.create(tiny_preset(), folder)
    assert left.exists()
    DrivenRun.create(tiny_preset(), folder).close()
    assert not left.exists()


def test_a_run_has_one_driver(tmp_path: Path) -> None:
    driven = DrivenRun.create(tiny_preset(), tmp_path / "run")
    try:
        assert driven.status() == "running"
        assert driven.is_driven()
        with pytest.raises(RunError, match=f"is being driven by process {os.getpid()}"):
            DrivenRun.take(tmp_path / "run")
    finally:
        driven.close()
    assert not driven.is_driven()
    DrivenRun.take(tmp_path / "run").close()


def test_another_process_cannot_drive_a_driven_run(tmp_path: Path) -> None:
    driven = DrivenRun.create(tiny_preset(), tmp_path / "run")
    try:
        command = [sys.executable, "-m", "l2o_tui", "resume", str(tmp_path / "run"), "--no-ui"]
        second = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    finally:
        driven.close()
    assert second.returncode == 2
    assert f"is being driven by process {os.getpid()}" in second.stderr
    assert "Traceback" not in second.stderr


# Mending.


def test_a_torn_last_line_of_events_does_not_spoil_the_next(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run(folder, tiny_preset())
    events = Run(folder).events_path
    events.write_bytes(events.read_bytes()[:-20])
    known = len(list(Run(folder).events()))
    resume(folder, iterations=40)
    lines = events.read_text().splitlines()
    broken = [line for line in lines if not line.endswith("}")]
    assert len(broken) == 1
    assert [event["event"] for event in Run(folder).events()][known] == "start"
    assert [row.iteration for row in Run(folder).progress()] == [0, 10, 20, 30, 40]


@pytest.mark.parametrize("extra", ["31,1.0,1.0,0.0,0.0,1.0,,0,RNN,0\n", "31,1.0,1.", "\x00\x00\x00"])
def test_rows_beyond_the_checkpoint_are_cut_off(extra: str, tmp_path: Path) -> None:
    uninterrupted, mended = tmp_path / "uninterrupted", tmp_path / "mended"
    run(uninterrupted, tiny_preset("run.iterations=40"))
    run(mended, tiny_preset())
    with (mended / "metrics.csv").open("a") as file:
        file.write(extra)
    resume(mended, iterations=40)
    assert (mended / "metrics.csv").read_bytes() == (uninterrupted / "metrics.csv").read_bytes()
