"""What is drawn of several experiments: a series each."""

from collections.abc import Sequence

from l2o_engine.studies.comparison import Group
from l2o_tui.charts.drawing import Series


def series_of(groups: Sequence[Group]) -> list[Series]:
    """Return what is drawn of the groups: medians, with the raw results of one alone, else with the quartiles."""
    found = []
    for group in groups:
        curve = group.curve
        low, high = (curve.low, curve.high) if len(groups) == 1 else (curve.lower, curve.upper)
        band = "raw" if len(groups) == 1 else "quartiles"
        found.append(Series(group.label, curve.iteration, low, high, curve.median, band))
    return found
