"""What a chart is made of: a character and a look for every cell, and what changed since the picture before."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Characters: TypeAlias = NDArray[np.uint32]
"""Unicode's numbers of characters."""

Looks: TypeAlias = NDArray[np.int16]
"""How each character looks: one of the numbers below; a palette says in which colours."""

TEXT, AXIS, CURSOR = range(3)
SERIES_COLOURS = 8
_SERIES = 3
_FAINT = _SERIES + SERIES_COLOURS
LOOKS = _FAINT + SERIES_COLOURS

_GAP = 6  # cells: to tell them again is shorter than to move the terminal's cursor over them


def series_look(place: int) -> int:
    """Return the look of the series at a place; the colours are taken in turn."""
    return _SERIES + place % SERIES_COLOURS


def faint_look(place: int) -> int:
    """Return the look of the same series' band."""
    return _FAINT + place % SERIES_COLOURS


@dataclass(frozen=True, eq=False)
class Cells:
    """A picture in characters; both arrays are [height, width]."""

    characters: Characters
    looks: Looks

    @classmethod
    def blank(cls, width: int, height: int) -> "Cells":
        """Return nothing but spaces."""
        return cls(np.full((height, width), ord(" "), np.uint32), np.zeros((height, width), np.int16))

    def write(self, row: int, column: int, text: str, look: int) -> None:
        """Write a text, as much of it as there is room for; nothing if it begins outside."""
        height, width = self.characters.shape
        text = text[: max(width - column, 0)]
        if text and 0 <= row < height and column >= 0:
            self.characters[row, column : column + len(text)] = [ord(character) for character in text]
            self.looks[row, column : column + len(text)] = look

    def runs(self, row: int) -> Iterator[tuple[str, int]]:
        """Yield the texts of a row, each with its look."""
        looks = self.looks[row]
        ends = [*(np.flatnonzero(np.diff(looks)) + 1).tolist(), len(looks)]
        text = self.characters[row].tobytes().decode("utf-32")
        start = 0
        for end in ends:
            yield text[start:end], int(looks[start])
            start = end

    def changes(self, before: "Cells") -> Iterator[tuple[int, int, int]]:
        """Yield row, first and last column + 1 of what differs from an older picture of the same size."""
        differ = (self.characters != before.characters) | (self.looks != before.looks)
        for row in np.flatnonzero(differ.any(axis=1)).tolist():
            columns = np.flatnonzero(differ[row])
            breaks = np.flatnonzero(np.diff(columns) > _GAP)
            starts, ends = columns[np.append(0, breaks + 1)], columns[np.append(breaks, len(columns) - 1)] + 1
            yield from ((row, start, end) for start, end in zip(starts.tolist(), ends.tolist(), strict=True))
