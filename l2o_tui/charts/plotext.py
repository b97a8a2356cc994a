"""Figures on a terminal: plotext draws axes, ticks, lines, bands, levels and markers.

Only this file knows plotext, and plotext_private.py what plotext does not promise.

Nothing that is not finite, and nothing out of view, may reach it: it ends the process on a NaN, and draws every point
between two that are far apart. What it has built is read back as cells; names and values are written beside it.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from threading import Lock
from typing import Any

import numpy as np

from l2o_engine.support.arrays import Doubles, Flags
from l2o_tui.charts.cells import AXIS, CURSOR, LOOKS, TEXT, Cells, faint_look, look_of
from l2o_tui.charts.figure import QUARTILES, RAW, Band, Figure, Series
from l2o_tui.charts.layout import Room, arrange, caption_of, placed_labels
from l2o_tui.charts.plotext_private import add_points, keep_interpreter
from l2o_tui.charts.reduce import Polyline, extremes, reduced
from l2o_tui.charts.styles import COLOURS, PLAIN_POINT, POINT, TINTS, Style

_MARKER_EVERY = 16  # columns
_TREMBLE = 2  # rows: a zigzag within so many makes a line thicker, and tells nothing
_COLOUR = "38;5;"
_PARTS = re.compile(r"\x1b\[([0-9;]*)m|([^\x1b]+)")
_PLAIN = str.maketrans(dict(zip("│┤├└─┬┴┼…·×–↑↓", "|++`-+++~-X-^v", strict=True)))
_DRAWING = Lock()  # plotext has one figure


@dataclass(frozen=True)
class Strokes:
    """What things are drawn with: characters, or a marker of plotext's whose dots are smaller than a cell.

    Without one for lines, each has its series' own marker.
    """

    line: str | None
    bands: dict[str, str]
    level: str
    cursor: str


_FINE = Strokes("braille", {RAW: "⠂", QUARTILES: "⠅"}, "┈", "│")
_COARSE = Strokes(None, {RAW: ".", QUARTILES: ":"}, "-", "|")


def draw(figure: Figure, width: int, height: int, *, plain: bool = False) -> Cells:
    """Return a figure as a picture of a size, at least :data:`~l2o_tui.charts.layout.SMALLEST`.

    Parameters
    ----------
    figure
        What is shown.
    width, height
        In cells.
    plain
        Of ASCII characters alone.
    """
    return draw_in(arrange(figure, width, height), figure, plain=plain)


def draw_in(room: Room, figure: Figure, *, plain: bool = False) -> Cells:
    """Return a figure as a picture whose parts are arranged already; a cursor does not move them."""
    width, height = room.width, room.height
    cells = Cells.blank(width, height)
    with _DRAWING:
        built = _built(figure, room, _COARSE if plain else _FINE, plain=plain)
    _read_into(cells, built)
    for row, text, style in placed_labels(figure, room, plain=plain):
        cells.write(row, room.left + room.columns, text, look_of(style) if style else TEXT)
    if room.has_caption:
        said = caption_of(figure, width, plain=plain)
        cells.write(height - 1, room.left if len(said) <= width - room.left else 0, said, TEXT)
    return _plain(cells) if plain else cells


@dataclass(frozen=True)
class Palette:
    """The colours of a printed chart, of a terminal's 256: one a series, each also nearly faded into the background."""

    series: Sequence[int]
    faint: Sequence[int]


def printed(figure: Figure, width: int, height: int, *, palette: Palette | None, plain: bool = False) -> str:
    """Return a figure as text, with colour codes if there is a palette."""
    cells = draw(figure, width, height, plain=plain)
    codes = _codes(palette) if palette else [""] * LOOKS
    return "\n".join(
        "".join(f"{codes[look]}{text}\x1b[0m" if codes[look] else text for text, look in cells.runs(row))
        for row in range(height)
    )


def _codes(palette: Palette) -> list[str]:
    """Return the escape sequence of each look; text and axes have the terminal's own colour."""
    codes = [""] * LOOKS
    for place in range(COLOURS):
        colour = f"\x1b[38;5;{palette.series[place % len(palette.series)]}m"
        codes[look_of(Style(place))] = colour
        codes[faint_look(Style(place))] = f"\x1b[38;5;{palette.faint[place % len(palette.faint)]}m"
        for seed in range(TINTS):
            codes[look_of(Style(place, seed))] = colour
    return codes


