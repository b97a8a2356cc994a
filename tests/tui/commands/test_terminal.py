"""The real program on a real pseudo-terminal: what only that shows."""

import json
import os
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pexpect
import pytest

from l2o_engine.records.events import Stop
from l2o_engine.runs.commands import send
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.folder import Run
from l2o_tui.text.headless import PATIENCE
from tests.tui.conftest import Running, call

if TYPE_CHECKING:
    from collections.abc import Iterator

TINY = [
    "--set=network.hidden=3",
    "--set=network.layers=1",
    "--set=unroll.steps=4",
    "--set=report.every=50",
    "--set=run.backend=torch",
    "--iterations=1000000",
]
ALTERNATE_SCREEN, MAIN_SCREEN = "\x1b[?1049h", "\x1b[?1049l"


def open_terminal(
    arguments: list[str], tmp_path: Path, program: tuple[str, ...] = ("-m", "l2o_tui")
) -> "pexpect.spawn[str]":
    """Start the program on a terminal of its own."""
    return pexpect.spawn(
        sys.executable,
        [*program, *arguments],
        dimensions=(40, 120),
        encoding="utf-8",
        timeout=60,
        env={
            "TERM": "xterm-256color",
            "HOME": str(tmp_path),
            "PATH": "/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "PYTHONPATH": os.environ.get("PYTHONPATH", ""),  # the code that is tested, wherever it is installed from
        },
        cwd=str(tmp_path),
    )


@pytest.fixture
def terminal(request: pytest.FixtureRequest, tmp_path: Path) -> "Iterator[pexpect.spawn[str]]":
    options: list[str] = getattr(request, "param", [])
    child = open_terminal(["run", "log15_end_log", *TINY, *options, "--run-dir", str(tmp_path / "run")], tmp_path)
    child.expect_exact(ALTERNATE_SCREEN)
    yield child
    with suppress(OSError):  # a test has closed it
        child.close(force=True)


def record(tmp_path: Path) -> dict[str, object]:
    document: dict[str, object] = json.loads((tmp_path / "run" / "run.json").read_text())
    return document


def test_it_paints_trains_and_leaves_with_a_checkpoint(terminal: "pexpect.spawn[str]", tmp_path: Path) -> None:
    terminal.expect("loading")
    terminal.expect("running")
    terminal.expect("it/s")
    terminal.send("q")
    terminal.expect("The run is not finished")
    terminal.send("q")
    terminal.expect_exact(MAIN_SCREEN)
    terminal.expect("go on with: l2o-tui resume")
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 0
    assert record(tmp_path)["status"] == "interrupted"
    assert list((tmp_path / "run" / "checkpoints").glob("*.safetensors"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGXCPU])
def test_a_signal_saves_restores_the_terminal_and_gives_the_exit_code(
    number: signal.Signals, terminal: "pexpect.spawn[str]", tmp_path: Path
) -> None:
    terminal.expect("it/s")
    terminal.kill(number)
    terminal.expect_exact(MAIN_SCREEN)
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 128 + number
    assert record(tmp_path)["status"] == "interrupted"
    assert list((tmp_path / "run" / "checkpoints").glob("*.safetensors"))


@pytest.mark.parametrize("terminal", [["--chunk=1000000"]], indirect=True)
def test_a_second_ctrl_c_ends_at_once_and_gives_the_terminal_back(
    terminal: "pexpect.spawn[str]", tmp_path: Path
) -> None:
    terminal.expect("running")  # a chunk that takes a minute, and looks at nothing
    sent, is_given_back = 0, False
    while not is_given_back:  # two that are heard within this time are one: a terminal may send it twice
        assert sent < 20
        terminal.kill(signal.SIGINT)
        sent += 1
        is_given_back = terminal.expect_exact([pexpect.TIMEOUT, MAIN_SCREEN], timeout=1.5 * PATIENCE) == 1
    assert sent > 1
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 128 + signal.SIGINT
    assert record(tmp_path)["status"] == "running"  # nothing was waited for
    assert Run(tmp_path / "run").status() == "interrupted"


EARLY = """
import os, signal
from l2o_tui import app, cli
hear = app.L2oApp.hear_signals
def hear_early(self):
    hear(self)
    if not self.is_running:
        os.kill(os.getpid(), signal.SIGTERM)
app.L2oApp.hear_signals = hear_early
cli.main()
"""


