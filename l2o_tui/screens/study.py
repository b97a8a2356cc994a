"""A study's own screen: how its jobs stand, what came of its settings so far, and keys to pause and stop it."""

from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.content import Content
from textual.theme import Theme
from textual.widgets import DataTable

from l2o_engine.runs.folder import Run
from l2o_engine.runs.record import RunError
from l2o_engine.studies.sweep import (
    StudyStanding,
    StudyWatcher,
    Sweep,
    go_on_with_study,
    pause_study,
    read_study,
    stop_study,
)
from l2o_tui.charts.widget import SettingChart
from l2o_tui.panes.entry_table import EntryTable
from l2o_tui.panes.footer import KeyFooter
from l2o_tui.panes.run_entries import shortened
from l2o_tui.panes.study_entries import JOB_HEADINGS, SETTING_HEADINGS, JobEntry, SettingEntry
from l2o_tui.panes.study_status import StudyStatus
from l2o_tui.screens import giving
from l2o_tui.screens.compare import CompareScreen
from l2o_tui.screens.dialogs import ConfirmDialog
from l2o_tui.screens.keyed import ChartScreen, KeyedScreen
from l2o_tui.screens.opening import Opener
from l2o_tui.state import keys
from l2o_tui.state.studies import go_on_in_background
from l2o_tui.state.workers import in_background
from l2o_tui.text.numbers import relative
from l2o_tui.text.study import ORDERS, Labels, in_order
from l2o_tui.text.sweep import csv_text

_REFRESH_SECONDS = 1.0
_SHARE = 0.05  # of the time that looking may take: at thousands of runs it looks more seldom
_MOST_LINES = 500  # that a list has: one of ten thousand takes seconds to be laid out
_MOST_COMPARED = 6  # settings: of more lines none can be told from the others
_WITH_UNDER_WAY = "with the runs under way, as they are now"
ROOMY = (110, 30)  # columns and rows from which on both lists stand there


