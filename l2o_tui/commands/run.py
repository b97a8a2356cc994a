"""``l2o-tui run``: meta-train a preset, in a folder of its own."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from l2o_engine.live.sizes import admit
from l2o_engine.presets.files import load
from l2o_engine.presets.identity import differing, in_words, resumed_settings
from l2o_engine.presets.schema import Preset
from l2o_engine.presets.shipped import find
from l2o_engine.runs import origin
from l2o_engine.runs.about import NOTHING_SAID, About
from l2o_engine.runs.catalogue import holds_run, new_folder
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.record import RunError
from l2o_engine.runs.starting import checkpoint_meant, find_start, start_beside, started
from l2o_engine.support.errors import UserError
from l2o_tui.commands.drive import FrontEnd, drive
from l2o_tui.commands.ended import EndedError, ended_by_signals
from l2o_tui.commands.resume import resume_run


def run_preset(
    preset: str,
    *,
    settings: Sequence[str],
    options: Mapping[str, object],
    runs_dir: Path,
    run_dir: Path | None,
    resumes: bool = False,
    about: About = NOTHING_SAID,
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
    resumes
        Whether to go on with the run that is in ``run_dir`` already, if one is.
    about
        A person's words for a new run.
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
    if resumes and run_dir is None:
        raise UserError("--resume-or-start needs --run-dir: the folder in which the run is found again")
    given = {name: value for name, value in options.items() if value is not None}
    file = find(preset)
    asked = load(file, settings, given)
    if start_from is None:
        start = start_beside(asked, file.parent)
    else:
        start = find_start(
            start_from, runs_dir, checkpoint=from_checkpoint, seed=from_seed, meant=checkpoint_meant(asked)
        )
        asked, start = started(asked, start)
    if resumes and run_dir is not None and holds_run(run_dir):
        return _go_on(asked, run_dir, options, front_end)
    try:
        with ended_by_signals():  # a problem's code may take long, or for ever
            admit(asked)  # what cannot be had is an error before anything is made
    except EndedError as ended:
        return ended.tell("nothing was made")
    folder = run_dir or new_folder(runs_dir, asked)
    return drive(DrivenRun.create(asked, folder, start, about=about, origin=origin.of_file(file)), front_end)


def _go_on(asked: Preset, folder: Path, options: Mapping[str, object], front_end: FrontEnd) -> int:
    """Go on with the run in a folder: the one that was asked for, or nothing. A total beyond its own is its new one."""
    there = load(folder / "preset.toml", follows=False)
    if other := differing(resumed_settings(there), resumed_settings(asked)):
        raise RunError(
            f"{folder} holds another run than what is asked for: {in_words(other)}. Give the settings that it was "
            "started with, or choose another folder"
        )
    total = asked.run.iterations
    return resume_run(
        str(folder),
        iterations=total if total > there.run.iterations else None,
        accept_changes=False,
        backend=_given(options, "backend"),
        device=_given(options, "device"),
        start_paused=False,
        runs_dir=folder.parent,
        front_end=front_end,
        shows_finished=False,
    )


def _given(options: Mapping[str, object], name: str) -> str | None:
    value = options[name]
    return None if value is None else str(value)
