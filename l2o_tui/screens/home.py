"""The home screen: the presets one can start and the runs that are there."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from time import monotonic
from typing import ClassVar

from rich.cells import cell_len
from rich.text import Text
from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.content import Content
from textual.coordinate import Coordinate
from textual.widgets import DataTable, Input, Static

from l2o_engine.presets.files import load
from l2o_engine.presets.schema import Preset
from l2o_engine.presets.shipped import find, shipped_names
from l2o_engine.presets.story import in_order
from l2o_engine.records.events import Status
from l2o_engine.runs.catalogue import Unreadable, delete, look_through
from l2o_engine.runs.folder import Run
from l2o_engine.runs.rebuild import mend_record
from l2o_engine.runs.record import Record, RunError
from l2o_engine.support.wording import shown
from l2o_tui.panes.footer import KeyFooter
from l2o_tui.screens.compare import CompareScreen
from l2o_tui.screens.dialogs import ConfirmDialog, ExtendDialog
from l2o_tui.screens.evaluate import EvaluateDialog, JudgedScreen, Wish
from l2o_tui.screens.export import ExportDialog
from l2o_tui.screens.keyed import KeyedScreen
from l2o_tui.screens.opening import Opener, start_another
from l2o_tui.screens.start import StartDialog
from l2o_tui.state import keys
from l2o_tui.state.workers import in_background, message_of
from l2o_tui.text.names import cut
from l2o_tui.text.numbers import age, compact, count, fixed, relative

REFRESH_SECONDS = 2.0
_SHARE = 0.02  # of the time that keeping the list up to date may take: of thousands of runs it is so more seldom
_OTHER_TOOLS = ("pyproject.toml", "Cargo.toml")  # TOML files of a project, not presets
_MOST_NAMED = 10  # runs to be deleted, one a line
_LONGEST_NAME = 44  # cells of a preset's name, or of a broken one's file
_LEAST_NAME = 12  # cells of a run's name
WIDE = 130  # from this many columns on, the lists stand side by side


@dataclass(frozen=True)
class PresetEntry:
    """A line of the presets; ``problem`` says what is wrong with one that cannot be started, and has no ``preset``."""

    path: Path
    name: str
    iterations: int
    title: str
    problem: str = ""
    preset: Preset | None = None

    @property
    def cells(self) -> list[str]:
        """What the line shows."""
        return [
            cut(self.name, _LONGEST_NAME),
            compact(self.iterations) if self.iterations else "",
            self.problem or self.title,
        ]


@dataclass(frozen=True)
class RunEntry:
    """A line of the runs."""

    run: Run
    record: Record
    status: Status
    is_driven: bool
    is_marked: bool = False

    @property
    def cells(self) -> list[str]:
        """What the line shows."""
        at = f"{compact(self.record.iteration)}/{compact(self.record.iterations)}"
        average = "" if self.record.average_log_result is None else fixed(self.record.average_log_result)
        mark = "●" if self.is_marked else " "
        return [mark, self.run.name, self.status, at, average, age(self.record.updated).removesuffix(" ago")]


@dataclass(frozen=True)
class UnreadableEntry:
    """A line of the runs, for one that cannot be read."""

    found: Unreadable

    @property
    def cells(self) -> list[str]:
        """What the line shows."""
        return ["", f"{self.found.name}: {self.found.reason}", "unreadable", "", "", ""]


Entry = PresetEntry | RunEntry | UnreadableEntry


def read_presets() -> list[PresetEntry]:
    """Return the shipped presets, then those of the working folder and its folder ``presets``."""
    shipped = _in_order(_read_preset(find(name)) for name in shipped_names())
    here = sorted({_resolved(path) for folder in (Path(), Path("presets")) for path in folder.glob("*.toml")})
    known = {_resolved(entry.path) for entry in shipped}
    local = [path for path in here if path not in known and path.name not in _OTHER_TOOLS]
    return [*shipped, *map(_read_preset, local)]


def _resolved(path: Path) -> Path:
    try:
        return path.resolve()
    except (OSError, RuntimeError):  # a link to itself
        return path.absolute()


def _in_order(entries: Iterable[PresetEntry]) -> list[PresetEntry]:
    """Return entries in the order of the story, those that cannot be read behind."""
    known = {entry.path: entry for entry in entries}
    readable = {entry.preset.name: entry for entry in known.values() if entry.preset is not None}
    told = [readable[preset.name] for preset in in_order(e.preset for e in readable.values() if e.preset is not None)]
    return [*told, *(entry for entry in known.values() if entry not in told)]


def _read_preset(path: Path) -> PresetEntry:
    try:
        preset = load(path)
    except Exception as error:  # noqa: BLE001 (the home screen shows what is wrong with a file, whatever that is)
        problem = message_of(error).splitlines()[0].removeprefix(shown(f"{path}: "))
        return PresetEntry(path, relative(str(path)), 0, "", problem)
    return PresetEntry(path, preset.name, preset.run.iterations, preset.title, preset=preset)


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
        "meta-iterations. Enter starts one.\n"
        "[b]Runs[/b]  What is in the runs folder, the newest first: status, meta-iterations done of all, the mean "
        "log10 of the last loss over the last report, and when it last changed. SGD ends at -3.7 and RMSProp at -18.2: "
        "lower is better."
    )
    BINDINGS: ClassVar[list[BindingType]] = [*keys.bindings(keys.HOME)]

    def __init__(self, runs_dir: Path, opener: Opener) -> None:
        super().__init__()
        self._runs_dir = runs_dir
        self._opener = opener
        self._presets: list[PresetEntry] = []
        self._runs: list[RunEntry] = []
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
        with Container(id="lists"):
            yield EntryTable(("preset", "its", "what it is"), right=(1,), id="presets")
            yield EntryTable(("", "run", "status", "at", "log10", "age"), right=(3, 4, 5), flexible=1, id="runs")
        yield Input(placeholder="show only what has this in it; esc shows all again", id="filter", compact=True)
        yield KeyFooter()

    def on_mount(self) -> None:
        """Fill the lists, and keep the runs up to date."""
        self.query_one("#presets").border_title = "presets"
        self.query_one("#runs").border_title = Content(shown(f"runs in {relative(str(self._runs_dir.resolve()))}"))
        self.query_one("#filter").display = False
        self._presets = read_presets()
        self._take_runs(self._read_runs())
        self.set_interval(REFRESH_SECONDS, self._refresh_if_due)
        (self._runs_table if self._runs else self._presets_table).focus()

    def on_screen_resume(self) -> None:
        """Show at once what has happened since: a run was trained, a file edited."""
        if self.is_mounted:
            self._presets = read_presets()
            self._refresh()

    def on_resize(self) -> None:
        """Choose the layout that fits."""
        self.set_class(self.size.width >= WIDE, "wide")

    # What is shown.

    @property
    def _presets_table(self) -> "EntryTable":
        return self.query_one("#presets", EntryTable)

    @property
    def _runs_table(self) -> "EntryTable":
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
            case RunEntry(is_driven=True):
                return keys.DRIVEN_RUN
            case RunEntry():
                return keys.IDLE_RUN
            case UnreadableEntry():
                return keys.UNREADABLE_RUN
            case _:
                return keys.NOTHING

    @property
    def there(self) -> frozenset[str]:
        """What there is of all that keys may need."""
        there = {keys.NETWORK}  # whether a run trains one, its preset says, which is not read for a list
        return frozenset(there | {keys.FILTER} if self._is_filtering else there)

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

    def _read_runs(self) -> tuple[list[RunEntry], list[UnreadableEntry]]:
        """Read the runs folder: in a thread, for its disk may be slow."""
        began = monotonic()
        found, listing = [], look_through(self._runs_dir)
        unreadable = list(listing.unreadable)
        for run in reversed(listing.runs):
            try:
                entry = RunEntry(run, run.record(), run.status(), run.is_driven())
                _ = entry.cells  # which says whether it can be shown, too
                found.append(entry)
            except RunError:  # vanished while we looked
                continue
            except Exception as error:  # noqa: BLE001 (damaged in a way of its own: the others are none the worse)
                unreadable.append(Unreadable(run.folder, message_of(error)))
        self._due = monotonic() + (monotonic() - began) / _SHARE
        return found, list(map(UnreadableEntry, unreadable))

    def _take_runs(self, found: tuple[list[RunEntry], list[UnreadableEntry]]) -> None:
        entries, unreadable = found
        self._runs, self._unreadable, self._trouble = entries, unreadable, ""
        self._marked &= {entry.run.folder for entry in entries}
        self._show()

    def _show(self) -> None:
        self._presets_table.show(self._matching(self._presets))
        # The marks of this moment: the runs may have been read before one was set.
        runs = [replace(entry, is_marked=entry.run.folder in self._marked) for entry in self._runs]
        self._runs_table.show(self._matching([*runs, *self._unreadable]))
        hidden = len(self._runs) + len(self._unreadable) - self._runs_table.row_count
        marked = f"{len(self._marked)} marked · " if self._marked else ""
        said = f"{marked}{hidden} not shown" if hidden else marked.removesuffix(" · ")
        self._runs_table.border_subtitle = Content(said)
        if not self._runs and not self._unreadable:
            self._runs_table.border_subtitle = "none yet: start a preset with enter"
        if self._wanted and self._runs_table.select(self._wanted):
            self._wanted = None
            self._runs_table.focus()
        self.refresh_bindings()

    def _matching(self, entries: Iterable[Entry]) -> list[Entry]:
        wanted = self._filter.lower()
        return [entry for entry in entries if wanted in " ".join(entry.cells).lower()]

    # Keys.

    @on(DataTable.RowSelected)
    async def _open(self) -> None:
        actions = {keys.PRESET: "start", keys.IDLE_RUN: "look", keys.UNREADABLE_RUN: "look", keys.DRIVEN_RUN: "attach"}
        if self.phase in actions:
            await self.run_action(actions[self.phase])

    @on(DataTable.RowHighlighted)
    def _on_highlighted(self) -> None:
        self.refresh_bindings()

    def on_descendant_focus(self) -> None:
        """Offer what applies in the list that has the focus."""
        self.refresh_bindings()

    def action_start(self) -> None:
        """Ask for seed and length, then start the preset."""
        if not isinstance(entry := self.selected, PresetEntry):
            return
        try:
            dialog = StartDialog(entry.path)
        except Exception as error:  # noqa: BLE001 (it was edited or deleted since it was listed)
            self.notify(message_of(error), severity="error")
            self._presets = read_presets()
            self._show()
            return

        def start(preset: Preset | None) -> None:
            if preset is not None:
                self._opener.start(preset, entry.path.parent)

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
        if not isinstance(entry := self.selected, RunEntry):
            return
        record = entry.record
        if entry.status == "diverged" and record.seeds == 1:
            self.notify(f"{entry.run.name} has diverged; there is nothing to continue", severity="warning")
        elif record.has_ended_early:
            self.notify(f"{entry.run.name} has ended: {record.message}", severity="warning")
        elif entry.status == "finished":
            dialog = ExtendDialog(record.iteration, 2 * record.iterations)
            self.app.push_screen(dialog, lambda total: self._continue(entry.run, total))
        else:
            self._opener.resume(entry.run, None)

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
            self._marked ^= {entry.run.folder}
            self._show()
            self._runs_table.action_cursor_down()

    def action_compare(self) -> None:
        """Compare the marked runs, or this one alone; of a preset, all its runs."""
        entry = self.selected
        if isinstance(entry, PresetEntry):
            chosen = [run.run for run in reversed(self._runs) if run.record.preset == entry.name]
            if not chosen:
                self.notify(f"there is no run of {entry.name} yet: enter starts one")
        else:
            chosen = [run.run for run in reversed(self._runs) if run.run.folder in self._marked]
        if not chosen and isinstance(entry, RunEntry):
            chosen = [entry.run]
        if chosen:
            self.app.push_screen(CompareScreen(chosen))

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
                entries = [entry for entry in self._runs if entry.run.folder in self._marked] or [selected]
                doomed = {
                    entry.run.folder: f"{count(entry.record.iteration)} meta-iterations, {entry.status}"
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
            action(entry.run)

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


class EntryTable(DataTable[Text], inherit_bindings=False):
    """A list of entries, one selected; only what has changed is drawn again.

    Parameters
    ----------
    headings
        The columns.
    right
        Which of them are aligned to the right.
    flexible
        Which of them gives way where there is no room for all; -1 for none.
    """

    # Textual's own, but for enter, which is the screen's.
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "cursor_up", show=False),
        Binding("down", "cursor_down", show=False),
        Binding("left", "scroll_left", show=False),
        Binding("right", "scroll_right", show=False),
        Binding("pageup", "page_up", show=False),
        Binding("pagedown", "page_down", show=False),
        Binding("home,ctrl+home", "scroll_top", show=False),
        Binding("end,ctrl+end", "scroll_bottom", show=False),
    ]

    def __init__(
        self,
        headings: tuple[str, ...],
        *,
        right: tuple[int, ...],
        flexible: int = -1,
        id: str,  # noqa: A002 (textual's name)
    ) -> None:
        super().__init__(id=id, cursor_type="row", zebra_stripes=True, cell_padding=1)
        self._headings = headings
        self._right = right
        self._flexible = flexible
        self._room = 0  # cells that the flexible column's texts were cut to
        self._entries: list[Entry] = []
        self._cells: list[list[str]] = []  # as they were drawn: an age differs by when it is asked

    def on_mount(self) -> None:
        """Make the columns."""
        self._add_columns()

    def _add_columns(self) -> None:
        for place, heading in enumerate(self._headings):
            self.add_column(self._text(place, heading))

    def on_resize(self) -> None:
        """Cut the flexible column anew, if it has another width; textual calls DataTable's own handler as well."""
        if self._entries and self._room_for(self._cells) != self._room:
            self._fill()

    @property
    def selected(self) -> Entry | None:
        """The entry that the cursor is on."""
        return self._entries[self.cursor_row] if 0 <= self.cursor_row < len(self._entries) else None

    def select(self, path: Path) -> bool:
        """Go to the entry of this path; return whether it is there."""
        places = [place for place, entry in enumerate(self._entries) if _identity(entry).resolve() == path.resolve()]
        if places:
            self.move_cursor(row=places[0], animate=False)
        return bool(places)

    def show(self, entries: list[Entry]) -> None:
        """Show these; the cursor stays on its entry if that is still there."""
        before, cells = self._cells, [list(map(shown, entry.cells)) for entry in entries]
        chosen = _identity(self.selected) if self.selected else None
        same_rows = list(map(_identity, self._entries)) == list(map(_identity, entries))
        row_before = self.cursor_row
        self._entries, self._cells = entries, cells
        if same_rows and self._room_for(cells) == self._room:
            for row, (old, new) in enumerate(zip(before, cells, strict=True)):
                for column in (place for place, cell in enumerate(new) if cell != old[place]):
                    self.update_cell_at(Coordinate(row, column), self._text(column, new[column]), update_width=True)
            return
        places = [place for place, entry in enumerate(entries) if _identity(entry) == chosen]
        self._fill(places[0] if places else min(row_before, len(entries) - 1))

    def _fill(self, cursor: int | None = None) -> None:
        """Write all rows; the cursor stays where it is, or goes to a row."""
        cursor = self.cursor_row if cursor is None else cursor
        self._room = self._room_for(self._cells)
        self.clear(columns=True)  # for a column is never narrower than it was
        self._add_columns()
        for line in self._cells:
            self.add_row(*(self._text(place, cell) for place, cell in enumerate(line)))
        self.move_cursor(row=cursor, animate=False)

    def _room_for(self, cells: list[list[str]]) -> int:
        """Return how many cells the other columns leave to the flexible one."""
        if self._flexible < 0:
            return 0
        widths = [max(map(cell_len, column)) for column in zip(self._headings, *cells, strict=True)]
        taken = sum(widths) - widths[self._flexible] + 2 * self.cell_padding * len(widths)
        room = self.size.width - self.styles.scrollbar_size_vertical - taken
        return min(max(room, _LEAST_NAME), widths[self._flexible])

    def _text(self, place: int, text: str) -> Text:
        shown = cut(text, self._room) if place == self._flexible and self._room else text
        return Text(shown, justify="right" if place in self._right else "left", no_wrap=True)


def _identity(entry: Entry) -> Path:
    match entry:
        case PresetEntry():
            return entry.path
        case UnreadableEntry():
            return entry.found.folder
        case RunEntry():
            return entry.run.folder
