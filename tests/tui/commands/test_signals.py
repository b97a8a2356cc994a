"""Ends that a run does not choose: signals, and a reader of stdout that leaves."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

import pytest

from l2o_engine.live.mailbox import Mailbox
from l2o_engine.records.events import Stop
from l2o_engine.runs.folder import Run
from l2o_tui import exit_codes
from l2o_tui.text.headless import STILL_AT_IT, signals_to
from tests.tui.conftest import COMMAND, ENDLESS, TINY, Result, Running, call, spawn

RUN = (
    "run",
    "log30",
    "--no-ui",
    *TINY,
    f"--iterations={ENDLESS}",
    "--set=run.checkpoint_every=50",
    "--set=run.checkpoint_seconds=0",
)
SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129, signal.SIGUSR1: 138}
AFTER = 25
"""Meta-iterations done after the interruption."""


@dataclass(frozen=True)
class Interrupted:
    """A run that was ended by a signal, and then resumed to AFTER more."""

    ended: Result
    resumed: Result
    metrics: bytes
    folder: Path
    last: int


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory) -> dict[signal.Signals, Interrupted]:
    """What each signal, and SIGKILL, did to a run of its own."""
    folder = tmp_path_factory.mktemp("interrupted")
    found = {}
    for number in (*SIGNALS, signal.SIGKILL):
        run_dir = folder / number.name
        running = Running(*RUN, "--json", "--run-dir", run_dir)
        try:
            running.next_document("checkpoint")
            running.next_document("progress")
            running.process.send_signal(number)
            ended = running.wait()
        finally:
            running.end()
        whole = ended.out[: ended.out.rindex("\n") + 1]  # a killed process may leave half a line
        ended = Result(ended.code, whole, ended.err)
        last = max(document["iteration"] for document in ended.documents if "iteration" in document)
        resumed = call("resume", run_dir, "--json", f"--iterations={last + AFTER}")
        found[number] = Interrupted(ended, resumed, (run_dir / "metrics.csv").read_bytes(), run_dir, last)
    return found


@pytest.fixture(scope="module")
def uninterrupted(
    interrupted: dict[signal.Signals, Interrupted], tmp_path_factory: pytest.TempPathFactory
) -> list[bytes]:
    """The lines of the metrics of a run that was let alone, as long as the longest of the interrupted ones."""
    run_dir = tmp_path_factory.mktemp("uninterrupted") / "run"
    iterations = max(run.last for run in interrupted.values()) + AFTER
    options = [option for option in RUN if not option.startswith("--iterations")]
    assert call(*options, "--quiet", f"--iterations={iterations}", "--run-dir", run_dir).code == 0
    return (run_dir / "metrics.csv").read_bytes().splitlines()


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_signal_ends_a_run_with_its_exit_code_after_a_checkpoint(
    number: signal.Signals, interrupted: dict[signal.Signals, Interrupted]
) -> None:
    run = interrupted[number]
    assert run.ended.code == SIGNALS[number]
    assert run.ended.err.removesuffix("\n") in ("", f"l2o-tui: {STILL_AT_IT}")  # by how fast the machine is
    *_, checkpoint, end = run.ended.documents
    assert (checkpoint["event"], end["event"], end["status"]) == ("checkpoint", "end", "interrupted")
    assert checkpoint["iteration"] == end["iteration"] == run.resumed.documents[0]["resumed_from"]
    assert end["message"] == number.name


@pytest.mark.parametrize("number", [*SIGNALS, signal.SIGKILL], ids=lambda number: number.name)
def test_an_interrupted_and_resumed_run_has_the_metrics_of_an_uninterrupted_one(
    number: signal.Signals, interrupted: dict[signal.Signals, Interrupted], uninterrupted: list[bytes]
) -> None:
    run = interrupted[number]
    assert run.resumed.code == 0
    assert run.resumed.documents[-1]["status"] == "finished"
    lines = run.metrics.splitlines()
    assert len(lines) == run.last + AFTER + 2  # a header, and iteration 0
    assert lines == uninterrupted[: len(lines)]


@pytest.mark.parametrize("number", exit_codes.SIGNALS, ids=lambda number: number.name)
def test_whatever_warns_of_an_end_is_heard_and_what_heard_it_before_hears_it_again(number: signal.Signals) -> None:
    heard: list[int] = []
    before = signal.signal(number, lambda one, _: heard.append(one))
    try:
        mailbox = Mailbox()
        with signals_to(mailbox) as received:
            os.kill(os.getpid(), number)
            assert mailbox.wait(60) == Stop(number.name)
        assert received == [number]
        assert not heard
        os.kill(os.getpid(), number)
        assert heard == [number]
    finally:
        signal.signal(number, before)


def test_a_second_ctrl_c_ends_at_once_where_the_first_waits_for_a_long_chunk(tmp_path: Path) -> None:
    endless = [option for option in RUN if "checkpoint" not in option]
    long = "--set=unroll.steps=1000"  # some fifty such meta-iterations to a chunk's end take longer than PATIENCE
    running = Running(*endless, long, "--json", "--chunk=1000000", "--run-dir", tmp_path / "run")
    try:
        running.next_document("progress")  # of meta-iteration 0: the chunk after it has been launched
        running.process.send_signal(signal.SIGINT)
        running.wait_for_message(STILL_AT_IT)  # after PATIENCE: two within that are one
        running.process.send_signal(signal.SIGINT)
        result = running.wait()
    finally:
        running.end()
    assert result.code == -signal.SIGINT
    assert result.err == f"l2o-tui: {STILL_AT_IT}\n"
    assert Run(tmp_path / "run").status() == "interrupted"


def test_two_ctrl_c_at_once_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal sends it to a whole process group, and a wrapper may send it on."""
    monkeypatch.setattr("l2o_tui.text.headless.monotonic", lambda: 7.0)
    mailbox = Mailbox()
    with signals_to(mailbox) as received:
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGINT)
            assert mailbox.wait(60) == Stop("SIGINT")
    assert received == [signal.SIGINT] * 3