@pytest.mark.parametrize("opens", ["run", "home"])
def test_a_signal_that_comes_before_there_is_a_screen_ends_it_as_later(opens: str, tmp_path: Path) -> None:
    run = ["run", "log15_end_log", *TINY, "--run-dir", "run"]
    terminal = open_terminal(run if opens == "run" else [], tmp_path, program=("-c", EARLY))
    output = terminal.read()
    terminal.close()
    assert terminal.exitstatus == 128 + signal.SIGTERM
    if opens == "run":
        assert "go on with: l2o-tui resume run" in output
        assert (record(tmp_path)["status"], record(tmp_path)["message"]) == ("interrupted", "SIGTERM")
    assert output.rindex(MAIN_SCREEN) > output.rindex(ALTERNATE_SCREEN)


def close(terminal: "pexpect.spawn[str]") -> None:
    """Close the terminal under the program, by its file object: a bare number would be closed twice, once reused."""
    terminal.ptyproc.fileobj.close()  # type: ignore[attr-defined] # (typeshed's stubs leave it out)


def hang_up(terminal: "pexpect.spawn[str]") -> None:
    """Do what an SSH connection that drops does: the kernel then sends SIGHUP."""
    terminal.expect("it/s")
    close(terminal)
    deadline = time.monotonic() + 60
    while terminal.isalive() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not terminal.isalive()
    assert terminal.exitstatus == 128 + signal.SIGHUP


@pytest.mark.parametrize("terminal", [["--on-hangup=checkpoint"]], indirect=True)
def test_a_lost_terminal_saves_and_ends_the_program_if_that_is_wanted(
    terminal: "pexpect.spawn[str]", tmp_path: Path
) -> None:
    hang_up(terminal)
    assert record(tmp_path)["status"] == "interrupted"
    assert list((tmp_path / "run" / "checkpoints").glob("*.safetensors"))


def test_a_lost_terminal_leaves_the_run_to_a_background_process(terminal: "pexpect.spawn[str]", tmp_path: Path) -> None:
    hang_up(terminal)
    gone_on = record(tmp_path)
    assert gone_on["status"] == "running"
    assert gone_on["pid"] != terminal.pid
    run = Run(tmp_path / "run")
    assert run.is_driven()
    send(run.commands_path, Stop("the test is over"))
    deadline = time.monotonic() + 60
    while run.is_driven() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert run.status() == "interrupted"
    iterations = [int(line.partition(",")[0]) for line in run.metrics_path.read_text().splitlines()[1:]]
    assert iterations == list(range(len(iterations)))  # none lost, none twice


def test_a_run_is_detached_and_attached_and_stopped(terminal: "pexpect.spawn[str]", tmp_path: Path) -> None:
    terminal.expect("it/s")
    terminal.send("q")
    terminal.expect("Detach")
    terminal.send("d")
    terminal.expect_exact(MAIN_SCREEN)
    terminal.expect("training goes on in the background")
    terminal.expect(pexpect.EOF)
    viewer: pexpect.spawn[str] = open_terminal(["attach", str(tmp_path / "run")], tmp_path)
    viewer.expect_exact(ALTERNATE_SCREEN)
    viewer.expect("running")
    viewer.send("x")
    viewer.expect("Stop")  # asks first
    viewer.send("y")
    viewer.expect("interrupted")
    viewer.send("q")
    viewer.expect_exact(MAIN_SCREEN)
    viewer.expect(pexpect.EOF)
    viewer.close()
    assert viewer.exitstatus == 0
    assert record(tmp_path)["status"] == "interrupted"


def test_a_killed_viewer_leaves_the_run_unharmed(tmp_path: Path, workplace: Path) -> None:
    running = Running("run", "log15_end_log", "--json", *TINY, "--run-dir", tmp_path / "run")
    try:
        running.next_document("progress")
        viewer = open_terminal(["attach", str(tmp_path / "run")], tmp_path)
        viewer.expect("it/s")
        viewer.kill(signal.SIGKILL)
        viewer.expect(pexpect.EOF)
        running.next_document("progress")
        assert running.process.poll() is None
        running.process.send_signal(signal.SIGTERM)
        assert running.wait().code == 128 + signal.SIGTERM
    finally:
        running.end()


def test_a_viewer_that_is_hung_up_does_not_restart_a_run_that_was_stopped(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    assert call("run", "log15_end_log", "--quiet", *TINY[:-1], "--iterations=50", "--run-dir", folder).code == 0
    stopped = DrivenRun.take(folder)
    stopped.update(status="interrupted")
    stopped.close()
    viewer = open_terminal(["attach", str(folder)], tmp_path)
    viewer.expect("interrupted")
    close(viewer)
    deadline = time.monotonic() + 60
    while viewer.isalive() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not viewer.isalive()
    assert not Run(folder).is_driven()
    assert not (folder / "background.log").exists()
