"""What one process asks of a run that another one drives: small files in ``RUN/commands/``.

Files need nothing but the folder, so a login node can steer a run on a compute node. Each is written whole, under a
name that sorts by time. Who drives the run looks into the folder between two chunks, and removes a file before it
obeys it: a command that cannot be removed would be obeyed for ever, so it is not obeyed at all. What is not named like
a command is somebody else's, and stays.
"""

import json
import os
import re
import socket
import uuid
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict
from heapq import nsmallest
from math import inf
from pathlib import Path
from time import monotonic, time_ns

from l2o_engine.presets.schema import MOST_ITERATIONS
from l2o_engine.records.events import Command, Describe, Extend, GoOn, Notice, Pause, SaveCheckpoint, Stop
from l2o_engine.runs.about import About, AboutError
from l2o_engine.support.files import make_folder, names_in, read_bytes, remove, write_atomically
from l2o_engine.support.wording import some_of

_NAMES: dict[type, str] = {
    Pause: "pause",
    GoOn: "go_on",
    SaveCheckpoint: "checkpoint",
    Extend: "extend",
    Describe: "describe",
    Stop: "stop",
}
_NAME = re.compile(r"[0-9]{20}-[0-9a-f]{32}\.json")
_TEMPORARY = re.compile(rf"\.{_NAME.pattern}\.[0-9]+\.tmp")
_MOST_BYTES = 16_384  # room for a note of any script
_MOST_FILES = 200  # that one look takes away
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
    if isinstance(command, Describe):
        document |= asdict(command)
    document |= {"host": socket.gethostname(), "pid": os.getpid()}
    path = folder / f"{time_ns():020d}-{uuid.uuid4().hex}.json"
    write_atomically(path, json.dumps(document, ensure_ascii=False).encode(), folder.parent)
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
        If the folder cannot be made or looked into, or a link leads to it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._immovable: set[str] = set()
        self._has_told = False  # of files that are none of ours
        self._taken: deque[Command | Notice] = deque()
        self._junk: list[str] = []  # what was no command and has not been told of
        self._junk_told = -inf
        self._due = 0.0
        make_folder(folder, folder.parent)
        for name in names_in(folder, folder.parent):
            if _NAME.fullmatch(name) or _TEMPORARY.fullmatch(name):
                with suppress(OSError):  # take() will say so
                    remove(folder / name, folder.parent)

    def take(self) -> Command | Notice | None:
        """Return what was asked first, or a notice about files that are no commands; None if there is nothing.

        A look is bounded, and the next one waits the longer, the longer this one took: whoever floods the folder, with
        files named like commands or not, does not slow the training.
        """
        began = monotonic()
        if not self._taken and began >= self._due:
            self._taken.extend(self._look())
            self._due = monotonic() + (monotonic() - began) / _SHARE
        return self._taken.popleft() if self._taken else None

    def _look(self) -> list[Command | Notice]:
        """Take what is in the folder, the oldest first."""
        try:
            found = names_in(self._folder, self._folder.parent)
        except OSError:  # out of reach, perhaps for a moment only: training goes on
            return []
        taken: list[Command | Notice] = []
        waiting = (name for name in found if _NAME.fullmatch(name) and name not in self._immovable)
        for name in nsmallest(_MOST_FILES, waiting):
            path = self._folder / name
            content = self._read(path)
            if content is None:  # whoever asked has taken it back
                continue
            try:
                remove(path, self._folder.parent)
            except OSError as error:
                self._immovable.add(name)
                taken.append(Notice(f"commands/{name} is not obeyed, because it cannot be removed: {error.strerror}"))
                continue
            try:
                taken.append(_parse(content))
            except (ValueError, RecursionError, AboutError):
                self._junk.append(name)
        return [*self._told(), *taken, *self._told_of_foreign(found)]

    def _told(self) -> Iterator[Notice]:
        """Tell of the files that were no commands: of many at once, and not all the time."""
        if self._junk and monotonic() - self._junk_told >= _JUNK_SECONDS:
            is_no = "it is no command" if len(self._junk) == 1 else "they are no commands"
            yield Notice(f"removed from commands/ {some_of(self._junk)}: {is_no}")
            self._junk, self._junk_told = [], monotonic()

    def _told_of_foreign(self, found: list[str]) -> Iterator[Notice]:
        """Tell, once, of what is not named like a command; names with a dot in front are still being written."""
        if self._has_told:
            return
        foreign = sorted(name for name in found if not name.startswith(".") and not _NAME.fullmatch(name))
        if foreign:
            self._has_told = True
            yield Notice(f"commands/ holds what is no command, and is left there: {some_of(foreign)}")

    def _read(self, path: Path) -> bytes | None:
        try:
            return read_bytes(path, _MOST_BYTES, self._folder.parent)
        except FileNotFoundError:
            return None
        except OSError:  # too long, or no file at all
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
        case {"command": "describe", "given_name": str(name), "note": str(note), "tags": list(tags)}:
            about = About(name, note, tuple(tags))  # which refuses what no run is called
            return Describe(about.name, about.note, about.tags)
        case {"command": "stop", "host": str(host), "pid": int(pid)} if host.isprintable():
            return Stop(f"stopped by process {pid} on {host}")
    raise ValueError("no command")
