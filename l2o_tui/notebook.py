"""What watches a training from a notebook or a script: a picture that is drawn while it goes on.

    from l2o_tui.notebook import LivePlot
    l2o_engine.train("log30", watch=LivePlot())

The figures are those of the screen, and matplotlib draws them, as it draws into files.
"""

import sys
from math import isfinite
from pathlib import Path
from time import monotonic
from typing import Any, Protocol

from l2o_engine.live.observer import Observer
from l2o_engine.presets.labels import level_label
from l2o_engine.presets.schema import Preset
from l2o_engine.records.events import Curves, Ended, Event, NewRows, Started
from l2o_tui.charts.base_losses import base_losses
from l2o_tui.charts.convergence import convergence, lane_series
from l2o_tui.charts.figure import Figure
from l2o_tui.charts.matplotlib import Panels, Window, check_matplotlib, check_picture, image_of, write_panels
from l2o_tui.charts.styles import optimizer_styles
from l2o_tui.state.feed import Feed, View
from l2o_tui.text.numbers import count

_SHARE = 0.05  # of the time that drawing may take, at most


class LivePlot(Observer):
    """Draws the end loss over the meta-iterations, and the losses over the base steps, while a run is trained.

    In a notebook the picture stands below the cell, in a script in a window of matplotlib's; or it is a file that is
    replaced again and again. It is drawn in the thread that called ``train``, while others train. What was drawn last
    stays.

    Parameters
    ----------
    path
        The file to draw into, .svg, .png or .pdf; a notebook's cell, or a window, if not given.
    seconds
        Before the first picture and between two, at least; and so that drawing takes a twentieth of the time at most.

    Raises
    ------
    PictureError
        If matplotlib is missing, the file's name or folder will not do, or there is no file, notebook or window to
        draw in. It is a UserError.

    Attributes
    ----------
    drawn
        How many pictures there were.
    drawing_seconds
        How long they took.
    """

    def __init__(self, path: str | Path | None = None, *, seconds: float = 2.0) -> None:
        check_matplotlib()
        self.drawn = 0
        self.drawing_seconds = 0.0
        self._path = None if path is None else Path(path)
        self._canvas = self._new_canvas()  # which is refused now, if at all
        self._seconds = seconds
        self._due = 0.0
        self._is_fresh = False  # whether there is something that was not drawn yet
        self._preset: Preset | None = None
        self._feed: Feed | None = None

    @property
    def wants_curves(self) -> bool:
        """It does: the right picture is of them."""
        return True

    def begin(self, preset: Preset) -> None:
        """Begin a new picture, of a run of this preset: below the cell that trains it."""
        self._canvas = self._new_canvas()
        self._preset, self._feed = preset, Feed(preset)
        self._due, self._is_fresh = 0.0, False

    def tell(self, event: Event) -> None:
        """Take in what happens, and draw if it is time."""
        if self._feed is None:
            return
        self._feed.publish(event)
        if isinstance(event, Started):  # of which the first loads fonts: a run that is over by then is drawn once
            self._due = monotonic() + self._seconds
        self._is_fresh = self._is_fresh or isinstance(event, NewRows | Curves | Ended)
        if self._is_fresh and monotonic() >= self._due:
            self._draw()

    def end(self) -> None:
        """Draw what came last."""
        if self._is_fresh:
            self._draw()

    def _new_canvas(self) -> "_Canvas":
        if self._path is not None:
            return _File(self._path)
        return _Cell() if _in_notebook() else Window()

    def panels(self) -> Panels:
        """Return what is drawn: the convergence and, once there are some, the base losses beside it."""
        if self._preset is None or self._feed is None:
            return []
        view = self._feed.view()
        row = [("end loss", _convergence(self._preset, self._feed, view))]
        if view.curves is not None:
            row.append(("loss", _base_losses(view.curves)))
        return [row]

    def _draw(self) -> None:
        began = monotonic()
        self._canvas.show(self.panels())
        self._is_fresh = False
        took = monotonic() - began
        self._due = began + max(self._seconds, took / _SHARE if self.drawn else 0)  # the first one loads fonts
        self.drawn += 1
        self.drawing_seconds += took


def _convergence(preset: Preset, feed: Feed, view: View) -> Figure:
    lanes, levels = feed.convergence(), view.levels if preset.learns else {}
    styles = optimizer_styles([*(lane.optimizer for lane, _ in lanes), *levels])
    window = preset.report.rolling_window
    where = f"{view.phase} at {count(max(view.iteration, 0))} of {count(view.iterations)}"
    rate = f", {count(round(view.rate))}/s" if isfinite(view.rate) else ""
    return convergence(
        lane_series(lanes, styles, window),
        {level_label(name, is_tuned=name in preset.tuned): (styles[name], level) for name, level in levels.items()},
        right=view.iterations,
        caption=f"line: mean of {count(window)}",
        title=f"{preset.name}: {where}{rate}",
    )


def _base_losses(curves: Curves) -> Figure:
    return base_losses(
        curves.losses,
        held_out=curves.held_out,
        looks=curves.looks,
        caption=f"draw {curves.draw + 1}",
        title=f"one problem, network at {count(max(curves.iteration, 0))}",
    )


class _Canvas(Protocol):
    """Where a picture is shown."""

    def show(self, panels: Panels) -> None:
        """Show this picture in place of the one before."""


class _File:
    """A file that each picture replaces."""

    def __init__(self, path: Path) -> None:
        check_picture(path)
        self._path = path

    def show(self, panels: Panels) -> None:
        write_panels(panels, self._path)


class _Cell:
    """The output of a notebook's cell."""

    def __init__(self) -> None:
        self._handle: Any = None

    def show(self, panels: Panels) -> None:
        from IPython.display import Image, display

        image = Image(data=image_of(panels), format="png")
        if self._handle is None:
            self._handle = display(image, display_id=True)
        else:
            self._handle.update(image)


def _in_notebook() -> bool:
    """Return whether we run in a kernel of Jupyter's, which shows pictures, and not in a terminal."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    return shell is not None and hasattr(shell, "kernel")
