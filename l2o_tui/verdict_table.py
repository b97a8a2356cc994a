"""The table of a reproduction: ours beside the notebook's, and the verdict, for the terminal and for the report."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import isnan

from rich.table import Table

from l2o_engine.comparison import NamedLevel
from l2o_engine.reproduction import FEW_SEEDS, NOTEBOOK_LEVELS, Result
from l2o_tui.figures import duration, fixed

LEGEND = (
    "Results are mean log10 of the last loss, ours the median over the seeds; Σ adds up all steps' losses. "
    "stuck: never took off; lost: to NaN."
)


@dataclass(frozen=True)
class Row:
    """What the table says of one experiment, every cell as it is printed."""

    experiment: str
    notebook: str
    ours: str
    spread: str
    sum_loss: str
    stuck: str
    lost: str
    verdict: str
    time: str


HEADINGS = Row("experiment", "notebook", "ours", "min … max", "Σ losses", "stuck", "lost", "verdict", "time")
_NARROW = {"notebook": "note-\nbook", "sum_loss": "Σ\nlosses"}  # folded, a row fits into 80 characters


def row_of(result: Result) -> Row:
    """Return an experiment's cells."""
    final = result.final
    return Row(
        experiment=result.name,
        notebook=_number(result.published),
        ours=_number(final.median),
        spread=f"{fixed(final.least)} … {fixed(final.greatest)}" if final.count else "–",
        sum_loss=_sum(result.sum_loss.median),
        stuck=f"{result.stuck}/{result.seeds}",
        lost=str(len(result.lost)),
        verdict=verdict_of(result),
        time=duration(result.seconds),
    )


def verdict_of(result: Result) -> str:
    """Return "reproduced", "differs by" how much, what kept it from being either, or "–" without a reference."""
    if not result.seeds:
        return "failed"
    if result.is_reproduced is None:
        return "–"
    if result.difference is None:
        return "all lost"
    return "reproduced" if result.is_reproduced else f"differs by {result.difference:+.2f}"


def table_of(results: Sequence[Result], *, narrow: bool) -> Table:
    """Return the table, numbers at the right; ``narrow`` for 80 characters."""
    table = Table(box=None, pad_edge=False, collapse_padding=narrow, header_style="bold")
    for name, heading in vars(HEADINGS).items():
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
        table.add_row(*vars(replace(row, spread=row.spread.replace(" ", "")) if narrow else row).values())
    return table


def markdown_of(results: Sequence[Result]) -> list[str]:
    """Return the table in Markdown, without the time, which is another one every time."""
    rows = [HEADINGS, *map(row_of, results)]
    lines = ["| " + " | ".join(value for name, value in vars(row).items() if name != "time") + " |" for row in rows]
    marks = [":---" if name in ("experiment", "verdict") else "---:" for name in vars(HEADINGS) if name != "time"]
    return [lines[0], "| " + " | ".join(marks) + " |", *lines[1:]]


def levels_line(levels: Sequence[NamedLevel]) -> str:
    """Return what the hand-designed optimizers reach, ours beside the notebook's."""
    said = []
    for named in levels:
        published = f"notebook {fixed(NOTEBOOK_LEVELS[named.name])}; " if named.name in NOTEBOOK_LEVELS else ""
        said.append(f"{named.name} {fixed(named.level.end_log10)} ({published}Σ {_sum(named.level.sum_loss)})")
    return ", ".join(said)


def weakness(seeds: int) -> str:
    """Return what is to be said of a verdict from so many seeds; nothing if they are enough."""
    if seeds >= FEW_SEEDS:
        return ""
    return f"with {seeds} seed{'s' if seeds > 1 else ''} a verdict is weak: take {FEW_SEEDS} or more, better 8"


def _number(value: float | None) -> str:
    return "–" if value is None or isnan(value) else fixed(value)


def _sum(value: float) -> str:
    return "–" if isnan(value) else fixed(value) if abs(value) < 1000 else f"{value:.0e}"