def _built(figure: Figure, room: Room, strokes: Strokes, *, plain: bool) -> str:
    """Return axes and drawing as plotext builds them, its colours being the looks' numbers."""
    plot = _plot()
    plot.clear.data()
    plot.plot_size(room.left + room.columns, room.rows + 2)
    x, y = plot.ruler(0, 0), plot.ruler(1, 0)
    x.lim(figure.x.view.left, figure.x.view.right)
    y.lim(figure.y.low, figure.y.high)
    middles = room.middles(figure)
    x.ticks(middles[figure.x.columns_of(room.x_ticks.places, room.columns)].tolist(), room.x_ticks.labels)
    labels = [label.rjust(room.left - 1) for label in room.y_ticks.labels]
    y.ticks([room.middle_of(figure, room.row_of(figure, height)) for height in room.y_ticks.places], labels)
    for one in _strokes(figure, room, strokes, plain=plain):
        add_points(plot, one.x, one.y, _marker(one.symbol, one.look), one.joined)
    return str(plot.build().string())


@dataclass(frozen=True, eq=False)
class Stroke:
    """Points [points] that are drawn with one symbol, in one look; some are joined to the one before."""

    x: Doubles
    y: Doubles
    symbol: str
    look: int
    joined: Flags | None = None


_TO_THE_FIRST = np.array([False, True])  # of two points, the second one is joined


def _strokes(figure: Figure, room: Room, strokes: Strokes, *, plain: bool) -> Iterator[Stroke]:
    """Yield what is drawn, one over the other."""
    middles = room.middles(figure)
    if figure.shows_bands:
        for one in figure.series:
            for band in one.bands:
                yield from _band(figure, middles, one, band, strokes)
    for level in figure.levels:
        height = figure.y.height(level.y)
        if figure.y.low <= height <= figure.y.high:
            height = room.middle_of(figure, room.row_of(figure, height))
            look = look_of(level.style)
            yield Stroke(middles[[0, -1]], np.full(2, height), strokes.level, look, _TO_THE_FIRST)
            marked = middles[(5 * level.style.place + 3) % _MARKER_EVERY :: _MARKER_EVERY]
            yield Stroke(marked, np.full(len(marked), height), level.style.marker(plain=plain), look)
    if figure.cursor is not None:
        x = middles[figure.x.column_of(figure.cursor.x, room.columns)]
        ends = np.array([room.middle_of(figure, 0), room.middle_of(figure, room.rows - 1)])
        yield Stroke(np.full(2, x), ends, strokes.cursor, CURSOR, _TO_THE_FIRST)
    are_marked = any(one.marks_points for one in figure.series)  # then points would hide by what lines are told apart
    if are_marked:
        yield from _points(figure, room, middles, plain=plain)
    for one in figure.series:
        yield from _series(figure, room, middles, one, strokes, plain=plain)
    if not are_marked:
        yield from _points(figure, room, middles, plain=plain)


def _points(figure: Figure, room: Room, middles: Doubles, *, plain: bool) -> Iterator[Stroke]:
    """Yield the points on their own, those that the y axis holds."""
    if figure.points is not None:
        heights = figure.y.heights(figure.points.y)
        there = _inside(figure, heights)
        columns = figure.x.columns_of(figure.points.x[there], room.columns)
        yield Stroke(middles[columns], heights[there], PLAIN_POINT if plain else POINT, TEXT)


def _series(
    figure: Figure, room: Room, middles: Doubles, one: Series, strokes: Strokes, *, plain: bool
) -> Iterator[Stroke]:
    """Yield a line, and its markers: on its points, or some along it and one at its end."""
    look, marker = look_of(one.style), one.style.marker(plain=plain)
    grain = _TREMBLE * (figure.y.high - figure.y.low) / room.rows
    line = reduced(one.x, figure.y.heights(one.y), figure.x.view, room.columns, grain=grain)
    if not len(line.x):
        return
    yield Stroke(line.x, _within(figure, line.y), strokes.line or marker, look, line.joined)
    x, y = _on_points(figure, room, middles, one) if one.marks_points else _along(figure, room, middles, one, line)
    there = _inside(figure, y)
    yield Stroke(x[there], y[there], marker, look)


