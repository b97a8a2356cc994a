"""The comparison of runs: their convergence in one chart, their figures in a table, beside the baselines."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import VerticalScroll
from textual.content import Content

from l2o_engine.runs.folder import Run
from l2o_engine.studies.comparison import Group, NamedLevel, baseline_levels, compare
from l2o_engine.studies.held_out import HeldOut, held_out_of
from l2o_tui.charts.comparison import marks_of
from l2o_tui.charts.terminal import is_plain
from l2o_tui.charts.widget import ComparisonChart
from l2o_tui.panes.footer import KeyFooter
from l2o_tui.panes.plain import PlainText
from l2o_tui.screens.keyed import ChartScreen
from l2o_tui.state import keys
from l2o_tui.state.workers import in_background
from l2o_tui.text.comparison import ORDERS, figures_table, notes_on, sorted_by
from l2o_tui.text.names import wrapped

if TYPE_CHECKING:
    from l2o_engine.runs.record import RunError

_MARGINS = 3  # columns beside the table: its padding, and its scroll bar
_SHOWN = ((True, True), (True, False), (False, True))  # chart and table


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
        self._order = ORDERS[0]
        self._shown = 0  # of _SHOWN

    @property
    def phase(self) -> str:
        """There is but one."""
        return keys.FINISHED

    @property
    def there(self) -> frozenset[str]:
        """What there is of all that keys may need."""
        groups = self._compared[0] if self._compared else ()
        return frozenset({keys.REPLICATES} if any(len(group.replicates) > 1 for group in groups) else ())

    def compose(self) -> ComposeResult:
        """Lay out chart and table."""
        yield ComparisonChart(id="comparison")
        with VerticalScroll(id="figures", can_focus=False):
            yield PlainText("reading the runs …", id="figures-text")
        yield KeyFooter()

    def on_mount(self) -> None:
        """Start reading; there are no axes before there is something to draw."""
        self.chart.display = False
        in_background(self, self._read, self._show, failed=self.query_one(PlainText).update)

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
        self.refresh_bindings()
        in_background(self, lambda: _judged(groups), self._show_judged)  # which may have to load PyTorch

    def _show_judged(self, judged: tuple[HeldOut, Sequence[str]]) -> None:
        held_out, notes = judged
        if self._compared:
            groups, levels, _ = self._compared
            self._compared, self._notes = (groups, levels, held_out), [*self._failed, *notes]
            self._show_figures()

    def _show_figures(self) -> None:
        if self._compared:
            groups, levels, held_out = self._compared
            marks = marks_of(groups, levels, plain=is_plain())
            rows, width = sorted_by(groups, self._order, held_out), self.size.width - _MARGINS
            lines = figures_table(rows, levels, held_out, width=width, marks=marks)
            said = [*([f"sorted by {self._order}"] if self._order else []), *self._notes]
            notes = [line for note in said for line in wrapped(f"i {note}", width)]
            self.query_one(PlainText).update("\n".join([*lines, *notes]))

    def on_resize(self) -> None:
        """Fold the table as the width asks for."""
        self._show_figures()

    @property
    def chart(self) -> ComparisonChart:
        """The one chart."""
        return self.query_one(ComparisonChart)

    @property
    def given_name(self) -> str:
        """The same for all comparisons."""
        return "comparison"

    def action_scale(self) -> None:
        """Change between logarithmic and linear."""
        self.chart.logarithmic = not self.chart.logarithmic

    def action_change_window(self, by: int) -> None:
        """Average over more results, or fewer."""
        self.chart.change_window(by)

    def action_each_seed(self) -> None:
        """Show each replicate, or their median."""
        self.chart.each_seed = not self.chart.each_seed

    def action_sort(self) -> None:
        """Sort the table by the next figure that there is."""
        if self._compared:
            orders = [order for order in ORDERS if order != "held out" or self._compared[2].reached]
            place = orders.index(self._order) if self._order in orders else 0
            self._order = orders[(place + 1) % len(orders)]
            self._show_figures()

    def action_scroll(self, by: int) -> None:
        """Scroll the table by a line."""
        self.query_one("#figures").scroll_relative(y=by, animate=False)

    def action_maximise(self) -> None:
        """Show the chart alone, then the table alone, then both again."""
        if self._compared:
            self._shown = (self._shown + 1) % len(_SHOWN)
            self.chart.display, self.query_one("#figures").display = _SHOWN[self._shown]
            self.set_class(not self.chart.display, "table-alone")

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
