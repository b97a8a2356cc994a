"""What a chart is made of on a terminal: a text and a look for every cell; and what differs from another one."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from rich.cells import cell_len

from l2o_tui.charts.styles import COLOURS, TINTS, Style

Texts: TypeAlias = NDArray[np.str_]
"""What each cell holds: a character with its combining marks; nothing behind one that is two cells wide."""

Looks: TypeAlias = NDArray[np.int16]
"""How each cell looks: one of the numbers below; a palette says in which colours."""

TEXT, AXIS, CURSOR = range(3)
_SERIES = 3
_FAINT = _SERIES + COLOURS
_TINTS = _FAINT + COLOURS
LOOKS = _TINTS + COLOURS * TINTS

_MARKS = 3  # that a character keeps
_GAP = 6  # cells: to tell them again is shorter than to move the terminal's cursor over them


def look_of(style: Style) -> int:
    """Return the look of a series: its colour, or a replicate's tint of it."""
    return _SERIES + style.colour if style.tint is None else _TINTS + style.colour * TINTS + style.tint


def faint_look(style: Style) -> int:
    """Return the look of a series' band."""
    return _FAINT + style.colour


def split(text: str) -> list[str]:
    """Return what each cell of a text holds, see :data:`Texts`."""
    held: list[str] = []
    for character in text:
        width = cell_len(character)
        if width == 0 and held:
            at = len(held) - 1 if held[-1] else len(held) - 2
            held[at] = (held[at] + character)[: 1 + _MARKS]
        elif width > 0:
            held += [character, *[""] * (width - 1)]
    return held


@dataclass(frozen=True, eq=False)
class Cells:
    """A picture in characters; both arrays are [height, width]."""

    texts: Texts
    looks: Looks

    @classmethod
    def blank(cls, width: int, height: int) -> "Cells":
        """Return nothing but spaces."""
        return cls(np.full((height, width), " ", f"U{1 + _MARKS}"), np.zeros((height, width), np.int16))

    @property
    def size(self) -> tuple[int, int]:
        """Width and height."""
        height, width = self.texts.shape
        return width, height

    def write(self, row: int, column: int, text: str, look: int) -> None:
        """Write a text, as much of it as there is room for; nothing if it begins outside."""
        width, height = self.size
        held = split(text)[: max(width - column, 0)]
        if held and 0 <= row < height and column >= 0:
            if cell_len("".join(held)) > len(held):  # half of a wide character
                held[-1] = " "
            self.texts[row, column : column + len(held)] = held
            self.looks[row, column : column + len(held)] = look

    def runs(self, row: int) -> Iterator[tuple[str, int]]:
        """Yield the texts of a row, each with its look.

        A space looks the same in all of them, and goes with what is before it: fewer colours are sent so.
        """
        texts = self.texts[row].tolist()
        seen = np.maximum.accumulate(np.where(self.texts[row] == " ", 0, np.arange(len(texts))))
        looks = self.looks[row][seen]
        ends = [*(np.flatnonzero(np.diff(looks)) + 1).tolist(), len(looks)]
        start = 0
        for end in ends:
            yield "".join(texts[start:end]), int(looks[start])
            start = end

    def changes(self, before: "Cells") -> Iterator[tuple[int, int, int]]:
        """Yield row, first and last column + 1 of what differs from an older picture of the same size."""
        rows, columns = np.nonzero((self.texts != before.texts) | (self.looks != before.looks))
        if not len(rows):
            return
        breaks = np.flatnonzero((np.diff(rows) > 0) | (np.diff(columns) > _GAP))
        starts, ends = np.append(0, breaks + 1), np.append(breaks, len(rows) - 1)
        yield from zip(rows[starts].tolist(), columns[starts].tolist(), (columns[ends] + 1).tolist(), strict=True)
