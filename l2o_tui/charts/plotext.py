"""Figures on a terminal: plotext draws axes, ticks, lines, bands, levels and markers. Only this file knows plotext.

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

from l2o_engine.support.arrays import Doubles
from l2o_tui.charts.cells import AXIS, CURSOR, LOOKS, TEXT, Cells, faint_look, look_of
from l2o_tui.charts.figure import RAW, Band, Figure, Series
from l2o_tui.charts.layout import Room, arrange, caption_of, placed_labels
from l2o_tui.charts.reduce import extremes, reduced
from l2o_tui.charts.styles import COLOURS, PLAIN_POINT, POINT, TINTS, Style

_MARKER_EVERY = 16  # columns
_PARTS = re.compile(r"\x1b\[([0-9;]*)m|([^\x1b]+)")
_PLAIN = str.maketrans(dict(zip("│┤├└─┬┴┼…·×–↑↓", "|++`-+++~-X-^v", strict=True)))
_DRAWING = Lock()  # plotext has one figure


@dataclass(frozen=True)
class Strokes:
    """What things are drawn with: characters, or a marker of plotext's that has dots smaller than a cell."""

    line: str | None
    bands: dict[str, str]
    level: str
    cursor: str


_FINE = Strokes("braille", {RAW: "⠂"}, "┈", "│")
_COARSE = Strokes(None, {RAW: "."}, "-", "|")


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
    room = arrange(figure, width, height)
    cells = Cells.blank(width, height)
    with _DRAWING:
        built = _built(figure, room, _COARSE if plain else _FINE, plain=plain)
    _read_into(cells, built)
    for row, text, label in placed_labels(figure, room, plain=plain):
        cells.write(row, room.left + room.columns, text, look_of(label.style) if label.style else TEXT)
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
    plot = _plotext().figure
    plot.clear()
    plot.plot_size(room.left + room.columns, room.rows + 2)
    plot.axes(False, axis=[0, 1], side=1)
    plot.axes(True, pixel=_pixel(AXIS), axis=[0, 1], side=0)
    x, y = plot.ruler(0, 0), plot.ruler(1, 0)
    for ruler, ends in ((x, (figure.x.view.left, figure.x.view.right)), (y, (figure.y.low, figure.y.high))):
        ruler.pixel(_pixel(TEXT)).lim(*ends).alignment(lim="edge")
    middles = room.middles(figure)
    x.ticks([float(middles[figure.x.column_of(at, room.columns)]) for at in room.x_ticks.places], room.x_ticks.labels)
    labels = [label.rjust(room.left - 1) for label in room.y_ticks.labels]
    y.ticks([room.middle_of(figure, room.row_of(figure, height)) for height in room.y_ticks.places], labels)
    for signal in _signals(plot, figure, room, strokes, plain=plain):
        plot.draw(signal)
    return str(plot.build().string())


def _signals(plot: Any, figure: Figure, room: Room, strokes: Strokes, *, plain: bool) -> Iterator[Any]:
    """Yield what is drawn, one over the other."""
    middles = room.middles(figure)
    if figure.shows_bands:
        for one in figure.series:
            for band in one.bands:
                yield from _band(plot, figure, room, one, band, strokes)
    for level in figure.levels:
        height = figure.y.height(level.y)
        if figure.y.low <= height <= figure.y.high:
            height = room.middle_of(figure, room.row_of(figure, height))
            ends = np.array([middles[0], middles[-1]])
            yield _line(plot, ends, np.full(2, height), strokes.level, look_of(level.style))
            marked = middles[(5 * level.style.place + 3) % _MARKER_EVERY :: _MARKER_EVERY]
            marker = level.style.marker(plain=plain)
            yield _points(plot, marked, np.full(len(marked), height), marker, look_of(level.style))
    if figure.cursor is not None:
        x = middles[figure.x.column_of(figure.cursor.x, room.columns)]
        ends = np.array([room.middle_of(figure, 0), room.middle_of(figure, room.rows - 1)])
        yield _line(plot, np.full(2, x), ends, strokes.cursor, CURSOR)
    for one in figure.series:
        yield from _series(plot, figure, room, one, strokes, plain=plain)
    if figure.points is not None:
        heights = figure.y.heights(figure.points.y)
        there = np.isfinite(heights) & (heights >= figure.y.low) & (heights <= figure.y.high)
        columns = [figure.x.column_of(float(at), room.columns) for at in figure.points.x[there]]
        yield _points(plot, middles[columns], heights[there], PLAIN_POINT if plain else POINT, TEXT)


