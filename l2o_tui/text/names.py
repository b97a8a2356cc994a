"""Names where there is little room: measured in the terminal's cells, and cut in the middle."""

from rich.cells import cell_len

ELLIPSIS = "…"


def cut(text: str, cells: int) -> str:
    """Return a text that fits into so many cells: itself, or its beginning and end with an ellipsis between them.

    What tells names apart is mostly at their end, which has the greater half.
    """
    if cell_len(text) <= cells:
        return text
    if cells < 1:
        return ""
    head = _beginning(text, (cells - 1) // 2)
    return head + ELLIPSIS + _end(text, cells - 1 - cell_len(head))


def _beginning(text: str, cells: int) -> str:
    """Return as much of a text's beginning as fits, with the marks that belong to its last character."""
    end = 0
    while end < len(text) and cell_len(text[: end + 1]) <= cells:
        end += 1
    return text[:end]


def _end(text: str, cells: int) -> str:
    """Return as much of a text's end as fits; it does not begin with a mark that belongs to what is left out."""
    start = len(text)
    while start > 0 and cell_len(text[start - 1 :]) <= cells:
        start -= 1
    while start < len(text) and cell_len(text[start]) == 0:
        start += 1
    return text[start:]
