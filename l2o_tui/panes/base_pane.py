"""The base losses of the network as it is now, beside the other optimizers'."""

from l2o_tui.charts.widget import BaseChart
from l2o_tui.panes.pane import Pane
from l2o_tui.state.feed import View


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

    def show_view(self, view: View) -> None:
        """Draw the losses that were told last."""
        self.show(view.curves, seed=view.curves.seed if view.curves and self._has_replicates else None)
