"""``l2o-tui resume``: go on with a run from its newest good checkpoint."""

from pathlib import Path

from l2o_engine.live.sizes import admit
from l2o_engine.runs.catalogue import find_folder
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.folder import Run
from l2o_engine.runs.rebuild import mend_record
from l2o_engine.runs.record import RunError
from l2o_tui.commands.drive import FrontEnd, drive


def resume_run(
    name: str,
    *,
    iterations: int | None,
    backend: str | None,
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
    backend
        What computes; the preset's choice, if None.
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
        If there is no such run, nothing is left to do, or another process drives it.
    Failure
        If training failed, or stdout could not be written to.
    """
    folder = find_folder(name, runs_dir)
    notices = mend_record(folder)
    found = Run(folder)
    record = found.record()
    preset = found.preset()
    admit(preset, backend)
    if iterations is not None and iterations <= record.iteration:
        raise RunError(f"{found.name} is already at {record.iteration}: --iterations must be above that")
    if iterations is not None and record.status == "diverged" and record.seeds == 1:
        raise RunError(f"{found.name} has diverged at {record.iteration}; there is nothing to continue")
    if iterations is None and record.status == "finished" and not front_end.has_screen:
        raise RunError(f"{found.name} is finished at {record.iteration}; continue it with --iterations N")
    driven = DrivenRun.take(folder, notices=notices)
    if iterations is not None:
        driven.set_iterations(iterations)
    return drive(driven, front_end, backend=backend, start_paused=start_paused)
