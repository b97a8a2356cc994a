"""The screen's charts. What cannot be drawn (NaN, infinity) is said below a chart, never dropped in silence."""

from collections.abc import Sequence

import numpy as np
from textual.app import RenderResult
from textual.color import Color
from textual_plotext import PlotextPlot

from l2o_engine.events import Curves
from l2o_engine.history import Curve
from l2o_engine.trainer import LEARNED, Lane
from l2o_tui.charts.drawing import MOST_BANDS, Canvas, Palette, Rgb, Series, paint_convergence, paint_losses

# Which of the theme's colours a series has: the network's first, then the baselines'.
_SERIES = ("primary", "warning", "success", "error", "accent", "secondary")


class Chart(PlotextPlot):
    """A chart that is painted when it is rendered, for the width that it then has."""

    can_focus = False

    def __init__(self, *, id: str) -> None:  # noqa: A002 (textual's name)
        super().__init__(id=id)
        self._logarithmic = True

    @property
    def logarithmic(self) -> bool:
        """Whether losses are drawn by their logarithm."""
        return self._logarithmic

    @logarithmic.setter
    def logarithmic(self, value: bool) -> None:
        self._logarithmic = value
        self.refresh()

    def render(self) -> RenderResult:
        """Paint and render."""
        if self.size.width < 16 or self.size.height < 5:
            return ""
        self.plt.clear_figure()
        width, height = self.size
        self.paint(Canvas(self.plt, width, height, logarithmic=self.logarithmic, palette=self._palette()))
        return super().render()

    def paint(self, canvas: Canvas) -> None:
        """Draw the data."""
        raise NotImplementedError

    def _palette(self) -> Palette:
        background = Color(*self._themed("surface"))
        colours = [self._themed(name) for name in _SERIES]
        return Palette(colours, [background.blend(Color(*colour), 0.3).rgb for colour in colours], background.rgb)

    def _themed(self, variable: str) -> Rgb:
        return Color.parse(self.app.theme_variables[variable]).rgb


class BaseChart(Chart):
    """The losses of every optimizer over the base steps of one problem."""

    def __init__(self, *, id: str) -> None:  # noqa: A002 (textual's name)
        super().__init__(id=id)
        self._curves: Curves | None = None
        self.border_title = "base losses over the steps of one problem"

    def show(self, curves: Curves | None) -> None:
        """Draw these curves."""
        if curves is None or curves is self._curves:
            return
        self._curves = curves
        losses = np.concatenate(list(curves.losses.values()))
        left_out, zeros = int((~np.isfinite(losses)).sum()), int((losses == 0).sum())
        self.border_subtitle = _said(f"draw {curves.draw + 1}", left_out, zeros)
        self.refresh()

    def paint(self, canvas: Canvas) -> None:
        """Draw each optimizer's losses."""
        if self._curves is not None:
            paint_losses(canvas, self._curves.losses)


class ConvergenceChart(Chart):
    """The end loss over the meta-iterations: raw band, rolling log-average, and the baselines' levels."""

    def __init__(self, *, window: int, id: str) -> None:  # noqa: A002 (textual's name)
        super().__init__(id=id)
        self._window = window
        self._lanes: Sequence[tuple[Lane, Curve]] = ()
        self._levels: dict[str, float] = {}
        self.border_title = "end loss over the meta-iterations"

    def show(self, lanes: Sequence[tuple[Lane, Curve]], levels: dict[str, float]) -> None:
        """Draw these lanes, and these levels as lines across."""
        self._lanes, self._levels = lanes, levels
        left_out, zeros = sum(curve.non_finite for _, curve in lanes), sum(curve.zeros for _, curve in lanes)
        raw = "band: raw" if len(lanes) <= MOST_BANDS else f"raw of {len(lanes)} runs not drawn"
        self.border_subtitle = _said(f"line: mean of {self._window}, {raw}", left_out, zeros)
        self.refresh()

    def paint(self, canvas: Canvas) -> None:
        """Draw the lanes and the levels; more than one lane are labelled."""
        several = len(self._lanes) > 1
        series = [Series(_name(lane) if several else "", curve) for lane, curve in self._lanes]
        paint_convergence(canvas, series, self._levels)


def _name(lane: Lane) -> str:
    return lane.optimizer if lane.optimizer != LEARNED else f"seed {lane.seed}"


def _said(what: str, non_finite: int, zeros: int) -> str:
    said = [f"{non_finite:,} not finite, left out"] if non_finite else []
    said += [f"{zeros:,} zero, at 1e-38"] if zeros else []
    return " · ".join([*said, what])
