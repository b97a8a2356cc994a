"""The figures of compared runs in a table, and what must be known of them: the same printed and on the screen."""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from math import isnan, nan
from pathlib import Path

from rich.cells import cell_len

from l2o_engine.presets.identity import in_words
from l2o_engine.presets.labels import level_label
from l2o_engine.records.statistics import Spread, spread_of
from l2o_engine.runs.folder import Run
from l2o_engine.runs.record import ACTIVE
from l2o_engine.studies.comparison import Group, NamedLevel
from l2o_engine.studies.held_out import HeldOut
from l2o_engine.support.wording import shown
from l2o_tui.text import names
from l2o_tui.text.numbers import compact, count, fixed, loss_sum
from l2o_tui.text.tables import aligned

_LEAST_NAME = 10  # cells; where there is less room for names, a number stands for one, which is below the table
_HEADINGS = ("experiment", "seeds", "it", "final", "spread", "held out", "Σ losses", "took off", "non-finite")


def notes_on(groups: Sequence[Group], held_out: HeldOut) -> list[str]:
    """Return what must be known of the groups' figures: of which runs they are not the last word, what counts twice.

    And on what held-out figures are.
    """
    return [*_unfinished(groups), *_damaged(groups), *_repeated(groups), *_windows(groups), *_held_out(held_out)]


def _held_out(held_out: HeldOut) -> list[str]:
    if not held_out.draws:
        return list(held_out.notes)
    draws = " or ".join(map(count, held_out.draws))
    said = f"held out: mean log10 of the last loss on {draws} draws that nothing was trained on, newest checkpoint"
    return [*held_out.notes, said]


def _windows(groups: Sequence[Group]) -> list[str]:
    """Say over how many meta-iterations final figures are, where runs say it differently."""
    over = {group.label: group.preset.report.every for group in groups}
    asked = {replicate.run.preset().report.every for group in groups for replicate in group.replicates}
    if len(asked) == 1:
        return []
    if len(set(over.values())) == 1:
        every = next(iter(over.values()))
        return [f"all final figures are over {count(every)} meta-iterations, whatever the runs reported over"]
    counts = Counter(over.values())
    usual = max(counts, key=lambda every: (counts[every], -every))
    others = ", ".join(f"those of {label} over {count(every)}" for label, every in over.items() if every != usual)
    return [f"final figures are over {count(usual)} meta-iterations, {others}"]


def _runs_of(groups: Sequence[Group]) -> dict[Path, Run]:
    return {replicate.run.folder.resolve(): replicate.run for group in groups for replicate in group.replicates}


def _damaged(groups: Sequence[Group]) -> list[str]:
    return [f"{run.name}: {note}" for run in _runs_of(groups).values() for note in run.damage()]


def _unfinished(groups: Sequence[Group]) -> list[str]:
    runs = _runs_of(groups)
    ends = {
        folder: max(one.iteration for group in groups for one in group.replicates if one.run.folder.resolve() == folder)
        for folder in runs
    }
    notes = []
    for folder, run in runs.items():
        record, status = run.record(), run.status()
        if status != "finished":
            notes.append(f"{run.name} is {status}, at {count(record.iteration)} of {count(record.iterations)}")
        notes += [
            f"{run.name} is of several experiments: at {count(change.iteration)} {in_words(change.settings)}"
            for change in record.changes
        ]
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


ORDERS = ("", "final", "held out", "Σ losses", "took off")
"""What a table can be sorted by: as the runs were named, or a column, the best first."""


def sorted_by(groups: Sequence[Group], order: str, held_out: HeldOut) -> list[Group]:
    """Return groups in one of :data:`ORDERS`; those without the figure come last, equal ones stay as they were."""
    figures: dict[str, Callable[[Group], float]] = {
        "": lambda group: 0.0,
        "final": lambda group: group.final.median,
        "held out": lambda group: held_out_spread(group, held_out).median,
        "Σ losses": lambda group: group.sum_loss.median,
        "took off": lambda group: -group.took_off / len(group.replicates) if group.learns else nan,
    }
    figure = figures[order]
    return sorted(groups, key=lambda group: (isnan(figure(group)), figure(group)))


