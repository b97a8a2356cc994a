"""``l2o-tui run``: meta-train a preset, in a folder of its own."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from l2o_engine.live.sizes import admit
from l2o_engine.presets.files import load
from l2o_engine.presets.shipped import find
from l2o_engine.runs.catalogue import new_folder
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.record import RunError
from l2o_engine.runs.starting import find_start, start_beside, started
from l2o_tui.commands.drive import FrontEnd, drive
from l2o_tui.commands.ended import EndedError, ended_by_signals


def run_preset(
    preset: str,
    *,
    settings: Sequence[str],
    options: Mapping[str, object],
    runs_dir: Path,
    run_dir: Path | None,
    front_end: FrontEnd,
    start_from: str | None = None,
    from_checkpoint: str | None = None,
    from_seed: int | None = None,
) -> int:
    """Train a preset in a new run.

    Parameters
    ----------
    preset
        A TOML file, or the name of a shipped preset.
    settings
        What is changed of it, "table.key=value" each.
    options
        What is changed of its table ``run``: seed, seeds, iterations, backend, device; None leaves it as it is.
    runs_dir
        Where the run's folder is made.
    run_dir
        The exact folder in place of one in ``runs_dir``.
    front_end
        Shows the run.
    start_from
        A run or an optimizer file, with whose weights it begins; None for drawn ones.
    from_checkpoint, from_seed
        Which of the run's; the best and the first one's, if None.

    Returns
    -------
    int
        The exit code, see :mod:`l2o_tui.exit_codes`.

    Raises
    ------
    UserError
        If something is wrong with what was asked for; nothing was made.
    Failure
        If training failed, or stdout could not be written to.
    """
    if start_from is None and (from_checkpoint is not None or from_seed is not None):
        raise RunError("--from-checkpoint and --from-seed say which weights of a run are meant: give it, --from RUN")
    given = {name: value for name, value in options.items() if value is not None}
    file = find(preset)
    asked = load(file, settings, given)
    if start_from is None:
        start = start_beside(asked, file.parent)
    else:
        start = find_start(start_from, runs_dir, checkpoint=from_checkpoint, seed=from_seed)
        asked = started(asked, start)
    try:
        with ended_by_signals():  # a problem's code may take long, or for ever
            admit(asked)  # what cannot be had is an error before anything is made
    except EndedError as ended:
        return ended.tell("nothing was made")
    return drive(DrivenRun.create(asked, run_dir or new_folder(runs_dir, asked), start), front_end)
