"""A study in pictures: the final figure against each setting that was varied."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import ceil, floor, isfinite, log10
from typing import Any, Protocol

import numpy as np

from l2o_engine.presets.labels import SHORT_NAMES, short_number
from l2o_engine.records.statistics import Spread, quartiles
from l2o_engine.studies.sweep import frozen
from l2o_engine.support.wording import shown
from l2o_tui.charts.axes import Span, Ticks, XAxis, decade_ticks, even_ticks, number_ticks
from l2o_tui.charts.figure import QUARTILES, Band, Figure, Points, Series, axis_over
from l2o_tui.charts.styles import Style
from l2o_tui.text.names import cut

_MOST_LINES = 6  # of which each can be told from the others
_MOST_VALUES = 12  # that have a place each; of more, the axis is one of numbers
_LONGEST_VALUE = 14  # cells of a tick's label
_WIDE = 1000  # places of an axis of numbers
_LOG_FROM = 30.0  # the greatest over the least, from which on the axis is logarithmic
_MARGIN = 0.04  # of the axis, at both ends


PRESET = "preset"
"""What the preset is called that several studied presets have in place of a setting."""


class SettingFigures(Protocol):
    """What came of one combination of settings: of a sweep that is driven here, or of one that is watched."""

    @property
    def preset_name(self) -> str:
        """The preset's name."""

    @property
    def settings(self) -> Mapping[str, Any]:
        """What is varied: "table.key" → value."""

    @property
    def finals(self) -> Mapping[int, float]:
        """Seed → mean log10 of the last loss; NaN for one that is lost."""

    @property
    def final(self) -> Spread:
        """How that is spread over the seeds."""


@dataclass(frozen=True)
class SettingAxis(XAxis):
    """The values of a setting, each at its place.

    Attributes
    ----------
    marks
        Where there are ticks, and what is written beside them.
    """

    marks: Ticks

    def ticks(self, most: int) -> Ticks:
        """Return ticks at values, so many at most."""
        step = max(ceil(len(self.marks.places) / most), 1)
        return Ticks(self.marks.places[::step], self.marks.labels[::step])


def setting_figures(results: Sequence[SettingFigures]) -> list[tuple[str, Figure]]:
    """Return, for each setting that was varied, its name and the picture of the final figure against it.

    Every seed is a point. A line is the median over the seeds, for each combination of the other settings while they
    are few; else two lines, the best and the median over the others, that one with its quartiles.
    """
    figures: list[tuple[str, Figure]] = []
    for key in keys_of(results):
        # A file of pictures has one legend: none of them looks like a line of another.
        first = sum(len(figure.series) for _, figure in figures)
        figures.append((key, setting_figure(key, results, first)))
    return figures


def keys_of(results: Sequence[SettingFigures]) -> list[str]:
    """Return what pictures there are: the settings that take several values where there are figures, and the preset."""
    told = [result for result in results if result.final.count]
    keys = dict.fromkeys([PRESET, *(key for result in results for key in result.settings)])
    return [key for key in keys if len({frozen(_value(result, key)) for result in told}) > 1]


def setting_figure(key: str, results: Sequence[SettingFigures], first: int = 0) -> Figure:
    """Return the picture of the final figure against one setting, as :func:`setting_figures` does.

    Parameters
    ----------
    key
        One of :func:`keys_of`.
    results
        What came of the settings.
    first
        The place of its first line's style.
    """
    told = [result for result in results if result.final.count]
    return _figure(key, told, first, with_names=len({result.preset_name for result in told}) > 1 and key != PRESET)


def _value(result: SettingFigures, key: str) -> Any:
    return result.preset_name if key == PRESET else result.settings.get(key)


def _figure(key: str, results: Sequence[SettingFigures], first: int, *, with_names: bool) -> Figure:
    axis, place_of = _axis(key, [_value(result, key) for result in results])
    lines = _lines(key, results, place_of, axis, with_names=with_names)
    series = [replace(one, style=Style(first + place)) for place, one in enumerate(lines)]
    seeds = [
        (place_of[frozen(_value(result, key))], final)
        for result in results
        for final in result.finals.values()
        if isfinite(final)
    ]
    points = Points("", np.array([place for place, _ in seeds], np.int64), np.array([final for _, final in seeds]))
    shows_bands = any(one.bands for one in series)
    y = axis_over(series, axis.view, bands=shows_bands, logarithmic=True, more=points.y.tolist())
    said = "line: median over the seeds" if not shows_bands else "lines: the best and the median of the other settings"
    return Figure(axis, y, series, (), points, shows_bands, f"{said} · point: a seed" if series else "point: a seed")


