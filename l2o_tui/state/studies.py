"""Studies that a screen begins, or goes on with: in a process of their own, which outlives the screen."""

from dataclasses import replace
from itertools import count
from pathlib import Path

from l2o_engine.live.background import hand_over
from l2o_engine.presets.messages import PresetError
from l2o_engine.studies.sweep import Study, Sweep, SweepError, read_state, read_study
from l2o_engine.support.processes import python_command
from l2o_engine.support.user_code import allowed_folders

_LONGEST_NAME = 60  # characters of a study's name that get a number


def of_its_own(study: Study, runs_dir: Path) -> Study:
    """Return a study under a name that no other has: with a number behind it where the folder holds something else."""
    for number in count(1):
        name = study.name if number == 1 else f"{study.name[:_LONGEST_NAME].rstrip('-.')}-{number}"
        named = replace(study, name=name)
        if not (runs_dir / name).exists() or _is_the_same(named, runs_dir / name):
            return named
    raise AssertionError("a name is always free")


def _is_the_same(study: Study, folder: Path) -> bool:
    """Return whether a folder holds this study, which then goes on."""
    try:
        return read_study(folder, follows=False).to_toml() == study.to_toml()
    except (SweepError, PresetError):  # whatever it holds
        return False


def begin_study(study: Study, runs_dir: Path) -> Path:
    """Check a study, write what it is into its folder, let a process of its own train it, and return the folder.

    Raises
    ------
    UserError
        If the study cannot be begun; nothing was started.
    HandOverError
        If the process could not be started.
    """
    sweep = Sweep(study, runs_dir=runs_dir)
    sweep.begin()
    sweep.close(status="interrupted")
    go_on_in_background(sweep.folder)
    return sweep.folder


def go_on_in_background(folder: Path) -> int:
    """Let a process of its own go on with a study, and return its id once it does.

    Raises
    ------
    HandOverError
        If it could not be started, or ended at once.
    """
    permissions = [word for allowed in allowed_folders() for word in ("--allow-code", str(allowed))]
    command = python_command("l2o_tui", "sweep", str(folder.absolute()), *permissions)
    return hand_over(folder, command, goes_on=lambda pid: _is_driven_by(folder, pid))


def _is_driven_by(folder: Path, pid: int) -> bool:
    state = read_state(folder)
    return state is not None and state.pid == pid and state.status == "running"
