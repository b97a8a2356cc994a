"""The training screen: two charts, the progress table, the status lines. It reads a feed and fills a mailbox."""

import os
from collections.abc import Mapping
from math import inf
from pathlib import Path
from time import monotonic
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.events import Click, Resize
from textual.widget import Widget
from textual.widgets import Footer, Static
from textual.worker import Worker, get_current_worker

from l2o_engine.records.curve import Curve
from l2o_engine.records.events import Command, Extend, GoOn, Pause, SaveCheckpoint, ShowDraws, Stop
from l2o_engine.runs.catalogue import list_runs
from l2o_engine.runs.folder import Run
from l2o_engine.studies.comparison import Replicate, summarise
from l2o_engine.support.errors import UserError
from l2o_tui.charts.widget import BaseChart, Chart, ConvergenceChart
from l2o_tui.panes.health_pane import HealthPane
from l2o_tui.panes.log_pane import LogPane
from l2o_tui.panes.progress_pane import ProgressPane
from l2o_tui.panes.status import StatusLines
from l2o_tui.screens.dialogs import ConfirmDialog, ExtendDialog, FailureScreen
from l2o_tui.screens.keyed import ChartScreen
from l2o_tui.state import keys
from l2o_tui.state.feed import View
from l2o_tui.state.open_run import OpenRun
from l2o_tui.state.preferences import Preferences

READING = (
    "[b]Convergence[/b]  The last loss of each meta-iteration. The faint band holds every raw result; the line is "
    "10 to the mean of log10 over the rolling window. The baselines' levels are labelled lines: below the line of "
    "RMSProp, the network has won. A click puts the cursor there, the wheel zooms.\n"
    "[b]Base losses[/b]  One problem, all optimizers on the same draw, the network as it is now.\n"
    "[b]Progress[/b]  A row a report: the notebook's columns, and its published rows beside ours. "
    "average_log_result (av_log) is the mean log10 of the last losses since the row before; av_sum is the mean over "
    "all steps, and to_date the notebook's mean of it since the start.\n"
    "[b]Health[/b]  What each look at the run measures, and what keeps it from learning, with a remedy: the "
    "meta-gradient's norm and how often it was clipped; the share of Adam's step that its ε swallows; an update's "
    "size against the distance to the optimum, and the distance left after the last; the network's inputs beyond "
    "±1, and gradients too small to be told from those of the other sign."
)
LOOK_SECONDS = 0.05  # how soon a change of state is seen
FPS = 2.0  # how often numbers and charts are drawn a second, at most
PAST_SECONDS = 1.0  # for which a watched run tells what happened before
MANY_DRAWS = 100
MOST_PINNED = 6  # runs beside this one: with the baselines' levels, more could not be told apart
SMALLEST = (60, 16)
SEVERAL = (100, 30)  # from this size on, several panes are shown at once
WIDE = (190, 45)  # from this size on, all of them


