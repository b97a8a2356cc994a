"""What one process asks of a run that another one drives: small files in ``RUN/commands/``.

Files need nothing but the folder, so a login node can steer a run on a compute node. Each is written whole, under a
name that sorts by time. Who drives the run looks into the folder between two chunks, and removes a file before it
obeys it: a command that cannot be removed would be obeyed for ever, so it is not obeyed at all.
"""

import json
import os
import socket
import uuid
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from heapq import nsmallest
from math import inf
from pathlib import Path
from time import monotonic, time_ns

from l2o_engine.presets.schema import MOST_ITERATIONS
from l2o_engine.records.events import Command, Extend, GoOn, Notice, Pause, SaveCheckpoint, Stop
from l2o_engine.support.files import write_atomically

_NAMES: dict[type, str] = {
    Pause: "pause",
    GoOn: "go_on",
    SaveCheckpoint: "checkpoint",
    Extend: "extend",
    Stop: "stop",
}
_MOST_BYTES = 4096
_MOST_FILES = 200  # that one look takes away
_MOST_NAMED = 3
_SHARE = 0.02  # of the time that looks may take
_JUNK_SECONDS = 10.0  # between two notices of files that are no commands


def send(folder: Path, command: Command) -> Path:
    """Ask something of the run whose commands folder this is, and return the file that asks.

    Raises
    ------
    ValueError
        If the command is for the viewer itself.
    OSError
        If the file cannot be written.
    """
    if type(command) not in _NAMES:
        raise ValueError(f"{command} is not for the run")
    document: dict[str, object] = {"command": _NAMES[type(command)]}
    if isinstance(command, Extend):
        document["iterations"] = command.iterations
    document |= {"host": socket.gethostname(), "pid": os.getpid()}
    path = folder / f"{time_ns():020d}-{uuid.uuid4().hex}.json"
    write_atomically(path, json.dumps(document).encode())
    return path


class Inbox:
    """The commands folder, for the process that drives the run.

    It is made if it is not there, and what was asked before is removed: yesterday's stop must not end today's run.

    Parameters
    ----------
    folder
        The run's commands folder.

    Raises
    ------
    OSError
        If the folder cannot be made or looked into.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._immovable: set[str] = set()
        self._taken: deque[Command | Notice] = deque()
        self._junk: list[str] = []  # what was no command and has not been told of
        self._junk_told = -inf
        self._due = 0.0
        folder.mkdir(exist_ok=True)
        for path in folder.iterdir():
            with suppress(OSError):  # take() will say so
                path.unlink()

    def take(self) -> Command | Notice | None:
        """Return what was asked first, or a notice about files that are no commands; None if there is nothing.

        A look is bounded, and the next one waits the longer, the longer this one took: whoever floods the folder does
        not slow the training.
        """
        began = monotonic()
        if not self._taken and began >= self._due:
            self._taken.extend(self._look())
            self._due = monotonic() + (monotonic() - began) / _SHARE
        return self._taken.popleft() if self._taken else None

    def _look(self) -> list[Command | Notice]:
        """Take what is in the folder, the oldest first."""
        try:
            with os.scandir(self._folder) as entries:
                found = {entry.name: entry.is_file(follow_symlinks=False) for entry in entries}
        except OSError:  # out of reach, perhaps for a moment only: training goes on
            return []
        taken: list[Command | Notice] = []
        # Names with a dot in front are still being written.
        waiting = (name for name in found if not name.startswith(".") and name not in self._immovable)
        for name in nsmallest(_MOST_FILES, waiting):
            path = self._folder / name
            content = _read(path) if found[name] else b""
            try:
                path.unlink()
            except FileNotFoundError:
                continue
            except OSError as error:
                self._immovable.add(name)
                taken.append(Notice(f"commands/{name!a} is not obeyed, because it cannot be removed: {error.strerror}"))
                continue
            try:
                taken.append(_parse(content))
            except (ValueError, RecursionError):
                self._junk.append(name)
        return [*self._told(), *taken]

    def _told(self) -> Iterator[Notice]:
        """Tell of the files that were no commands: of many at once, and not all the time."""
        if self._junk and monotonic() - self._junk_told >= _JUNK_SECONDS:
            names = ", ".join(f"{name!a}" for name in self._junk[:_MOST_NAMED])
            more = f" and {len(self._junk) - _MOST_NAMED:,} more" if len(self._junk) > _MOST_NAMED else ""
            is_no = "it is no command" if len(self._junk) == 1 else "they are no commands"
            yield Notice(f"removed from commands/ {names}{more}: {is_no}")
            self._junk, self._junk_told = [], monotonic()


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(_MOST_BYTES)
    except OSError:
        return b""


def _parse(content: bytes) -> Command:
    """Return the command of a file's content; raise ValueError if there is none in it."""
    match json.loads(content):
        case {"command": "pause"}:
            return Pause()
        case {"command": "go_on"}:
            return GoOn()
        case {"command": "checkpoint"}:
            return SaveCheckpoint()
        case {"command": "extend", "iterations": int(iterations)} if 1 <= iterations <= MOST_ITERATIONS:
            return Extend(iterations)
        case {"command": "stop", "host": str(host), "pid": int(pid)} if host.isprintable():
            return Stop(f"stopped by process {pid} on {host}")
    raise ValueError("no command")
