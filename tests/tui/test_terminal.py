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


@pytest.fixture
def terminal(tmp_path: Path) -> "Iterator[pexpect.spawn[str]]":
    child: pexpect.spawn[str] = pexpect.spawn(
        sys.executable,
        ["-m", "l2o_tui", "run", "log15_end_log", *TINY, "--run-dir", str(tmp_path / "run")],
        dimensions=(40, 120),
        encoding="utf-8",
        timeout=60,
        env={"TERM": "xterm-256color", "HOME": str(tmp_path), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
        cwd=str(tmp_path),
    )
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


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
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


def test_a_lost_terminal_saves_and_ends_the_program(terminal: "pexpect.spawn[str]", tmp_path: Path) -> None:
    terminal.expect("it/s")
    os.close(terminal.child_fd)  # what an SSH connection that drops does: the kernel sends SIGHUP
    deadline = time.monotonic() + 30
    while terminal.isalive() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not terminal.isalive()
    assert terminal.exitstatus == 128 + signal.SIGHUP
    assert record(tmp_path)["status"] == "interrupted"
    assert list((tmp_path / "run" / "checkpoints").glob("*.safetensors"))
