"""The training screen: two charts, the progress table, the status lines. It reads a feed and fills a mailbox."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import inf
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.events import Resize
from textual.reactive import var

from l2o_engine.records.events import Command, Extend, GoOn, Pause, SaveCheckpoint, ShowDraws, Stop
from l2o_engine.runs.folder import Run
from l2o_tui.charts.widget import Chart
from l2o_tui.panes.arrangement import SEVERAL, Panes
from l2o_tui.panes.base_pane import BasePane
from l2o_tui.panes.convergence_pane import ConvergencePane
from l2o_tui.panes.footer import KeyFooter
from l2o_tui.panes.health_pane import HealthPane
from l2o_tui.panes.log_pane import LogPane
from l2o_tui.panes.measured import Measured
from l2o_tui.panes.other_problem import OtherProblem
from l2o_tui.panes.pinned_runs import PinnedRuns
from l2o_tui.panes.plain import PlainText
from l2o_tui.panes.progress_pane import ProgressPane
from l2o_tui.panes.status import StatusLines
from l2o_tui.screens.dialogs import ConfirmDialog, ExtendDialog, FailureScreen
from l2o_tui.screens.evaluate import EvaluateDialog, JudgedScreen, Wish
from l2o_tui.screens.keyed import ChartScreen
from l2o_tui.screens.opening import Opener, start_another
from l2o_tui.state import keys
from l2o_tui.state.feed import View
from l2o_tui.state.open_run import OpenRun
from l2o_tui.state.preferences import Preferences
from l2o_tui.text.health import findings_of, sentence

if TYPE_CHECKING:
    from l2o_engine.records.health import Finding

READING = Content.from_markup(
    "[b]Convergence[/b]  The last loss of each meta-iteration. The faint band holds every raw result; the line is "
    "10 to the mean of log10 over the rolling window. The baselines' levels are labelled lines: below the line of "
    "RMSProp, the network has won. Where an episode goes in truncations, each meta-iteration shows the final loss of "
    "the episode that ended last. A click puts the cursor there, the wheel zooms.\n"
    "[b]Base losses[/b]  One problem, all optimizers on the same draw, the network as it is now. Of a network that "
    "classifies images, + is the loss over those that nothing is trained on.\n"
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
SMALLEST = (60, 16)


class TrainingScreen(ChartScreen[None]):
    """The live view of one run, driven here or watched.

    Parameters
    ----------
    opened
        The run.
    preferences
        How the user wants it shown.
    opener
        Starts others; None where nothing can.
    fps
        How often numbers and charts are drawn a second, at most.
    """

    WHERE = keys.TRAINING
    READING = READING
    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings(keys.TRAINING)]

    view: var[View] = var(View(phase=keys.LOADING), init=False)
    """What is shown of the run, and what the panes watch: the feed's view, a new phase at once, the rest in turn."""

    def __init__(
        self, opened: OpenRun, preferences: Preferences, *, opener: Opener | None = None, fps: float = FPS
    ) -> None:
        super().__init__()
        self._opener = opener
        self.opened = opened
        self._preset = opened.preset
        self._preferences = preferences
        self._draw_seconds = 1 / fps
        self._drawn_at = -inf
        self._convergence = ConvergencePane(opened, id="convergence")
        self._pinned = PinnedRuns(self._convergence, opened.folder, opened.preset)
        self._measured = Measured(self._convergence, opened.folder, opened.preset)
        self._base = BasePane(has_replicates=self.has_replicates, id="base")
        self._other = OtherProblem(self._base, opened.folder, opened.preset)
        self._draws = ShowDraws(0, 1, opened.preset.seeds[0])  # what the base chart was asked to show
        self._started_at = inf
        self._told_failure: str | None = None

    def compose(self) -> ComposeResult:
        """Lay out the panes."""
        feed = self.opened.feed
        panes = [
            self._convergence,
            self._base,
            ProgressPane(self._preset, feed, id="progress"),
            *([HealthPane(id="health")] if self._preset.learns else []),
            LogPane(feed, id="log"),
        ]
        status = StatusLines(self._preset, driver=self.driver, id="status")
        for pane in (status, *panes):
            pane.data_bind(TrainingScreen.view)
        yield status
        yield Panes(*panes, id="panes")
        yield PlainText(
            f"This terminal is too small: l2o-tui needs {SMALLEST[0]}x{SMALLEST[1]} characters. Nothing is lost.",
            id="too-small",
        )
        yield KeyFooter()

    def on_mount(self) -> None:
        """Start looking."""
        self.title = self._preset.name
        self.watch(self._panes, "caption", self.query_one(StatusLines).show_pane)
        preferences = self._preferences.settings
        for chart in self.query(Chart):
            chart.logarithmic = preferences.logarithmic
        self._panes.activate(0)
        self._panes.is_maximised = preferences.layout == "one"
        if preferences.window:
            self._convergence.window = preferences.window
        self.set_interval(LOOK_SECONDS, self.look)
        self.look()

    def on_resize(self, event: Resize) -> None:
        """Choose the layout that fits."""
        self.set_class(event.size.width < SMALLEST[0] or event.size.height < SMALLEST[1], "tiny")
        self._panes.fit(event.size)

    @property
    def phase(self) -> str:
        """The run's phase, as last seen."""
        return self.view.phase

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
        there = {
            keys.REPLICATES: self.has_replicates,
            keys.PINNED: bool(self._pinned),
            keys.NETWORK: self._preset.learns,
            keys.REMEDY: self._remedy is not None,
        }
        return frozenset(name for name, is_there in there.items() if is_there)

    def look(self) -> None:
        """Take the feed's view: a new phase at once, the rest when it is due; tell what may interrupt the user."""
        if self not in self.app.screen_stack:  # the timer's last look may come when the screen is left
            return
        view = self.opened.feed.view()
        is_due = monotonic() - self._drawn_at >= self._draw_seconds
        if view.phase != self.phase or (is_due and view != self.view):
            self._drawn_at = monotonic()
            self.view = view
        self._tell_notices(view)
        self._tell_failure(view)

    def watch_view(self, before: View, view: View) -> None:
        """Offer the keys that apply now; what is drawn is the panes' business."""
        if view.phase != before.phase or view.diagnoses is not before.diagnoses:
            self.refresh_bindings()
        self._other.keep_up(view.checkpoint)
        self._measured.keep_up(view)

    def _tell_notices(self, view: View) -> None:
        if view.starts and (self._started_at == inf or view.is_reading):
            self._started_at = monotonic()
        is_past = self.driver == keys.WATCHED and monotonic() - self._started_at < PAST_SECONDS
        for notice in self.opened.feed.take_notices():
            if not is_past:  # what a watched run said before we came is in the event log
                self.notify(notice)

    def _tell_failure(self, view: View) -> None:
        failure = view.message if view.phase == keys.FAILED else None
        if failure is not None and failure != self._told_failure:
            is_lost = self.driver == keys.WATCHED and view.failed_here
            title = "This run can no longer be read" if is_lost else "Training failed"
            self.app.push_screen(FailureScreen(title, view.message))
        self._told_failure = failure

    # Steering.

    def action_pause(self) -> None:
        """Pause, after a checkpoint."""
        self._ask(Pause(), "pausing")

    def action_go_on(self) -> None:
        """Train again."""
        self._ask(GoOn(), "going on")

    def _ask(self, command: Command, answer: str) -> None:
        """Send a command, and say so at once: a chunk and a checkpoint may come before its effect."""
        self.opened.send(command)
        self.answer(answer)

    def answer(self, answer: str) -> None:
        """Say at once what has been asked of the run, until its phase changes."""
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

        view = self.opened.feed.view()
        self.app.push_screen(ExtendDialog(view.iteration, view.iterations + self._preset.run.iterations), extend)

    def action_new_draw(self) -> None:
        """Show another problem."""
        draws = self._draws
        self._show_draws(replace(draws, first=draws.first + (draws.count == 1), count=1))

    def action_many_draws(self) -> None:
        """Show the median over many problems, or one again."""
        self._show_draws(replace(self._draws, first=0, count=1 if self._draws.count > 1 else MANY_DRAWS))

    def action_next_seed(self) -> None:
        """Show the network of the next replicate."""
        seeds = self._preset.seeds
        self._show_draws(replace(self._draws, seed=seeds[(seeds.index(self._draws.seed) + 1) % len(seeds)]))

    def _show_draws(self, draws: ShowDraws) -> None:
        self._draws = draws
        self._panes.bring(self._base)
        self.opened.send(draws)
        self._other.show_draws(draws)

    def action_other_problem(self) -> None:
        """Show the network on another preset's problem."""
        self._panes.bring(self._base)
        self._other.show_next(self._draws, self.view.checkpoint)

    @property
    def _remedy(self) -> "Finding | None":
        """The likeliest cause of what is wrong for which a setting is known that may help."""
        found = [finding for _, finding in findings_of(self.view.diagnoses) if finding.settings]
        return found[0] if found else None

    def action_remedy(self) -> None:
        """Propose a new run with the setting that may help."""
        if (finding := self._remedy) is not None:
            self._start_another(finding.settings, f"{finding.code}: {sentence(finding)}")

    def action_clone(self) -> None:
        """Start a new run as this one was, with edits."""
        self._start_another({}, "")

    def _start_another(self, settings: Mapping[str, Any], why: str) -> None:
        if self._opener is not None:
            start_another(self, self._opener, Run(self.opened.folder), settings=settings, why=why)

    def action_evaluate(self) -> None:
        """Ask on what the network is to be judged, then show how it does."""

        def answer(wish: Wish | None) -> None:
            if wish is not None:
                self.app.push_screen(JudgedScreen(Run(self.opened.folder), wish))

        self.app.push_screen(EvaluateDialog(self.opened.folder.name or self._preset.name, self._preset), answer)

    # Looking.

    @property
    def chart(self) -> Chart:
        """The chart that is the active pane, else the convergence."""
        active = self._panes.active
        return active if isinstance(active, Chart) else self._convergence

    @property
    def given_name(self) -> str:
        """The run's name, and which of its charts it is."""
        return f"{self.opened.folder.name or self._preset.name}-{self.chart.id}"

    @property
    def given_to(self) -> Sequence[Path]:
        """The run's folder; of one that cannot be written to, the working folder."""
        return [self.opened.folder, Path.cwd()]

    @property
    def _panes(self) -> Panes:
        return self.query_one(Panes)

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

    def action_next_figure(self) -> None:
        """Show another figure than the end loss over the meta-iterations; after the last one, that again."""
        self._panes.bring(self._convergence)
        self._measured.show_next(self.view)

    def action_pin(self) -> None:
        """Draw one more run of the folder beside this one, the newest first."""
        self._pinned.add_next()

    def action_unpin(self) -> None:
        """Draw this run alone again."""
        self._pinned.clear()

    def action_maximise(self) -> None:
        """Show the active pane alone, or all again."""
        panes = self._panes
        if not panes.has_room_in(self.size):
            self.notify(f"one pane at a time below {SEVERAL[0]}x{SEVERAL[1]}; tab shows the next")
            return
        panes.is_maximised = not panes.is_maximised
        self._preferences.change(layout="one" if panes.is_maximised else "auto")

    def action_scale(self) -> None:
        """Change between logarithmic and linear: the active chart at once, the other when that is on the screen."""
        logarithmic = not self.chart.logarithmic
        self._preferences.change(logarithmic=logarithmic)
        self.chart.logarithmic = logarithmic
        for chart in self.query(Chart):
            if chart is not self.chart:
                self.call_after_refresh(setattr, chart, "logarithmic", logarithmic)

    def action_next_pane(self, by: int) -> None:
        """Go to another pane."""
        self._panes.go(by)
