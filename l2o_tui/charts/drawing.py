"""Drawing with plotext: what the screen's charts and the chart that ``compare`` prints have in common.

plotext's cost grows with the points, its logarithmic axis raises on a 0 and labels odd values. So data is reduced to
one or two points a column first, and logarithms are drawn on a linear axis with decade ticks of our own.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import ceil, floor, isfinite
from typing import Any, TypeAlias

import numpy as np

from l2o_engine.arrays import LOG_FLOOR, Doubles, Integers
from l2o_engine.history import Curve
from l2o_engine.trainer import LEARNED
from l2o_tui.charts.layout import decade_ticks, even_ticks, reduce_curve, spread
from l2o_tui.figures import fixed

MOST_BANDS = 2  # series whose bands can still be told apart

_LINE = "braille"
# Without colour, a series is told by its character; levels and bands have theirs.
_PLAIN_LINES = "ox*+#@%&"
_PLAIN_LEVEL = "-"
_PLAIN_BAND = "."

Rgb: TypeAlias = tuple[int, int, int]
Colour: TypeAlias = Rgb | int
"""Red, green and blue, or one of a terminal's 256 colours by its number."""


@dataclass(frozen=True)
class Palette:
    """The colours of a chart: one a series, taken in turn, each also nearly faded into the background."""

    series: Sequence[Colour]
    faint: Sequence[Colour]
    background: Colour | None


@dataclass(frozen=True, eq=False)
class Series:
    """A line with its band; the label, if it is not empty, is written at the line's end."""

    label: str
    curve: Curve


