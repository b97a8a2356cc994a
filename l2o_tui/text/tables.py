"""Tables as several commands print them."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.cells import cell_len
from rich.console import RenderableType
from rich.style import StyleType
from rich.table import Table

from l2o_engine.support.wording import shown
from l2o_tui.text import names


class PlainTable(Table):
    """A table of texts that anybody may have written: a row is a line, whatever its cells hold."""

    def add_row(self, *cells: RenderableType | None, style: StyleType | None = None, end_section: bool = False) -> None:
        """Add a row."""
        texts = (shown(cell) if isinstance(cell, str) else cell for cell in cells)
        super().add_row(*texts, style=style, end_section=end_section)


def plain_table(*headings: str) -> Table:
    """Return a table without lines: numbers at the right; without headings, if they are empty."""
    table = PlainTable(box=None, pad_edge=False, header_style="bold", show_header=any(headings))
    for heading in headings:
        right = heading in ("iterations", "iteration", "seed", "average log", "trained")
        name = heading in ("run", "status", "preset")
        table.add_column(heading, justify="right" if right else "left", overflow="fold", no_wrap=name)
    return table


def aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a line a row: names at the left, numbers at the right."""
    rows = [tuple(map(shown, row)) for row in rows]
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    return [
        " ".join(
            names.right(cell, width) if column else names.left(cell, width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]


@dataclass(frozen=True)
class Column:
    """A column of a list that may have thousands of rows.

    Attributes
    ----------
    heading
        What stands above it.
    right
        Whether it is aligned to the right.
    rank
        In a narrow terminal it gives way the sooner, the higher this is; one of rank 0 never does.
    least, most
        Cells that it may be cut to, and is cut to on any terminal; 0 for one that is never cut.
    """

    heading: str
    right: bool = False
    rank: int = 0
    least: int = 0
    most: int = 0


def fitted(columns: Sequence[Column], rows: Sequence[Sequence[str]], width: int | None) -> list[str]:
    """Return a list's lines, headings first; a row without cells is an empty line.

    Parameters
    ----------
    columns
        The columns; those in which no row says anything are left out.
    rows
        The cells, which anybody may have written.
    width
        The terminal's, where columns are cut or left out until they fit; None for all of everything.
    """
    lines = [[column.heading for column in columns], *([shown(cell) for cell in row] for row in rows)]
    widths = {
        place: max(_cells(line[place]) for line in lines if line)
        for place, column in enumerate(columns)
        if any(line[place] for line in lines[1:] if line)
    }
    if width is not None:
        _squeeze(columns, widths, width)
    places = list(widths)
    told = []
    for line in lines:
        cells = [_filled(line[place], widths[place], columns[place]) for place in places] if line else []
        told.append("  ".join(cells).rstrip())
    return told


def _squeeze(columns: Sequence[Column], widths: dict[int, int], width: int) -> None:
    """Cut columns, then leave them out, until all fit."""

    def beyond() -> int:
        return sum(widths.values()) + 2 * (len(widths) - 1) - width

    for place, column in enumerate(columns):
        if place in widths and column.most:
            widths[place] = min(widths[place], column.most)
    for place in sorted(widths, key=lambda place: -columns[place].rank):
        if (over := beyond()) <= 0 or not columns[place].rank:
            return
        least = columns[place].least
        if least and widths[place] - over >= least:
            widths[place] -= over
        else:
            del widths[place]


def _filled(text: str, width: int, column: Column) -> str:
    cells = _cells(text)
    if cells > width:
        return names.left(names.cut(text, width), width)
    return " " * (width - cells) + text if column.right else text + " " * (width - cells)


def _cells(text: str) -> int:
    return len(text) if text.isascii() else cell_len(text)
