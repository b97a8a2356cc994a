"""A picture before it is drawn: what is shown, in data units. Renderers draw it, and decide nothing of it.

Labels may be names that anybody has given: a picture holds them as they are shown, see
:func:`~l2o_engine.support.wording.shown`.

Losses are log10(loss + 1e-38) throughout; the y axis says whether they are drawn so or as they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isfinite, nan

import numpy as np

from l2o_engine.support.arrays import Doubles, Integers
from l2o_engine.support.wording import shown
from l2o_tui.charts.axes import Span, XAxis, YAxis
from l2o_tui.charts.reduce import extremes, point_at, value_at
from l2o_tui.charts.styles import Style

RAW, QUARTILES = "raw", "quartiles"
_LONGEST_LABEL = 200  # characters


@dataclass(frozen=True, eq=False)
class Band:
    """What lies between two lines: the raw results, or the quartiles of replicates; arrays are [points] of a series."""

    kind: str
    low: Doubles
    high: Doubles


@dataclass(frozen=True, eq=False)
class Series:
    """A line, and the bands behind it; arrays are [points].

    Attributes
    ----------
    label
        Its name; nothing is written for an empty one.
    style
        What tells it from the others.
    x
        The meta-iteration, or base step, of each point.
    y
        The rolling log-average, or its median; NaN where there is none.
    bands
        Behind it, the widest first.
    at
        The value that is written beside its name.
    marks_points
        Whether its markers stand on its points, which are few; else they stand at a distance along the line.
    """

    label: str
    style: Style
    x: Integers
    y: Doubles
    bands: Sequence[Band] = ()
    at: float = nan
    marks_points: bool = False

    def __post_init__(self) -> None:
        _show_label(self)

    @property
    def is_replicate(self) -> bool:
        """Whether it is one of those that another series is the median of."""
        return self.style.seed is not None


@dataclass(frozen=True)
class Level:
    """A line across: what an optimizer without a curve reaches."""

    label: str
    style: Style
    y: float

    def __post_init__(self) -> None:
        _show_label(self)


@dataclass(frozen=True, eq=False)
class Points:
    """Points on their own, such as those that were published; arrays are [points]."""

    label: str
    x: Integers
    y: Doubles

    def __post_init__(self) -> None:
        _show_label(self)


@dataclass(frozen=True)
class Label:
    """What is written at the height of a line's end: its name and its value, also in fewer characters.

    ``log`` says at which height: the value's, or where there is none the last that the line has; NaN if it has none.
    ``style`` is None for points, which have a marker of their own.
    """

    name: str
    value: str
    short: str
    log: float
    style: Style | None


@dataclass(frozen=True)
class Reading:
    """What a series has at the cursor, in words: its value, the number that is the logarithm of, and its band."""

    style: Style
    name: str
    value: str
    number: str
    band: str


@dataclass(frozen=True)
class Cursor:
    """Where the cursor is on the x axis, how that is said, and what there is."""

    x: float
    said: str
    readings: tuple[Reading, ...]


@dataclass(frozen=True, eq=False)
class Figure:
    """What is shown.

    Attributes
    ----------
    x, y
        The axes.
    series
        The lines, in the order in which they are named.
    levels, points
        What they are compared with.
    shows_bands
        Whether the series' bands are drawn: only while they can be told apart.
    caption
        What is said below while there is no cursor.
    title
        Written above, in files.
    cursor
        The cursor, if it is in view.
    """

    x: XAxis
    y: YAxis
    series: Sequence[Series] = ()
    levels: Sequence[Level] = ()
    points: Points | None = None
    shows_bands: bool = False
    caption: str = ""
    title: str = ""
    cursor: Cursor | None = None

    @property
    def labels(self) -> list[Label]:
        """What is written beside the lines, what matters most first."""
        lines = [self._label_of(one) for one in self.series if not one.is_replicate]
        parts = [self._label_of(one) for one in self.series if one.is_replicate]
        levels = [self._label(level.label, level.y, level.style) for level in self.levels]
        points = [self._label(self.points.label, float(self.points.y[-1]), None)] if self.points else []
        return [label for label in (*lines, *levels, *points, *parts) if label.name]

    @property
    def below(self) -> str:
        """What is said below: the x axis' name, why there is no line if there is none, and the caption."""
        nothing = ""
        if not self.points and not has_data(self.series, self.x.view):
            nothing = "no finite result here" if any(len(one.x) for one in self.series) else "no results yet"
        return " · ".join(filter(None, (self.x.name, nothing, self.caption)))

    def with_cursor(self, x: float, columns: int) -> "Figure":
        """Return the figure with a cursor that reads what there is in one of so many columns; itself if x is beside."""
        if not self.x.view.holds(x):
            return self
        edges, column = self.x.edges(columns), self.x.column_of(x, columns)
        ends = edges[column : column + 2]
        left, right = ends.tolist()
        points = [(one.x, point_at(one.x, ends)) for one in self.series if not one.is_replicate]
        where = next((int(x[point]) for x, point in points if point is not None), int(right))
        series = [replace(one, at=value_at(one.x, one.y, ends)) for one in self.series]
        readings = tuple(self._reading(one, edges, column) for one in series)
        cursor = Cursor((left + right) / 2, f"{self.x.counted} {where:,}", readings)
        return replace(self, series=series, cursor=cursor)

    def value(self, log: float) -> str:
        """Return a log10 value as the axis has it: as it is, or as the number that it is the logarithm of."""
        if not isfinite(log):
            return "–"
        return f"{log:.2f}" if self.y.logarithmic else _number(log)

    def _label_of(self, one: Series) -> Label:
        label = self._label(one.label, one.at, one.style)
        return label if isfinite(one.at) else replace(label, log=last_of(one.y[np.isfinite(one.y)]))

    def _label(self, name: str, log: float, style: Style | None) -> Label:
        short = self.value(log) if not isfinite(log) else f"{log:.1f}" if self.y.logarithmic else _number(log, 0)
        return Label(name, self.value(log), short, log, style)

    def _reading(self, one: Series, edges: Doubles, column: int) -> Reading:
        band = ""
        if one.bands:
            found = extremes(one.x, one.bands[0].low, one.bands[0].high, edges)
            low, high = (float(values[column]) for values in found)
            band = f"{one.bands[0].kind} {low:.2f} … {high:.2f}" if isfinite(low) else ""
        is_there = isfinite(one.at)
        return Reading(
            one.style, one.label, f"{one.at:.2f}" if is_there else "–", _number(one.at) if is_there else "", band
        )


