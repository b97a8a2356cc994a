"""Driving a run to its end with the front end that was asked for: what ``run`` and ``resume`` share."""

import sys
from dataclasses import dataclass

from l2o_engine.runs.driven import DrivenRun
from l2o_engine.support.memory import give_back_large_arrays
from l2o_tui.commands.screen import SWITCH_SECONDS, has_terminal, open_driven
from l2o_tui.text.streams import say


@dataclass(frozen=True)
class FrontEnd:
    """How a run is shown and how often it is looked after.

    Attributes
    ----------
    no_ui, json, quiet
        What is printed in place of a screen: a table, an object a line, only the run's folder. None of them, and there
        is a screen, or the table where there is no terminal.
    chunk
        Meta-iterations between two looks at the keys; None for what suits the run.
    on_hangup
        What becomes of the run when a screen's terminal is gone: "detach" or "checkpoint".
    fps
        How often a screen is drawn a second, at most.
    """

    no_ui: bool
    json: bool
    quiet: bool
    chunk: int | None
    on_hangup: str
    fps: float

    @property
    def wants_screen(self) -> bool:
        """Whether a screen is what was asked for."""
        return not (self.no_ui or self.json or self.quiet)

    @property
    def has_screen(self) -> bool:
        """Whether there will be one."""
        return self.wants_screen and has_terminal()


def drive(
    run: DrivenRun,
    front_end: FrontEnd,
    *,
    backend: str | None = None,
    device: str | None = None,
    start_paused: bool = False,
) -> int:
    """Drive a run to its end.

    Parameters
    ----------
    run
        The run; it is closed at the end.
    front_end
        Shows it.
    backend, device
        What computes, and where; the preset's choice, if None.
    start_paused
        Wait to be told to go on, as a paused run does that is handed to a background process; only without a screen.

    Returns
    -------
    int
        The exit code, see :mod:`l2o_tui.exit_codes`.

    Raises
    ------
    Failure
        If training failed, or stdout could not be written to.
    """
    give_back_large_arrays()
    if front_end.has_screen:
        return open_driven(
            run,
            chunk=front_end.chunk,
            backend=backend,
            device=device,
            on_hangup=front_end.on_hangup,
            fps=front_end.fps,
        )
    if front_end.wants_screen:
        say("l2o-tui: no terminal here, so no screen (as with --no-ui)")
    from l2o_engine.live.session import Session
    from l2o_tui.text.headless import run_headless

    sys.setswitchinterval(SWITCH_SECONDS)
    session = Session(run, chunk=front_end.chunk, backend=backend, device=device, start_paused=start_paused)
    return run_headless(session, run.current, as_json_lines=front_end.json, quiet=front_end.quiet)