def _axis(key: str, values: Sequence[Any]) -> tuple[SettingAxis, dict[Any, int]]:
    """Return the axis of a setting, and the place of each of its values."""
    distinct = list({frozen(value): value for value in values}.values())
    are_numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in distinct)
    if are_numbers:
        distinct.sort()
    if are_numbers and len(distinct) > _MOST_VALUES:
        return _axis_of_numbers(key, distinct)
    last = len(distinct) - 1
    labels = tuple(cut(_said(value), _LONGEST_VALUE) for value in distinct)
    marks = Ticks(tuple(map(float, range(last + 1))), labels)
    return _axis_to(key, last, marks), {frozen(value): place for place, value in enumerate(distinct)}


def _axis_of_numbers(key: str, values: Sequence[float]) -> tuple[SettingAxis, dict[Any, int]]:
    is_log = values[0] > 0 and values[-1] / values[0] >= _LOG_FROM
    heights = [log10(value) if is_log else float(value) for value in values]
    low, high = heights[0], heights[-1]
    if not is_log:
        found = even_ticks(low, high, _MOST_VALUES)
    elif high - low >= 2:
        found = decade_ticks(floor(low), ceil(high), _MOST_VALUES)
    else:
        found = number_ticks(low, high, _MOST_VALUES)
    there = [(place, label) for place, label in zip(found.places, found.labels, strict=True) if low <= place <= high]
    marks = Ticks(tuple((place - low) / (high - low) * _WIDE for place, _ in there), tuple(label for _, label in there))
    places = {
        value: round((height - low) / (high - low) * _WIDE) for value, height in zip(values, heights, strict=True)
    }
    return _axis_to(key, _WIDE, marks), places


def _axis_to(key: str, last: int, marks: Ticks) -> SettingAxis:
    whole = Span(-_MARGIN * last, (1 + _MARGIN) * last)
    return SettingAxis(shown(key), shown(key), whole, whole, last, marks)


def _lines(
    key: str, results: Sequence[SettingFigures], place_of: dict[Any, int], axis: SettingAxis, *, with_names: bool
) -> list[Series]:
    groups: dict[Any, list[SettingFigures]] = {}
    for result in results:
        others = [(name, value) for name, value in result.settings.items() if name != key]
        owner = [("preset", result.preset_name)] if with_names else []
        groups.setdefault(frozen([*owner, *others]), []).append(result)
    if all(len(group) == 1 for group in groups.values()):  # drawn points: a line would join what does not belong so
        return []
    if len(groups) <= _MOST_LINES:
        found = []
        for which, group in sorted(groups.items(), key=lambda item: [_ordered(value) for _, value in item[0]]):
            at = sorted((place_of[frozen(_value(one, key))], one.final.median) for one in group)
            label = ", ".join(
                f"{SHORT_NAMES.get(name, name.rpartition('.')[2])} {_said(value)}" for name, value in which
            )
            y = np.array([median for _, median in at])
            x = np.array([place for place, _ in at], np.int64)
            found.append(Series(label, Style(0), x, y, (), float(y[-1]), marks_points=True))
        return found
    if axis.newest == _WIDE:  # likewise
        return []
    places = sorted(set(place_of.values()))
    medians = [
        np.array([one.final.median for one in results if place_of[frozen(_value(one, key))] == place])
        for place in places
    ]
    x = np.array(places, np.int64)
    spread = np.stack([quartiles(one[:, None])[:, 0] for one in medians], axis=1)
    best = np.array([one.min() for one in medians])
    band = Band(QUARTILES, spread[0], spread[2])
    return [
        Series("best", Style(0), x, best, (), float(best[-1]), marks_points=True),
        Series("median", Style(0), x, spread[1], (band,), float(spread[1][-1]), marks_points=True),
    ]


def _ordered(value: Any) -> tuple[bool, float, str]:
    """Return by what values are ordered: numbers by size, then all others by what is said of them."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return not is_number, float(value) if is_number else 0.0, "" if is_number else str(value)


def _said(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return shown(str(value).lower() if isinstance(value, bool) else str(value))
    return short_number(value)
