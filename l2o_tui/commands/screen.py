"""Opening the screens: the one door from the commands to them, for their libraries are imported only here."""

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.folder import Run
from l2o_tui.text.streams import is_terminal

if TYPE_CHECKING:
    from l2o_tui.state.open_run import OpenRun

SWITCH_SECONDS = 0.0005
"""How long a training thread waits for the interpreter.

It needs it only for moments, between two chunks, and should not wait Python's 5 ms for each.
"""


def has_terminal() -> bool:
    """Return whether there is a terminal to show a screen on."""
    # textual paints on stderr, so that counts too.
    streams = (sys.stdin, sys.stdout, sys.stderr)
    return all(map(is_terminal, streams)) and os.environ.get("TERM", "dumb") != "dumb"


def open_home(*, runs_dir: Path, on_hangup: str, fps: float) -> int:
    """Show the home screen; return the exit code."""
    return _show(None, runs_dir=runs_dir, on_hangup=on_hangup, fps=fps)


def open_served(*, runs_dir: Path, fps: float) -> int:
    """Show the home screen to a browser, which textual's driver for that talks to; return the exit code."""
    from l2o_tui.app import run_app

    return run_app(None, runs_dir=runs_dir, on_hangup="checkpoint", fps=fps, is_served=True)


def open_watched(run: Run, *, runs_dir: Path, fps: float) -> int:
    """Show a run that another process drives, or none; return the exit code."""
    from l2o_tui.state.open_run import OpenRun

    return _show(OpenRun.watching(run), runs_dir=runs_dir, on_hangup="detach", fps=fps)


def open_study(folder: Path, *, runs_dir: Path, fps: float) -> int:
    """Show a study, whoever works on it; return the exit code."""
    return _show(None, study=folder, runs_dir=runs_dir, on_hangup="detach", fps=fps)


def open_driven(
    run: DrivenRun, *, chunk: int | None, backend: str | None, device: str | None, on_hangup: str, fps: float
) -> int:
    """Drive a run and show it; return the exit code."""
    from l2o_tui.state.open_run import OpenRun

    opened = OpenRun.driving(run, chunk=chunk, backend=backend, device=device)
    return _show(opened, runs_dir=run.folder.parent, on_hangup=on_hangup, fps=fps)


def _show(opened: "OpenRun | None", *, study: Path | None = None, runs_dir: Path, on_hangup: str, fps: float) -> int:
    # The terminal's size counts, and changes: what a shell has exported of another one would be taken for it for good.
    for name in ("COLUMNS", "LINES"):
        os.environ.pop(name, None)
    from l2o_tui.app import run_app

    sys.setswitchinterval(SWITCH_SECONDS)
    return run_app(opened, study=study, runs_dir=runs_dir, on_hangup=on_hangup, fps=fps)
