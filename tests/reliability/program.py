"""The real program as a process, on pipes or on a terminal, to be killed and looked at.

A :class:`Fresh` process is what a shell starts. Hundreds of them would take hours to import PyTorch, so most are forked
by a :class:`WarmStart` (warm.py), which has imported it.
"""

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from time import monotonic, sleep
from types import TracebackType
from typing import Protocol

from tests.reliability import faults
from tests.reliability.faults import Fault, Happened

PATIENCE = 120.0
_LEAVING_SECONDS = 0.3
_LOOK_SECONDS = 0.02
_SIZE = (36, 120)
_ROOT = Path(__file__).parents[2]
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")  # direction marks, too
_OTHERS_SEQUENCE = re.compile(r"\x1b(\](?!22;)|P|_|\^)")  # OSC but textual's for the pointer, DCS, APC, PM


class StillRunningError(AssertionError):
    """A process that did not end in time."""


class Terminal:
    """A pseudo-terminal of 120x36 whose output is kept."""

    def __init__(self) -> None:
        self._master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", *_SIZE, 0, 0))
        self.name = os.ttyname(slave)
        self.slave = slave
        self.output = bytearray()
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        with suppress(OSError):  # how Linux says that the other end is closed
            while data := os.read(self._master, 65536):
                self.output += data

    def send(self, keys: str) -> None:
        """Type keys, if somebody is there to hear them."""
        with suppress(OSError):
            os.write(self._master, keys.encode())

    def hang_up(self) -> None:
        """Take the terminal away, as a connection that drops does."""
        os.close(self._master)
        self._master = -1

    def close(self) -> None:
        """Let go of it, and take in what was written last."""
        with suppress(OSError):
            os.close(self.slave)
        self._reader.join(1.0)
        if self._master >= 0:
            self.hang_up()


@dataclass
class Process:
    """A process of the program.

    Attributes
    ----------
    pid
        Its id; it is there, if only as a zombie, until :meth:`wait` returns.
    folder
        Where its streams and its log of faults are.
    terminal
        Its terminal; None on pipes.
    """

    pid: int
    folder: Path
    terminal: Terminal | None
    _wait: Callable[[float], int | None]
    code: int | None = field(default=None, init=False)

    @property
    def out(self) -> str:
        """What it wrote on stdout."""
        return _text(self.folder / "out")

    @property
    def err(self) -> str:
        """What it wrote on stderr."""
        return _text(self.folder / "err")

    @property
    def screen(self) -> str:
        """What it wrote on its terminal."""
        return bytes(self.terminal.output).decode("utf-8", "replace") if self.terminal else ""

    @property
    def happened(self) -> list[Happened]:
        """What befell its calls, and those of its children."""
        return faults.happened(self.folder / "log")

    def signal(self, number: int) -> None:
        """Send it a signal, if it has not been found to have ended."""
        if self.code is None:
            os.kill(self.pid, number)

    def leave(self) -> int:
        """Press q until it has ended: the first may come before a screen hears it, or be asked back."""
        assert self.terminal is not None
        deadline = monotonic() + PATIENCE
        while self.code is None and monotonic() < deadline:
            self.terminal.send("q")
            self.code = self._wait(_LEAVING_SECONDS)
        return self.wait()

    def wait(self, seconds: float = PATIENCE) -> int:
        """Wait for its end and return its exit code, -9 of one that was killed.

        Raises
        ------
        StillRunningError
            If it does not end in time; it is killed then.
        """
        code = self._wait(seconds) if self.code is None else self.code
        if code is None:
            self.signal(signal.SIGKILL)
            self._wait(PATIENCE)
            said = self.screen[-2000:] or self.err[-2000:]
            raise StillRunningError(f"it had not ended after {seconds:g} s; it had said: {said}")
        self.code = code
        if self.terminal:
            self.terminal.close()
        return code

    def wait_until(self, condition: Callable[[], bool], seconds: float = PATIENCE) -> None:
        """Wait while it runs; return at once when it has ended.

        Raises
        ------
        StillRunningError
            If the condition does not come true in time; it is killed then.
        """
        deadline = monotonic() + seconds
        while not condition() and self.code is None:
            self.code = self._wait(0.0)
            if monotonic() > deadline:
                self.signal(signal.SIGKILL)
                raise StillRunningError(f"waited in vain; it had said: {(self.screen or self.err)[-2000:]}")
            sleep(_LOOK_SECONDS)

    @property
    def complaints(self) -> list[str]:
        """What must not be on any stream: a traceback, or control characters that are not ours."""
        found = [f"traceback: {text[-500:]}" for text in (self.out, self.err, self.screen) if "Traceback (" in text]
        found += [f"control characters: {text[-200:]!a}" for text in (self.out, self.err) if _CONTROL.search(text)]
        found += ["somebody else's sequence on the terminal"] if _OTHERS_SEQUENCE.search(self.screen) else []
        return found


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""


