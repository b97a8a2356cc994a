"""Who drives a run: by its lock here, by its sign of life on another host."""

import socket
from pathlib import Path

import pytest

from l2o_engine.runs import lock
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.folder import Run
from l2o_engine.runs.record import RunError
from tests.engine.made import ago, change_record
from tests.engine.tiny import tiny_preset


def test_a_run_on_another_host_is_not_taken_while_it_is_active(tmp_path: Path) -> None:
    DrivenRun.create(tiny_preset(), tmp_path / "run").close()
    change_record(tmp_path / "run", host="node17", pid=99)
    assert Run(tmp_path / "run").status() == "running"
    with pytest.raises(RunError, match="process 99 on node17"):
        DrivenRun.take(tmp_path / "run")
    change_record(tmp_path / "run", status="interrupted")
    DrivenRun.take(tmp_path / "run").close()
    assert Run(tmp_path / "run").record().host == socket.gethostname()


def test_a_run_whose_process_is_gone_reads_as_interrupted(tmp_path: Path) -> None:
    driven = DrivenRun.create(tiny_preset(), tmp_path / "run")
    driven.close()
    assert driven.record().status == "running"
    assert driven.status() == "interrupted"


def test_a_driver_on_another_host_that_falls_silent_counts_as_gone(tmp_path: Path) -> None:
    DrivenRun.create(tiny_preset(), tmp_path / "run").close()
    watched = Run(tmp_path / "run")
    for status in ("running", "paused"):
        for seconds, seen in (
            (lock.SILENT_SECONDS / 2, status),
            (-30, status),
            (2 * lock.SILENT_SECONDS, "interrupted"),
        ):
            change_record(tmp_path / "run", status=status, host="node17", updated=ago(seconds))
            assert watched.status() == seen
            assert watched.is_driven() == (seen == status)


@pytest.mark.parametrize("is_alive", [True, False])
def test_a_silent_run_on_another_host_is_taken_only_if_its_record_stands_still(
    is_alive: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    DrivenRun.create(tiny_preset(), folder).close()
    change_record(folder, host="node17", pid=99, updated=ago(3600))  # or its clock is an hour behind
    monkeypatch.setattr(lock, "sleep", lambda _: change_record(folder, updated=ago(3599)) if is_alive else None)
    if is_alive:
        with pytest.raises(RunError, match="process 99 on node17"):
            DrivenRun.take(folder)
    else:
        DrivenRun.take(folder).close()
