"""``l2o-tui run``: meta-train a preset, in a folder of its own."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from l2o_engine.live.sizes import admit
from l2o_engine.presets.files import load
from l2o_engine.presets.identity import differing, in_words, resumed_settings
from l2o_engine.presets.schema import Preset
from l2o_engine.presets.shipped import find, shipped_names
from l2o_engine.runs.about import NOTHING_SAID, About
from l2o_engine.runs.catalogue import holds_run, new_folder
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.folder import Run
from l2o_engine.runs.rebuild import mend_record
from l2o_engine.runs.record import RunError
from l2o_engine.support.errors import UserError
from l2o_tui.commands.drive import FrontEnd, drive
from l2o_tui.commands.resume import go_on


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
    if resumes and run_dir is None:
        raise UserError("--resume-or-start needs --run-dir: the folder in which the run is found again")
    given = {name: value for name, value in options.items() if value is not None}
    path = find(preset)
    asked = load(path, settings, given)
    if resumes and run_dir is not None and holds_run(run_dir):
        return _go_on(asked, run_dir, options, front_end)
    admit(asked)  # what cannot be had is an error before anything is made
    return drive(DrivenRun.create(asked, run_dir or new_folder(runs_dir, asked), about, _origin(path)), front_end)


def _origin(path: Path) -> Preset | None:
    """Return the preset in a file, as it is without settings; None for one that they complete, or a shipped one."""
    try:
        origin = load(path)
    except UserError:
        return None
    return None if origin.name in shipped_names() else origin


def _go_on(asked: Preset, folder: Path, options: Mapping[str, object], front_end: FrontEnd) -> int:
    """Go on with the run in a folder: the one that was asked for, or nothing. A total beyond its own is its new one."""
    notices = mend_record(folder)
    found = Run(folder)
    there = found.preset()
    if other := differing(resumed_settings(there), resumed_settings(asked)):
        raise RunError(
            f"{folder} holds another run than what is asked for: {in_words(other)}. Give the settings that it was "
            "started with, or choose another folder"
        )
    total = asked.run.iterations
    return go_on(
        found,
        iterations=total if total > there.run.iterations else None,
        backend=_given(options, "backend"),
        device=_given(options, "device"),
        notices=notices,
        shows_finished=False,
        front_end=front_end,
    )


def _given(options: Mapping[str, object], name: str) -> str | None:
    value = options[name]
    return None if value is None else str(value)
