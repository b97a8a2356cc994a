"""``l2o-tui resume``: go on with a run from its newest good checkpoint."""

import sys
from pathlib import Path

from l2o_engine.live.resuming import resumable
from l2o_engine.runs.catalogue import find_folder
from l2o_engine.runs.folder import Run, lanes_of
from l2o_engine.support.errors import Failure
from l2o_tui import exit_codes
from l2o_tui.commands.drive import FrontEnd, drive
from l2o_tui.commands.ended import EndedError, ended_by_signals
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
    shows_finished: bool = True,
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
    shows_finished
        Whether a run that is finished is shown, where there is a screen; else that is said, and all.

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
    try:
        with ended_by_signals():  # a problem's code may take long, or for ever
            found = resumable(find_folder(name, runs_dir), iterations=iterations, backend=backend, device=device)
    except EndedError as ended:
        return ended.tell("the run is as it was")
    if found.is_done and not (shows_finished and front_end.has_screen):
        return _already_finished(found.run, front_end)
    driven = found.take(accept_changes=accept_changes, tell=lambda message: say(f"l2o-tui: {message}"))
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
