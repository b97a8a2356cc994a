"""What the charts show: convergence and base losses, drawn on a canvas, for the screen and as printed text."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from math import isfinite, nan

import numpy as np

from l2o_engine.optimizers.learned.learned_optimizer import LEARNED
from l2o_engine.presets.published import NotebookRow
from l2o_engine.records.statistics import median_line, quartiles
from l2o_engine.support.arrays import LOG_FLOOR, Doubles, Integers
from l2o_tui.charts.canvas import POINT, REPLICATE, Canvas, Label, marker_of
from l2o_tui.charts.cells import LOOKS, SERIES_COLOURS, TEXT, faint_look, series_look
from l2o_tui.charts.layout import Span, extremes, point_at, value_at

MOST_BANDS = 2  # series whose bands can still be told apart
_MOST_SPREADS = 4  # of the base chart: its bands lie apart


@dataclass(frozen=True)
class Palette:
    """The colours of a printed chart, of a terminal's 256: one a series, each also nearly faded into the background."""

    series: Sequence[int]
    faint: Sequence[int]


@dataclass(frozen=True, eq=False)
class Series:
    """A line with its band; arrays are [points], all results as log10(last loss + 1e-38).

    Attributes
    ----------
    label
        Written beside the line's end; nothing is for an empty one.
    iteration
        The meta-iteration of each point.
    low, high
        The band: extremes of the raw results since the point before, or quartiles; NaN where there are none.
    line
        The rolling log-average, or its median; NaN where there is none.
    band
        What the band is, in a word; without one it is not drawn.
    each
        The lines that this one is the median of, drawn faintly.
    """

    label: str
    iteration: Integers
    low: Doubles
    high: Doubles
    line: Doubles
    band: str = "raw"
    each: Sequence["Line"] = ()


@dataclass(frozen=True, eq=False)
class Line:
    """A replicate's rolling log-average [points] over the meta-iterations [points]."""

    label: str
    iteration: Integers
    line: Doubles


def median_series(label: str, lines: Sequence[Line], *, each: bool) -> Series:
    """Return the median of replicates with their quartiles, over those that have come so far and are not NaN there.

    Parameters
    ----------
    label
        The series' label.
    lines
        The replicates.
    each
        Whether the replicates are drawn as well.
    """
    middle = median_line([(one.iteration, one.line) for one in lines])
    return Series(
        label, middle.iteration, middle.lower, middle.upper, middle.median, "quartiles", lines if each else ()
    )


def paint_convergence(
    canvas: Canvas,
    series: Sequence[Series],
    levels: Mapping[str, float],
    *,
    right: int = 0,
    bands: bool = True,
    notebook: Sequence[NotebookRow] = (),
) -> None:
    """Draw end losses over the meta-iterations: the bands, then the levels, then the lines over them.

    Parameters
    ----------
    canvas
        Where to.
    series
        What to draw; their bands only if there are few of them.
    levels
        Name → mean log10 of the last loss: lines across.
    right
        Where the x axis ends at least: a run's total, so that the axis stays as it is while the run goes on.
    bands
        Whether bands are drawn at all.
    notebook
        Rows that the notebook printed; drawn as points.
    """
    banded = [one for one in series if one.band]
    bands = bands and len(banded) <= MOST_BANDS
    last = max((int(one.iteration[-1]) for one in series if len(one.iteration)), default=0)
    newest = int(series[0].iteration[-1]) if series and len(series[0].iteration) else last
    span = canvas.look_at(max(right, last), newest=newest)
    points = [row for row in notebook if span.holds(row.it)]
    point_x = np.array([row.it for row in points], np.int64)
    point_y = canvas.height_of(np.array([row.average_log_result for row in points]))
    there = {name: level for name, level in levels.items() if np.isfinite(level)}
    level_heights = canvas.height_of(np.array(list(there.values()))).tolist()
    shown = [part for one in series for part in _in_view(one, span, bands=bands and bool(one.band))]
    finite = _finite([point_y, *map(canvas.height_of, shown)])
    if span == canvas.whole or not finite.size:
        finite = _finite([finite, np.array(level_heights)])
    # The first series has the first colour, the levels the next ones, and further series those behind.
    places = [0, *range(1 + len(there), len(series) + len(there))]
    names = [one.label for one in series if one.label] + list(there) + ["notebook"] * bool(points)
    names += [each.label for one in series for each in one.each]
    canvas.set_axes(finite, names=names, x_name="meta-iterations")
    if bands:
        for place, one in zip(places, series, strict=False):
            if one.band:
                _draw_band(canvas, one, place)
    for place, height in enumerate(level_heights, 1):
        canvas.draw_level(height, place)
    canvas.draw_cursor()
    labels = []
    for place, one in zip(places, series, strict=False):
        for each in one.each:
            canvas.draw_line(each.iteration, canvas.height_of(each.line), place, faint=True)
        canvas.draw_line(one.iteration, canvas.height_of(one.line), place)
        if one.label:
            labels.append(_label(canvas, one, series_look(place), marker_of(place)))
    canvas.draw_points(point_x, point_y)
    labels += [
        Label(name, canvas.value_of(level), height, series_look(place), marker_of(place))
        for (name, level), height, place in zip(there.items(), level_heights, count(1), strict=False)
    ]
    if points:
        value = canvas.value_of(points[-1].average_log_result)
        labels.append(Label("notebook", value, float(point_y[-1]), TEXT, POINT))
    for place, one in zip(places, series, strict=False):
        labels += [_label(canvas, each, faint_look(place), REPLICATE) for each in one.each]
    canvas.write_labels(labels)
    column = canvas.cursor_column()
    if column is not None:
        left, right = canvas.edges()[column : column + 2].tolist()
        said = [_reading(canvas, one, column) for one in series]
        canvas.readings = [
            f"it {int(min(right, newest) if left < newest else right):,}",
            *(f"{marker_of(place)} {text}" for place, text in zip(places, said, strict=False)),
        ]