class StudyScreen(ChartScreen[None]):
    """Watches a study, whoever works on it and wherever.

    Parameters
    ----------
    folder
        The study's.
    opener
        What opens its runs.
    """

    WHERE = keys.OF_STUDY
    READING = Content.from_markup(
        "[b]The chart[/b]  The final mean log10 of the last loss against one of the settings that are varied: lower is "
        "better. Each point is a seed; a line is the median over the seeds.\n"
        "[b]The settings[/b]  The best first: how many seeds have a result, the median over them, the best and the "
        "worst, and how much of their runs is done.\n"
        "[b]The runs[/b]  How far each is, and what waits for its turn. A study goes on whether or not it is watched."
    )
    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings(keys.OF_STUDY)]
    AUTO_FOCUS = "#jobs-table"

    def __init__(self, folder: Path, opener: Opener) -> None:
        super().__init__()
        self._folder = folder
        self._opener = opener
        self._watcher = StudyWatcher(folder)
        self._standing: StudyStanding | None = None
        self._labels = Labels([])
        self._order = ORDERS[0]
        self._counts_under_way = False
        self._due = 0.0
        self._shown = 0  # all, the chart alone, or the lists alone
        self._used = "jobs"  # which list was in use last: of a chart alone none has the focus
        self._has_several = False  # settings to draw against: asked for with every key, of a screen that is left too
        self._trouble = ""

    def compose(self) -> ComposeResult:
        """Lay out the status, the chart and the lists."""
        yield StudyStatus(id="study-status")
        with Container(id="study"):
            with Container(id="study-above"):
                yield SettingChart(id="setting-chart")
                yield EntryTable(SETTING_HEADINGS, right=(1, 2, 3, 4), flexible=(0,), id="settings-table")
            yield EntryTable(JOB_HEADINGS, right=(2, 4, 5), flexible=(0,), coloured=1, id="jobs-table")
        yield KeyFooter()

    def on_mount(self) -> None:
        """Begin to look."""
        self._settings.border_title, self._jobs.border_title = "settings, the best first", "runs"
        self.app.theme_changed_signal.subscribe(self, self._recolour)
        self._refresh()
        self.set_interval(_REFRESH_SECONDS, self._refresh_if_due)

    def on_screen_resume(self) -> None:
        """Show at once what has happened since."""
        if self._standing is not None:  # else the first look is under way
            self._refresh()

    def on_resize(self) -> None:
        """Choose the layout that fits."""
        self.set_class(self.size.width >= ROOMY[0] and self.size.height >= ROOMY[1], "roomy")
        self._note_use()
        self._arrange()

    # What is shown.

    @property
    def chart(self) -> SettingChart:
        """The one chart."""
        return self.query_one(SettingChart)

    @property
    def _settings(self) -> EntryTable:
        return self.query_one("#settings-table", EntryTable)

    @property
    def _jobs(self) -> EntryTable:
        return self.query_one("#jobs-table", EntryTable)

    @property
    def given_name(self) -> str:
        """After the study, and what the chart is drawn against."""
        return "-".join(filter(None, [self._folder.name, self.chart.key.replace("/", "-")]))

    @property
    def phase(self) -> str:
        """How the study stands."""
        return self._standing.status if self._standing else keys.LOADING

    @property
    def there(self) -> frozenset[str]:
        """What there is of all that keys may need."""
        there = {keys.SWEEP} if self._standing and self._standing.is_sweep else set()
        there |= {keys.LIST} if self._shown != 1 else set()
        return frozenset(there | ({keys.SEVERAL} if self._has_several else set()))

    def _refresh_if_due(self) -> None:
        if monotonic() >= self._due:
            self._refresh()

    def _refresh(self) -> None:
        if self.app.screen is self:
            in_background(self, self._look, self._show, failed=self._tell_trouble, exclusive=True, group="study")

    def _look(self) -> tuple[StudyStanding, Labels]:
        began = monotonic()
        standing = self._watcher.look()
        _ = standing.settings, standing.settings_so_far  # which take a while where there are thousands
        self._due = monotonic() + (monotonic() - began) / _SHARE
        return standing, Labels(standing.jobs)

    def _tell_trouble(self, message: str) -> None:
        if message != self._trouble:
            self._trouble = message
            self.notify(message, severity="error")

    def _show(self, found: tuple[StudyStanding, Labels]) -> None:
        self._standing, self._labels, self._trouble = *found, ""
        standing, labels = found
        self.query_one(StudyStatus).show(standing, labels)
        settings = standing.settings_so_far if self._counts_under_way else standing.settings
        self.chart.show(settings)
        self._has_several = len(self.chart.keys) > 1
        self.chart.border_subtitle = _WITH_UNDER_WAY if self._counts_under_way else ""
        lines = shortened(
            settings,
            _MOST_LINES,
            lambda one: SettingEntry(one, labels.of_settings(one.preset_name, one.settings)),
            columns=len(SETTING_HEADINGS),
        )
        self._settings.show(lines)
        jobs = shortened(
            in_order(standing.jobs, self._order),
            _MOST_LINES,
            lambda job: JobEntry(job, labels.of_job(job)),
            columns=len(JOB_HEADINGS),
        )
        is_at_top = self._jobs.cursor_row <= 0
        self._jobs.show(jobs)
        if is_at_top:  # what is under way changes, and who has chosen nothing wants to see it
            self._jobs.move_cursor(row=0)
        self._jobs.border_subtitle = Content(self._order)
        self.refresh_bindings()

    def _show_again(self) -> None:
        if self._standing is not None:
            self._show((self._standing, self._labels))

    def _recolour(self, _: Theme) -> None:
        for table in (self._settings, self._jobs):
            table.recolour()

    def _arrange(self) -> None:
        """Show chart and lists, or one of them; where there is little room, of the lists the one that is in use."""
        has_both, in_use = self.has_class("roomy"), self._table_in_use
        self.chart.display = self._shown != 2
        self._settings.display = self._shown != 1 and (has_both or in_use is self._settings)
        self._jobs.display = self._shown != 1 and (has_both or in_use is self._jobs)
        self.query_one("#study-above").display = self.chart.display or self._settings.display
        if in_use.display:
            in_use.focus()
        self.refresh_bindings()

    @property
    def _table_in_use(self) -> EntryTable:
        return self.query_one(f"#{self._used}-table", EntryTable)

    def _note_use(self) -> None:
        if self.focused in (self._settings, self._jobs):
            self._used = "settings" if self.focused is self._settings else "jobs"

    # Keys.

    @on(DataTable.RowSelected)
    def action_open(self) -> None:
        """Open the run; of a setting, go to its best run."""
        selected = self.focused.selected if isinstance(self.focused, EntryTable) else None
        if isinstance(selected, SettingEntry):
            best = selected.best.folder
            self.action_other_table()
            self.call_after_refresh(lambda: self._jobs.select(best))
        elif isinstance(selected, JobEntry) and not selected.job.has_run:
            self.notify(selected.job.message or "it waits for its turn")
        elif isinstance(selected, JobEntry):
            try:
                self._opener.look(Run(selected.job.folder))
            except RunError as error:  # it has gone since it was listed
                self.notify(str(error), severity="error")

    def action_other_table(self) -> None:
        """Go from the runs to the settings and back."""
        if self._shown == 1:
            self._shown = 0
        self._note_use()
        self._used = "settings" if self._used == "jobs" else "jobs"
        self._arrange()

    def action_maximise(self) -> None:
        """Show the chart alone, then the lists alone, then all again."""
        self._note_use()
        self._shown = (self._shown + 1) % 3
        self._arrange()

    def action_next_setting(self) -> None:
        """Draw the figure against the next setting that was varied."""
        self.chart.show_next()

    def action_under_way(self) -> None:
        """Count runs that are not over as they are now, or leave them out."""
        self._counts_under_way = not self._counts_under_way
        self._show_again()

    def action_sort(self) -> None:
        """Sort the runs another way."""
        self._order = ORDERS[(ORDERS.index(self._order) + 1) % len(ORDERS)]
        self._show_again()
        self._jobs.move_cursor(row=0)

    def action_compare(self) -> None:
        """Compare the best settings' runs."""
        if self._standing is None:
            return
        best = [one for one in self._standing.settings_so_far if one.finals][:_MOST_COMPARED]
        runs = []
        for job in (job for one in best for job in one.jobs if job.has_run):
            try:
                runs.append(Run(job.folder))
            except RunError as error:
                self.notify(str(error), severity="error")
        if runs:
            self.app.push_screen(CompareScreen(runs))
        else:
            self.notify("no run has a result yet")

    def action_save_table(self) -> None:
        """Write what came of the settings as CSV."""

        def write() -> Path:
            sweep = Sweep(read_study(self._folder, follows=False), runs_dir=self._folder.absolute().parent)
            sweep.read()
            text = csv_text(sweep.results()) + "\n"
            return giving.write_new([Path.cwd(), self._folder], self._folder.name, ".csv", text)

        in_background(self, write, lambda path: self.notify(f"the settings are in {relative(str(path))}"))

    def action_pause_study(self) -> None:
        """Let the runs wait, after a checkpoint, and begin none."""
        self._ask("pausing", lambda: pause_study(self._folder))

    def action_go_on(self) -> None:
        """Go on after a pause."""
        self._ask("going on", lambda: go_on_with_study(self._folder))

    def action_stop_study(self) -> None:
        """Stop it, once confirmed."""

        def answer(yes: bool | None) -> None:
            if yes:
                self._ask("stopping", lambda: stop_study(self._folder))

        what = "Its runs save a checkpoint and end, wherever they are; r goes on from there."
        self.app.push_screen(ConfirmDialog(f"Stop {self._folder.name}?", what, "Stop"), answer)

    def action_resume(self) -> None:
        """Go on with a study that nobody works on, in a process of its own."""
        self._ask("starting", lambda: go_on_in_background(self._folder))

    def _ask(self, what: str, ask: Callable[[], object]) -> None:
        status = self.query_one(StudyStatus)
        status.show_answer(what)

        def fail(message: str) -> None:
            status.show_answer("")
            self.notify(message, severity="error")

        in_background(self, ask, lambda _: self._refresh(), failed=fail, group="asked")

    async def action_leave(self) -> None:
        """Go back; without a screen to go back to, leave the program."""
        if len(self.app.screen_stack) > 2 and isinstance(self.app.screen_stack[-2], KeyedScreen):
            self.dismiss(None)
        else:
            await super().action_leave()
