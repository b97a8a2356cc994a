"""Axes, lines, bands and labels in characters. A line is made of braille dots, 2 x 4 a cell.

Drawing libraries for terminals take 100 ms and more for eight lines; whole columns at a time in NumPy take a few. What
is where depends on the axes and the size alone, so a chart whose x axis stays does not move what it has drawn before.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, isfinite

import numpy as np
from numpy.typing import NDArray

from l2o_engine.support.arrays import Doubles, Flags, Integers
from l2o_tui.charts.cells import AXIS, CURSOR, TEXT, Cells, faint_look, series_look
from l2o_tui.charts.layout import Span, decade_ticks, even_ticks, extremes, line_at, round_up, spread

SMALLEST = (16, 5)  # what axes and a line need
MARKERS = "●▲■◆▼○△□"
"""What a series is told by without colour."""
POINT = "×"
REPLICATE = "·"

_VALUE = 7  # characters of a value: -123.45, 1.2e-12
_MARKER_EVERY = 16  # columns
_TICK_WIDTH = 6  # 1e-100
_CAPTION_FROM = 6  # rows, from which on the last one is for the caption
_BRAILLE = 0x2800
_BITS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]], np.uint8)


@dataclass(frozen=True)
class Label:
    """What is written beside the end of a line: its name and value, at the height of the line."""

    name: str
    value: str
    height: float
    look: int
    marker: str


def marker_of(place: int) -> str:
    """Return the marker of the series at a place: with its colour it tells 64 of them apart."""
    return MARKERS[(place + place // len(MARKERS)) % len(MARKERS)]


class Canvas:
    """A picture of a size, with axes once :meth:`look_at` and :meth:`set_axes` were called.

    Parameters
    ----------
    width, height
        In characters, at least ``SMALLEST``.
    logarithmic
        Whether losses are drawn by their logarithm.
    view
        The part of the x axis to draw; None for all.
    cursor
        Where on the x axis the cursor is; None for none.

    Attributes
    ----------
    cells
        The picture.
    whole, span
        What of the x axis there is, and what is drawn.
    newest
        Where on the x axis the data ends.
    columns
        How many characters wide the drawing is.
    readings
        What a series has at the cursor, in words: filled by what is drawn.
    """

    def __init__(
        self, width: int, height: int, *, logarithmic: bool, view: Span | None = None, cursor: float | None = None
    ) -> None:
        self.cells = Cells.blank(width, height)
        self.logarithmic = logarithmic
        self.whole = self.span = Span(0, 1)
        self.newest = 0.0
        self.columns = 1
        self.readings: list[str] = []
        self._width, self._height = width, height
        self._view, self._cursor = view, cursor
        self._low, self._high = 0.0, 1.0
        self._left = 0  # the column of the cells that the drawing begins in
        self._rows = 1
        self._x_name = ""
        self._dots: NDArray[np.uint8] = np.zeros((1, 1), np.uint8)
        self._is_faint: Flags = np.zeros((1, 1), bool)

    def height_of(self, logs: Doubles) -> Doubles:
        """Return where log10 values lie on the y axis."""
        with np.errstate(over="ignore"):
            return logs if self.logarithmic else 10**logs

    def value_of(self, log: float) -> str:
        """Return a log10 value as the axis has it: as it is, or as the number that it is the logarithm of."""
        if not isfinite(log):
            return "–"
        return f"{log:.2f}" if self.logarithmic else f"{10**log:.1e}"

    def look_at(self, right: float, *, newest: float) -> Span:
        """Set the x axis, from 0 to there, and where the data ends; return what of the axis is in view."""
        self.whole, self.newest = Span(0, max(right, 1)), newest
        self.span = self._view.within(self.whole) if self._view else self.whole
        return self.span

    def set_axes(self, heights: Doubles, *, names: Sequence[str], x_name: str) -> None:
        """Draw the axes.

        Parameters
        ----------
        heights
            What the y axis must hold, all finite; from 0.1 to 1 if there is nothing.
        names
            Of the lines, for the room that their labels need.
        x_name
            Of the x axis; the caption begins with it.
        """
        self._rows = self._height - 3 if self._height >= _CAPTION_FROM else self._height - 2
        self._x_name = x_name
        held = heights if heights.size else self.height_of(np.array([-1.0, 0.0]))
        ticks, labels = self._y_axis(float(held.min()), float(held.max()))
        tick_width = max(_TICK_WIDTH, *map(len, labels)) if labels else _TICK_WIDTH
        label_width = min(max(map(len, names)) + _VALUE + 4, 2 * self._width // 5) if names else 0
        self._left = tick_width + 1
        self.columns = max(self._width - self._left - label_width, 1)
        self._dots = np.zeros((self._rows, self.columns), np.uint8)
        self._is_faint = np.zeros((self._rows, self.columns), bool)
        frame = self.cells
        for row in range(self._rows):
            frame.write(row, tick_width, "│", AXIS)
        for tick, label in zip(ticks, labels, strict=True):
            row = self._row(tick)
            frame.write(row, tick_width, "┤", AXIS)
            frame.write(row, tick_width - len(label), label, TEXT)
        frame.write(self._rows, tick_width, "└" + "─" * self.columns, AXIS)
        self._x_axis()

    def edges(self, parts: int = 1) -> Doubles:
        """Return the ends [parts x columns + 1] of the columns, each cut into so many parts."""
        return np.linspace(self.span.left, self.span.right, parts * self.columns + 1)

    def column_of(self, x: float) -> int:
        """Return the column of the drawing that x lies in, the nearest one if it is not in view."""
        # Of the same numbers as the edges, so that what lies on one lies in the column that it ends.
        column = int(np.searchsorted(self.edges(), x)) - 1
        return min(max(column, 0), self.columns - 1)

    def x_of(self, cell: int) -> float | None:
        """Return where on the x axis a column of cells is, counted from the picture's left; None beside the drawing."""
        column = cell - self._left
        step = self.span.width / self.columns
        return self.span.left + (column + 0.5) * step if 0 <= column < self.columns else None

    def draw_line(self, x: Integers, y: Doubles, place: int, *, faint: bool = False) -> None:
        """Draw a line through points; what is not finite is a gap. One that is not faint has markers."""
        heights = line_at(x, np.where(np.isfinite(y), y, np.nan), self.edges(2))
        rows = self._dot_rows(heights)
        before = np.append(np.nan, rows[:-1])
        before = np.where(np.isnan(before), rows, before)
        # A column is filled from its own row up or down to the one beside that of the column before.
        top = np.where(before < rows, before + 1, rows)
        bottom = np.where(before > rows, before - 1, rows)
        self._fill(self._between(top, bottom), faint_look(place) if faint else series_look(place), faint=False)
        if not faint:
            at = np.flatnonzero(np.isfinite(rows[::2]))
            chosen = at[(at % _MARKER_EVERY) == (5 * place + 3) % _MARKER_EVERY]
            self._mark(np.append(chosen, at[-1:]), rows[::2], place)

    def draw_level(self, y: float, place: int) -> None:
        """Draw a dotted line across."""
        if not self._low <= y <= self._high:
            return
        rows = np.full(2 * self.columns, np.nan)
        rows[::2] = self._dot_rows(np.array([y]))
        self._fill(self._between(rows, rows), series_look(place), faint=False)
        self._mark(np.arange((5 * place + 3) % _MARKER_EVERY, self.columns, _MARKER_EVERY), rows[::2], place)

    def draw_band(self, x: Integers, low: Doubles, high: Doubles, place: int) -> None:
        """Draw a faint, dotted band between the extremes of two lines."""
        lowest, highest = extremes(x, low, high, self.edges())
        top, bottom = (np.repeat(self._dot_rows(heights), 2) for heights in (highest, lowest))
        top[1::2] = bottom[1::2] = np.nan  # one column of dots of each cell
        mask = self._between(top, bottom)
        row = np.arange(len(mask))[:, None]
        self._fill(mask & ((row % 2 == 0) | (row == top) | (row == bottom)), faint_look(place), faint=True)

    def draw_points(self, x: Integers, y: Doubles) -> None:
        """Draw a cross at each point in view."""
        rows = self._dot_rows(y)
        for at, row in zip(x.tolist(), rows.tolist(), strict=True):
            if self.span.holds(at) and isfinite(row) and 0 <= row < 4 * self._rows:
                self.cells.write(int(row) // 4, self._left + self.column_of(at), POINT, TEXT)

    def draw_cursor(self) -> None:
        """Draw the cursor behind the lines, if it is in view."""
        column = self.cursor_column()
        if column is not None:
            for row in np.flatnonzero((self._dots[:, column] == 0) | self._is_faint[:, column]).tolist():
                self.cells.write(row, self._left + column, "│", CURSOR)

    def cursor_column(self) -> int | None:
        """Return the column that the cursor is in; None if there is no cursor in view."""
        if self._cursor is None or not self.span.holds(self._cursor):
            return None
        return self.column_of(self._cursor)

    def write_labels(self, labels: Sequence[Label]) -> None:
        """Write labels beside the lines' heights, the first ones if there is no room for all."""
        shown = [label for label in labels if isfinite(label.height)][: self._rows]
        rows = spread([self._row(label.height) for label in shown], 0, self._rows - 1, 1)
        left = self._left + self.columns
        room = self._width - left
        for label, row in zip(shown, rows, strict=True):
            beyond = "↑" if label.height > self._high else "↓" if label.height < self._low else ""
            value = f" {label.value}{beyond}" if room >= 2 * _VALUE else ""
            name = label.name[: max(room - len(value) - 3, 0)]
            self.cells.write(int(row), left, f" {label.marker} {name}{value}"[:room], label.look)

    def write_caption(self, text: str) -> None:
        """Write the x axis' name and a text below the drawing, if there is a row for it."""
        said = " · ".join(part for part in (self._x_name, text) if part)
        if self._height >= _CAPTION_FROM:
            column = self._left if len(said) <= self._width - self._left else 0
            shown = said if len(said) <= self._width else f"{said[: self._width - 1]}…"
            self.cells.write(self._height - 1, column, shown, TEXT)

    def _y_axis(self, low: float, high: float) -> tuple[list[float], list[str]]:
        """Set what the y axis holds, and return its ticks."""
        if not self.logarithmic:
            # To the next round number, so that it seldom changes while a run goes on.
            self._low, self._high = 0.0, round_up(high) if high > 0 else 1.0
            return even_ticks(self._low, self._high, most=max(self._rows // 3, 2))
        if high - low >= 2:
            self._low, self._high = float(floor(low)), float(-floor(-high))
            return decade_ticks(floor(low), -floor(-high), most=max(self._rows // 2, 2))
        step = round_up(max(high - low, 0.01) / 4)
        self._low, self._high = floor(low / step) * step, -floor(-high / step) * step
        if self._low == self._high:
            self._low, self._high = low - step, high + step
        ticks, _ = even_ticks(self._low, self._high, most=max(self._rows // 3, 2))
        return ticks, [f"1e{tick:+g}" if tick else "1" for tick in ticks]

    def _x_axis(self) -> None:
        row = self._rows
        free = 0  # where the label before has ended
        ticks, labels = even_ticks(self.span.left, self.span.right, most=max(self.columns // 12, 2))
        for tick, label in zip(ticks, labels, strict=True):
            column = self._left + self.column_of(tick)
            start = min(max(column - len(label) // 2, 0), self._width - len(label))
            self.cells.write(row, column, "┬", AXIS)
            if start >= free:
                self.cells.write(row + 1, start, label, TEXT)
                free = start + len(label) + 1

    def _dot_rows(self, heights: Doubles) -> Doubles:
        """Return the dots' rows, counted from the top, of heights; NaN for what is not finite."""
        finite = np.where(np.isfinite(heights), heights, np.nan)
        rows: Doubles = np.rint((self._high - finite) / (self._high - self._low) * (4 * self._rows - 1))
        return rows

    def _row(self, height: float) -> int:
        row = self._dot_rows(np.array([height]))[0] // 4
        return int(min(max(row, 0), self._rows - 1))

    def _between(self, top: Doubles, bottom: Doubles) -> Flags:
        """Return which dots [rows, columns] lie between two rows of each column; none where one is NaN."""
        row = np.arange(4 * self._rows)[:, None]
        between: Flags = (row >= top) & (row <= bottom)
        return between

    def _fill(self, mask: Flags, look: int, *, faint: bool) -> None:
        """Set dots; a line's cells take the place of a band's."""
        codes = np.zeros_like(self._dots)
        for (row, column), bit in np.ndenumerate(_BITS):
            codes |= mask[row::4, column::2] * bit
        where = codes > 0
        kept = self._dots if faint else np.where(self._is_faint, 0, self._dots)
        self._dots = np.where(where, kept | codes, self._dots).astype(np.uint8)
        self._is_faint[where] = faint
        area = slice(0, self._rows), slice(self._left, self._left + self.columns)
        self.cells.characters[area] = np.where(
            where, _BRAILLE + self._dots.astype(np.uint32), self.cells.characters[area]
        )
        self.cells.looks[area] = np.where(where, look, self.cells.looks[area])

    def _mark(self, columns: NDArray[np.intp], rows: Doubles, place: int) -> None:
        for column in columns.tolist():
            if 0 <= rows[column] < 4 * self._rows:
                self.cells.write(int(rows[column]) // 4, self._left + column, marker_of(place), series_look(place))
