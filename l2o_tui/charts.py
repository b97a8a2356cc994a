"""The charts: the only file that knows plotext.

plotext's cost grows with the points, its logarithmic axis raises on a 0 and labels odd values. So data is reduced to
one or two points a column first, and logarithms are drawn on a linear axis with decade ticks of our own. What cannot
be drawn (NaN, infinity) is said below the chart, never dropped in silence.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import ceil, floor, isfinite, log10
from typing import Any

import numpy as np
from textual.app import RenderResult
from textual.color import Color
from textual_plotext import PlotextPlot

from l2o_engine.arrays import LOG_FLOOR, Doubles, Integers
from l2o_engine.events import Curves
from l2o_engine.history import Curve
from l2o_engine.trainer import LEARNED, Lane
from l2o_tui.figures import compact, fixed

_LINE = "braille"
MOST_BANDS = 2  # lanes whose raw results can still be told apart
# Which of the theme's colours a series has: the network's first, then the baselines'.
_SERIES = ("primary", "warning", "success", "error", "accent", "secondary")


class Chart(PlotextPlot):
    """A chart that is painted when it is rendered, for the width that it then has."""

    can_focus = False

    def __init__(self, *, id: str) -> None:  # noqa: A002 (textual's name)
        super().__init__(id=id)
        self._logarithmic = True
        self._low, self._high = 0.0, 1.0

    @property
    def logarithmic(self) -> bool:
        """Whether losses are drawn by their logarithm."""
        return self._logarithmic

    @logarithmic.setter
    def logarithmic(self, value: bool) -> None:
        self._logarithmic = value
        self.refresh()

    def render(self) -> RenderResult:
        """Paint and render."""
        if self.size.width < 16 or self.size.height < 5:
            return ""
        self.plt.clear_figure()
        self.paint()
        return super().render()

    def paint(self) -> None:
        """Give the plot its data."""
        raise NotImplementedError

    def colour(self, series: int) -> tuple[int, int, int]:
        """Return the colour of a series in the app's theme."""
        return self._themed(_SERIES[series % len(_SERIES)])

    def faint(self, series: int) -> tuple[int, int, int]:
        """Return a series' colour, nearly faded into the background."""
        background = Color(*self._themed("surface"))
        return background.blend(Color(*self.colour(series)), 0.3).rgb

    def _themed(self, variable: str) -> tuple[int, int, int]:
        return Color.parse(self.app.theme_variables[variable]).rgb

    def _axes(self, left: float, right: float, low: float, high: float) -> None:
        """Set the limits and ticks; ``low`` and ``high`` are log10 values if the chart is logarithmic."""
        lines = max(self.size.height - 3, 2)
        if self.logarithmic:
            low, high = floor(low), max(ceil(high), floor(low) + 1)
            ticks, labels = decade_ticks(low, high, most=max(lines // 2, 2))
        else:
            low, high = 0.0, high if high > 0 else 1.0
            ticks, labels = even_ticks(low, high, most=max(lines // 3, 2))
        self._low, self._high = float(low), float(high)
        self.plt.ylim(low, high)
        self.plt.yticks(ticks, labels)
        right = max(right, left + 1)
        self.plt.xlim(left, right)
        self.plt.xticks(*even_ticks(left, right, most=max(self.size.width // 12, 2)))

    def _draw_labels(self, right: float, labels: Sequence[tuple[str, float, tuple[int, int, int]]]) -> None:
        """Write labels at the right end of lines of these heights, so that the lines need no colour to be told."""
        rows = max(self.size.height - 4, 1)
        heights = spread([height for _, height, _ in labels], self._low, self._high, (self._high - self._low) / rows)
        background = self._themed("surface")
        for (text, _, colour), height in zip(labels, heights, strict=True):
            self.plt.text(f" {text}", right, height, color=colour, background=background, alignment="right")


class BaseChart(Chart):
    """The losses of every optimizer over the base steps of one problem."""

    def __init__(self, *, id: str) -> None:  # noqa: A002 (textual's name)
        super().__init__(id=id)
        self._curves: Curves | None = None
        self.border_title = "base losses over the steps of one problem"

    def show(self, curves: Curves | None) -> None:
        """Draw these curves."""
        if curves is None or curves is self._curves:
            return
        self._curves = curves
        losses = np.concatenate(list(curves.losses.values()))
        left_out, zeros = int((~np.isfinite(losses)).sum()), int((losses == 0).sum())
        self.border_subtitle = _said(f"draw {curves.draw + 1}", left_out, zeros)
        self.refresh()

    def paint(self) -> None:
        """Draw each optimizer's losses."""
        if self._curves is None:
            return
        drawn: list[tuple[str, Integers, Doubles]] = []
        for name, losses in _network_first(self._curves):
            steps: Integers = np.flatnonzero(np.isfinite(losses))
            heights: Doubles = np.log10(losses[steps] + LOG_FLOOR) if self.logarithmic else losses[steps]
            drawn.append((name, steps, heights))
        finite = np.concatenate([values for _, _, values in drawn])
        if not finite.size:
            return
        length = max(len(losses) for losses in self._curves.losses.values())
        self._axes(0, length - 1, float(finite.min()), float(finite.max()))
        there = [(index, *curve) for index, curve in enumerate(drawn) if len(curve[1])]
        for index, _, steps, values in there:
            self.plt.plot(steps.tolist(), values.tolist(), marker=_LINE, color=self.colour(index))
        self._draw_labels(length - 1, [(name, values[-1], self.colour(index)) for index, name, _, values in there])


class ConvergenceChart(Chart):
    """The end loss over the meta-iterations: raw band, rolling log-average, and the baselines' levels."""

    def __init__(self, *, window: int, id: str) -> None:  # noqa: A002 (textual's name)
        super().__init__(id=id)
        self._window = window
        self._lanes: Sequence[tuple[Lane, Curve]] = ()
        self._levels: dict[str, float] = {}
        self.border_title = "end loss over the meta-iterations"

    def show(self, lanes: Sequence[tuple[Lane, Curve]], levels: dict[str, float]) -> None:
        """Draw these lanes, and these levels as lines across."""
        self._lanes, self._levels = lanes, levels
        left_out, zeros = sum(curve.non_finite for _, curve in lanes), sum(curve.zeros for _, curve in lanes)
        raw = "band: raw" if len(lanes) <= MOST_BANDS else f"raw of {len(lanes)} runs not drawn"
        self.border_subtitle = _said(f"line: mean of {self._window}, {raw}", left_out, zeros)
        self.refresh()

    def paint(self) -> None:
        """Draw the bands, then the levels, then the rolling lines over them."""
        points = max(self.size.width - 8, 8)
        lanes = [(lane, reduce_curve(curve, points)) for lane, curve in self._lanes]
        with_bands = len(lanes) <= MOST_BANDS
        drawn = [v for _, curve in lanes for v in ((curve.low, curve.high) if with_bands else (curve.rolling,))]
        levels = {name: level for name, level in self._levels.items() if isfinite(level)}
        finite = np.concatenate([*drawn, np.array(list(levels.values()))])
        finite = finite[np.isfinite(finite)]
        if not lanes or not finite.size:
            return
        right = max((int(curve.iteration[-1]) for _, curve in lanes if len(curve.iteration)), default=1)
        low, high = float(finite.min()), float(finite.max())
        self._axes(0, right, low, high if self.logarithmic else 10**high)
        # The first lane has the first colour, the levels the next ones, and further lanes those behind.
        places = [0, *range(1 + len(levels), len(lanes) + len(levels))]
        lines = [(name, level, 1 + place) for place, (name, level) in enumerate(levels.items())]
        if with_bands:
            for place, (_, curve) in zip(places, lanes, strict=True):
                self._draw_band(curve, self.faint(place))
        for _, level, place in lines:
            self._draw_level(level, right, self.colour(place))
        labels = [(f"{name} {fixed(level)}", self._height(np.array([level]))[0], place) for name, level, place in lines]
        for place, (lane, curve) in zip(places, lanes, strict=True):
            self._draw_line(curve, self.colour(place))
            if len(lanes) > 1 and len(curve.rolling) and isfinite(curve.rolling[-1]):
                name = lane.optimizer if lane.optimizer != LEARNED else f"seed {lane.seed}"
                labels.append((name, self._height(curve.rolling[-1:])[0], place))
        self._draw_labels(right, [(text, height, self.colour(place)) for text, height, place in labels])

    def _height(self, logs: Doubles) -> Any:
        return (logs if self.logarithmic else 10**logs).tolist()

    def _draw_band(self, curve: Curve, colour: tuple[int, int, int]) -> None:
        there = np.isfinite(curve.low)
        x = np.repeat(curve.iteration[there], 2)
        y = np.stack([curve.low[there], curve.high[there]], axis=1).ravel()
        if x.size:
            self.plt.plot(x.tolist(), self._height(y), marker=_LINE, color=colour)

    def _draw_line(self, curve: Curve, colour: tuple[int, int, int]) -> None:
        there = np.isfinite(curve.rolling)
        if there.any():
            x = curve.iteration[there].tolist()
            self.plt.plot(x, self._height(curve.rolling[there]), marker=_LINE, color=colour)

    def _draw_level(self, level: float, right: int, colour: tuple[int, int, int]) -> None:
        height = self._height(np.array([level]))[0]
        self.plt.plot([0, right], [height, height], marker=_LINE, color=colour)


def _network_first(curves: Curves) -> list[tuple[str, Doubles]]:
    return sorted(curves.losses.items(), key=lambda item: item[0] != LEARNED)


def _said(what: str, non_finite: int, zeros: int) -> str:
    said = [f"{non_finite:,} not finite, left out"] if non_finite else []
    said += [f"{zeros:,} zero, at 1e-38"] if zeros else []
    return " · ".join([*said, what])


def reduce_curve(curve: Curve, points: int) -> Curve:
    """Return a curve with at most so many points: extremes of the raw results, last rolling mean of each group."""
    n = len(curve.iteration)
    if n <= points:
        return curve
    starts = np.unique(np.linspace(0, n, points, endpoint=False).astype(int))
    ends = np.append(starts[1:], n) - 1
    return Curve(
        iteration=curve.iteration[ends],
        low=np.fmin.reduceat(curve.low, starts),
        high=np.fmax.reduceat(curve.high, starts),
        rolling=curve.rolling[ends],
        non_finite=curve.non_finite,
        zeros=curve.zeros,
    )


def decade_ticks(low: int, high: int, most: int) -> tuple[list[float], list[str]]:
    """Return ticks at powers of ten, as exponents, and their labels: at most so many, at even distances."""
    step = next(step for step in (1, 2, 5, 10, 20, 50, 100, 1000) if (high - low) / step < most)
    ticks = [float(tick) for tick in range(ceil(low / step) * step, high + 1, step)]
    return ticks, [f"1e{tick:+.0f}" if tick else "1" for tick in ticks]


def even_ticks(low: float, high: float, most: int) -> tuple[list[float], list[str]]:
    """Return ticks at round numbers at even distances, at most so many, and their labels."""
    rough = (high - low) / most
    magnitude = 10.0 ** floor(log10(rough))
    step = next(factor * magnitude for factor in (1, 2, 5, 10) if factor * magnitude >= rough)
    ticks = [tick * step for tick in range(ceil(low / step), floor(high / step) + 1)]
    return ticks, [compact(round(tick, 12)) for tick in ticks]


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
