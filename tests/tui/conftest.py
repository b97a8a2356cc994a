"""What the command-line tests share: calling the program here or in a process of its own, and tiny experiments."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import IO, Any

import pytest

from l2o_tui.cli import main

TINY = (
    "--set=network.hidden=3",
    "--set=network.layers=1",
    "--set=unroll.steps=4",
    "--set=report.every=10",
    "--set=run.checkpoint_seconds=0",  # as many as fall due, however fast this machine is
    "--set=run.backend=torch",  # whose speed lets a test interrupt it where it wants to
)
"""Options that make a shipped preset small enough for a thousand meta-iterations a second."""

ENDLESS = 10**9
"""Iterations that no test waits for."""

COMMAND = (str(Path(sys.executable).parent / "l2o-tui"),)


@dataclass(frozen=True)
class Result:
    """What a command left: its exit code and what it wrote."""

    code: int
    out: str
    err: str

    @property
    def documents(self) -> list[dict[str, Any]]:
        """The JSON object of every line of stdout."""
        return [json.loads(line) for line in self.out.splitlines()]

    def events(self, name: str) -> list[dict[str, Any]]:
        """The JSON objects of one kind."""
        return [document for document in self.documents if document["event"] == name]


def call(*args: str | Path) -> Result:
    """Run a command in this process, as the entry point does; streams are no terminals."""
    out, err = StringIO(), StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["l2o-tui", *map(str, args)])
        with pytest.raises(SystemExit) as stopped:
            main()
    code = stopped.value.code
    return Result(code if isinstance(code, int) else 0, out.getvalue(), err.getvalue())


def spawn(*args: str | Path, command: Sequence[str] = COMMAND) -> Result:
    """Run a command in a process of its own and wait for it."""
    done = subprocess.run(
        [*command, *map(str, args)], input="", capture_output=True, text=True, check=False, timeout=120
    )
    return Result(done.returncode, done.stdout, done.stderr)


class Running:
    """A command that runs in a process of its own."""

    def __init__(self, *args: str | Path, command: Sequence[str] = COMMAND) -> None:
        self.process = subprocess.Popen(
            [*command, *map(str, args)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._out: list[str] = []
        self._err: list[str] = []

    @property
    def pid(self) -> int:
        """The process."""
        return self.process.pid

    def next_document(self, name: str) -> dict[str, Any]:
        """Wait for the next JSON line of one kind."""
        while True:
            document: dict[str, Any] = json.loads(self._read(self.process.stdout, self._out))
            if document["event"] == name:
                return document

    def wait_for_message(self, text: str) -> None:
        """Wait for a line of stderr that holds a text."""
        while text not in self._read(self.process.stderr, self._err):
            pass

    def wait(self) -> Result:
        """Wait for its end."""
        out, err = self.process.communicate(timeout=120)
        return Result(self.process.returncode, "".join([*self._out, out]), "".join([*self._err, err]))

    def end(self) -> None:
        """End it, if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    @staticmethod
    def _read(stream: IO[str] | None, seen: list[str]) -> str:
        assert stream is not None
        line = stream.readline()
        assert line, f"the process ended before what was waited for; it had written: {seen}"
        seen.append(line)
        return line


def files_below(folder: Path) -> list[str]:
    """Return the paths of all that is in a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """Keep the settings of who runs the tests out of them, and theirs out of his."""
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path_factory.mktemp("config")))
    for name in [name for name in os.environ if name.startswith("L2O_RUNS")]:
        monkeypatch.delenv(name)
    for name in ("L2O_ASCII", "TMUX", "STY"):
        monkeypatch.delenv(name, raising=False)
    if os.environ.get("TERM") in {"dumb", "linux"}:
        monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLORTERM", "truecolor")  # a terminal of 16 colours has others


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder that is the working folder."""
    folder = tmp_path / "work"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def driven_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Running]]:
    """A run that another process drives, until the test is over: as long as it trains, it takes a core."""
    folder = tmp_path_factory.mktemp("driven") / "runs" / "busy"
    running = Running("run", "log30", "--json", *TINY, f"--iterations={ENDLESS}", "--run-dir", folder)
    try:
        running.next_document("progress")
        yield folder, running
    finally:
        running.end()
