"""What is there: the shipped presets, the runs of a folder, one run in full. As tables for people, JSON for scripts."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from l2o_engine.presets.files import load
from l2o_engine.presets.shipped import find, shipped_names
from l2o_engine.presets.tables import to_dict
from l2o_engine.records.codec import as_json
from l2o_engine.records.events import Diagnosed
from l2o_engine.records.health import Diagnosis, Diagnostician
from l2o_engine.runs.catalogue import list_runs
from l2o_engine.runs.folder import Run, lanes_of
from l2o_engine.runs.record import RunError
from l2o_engine.training.trainer import Lane
from l2o_tui.text.health import findings_of, sentence, vitals_of
from l2o_tui.text.numbers import age, count, duration, fixed
from l2o_tui.text.output import Page, write_out
from l2o_tui.text.progress_table import ProgressTable


def _table(*headings: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", show_header=any(headings))
    for heading in headings:
        right = heading in ("iterations", "iteration", "seed", "average log", "trained")
        name = heading in ("run", "status", "preset")
        table.add_column(heading, justify="right" if right else "left", overflow="fold", no_wrap=name)
    return table


def print_presets(*, as_json_document: bool) -> None:
    """Print the shipped presets, a line each."""
    shipped = [(name, load(find(name))) for name in shipped_names()]
    if as_json_document:
        found = [
            {"name": name, "title": preset.title, "iterations": preset.run.iterations, "path": str(find(name))}
            for name, preset in shipped
        ]
        return _print_json(found)
    table = _table("preset", "iterations", "what it is")
    for name, preset in shipped:
        table.add_row(name, count(preset.run.iterations), preset.title)
    page = Page()
    page.console.print(table)
    return page.write()


def print_runs(runs_dir: Path, *, as_json_document: bool) -> None:
    """Print the runs of a folder, the oldest first."""
    runs = list_runs(runs_dir)
    if as_json_document:
        return _print_json([_summary(run) for run in runs])
    if not runs:
        return Console(stderr=True, highlight=False).print(f"no runs in {runs_dir} yet; start one: l2o-tui run log30")
    page = Page()
    console = page.console
    headings = ["run", "status", "iteration", "average log", "trained", "updated"]
    shown = len(headings) if console.width >= 100 else 4  # in a narrow terminal the name matters most
    table = _table(*headings[:shown])
    for run in runs:
        try:
            record, status = run.record(), run.status()
        except RunError:  # vanished while we looked
            continue
        iteration = f"{count(record.iteration)} of {count(record.iterations)}"
        average, trained = fixed(record.average_log_result), duration(record.elapsed_seconds)
        table.add_row(*[run.name, status, iteration, average, trained, age(record.updated)][:shown])
    console.print(table)
    return page.write()


def print_run(run: Run, *, as_json_document: bool) -> None:
    """Print one run: state, settings, progress table beside the notebook's."""
    preset, record, progress = run.preset(), run.record(), run.progress()
    if as_json_document:
        rows = [document for event in progress for document in as_json(event)]
        looks = [document for event in diagnoses_of(run).items() for document in as_json(Diagnosed(*event))]
        parts = {"settings": to_dict(preset), "progress": rows, "health": looks}
        return _print_json(_summary(run) | parts)
    page = Page()
    console = page.console
    state = _table("", "")
    checkpoint = run.latest_checkpoint()
    host = f" (process {record.pid} on {record.host})" if run.is_driven() else ""
    state.add_row("run", str(run.folder))
    state.add_row("preset", f"{preset.name}: {preset.title}" if preset.title else preset.name)
    state.add_row("status", run.status() + host + (f": {record.message}" if record.message else ""))
    state.add_row("iteration", f"{count(record.iteration)} of {count(record.iterations)}")
    state.add_row("seed", ", ".join(map(str, preset.seeds)))
    state.add_row("backend", f"{record.backend} ({record.backend_reason}), {preset.run.dtype}")
    state.add_row("trained", f"{duration(record.elapsed_seconds)}, last updated {age(record.updated)}")
    state.add_row("checkpoint", str(checkpoint) if checkpoint else "none yet")
    state.add_row("versions", ", ".join(f"{name} {number}" for name, number in record.versions.items()))
    console.print(state)
    console.print("\nsettings", style="bold")
    settings = _table("", "")
    for name, values in to_dict(preset).items():
        if name in ("format", "name", "title", "kind", "notebook"):
            continue
        for entry in values if isinstance(values, list) else [values]:
            settings.add_row(name, ", ".join(f"{key} = {_plain(value)}" for key, value in entry.items()))
    console.print(settings)
    _print_health(console, diagnoses_of(run))
    console.print("\nprogress", style="bold")
    table = ProgressTable(preset, lanes_of(preset))
    console.print(table.heading(), markup=False, soft_wrap=True)
    for event in progress:
        for line in table.lines(event):
            console.print(line, markup=False, soft_wrap=True)
    return page.write()


def diagnoses_of(run: Run) -> dict[Lane, Diagnosis]:
    """Return what the last look at each lane of a run says."""
    diagnosticians: dict[Lane, Diagnostician] = {}
    diagnoses = {}
    for lane, vitals in run.vitals():
        diagnostician = diagnosticians.setdefault(lane, Diagnostician(run.preset()))
        diagnoses[lane] = diagnostician.judge(vitals)
    return diagnoses


def _print_health(console: Console, diagnoses: dict[Lane, Diagnosis]) -> None:
    if not diagnoses:
        return
    last = max(diagnosis.vitals.iteration for diagnosis in diagnoses.values())
    console.print(f"\nhealth at {count(last)}", style="bold")
    table = _table("", "")
    for name, value in vitals_of(list(diagnoses.values())):
        table.add_row(name, value)
    console.print(table)
    for owners, finding in findings_of(diagnoses):
        console.print(f"{finding.code}: {owners}{sentence(finding)}", markup=False, soft_wrap=True)


def _summary(run: Run) -> dict[str, Any]:
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


def _plain(value: object) -> str:
    return json.dumps(value)


def _print_json(document: object) -> None:
    write_out(json.dumps(document, indent=2))
