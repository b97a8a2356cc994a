"""``l2o-tui compare``: the convergence of runs in one chart and their figures in a table, beside the baselines."""

import json
import os
import sys
from collections import Counter
from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from shutil import get_terminal_size
from typing import Any

from rich.console import Console

from l2o_engine.comparison import Group, NamedLevel, Replicate, Spread, baseline_levels, compare
from l2o_engine.events import finite
from l2o_engine.runs import Run
from l2o_tui.charts.drawing import MOST_BANDS, Palette, Series, printed_convergence
from l2o_tui.figures import compact, count, fixed
from l2o_tui.pictures import check_picture, convergence_picture

_NOTES = Console(stderr=True, highlight=False)
_PIPED_SIZE = (100, 30)
_GREATEST_HEIGHT, _LEAST_HEIGHT = 30, 14
# Of the 256 colours: they can be read on a light and on a dark background, and told apart by the colour-blind.
_COLOURS = Palette(series=(32, 166, 36, 175, 214, 75, 245), faint=(67, 137, 65, 139, 143, 110, 240))
_HEADINGS = ("experiment", "seeds", "it", "final", "spread", "Σ losses", "took off", "non-finite")


def compare_runs(runs: Sequence[Run], *, output: Path | None, as_json: bool) -> None:
    """Print how runs compare, as chart and table or as JSON, and draw a picture if it is asked for.

    Raises
    ------
    UserError
        If a run has no result yet or cannot be read, or the picture cannot be drawn.
    """
    if output:
        check_picture(output)
    groups = compare(runs)
    levels = baseline_levels(groups)
    if output:
        alone = groups[0] if len(groups) == 1 else None
        convergence_picture(
            groups,
            levels,
            output,
            published=alone.published if alone else (),
            title=alone.preset.title if alone else "",
        )
    for note in [*_unfinished(groups), *_repeated(groups)]:
        _NOTES.print(note, markup=False, soft_wrap=True)
    if as_json:
        _out(json.dumps(_document(groups, levels), indent=2, allow_nan=False))
        return
    lines = figures_table(groups, levels)
    _out(_chart(groups, levels, lines=len(lines)))
    _out("")
    for line in lines:
        _out(line)


def _unfinished(groups: Sequence[Group]) -> list[str]:
    runs = {replicate.run.folder.resolve(): replicate.run for group in groups for replicate in group.replicates}
    states = [(run, run.record(), run.status()) for run in runs.values()]
    return [
        f"{run.name} is {status}, at {count(record.iteration)} of {count(record.iterations)}"
        for run, record, status in states
        if status != "finished"
    ]


def _repeated(groups: Sequence[Group]) -> list[str]:
    counts = [(group.label, seed, times) for group in groups for seed, times in Counter(group.seeds).items()]
    return [
        f"{label}: seed {seed} was run {times} times and counts {times} times"
        for label, seed, times in counts
        if times > 1
    ]


def _chart(groups: Sequence[Group], levels: Sequence[NamedLevel], *, lines: int) -> str:
    is_terminal = sys.stdout.isatty()
    width, height = get_terminal_size() if is_terminal else _PIPED_SIZE
    if is_terminal:
        height = min(max(height - lines - 4, _LEAST_HEIGHT), _GREATEST_HEIGHT)
    in_colour = is_terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    chart = printed_convergence(
        series_of(groups),
        {named.name: named.level.end_log10 for named in levels},
        width=width,
        height=height - 1,
        palette=_COLOURS if in_colour else None,
    )
    return f"{_caption(groups)}\n{chart.rstrip()}"


def series_of(groups: Sequence[Group]) -> list[Series]:
    """Return what is drawn of the groups: medians, with the raw results of one alone, else with the quartiles."""
    found = []
    for group in groups:
        curve = group.curve
        low, high = (curve.low, curve.high) if len(groups) == 1 else (curve.lower, curve.upper)
        band = "raw" if len(groups) == 1 else "quartiles"
        found.append(Series(group.label, curve.iteration, low, high, curve.median, band))
    return found


