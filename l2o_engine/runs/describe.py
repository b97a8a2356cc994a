"""Calling a run that is there something else: its name, note and tags, whoever drives it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from time import monotonic, sleep

from l2o_engine.records.events import Describe
from l2o_engine.runs import commands
from l2o_engine.runs.about import About
from l2o_engine.runs.events_file import append_event, open_events
from l2o_engine.runs.folder import Run
from l2o_engine.runs.lock import HeldError, take_lock
from l2o_engine.runs.record import Record, RunError, write_record

_PATIENCE = 5.0  # seconds: who drives a run looks into its folder between two chunks
_LOOK = 0.1


def about_of(record: Record) -> About:
    """Return what people call a run.

    Raises
    ------
    AboutError
        If run.json holds what nobody could have said.
    """
    return About(record.given_name, record.note, record.tags)


def describe(folder: Path, change: Callable[[About], About], *, patience: float = _PATIENCE) -> bool:
    """Change what a run is called: in run.json, or, where another process drives it, by asking that.

    Parameters
    ----------
    folder
        The run's folder.
    change
        Is given what it is called, and returns what it is to be called.
    patience
        Seconds to wait for the process that drives it.

    Returns
    -------
    bool
        Whether it is done; False where the process that drives the run was asked and has not answered yet.

    Raises
    ------
    AboutError
        If it cannot be called so.
    RunError
        If the run cannot be read or written.
    """
    run = Run(folder)
    try:
        if not run.is_driven():
            try:
                with take_lock(folder):  # nobody begins to drive it meanwhile
                    record = run.record()
                    about = change(about_of(record))
                    told = replace(record, given_name=about.name, note=about.note, tags=about.tags)
                    with open_events(run.events_path) as events:
                        write_record(run.record_path, told)
                        append_event(events, about.told)
                    return True
            except HeldError:
                pass
        about = change(about_of(run.record()))
        commands.send(run.commands_path, Describe(about.name, about.note, about.tags))
    except OSError as error:
        raise RunError(f"cannot write into {run.name}: {error.strerror or error}") from error
    until = monotonic() + patience
    while about_of(run.record()) != about:
        if monotonic() > until:
            return False
        sleep(_LOOK)
    return True