def _series(plot: Any, figure: Figure, room: Room, one: Series, strokes: Strokes, *, plain: bool) -> Iterator[Any]:
    """Yield a line, and its markers: some along it and one at its end."""
    look, marker = look_of(one.style), one.style.marker(plain=plain)
    grain = (figure.y.high - figure.y.low) / room.rows / 4
    line = reduced(one.x, figure.y.heights(one.y), figure.x.view, room.columns, grain=grain)
    if not len(line.x):
        return
    heights = _within(figure, line.y)
    yield _line(plot, line.x, heights, strokes.line or marker, look, line.joined)
    middles = room.middles(figure)
    at = line.heights(middles)
    columns = np.flatnonzero(np.isfinite(at))
    chosen = columns[columns % _MARKER_EVERY == (5 * one.style.place + 3 + (one.style.seed or 0)) % _MARKER_EVERY]
    end = figure.x.column_of(float(line.x[-1]), room.columns)
    inside = (line.y[-1] >= figure.y.low) & (line.y[-1] <= figure.y.high)
    marked, levels = middles[chosen], at[chosen]
    if inside and not one.is_replicate:
        marked, levels = np.append(marked, middles[end]), np.append(levels, line.y[-1])
    there = (levels >= figure.y.low) & (levels <= figure.y.high)
    yield _points(plot, marked[there], levels[there], marker, look)


def _band(plot: Any, figure: Figure, room: Room, one: Series, band: Band, strokes: Strokes) -> Iterator[Any]:
    """Yield a band: in each column a stroke from the lowest to the highest."""
    lows, highs = extremes(one.x, band.low, band.high, figure.x.edges(room.columns))
    lows, highs = figure.y.heights(lows), figure.y.heights(highs)
    there = np.isfinite(lows) & np.isfinite(highs)
    if not there.any():
        return
    x = np.repeat(room.middles(figure)[there], 2)
    y = _within(figure, np.stack([lows[there], highs[there]], axis=1).ravel())
    stroke = strokes.bands.get(band.kind, ":" if strokes.line is None else "⠅")
    yield _line(plot, x, y, stroke, faint_look(one.style), np.arange(len(x)) % 2 == 1)


def _within(figure: Figure, heights: Doubles) -> Doubles:
    """Return heights, what is far beyond the axis brought near to it: plotext computes every point on the way there."""
    beyond = figure.y.high - figure.y.low
    return np.clip(heights, figure.y.low - beyond, figure.y.high + beyond)


def _line(plot: Any, x: Doubles, y: Doubles, symbol: str, look: int, joined: Any = None) -> Any:
    signal = plot.signal(x.tolist(), y.tolist(), marker=_marker(symbol, look)).lines()
    if joined is not None:
        for index in np.flatnonzero(~joined).tolist():
            signal.line(index, False)
    return signal


def _points(plot: Any, x: Doubles, y: Doubles, symbol: str, look: int) -> Any:
    return plot.signal(x.tolist(), y.tolist(), marker=_marker(symbol, look)).lines(False)


def _marker(symbol: str, look: int) -> Any:
    return _plotext().marker(symbol, _pixel(look))


@cache
def _pixel(look: int) -> Any:
    return _plotext().pixel(look, "default")


@cache
def _plotext() -> Any:
    """Return plotext, imported only where something is drawn: it takes a while."""
    import plotext

    plotext.terminal.limit(False, False)
    return plotext


def _read_into(cells: Cells, built: str) -> None:
    """Write what plotext has built: characters, and its colours as looks."""
    for row, line in enumerate(built.split("\n")[: cells.size[1]]):
        column, look = 0, TEXT
        for code, text in _PARTS.findall(line):
            if text:
                end = column + len(text)
                cells.texts[row, column:end] = list(text)
                cells.looks[row, column:end] = look
                column = end
            elif code.startswith("38;5;"):
                look = int(code[5:])
            elif code == "0":
                look = TEXT


def _plain(cells: Cells) -> Cells:
    """Return a picture in ASCII, as far as it is ours; names stay as they are."""
    flat = [text.translate(_PLAIN) for text in cells.texts.ravel().tolist()]
    return Cells(np.array(flat, cells.texts.dtype).reshape(cells.texts.shape), cells.looks)
