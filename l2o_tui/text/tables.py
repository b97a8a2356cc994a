"""A table as several commands print it."""

from rich.table import Table


def plain_table(*headings: str) -> Table:
    """Return a table without lines: numbers at the right; without headings, if they are empty."""
    table = Table(box=None, pad_edge=False, header_style="bold", show_header=any(headings))
    for heading in headings:
        right = heading in ("iterations", "iteration", "seed", "average log", "trained")
        name = heading in ("run", "status", "preset")
        table.add_column(heading, justify="right" if right else "left", overflow="fold", no_wrap=name)
    return table