def test_a_killed_run_goes_on_from_a_checkpoint(interrupted: dict[signal.Signals, Interrupted]) -> None:
    run = interrupted[signal.SIGKILL]
    assert run.ended.code == -signal.SIGKILL
    assert run.resumed.documents[0]["resumed_from"] >= 50
    assert run.resumed.documents[0]["resumed_from"] % 50 == 0


def test_a_signal_while_the_backend_loads_is_heard_too(tmp_path: Path) -> None:
    running = Running(*RUN, "--run-dir", tmp_path / "run")
    try:
        running.wait_for_message("loading PyTorch")
        running.process.send_signal(signal.SIGINT)
        result = running.wait()
    finally:
        running.end()
    assert result.code == 130
    assert "Traceback" not in result.err
    assert f"l2o-tui resume {tmp_path / 'run'}" in result.err
    assert call("resume", tmp_path / "run", "--json", "--iterations=20").code == 0


def test_signals_that_were_ignored_at_the_start_stay_ignored(tmp_path: Path) -> None:
    """Under nohup, and in a job that a script started in the background."""
    shell = ("sh", "-c", 'trap "" INT; exec nohup "$@"', "sh", *COMMAND)
    running = Running(*RUN, "--json", "--run-dir", tmp_path / "run", command=shell)
    try:
        before = running.next_document("progress")
        running.process.send_signal(signal.SIGHUP)
        running.process.send_signal(signal.SIGINT)
        for _ in range(10):
            after = running.next_document("progress")
        running.process.send_signal(signal.SIGTERM)
        result = running.wait()
    finally:
        running.end()
    assert after["iteration"] == before["iteration"] + 100
    assert result.code == 143
    assert result.documents[-1]["message"] == "SIGTERM"


@pytest.mark.parametrize("options", [("--json",), ()], ids=["JSON", "table"])
def test_a_reader_that_leaves_ends_the_run_after_a_checkpoint(options: tuple[str, ...], tmp_path: Path) -> None:
    run = (
        "run",
        "baselines",
        "--no-ui",
        f"--iterations={ENDLESS}",
        "--set=report.every=10",
        "--run-dir",
        tmp_path / "run",
    )
    result = spawn("-c", '"$@" | head -1; exit ${PIPESTATUS[0]}', "bash", *COMMAND, *run, *options, command=["bash"])
    assert result.code == 1
    assert len(result.out.splitlines()) == 1
    assert "Traceback" not in result.err
    assert "BrokenPipe" not in result.err
    assert list((tmp_path / "run" / "checkpoints").iterdir())
    assert call("runs", "--runs-dir", tmp_path).out.splitlines()[1].split()[:2] == ["run", "interrupted"]


def test_a_run_that_ended_for_want_of_a_reader_says_so(tmp_path: Path) -> None:
    run = (
        "run",
        "baselines",
        "--no-ui",
        f"--iterations={ENDLESS}",
        "--set=report.every=10",
        "--run-dir",
        tmp_path / "run",
    )
    result = spawn("-c", '"$@" | head -1', "bash", *COMMAND, *run, command=["bash"])
    assert "stdout" in result.err
    assert "checkpoint" in result.err or "l2o-tui resume" in result.err
