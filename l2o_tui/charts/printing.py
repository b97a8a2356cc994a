"""A figure as text for stdout: as wide as the terminal, in colours that every background bears, or plain for a pipe."""

import os
import sys
from shutil import get_terminal_size

from l2o_tui.charts.figure import Figure
from l2o_tui.charts.plotext import Palette, printed
from l2o_tui.charts.terminal import is_plain
from l2o_tui.text.streams import is_terminal

_PIPED_SIZE = (100, 30)
# Of the 256 colours: they can be read on a light and on a dark background, and told apart by the colour-blind.
_COLOURS = Palette(series=(32, 166, 36, 175, 214, 75, 245), faint=(67, 137, 65, 139, 143, 110, 240))


def size_of_stdout() -> tuple[int, int]:
    """Return columns and rows of the terminal that stdout is; of a pipe what is readable."""
    if not is_terminal(sys.stdout):
        return _PIPED_SIZE
    columns, rows = get_terminal_size()
    return columns, rows


def as_text(figure: Figure, height: int) -> str:
    """Return a figure in so many rows, with colours if stdout is a terminal that wants them."""
    width, _ = size_of_stdout()
    in_colour = is_terminal(sys.stdout) and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return printed(figure, width, height, palette=_COLOURS if in_colour else None, plain=is_plain()).rstrip()
