"""The training screen: two charts, the progress table, the status lines. It reads a feed and fills a mailbox."""

from time import monotonic
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.events import Resize
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Footer, Static

from l2o_engine.events import Extend, GoOn, NewDraw, Pause, SaveCheckpoint
from l2o_engine.preset import Preset
from l2o_engine.session import Mailbox
from l2o_tui import keys
from l2o_tui.charts.widgets import BaseChart, Chart, ConvergenceChart
from l2o_tui.feed import Feed, View
from l2o_tui.screens.dialogs import ExtendDialog, FailureScreen, HelpScreen
from l2o_tui.widgets.health_pane import HealthPane
from l2o_tui.widgets.progress_pane import ProgressPane
from l2o_tui.widgets.status import StatusLines

LOOK_SECONDS = 0.1  # how soon a change of state is seen
DRAW_SECONDS = 0.5  # how often numbers and charts are drawn at most
WIDE = (100, 30)  # from this size on, all panes are shown at once
SMALLEST = (60, 16)


class TrainingScreen(Screen[None]):
    """The live view of one session.

    Parameters
    ----------
    preset
        The run's preset.
    feed
        What the session says.
    mailbox
        What it is told.
    """

    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings()]

    def __init__(self, preset: Preset, feed: Feed, mailbox: Mailbox) -> None:
        super().__init__()
        self._preset = preset
        self._feed = feed
        self._mailbox = mailbox
        self._seen: View | None = None
        self._drawn: View | None = None
        self._drawn_at = 0.0
        self._drawn_rows = -1
        self._drawn_progress = 0
        self._active = 0
        self._told_failure = False

    def compose(self) -> ComposeResult:
        """Lay out the panes."""
        yield StatusLines(self._preset, id="status")
        with Container(id="panes"):
            yield ConvergenceChart(window=self._preset.report.rolling_window, id="convergence")
            yield BaseChart(id="base")
            yield ProgressPane(self._preset, id="progress")
            if self._preset.kind == "meta-training":
                yield HealthPane(id="health")
        yield Static(
            f"This terminal is too small: l2o-tui needs {SMALLEST[0]}x{SMALLEST[1]} characters. The run goes on.",
            id="too-small",
        )
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Start looking."""
        self.title = self._preset.name
        self._mark_active()
        self.set_interval(LOOK_SECONDS, self.look)
        self.look()

    def on_resize(self, event: Resize) -> None:
        """Choose the layout that fits."""
        width, height = event.size
        self.set_class(width < WIDE[0] or height < WIDE[1], "narrow")
        self.set_class(width < SMALLEST[0] or height < SMALLEST[1], "tiny")
        self.call_after_refresh(self._draw_missed)

    @property
    def phase(self) -> str:
        """The session's phase, as last seen."""
        return self._seen.phase if self._seen else keys.LOADING

    def look(self) -> None:
        """Take the feed's view; draw what has changed: a new phase at once, the rest when it is due."""
        view = self._feed.view()
        is_new_phase = self._seen is None or view.phase != self._seen.phase
        self._seen = view
        if is_new_phase:
            self.refresh_bindings()
        if is_new_phase or (view != self._drawn and monotonic() - self._drawn_at >= DRAW_SECONDS):
            self._draw(view)
        for notice in self._feed.take_notices():
            self.notify(notice)
        if view.phase == keys.FAILED and not self._told_failure:
            self._told_failure = True
            self.app.push_screen(FailureScreen(view.message))

    def _draw(self, view: View) -> None:
        self._drawn, self._drawn_at = view, monotonic()
        self.query_one(StatusLines).show(view)
        self.query_one(BaseChart).show(view.curves)
        for health in self.query(HealthPane):
            health.show(view.diagnoses)
        if not view.lanes:
            return
        pane = self.query_one(ProgressPane)
        pane.start(view.lanes)
        if view.progress_seen != self._drawn_progress:
            pane.add(self._feed.progress_from(self._drawn_progress))
            self._drawn_progress = view.progress_seen
        chart = self.query_one(ConvergenceChart)
        if view.rows_seen != self._drawn_rows and chart.display:
            self._drawn_rows = view.rows_seen
            learned = self._preset.kind == "meta-training"
            chart.show(self._feed.convergence(), dict(view.levels) if learned else {})

    def _draw_missed(self) -> None:
        """Draw again, for a pane that comes into view has missed something."""
        self._drawn_rows = -1
        self._draw(self._feed.view())

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer only what applies now."""
        return keys.applies(action, self.phase)

    def action_pause(self) -> None:
        """Pause, after a checkpoint."""
        self._mailbox.put(Pause())

    def action_go_on(self) -> None:
        """Train again."""
        self._mailbox.put(GoOn())

    def action_checkpoint(self) -> None:
        """Save a checkpoint that is kept."""
        self._mailbox.put(SaveCheckpoint())

    def action_extend(self) -> None:
        """Ask for a new total."""

        def extend(total: int | None) -> None:
            if total is not None:
                self._mailbox.put(Extend(total))

        view = self._feed.view()
        self.app.push_screen(ExtendDialog(view.iteration, view.iterations + self._preset.run.iterations), extend)

    def action_new_draw(self) -> None:
        """Show another problem."""
        self._mailbox.put(NewDraw())

    def action_scale(self) -> None:
        """Change between logarithmic and linear."""
        for chart in self.query(Chart):
            chart.logarithmic = not chart.logarithmic

    def action_next_pane(self, by: int) -> None:
        """Go to another pane."""
        self._active = (self._active + by) % len(self._panes)
        self._mark_active()
        self._draw_missed()

    def action_help(self) -> None:
        """Show the help."""
        self.app.push_screen(HelpScreen())

    async def action_leave(self) -> None:
        """Leave, by way of the app, which knows how the session ends."""
        await self.app.run_action("leave")

    @property
    def _panes(self) -> list[Widget]:
        return list(self.query("#panes > *").results(Widget))

    def _mark_active(self) -> None:
        for index, pane in enumerate(self._panes):
            pane.set_class(index == self._active, "active")
        active = self._panes[self._active]
        if active.can_focus:
            active.focus()
        else:
            self.set_focus(None)
