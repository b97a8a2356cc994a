"""A bar on stderr that tells which share of something is done."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from l2o_tui.text.output import TextConsole
from l2o_tui.text.streams import is_terminal


@contextmanager
def share_bar(what: str, *, hidden: bool = False) -> Iterator[Callable[[float], None]]:
    """Give what is told the share that is done, and shows it on stderr, if that is a terminal.

    Parameters
    ----------
    what
        What is being done, "judging".
    hidden
        Whether nothing is shown.
    """
    if hidden or not is_terminal(sys.stderr):
        yield lambda share: None
        return
    columns = (TextColumn(what), BarColumn(30), TextColumn("{task.percentage:>3.0f}%"), TimeRemainingColumn())
    bar = Progress(
        *columns,
        console=TextConsole(stderr=True),
        transient=True,
        redirect_stdout=False,  # else rich would send the JSON lines where the bar goes
        redirect_stderr=False,
    )
    with bar:
        task = bar.add_task("", total=1.0)
        yield lambda share: bar.update(task, completed=share)
