"""How a reproduction goes, told on stderr."""

import sys

from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBars

from l2o_engine.studies.reproduction import Reproduction
from l2o_tui.text.output import TextConsole
from l2o_tui.text.streams import is_terminal


class Notes:
    """What is told on stderr and, on a terminal, the bars below it that tell how far the jobs are.

    Parameters
    ----------
    with_bars
        Whether there may be bars: not where stdout's lines come out on the same terminal.
    """

    def __init__(self, *, with_bars: bool) -> None:
        self._console = TextConsole(stderr=True)
        self._with_bars = with_bars and is_terminal(sys.stderr)
        self._bars: ProgressBars | None = None
        self._all: TaskID | None = None
        self._tasks: dict[str, TaskID] = {}

    def say(self, message: str) -> None:
        """Print a line, above the bars."""
        self._console.print(message, soft_wrap=True)

    def show(self, reproduction: Reproduction) -> None:
        """Bring the bars up to date: one for all, one for every experiment in work."""
        if not self._with_bars:
            return
        standings = reproduction.standings()
        done, total = sum(s.iterations for s in standings), sum(s.all_iterations for s in standings)
        runs = f"{sum(s.runs for s in standings)}/{len(reproduction.jobs)} runs"
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
            self._all = self._bars.add_task("all", total=total, completed=done, runs=runs)
            self._bars.start()
        self._bars.update(self._all, completed=done, runs=runs)
        for standing in standings:
            in_work = 0 < standing.iterations < standing.all_iterations
            runs = f"{standing.runs}/{standing.all_runs} seeds"
            if in_work and standing.name not in self._tasks:
                self._tasks[standing.name] = self._bars.add_task(
                    standing.name, total=standing.all_iterations, completed=standing.iterations, runs=runs
                )
            elif not in_work and standing.name in self._tasks:
                self._bars.remove_task(self._tasks.pop(standing.name))
            if in_work:
                self._bars.update(self._tasks[standing.name], completed=standing.iterations, runs=runs)

    def close(self) -> None:
        """Take the bars away."""
        if self._bars:
            self._bars.stop()
            self._bars = None
