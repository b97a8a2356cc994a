"""Other runs of the folder in the convergence chart, beside the run that is shown."""

from collections.abc import Mapping
from pathlib import Path

from textual.worker import Worker, get_current_worker

from l2o_engine.records.curve import Curve
from l2o_engine.runs.catalogue import list_runs
from l2o_engine.runs.folder import Run
from l2o_engine.studies.comparison import Replicate, summarise
from l2o_engine.support.errors import UserError
from l2o_tui.charts.widget import ConvergenceChart

MOST_PINNED = 6  # with the baselines' levels, more could not be told apart


class PinnedRuns:
    """The runs that are drawn beside one of their folder: one more every time, the newest first.

    Parameters
    ----------
    chart
        What they are drawn in; it reads them in a thread, and tells the user.
    folder
        The folder of the run that they stand beside.
    """

    def __init__(self, chart: ConvergenceChart, folder: Path) -> None:
        self._chart = chart
        self._folder = folder
        self._pinned: list[Path] = []
        self._passed_over: list[Path] = []  # of those that cannot be drawn
        self._reading: Worker[None] | None = None

    def __len__(self) -> int:
        return len(self._pinned)

    def add_next(self) -> None:
        """Draw one more run."""
        if len(self._pinned) == MOST_PINNED:
            self._chart.notify(f"{MOST_PINNED} runs are beside it, and no more can be; P takes them away")
        elif self._reading is None or self._reading.is_finished:
            self._reading = self._chart.run_worker(self._read_next, thread=True, group="pin")

    def clear(self) -> None:
        """Draw none any more."""
        if self._reading:
            self._reading.cancel()
        self._pinned, self._passed_over = [], []
        self._chart.unpin_all()
        self._chart.notify("no other run beside it")

    def _read_next(self) -> None:
        """Read the next run's convergence: in a thread, for a long run takes a moment."""
        worker = get_current_worker()
        known = {self._folder.resolve(), *self._pinned, *self._passed_over}
        runs = reversed(list_runs(self._folder.parent))
        run = next((run for run in runs if run.folder.resolve() not in known), None)
        curves, problem = {}, "no other run is left to draw beside this one"
        if run is not None:
            try:
                curves = {_name(replicate): replicate.curve for replicate in summarise(run)}
            except UserError as error:
                problem = str(error)
        self._chart.app.call_from_thread(self._take, worker, run, curves, problem)

    def _take(self, worker: Worker[None], run: Run | None, curves: Mapping[str, Curve], problem: str) -> None:
        if worker.is_cancelled:  # the runs were taken away meanwhile, or the screen was left
            return
        if run is not None:
            (self._pinned if curves else self._passed_over).append(run.folder.resolve())
        for name, curve in curves.items():
            self._chart.pin(name, curve)
        names = ", ".join(folder.name for folder in self._pinned)
        self._chart.notify(f"beside it: {names}" if curves else problem)


def _name(replicate: Replicate) -> str:
    several = len(replicate.run.preset().seeds) > 1
    return f"{replicate.run.name}, seed {replicate.lane.seed}" if several else replicate.run.name
