"""Experiments against their rivals: the tables on the terminal and in a report, and what they say in words."""

from collections.abc import Sequence
from math import isfinite

from l2o_engine.records.codec import finite
from l2o_engine.studies.evaluation.rankings import BY_END, BY_SUM
from l2o_engine.studies.reproduction import COUNTS, Judgement, Rivalry
from l2o_tui.text.evaluation import share_text
from l2o_tui.text.numbers import count, fixed, loss_sum
from l2o_tui.text.tables import aligned

_ENDS = ("last loss", "reference", "held out", "least…greatest", "best rival", "", "wins", "worse", "lost", "verdict")
_SUMS = ("Σ", "mean", "best rival", "", "wins", "median", "best rival", "", "wins")
_MEAN = COUNTS[1]

LEGEND = (
    "held out: mean log10 of the last loss, the median over the seeds, of draws that nothing was trained on; Σ adds up "
    "all steps' losses. reference: ours, of earlier, not the notebook's. worse: than the start, lost: no finite loss, "
    "of the draws. best rival: of those that see gradients alone, as a network does, lose no draws and are no exploit."
)


def ends_of(judgements: Sequence[Judgement]) -> list[tuple[str, ...]]:
    """Return the rows of the table of last losses, headings first."""
    return [_ENDS, *map(_end_row, judgements)]


def sums_of(judgements: Sequence[Judgement]) -> list[tuple[str, ...]]:
    """Return the rows of the table of sums, headings first."""
    return [_SUMS, *map(_sum_row, judgements)]


def table_lines(judgements: Sequence[Judgement]) -> list[str]:
    """Return the two tables' lines, for the terminal."""
    return [*aligned(ends_of(judgements)), "", *aligned(sums_of(judgements))]


def verdict_of(judgement: Judgement) -> str:
    """Return "reproduced", or by how much it differs from our reference; nothing without one."""
    if judgement.reference is None:
        return ""
    if judgement.is_reproduced:
        return "reproduced"
    return "no figure" if judgement.difference is None else f"differs by {judgement.difference:+.2f}"


def document_of(judgement: Judgement) -> dict[str, object]:
    """Return what ``--json`` says of how an experiment did against its rivals."""
    trained, rivalry = judgement.rivalry.trained, judgement.rivalry
    found: dict[str, object] = {
        "reference": judgement.reference.held_out if judgement.reference else None,
        "held_out_draws": rivalry.ranking.draws,
        "worse_than_start": trained.share("worse_than_start"),
        "non_finite": trained.share("non_finite"),
    }
    for figure in COUNTS:
        best = rivalry.best(figure)
        found[figure] = finite(trained.figure(figure))
        found[f"{figure}_best_rival"] = best and {"optimizer": best.label, figure: finite(best.figure(figure))}
        found[f"{figure}_wins"] = rivalry.wins(figure)
    return found | {"held_out_verdict": verdict_of(judgement) or None}


def in_words(judgement: Judgement) -> str:
    """Return a sentence on who wins on which count, and by how much."""
    rivalry = judgement.rivalry
    parts = [_count_in_words(rivalry, figure, said) for figure, said in zip(COUNTS, _SAID, strict=True)]
    if all(rivalry.best(figure) is None for figure in COUNTS):
        return f"{judgement.result.name}: there is no tuned rival to compare with."
    return f"{judgement.result.name}: {'; '.join(parts)}."


_SAID = ("the last loss", "the mean of Σ", "the median of Σ")


def _count_in_words(rivalry: Rivalry, figure: str, said: str) -> str:
    best, wins = rivalry.best(figure), rivalry.wins(figure)
    if best is None:
        return f"no rival on {said}"
    number = fixed if figure == BY_END else loss_sum
    own = rivalry.trained.figure(figure)
    against = f"{number(own) if isfinite(own) else '–'} against {best.label}'s {number(best.figure(figure))}"
    return f"{'wins' if wins else 'loses'} on {said}, {against}"


def _end_row(judgement: Judgement) -> tuple[str, ...]:
    trained = judgement.rivalry.trained
    low, high = trained.range(BY_END)
    return (
        judgement.result.name,
        fixed(judgement.reference.held_out) if judgement.reference else "–",
        _number(trained.figure(BY_END)),
        f"{fixed(low)}…{fixed(high)}" if isfinite(low) else "",
        *_against(judgement.rivalry, BY_END),
        share_text(trained.share("worse_than_start")),
        share_text(trained.share("non_finite")),
        verdict_of(judgement) or "–",
    )


def _sum_row(judgement: Judgement) -> tuple[str, ...]:
    rivalry = judgement.rivalry
    cells = [[loss_sum(rivalry.trained.figure(figure)), *_against(rivalry, figure)] for figure in (_MEAN, BY_SUM)]
    return (judgement.result.name, *(cell for row in cells for cell in row))


def _against(rivalry: Rivalry, figure: str) -> tuple[str, str, str]:
    """Return the best rival's name and figure, and whether it is beaten."""
    best, wins = rivalry.best(figure), rivalry.wins(figure)
    if best is None:
        return "–", "", "–"
    value = best.figure(figure)
    return best.label, _number(value) if figure == BY_END else loss_sum(value), "yes" if wins else "no"


def _number(value: float) -> str:
    return fixed(value) if isfinite(value) else "–"


def draws_line(judgements: Sequence[Judgement]) -> str:
    """Return of how many held-out draws the figures are."""
    return f"On {count(max(one.rivalry.ranking.draws for one in judgements))} held-out draws each."
