"""``events.jsonl`` both ways: line by line, as what :mod:`l2o_engine.records.codec` knows."""

import json
import os
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

from l2o_engine.records.codec import Recorded, as_json, recorded
from l2o_engine.records.events import Event
from l2o_engine.runs.record import now
from l2o_engine.runs.tail import Tail
from l2o_engine.support.files import append, open_to_append, open_to_read


def open_events(path: Path) -> FileIO:
    """Open the file for writing at its end, unbuffered; half a line that a killed process left there is ended.

    Raises
    ------
    OSError
        If it cannot be opened or written, or is no regular file.
    """
    file = open_to_append(path)
    try:
        if file.tell() and not _ends_with_newline(path):
            append(file, b"\n")
    except BaseException:
        file.close()
        raise
    return file


def append_event(file: FileIO, event: Event) -> None:
    """Write an event with its time, if it is one that is recorded: all of it, or nothing.

    Raises
    ------
    OSError
        If the disk does not take it.
    """
    lines = [json.dumps({"time": now()} | document) + "\n" for document in as_json(event)]
    if lines:
        append(file, "".join(lines).encode())


def _ends_with_newline(path: Path) -> bool:
    with open_to_read(path) as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


class EventsFile:
    """Reads the events of a file that grows, each once. A last line that is still being written waits.

    Parameters
    ----------
    path
        The file; it need not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self._tail = Tail(path)
        self._damaged = 0

    @property
    def damaged(self) -> int:
        """How many lines were skipped so far because they are damaged, or longer than a line can be."""
        return self._damaged + self._tail.passed_over

    @property
    def size(self) -> int:
        """How long the file is now, in bytes."""
        return self._tail.size

    @property
    def is_cut(self) -> bool:
        """Whether the file is shorter than what has been read of it."""
        return self._tail.is_cut

    def read(self, size: int | None = None) -> Iterator[tuple[str, Recorded]]:
        """Yield the lines that were added, none beyond ``size`` bytes, each with what it says.

        Damaged ones are skipped, and so are events that only a later version knows.

        Raises
        ------
        OSError
            If the file cannot be read, or is no regular file.
        """
        for lines in self._tail.lines(size):
            for line in lines:
                try:
                    event = recorded(line)
                except ValueError:
                    self._damaged += 1
                    continue
                if event is not None:
                    yield line, event


def damage_note(damaged: int) -> str:
    """Return what must be said of so many lines that were skipped; nothing where none was."""
    if not damaged:
        return ""
    lines = "1 damaged line was" if damaged == 1 else f"{damaged:,} damaged lines were"
    return f"{lines} skipped in events.jsonl"
