"""What one process asks of a run that another one drives: small files in ``RUN/commands/``.

Files need nothing but the folder, so a login node can steer a run on a compute node. Each is written whole, under a
name that sorts by time. Who drives the run looks into the folder between two chunks, and removes a file before it
obeys it: a command that cannot be removed would be obeyed for ever, so it is not obeyed at all.
"""

import json
import os
import socket
import uuid
from contextlib import suppress
from pathlib import Path
from time import time_ns

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
        folder.mkdir(exist_ok=True)
        for path in folder.iterdir():
            with suppress(OSError):  # take() will say so
                path.unlink()

    def take(self) -> Command | Notice | None:
        """Return what was asked first, or a notice about a file that is no command; None if there is nothing."""
        try:
            with os.scandir(self._folder) as entries:
                found = {entry.name: entry.is_file(follow_symlinks=False) for entry in entries}
        except OSError:  # out of reach, perhaps for a moment only: training goes on
            return None
        # Names with a dot in front are still being written.
        for name in sorted(name for name in found if not name.startswith(".") and name not in self._immovable):
            path = self._folder / name
            content = _read(path) if found[name] else b""
            try:
                path.unlink()
            except FileNotFoundError:
                continue
            except OSError as error:
                self._immovable.add(name)
                return Notice(f"commands/{name!a} is not obeyed, because it cannot be removed: {error.strerror}")
            try:
                return _parse(content)
            except (ValueError, RecursionError):
                return Notice(f"removed commands/{name!a}: it is no command")
        return None


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
