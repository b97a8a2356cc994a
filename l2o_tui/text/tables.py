"""Tables as several commands print them."""

from collections.abc import Sequence

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
