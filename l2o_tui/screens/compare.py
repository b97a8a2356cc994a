"""The comparison of runs: their convergence in one chart, their figures in a table, beside the baselines."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content

from l2o_engine.runs.folder import Run
from l2o_engine.studies.comparison import Group, NamedLevel, baseline_levels, compare
from l2o_engine.studies.held_out import HeldOut, held_out_of
from l2o_tui.charts.widget import Chart, ComparisonChart
from l2o_tui.panes.footer import KeyFooter
from l2o_tui.panes.plain import PlainText
from l2o_tui.screens.keyed import ChartScreen
from l2o_tui.state import keys
from l2o_tui.state.workers import in_background
from l2o_tui.text.comparison import figures_table, notes_on
from l2o_tui.text.names import wrapped

if TYPE_CHECKING:
    from l2o_engine.runs.record import RunError

_MARGINS = 3  # columns beside the table: its padding, and its scroll bar


class CompareScreen(ChartScreen[None]):
    """Reads the runs in a thread, then shows them.

    Parameters
    ----------
    runs
        The runs; replicates of one experiment become one line.
    """

    WHERE = keys.COMPARE
    READING = Content.from_markup(
        "[b]The chart[/b]  The rolling log-average of the last loss; of several seeds, the median with its quartiles.\n"
        "[b]The table[/b]  final: median over the seeds of the mean log10 of the last loss; Σ losses: the mean sum "
        "over all steps, which cannot be below the first loss: an optimizer that jumps about has a high one. took off: "
        "how many seeds learned at all."
    )
    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings(keys.COMPARE)]

    def __init__(self, runs: Sequence[Run]) -> None:
        super().__init__()
        self._runs = runs
        self._compared: tuple[Sequence[Group], Sequence[NamedLevel], HeldOut] | None = None
        self._notes: Sequence[str] = ()
        self._failed: Sequence[str] = ()  # of runs that could not be read

    @property
    def phase(self) -> str:
        """There is but one."""
        return keys.FINISHED

    def compose(self) -> ComposeResult:
        """Lay out chart and table."""
        yield ComparisonChart(id="comparison")
        yield PlainText("reading the runs …", id="figures")
        yield KeyFooter()

    def on_mount(self) -> None:
        """Start reading; there are no axes before there is something to draw."""
        self.chart.display = False
        in_background(self, self._read, self._show, failed=self.query_one("#figures", PlainText).update)

    def _read(self) -> tuple[Sequence[Group], Sequence[NamedLevel], Sequence[str]]:
        failed: list[RunError] = []
        groups = compare(self._runs, failed.append)
        return groups, baseline_levels(groups), [str(error) for error in failed]

    def _show(self, read: tuple[Sequence[Group], Sequence[NamedLevel], Sequence[str]]) -> None:
        groups, levels, self._failed = read
        chart = self.query_one(ComparisonChart)
        chart.display = True
        chart.show(groups, levels)
        self._compared, self._notes = (groups, levels, HeldOut()), [*self._failed, "judging on held-out draws …"]
        self._show_figures()
        in_background(self, lambda: _judged(groups), self._show_judged)  # which may have to load PyTorch

    def _show_judged(self, judged: tuple[HeldOut, Sequence[str]]) -> None:
        held_out, notes = judged
        if self._compared:
            groups, levels, _ = self._compared
            self._compared, self._notes = (groups, levels, held_out), [*self._failed, *notes]
            self._show_figures()

    def _show_figures(self) -> None:
        if self._compared:
            lines = figures_table(*self._compared, width=self.size.width - _MARGINS)
            notes = [line for note in self._notes for line in wrapped(f"i {note}", self.size.width - _MARGINS)]
            self.query_one("#figures", PlainText).update("\n".join([*lines, *notes]))

    def on_resize(self) -> None:
        """Fold the table as the width asks for."""
        self._show_figures()

    @property
    def chart(self) -> Chart:
        """The one chart."""
        return self.query_one(ComparisonChart)

    @property
    def given_name(self) -> str:
        """The same for all comparisons."""
        return "comparison"

    def action_scale(self) -> None:
        """Change between logarithmic and linear."""
        self.chart.logarithmic = not self.chart.logarithmic

    def action_back(self) -> None:
        """Take the cursor away; without one, go back."""
        if self.chart.cursor is None:
            self.dismiss(None)
        else:
            self.chart.hide_cursor()

    async def action_leave(self) -> None:
        """Go back."""
        self.dismiss(None)


def _judged(groups: Sequence[Group]) -> tuple[HeldOut, Sequence[str]]:
    """Return what the networks reach on held-out draws, and all that must be known of the groups' figures."""
    held_out = held_out_of(replicate.run for group in groups for replicate in group.replicates)
    return held_out, notes_on(groups, held_out)