def axis_over(series: Sequence[Series], view: Span, *, bands: bool, logarithmic: bool, more: Sequence[float]) -> YAxis:
    """Return the y axis of what is in view of some series, of their bands as well or not, and of more values."""
    parts = [np.array(more, np.float64)]
    for one in series:
        first, last = np.searchsorted(one.x, [view.left, view.right])
        shown = [one.y, *(line for band in one.bands for line in (band.low, band.high))] if bands else [one.y]
        parts += [part[first : last + 1] for part in shown]
    return YAxis.holding(np.concatenate(parts), logarithmic=logarithmic)


def _show_label(part: Series | Level | Points) -> None:
    """Make the label of a part that is just being made one that can be written."""
    object.__setattr__(part, "label", shown(part.label, most=_LONGEST_LABEL))


def has_data(series: Sequence[Series], view: Span) -> bool:
    """Return whether some line has a point in view."""
    for one in series:
        first, last = np.searchsorted(one.x, [view.left, view.right])
        if np.isfinite(one.y[first : last + 1]).any():
            return True
    return False


def last_of(values: Doubles) -> float:
    """Return a line's last value; NaN if it has none."""
    return float(values[-1]) if len(values) else nan


def _number(log: float, decimals: int = 1) -> str:
    """Return the number that a value is the logarithm of, even where it is beyond those of the machine."""
    if -300 < log < 300:
        return f"{10**log:.{decimals}e}"
    exponent = int(np.floor(log))
    return f"{10 ** (log - exponent):.{decimals}f}e{exponent:+03d}"
