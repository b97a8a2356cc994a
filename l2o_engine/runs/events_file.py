"""``events.jsonl``, read: line by line, as what :mod:`l2o_engine.records.codec` knows."""

from collections.abc import Iterator
from pathlib import Path

from l2o_engine.records.codec import Recorded, recorded
from l2o_engine.runs.tail import Tail


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
