"""Several experiments in one picture: a line each, and the baselines' levels across."""

from collections.abc import Mapping, Sequence

from l2o_engine.presets.labels import level_label
from l2o_engine.studies.comparison import Group, NamedLevel
from l2o_tui.charts.axes import Span
from l2o_tui.charts.convergence import MOST_BANDS, convergence
from l2o_tui.charts.figure import QUARTILES, RAW, Band, Figure, Series, last_of
from l2o_tui.charts.styles import Style, optimizer_styles, run_styles

MOST_BANDS_IN_FILES = 4  # groups whose quartiles can be told apart where there is room


def comparison(
    groups: Sequence[Group],
    levels: Sequence[NamedLevel],
    *,
    logarithmic: bool = True,
    view: Span | None = None,
    most_bands: int = MOST_BANDS,
    notebook: bool = False,
    title: str = "",
) -> Figure:
    """Return the picture of groups of replicates: medians of the rolling log-average, with quartiles if they are few.

    One group alone also has its raw results behind it, as a band between their extremes.

    Parameters
    ----------
    groups
        What to compare; at least one.
    levels
        The baselines' levels.
    logarithmic
        Whether losses are drawn by their logarithm.
    view
        What of the x axis is looked at; None for all.
    most_bands
        Of how many groups bands are drawn.
    notebook
        Whether the notebook's rows are drawn, of one group alone and as far as it has come.
    title
        Written above, in files.
    """
    names = {level.name: _optimizer_of(level) for level in levels}
    hand_designed = [group.replicates[0].lane.optimizer for group in groups if not group.learns]
    known = optimizer_styles([*names.values(), *hand_designed])
    styles = _styles(groups, known)
    series = [_series(group, style, alone=len(groups) == 1) for group, style in zip(groups, styles, strict=True)]
    right = max(int(one.x[-1]) for one in series)
    rows = [row for row in groups[0].published if row.it <= right] if notebook and len(groups) == 1 else []
    return convergence(
        series,
        {
            level_label(level.name, is_tuned=level.is_tuned): (known[names[level.name]], level.level.end_log10)
            for level in levels
        },
        logarithmic=logarithmic,
        view=view,
        most_bands=most_bands,
        notebook=rows,
        caption=_caption(groups, most_bands),
        title=title,
    )


def _optimizer_of(level: NamedLevel) -> str:
    """Return whose level it is: where two of one name differ, the group's name stands behind it."""
    return level.name.removesuffix(f" ({level.group})") if level.group else level.name


def _styles(groups: Sequence[Group], known: Mapping[str, Style]) -> list[Style]:
    """Return a style for each group, all different: a hand-designed optimizer's own for the first group of it."""
    free = iter(run_styles(len(groups), known.values()))
    styles: list[Style] = []
    for group in groups:
        own = None if group.learns else known[group.replicates[0].lane.optimizer]
        styles.append(own if own and own not in styles else next(free))
    return styles


def _series(group: Group, style: Style, *, alone: bool) -> Series:
    curve, several = group.curve, len(group.replicates) > 1
    bands = [Band(RAW, curve.low, curve.high)] if alone else []
    bands += [Band(QUARTILES, curve.lower, curve.upper)] if several else []
    label = f"{group.label}, {len(group.replicates)} seeds" if several else group.label
    return Series(label, style, curve.iteration, curve.median, bands, last_of(curve.median))


def _caption(groups: Sequence[Group], most_bands: int) -> str:
    several = any(len(group.replicates) > 1 for group in groups)
    said = ["line: median over the seeds" if several else "line: rolling log-average"]
    alone = len(groups) == 1
    if alone or (several and len(groups) <= most_bands):
        said.append("band: raw results" if alone else "band: quartiles")
    return " · ".join(said)
