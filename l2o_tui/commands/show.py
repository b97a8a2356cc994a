"""``l2o-tui show``: one run in full, as tables for people or JSON for scripts."""

import json
from collections.abc import Mapping
from typing import Any

from rich.console import Console

from l2o_engine.backends.devices import on_device
from l2o_engine.presets.identity import in_words
from l2o_engine.presets.tables import to_dict
from l2o_engine.records.codec import as_json
from l2o_engine.records.events import Diagnosed
from l2o_engine.records.health import Diagnosis
from l2o_engine.runs.folder import Run, lanes_of
from l2o_engine.training.trainer import Lane
from l2o_tui.commands.runs import summary_of
from l2o_tui.text.health import details_of, diagnoses_of, findings_of, sentence, vitals_of
from l2o_tui.text.numbers import age, count, duration
from l2o_tui.text.output import Page, write_json
from l2o_tui.text.progress_table import ProgressTable
from l2o_tui.text.tables import plain_table
from l2o_tui.text.validation import summary


def print_run(run: Run, *, as_json_document: bool) -> None:
    """Print one run: state, settings, progress table beside the notebook's."""
    preset, record, progress, damage = run.preset(), run.record(), run.progress(), run.damage()
    if as_json_document:
        rows = [document for event in progress for document in as_json(event)]
        looks = [document for event in diagnoses_of(run).items() for document in as_json(Diagnosed(*event))]
        validations = [document for event in run.validated() for document in as_json(event)]
        parts = {"settings": to_dict(preset), "progress": rows, "health": looks, "damage": damage}
        parts |= {"validations": validations} if validations else {}
        return write_json(summary_of(run) | parts)
    page = Page()
    console = page.console
    state = plain_table("", "")
    checkpoint = run.latest_checkpoint()
    host = f" (process {record.pid} on {record.host})" if run.is_driven() else ""
    state.add_row("run", str(run.folder))
    state.add_row("label", record.label)
    for heading, text in (("name", record.given_name), ("tags", " ".join(record.tags)), ("note", record.note)):
        if text:
            state.add_row(heading, text)
    if record.changed:
        state.add_row("changed", in_words(record.changed))
    state.add_row("preset", f"{preset.name}: {preset.title}" if preset.title else preset.name)
    state.add_row("status", run.status() + host + (f": {record.message}" if record.message else ""))
    state.add_row("iteration", f"{count(record.iteration)} of {count(record.iterations)}")
    state.add_row("seed", ", ".join(map(str, preset.seeds)))
    state.add_row(
        "backend", f"{on_device(record.backend, record.device)} ({record.backend_reason}), {preset.run.dtype}"
    )
    state.add_row("trained", f"{duration(record.elapsed_seconds)}, last updated {age(record.updated)}")
    state.add_row("checkpoint", str(checkpoint) if checkpoint else "none yet")
    for lane, verdict in {event.lane: event.verdict for event in run.validated()}.items():
        owner = f", seed {lane.seed}" if len(preset.seeds) > 1 else ""
        state.add_row("validation", f"at {count(verdict.iteration)}{owner}: {summary(verdict)}")
    state.add_row("versions", ", ".join(f"{name} {number}" for name, number in record.versions.items()))
    for note in damage:
        state.add_row("damage", note)
    console.print(state)
    console.print("\nsettings", style="bold")
    settings = plain_table("", "")
    for name, values in to_dict(preset).items():
        if name in ("notebook", "reference") or not isinstance(values, dict | list):
            continue  # what a run is told by has been said above, and what it is compared with is below
        for entry in values if isinstance(values, list) else [values]:
            if "tuned" in entry:  # the digest says nothing to people
                entry["tuned"] = entry["tuned"]["metric"] if entry["name"] in preset.tuned else "for something else"
            settings.add_row(name, in_a_line(entry))
    console.print(settings)
    _print_health(console, diagnoses_of(run))
    console.print("\nprogress", style="bold")
    table = ProgressTable(preset, lanes_of(preset))
    console.print(table.heading(), soft_wrap=True)
    for event in progress:
        for line in table.lines(event):
            console.print(line, soft_wrap=True)
    return page.write()


def in_a_line(table: Mapping[str, Any]) -> str:
    """Return the settings of a table as they stand in one line."""
    return ", ".join(f"{key} = {json.dumps(value)}" for key, value in table.items())


def _print_health(console: Console, diagnoses: dict[Lane, Diagnosis]) -> None:
    if not diagnoses:
        return
    last = max(diagnosis.vitals.iteration for diagnosis in diagnoses.values())
    console.print(f"\nhealth at {count(last)}", style="bold")
    table = plain_table("", "")
    looks = list(diagnoses.values())
    for name, value in vitals_of(looks) + details_of(looks):
        table.add_row(name, value)
    console.print(table)
    for owners, finding in findings_of(diagnoses):
        console.print(f"{finding.code}: {owners}{sentence(finding)}", soft_wrap=True)
