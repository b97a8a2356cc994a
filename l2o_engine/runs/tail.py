"""The tail of a file that another process writes to."""

from collections.abc import Iterator
from pathlib import Path

from l2o_engine.support.files import open_to_read

MOST_LINE = 1_000_000
"""Bytes of the longest line that is read: what is longer was written by nobody of ours."""

_BLOCK = 500_000  # bytes at a time, some 6,000 rows: parsing them holds the interpreter, which a screen may wait for


class Tail:
    """Reads the whole lines of a file that grows, each once.

    Bytes that are no UTF-8 are read as surrogates, which no reader of lines takes for what was written.

    Parameters
    ----------
    path
        The file; it need not be there yet.

    Attributes
    ----------
    passed_over
        How many lines were left out so far because they are longer than a line can be.
    """

    def __init__(self, path: Path) -> None:
        self.passed_over = 0
        self._path = path
        self._offset = 0
        self._is_within = False  # whether the offset lies within a line that is passed over

    @property
    def size(self) -> int:
        """How long the file is now, in bytes."""
        try:
            return self._path.lstat().st_size
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
        """Yield the lines that were added, some at a time, each with its newline; none beyond ``size`` bytes.

        Raises
        ------
        OSError
            If the file cannot be read, or is no regular file.
        """
        size = self.size if size is None else size
        if self._offset >= size:  # nothing is opened where nothing was added
            return
        most = min(_BLOCK, MOST_LINE)
        with open_to_read(self._path) as file:
            while self._offset < size:
                file.seek(self._offset)
                block = file.read(min(most, size - self._offset))
                if self._is_within:
                    rest = block.find(b"\n") + 1
                    self._is_within = not rest
                    self._offset += rest or len(block)
                    if not block:  # it became shorter
                        return
                    continue
                end = block.rfind(b"\n") + 1
                if not end and len(block) >= MOST_LINE:
                    self.passed_over += 1
                    self._is_within = True
                elif not end and len(block) < most:  # a line that is still being written
                    return
                elif not end:  # a line that is longer
                    most = min(2 * most, MOST_LINE)
                else:
                    self._offset += end
                    text = block[: end - 1].decode("utf-8", "surrogateescape")
                    yield [line + "\n" for line in text.split("\n")]