class Canvas:
    """A plotext figure of a size, and how things look on it.

    Parameters
    ----------
    plot
        plotext itself, or an object that has its functions.
    width, height
        In characters.
    logarithmic
        Whether losses are drawn by their logarithm.
    palette
        The colours; without them a series is told by the character that draws it.
    """

    def __init__(self, plot: Any, width: int, height: int, *, logarithmic: bool, palette: Palette | None) -> None:
        self._plot = plot
        self._width, self._height = width, height
        self.logarithmic = logarithmic
        self._palette = palette
        self._low, self._high, self._right = 0.0, 1.0, 1.0

    @property
    def columns(self) -> int:
        """How many points a line can show."""
        return max(self._width - 8, 8)

    def height_of(self, logs: Doubles) -> Doubles:
        """Return where log10 values lie on the y axis."""
        return logs if self.logarithmic else 10**logs

    def set_axes(self, left: float, right: float, low: float, high: float) -> None:
        """Set the limits and ticks; ``low`` and ``high`` are heights as :meth:`height_of` gives them."""
        lines = max(self._height - 3, 2)
        if self.logarithmic:
            low, high = floor(low), max(ceil(high), floor(low) + 1)
            ticks, labels = decade_ticks(low, high, most=max(lines // 2, 2))
        else:
            low, high = 0.0, high if high > 0 else 1.0
            ticks, labels = even_ticks(low, high, most=max(lines // 3, 2))
        self._low, self._high, self._right = float(low), float(high), max(right, left + 1)
        self._plot.ylim(low, high)
        self._plot.yticks(ticks, labels)
        self._plot.xlim(left, self._right)
        self._plot.xticks(*even_ticks(left, self._right, most=max(self._width // 12, 2)))

    def draw_line(self, x: Integers, y: Doubles, place: int) -> None:
        """Draw a line in the place's colour; what is not finite is left out."""
        self._draw(x, y, place, _PLAIN_LINES[place % len(_PLAIN_LINES)])

    def draw_level(self, y: float, place: int) -> None:
        """Draw a line across."""
        x = np.array([0, self._right])
        self._draw(x, np.array([y, y]), place, _PLAIN_LEVEL)

    def draw_band(self, x: Integers, low: Doubles, high: Doubles, place: int) -> None:
        """Draw a faint band between two lines."""
        y = np.stack([low, high], axis=1).ravel()
        self._draw(np.repeat(x, 2), y, place, _PLAIN_BAND, faint=True)

    def write_labels(self, labels: Sequence[tuple[str, float, int]]) -> None:
        """Write labels at the right end of lines of these heights, so that the lines need no colour to be told."""
        rows = max(self._height - 4, 1)
        heights = spread([height for _, height, _ in labels], self._low, self._high, (self._high - self._low) / rows)
        palette = self._palette
        for (text, _, place), height in zip(labels, heights, strict=True):
            look: dict[str, Any] = {"alignment": "right"}
            if palette:
                look |= {"color": palette.series[place % len(palette.series)], "background": palette.background}
            self._plot.text(f" {text}", self._right, height, **look)

    def label(self, text: str, place: int) -> str:
        """Return the label of a line, with the character that draws it where there is no colour."""
        return text if self._palette else f"{_PLAIN_LINES[place % len(_PLAIN_LINES)]} {text}"

    def _draw(self, x: Any, y: Doubles, place: int, plain: str, *, faint: bool = False) -> None:
        there = np.isfinite(y)
        if not there.any():
            return
        look: dict[str, Any] = {"marker": plain}
        if self._palette:
            colours = self._palette.faint if faint else self._palette.series
            look = {"marker": _LINE, "color": colours[place % len(colours)]}
        self._plot.plot(x[there].tolist(), y[there].tolist(), **look)


def paint_convergence(canvas: Canvas, series: Sequence[Series], levels: Mapping[str, float]) -> None:
    """Draw end losses over the meta-iterations: the bands, then the levels, then the lines over them.

    Parameters
    ----------
    canvas
        Where to.
    series
        What to draw; their bands only if there are few of them.
    levels
        Name → mean log10 of the last loss: lines across.
    """
    drawn = [(one.label, reduce_curve(one.curve, canvas.columns)) for one in series]
    with_bands = len(drawn) <= MOST_BANDS
    shown = [v for _, curve in drawn for v in ((curve.low, curve.high) if with_bands else (curve.rolling,))]
    there = {name: level for name, level in levels.items() if isfinite(level)}
    finite = np.concatenate([*shown, np.array(list(there.values()))])
    finite = canvas.height_of(finite[np.isfinite(finite)])
    if not drawn or not finite.size:
        return
    right = max((int(curve.iteration[-1]) for _, curve in drawn if len(curve.iteration)), default=1)
    canvas.set_axes(0, right, float(finite.min()), float(finite.max()))
    # The first series has the first colour, the levels the next ones, and further series those behind.
    places = [0, *range(1 + len(there), len(drawn) + len(there))]
    heights = canvas.height_of(np.array(list(there.values()))).tolist()
    lines = [
        (f"{name} {fixed(level)}", height, 1 + number)
        for number, ((name, level), height) in enumerate(zip(there.items(), heights, strict=True))
    ]
    if with_bands:
        for place, (_, curve) in zip(places, drawn, strict=True):
            canvas.draw_band(curve.iteration, canvas.height_of(curve.low), canvas.height_of(curve.high), place)
    for _, height, place in lines:
        canvas.draw_level(height, place)
    labels = lines
    for place, (label, curve) in zip(places, drawn, strict=True):
        rolling = canvas.height_of(curve.rolling)
        canvas.draw_line(curve.iteration, rolling, place)
        if label and len(rolling) and isfinite(rolling[-1]):
            labels.append((canvas.label(label, place), float(rolling[-1]), place))
    canvas.write_labels(labels)


def paint_losses(canvas: Canvas, losses: Mapping[str, Doubles]) -> None:
    """Draw the losses [steps] of every optimizer over the base steps of one problem, the network's first."""
    drawn: list[tuple[str, Integers, Doubles]] = []
    for name, values in sorted(losses.items(), key=lambda item: item[0] != LEARNED):
        steps: Integers = np.flatnonzero(np.isfinite(values))
        heights: Doubles = np.log10(values[steps] + LOG_FLOOR) if canvas.logarithmic else values[steps]
        drawn.append((name, steps, heights))
    finite = np.concatenate([heights for _, _, heights in drawn])
    if not finite.size:
        return
    right = max(len(values) for values in losses.values()) - 1
    canvas.set_axes(0, right, float(finite.min()), float(finite.max()))
    there = [(place, *curve) for place, curve in enumerate(drawn) if len(curve[1])]
    for place, _, steps, heights in there:
        canvas.draw_line(steps, heights, place)
    canvas.write_labels([(name, float(heights[-1]), place) for place, name, _, heights in there])


def printed_convergence(
    series: Sequence[Series], levels: Mapping[str, float], *, width: int, height: int, palette: Palette | None
) -> str:
    """Return a convergence chart as text, with colour codes if there is a palette."""
    import plotext

    plotext.clear_figure()
    plotext.clear_color()  # the terminal's own background
    plotext.limit_size(False, False)  # printed, a chart may be larger than a terminal
    plotext.plot_size(width, height)
    paint_convergence(Canvas(plotext, width, height, logarithmic=True, palette=palette), series, levels)
    text: str = plotext.build()
    return text if palette else plotext.uncolorize(text)
