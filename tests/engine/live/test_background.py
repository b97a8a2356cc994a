"""Handing a run over: another process goes on with it bit for bit, whatever becomes of us."""

import os
import signal
from pathlib import Path
from time import sleep

import pytest

from l2o_engine.live.background import HandOverError, hand_over
from l2o_engine.presets.schema import Preset
from l2o_engine.records.events import Event, GoOn, NewRows, Stop
from l2o_engine.runs.commands import send
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.folder import Run
from l2o_engine.support.processes import python_command
from tests.engine.littered import litter
from tests.engine.tiny import INPUTS, run, start, tiny_preset

PRESET = tiny_preset("run.iterations=60", INPUTS["adaptive log"])


def stopped_at(folder: Path, preset: Preset, iteration: int) -> Path:
    """Return the folder of a run that its driver has let go."""
    session = start(folder, preset, chunk=1)
    events: list[Event] = []
    for event in session.events():
        events.append(event)
        if isinstance(event, NewRows) and event.rows.iteration[-1] == iteration:
            session.mailbox.put(Stop())
    return folder


def resuming(folder: Path, *options: str) -> list[str]:
    """Return the command of a process that goes on with a run."""
    return python_command("l2o_tui", "resume", str(folder), "--no-ui", "--quiet", *options)


def wait_for(folder: Path, status: str) -> None:
    while Run(folder).status() != status:
        sleep(0.02)


def is_ignored(pid: int, number: int) -> bool:
    """Return whether a process ignores a signal."""
    lines = dict(line.split(":\t") for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return bool(int(lines["SigIgn"], 16) >> (number - 1) & 1)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("background") / "run"
    run(folder, PRESET)
    return (folder / "metrics.csv").read_bytes()


def test_a_run_is_handed_over_and_its_numbers_stay_the_same(undisturbed: bytes, tmp_path: Path) -> None:
    folder = stopped_at(tmp_path / "run", PRESET, 23)
    pid = hand_over(folder, resuming(folder, "--backend=torch"))
    assert pid != os.getpid()
    wait_for(folder, "finished")
    assert Run(folder).record().pid == pid
    assert (folder / "metrics.csv").read_bytes() == undisturbed
    assert str(folder) in (folder / "background.log").read_text()


def test_files_of_the_working_folder_are_no_part_of_the_process(
    undisturbed: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = stopped_at(tmp_path / "run", PRESET, 23)
    litter(tmp_path / "work", monkeypatch)
    hand_over(folder, resuming(folder, "--backend=torch"))
    wait_for(folder, "finished")
    assert (folder / "metrics.csv").read_bytes() == undisturbed


def test_a_paused_run_is_handed_over_paused_and_outlives_a_hangup(undisturbed: bytes, tmp_path: Path) -> None:
    folder = stopped_at(tmp_path / "run", PRESET, 23)
    before = (folder / "metrics.csv").read_bytes()
    pid = hand_over(folder, resuming(folder, "--backend=torch", "--start-paused"))
    try:
        assert os.getsid(pid) == pid
        assert is_ignored(pid, signal.SIGHUP)
        assert Path(f"/proc/{pid}/cwd").resolve() == Path.cwd()
        assert Path(f"/proc/{pid}/fd/0").resolve() == Path("/dev/null")
        os.kill(pid, signal.SIGHUP)
        wait_for(folder, "paused")
        assert (folder / "metrics.csv").read_bytes() == before
        send(folder / "commands", GoOn())
        wait_for(folder, "finished")
    finally:
        if Run(folder).is_driven():
            os.kill(pid, signal.SIGKILL)
    assert (folder / "metrics.csv").read_bytes() == undisturbed


def test_a_broken_folder_cannot_be_handed_over_and_the_message_says_why(tmp_path: Path) -> None:
    folder = stopped_at(tmp_path / "run", PRESET, 23)
    (folder / "background.log").write_text("what another process said\n")
    for path in (folder / "checkpoints").iterdir():
        path.write_bytes(b"damaged")
    with pytest.raises(HandOverError, match="none of the checkpoints of run is good") as failed:
        hand_over(folder, resuming(folder, "--backend=torch"))
    assert "another process" not in str(failed.value)
    assert not Run(folder).is_driven()


def test_a_run_that_is_still_driven_is_not_handed_over(tmp_path: Path) -> None:
    driven = DrivenRun.create(PRESET, tmp_path / "run")
    try:
        with pytest.raises(HandOverError, match=f"is being driven by process {os.getpid()}"):
            hand_over(tmp_path / "run", resuming(tmp_path / "run"))
    finally:
        driven.close()


def test_a_process_that_takes_nothing_over_in_time_is_ended(tmp_path: Path) -> None:
    folder = stopped_at(tmp_path / "run", PRESET, 23)
    with pytest.raises(HandOverError, match="took nothing over within 0 s"):
        hand_over(folder, resuming(folder, "--backend=torch", "--start-paused"), patience=0)
    DrivenRun.take(folder).close()


def test_where_there_is_no_folder_no_process_is_started(tmp_path: Path) -> None:
    with pytest.raises(HandOverError, match="no background process could be started"):
        hand_over(tmp_path / "nowhere", resuming(tmp_path / "nowhere"))
    assert not list(tmp_path.iterdir())