def _on_points(figure: Figure, room: Room, middles: Doubles, one: Series) -> tuple[Doubles, Doubles]:
    """Return where the markers of a line stand that has few points: on those that are in view."""
    there = np.isfinite(one.y) & (one.x >= figure.x.view.left) & (one.x <= figure.x.view.right)
    return middles[figure.x.columns_of(one.x[there], room.columns)], figure.y.heights(one.y[there])


def _along(figure: Figure, room: Room, middles: Doubles, one: Series, line: Polyline) -> tuple[Doubles, Doubles]:
    """Return where the markers of a line stand: some along it and, if it is no replicate's, one at its end."""
    at = line.heights(middles)
    columns = np.flatnonzero(np.isfinite(at))
    chosen = columns[columns % _MARKER_EVERY == (5 * one.style.place + 3 + (one.style.seed or 0)) % _MARKER_EVERY]
    if one.is_replicate:
        return middles[chosen], at[chosen]
    end = figure.x.column_of(float(line.x[-1]), room.columns)
    return np.append(middles[chosen], middles[end]), np.append(at[chosen], line.y[-1])


def _band(figure: Figure, middles: Doubles, one: Series, band: Band, strokes: Strokes) -> Iterator[Stroke]:
    """Yield a band: in each column a stroke from the lowest to the highest."""
    lows, highs = extremes(one.x, band.low, band.high, figure.x.edges(len(middles)))
    lows, highs = figure.y.heights(lows), figure.y.heights(highs)
    there = np.isfinite(lows) & np.isfinite(highs)
    if there.any():
        x = np.repeat(middles[there], 2)
        y = _within(figure, np.stack([lows[there], highs[there]], axis=1).ravel())
        yield Stroke(x, y, strokes.bands[band.kind], faint_look(one.style), np.arange(len(x)) % 2 == 1)


def _inside(figure: Figure, heights: Doubles) -> Flags:
    """Return which heights the y axis holds."""
    inside: Flags = np.isfinite(heights) & (heights >= figure.y.low) & (heights <= figure.y.high)
    return inside


def _within(figure: Figure, heights: Doubles) -> Doubles:
    """Return heights, what is far beyond the axis brought near to it: plotext computes every point on the way there."""
    beyond = figure.y.high - figure.y.low
    return np.clip(heights, figure.y.low - beyond, figure.y.high + beyond)


@cache
def _marker(symbol: str, look: int) -> Any:
    plotext = _plotext()
    return plotext.marker(symbol, plotext.pixel(look, "default"))


@cache
def _plot() -> Any:
    """Return plotext's figure, with axes below and at the left; what follows draws into it anew every time."""
    plotext = _plotext()
    plotext.terminal.limit(False, False)
    plot = plotext.figure
    plot.axes(False, axis=[0, 1], side=1)
    plot.axes(True, pixel=plotext.pixel(AXIS, "default"), axis=[0, 1], side=0)
    for axis in (0, 1):
        plot.ruler(axis, 0).pixel(plotext.pixel(TEXT, "default")).alignment(lim="edge")
    return plot


@cache
def _plotext() -> Any:
    """Return plotext, imported only where something is drawn: it takes a while."""
    import plotext

    keep_interpreter()
    return plotext


def _read_into(cells: Cells, built: str) -> None:
    """Write what plotext has built, lines of one width: characters, and its colours as looks."""
    lines = built.rstrip("\n").split("\n")
    texts, looks, lengths, look = [], [], [], TEXT
    for line in lines:
        for code, text in _PARTS.findall(line):
            if text:
                texts.append(text)
                looks.append(look)
                lengths.append(len(text))
            elif code.startswith(_COLOUR):
                look = int(code[len(_COLOUR) :])
            elif code == "0":
                look = TEXT
    area = slice(0, len(lines)), slice(0, sum(lengths) // len(lines))
    shape = cells.texts[area].shape
    cells.texts[area] = np.array(list("".join(texts))).reshape(shape)
    cells.looks[area] = np.repeat(looks, lengths).reshape(shape)


def _plain(cells: Cells) -> Cells:
    """Return a picture in ASCII, as far as it is ours; names stay as they are."""
    flat = [text.translate(_PLAIN) for text in cells.texts.ravel().tolist()]
    return Cells(np.array(flat, cells.texts.dtype).reshape(cells.texts.shape), cells.looks)
