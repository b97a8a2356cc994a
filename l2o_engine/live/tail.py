"""The tail of a file that another process writes to."""

from collections.abc import Iterator
from pathlib import Path

_BLOCK = 500_000  # bytes at a time, some 6,000 rows: parsing them holds the interpreter, which a screen may wait for


class Tail:
    """Reads the whole lines of a file that grows, each once.

    Parameters
    ----------
    path
        The file; it need not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    @property
    def size(self) -> int:
        """How long the file is now, in bytes."""
        try:
            return self._path.stat().st_size
        except FileNotFoundError:
            return 0

    def skip(self, offset: int) -> None:
        """Go on behind a place in the file, which is behind a line."""
        self._offset = offset

    @property
    def is_cut(self) -> bool:
        """Whether the file is shorter than what has been read of it."""
        return self.size < self._offset

    def lines(self, size: int | None = None) -> Iterator[list[str]]:
        """Yield the lines that were added, some at a time, each with its newline; none beyond ``size`` bytes."""
        size = self.size if size is None else size
        if self._offset >= size:  # nothing is opened where nothing was added
            return
        most = _BLOCK
        with self._path.open("rb") as file:
            while self._offset < size:
                file.seek(self._offset)
                block = file.read(min(most, size - self._offset))
                end = block.rfind(b"\n") + 1
                if not end and len(block) < most:  # a line that is still being written
                    return
                if not end:  # a line that is longer
                    most *= 2
                    continue
                self._offset += end
                yield [line + "\n" for line in block[: end - 1].decode("utf-8", "replace").split("\n")]
