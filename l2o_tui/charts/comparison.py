"""The chart of several experiments, as a widget."""

from collections.abc import Mapping, Sequence

from l2o_tui.charts.canvas import Canvas
from l2o_tui.charts.drawing import MOST_BANDS, Series, paint_convergence
from l2o_tui.charts.widget import Chart


class ComparisonChart(Chart):
    """The rolling log-average of each experiment, and the baselines' levels."""

    def __init__(self, *, id: str) -> None:  # noqa: A002 (textual's name)
        super().__init__(id=id)
        self._series: Sequence[Series] = ()
        self._levels: Mapping[str, float] = {}
        self.border_title = "end loss over the meta-iterations"

    def show(self, series: Sequence[Series], levels: Mapping[str, float]) -> None:
        """Draw these, and these levels as lines across."""
        self._series, self._levels = series, levels
        self.redraw()

    def paint(self, canvas: Canvas) -> None:
        """Draw the bands, the levels and the lines."""
        paint_convergence(canvas, self._series, self._levels)

    def caption(self) -> str:
        """Say what lines and bands are."""
        bands = "raw results" if len(self._series) == 1 else "quartiles" if len(self._series) <= MOST_BANDS else ""
        return f"line: median over the seeds{f' · band: {bands}' if bands else ''}"
