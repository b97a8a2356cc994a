"""``l2o-tui resume``: go on with a run from its newest good checkpoint."""

import sys
from collections.abc import Sequence
from pathlib import Path

from l2o_engine.live.sizes import admit
from l2o_engine.runs.catalogue import find_folder
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.folder import Run, lanes_of
from l2o_engine.runs.rebuild import mend_record
from l2o_engine.runs.record import RunError
from l2o_engine.support.errors import Failure
from l2o_tui import exit_codes
from l2o_tui.commands.drive import FrontEnd, drive
from l2o_tui.text.numbers import count
from l2o_tui.text.output import json_text, silence, write_out
from l2o_tui.text.streams import say, write_path


def resume_run(
    name: str,
    *,
    iterations: int | None,
    accept_changes: bool,
    backend: str | None,
    device: str | None,
    start_paused: bool,
    runs_dir: Path,
    front_end: FrontEnd,
) -> int:
    """Go on with a run.

    Parameters
    ----------
    name
        A folder, a name in the runs folder, or "last".
    iterations
        A new total, with which a finished run goes on; None for the one that it has.
    accept_changes
        Whether to go on where the run's preset.toml was edited.
    backend, device
        What computes, and where; the preset's choice, if None.
    start_paused
        Wait to be told to go on; only without a screen.
    runs_dir
        Where runs are kept.
    front_end
        Shows the run.

    Returns
    -------
    int
        The exit code, see :mod:`l2o_tui.exit_codes`.

    Raises
    ------
    UserError
        If there is no such run, another process drives it, or its preset.toml was edited.
    Failure
        If training failed, or stdout could not be written to.
    """
    folder = find_folder(name, runs_dir)
    notices = mend_record(folder)
    return go_on(
        Run(folder),
        iterations=iterations,
        accept_changes=accept_changes,
        backend=backend,
        device=device,
        start_paused=start_paused,
        notices=notices,
        front_end=front_end,
    )


def go_on(
    found: Run,
    *,
    iterations: int | None,
    accept_changes: bool = False,
    backend: str | None,
    device: str | None,
    start_paused: bool = False,
    notices: Sequence[str] = (),
    shows_finished: bool = True,
    front_end: FrontEnd,
) -> int:
    """Go on with a run that was found; see :func:`resume_run`.

    Parameters
    ----------
    found
        The run.
    iterations, accept_changes, backend, device, start_paused, front_end
        As there.
    notices
        What is to be told of its folder.
    shows_finished
        Whether a run that is finished is shown, where there is a screen; else that is said, and all.
    """
    record = found.record()
    if iterations == record.iterations:
        iterations = None  # it asks for what was asked for before, as a job does that is requeued
    least = record.iteration + (record.status != "finished")
    if iterations is not None and iterations < least:
        raise RunError(f"{found.name} is already at {count(record.iteration)}: --iterations must be above that")
    if iterations is not None and record.status == "diverged" and record.seeds == 1:
        raise RunError(f"{found.name} has diverged at {count(record.iteration)}; there is nothing to continue")
    if iterations is not None and record.has_ended_early:
        raise RunError(f"{found.name} has ended at {count(record.iteration)}: {record.message}")
    is_done = record.status == "finished" and iterations in (None, record.iteration)
    if is_done and not (shows_finished and front_end.has_screen):
        return _already_finished(found, front_end)
    admit(found.preset(), backend, device)
    driven = DrivenRun.take(
        found.folder,
        accept_changes=accept_changes,
        notices=notices,
        tell=lambda message: say(f"l2o-tui: {message}"),
    )
    if iterations is not None:
        driven.set_iterations(iterations)
    return drive(driven, front_end, backend=backend, device=device, start_paused=start_paused)


def _already_finished(run: Run, front_end: FrontEnd) -> int:
    """Say that there is nothing to do, as the front end would have told the end; a requeued job repeats its command."""
    record = run.record()
    further = record.message if record.has_ended_early else "continue it with --iterations N"
    say(f"l2o-tui: {run.name} is finished at {count(record.iteration)}; {further}")
    for note in run.damage():  # who takes it for done should know what is left of it
        say(f"l2o-tui: {run.name}: {note}")
    if front_end.quiet:
        try:
            write_path(str(run.folder.resolve()))
        except OSError as error:
            silence(sys.stdout)
            raise Failure(f"stdout: {error.strerror or error}") from error
    elif front_end.json:
        ended = [document for document in run.events() if document["event"] == "end"]
        last = ended[-len(lanes_of(run.preset())) :]
        lines = [json_text({name: value for name, value in one.items() if name != "time"}) for one in last]
        write_out("\n".join(lines))
    return exit_codes.DONE