def resident_bytes() -> int:
    """Return how much memory this process takes, in bytes; 0 where the system does not say so as Linux does."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


def _replicate_name(replicate: Replicate) -> str:
    several = len(replicate.run.preset().seeds) > 1
    return f"{replicate.run.name}, seed {replicate.lane.seed}" if several else replicate.run.name


class TrainingScreen(ChartScreen[None]):
    """The live view of one run, driven here or watched.

    Parameters
    ----------
    opened
        The run.
    preferences
        How the user wants it shown.
    fps
        How often numbers and charts are drawn a second, at most.
    """

    WHERE = keys.TRAINING
    READING = READING
    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings(keys.TRAINING)]

    def __init__(self, opened: OpenRun, preferences: Preferences, *, fps: float = FPS) -> None:
        super().__init__()
        self.opened = opened
        self._preferences = preferences
        self._draw_seconds = 1 / fps
        self._preset = opened.preset
        self._feed = opened.feed
        self._seen: View | None = None
        self._drawn: View | None = None
        self._drawn_at = 0.0
        self._drawn_rows = (-1, 0)
        self._drawn_progress = 0
        self._drawn_log = 0
        self._drawn_start = 0
        self._active = 0
        self._is_maximised = False
        self._pinned: list[Path] = []  # the folders of the runs that are drawn beside this one
        self._passed_over: list[Path] = []  # of those that cannot be
        self._pinning: Worker[None] | None = None
        self._seed = opened.preset.seeds[0]
        self._shown = ShowDraws(0, 1, self._seed)
        self._started_at = inf
        self._told_failure: str | None = None

    def compose(self) -> ComposeResult:
        """Lay out the panes."""
        yield StatusLines(self._preset, id="status")
        with Container(id="panes"):
            notebook = self._preset.notebook.rows if self._preset.notebook else ()
            yield ConvergenceChart(window=self._preset.report.rolling_window, notebook=notebook, id="convergence")
            yield BaseChart(id="base")
            yield ProgressPane(self._preset, id="progress")
            if self._preset.kind == "meta-training":
                yield HealthPane(id="health")
            yield LogPane(id="log")
        yield Static(
            f"This terminal is too small: l2o-tui needs {SMALLEST[0]}x{SMALLEST[1]} characters. Nothing is lost.",
            id="too-small",
        )
        yield Footer(show_command_palette=False)

    def on_mount(self) -> None:
        """Start looking."""
        self.title = self._preset.name
        preferences = self._preferences.settings
        for chart in self.query(Chart):
            chart.logarithmic = preferences.logarithmic
        self._is_maximised = preferences.layout == "one"
        if preferences.window:
            self._convergence.window = preferences.window
        self._mark_active()
        self.set_interval(LOOK_SECONDS, self.look)
        self.look()

    def on_resize(self, event: Resize) -> None:
        """Choose the layout that fits."""
        width, height = event.size
        self.set_class(width < SMALLEST[0] or height < SMALLEST[1], "tiny")
        self.set_class(width >= WIDE[0] and height >= WIDE[1], "wide")
        self._choose_layout()
        self.call_after_refresh(self._draw_missed)

    def _choose_layout(self) -> None:
        width, height = self.size
        self.set_class(self._is_maximised or width < SEVERAL[0] or height < SEVERAL[1], "one")
        self._name_pane()

    @property
    def phase(self) -> str:
        """The run's phase, as last seen."""
        return self._seen.phase if self._seen else keys.LOADING

    @property
    def driver(self) -> str:
        """Whose run it is."""
        return self.opened.driver

    @property
    def has_replicates(self) -> bool:
        """Whether the run has several seeds."""
        return len(self._preset.seeds) > 1

    @property
    def there(self) -> frozenset[str]:
        """What there is of all that keys may need."""
        there = {keys.REPLICATES: self.has_replicates, keys.PINNED: bool(self._pinned)}
        return frozenset(name for name, is_there in there.items() if is_there)

    def look(self) -> None:
        """Take the feed's view; draw what has changed: a new phase at once, the rest when it is due."""
        if self not in self.app.screen_stack:  # the timer's last look may come when the screen is left
            return
        view = self._feed.view()
        is_new_phase = self._seen is None or view.phase != self._seen.phase
        self._seen = view
        if is_new_phase:
            self.refresh_bindings()
        if is_new_phase or (view != self._drawn and monotonic() - self._drawn_at >= self._draw_seconds):
            self._draw(view)
        self.query_one(ProgressPane).catch_up()
        if view.starts and (self._started_at == inf or view.is_reading):
            self._started_at = monotonic()
        is_past = self.driver == keys.WATCHED and monotonic() - self._started_at < PAST_SECONDS
        for notice in self._feed.take_notices():
            if not is_past:  # what a watched run said before we came is in the event log
                self.notify(notice)
        failure = view.message if view.phase == keys.FAILED else None
        if failure is not None and failure != self._told_failure:
            is_lost = self.driver == keys.WATCHED and view.failed_here
            title = "This run can no longer be read" if is_lost else "Training failed"
            self.app.push_screen(FailureScreen(title, view.message))
        self._told_failure = failure

    def _draw(self, view: View) -> None:
        self._drawn, self._drawn_at = view, monotonic()
        memory = resident_bytes() if self.driver == keys.OWN and view.phase == keys.RUNNING else 0
        self.query_one(StatusLines).show(view, memory=memory)
        seed = view.curves.seed if view.curves and self.has_replicates else None
        self.query_one(BaseChart).show(view.curves, seed=seed)
        for health in self.query(HealthPane):
            health.show(view.diagnoses)
        if view.log_seen != self._drawn_log:
            self.query_one(LogPane).add(self._feed.log_between(self._drawn_log, view.log_seen))
            self._drawn_log = view.log_seen
        if not view.lanes:
            return
        pane = self.query_one(ProgressPane)
        pane.start(view.lanes)
        if view.starts != self._drawn_start:
            if self._drawn_start:
                pane.restart()
                self._drawn_progress = 0
            self._drawn_start = view.starts
        if view.progress_seen != self._drawn_progress:
            pane.add(self._feed.progress_between(self._drawn_progress, view.progress_seen))
            self._drawn_progress = view.progress_seen
        chart = self.query_one(ConvergenceChart)
        right = view.iteration if view.phase == keys.DIVERGED else view.iterations  # of what will never come no room
        if (view.rows_seen, right) != self._drawn_rows and chart.display:
            self._drawn_rows = (view.rows_seen, right)
            learned = self._preset.kind == "meta-training"
            chart.show(self._feed.convergence(), dict(view.levels) if learned else {}, right)

    def _draw_missed(self) -> None:
        """Draw again, for a pane that comes into view has missed something."""
        self._drawn_rows = (-1, 0)
        self._draw(self._feed.view())

    def action_pause(self) -> None:
        """Pause, after a checkpoint."""
        self._ask(Pause(), "pausing")

    def action_go_on(self) -> None:
        """Train again."""
        self._ask(GoOn(), "going on")

    def _ask(self, command: Command, answer: str) -> None:
        """Send a command, and say so at once: a chunk and a checkpoint may come before its effect."""
        self.opened.send(command)
        self.query_one(StatusLines).show_answer(answer)

    def action_checkpoint(self) -> None:
        """Save a checkpoint that is kept."""
        self.opened.send(SaveCheckpoint())

    async def action_detach(self) -> None:
        """Leave the run to a background process, by way of the app."""
        await self.app.run_action("detach")

    async def action_take_over(self) -> None:
        """Go on with the run here, by way of the app."""
        await self.app.run_action("take_over")

    def action_stop(self) -> None:
        """End the run that is watched, once confirmed."""

        def answer(yes: bool | None) -> None:
            if yes:
                self.opened.send(Stop())

        name = self.opened.folder.name
        question = ConfirmDialog(f"Stop {name}?", "It saves a checkpoint and ends; resume goes on from it.", "Stop")
        self.app.push_screen(question, answer)

    def action_extend(self) -> None:
        """Ask for a new total."""

        def extend(total: int | None) -> None:
            if total is not None:
                self.opened.send(Extend(total))

        view = self._feed.view()
        self.app.push_screen(ExtendDialog(view.iteration, view.iterations + self._preset.run.iterations), extend)

    def action_new_draw(self) -> None:
        """Show another problem."""
        self._show_draws(self._shown.first + (self._shown.count == 1), 1)

    def action_many_draws(self) -> None:
        """Show the median over many problems, or one again."""
        self._show_draws(0, 1 if self._shown.count > 1 else MANY_DRAWS)

    def action_next_seed(self) -> None:
        """Show the network of the next replicate."""
        seeds = self._preset.seeds
        self._seed = seeds[(seeds.index(self._seed) + 1) % len(seeds)]
        self._show_draws(self._shown.first, self._shown.count)

    def _show_draws(self, first: int, count: int) -> None:
        self._shown = ShowDraws(first, count, self._seed)
        self.opened.send(self._shown)

    @property
    def chart(self) -> Chart:
        """The chart that is the active pane, else the convergence."""
        active = self._panes[self._active]
        return active if isinstance(active, Chart) else self.query_one(ConvergenceChart)

    @property
    def _convergence(self) -> ConvergenceChart:
        return self.query_one(ConvergenceChart)

    def action_hide_cursor(self) -> None:
        """Take the cursors away."""
        for chart in self.query(Chart):
            chart.hide_cursor()

    def action_change_window(self, by: int) -> None:
        """Average over more results, or fewer."""
        self._convergence.change_window(by)
        is_presets = self._convergence.window == self._preset.report.rolling_window
        self._preferences.change(window=0 if is_presets else self._convergence.window)

    def action_bands(self) -> None:
        """Show or hide the bands."""
        self._convergence.bands = not self._convergence.bands

    def action_each_seed(self) -> None:
        """Show each replicate, or their median."""
        self._convergence.each_seed = not self._convergence.each_seed

    def action_pin(self) -> None:
        """Draw one more run of the folder beside this one, the newest first."""
        if len(self._pinned) == MOST_PINNED:
            self.notify(f"{MOST_PINNED} runs are beside it, and no more can be; P takes them away")
        elif self._pinning is None or self._pinning.is_finished:
            self._pinning = self.run_worker(self._pin_next, thread=True, group="pin")

    def _pin_next(self) -> None:
        """Read the next run's convergence: in a thread, for a long run takes a moment."""
        worker = get_current_worker()
        known = {self.opened.folder.resolve(), *self._pinned, *self._passed_over}
        runs = reversed(list_runs(self.opened.folder.parent))
        run = next((run for run in runs if run.folder.resolve() not in known), None)
        curves, problem = {}, "no other run is left to draw beside this one"
        if run is not None:
            try:
                curves = {_replicate_name(replicate): replicate.curve for replicate in summarise(run)}
            except UserError as error:
                problem = str(error)
        self.app.call_from_thread(self._pin, worker, run, curves, problem)

    def _pin(self, worker: Worker[None], run: Run | None, curves: Mapping[str, Curve], problem: str) -> None:
        if worker.is_cancelled:  # the runs were taken away meanwhile, or the screen was left
            return
        if run is not None:
            (self._pinned if curves else self._passed_over).append(run.folder.resolve())
        for name, curve in curves.items():
            self._convergence.pin(name, curve)
        names = ", ".join(folder.name for folder in self._pinned)
        self.notify(f"beside it: {names}" if curves else problem)

    def action_unpin(self) -> None:
        """Draw this run alone again."""
        if self._pinning:
            self._pinning.cancel()
        self._pinned, self._passed_over = [], []
        self._convergence.unpin_all()
        self.notify("no other run beside it")

    def action_maximise(self) -> None:
        """Show the active pane alone, or all again."""
        if self.size.width < SEVERAL[0] or self.size.height < SEVERAL[1]:
            self.notify(f"one pane at a time below {SEVERAL[0]}x{SEVERAL[1]}; tab shows the next")
            return
        self._is_maximised = not self._is_maximised
        self._preferences.change(layout="one" if self._is_maximised else "auto")
        self._choose_layout()
        self.call_after_refresh(self._draw_missed)

    def action_scale(self) -> None:
        """Change between logarithmic and linear."""
        logarithmic = not self._convergence.logarithmic
        self._preferences.change(logarithmic=logarithmic)
        for chart in self.query(Chart):
            chart.logarithmic = logarithmic

    def action_next_pane(self, by: int) -> None:
        """Go to another pane."""
        panes = self._panes
        shown = range(len(panes)) if self.has_class("one") else [k for k, pane in enumerate(panes) if pane.display]
        places = [place for place in shown if (place - self._active) * by > 0] or list(shown)
        self._active = min(places) if by > 0 else max(places)
        self._mark_active()
        if self.has_class("one"):
            self._draw_missed()

    def on_click(self, event: Click) -> None:
        """Go to the pane that was clicked."""
        for place, pane in enumerate(self._panes):
            if event.widget is not None and pane in event.widget.ancestors_with_self and place != self._active:
                self._active = place
                self._mark_active()

    @property
    def _panes(self) -> list[Widget]:
        return list(self.query("#panes > *").results(Widget))

    def _name_pane(self) -> None:
        """Say which of the panes it is that is shown alone."""
        alone = self.has_class("one")
        back = ", m for all" if self._is_maximised else ""
        self.query_one(StatusLines).show_pane(f"pane {self._active + 1} of {len(self._panes)}{back}" if alone else "")

    def _mark_active(self) -> None:
        for index, pane in enumerate(self._panes):
            pane.set_class(index == self._active, "active")
        self._name_pane()
        active = self._panes[self._active]
        if active.can_focus:
            active.focus()
        else:
            self.set_focus(None)
