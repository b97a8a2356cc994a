"""How a study goes, told on stderr."""

import sys
from math import isfinite
from time import monotonic

from rich.progress import BarColumn, TaskID, TextColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBars

from l2o_engine.studies.sweep import Sweep
from l2o_tui.text.numbers import duration, fixed
from l2o_tui.text.output import TextConsole
from l2o_tui.text.streams import is_terminal

_MOST_BARS = 8  # below the one of them all: the runs that are furthest
_LINE_SECONDS = 10.0  # between two lines, where there are no bars


class SweepProgress:
    """What is told on stderr: on a terminal a bar of them all and one of each run under way, else a line now and then.

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
        self._began = self._told_at = monotonic()
        self._told = -1

    def say(self, message: str) -> None:
        """Print a line, above the bars."""
        self._console.print(message, soft_wrap=True)

    def show(self, sweep: Sweep) -> None:
        """Bring it up to date."""
        if not self._with_bars:
            self._tell(sweep)
            return
        total, under_way = len(sweep.jobs), list(sweep.under_way())
        share = sum(min(at / job.iterations, 1) for job, at in under_way)
        runs = f"{sweep.done}/{total} runs" + (f", {sweep.elsewhere} elsewhere" if sweep.elsewhere else "")
        if self._bars is None or self._all is None:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(30),
                TextColumn("{task.percentage:>3.0f}%"),
                TextColumn("{task.fields[runs]}", justify="right"),
                TimeRemainingColumn(),
            )
            self._bars = ProgressBars(
                *columns, console=self._console, transient=True, redirect_stdout=False, redirect_stderr=False
            )
            self._all = self._bars.add_task(sweep.study.name, total=total, completed=sweep.done, runs=runs)
            self._bars.start()
        self._bars.update(self._all, completed=sweep.done + share, runs=runs + _best(sweep))
        furthest = sorted(under_way, key=lambda one: -one[1])[:_MOST_BARS]
        shown = {job.folder.name.removeprefix(f"{job.preset.name}_"): (job, at) for job, at in furthest}
        for name in [name for name in self._tasks if name not in shown]:
            self._bars.remove_task(self._tasks.pop(name))
        for name, (job, at) in shown.items():
            if name not in self._tasks:
                self._tasks[name] = self._bars.add_task(name, total=job.iterations, completed=at, runs="")
            self._bars.update(self._tasks[name], completed=at)

    def _tell(self, sweep: Sweep) -> None:
        if sweep.done == self._told or monotonic() - self._told_at < _LINE_SECONDS:
            return
        self._told, self._told_at = sweep.done, monotonic()
        self.say(f"{sweep.done} of {len(sweep.jobs)} runs after {duration(monotonic() - self._began)}{_best(sweep)}")

    def close(self) -> None:
        """Take the bars away."""
        if self._bars:
            self._bars.stop()
            self._bars = None


def _best(sweep: Sweep) -> str:
    finals = [outcome.final for outcome in sweep.outcomes if isfinite(outcome.final)]
    return f", best so far {fixed(min(finals))}" if finals else ""