def figures_table(
    groups: Sequence[Group],
    levels: Sequence[NamedLevel],
    held_out: HeldOut,
    *,
    width: int | None = None,
    marks: Mapping[str, str] | None = None,
) -> list[str]:
    """Return the table's lines: a line a group, the baselines, the floor of Σ, the notebook.

    Parameters
    ----------
    groups, levels
        What is compared, and what the baselines reach.
    held_out
        What the networks reach on held-out draws; where there is nothing, there is no column.
    width
        Of the terminal; a table that is wider is folded: headings in two lines, names cut in the middle, and at last
        without the held-out figures. None for a table as wide as it needs.
    marks
        The marker of each group in the chart, by its label, and of each level by its name: they stand before them.
    """
    marks = marks or {}
    labels = {group.label: shown(group.label) for group in groups}
    headings = _there(_HEADINGS, held_out)
    lines = aligned([headings, *_rows(groups, levels, held_out, labels, marks)])
    if width is None or max(map(cell_len, lines)) <= width:
        return lines
    folded = [tuple(heading.rpartition(" ")[0] for heading in headings)]
    folded.append(tuple(heading.rpartition(" ")[2] for heading in headings))
    lines = aligned([*folded, *_closer(_rows(groups, levels, held_out, labels, marks))])
    if max(map(cell_len, lines)) <= width:
        return lines
    rows = _closer(_rows(groups, levels, held_out, labels, marks))
    _, *columns = zip(*folded, *rows, strict=True)
    room = width - sum(max(map(cell_len, column)) + 1 for column in columns)
    cut = [(names.cut(name, room), *cells) for name, *cells in rows]
    if room >= _LEAST_NAME and len({name for name, *_ in cut}) == len(cut):
        return aligned([*folded, *cut])
    numbers = {label: str(number) for number, label in enumerate(labels, 1)}
    lines = aligned([*folded, *_closer(_rows(groups, levels, held_out, numbers, marks))])
    if held_out.reached and max(map(cell_len, lines)) > width:
        return figures_table(groups, levels, HeldOut(), width=width, marks=marks)
    return lines + [names.cut(f"{number}: {label}", width) for label, number in numbers.items()]


def _rows(
    groups: Sequence[Group],
    levels: Sequence[NamedLevel],
    held_out: HeldOut,
    labels: Mapping[str, str],
    marks: Mapping[str, str],
) -> list[tuple[str, ...]]:
    """Return the cells below the headings, with these labels in place of the groups' own."""

    def marked(name: str, owner: str) -> str:
        return f"{marks[owner]} {name}" if owner in marks else name

    rows = [(marked(labels[group.label], group.label), *_row(group, held_out)) for group in groups]
    for named in levels:
        name = named.name.replace(f"({named.group})", f"({labels.get(named.group, named.group)})")
        name = marked(level_label(name, is_tuned=named.is_tuned), named.name)
        rows.append(_line(name, final=named.level.end_log10, sum_loss=named.level.sum_loss))
    floors = {fixed(named.level.first_loss): named.group for named in reversed(levels)}
    for floor, owner in reversed(floors.items()):
        name = "floor of Σ" if len(floors) == 1 else f"floor of Σ, {labels.get(owner, owner)}"
        rows.append((name, "", "", "", "", "", floor, "", ""))
    for group in groups:
        if group.published:
            last = group.published[-1]
            name = last.whose if len(groups) == 1 else f"{last.whose}, {labels[group.label]}"
            rows.append(_line(name, it=count(last.it), final=last.average_log_result))
    return [_there(row, held_out) for row in rows]


def _there(row: tuple[str, ...], held_out: HeldOut) -> tuple[str, ...]:
    """Return a row without the cell of held-out figures, if there are none."""
    place = _HEADINGS.index("held out")
    return row if held_out.reached else (*row[:place], *row[place + 1 :])


def _closer(rows: Sequence[tuple[str, ...]]) -> list[tuple[str, ...]]:
    """Return the cells with the spreads written closely."""
    return [tuple(cell.replace(" … ", "…") for cell in row) for row in rows]


def _row(group: Group, held_out: HeldOut) -> tuple[str, ...]:
    final, n = group.final, len(group.replicates)
    iterations = sorted({replicate.iteration for replicate in group.replicates})
    return (
        str(n),
        count(iterations[0]) if len(iterations) == 1 else f"{compact(iterations[0])}–{compact(iterations[-1])}",
        fixed(final.median),
        f"{fixed(final.least)} … {fixed(final.greatest)}" if final.count > 1 else "",
        _number(held_out_spread(group, held_out).median) if group.learns else "",
        loss_sum(group.sum_loss.median),
        _took_off(group),
        count(group.non_finite) + (f" ({final.lost} lost)" if final.lost else ""),
    )


def held_out_spread(group: Group, held_out: HeldOut) -> Spread:
    """Return how what a group's networks reach on held-out draws is spread over its seeds."""
    replicates = [(replicate.run.folder, replicate.lane.seed) for replicate in group.replicates]
    return spread_of([held_out.reached.get(replicate, nan) for replicate in replicates])


def _number(value: float) -> str:
    return "–" if isnan(value) else fixed(value)


def _took_off(group: Group) -> str:
    """Return how many seeds learned; of one that is not far enough to tell, that it has not yet."""
    if not group.learns:
        return ""
    n = len(group.replicates)
    if group.not_yet == n:
        return "not yet"
    return f"{group.took_off}/{n}" + (f", {group.not_yet} not yet" if group.not_yet else "")


def _line(name: str, *, it: str = "", final: float, sum_loss: float | None = None) -> tuple[str, ...]:
    return (name, "", it, fixed(final), "", "", "" if sum_loss is None else loss_sum(sum_loss), "", "")
