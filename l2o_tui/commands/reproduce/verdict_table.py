"""The table of a reproduction: ours beside the notebook's, and the verdict, for the terminal and for the report."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isnan

from rich.table import Table

from l2o_engine.presets.labels import level_label
from l2o_engine.studies.comparison import NamedLevel
from l2o_engine.studies.held_out import DRAWS
from l2o_engine.studies.reproduction import FEW_SEEDS, NOTEBOOK_LEVELS, Result
from l2o_tui.text.numbers import duration, fixed, loss_sum

LEGEND = (
    "Results are mean log10 of the last loss, ours the median over the seeds; Σ adds up all steps' losses. "
    f"held out: the median on {DRAWS:,} draws that nothing was trained on, or as many as take moments. "
    "stuck: never took off; lost: to NaN; trained: all seeds, added up."
)


@dataclass(frozen=True)
class Row:
    """What the table says of one experiment, every cell as it is printed."""

    experiment: str
    notebook: str
    ours: str
    spread: str
    held_out: str
    sum_loss: str
    stuck: str
    lost: str
    verdict: str
    trained: str


HEADINGS = Row(
    "experiment", "notebook", "ours", "min … max", "held out", "Σ losses", "stuck", "lost", "verdict", "trained"
)
_NARROW = {"notebook": "note-\nbook", "held_out": "held\nout", "sum_loss": "Σ\nlosses"}  # a row fits 80 characters
_WIDE = ("trained",)  # what there is no room for in these


def row_of(result: Result) -> Row:
    """Return an experiment's cells."""
    final = result.final
    return Row(
        experiment=result.name,
        notebook=_number(result.published),
        ours=_number(final.median),
        spread=f"{fixed(final.least)} … {fixed(final.greatest)}" if final.count else "–",
        held_out=_number(result.held_out.median),
        sum_loss=loss_sum(result.sum_loss.median),
        stuck=f"{result.stuck}/{result.seeds}",
        lost=str(len(result.lost)),
        verdict=verdict_of(result) or "–",
        trained=duration(result.seconds),
    )


def verdict_of(result: Result) -> str | None:
    """Return "reproduced", "differs by" how much, or what kept it from being either, and of how many seeds if not all.

    Without a reference there is only something to say where seeds failed; None if none did.
    """
    if not result.seeds:
        return "failed"
    verdict = None
    if result.is_reproduced is not None:
        verdict = "reproduced" if result.is_reproduced else "all lost"
        if result.difference is not None and not result.is_reproduced:
            verdict = f"differs by {result.difference:+.2f}"
    some = f"{result.seeds} of {result.seeds + len(result.failed)} seeds" if result.failed else None
    return ", ".join(part for part in (verdict, some) if part) or None


def table_of(results: Sequence[Result], *, narrow: bool) -> Table:
    """Return the table, numbers at the right; ``narrow`` for 80 characters."""
    table = Table(box=None, pad_edge=False, collapse_padding=narrow, header_style="bold")
    there = [name for name in vars(HEADINGS) if not (narrow and name in _WIDE)]
    for name in there:
        heading = getattr(HEADINGS, name)
        is_text = name in ("experiment", "verdict")
        table.add_column(
            _NARROW.get(name, heading) if narrow else heading,
            justify="left" if is_text else "right",
            no_wrap=not is_text,
            overflow="fold",
            max_width=10 if narrow and name == "verdict" else None,  # "differs by", and below it how much
        )
    for result in results:
        row = row_of(result)
        cells = replace(row, spread=row.spread.replace(" ", "")) if narrow else row
        table.add_row(*(getattr(cells, name) for name in there))
    return table


def markdown_of(results: Sequence[Result]) -> list[str]:
    """Return the table in Markdown."""
    rows = [HEADINGS, *map(row_of, results)]
    lines = ["| " + " | ".join(vars(row).values()) + " |" for row in rows]
    marks = [":---" if name in ("experiment", "verdict") else "---:" for name in vars(HEADINGS)]
    return [lines[0], "| " + " | ".join(marks) + " |", *lines[1:]]


def levels_line(levels: Sequence[NamedLevel]) -> str:
    """Return what the hand-designed optimizers reach, ours beside the notebook's."""
    said = []
    for named in levels:
        published = f"notebook {fixed(NOTEBOOK_LEVELS[named.name])}; " if named.name in NOTEBOOK_LEVELS else ""
        name = level_label(named.name, is_tuned=named.is_tuned)
        said.append(f"{name} {fixed(named.level.end_log10)} ({published}Σ {loss_sum(named.level.sum_loss)})")
    return ", ".join(said)


def weakness(seeds: int) -> str:
    """Return what is to be said of a verdict from so many seeds; nothing if they are enough."""
    if seeds >= FEW_SEEDS:
        return ""
    return f"with {seeds} seed{'s' if seeds > 1 else ''} a verdict is weak: take {FEW_SEEDS} or more, better 8"


def _number(value: float | None) -> str:
    return "–" if value is None or isnan(value) else fixed(value)
