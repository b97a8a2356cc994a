"""``l2o-tui compare``: the convergence of runs in one chart and their figures in a table, beside the baselines."""

import json
import os
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from shutil import get_terminal_size
from typing import Any

from rich.console import Console

from l2o_engine.records.codec import finite
from l2o_engine.records.statistics import Spread
from l2o_engine.runs.folder import Run
from l2o_engine.runs.record import ACTIVE
from l2o_engine.studies.comparison import Group, NamedLevel, Replicate, baseline_levels, compare
from l2o_tui.charts.drawing import MOST_BANDS, Palette, Series, printed_convergence
from l2o_tui.charts.matplotlib import check_picture, convergence_picture
from l2o_tui.text.numbers import compact, count, fixed, loss_sum
from l2o_tui.text.output import write_out

_NOTES = Console(stderr=True, highlight=False)
_PIPED_SIZE = (100, 30)
_GREATEST_HEIGHT, _LEAST_HEIGHT = 30, 14
# Of the 256 colours: they can be read on a light and on a dark background, and told apart by the colour-blind.
_COLOURS = Palette(series=(32, 166, 36, 175, 214, 75, 245), faint=(67, 137, 65, 139, 143, 110, 240))
_LONG_LABEL = 20  # characters; in a narrow terminal a longer one is a number, and stands below the table
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
    for note in notes_on(groups):
        _NOTES.print(note, markup=False, soft_wrap=True)
    if as_json:
        write_out(json.dumps(_document(groups, levels), indent=2, allow_nan=False))
        return
    lines = figures_table(groups, levels, width=get_terminal_size().columns if sys.stdout.isatty() else None)
    write_out("\n".join([_chart(groups, levels, lines=len(lines)), "", *lines]))


def notes_on(groups: Sequence[Group]) -> list[str]:
    """Return what must be known of the groups' figures: of which runs they are not the last word, what counts twice."""
    return [*_unfinished(groups), *_repeated(groups)]


def _unfinished(groups: Sequence[Group]) -> list[str]:
    runs = {replicate.run.folder.resolve(): replicate.run for group in groups for replicate in group.replicates}
    ends = {
        folder: max(one.iteration for group in groups for one in group.replicates if one.run.folder.resolve() == folder)
        for folder in runs
    }
    notes = []
    for folder, run in runs.items():
        record, status = run.record(), run.status()
        if status != "finished":
            notes.append(f"{run.name} is {status}, at {count(record.iteration)} of {count(record.iterations)}")
        if status not in ACTIVE and ends[folder] < record.iteration:
            notes.append(
                f"{run.name} has lost rows: its metrics.csv ends at {count(ends[folder])} of "
                f"{count(record.iteration)}, and its figures are of what is left"
            )
    return notes


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


def figures_table(groups: Sequence[Group], levels: Sequence[NamedLevel], *, width: int | None = None) -> list[str]:
    """Return the table's lines: a line a group, the baselines, the floor of Σ, the notebook.

    Parameters
    ----------
    groups, levels
        What is compared, and what the baselines reach.
    width
        Of the terminal; a table that is wider is folded: headings in two lines, numbers in place of long labels.
        None for a table as wide as it needs.
    """
    labels = {group.label: group.label for group in groups}
    lines = _aligned([_HEADINGS, *_rows(groups, levels, labels)])
    if width is None or max(map(len, lines)) <= width:
        return lines
    folded = [tuple(heading.rpartition(" ")[0] for heading in _HEADINGS)]
    folded.append(tuple(heading.rpartition(" ")[2] for heading in _HEADINGS))
    lines = _aligned([*folded, *_closer(_rows(groups, levels, labels))])
    if max(map(len, lines)) <= width:
        return lines
    labels = {label: str(number) if len(label) > _LONG_LABEL else label for number, label in enumerate(labels, 1)}
    lines = _aligned([*folded, *_closer(_rows(groups, levels, labels))])
    return lines + [f"{short}: {label}" for label, short in labels.items() if short != label]


def _rows(groups: Sequence[Group], levels: Sequence[NamedLevel], labels: Mapping[str, str]) -> list[tuple[str, ...]]:
    """Return the cells below the headings, with these labels in place of the groups' own."""
    rows = [(labels[group.label], *_row(group)) for group in groups]
    for named in levels:
        name = named.name.replace(f"({named.group})", f"({labels.get(named.group, named.group)})")
        rows.append(_line(name, final=named.level.end_log10, sum_loss=named.level.sum_loss))
    floors = {fixed(named.level.first_loss): named.group for named in reversed(levels)}
    for floor, owner in reversed(floors.items()):
        name = "floor of Σ" if len(floors) == 1 else f"floor of Σ, {labels.get(owner, owner)}"
        rows.append((name, "", "", "", "", floor, "", ""))
    for group in groups:
        if group.published:
            name = "notebook" if len(groups) == 1 else f"notebook, {labels[group.label]}"
            last = group.published[-1]
            rows.append(_line(name, it=count(last.it), final=last.average_log_result))
    return rows


def _closer(rows: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return the cells with the spreads written closely."""
    return [tuple(cell.replace(" … ", "…") for cell in row) for row in rows]


def _aligned(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Return a line a row: names at the left, numbers at the right."""
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
        str(n),
        count(iterations[0]) if len(iterations) == 1 else f"{compact(iterations[0])}–{compact(iterations[-1])}",
        fixed(final.median),
        f"{fixed(final.least)} … {fixed(final.greatest)}" if final.count > 1 else "",
        loss_sum(group.sum_loss.median),
        _took_off(group),
        count(group.non_finite) + (f" ({final.lost} lost)" if final.lost else ""),
    )


def _took_off(group: Group) -> str:
    """Return how many seeds learned; of one that is not far enough to tell, that it has not yet."""
    if not group.learns:
        return ""
    n = len(group.replicates)
    if group.not_yet == n:
        return "not yet"
    return f"{group.took_off}/{n}" + (f", {group.not_yet} not yet" if group.not_yet else "")


def _line(name: str, *, it: str = "", final: float, sum_loss: float | None = None) -> tuple[str, ...]:
    return (name, "", it, fixed(final), "", "" if sum_loss is None else loss_sum(sum_loss), "", "")


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
        "not_yet": group.not_yet if group.learns else None,
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