def paint_losses(canvas: Canvas, losses: Mapping[str, Doubles]) -> None:
    """Draw the losses of every optimizer over the base steps, the network's first.

    Parameters
    ----------
    canvas
        Where to.
    losses
        Name → [steps] of one problem, or [problems, steps]: then the median and the quartiles of the finite ones.
    """
    drawn = []
    for name, values in sorted(losses.items(), key=lambda item: item[0] != LEARNED):
        with np.errstate(invalid="ignore"):
            logs = np.log10(np.atleast_2d(values) + LOG_FLOOR)
        lower, median, upper = quartiles(logs)
        drawn.append(Series(name, np.arange(logs.shape[1]), lower, upper, median))
    last = max((len(one.iteration) for one in drawn), default=1) - 1
    span = canvas.look_at(last, newest=last)
    bands = len(drawn) <= _MOST_SPREADS and any(np.ndim(values) > 1 and len(values) > 1 for values in losses.values())
    finite = _finite([canvas.height_of(part) for one in drawn for part in _in_view(one, span, bands=bands)])
    canvas.set_axes(finite, names=[one.label for one in drawn], x_name="base steps")
    if bands:
        for place, one in enumerate(drawn):
            _draw_band(canvas, one, place)
    canvas.draw_cursor()
    labels = []
    for place, one in enumerate(drawn):
        canvas.draw_line(one.iteration, canvas.height_of(one.line), place)
        labels.append(_label(canvas, one, series_look(place), marker_of(place)))
    canvas.write_labels(labels)
    column = canvas.cursor_column()
    if column is not None:
        said = [f"{one.label} {_both(_value(canvas, one, column))}" for one in drawn]
        step = max((point_at(one.iteration, canvas.edges()[column : column + 2]) or 0 for one in drawn), default=0)
        canvas.readings = [f"step {step}", *said]


def printed_convergence(
    series: Sequence[Series], levels: Mapping[str, float], *, width: int, height: int, palette: Palette | None
) -> str:
    """Return a convergence chart as text, with colour codes if there is a palette."""
    canvas = Canvas(width, height, logarithmic=True)
    paint_convergence(canvas, series, levels)
    canvas.write_caption("")
    codes = _codes(palette) if palette else [""] * LOOKS
    return "\n".join(
        "".join(f"{codes[look]}{text}\x1b[0m" if codes[look] else text for text, look in canvas.cells.runs(row))
        for row in range(height)
    )


def _codes(palette: Palette) -> list[str]:
    """Return the escape sequence of each look; text and axes have the terminal's own colour."""
    codes = [""] * LOOKS
    for place in range(SERIES_COLOURS):
        codes[series_look(place)] = f"\x1b[38;5;{palette.series[place % len(palette.series)]}m"
        codes[faint_look(place)] = f"\x1b[38;5;{palette.faint[place % len(palette.faint)]}m"
    return codes


def _draw_band(canvas: Canvas, one: Series, place: int) -> None:
    canvas.draw_band(one.iteration, canvas.height_of(one.low), canvas.height_of(one.high), place)


def _label(canvas: Canvas, one: Series | Line, look: int, marker: str) -> Label:
    """Return what is written beside a line: its value at the cursor, else at its end."""
    column = canvas.cursor_column()
    end = float(one.line[-1]) if len(one.line) else nan
    value = end if column is None else _value(canvas, one, column)
    height = float(canvas.height_of(np.array([value]))[0])
    return Label(one.label, canvas.value_of(value), height, look, marker)


def _reading(canvas: Canvas, one: Series, column: int) -> str:
    low, high = (float(found[column]) for found in extremes(one.iteration, one.low, one.high, canvas.edges()))
    mean = _both(_value(canvas, one, column))
    band = f", {one.band or 'raw'} {low:.2f} … {high:.2f}" if isfinite(low) else ""
    return f"{one.label} {mean}{band}".strip()


def _value(canvas: Canvas, one: Series | Line, column: int) -> float:
    """Return what a line has in a column: its last point there."""
    return value_at(one.iteration, one.line, canvas.edges()[column : column + 2])


def _both(log: float) -> str:
    """Return a log10 value as it is, and the number that it is the logarithm of."""
    return f"{log:.2f} = {10**log:.1e}" if isfinite(log) else "–"


def _in_view(series: Series, span: Span, *, bands: bool) -> list[Doubles]:
    first, last = np.searchsorted(series.iteration, [span.left, span.right])
    parts = (series.low, series.high, series.line) if bands else (series.line,)
    shown = [part[first : last + 1] for part in parts]
    for each in series.each:
        first, last = np.searchsorted(each.iteration, [span.left, span.right])
        shown.append(each.line[first : last + 1])
    return shown


def _finite(parts: Sequence[Doubles]) -> Doubles:
    values: Doubles = np.concatenate([np.zeros(0), *parts])
    return values[np.isfinite(values)]
