"""A list of entries, one selected, that is drawn anew only where it has changed."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Protocol

from rich.cells import cell_len
from rich.text import Text
from textual.binding import Binding, BindingType
from textual.coordinate import Coordinate
from textual.widgets import DataTable

from l2o_engine.support.wording import shown
from l2o_tui.panes.status import MARKS
from l2o_tui.text.names import cut

_LEAST_TEXT = 12  # cells of a text that gives way


class Entry(Protocol):
    """A line of a list."""

    @property
    def identity(self) -> Path:
        """What tells it from the list's others, and stays the same when it changes."""

    @property
    def cells(self) -> list[str]:
        """What the line shows."""

    @property
    def words(self) -> str:
        """What a filter looks into, in small letters."""


class EntryTable(DataTable[Text], inherit_bindings=False):
    """A list of entries, one selected; only what has changed is drawn again.

    Parameters
    ----------
    headings
        The columns.
    right
        Which of them are aligned to the right.
    flexible
        Which of them give way where there is no room for all, the first one first.
    coloured
        Which of them holds signs of states, which have colours; -1 for none.
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
        flexible: tuple[int, ...] = (),
        coloured: int = -1,
        id: str,  # noqa: A002 (textual's name)
    ) -> None:
        super().__init__(id=id, cursor_type="row", zebra_stripes=True, cell_padding=1)
        self._headings = headings
        self._right = right
        self._flexible = flexible
        self._coloured = coloured
        self._widths: list[int] = []  # of the columns, in cells
        self._entries: list[Entry] = []
        self._cells: list[list[str]] = []  # as they were drawn: an age differs by when it is asked

    def on_mount(self) -> None:
        """Make the columns."""
        self._add_columns()

    def _add_columns(self) -> None:
        # Textual would find the widths out once it is idle: what it has painted until then it may show for good.
        self._widths = self._widths_for(self._cells)
        for place, heading in enumerate(self._headings_for(self._cells)):
            self.add_column(self._text(place, heading), width=self._widths[place])

    def _headings_for(self, cells: list[list[str]]) -> list[str]:
        """Return the headings; the column that gives way first has none where no line says anything there."""
        unsaid = [place for place in self._flexible[:1] if not any(line[place] for line in cells)]
        return ["" if place in unsaid else heading for place, heading in enumerate(self._headings)]

    def on_resize(self) -> None:
        """Cut the flexible columns anew, if they have another width; textual calls DataTable's own handler as well."""
        if self._entries and self._widths_for(self._cells) != self._widths:
            self._fill()

    @property
    def selected(self) -> Entry | None:
        """The entry that the cursor is on."""
        return self._entries[self.cursor_row] if 0 <= self.cursor_row < len(self._entries) else None

    def select(self, path: Path) -> bool:
        """Go to the entry of this path; return whether it is there."""
        places = [place for place, entry in enumerate(self._entries) if entry.identity.resolve() == path.resolve()]
        if places:
            self.move_cursor(row=places[0], animate=False)
        return bool(places)

    def show(self, entries: Sequence[Entry]) -> None:
        """Show these; the cursor stays on its entry if that is still there."""
        before, cells = self._cells, [list(map(shown, entry.cells)) for entry in entries]
        chosen = self.selected.identity if self.selected else None
        same_rows = [old.identity for old in self._entries] == [entry.identity for entry in entries]
        row_before = self.cursor_row
        self._entries, self._cells = list(entries), cells
        if same_rows and self._widths_for(cells) == self._widths:
            for row, (old, new) in enumerate(zip(before, cells, strict=True)):
                for column in (place for place, cell in enumerate(new) if cell != old[place]):
                    self.update_cell_at(Coordinate(row, column), self._text(column, new[column]))
            return
        places = [place for place, entry in enumerate(entries) if entry.identity == chosen]
        self._fill(places[0] if places else min(row_before, len(entries) - 1))

    def _fill(self, cursor: int | None = None) -> None:
        """Write all rows; the cursor stays where it is, or goes to a row."""
        cursor = self.cursor_row if cursor is None else cursor
        self.clear(columns=True)
        self._add_columns()
        for line in self._cells:
            self.add_row(*(self._text(place, cell) for place, cell in enumerate(line)))
        self.move_cursor(row=cursor, animate=False)

    def recolour(self) -> None:
        """Draw the signs in the colours of the theme that there is now."""
        if self._entries:
            self._fill()

    def _widths_for(self, cells: list[list[str]]) -> list[int]:
        """Return how many cells each column gets; flexible ones less than they want where there is no room for all."""
        widths = [max(map(cell_len, column)) for column in zip(self._headings_for(cells), *cells, strict=True)]
        room = self.size.width - self.styles.scrollbar_size_vertical - sum(widths) - 2 * self.cell_padding * len(widths)
        for place in self._flexible:
            wanted = widths[place]
            widths[place] = min(max(wanted + room, _LEAST_TEXT), wanted)
            room += wanted - widths[place]
        return widths

    def _text(self, place: int, text: str) -> Text:
        if place in self._flexible:
            text = cut(text, self._widths[place])
        if place == self._coloured and text:
            return self._in_colours(text)
        return Text(text, justify="right" if place in self._right else "left", no_wrap=True)

    def _in_colours(self, text: str) -> Text:
        """Return signs of states and what stands behind each, in its colour."""
        colours = {mark: self.app.theme_variables.get(colour.removeprefix("$"), "") for mark, colour in MARKS.values()}
        parts = text.split(" ")
        told, colour = Text(no_wrap=True), ""
        for place, part in enumerate(parts):
            colour = colours.get(part[:1], colour)
            told.append(f"{' ' if place else ''}{part}", style=colour if colour.startswith("#") else "")
        return told
