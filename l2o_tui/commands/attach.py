"""``l2o-tui attach``: watch and steer a run that another process drives."""

from pathlib import Path

from l2o_engine.runs.catalogue import find_run
from l2o_engine.runs.record import RunError
from l2o_tui.commands.screen import has_terminal, open_watched
from l2o_tui.text.commands import proposed


def attach_run(name: str, *, runs_dir: Path, fps: float) -> int:
    """Show a run that another process drives; return the exit code.

    Raises
    ------
    RunError
        If there is no such run, or no terminal to show it on.
    """
    found = find_run(name, runs_dir)
    if not has_terminal():
        raise RunError(f"attach needs a terminal; without one: {proposed('show', name)}")
    return open_watched(found, runs_dir=runs_dir, fps=fps)
