"""``l2o-tui runs``: the runs of a folder, as a table for people or JSON for scripts."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from l2o_engine.runs.catalogue import Unreadable, look_through
from l2o_engine.runs.folder import Run
from l2o_engine.runs.record import RunError
from l2o_engine.support.wording import shown
from l2o_tui.text.commands import proposed
from l2o_tui.text.numbers import age, count, duration, fixed
from l2o_tui.text.output import Page, write_json
from l2o_tui.text.streams import say
from l2o_tui.text.tables import plain_table


def print_runs(runs_dir: Path, *, as_json_document: bool) -> None:
    """Print the runs of a folder, the oldest first, then those that cannot be read, and why."""
    listing = look_through(runs_dir)
    runs, unreadable = listing.runs, listing.unreadable
    if as_json_document:
        return write_json([*map(summary_of, runs), *map(_summary_of_unreadable, unreadable)])
    if not runs and not unreadable:
        return say(f"no runs in {shown(str(runs_dir))} yet; start one: {proposed('run', 'log30')}")
    page = Page()
    console = page.console
    headings = ["run", "status", "iteration", "average log", "trained", "updated"]
    told = len(headings) if console.width >= 100 else 4  # in a narrow terminal the name matters most
    table = plain_table(*headings[:told])
    for run in runs:
        try:
            record, status = run.record(), run.status()
        except RunError:  # vanished while we looked
            continue
        iteration = f"{count(record.iteration)} of {count(record.iterations)}"
        average, trained = fixed(record.average_log_result), duration(record.elapsed_seconds)
        table.add_row(*[run.name, status, iteration, average, trained, age(record.updated)][:told])
    for one in unreadable:
        table.add_row(*[one.name, "unreadable", *[""] * 4][:told])
    console.print(table)
    for one in unreadable:
        console.print(shown(f"{one.name}: {'; '.join(filter(None, [one.reason, one.remedy]))}"), soft_wrap=True)
    return page.write()


def _summary_of_unreadable(one: Unreadable) -> dict[str, Any]:
    return {"name": one.name, "path": str(one.folder), "status": "unreadable", "error": one.reason}


def summary_of(run: Run) -> dict[str, Any]:
    """Return what is told of a run in short, for scripts; in place of it what is wrong with its folder."""
    try:
        driven = run.is_driven()
        return (
            {"name": run.name, "path": str(run.folder)}
            | asdict(run.record())
            | {
                "status": run.status(),
                "driven": driven,
            }
        )
    except RunError as error:  # vanished, or rewritten by another version, while we looked
        return {"name": run.name, "path": str(run.folder), "error": str(error)}
