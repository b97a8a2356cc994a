"""What goes where on a terminal: arithmetic over a figure and a size. Draws nothing itself."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite

import numpy as np
from rich.cells import cell_len

from l2o_engine.support.arrays import Doubles
from l2o_tui.charts.axes import Ticks
from l2o_tui.charts.figure import Figure, Label, Reading
from l2o_tui.charts.styles import Style
from l2o_tui.text.names import ELLIPSIS, cut, named

SMALLEST = (16, 5)  # what axes and a line need
_TICK_WIDTH = 5  # 1e-10
_VALUE = 7  # cells of a value: -123.45, 1.2e-12
_LEAST_NAME = 12  # cells that a name keeps where it is cut for a reading
_MARKER = 3  # cells of a label's marker with its spaces
_CAPTION_FROM = 6  # rows, from which on the last one is for the caption
_BETWEEN_TICKS = 4  # columns between their labels, at least
_EDGE = 1e-9  # rows, by which the last one begins above the drawing's end
_MOST_Y_TICKS, _MOST_X_TICKS = 12, 7  # as many as a file has: a picture says the same wherever it is drawn


_FORMS = ((True, True), (True, False), (False, False))  # of readings: with numbers, with bands


@dataclass(frozen=True)
class Room:
    """Where the parts of a picture are, in cells.

    Attributes
    ----------
    width, height
        Of the picture.
    left
        Where the drawing begins: behind the ticks' labels and the axis.
    columns, rows
        Of the drawing.
    x_ticks, y_ticks
        As many as there is room for.
    """

    width: int
    height: int
    left: int
    columns: int
    rows: int
    x_ticks: Ticks
    y_ticks: Ticks

    @property
    def has_caption(self) -> bool:
        """Whether there is a row for what is said below."""
        return self.height >= _CAPTION_FROM

    def depth_of(self, figure: Figure, height: float) -> float:
        """Return how many rows below the top a height lies, the nearest ones if it is beyond the axis."""
        axis = figure.y
        share = (axis.high - height) / (axis.high - axis.low) if axis.low < height < axis.high else height <= axis.low
        return min(share * self.rows, self.rows - _EDGE)

    def row_of(self, figure: Figure, height: float) -> int:
        """Return the row of the drawing that a height lies in, the nearest one if it is beyond the axis."""
        return int(self.depth_of(figure, height))

    def middle_of(self, figure: Figure, row: int) -> float:
        """Return the height of a row's middle."""
        axis = figure.y
        return axis.high - (row + 0.5) / self.rows * (axis.high - axis.low)

    def middles(self, figure: Figure) -> Doubles:
        """Return the middle [columns] of each column, on the x axis."""
        view = figure.x.view
        middles: Doubles = view.left + (np.arange(self.columns) + 0.5) * view.width / self.columns
        return middles

    def x_at(self, figure: Figure, cell: int) -> float | None:
        """Return where on the x axis a column of cells is, counted from the picture's left; None beside the drawing."""
        column = cell - self.left
        return float(self.middles(figure)[column]) if 0 <= column < self.columns else None


