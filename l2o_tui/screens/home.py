"""The home screen: the presets one can start and the runs that are there."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.content import Content
from textual.theme import Theme
from textual.widgets import DataTable, Input, Static

from l2o_engine.runs import origin
from l2o_engine.runs.about import About, AboutError
from l2o_engine.runs.catalogue import Unreadable, delete
from l2o_engine.runs.describe import about_of, describe
from l2o_engine.runs.folder import Run
from l2o_engine.runs.listing import Listed, Survey, Surveyor
from l2o_engine.runs.rebuild import mend_record
from l2o_engine.runs.record import RunError
from l2o_engine.runs.selection import Order, folded, sorted_by
from l2o_engine.support.wording import shown
from l2o_tui.charts.terminal import is_plain
from l2o_tui.panes.detail import DetailPane
from l2o_tui.panes.entry_table import Entry, EntryTable
from l2o_tui.panes.footer import KeyFooter
from l2o_tui.panes.preset_entries import PresetEntry, read_presets, with_state
from l2o_tui.panes.run_entries import MoreEntry, RunEntry, StudyEntry, UnreadableEntry, shortened
from l2o_tui.screens.compare import CompareScreen
from l2o_tui.screens.describe import DescribeDialog
from l2o_tui.screens.dialogs import ConfirmDialog, ExtendDialog
from l2o_tui.screens.difference import DifferenceScreen
from l2o_tui.screens.evaluate import EvaluateDialog, JudgedScreen, Wish
from l2o_tui.screens.export import ExportDialog
from l2o_tui.screens.keyed import KeyedScreen
from l2o_tui.screens.opening import Opener, start_another
from l2o_tui.screens.start import NewRun, StartDialog
from l2o_tui.screens.study import StudyScreen
from l2o_tui.screens.sweep import SweepDialog
from l2o_tui.state import keys
from l2o_tui.state.workers import in_background, message_of
from l2o_tui.text.detail import Line, detail_of_preset, detail_of_run, detail_of_study
from l2o_tui.text.difference import difference_of
from l2o_tui.text.numbers import count, relative

REFRESH_SECONDS = 2.0
_SHARE = 0.02  # of the time that keeping the list up to date may take: of thousands of runs it is so more seldom
_MOST_NAMED = 10  # runs to be deleted, one a line
WIDE = 130  # from this many columns on, the lists stand side by side
VERY_WIDE = 190  # the same, with the detail pane beside them
ROOMY = (110, 30)  # columns and rows from which on there is room for the detail pane
MOST_RUNS = 500  # that are listed at once: a list of ten thousand takes seconds to be laid out
_DETAIL_SECONDS = 0.1  # the cursor must have stood still for so long: who runs down a list wants no detail
_RUN_HEADINGS = ("", "run", "changed", "status", "at", "log10", "age")
_ORDERS: dict[Order, str] = {
    "newest": "the newest first",
    "preset": "by preset",
    "name": "by name",
    "result": "the lowest log10 first",
}


class HomeScreen(KeyedScreen[None]):
    """Presets and runs, each with one line.

    Parameters
    ----------
    runs_dir
        Where runs are kept.
    opener
        What opens them.
    """

    WHERE = keys.HOME
    READING = Content.from_markup(
        "[b]Presets[/b]  The shipped experiments and the TOML files of this folder, each with its number of "
        "meta-iterations, its runs by their state, and the lowest end loss of these. Enter starts one.\n"
        "[b]Runs[/b]  What is in the runs folder, the newest first: what was changed of the preset, status, "
        "meta-iterations done of all, the mean log10 of the last loss over the last report, and when it last changed. "
        "SGD ends at -3.7 and RMSProp at -18.2: lower is better. A study is one line; enter opens it."
    )
    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings(keys.HOME)]

    def __init__(self, runs_dir: Path, opener: Opener) -> None:
        super().__init__()
        self._runs_dir = runs_dir
        self._opener = opener
        self._presets: list[PresetEntry] = []
        self._surveyor = Surveyor(runs_dir)
        self._survey = Survey([], [], [])
        self._sound: dict[Path, Listed] = {}  # that can be shown
        self._runs: list[RunEntry] = []
        self._order: Order = "newest"
        self._unfolded: set[Path] = set()
        self._room_for_runs = MOST_RUNS
        self._detailed: Entry | None = None  # what is to be told of
        self._told: Entry | None = None  # what the pane tells of
        self._is_held: Path | None = None  # a run that is over, in another process's hands
        self._unreadable: list[UnreadableEntry] = []
        self._due = 0.0
        self._marked: set[Path] = set()
        self._filter = ""
        self._is_filtering = False
        self._filtered_from: EntryTable | None = None  # where the user was
        self._wanted: Path | None = None
        self._trouble = ""

    def compose(self) -> ComposeResult:
        """Lay out the lists."""
        yield Static("l2o-tui: the laboratory for learned optimizers", id="home-title")
        with Container(id="home"):
            with Container(id="lists"):
                yield EntryTable(
                    ("preset", "its", "runs", "best", "what it is"), right=(1, 3), coloured=2, id="presets"
                )
                yield EntryTable(_RUN_HEADINGS, right=(4, 5, 6), flexible=(2, 1), coloured=3, id="runs")
            yield DetailPane(id="detail")
        yield Input(
            placeholder="only what has all these words: name, tag, state, meta.epsilon=1e-12; esc shows all",
            id="filter",
            compact=True,
        )
        yield KeyFooter()

    def on_mount(self) -> None:
        """Fill the lists, and keep the runs up to date."""
        self.query_one("#presets").border_title = "presets"
        self.query_one("#runs").border_title = Content(shown(f"runs in {relative(str(self._runs_dir.resolve()))}"))
        self.query_one("#detail").border_title = "selected"
        self.query_one("#filter").display = False
        self.app.theme_changed_signal.subscribe(self, self._recolour)
        self._presets = read_presets()
        self._take_runs(self._read_runs())
        self.set_interval(REFRESH_SECONDS, self._refresh_if_due)
        (self._runs_table if self._runs else self._presets_table).focus()

    def on_screen_resume(self) -> None:
        """Show at once what has happened since: a run was trained, a file edited."""
        if self.is_mounted:
            self._presets = with_state(read_presets(), self._survey.all_runs)
            self._refresh()

    def on_resize(self) -> None:
        """Choose the layout that fits."""
        is_roomy = self.size.width >= ROOMY[0] and self.size.height >= ROOMY[1]
        if is_roomy != self.has_class("roomy"):
            self.set_class(is_roomy, "roomy")
            self._detailed = None  # it may not have been read, for there was no room to show it
        self.set_class(self.size.width >= (VERY_WIDE if is_roomy else WIDE), "wide")
        self._detail()

    # What is shown.

    @property
    def _presets_table(self) -> EntryTable:
        return self.query_one("#presets", EntryTable)

    @property
    def _runs_table(self) -> EntryTable:
        return self.query_one("#runs", EntryTable)

    @property
    def selected(self) -> Entry | None:
        """What the keys are about."""
        table = self.focused
        return table.selected if isinstance(table, EntryTable) else None

    @property
    def phase(self) -> str:
        """What kind of thing is selected."""
        match self.selected:
            case PresetEntry(problem=""):
                return keys.PRESET
            case RunEntry(record=record):
                is_driven = record.is_driven or record.folder == self._is_held
                return keys.DRIVEN_RUN if is_driven else keys.IDLE_RUN
            case StudyEntry():
                return keys.STUDY
            case MoreEntry():
                return keys.MORE
            case UnreadableEntry():
                return keys.UNREADABLE_RUN
            case _:
                return keys.NOTHING

    @property
    def there(self) -> frozenset[str]:
        """What there is of all that keys may need."""
        there = {keys.NETWORK}  # whether a run trains one, its preset says, which is not read for a list
        there |= {keys.FILTER} if self._is_filtering else set()
        return frozenset(there | ({keys.TWO_MARKED} if len(self._marked) == 2 else set()))

    def _refresh_if_due(self) -> None:
        if monotonic() >= self._due:
            self._refresh()

    def _refresh(self) -> None:
        if self.app.screen is self:
            in_background(
                self, self._read_runs, self._take_runs, failed=self._tell_trouble, exclusive=True, group="runs"
            )

    def _tell_trouble(self, message: str) -> None:
        """Say why the runs cannot be read: once, for every two seconds they are read again."""
        if message != self._trouble:
            self._trouble = message
            self.notify(message, severity="error")

    def _read_runs(self) -> Survey:
        """Read the runs folder: in a thread, for its disk may be slow."""
        began = monotonic()
        survey = self._surveyor.look()
        sound, odd = [], []
        for listed in survey.runs:
            try:
                if self._sound.get(listed.folder) is not listed:
                    _ = RunEntry(listed).cells  # which says whether it can be shown, too
                sound.append(listed)
            except Exception as error:  # noqa: BLE001 (damaged in a way of its own: the others are none the worse)
                odd.append(Unreadable(listed.folder, message_of(error)))
        self._sound = {listed.folder: listed for listed in sound}
        self._due = monotonic() + (monotonic() - began) / _SHARE
        return Survey(sound, survey.studies, [*survey.unreadable, *odd])

    def _take_runs(self, survey: Survey) -> None:
        self._survey, self._trouble = survey, ""
        self._unreadable = list(map(UnreadableEntry, survey.unreadable))
        everything = survey.all_runs
        self._runs = list(map(RunEntry, everything))
        self._marked &= {run.folder for run in everything}
        self._presets = with_state(self._presets, everything)
        self._show()

    def _show(self) -> None:
        self._presets_table.show(self._matching(self._presets))
        listed = self._matching(self._entries())
        self._runs_table.show(
            shortened(listed, self._room_for_runs, lambda entry: entry, columns=len(_RUN_HEADINGS), place=1)
        )
        everything = len(self._survey.runs) + len(self._survey.studies) + len(self._unreadable)
        inner = sum(isinstance(entry, RunEntry) and bool(entry.record.study) for entry in listed)
        hidden = everything - (len(listed) - inner)
        marked = [f"{len(self._marked)} marked"] if self._marked else []
        order = [_ORDERS[self._order]] if self._order != "newest" else []
        not_shown = [f"{hidden} not shown"] if hidden > 0 else []
        self._runs_table.border_subtitle = Content(" · ".join([*order, *marked, *not_shown]))
        if not everything:
            self._runs_table.border_subtitle = "none yet: start a preset with enter"
        if self._wanted and self._runs_table.select(self._wanted):
            self._wanted = None
            self._runs_table.focus()
        self.refresh_bindings()
        self._detail()

    def _entries(self) -> list[Entry]:
        """Return the lines of the runs: each run, each study and, behind one that is unfolded, its runs."""
        entries: list[Entry] = []
        for line in folded(self._survey.runs, self._survey.studies, self._order):
            if isinstance(line, Listed):
                entries.append(self._entry(line))
                continue
            is_unfolded = line.folder in self._unfolded
            entries.append(StudyEntry(line, is_unfolded))
            entries += [self._entry(run) for run in sorted_by(line.runs, self._order)] if is_unfolded else []
        return [*entries, *self._unreadable]

    def _entry(self, run: Listed) -> RunEntry:
        return RunEntry(run, run.folder in self._marked)

    def _matching(self, entries: Iterable[Entry]) -> list[Entry]:
        wanted = self._filter.lower().split()
        return [entry for entry in entries if all(map(entry.words.__contains__, wanted))] if wanted else list(entries)

    def _recolour(self, _: Theme) -> None:
        for table in (self._presets_table, self._runs_table):
            table.recolour()

    # The detail of what is selected.

    def _detail(self) -> None:
        """Tell more of what is selected, once the cursor has come to rest on it."""
        entry = self.selected
        if entry == self._detailed or not self.is_mounted:
            return
        self._detailed = entry
        self.set_timer(_DETAIL_SECONDS, lambda: self._tell_detail(entry))

    @property
    def has_told(self) -> bool:
        """Whether what is selected is what the detail pane tells of."""
        return not self.is_mounted or self._told is self._detailed

    def _tell_detail(self, entry: Entry | None) -> None:
        if entry is not self._detailed or entry is None:
            self._told = entry if entry is self._detailed else self._told
            return
        plain = is_plain()

        def read() -> tuple[list[Line], bool]:
            match entry:
                case RunEntry(record=record):
                    run = entry.run
                    is_held = not record.is_driven and run.is_driven()
                    return detail_of_run(run, plain=plain) if self.has_class("roomy") else [], is_held
                case StudyEntry(study=study):
                    return detail_of_study(study), False
                case PresetEntry():
                    return detail_of_preset(entry.path, entry.problem or entry.title), False
                case UnreadableEntry(found=found):
                    return [Line(found.name, "title"), Line(found.reason), Line(found.remedy)], False
            return [], False

        def show(found: tuple[list[Line], bool]) -> None:
            if entry is self._detailed:
                self._told = entry
                lines, is_held = found
                self._is_held = entry.record.folder if is_held and isinstance(entry, RunEntry) else None
                self.query_one(DetailPane).show(lines)
                self.refresh_bindings()

        def fail(message: str) -> None:
            self._told = entry
            self.query_one(DetailPane).show([Line(message, "warning")])

        in_background(self, read, show, failed=fail, group="detail", exclusive=True)

    # Keys.

    @on(DataTable.RowSelected)
    async def _open(self) -> None:
        actions = {keys.PRESET: "start", keys.IDLE_RUN: "look", keys.UNREADABLE_RUN: "look", keys.DRIVEN_RUN: "attach"}
        actions |= {keys.STUDY: "open_study", keys.MORE: "more"}
        if self.phase in actions:
            await self.run_action(actions[self.phase])

    @on(DataTable.RowHighlighted)
    def _on_highlighted(self) -> None:
        self.refresh_bindings()
        self._detail()

    def on_descendant_focus(self) -> None:
        """Offer what applies in the list that has the focus."""
        self.refresh_bindings()
        self._detail()

    def action_start(self) -> None:
        """Ask for seed and length, then start the preset."""
        if not isinstance(entry := self.selected, PresetEntry):
            return
        try:
            dialog = StartDialog(entry.path)
        except Exception as error:  # noqa: BLE001 (it was edited or deleted since it was listed)
            self.notify(message_of(error), severity="error")
            self._presets = with_state(read_presets(), self._survey.all_runs)
            self._show()
            return

        def start(wanted: NewRun | None) -> None:
            if wanted is not None:
                self._opener.start(wanted, entry.path.parent, origin.of_file(entry.path))

        self.app.push_screen(dialog, start)

    def action_clone(self) -> None:
        """Start a new run as this one was, with edits."""
        self._with_run(lambda run: start_another(self, self._opener, run))

    def action_look(self) -> None:
        """Look at the run; of one that cannot be read, say why."""
        if isinstance(entry := self.selected, UnreadableEntry):
            found = entry.found
            self.notify(f"{found.name}: {'; '.join(filter(None, [found.reason, found.remedy]))}", severity="warning")
        self._with_run(self._opener.look)

    def action_attach(self) -> None:
        """Watch and steer the run."""
        self._with_run(self._opener.look)

    def action_resume(self) -> None:
        """Go on with the run; ask for a new total if it is finished, and mend one that cannot be read."""
        if isinstance(unreadable := self.selected, UnreadableEntry):
            self._mend(unreadable.found.folder)
            return
        self._with_run(self._resume)

    def _resume(self, run: Run) -> None:
        record = run.record()
        if record.status == "diverged" and record.seeds == 1:
            self.notify(f"{run.name} has diverged; there is nothing to continue", severity="warning")
        elif record.has_ended_early:
            self.notify(f"{run.name} has ended: {record.message}", severity="warning")
        elif record.status == "finished":
            dialog = ExtendDialog(record.iteration, 2 * record.iterations)
            self.app.push_screen(dialog, lambda total: self._continue(run, total))
        else:
            self._opener.resume(run, None)

    def _mend(self, folder: Path) -> None:
        try:
            for notice in mend_record(folder):
                self.notify(notice)
            self._opener.resume(Run(folder), None)
        except Exception as error:  # noqa: BLE001 (it is damaged, in whatever way)
            self.notify(message_of(error), severity="error")

    def _continue(self, run: Run, total: int | None) -> None:
        if total is not None:
            self._opener.resume(run, total)

    def action_mark(self) -> None:
        """Mark the run or unmark it."""
        if isinstance(entry := self.selected, RunEntry):
            self._marked ^= {entry.record.folder}
            self._show()
            self._runs_table.action_cursor_down()

    def action_compare(self) -> None:
        """Compare the marked runs, or this one alone; of a preset, all its runs."""
        entry = self.selected
        if isinstance(entry, PresetEntry):
            chosen = self._readable(run for run in self._runs if run.record.preset == entry.name)
            if not chosen:
                self.notify(f"there is no run of {entry.name} yet: enter starts one")
        else:
            chosen = self._chosen()
        if not chosen:
            self._with_run(chosen.append)
        if chosen:
            self.app.push_screen(CompareScreen(chosen))

    def _chosen(self) -> list[Run]:
        """Return the marked runs, the oldest first."""
        return self._readable(entry for entry in self._runs if entry.record.folder in self._marked)

    def _readable(self, entries: Iterable[RunEntry]) -> list[Run]:
        """Return the runs of these lines, the oldest first; one that has vanished is none."""
        found = []
        for entry in reversed(list(entries)):
            with suppress(RunError):
                found.append(entry.run)
        return found

    def action_diff(self) -> None:
        """Show the settings in which the two marked runs differ."""
        runs = self._chosen()
        if len(runs) == 2:
            in_background(
                self, lambda: difference_of(*runs), lambda found: self.app.push_screen(DifferenceScreen(runs, found))
            )

    def action_describe(self) -> None:
        """Ask what the run is called, and keep that."""
        self._with_run(self._ask_name)

    def _ask_name(self, run: Run) -> None:
        def answer(about: About | None) -> None:
            if about is not None:
                in_background(self, lambda: describe(run.folder, lambda _: about), told)

        def told(is_done: bool) -> None:
            if not is_done:
                self.notify(f"{run.name}: the process that drives it has been asked, and has not answered yet")
            self._detailed = None
            self._refresh()

        try:
            self.app.push_screen(DescribeDialog(run.name, about_of(run.record())), answer)
        except AboutError as error:  # a stranger's words
            self.notify(str(error), severity="error")

    def action_sort(self) -> None:
        """Sort the runs another way."""
        orders = list(_ORDERS)
        self._order = orders[(orders.index(self._order) + 1) % len(orders)]
        self.notify(f"runs: {_ORDERS[self._order]}", timeout=2)
        self._show()
        self._runs_table.move_cursor(row=0)

    def action_open_study(self) -> None:
        """Watch the study."""
        if isinstance(entry := self.selected, StudyEntry):
            self.app.push_screen(StudyScreen(entry.study.folder, self._opener))

    def action_sweep(self) -> None:
        """Ask what is to be varied of the preset, begin the study, and watch it."""
        if not isinstance(entry := self.selected, PresetEntry):
            return

        def watch(folder: Path | None) -> None:
            if folder is not None:
                self._wanted = folder
                self.app.push_screen(StudyScreen(folder, self._opener))

        try:
            self.app.push_screen(SweepDialog(entry.path, self._runs_dir), watch)
        except Exception as error:  # noqa: BLE001 (it was edited or deleted since it was listed)
            self.notify(message_of(error), severity="error")

    def action_unfold(self) -> None:
        """Show the study's runs, or fold them."""
        if isinstance(entry := self.selected, StudyEntry):
            self._unfolded ^= {entry.study.folder}
            self._show()

    def action_more(self) -> None:
        """Show more of the older runs."""
        self._room_for_runs += MOST_RUNS
        self._show()

    def action_export(self) -> None:
        """Write the run's metrics in another tool's format."""
        self._with_run(lambda run: self.app.push_screen(ExportDialog(run)))

    def action_evaluate(self) -> None:
        """Ask on what the network of the run is to be judged, then show how it does."""
        self._with_run(self._ask_and_judge)

    def _ask_and_judge(self, run: Run) -> None:
        def answer(wish: Wish | None) -> None:
            if wish is not None:
                self.app.push_screen(JudgedScreen(run, wish))

        try:
            preset = run.preset()
            if not preset.learns:
                self.notify(f"{run.name} trains no network", severity="warning")
                return
            dialog = EvaluateDialog(run.name, preset)
        except Exception as error:  # noqa: BLE001 (its preset.toml is damaged, in whatever way)
            self.notify(message_of(error), severity="error")
            return
        self.app.push_screen(dialog, answer)

    def action_delete(self) -> None:
        """Delete the marked runs, or this one alone, once confirmed; one that cannot be read is always alone."""
        match self.selected:
            case UnreadableEntry(found):
                doomed = {found.folder: found.reason}
            case RunEntry() as selected:
                entries = [entry for entry in self._runs if entry.record.folder in self._marked] or [selected]
                doomed = {
                    entry.record.folder: f"{count(entry.record.iteration)} meta-iterations, {entry.record.status}"
                    for entry in entries
                }
            case _:
                return

        def answer(yes: bool | None) -> None:
            if yes:
                self._delete(list(doomed))

        lines = [f"{folder.name}: {what}" for folder, what in doomed.items()]
        if len(doomed) > 1:
            question = f"Delete the {len(doomed)} marked runs?"
            more = [f"and {len(lines) - _MOST_NAMED} more"] if len(lines) > _MOST_NAMED else []
            consequence = "\n".join(["Their folders are removed:", *lines[:_MOST_NAMED], *more])
        else:
            ((folder, what),) = doomed.items()
            removed = (
                "The link is removed, and what it leads to stays" if folder.is_symlink() else "Its folder is removed"
            )
            question, consequence = f"Delete {folder.name}?", f"{removed}: {what}."
        self.app.push_screen(ConfirmDialog(question, consequence, "Delete"), answer)

    def _delete(self, folders: Sequence[Path]) -> None:
        for folder in folders:
            try:
                delete(folder)
            except Exception as error:  # noqa: BLE001 (one that cannot be removed keeps no other)
                self.notify(message_of(error), severity="error")
        self._refresh()

    def select(self, folder: Path) -> None:
        """Go to the run in this folder: the one that was just left."""
        self._wanted = folder
        self._refresh()

    def _with_run(self, action: Callable[[Run], object]) -> None:
        if isinstance(entry := self.selected, RunEntry):
            try:
                run = entry.run
            except RunError as error:  # it has gone since it was listed
                self.notify(str(error), severity="error")
                return
            action(run)

    def action_other_list(self) -> None:
        """Go from the presets to the runs and back."""
        (self._runs_table if self.focused is self._presets_table else self._presets_table).focus()

    # The filter.

    def action_filter(self) -> None:
        """Ask for a text to filter by."""
        if isinstance(self.focused, EntryTable):
            self._filtered_from = self.focused
        box = self.query_one("#filter", Input)
        box.display = self._is_filtering = True
        box.focus()

    def action_clear_filter(self) -> None:
        """Show everything again."""
        box = self.query_one("#filter", Input)
        box.value = self._filter = ""
        box.display = self._is_filtering = False
        self._show()
        self._filtered()

    @on(Input.Changed, "#filter")
    def _filter_by(self, event: Input.Changed) -> None:
        self._filter = event.value
        self._show()
        for table in (self._presets_table, self._runs_table):
            table.move_cursor(row=0)

    @on(Input.Submitted, "#filter")
    def _filtered(self) -> None:
        tables = [self._filtered_from, self._runs_table, self._presets_table]
        found = [table for table in tables if table is not None and table.row_count]
        (found[0] if found else self._presets_table).focus()