def _caption(groups: Sequence[Group]) -> str:
    windows = sorted({group.preset.report.rolling_window for group in groups})
    line = f"mean log10 of the last loss over {' or '.join(map(count, windows))} meta-iterations"
    if any(len(group.replicates) > 1 for group in groups):
        line += ", median over the seeds"
    if len(groups) == 1:
        return f"{line}; band: raw results"
    return f"{line}; band: quartiles" if len(groups) <= MOST_BANDS else line


def figures_table(groups: Sequence[Group], levels: Sequence[NamedLevel]) -> list[str]:
    """Return the table's lines: a line a group, the baselines, the floor of Σ, the notebook."""
    rows = [_HEADINGS, *(_row(group) for group in groups)]
    rows += [_line(named.name, final=named.level.end_log10, sum_loss=named.level.sum_loss) for named in levels]
    floors = dict.fromkeys(fixed(named.level.first_loss) for named in levels)
    rows += [("floor of Σ", "", "", "", "", floor, "", "") for floor in floors]
    alone = len(groups) == 1
    rows += [
        _line(
            "notebook" if alone else f"notebook, {group.label}",
            it=count(group.published[-1].it),
            final=group.published[-1].average_log_result,
        )
        for group in groups
        if group.published
    ]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    return [
        " ".join(
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


def _row(group: Group) -> tuple[str, ...]:
    final, n = group.final, len(group.replicates)
    iterations = sorted({replicate.iteration for replicate in group.replicates})
    return (
        group.label,
        str(n),
        count(iterations[0]) if len(iterations) == 1 else f"{compact(iterations[0])}–{compact(iterations[-1])}",
        fixed(final.median),
        f"{fixed(final.least)} … {fixed(final.greatest)}" if final.count > 1 else "",
        _sum(group.sum_loss.median),
        f"{group.took_off}/{n}" if group.learns else "",
        count(group.non_finite) + (f" ({final.lost} lost)" if final.lost else ""),
    )


def _line(name: str, *, it: str = "", final: float, sum_loss: float | None = None) -> tuple[str, ...]:
    return (name, "", it, fixed(final), "", "" if sum_loss is None else _sum(sum_loss), "", "")


def _sum(value: float) -> str:
    return f"{value:.2f}" if not isfinite(value) or abs(value) < 1e5 else f"{value:.1e}"


def _document(groups: Sequence[Group], levels: Sequence[NamedLevel]) -> dict[str, Any]:
    return {
        "experiments": [_group_document(group) for group in groups],
        "baselines": [
            {"name": named.name} | {name: finite(value) for name, value in vars(named.level).items()}
            for named in levels
        ],
    }


def _group_document(group: Group) -> dict[str, Any]:
    notebook = group.preset.notebook
    return {
        "label": group.label,
        "preset": group.preset.name,
        "seeds": list(group.seeds),
        "final": _spread_document(group.final),
        "sum_loss": _spread_document(group.sum_loss),
        "took_off": group.took_off if group.learns else None,
        "non_finite": group.non_finite,
        "notebook": {"name": notebook.name, "final": group.published_final} if notebook else None,
        "replicates": [_replicate_document(replicate) for replicate in group.replicates],
    }


def _spread_document(spread: Spread) -> dict[str, Any]:
    return {name: value if isinstance(value, int) else finite(value) for name, value in vars(spread).items()}


def _replicate_document(replicate: Replicate) -> dict[str, Any]:
    return {
        "run": str(replicate.run.folder),
        "seed": replicate.lane.seed,
        "optimizer": replicate.lane.optimizer,
        "iteration": replicate.iteration,
        "initial": finite(replicate.initial),
        "final": finite(replicate.final),
        "sum_loss": finite(replicate.sum_loss),
        "took_off": replicate.took_off,
        "non_finite": replicate.non_finite,
    }


def _out(text: str) -> None:
    print(text)  # noqa: T201 (data)
