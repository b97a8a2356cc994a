"""How many jobs go, told on stderr: lines and, on a terminal, bars below them."""

import sys
from collections.abc import Mapping
from typing import NamedTuple

from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBars

from l2o_tui.text.output import TextConsole
from l2o_tui.text.streams import is_terminal


class Bar(NamedTuple):
    """How far something is: of how much, and in words."""

    completed: float
    total: float
    runs: str = ""


class JobBars:
    """One bar for all jobs, and one for each that is in work.

    Parameters
    ----------
    with_bars
        Whether there may be bars: not where stdout's lines come out on the same terminal.

    Attributes
    ----------
    are_shown
        Whether there are.
    """

    def __init__(self, *, with_bars: bool) -> None:
        self.are_shown = with_bars and is_terminal(sys.stderr)
        self._console = TextConsole(stderr=True)
        self._bars: ProgressBars | None = None
        self._all: TaskID | None = None
        self._tasks: dict[str, TaskID] = {}

    def say(self, message: str) -> None:
        """Print a line, above the bars."""
        self._console.print(message, soft_wrap=True)

    def show(self, name: str, whole: Bar, in_work: Mapping[str, Bar]) -> None:
        """Bring the bars up to date: that of them all, by its name, and those in work."""
        if self._bars is None or self._all is None:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(30),  # leaves room for the ^C that a terminal echoes
                TextColumn("{task.percentage:>3.0f}%"),
                TextColumn("{task.fields[runs]}", justify="right"),
                TimeRemainingColumn(),
            )
            self._bars = ProgressBars(
                *columns,
                console=self._console,
                transient=True,
                redirect_stdout=False,  # else rich would send the JSON lines where the bars go
                redirect_stderr=False,
            )
            self._all = self._bars.add_task(name, total=whole.total, completed=int(whole.completed), runs=whole.runs)
            self._bars.start()
        self._bars.update(self._all, completed=whole.completed, runs=whole.runs)
        for other in [other for other in self._tasks if other not in in_work]:
            self._bars.remove_task(self._tasks.pop(other))
        for other, bar in in_work.items():
            if other not in self._tasks:
                self._tasks[other] = self._bars.add_task(
                    other, total=bar.total, completed=int(bar.completed), runs=bar.runs
                )
            self._bars.update(self._tasks[other], completed=bar.completed, runs=bar.runs)

    def close(self) -> None:
        """Take the bars away."""
        if self._bars:
            self._bars.stop()
            self._bars = None
