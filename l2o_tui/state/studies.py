"""Studies that a screen begins, or goes on with: in a process of their own, which outlives the screen."""

from pathlib import Path

from l2o_engine.live.background import hand_over
from l2o_engine.studies.sweep import Study, Sweep, read_state
from l2o_engine.support.processes import python_command
from l2o_engine.support.user_code import allowed_folders


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
