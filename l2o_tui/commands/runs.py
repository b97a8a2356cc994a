"""``l2o-tui runs``: the runs of a folder, as a table for people or JSON for scripts."""

import sys
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from shutil import get_terminal_size
from typing import Any

from l2o_engine.runs.catalogue import Unreadable
from l2o_engine.runs.folder import Run
from l2o_engine.runs.listing import Listed, Study, Surveyor
from l2o_engine.runs.lock import is_driven
from l2o_engine.runs.record import ACTIVE, Record, RunError, document_of, read_record_once
from l2o_engine.runs.selection import Order, Selection, folded, sorted_by
from l2o_engine.support.wording import shown
from l2o_tui.text.commands import proposed
from l2o_tui.text.numbers import age, count, duration, fixed
from l2o_tui.text.output import write_json, write_out
from l2o_tui.text.streams import is_terminal, say
from l2o_tui.text.tables import Column, fitted

_COLUMNS = (  # of which those that say nothing are left out, and in a narrow terminal those with a high rank
    Column("run"),
    Column("name", rank=2, least=8, most=24),
    Column("status"),
    Column("iteration", right=True),
    Column("average log", right=True),
    Column("changed settings", rank=1, least=8, most=40),
    Column("tags", rank=3, least=6, most=20),
    Column("trained", rank=5, right=True),
    Column("updated", rank=4),
)


def print_runs(
    runs_dir: Path,
    *,
    selection: Selection = Selection(),  # noqa: B008 (frozen)
    order: Order = "newest",
    unfolds: bool = False,
    as_json_document: bool,
) -> None:
    """Print the runs of a folder, and, where none is asked for in particular, those that cannot be read, and why.

    Parameters
    ----------
    runs_dir
        The folder.
    selection
        Which runs are meant.
    order
        What they are sorted by; by "preset" those of one preset stand together.
    unfolds
        Whether a study's runs have a line each, and not one together.
    as_json_document
        Print JSON.

    Raises
    ------
    UserError
        If a condition of the selection is none.
    """
    survey = Surveyor(runs_dir).look()
    meant = selection.of(survey.all_runs)
    unreadable = survey.unreadable if selection.is_all else []
    entries: list[Listed | Study]
    if unfolds:
        entries = [*sorted_by(meant, order)]
    else:
        inner = [run for run in meant if run.study]
        studies = [found for study in survey.studies if (found := study.among(inner)).runs or found.unreadable]
        entries = folded((run for run in meant if not run.study), studies, order)
    if as_json_document:
        told = [summary_of_listed(line) if isinstance(line, Listed) else _summary_of_study(line) for line in entries]
        return write_json([*told, *map(_summary_of_unreadable, unreadable)])
    if not entries and not unreadable:
        if survey.all_runs:
            return say("none of the runs is as you ask for")
        return say(f"no runs in {shown(str(runs_dir))} yet; start one: {proposed('run', 'log30')}")
    rows: list[Sequence[str]] = []
    for _, together in groupby(entries, key=lambda line: _preset_of(line) if order == "preset" else ""):
        rows += [[]] if rows else []
        rows += [_row(line) if isinstance(line, Listed) else _study_row(line) for line in together]
    rows += [[one.name, "", "unreadable", *[""] * 6] for one in unreadable]
    lines = fitted(_COLUMNS, rows, get_terminal_size().columns if is_terminal(sys.stdout) else None)
    lines += [shown(f"{one.name}: {'; '.join(filter(None, [one.reason, one.remedy]))}") for one in unreadable]
    return write_out("\n".join(lines))


def _preset_of(line: Listed | Study) -> str:
    """Return the preset of a run, or of the runs of a study, which may be of several: then the first one's."""
    if isinstance(line, Listed):
        return line.preset
    return min((run.preset for run in line.runs), default="")


def _row(run: Listed) -> Sequence[str]:
    return [
        run.name,
        run.given_name,
        run.status,
        f"{count(run.iteration)} of {count(run.iterations)}",
        fixed(run.average_log_result),
        ", ".join(run.changed_in_short),
        " ".join(run.tags),
        duration(run.elapsed_seconds),
        age(run.updated),
    ]


def _study_row(study: Study) -> Sequence[str]:
    counts = study.counts
    total = sum(counts.values())
    return [
        f"{study.name}/",
        "",
        "study",
        f"{count(counts.get('finished', 0))} of {count(total)} runs",
        fixed(study.best),
        ", ".join(f"{count(number)} {status}" for status, number in counts.items()),
        "",
        "",
        age(study.updated) if study.updated else "",
    ]


def _summary_of_unreadable(one: Unreadable) -> dict[str, Any]:
    return {"name": one.name, "path": str(one.folder), "status": "unreadable", "error": one.reason}


def _summary_of_study(study: Study) -> dict[str, Any]:
    return {
        "name": study.name,
        "path": str(study.folder),
        "status": "study",
        "runs": sum(study.counts.values()),
        "counts": study.counts,
        "average_log_result": study.best,
        "updated": study.updated or None,
    }


def summary_of_listed(run: Listed) -> dict[str, Any]:
    """Return what is told of a run in short, for scripts; in place of it what is wrong with its folder."""
    try:
        summary = _summary(run.folder, read_record_once(run.folder / "run.json"))  # of which the list has kept little
    except RunError as error:  # vanished while we looked
        summary = {"path": str(run.folder), "error": str(error)}
    return summary | {"name": run.name, "study": run.study}


def summary_of(run: Run) -> dict[str, Any]:
    """Return what is told of a run in short, for scripts; in place of it what is wrong with its folder."""
    try:
        return _summary(run.folder, run.record())
    except RunError as error:  # vanished, or rewritten by another version, while we looked
        return {"name": run.name, "path": str(run.folder), "error": str(error)}


def _summary(folder: Path, record: Record) -> dict[str, Any]:
    driven = is_driven(folder, lambda: record)
    status = "interrupted" if record.status in ACTIVE and not driven else record.status
    known = {"status": status, "driven": driven, "label": record.label}
    return {"name": folder.name, "path": str(folder)} | document_of(record) | known
