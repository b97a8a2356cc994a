"""The convergence of the run, as far as it has come."""

from l2o_tui.charts.widget import ConvergenceChart
from l2o_tui.panes.pane import Pane
from l2o_tui.state import keys
from l2o_tui.state.feed import View
from l2o_tui.state.open_run import OpenRun


class ConvergencePane(ConvergenceChart, Pane):
    """Draws the run's results when there are new ones."""

    def __init__(self, opened: OpenRun, *, id: str) -> None:  # noqa: A002 (textual's name)
        preset = opened.preset
        super().__init__(
            window=preset.report.rolling_window,
            notebook=preset.published_rows,
            tuned=preset.tuned,
            in_truncations=preset.learns and not preset.experiment.truncation.is_whole,
            id=id,
        )
        self._feed = opened.feed
        self._has_levels = preset.learns  # what else is trained is a level itself
        self._drawn = (0, 0)

    def show_view(self, view: View) -> None:
        """Draw, if there are new rows, or another number of them is to come."""
        right = view.iteration if view.phase == keys.DIVERGED else view.iterations  # of what will never come no room
        if view.lanes and (view.rows_seen, right) != self._drawn:
            self._drawn = (view.rows_seen, right)
            self.show(self._feed.convergence(), dict(view.levels) if self._has_levels else {}, right)
