"""The end loss over the meta-iterations: of runs, of their replicates, and of what they are compared with."""

from collections.abc import Mapping, Sequence

import numpy as np

from l2o_engine.presets.published import PublishedRow
from l2o_engine.records.curve import Curve
from l2o_engine.records.statistics import median_line
from l2o_engine.support.arrays import Doubles, Integers
from l2o_engine.training.trainer import Lane
from l2o_tui.charts.axes import Span, XAxis
from l2o_tui.charts.figure import QUARTILES, RAW, Band, Figure, Level, Points, Series, axis_over, has_data, last_of
from l2o_tui.charts.styles import Style

MOST_BANDS = 2  # series whose bands can still be told apart


def curve_series(label: str, style: Style, curve: Curve, window: int, *, band: bool = True) -> Series:
    """Return a run's rolling log-average over so many results, with the extremes of the raw ones behind it."""
    line = curve.rolling_over(window)
    bands = (Band(RAW, curve.low, curve.high),) if band else ()
    return Series(label, style, curve.iteration, line, bands, last_of(line))


def median_series(
    label: str, style: Style, replicates: Mapping[int, tuple[Integers, Doubles]], *, each: bool
) -> list[Series]:
    """Return the median of replicates with their quartiles, over those that have come so far and are not NaN there.

    Parameters
    ----------
    label, style
        Of the median.
    replicates
        Seed → meta-iterations [points] and log-averages [points].
    each
        Whether the replicates are drawn as well: behind the median.
    """
    middle = median_line(list(replicates.values()))
    band = Band(QUARTILES, middle.lower, middle.upper)
    median = Series(label, style, middle.iteration, middle.median, (band,), last_of(middle.median))
    if not each:
        return [median]
    parts = [
        Series(f"seed {seed}", Style(style.place, seed), iteration, line, (), last_of(line))
        for seed, (iteration, line) in replicates.items()
    ]
    return [*parts, median]


def lane_series(
    lanes: Sequence[tuple[Lane, Curve]], styles: Mapping[str, Style], window: int, *, each: bool = False
) -> list[Series]:
    """Return a run's lanes, those of one optimizer together.

    Parameters
    ----------
    lanes
        Each with its curve.
    styles
        By the optimizer's name.
    window
        How many results the lines are means of.
    each
        Whether replicates are drawn one by one, too.
    """
    of_optimizer: dict[str, dict[int, Curve]] = {}
    for lane, curve in lanes:
        of_optimizer.setdefault(lane.optimizer, {})[lane.seed] = curve
    series: list[Series] = []
    for name, curves in of_optimizer.items():
        if len(curves) == 1:
            series += [curve_series(name, styles[name], curve, window) for curve in curves.values()]
            continue
        lines = {seed: (curve.iteration, curve.rolling_over(window)) for seed, curve in curves.items()}
        series += median_series(f"{name}, {len(curves)} seeds", styles[name], lines, each=each)
    return series


def convergence(
    series: Sequence[Series],
    levels: Mapping[str, tuple[Style, float]],
    *,
    logarithmic: bool = True,
    view: Span | None = None,
    right: int = 0,
    bands: bool = True,
    most_bands: int = MOST_BANDS,
    notebook: Sequence[PublishedRow] = (),
    caption: str = "",
    title: str = "",
) -> Figure:
    """Return the picture of end losses over the meta-iterations.

    Parameters
    ----------
    series
        The lines, what is drawn over the others last.
    levels
        Name → style and mean log10 of the last loss: lines across.
    logarithmic
        Whether losses are drawn by their logarithm.
    view
        What of the x axis is looked at; None for all.
    right
        Where the x axis ends at least: a run's total, so that the axis stays as it is while the run goes on.
    bands, most_bands
        Whether bands are drawn, and of how many series at most.
    notebook
        Rows that the notebook printed, or our own reference; drawn as points.
    caption, title
        Said below and above.
    """
    shows_bands = bands and sum(bool(one.bands) for one in series) <= most_bands
    ends = [int(one.x[-1]) for one in series if len(one.x)]
    own = next((int(one.x[-1]) for one in series if len(one.x) and not one.is_replicate), 0)
    whole = Span(0, max(right, *ends, 1) if ends else max(right, 1))
    seen = view.within(whole) if view else whole
    rows = [row for row in notebook if seen.holds(row.it)]
    points = None
    if rows:
        averages = np.array([row.average_log_result for row in rows])
        points = Points(rows[0].whose, np.array([row.it for row in rows], np.int64), averages)
    there = [Level(name, style, level) for name, (style, level) in levels.items() if np.isfinite(level)]
    held = [row.average_log_result for row in rows]
    # A part of the run is looked at for itself: the levels may be far from it.
    across = [level.y for level in there] if seen == whole or not (held or has_data(series, seen)) else []
    y = axis_over(series, seen, bands=shows_bands, logarithmic=logarithmic, more=[*held, *across])
    x = XAxis("meta-iterations", "it", whole, seen, own)
    return Figure(x, y, series, there, points, shows_bands, caption, title)
