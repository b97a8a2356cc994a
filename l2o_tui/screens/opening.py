"""What screens ask of the app: to open runs; and starting one from another, with edits."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from textual.screen import Screen

from l2o_engine.presets.labels import Settings
from l2o_engine.runs import origin
from l2o_engine.runs.folder import Run
from l2o_tui.screens.start import NewRun, StartDialog
from l2o_tui.state.workers import message_of


class Opener(Protocol):
    """What the screens ask of the app."""

    def start(self, wanted: NewRun, beside: Path, origin: Settings | None = None) -> None:
        """Start a new run and show it.

        Parameters
        ----------
        wanted
            The run.
        beside
            The folder that holds the weights that it begins with, if it does not draw them.
        origin
            What it is made of, see :mod:`l2o_engine.runs.origin`.
        """
        ...

    def resume(self, run: Run, iterations: int | None) -> None:
        """Go on with a run, to a new total if one is given, and show it."""
        ...

    def look(self, run: Run) -> None:
        """Show a run that another process drives, or none."""
        ...


def start_another(
    screen: Screen[Any], opener: Opener, run: Run, *, settings: Mapping[str, Any] | None = None, why: str = ""
) -> None:
    """Ask what is to be another than in a run, and start that.

    Parameters
    ----------
    screen
        Who asks.
    opener
        Starts it.
    run
        The run that there is.
    settings
        What is proposed to be changed, "table.key" → value.
    why
        Why it is.
    """
    path = run.folder / "preset.toml"

    def start(wanted: NewRun | None) -> None:
        if wanted is not None:
            opener.start(wanted, path.parent, origin.of_run(run))

    try:
        dialog = StartDialog(
            path, title=f"Start anew from {run.name}", about=why, settings=settings or {}, follows=False
        )
    except Exception as error:  # noqa: BLE001 (its preset.toml is damaged, in whatever way)
        screen.notify(message_of(error), severity="error")
        return
    screen.app.push_screen(dialog, start)
