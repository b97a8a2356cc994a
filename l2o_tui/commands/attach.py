"""``l2o-tui attach``: watch and steer a run that another process drives, or a study."""

from pathlib import Path

from l2o_engine.runs.catalogue import find_run, find_study
from l2o_engine.runs.record import RunError
from l2o_tui.commands.screen import has_terminal, open_study, open_watched
from l2o_tui.text.commands import proposed


def attach_run(name: str, *, runs_dir: Path, fps: float) -> int:
    """Show a run that another process drives, or a study; return the exit code.

    Raises
    ------
    RunError
        If there is no such run, or no terminal to show it on.
    """
    if (study := find_study(name, runs_dir)) is not None:
        _need_terminal(proposed("runs", "--all"))
        return open_study(study, runs_dir=runs_dir, fps=fps)
    run = find_run(name, runs_dir)
    _need_terminal(proposed("show", name))
    return open_watched(run, runs_dir=runs_dir, fps=fps)


def _need_terminal(without: str) -> None:
    if not has_terminal():
        raise RunError(f"attach needs a terminal; without one: {without}")