class Start(Protocol):
    """Starts the program."""

    def __call__(
        self,
        *args: str | Path,
        folder: Path,
        env: Mapping[str, str] | None = None,
        on: Sequence[Fault] = (),
        terminal: bool = False,
    ) -> Process:
        """Start the program with arguments.

        Parameters
        ----------
        args
            Its arguments.
        folder
            A new folder for its streams and its log of faults; its working folder too.
        env
            What is added to the environment.
        on
            What befalls its file calls.
        terminal
            Whether it has a terminal.
        """
        ...


def _environment(env: Mapping[str, str] | None) -> dict[str, str]:
    ours = {"PYTHONPATH": str(_ROOT), "TERM": "xterm-256color", "OMP_NUM_THREADS": "1", "LANG": "C.UTF-8"}
    return ours | dict(env or {})


def fresh(
    *args: str | Path,
    folder: Path,
    env: Mapping[str, str] | None = None,
    on: Sequence[Fault] = (),
    terminal: bool = False,
) -> Process:
    """Start the program as a shell does; see :class:`Start`."""
    folder.mkdir(parents=True)
    told = {name: value for name, value in os.environ.items() if not name.startswith("L2O_RUNS")} | _environment(env)
    if on:
        told |= {"LD_PRELOAD": str(faults.library()), "L2O_FAULTS": faults.rules(on)}
        told |= {"L2O_FAULTS_LOG": str(folder / "log")}
    opened = Terminal() if terminal else None
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        started = subprocess.Popen(
            [sys.executable, "-P", "-m", "l2o_tui", *map(str, args)],
            stdin=opened.slave if opened else subprocess.DEVNULL,
            stdout=opened.slave if opened else out,
            stderr=opened.slave if opened else err,
            cwd=folder,
            env=told,
            start_new_session=True,
        )

    def wait(seconds: float) -> int | None:
        try:
            return started.wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    return Process(started.pid, folder, opened, wait)


class WarmStart:
    """Starts the program in children of an interpreter that has imported it; use it with ``with``."""

    def __enter__(self) -> "WarmStart":
        env = os.environ | _environment(None) | {"LD_PRELOAD": str(faults.library())}
        self._server = subprocess.Popen(
            [sys.executable, "-P", str(Path(__file__).with_name("warm.py"))],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={name: value for name, value in env.items() if not name.startswith("L2O_RUNS")},
            text=True,
        )
        self._answer()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._server.communicate()

    def __call__(
        self,
        *args: str | Path,
        folder: Path,
        env: Mapping[str, str] | None = None,
        on: Sequence[Fault] = (),
        terminal: bool = False,
    ) -> Process:
        """Start the program; see :class:`Start`."""
        folder.mkdir(parents=True)
        opened = Terminal() if terminal else None
        asked = {
            "args": [str(arg) for arg in args],
            "cwd": str(folder),
            "env": dict(env or {}),
            "terminal": opened.name if opened else "",
            "out": str(folder / "out"),
            "err": str(folder / "err"),
            "faults": faults.rules(on),
            "log": str(folder / "log"),
        }
        pid = self._ask(asked)["pid"]
        assert pid is not None
        return Process(pid, folder, opened, lambda seconds: self._ask({"wait": pid, "seconds": seconds})["code"])

    def _ask(self, asked: Mapping[str, object]) -> dict[str, int | None]:
        assert self._server.stdin is not None
        self._server.stdin.write(json.dumps(asked) + "\n")
        self._server.stdin.flush()
        return self._answer()

    def _answer(self) -> dict[str, int | None]:
        assert self._server.stdout is not None
        answer: dict[str, int | None] = json.loads(self._server.stdout.readline())
        return answer