def arrange(figure: Figure, width: int, height: int) -> Room:
    """Return where the parts of a figure go in a picture of a size, at least :data:`SMALLEST`.

    Labels leave the drawing more than half of the width.
    """
    rows = height - 3 if height >= _CAPTION_FROM else height - 2
    y_ticks = figure.y.ticks(min(max(rows // 2, 2), _MOST_Y_TICKS))
    left = max(_TICK_WIDTH, *map(len, y_ticks.labels)) + 1 if y_ticks.labels else _TICK_WIDTH + 1
    names = [cell_len(label.name) for label in figure.labels]
    wanted = max(names) + _MARKER + _VALUE + 1 if names else 0
    columns = max(width - left - wanted, min(width // 2 + 1, width - left))
    longest = max(map(len, figure.x.ticks(_MOST_X_TICKS).labels), default=1)
    x_ticks = figure.x.ticks(min(max(columns // (longest + _BETWEEN_TICKS), 2), _MOST_X_TICKS))
    return Room(width, height, left, columns, rows, x_ticks, y_ticks)


def placed_labels(figure: Figure, room: Room, *, plain: bool) -> list[tuple[int, str, Style | None]]:
    """Return row, text and style of what is written beside the lines.

    Where there is no room for all, these are the first ones, and the last row says how many more there are. What has no
    height stands in the lowest row that is free.
    """
    labels, rows = figure.labels, room.rows
    more = len(labels) - rows
    if more > 0:
        rows, more = rows - 1, more + 1
    heights = {label: figure.y.height(label.log) for label in labels[:rows]}
    there = [label for label in heights if isfinite(label.log)]
    depths = spread([room.depth_of(figure, heights[label]) for label in there], 0, rows - _EDGE, 1)
    places = dict(zip(there, map(int, depths), strict=True))
    free = (row for row in reversed(range(rows)) if row not in places.values())
    space = room.width - room.left - room.columns
    found: list[tuple[int, str, Style | None]] = []
    for label, height in heights.items():
        beyond = "↑" if height > figure.y.high else "↓" if height < figure.y.low else ""
        marker = label.style.marker(plain=plain) if label.style else "X" if plain else "×"
        row = places[label] if label in places else next(free)
        found.append((row, _fitted(marker, label, beyond, space), label.style))
    if more > 0:
        found.append((rows, f" {ELLIPSIS} {more:,} more"[:space], None))
    return found


def _fitted(marker: str, label: Label, beyond: str, space: int) -> str:
    """Return a label in so many cells: the name gives way, never the number behind it, unless it must go alone."""
    values = [f"{label.value}{beyond}", f"{label.short}{beyond}"]
    value = next((one for one in values if _MARKER + cell_len(label.name) + 1 + len(one) <= space), values[-1])
    if _MARKER + len(value) > space:
        return f" {marker}"[:space]
    return f" {marker} {named(label.name, value, space - _MARKER)}"


def caption_of(figure: Figure, width: int, *, plain: bool) -> str:
    """Return what is said below: the x axis' name, and what the cursor reads, else the caption; in so many cells."""
    if figure.cursor is None:
        return figure.below if cell_len(figure.below) <= width else f"{figure.below[: width - 1]}…"
    said, readings = figure.cursor.said, figure.cursor.readings
    forms = [_read(readings, plain=plain, number=number, band=band) for number, band in _FORMS]
    texts = [" · ".join([*name, said, *form]) for form in forms for name in ([figure.x.name], [])]
    fitting = next((text for text in texts if cell_len(text) <= width), None)
    if fitting is not None:
        return fitting
    room = (width - cell_len(said)) // max(len(readings), 1) - 3
    names = [cut(one.name, room - 3 - len(one.value)) for one in readings]
    if any(name != one.name and cell_len(name) < _LEAST_NAME for name, one in zip(names, readings, strict=True)):
        names = [""] * len(readings)  # so little of a name is not what tells it from others; the markers do
    short = [
        " ".join(filter(None, (one.style.marker(plain=plain), name, one.value)))
        for name, one in zip(names, readings, strict=True)
    ]
    text = " · ".join([said, *short])
    return text if cell_len(text) <= width else f"{text[: width - 1]}…"


def _read(readings: Sequence[Reading], *, plain: bool, number: bool, band: bool) -> list[str]:
    """Return what each series has at the cursor, with or without the numbers that are logarithms of, and bands."""
    texts = []
    for one in readings:
        value = f"{one.value} = {one.number}" if number and one.number else one.value
        behind = f", {one.band}" if band and one.band else ""
        texts.append(" ".join(part for part in (one.style.marker(plain=plain), one.name, value + behind) if part))
    return texts


def spread(heights: Sequence[float], low: float, high: float, distance: float) -> list[float]:
    """Return the heights moved apart to at least this distance, and into low … high, in the same order."""
    placed = [min(max(height, low), high) for height in heights]
    order = sorted(range(len(placed)), key=lambda index: placed[index])
    for below, above in pairwise(order):
        placed[above] = max(placed[above], placed[below] + distance)
    ceiling = high
    for index in reversed(order):
        placed[index] = min(placed[index], ceiling)
        ceiling = placed[index] - distance
    return placed
