"""Several experiments in one picture: a line each, and the baselines' levels across."""

from collections.abc import Mapping, Sequence

from l2o_engine.presets.labels import level_label
from l2o_engine.records.statistics import median_line
from l2o_engine.studies.comparison import Group, NamedLevel
from l2o_tui.charts.axes import Span
from l2o_tui.charts.convergence import MOST_BANDS, convergence
from l2o_tui.charts.figure import QUARTILES, RAW, Band, Figure, Series, last_of
from l2o_tui.charts.styles import Style, optimizer_styles, run_styles
from l2o_tui.text.numbers import count

MOST_BANDS_IN_FILES = 4  # groups whose quartiles can be told apart where there is room


def comparison(
    groups: Sequence[Group],
    levels: Sequence[NamedLevel],
    *,
    logarithmic: bool = True,
    view: Span | None = None,
    most_bands: int = MOST_BANDS,
    window: int | None = None,
    each_seed: bool = False,
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
    window
        How many results lines are means of; what each group's reports say, if None.
    each_seed
        Whether the replicates are drawn as well: behind their median, and with no name where there are several groups.
    notebook
        Whether the notebook's rows are drawn, of one group alone and as far as it has come.
    title
        Written above, in files.
    """
    styles, of_levels = styles_of(groups, levels)
    alone = len(groups) == 1
    series = [
        one
        for group, style in zip(groups, styles, strict=True)
        for one in _series(group, style, window, alone=alone, each=each_seed)
    ]
    right = max(int(one.x[-1]) for one in series if len(one.x))
    rows = [row for row in groups[0].published if row.it <= right] if notebook and len(groups) == 1 else []
    return convergence(
        series,
        {
            level_label(level.name, is_tuned=level.is_tuned): (of_levels[level.name], level.level.end_log10)
            for level in levels
        },
        logarithmic=logarithmic,
        view=view,
        most_bands=most_bands,
        notebook=rows,
        caption=_caption(groups, most_bands, window),
        title=title,
    )


def styles_of(groups: Sequence[Group], levels: Sequence[NamedLevel]) -> tuple[Sequence[Style], Mapping[str, Style]]:
    """Return the style of each group, and of each level by its name."""
    names = {level.name: _optimizer_of(level) for level in levels}
    hand_designed = [group.replicates[0].lane.optimizer for group in groups if not group.learns]
    known = optimizer_styles([*names.values(), *hand_designed])
    return _styles(groups, known), {name: known[optimizer] for name, optimizer in names.items()}


def marks_of(groups: Sequence[Group], levels: Sequence[NamedLevel], *, plain: bool) -> dict[str, str]:
    """Return the marker of each group by its label, and of each level by its name."""
    styles, of_levels = styles_of(groups, levels)
    by_name = dict(of_levels) | {group.label: style for group, style in zip(groups, styles, strict=True)}
    return {name: style.marker(plain=plain) for name, style in by_name.items()}


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


def _series(group: Group, style: Style, window: int | None, *, alone: bool, each: bool) -> list[Series]:
    """Return a group's line; before it, for it is drawn over them, those of its replicates, if they are wanted."""
    curve, several = group.curve, len(group.replicates) > 1
    lines = [
        (one.curve.iteration, one.curve.rolling if window is None else one.curve.rolling_over(window))
        for one in group.replicates
    ]
    middle = curve if window is None else median_line(lines)
    bands = [Band(RAW, curve.low, curve.high)] if alone else []
    bands += [Band(QUARTILES, middle.lower, middle.upper)] if several else []
    label = f"{group.label}, {len(group.replicates)} seeds" if several else group.label
    parts = [
        Series(f"seed {seed}" if alone else "", Style(style.place, seed), iteration, line, (), last_of(line))
        for seed, (iteration, line) in zip(group.seeds, lines, strict=True)
        if each and several
    ]
    return [*parts, Series(label, style, middle.iteration, middle.median, bands, last_of(middle.median))]


def _caption(groups: Sequence[Group], most_bands: int, window: int | None) -> str:
    several = any(len(group.replicates) > 1 for group in groups)
    said = ["line: median over the seeds" if several else "line: rolling log-average"]
    if window is not None:
        curves = [one.curve for group in groups for one in group.replicates]
        found = max(curve.nearest_window(window) for curve in curves)
        said[0] += f" of {count(found)}{'' if found == window else f' ({count(window)} rounded up)'}"
    alone = len(groups) == 1
    if alone or (several and len(groups) <= most_bands):
        said.append("band: raw results" if alone else "band: quartiles")
    return " · ".join(said)
