"""What experiments reached, as the [reference] tables of their presets: to paste."""

from collections.abc import Sequence
from math import isfinite

from l2o_engine.records.statistics import spread_of
from l2o_engine.studies.evaluation.rankings import BY_END
from l2o_engine.studies.reproduction import COUNTS, Judgement, Result

_LEAST_TOLERANCE = 0.3  # powers of ten, as the notebook's steadiest experiments have
_COLUMN = 32  # where comments begin


def reference_toml(judgement: Judgement) -> list[str]:
    """Return the lines of an experiment's [reference]: medians over its seeds, and how far they lie apart.

    The tolerance is half the distance between the least and the greatest seed, and at least 0.3.
    """
    trained = judgement.rivalry.trained
    spread = trained.spread(BY_END)
    tolerance = max(_LEAST_TOLERANCE, (spread.greatest - spread.least) / 2)
    rows = _rows(judgement.result)
    return [
        _line("[reference]", "what our own seeds reached, shown beside a run; no notebook printed it"),
        _line(f"seeds = {len(trained.judged)}", "of how many seeds these are the medians"),
        _line(f"held_out = {spread.median:.2f}", "mean log10 of the last loss on held-out draws"),
        _line(f"sum_loss = {trained.figure(COUNTS[1]):.4g}", "mean of the losses' sum on the same draws"),
        _line(f"tolerance = {tolerance:.2f}", "how far another median may end from held_out"),
        _line("rows = [", "mean log10 of the last losses since the row before"),
        *(f"    {{ it = {it}, average_log_result = {average:.2f} }}," for it, average in rows),
        "]",
    ]


def _rows(result: Result) -> list[tuple[int, float]]:
    """Return meta-iteration → the median over the seeds of what their reports said of it."""
    found: dict[int, list[float]] = {}
    for replicate in result.replicates:
        for event in replicate.run.events():
            if event["event"] == "progress" and event.get("average_log_result") is not None:
                found.setdefault(event["iteration"], []).append(event["average_log_result"])
    medians = {it: spread_of(averages).median for it, averages in sorted(found.items())}
    return [(it, median) for it, median in medians.items() if isfinite(median)]


def _line(text: str, comment: str) -> str:
    return f"{text:<{_COLUMN}}# {comment}"


def references(judgements: Sequence[Judgement]) -> list[str]:
    """Return the section of a report that has them all."""
    lines = [
        "## References",
        "",
        "What this makes of each experiment's `[reference]`, the last table of its preset: later runs are held to it.",
        "",
    ]
    for judgement in judgements:
        if isfinite(judgement.rivalry.trained.figure(BY_END)):
            lines += [f"presets/{judgement.result.name}.toml:", "", "```toml", *reference_toml(judgement), "```", ""]
    return lines
