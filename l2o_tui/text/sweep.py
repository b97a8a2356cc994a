"""A study's settings in a table, as CSV and as JSON, the best first."""

import csv
from collections.abc import Sequence
from io import StringIO
from math import isnan
from typing import Any

from l2o_engine.presets.labels import SHORT_NAMES, short_number
from l2o_engine.records.codec import finite
from l2o_engine.studies.sweep import SettingResult
from l2o_engine.support.wording import shown
from l2o_tui.text.names import cut
from l2o_tui.text.numbers import count, duration, fixed, loss_sum
from l2o_tui.text.tables import aligned

LEGEND = (
    "final: mean log10 of the last loss over the last report, median over the seeds, and from the best to the worst; "
    "Σ adds up all steps' losses; stuck: never took off; lost: to NaN; trained: all seeds, added up."
)
_LONGEST_VALUE = 24  # cells
_FIGURES = ("seeds", "final", "best … worst", "Σ losses", "stuck", "lost", "status", "trained")
_CSV = (
    *("seeds", "average_log_result_median", "least", "lower", "upper", "greatest", "sum_loss_median", "stuck", "lost"),
    *("failed", "status", "iteration", "trained_seconds"),
)


def setting_names(keys: Sequence[str]) -> dict[str, str]:
    """Return "table.key" → what a column is called: in short, while that tells it from the others."""
    short = {key: SHORT_NAMES.get(key, key.rpartition(".")[2]) for key in keys}
    names = list(short.values())
    return {key: name if names.count(name) == 1 else key for key, name in short.items()}


def said(value: Any) -> str:
    """Return a setting's value as a cell has it; "–" where it is not set."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return short_number(value) if isinstance(value, int | float) else cut(shown(str(value)), _LONGEST_VALUE)


def table_lines(results: Sequence[SettingResult], *, most: int | None = None) -> list[str]:
    """Return the table's lines, a heading and one for each setting.

    Parameters
    ----------
    results
        The best first.
    most
        How many settings are in it at most; None for all. How many more there are is said.
    """
    keys = list(dict.fromkeys(key for result in results for key in result.variation.settings))
    names = setting_names(keys)
    presets = {result.variation.preset.name for result in results}
    first = ["preset"] if len(presets) > 1 or not keys else []
    rows = [[*first, *(names[key] for key in keys), *_FIGURES]]
    for result in results[:most]:
        owner = [result.variation.preset.name] if first else []
        rows.append([*owner, *(said(result.variation.settings.get(key)) for key in keys), *_cells(result)])
    lines = aligned(rows)
    left_out = len(results) - len(rows) + 1
    return [*lines, f"… and {left_out:,} settings more"] if left_out > 0 else lines


def _cells(result: SettingResult) -> list[str]:
    final = result.final
    return [
        f"{len(result.told)}/{result.seeds}",
        "–" if isnan(final.median) else fixed(final.median),
        f"{fixed(final.least)} … {fixed(final.greatest)}" if final.count > 1 else "",
        loss_sum(result.sum_loss.median),
        str(result.stuck),
        str(len(result.lost)),
        status_of(result),
        duration(result.seconds),
    ]


def status_of(result: SettingResult) -> str:
    """Return how a setting stands, in words."""
    if result.stopped_at is not None:
        return f"halved at {count(result.stopped_at)}"
    if result.failed:
        return f"{len(result.failed)} failed"
    elsewhere = sum(one.status == "elsewhere" for one in result.outcomes)
    return f"{elsewhere} elsewhere" if elsewhere and result.status == "unfinished" else result.status


def document_of(result: SettingResult) -> dict[str, Any]:
    """Return what is told of a setting to scripts."""
    final = result.final
    return {
        "settings": dict(result.variation.settings),
        "preset": result.variation.preset.name,
        "seeds": result.seeds,
        "average_log_result_median": finite(final.median),
        "spread": [finite(final.least), finite(final.greatest)],
        "quartiles": [finite(final.lower), finite(final.upper)],
        "sum_loss_median": finite(result.sum_loss.median),
        "stuck": result.stuck,
        "lost": result.lost,
        "failed": {str(one.job.seed): one.message for one in result.failed},
        "status": result.status,
        "iteration": result.iteration,
        "stopped_at": result.stopped_at,
        "trained_seconds": round(result.seconds, 3),
        "finals": {str(seed): finite(value) for seed, value in result.finals.items()},
        "runs": [str(one.job.folder) for one in result.outcomes],
    }


def csv_text(results: Sequence[SettingResult]) -> str:
    """Return the settings as CSV, a heading first; what is not known is empty."""
    keys = list(dict.fromkeys(key for result in results for key in result.variation.settings))
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["preset", *keys, *_CSV])
    for result in results:
        final, settings = result.final, result.variation.settings
        figures = [final.median, final.least, final.lower, final.upper, final.greatest, result.sum_loss.median]
        writer.writerow(
            [
                result.variation.preset.name,
                *("" if settings.get(key) is None else settings[key] for key in keys),
                result.seeds,
                *("" if isnan(figure) else repr(figure) for figure in figures),
                result.stuck,
                len(result.lost),
                len(result.failed),
                result.status,
                result.iteration,
                round(result.seconds, 3),
            ]
        )
    return text.getvalue().rstrip("\n")
