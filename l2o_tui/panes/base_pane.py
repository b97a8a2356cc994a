"""The base losses of the network as it is now, beside the other optimizers'."""

from textual.content import Content

from l2o_engine.records.events import Curves
from l2o_engine.support.wording import shown
from l2o_tui.charts.widget import BaseChart
from l2o_tui.panes.pane import Pane
from l2o_tui.state.feed import View

_TITLE = "base losses"


class BasePane(BaseChart, Pane):
    """Draws the newest losses; of replicates, it says whose they are.

    Parameters
    ----------
    has_replicates
        Whether the run has several seeds.
    """

    def __init__(self, *, has_replicates: bool, id: str) -> None:  # noqa: A002 (textual's name)
        super().__init__(id=id)
        self._has_replicates = has_replicates
        self._is_others = False  # whether another problem's losses are drawn

    def show_view(self, view: View) -> None:
        """Draw the losses that were told last, unless another problem's are shown."""
        if not self._is_others:
            self._draw(view.curves)

    def show_other(self, curves: Curves, name: str) -> None:
        """Draw losses on another preset's problem."""
        self._is_others = True
        self.border_title = Content(shown(f"{_TITLE}: {name}"))
        self._draw(curves)

    def show_own(self) -> None:
        """Draw losses on the run's own problem again."""
        self._is_others = False
        self.border_title = _TITLE
        self.show_view(self.view)

    def _draw(self, curves: Curves | None) -> None:
        self.show(curves, seed=curves.seed if curves and self._has_replicates else None)
