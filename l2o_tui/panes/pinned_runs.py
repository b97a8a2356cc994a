"""Other runs of the folder in the convergence chart, beside the run that is shown."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from l2o_engine.optimizers.learned.learned_optimizer import LEARNED
from l2o_engine.presets.schema import Preset
from l2o_engine.records.curve import Curve
from l2o_engine.records.statistics import median_curve
from l2o_engine.runs.catalogue import list_runs
from l2o_engine.runs.folder import Run
from l2o_engine.studies.comparison import summarise
from l2o_tui.charts.widget import ConvergenceChart
from l2o_tui.state.workers import in_background, message_of
from l2o_tui.text.names import Shown, names_beside

if TYPE_CHECKING:
    from textual.worker import Worker

MOST_PINNED = 6  # with the baselines' levels, more could not be told apart


class PinnedRuns:
    """The runs that are drawn beside one of their folder: one more every time, the newest first.

    A run of several seeds is one line, their median.

    Parameters
    ----------
    chart
        What they are drawn in; it reads them in a thread, and tells the user.
    folder
        The folder of the run that they stand beside.
    preset
        That run's preset.
    """

    def __init__(self, chart: ConvergenceChart, folder: Path, preset: Preset) -> None:
        self._chart = chart
        self._folder = folder
        self._shown = Shown(preset, folder.name)
        self._pinned: list[Path] = []
        self._drawn: list[tuple[Shown, Curve]] = []
        self._passed_over: list[Path] = []  # of those that cannot be drawn
        self._reading: Worker[None] | None = None

    def __len__(self) -> int:
        return len(self._pinned)

    def add_next(self) -> None:
        """Draw one more run."""
        if len(self._pinned) == MOST_PINNED:
            self._chart.notify(f"{MOST_PINNED} runs are beside it, and no more can be; P takes them away")
        elif self._reading is None or self._reading.is_finished:
            self._reading = in_background(self._chart, self._read_next, self._take, group="pin")

    def clear(self) -> None:
        """Draw none any more."""
        if self._reading:
            self._reading.cancel()
        self._pinned, self._drawn, self._passed_over = [], [], []
        self._chart.unpin_all()
        self._chart.notify("no other run beside it")

    def _read_next(self) -> "_Read":
        """Read the next run's convergence: in a thread, for a long run takes a moment."""
        known = {self._folder.resolve(), *self._pinned, *self._passed_over}
        runs = reversed(list_runs(self._folder.parent))
        run = next((run for run in runs if run.folder.resolve() not in known), None)
        new: list[tuple[Shown, Curve]] = []
        names: list[str] = []
        problem = "no other run is left to draw beside this one"
        if run is not None:
            try:
                new = _lines_of(run)
                names = names_beside(self._shown, [one for one, _ in (*self._drawn, *new)])
            except Exception as error:  # noqa: BLE001 (a damaged run is passed over, whatever its damage)
                problem = message_of(error)
        return _Read(run, new, names, problem)

    def _take(self, read: "_Read") -> None:
        if read.run is not None:
            (self._pinned if read.names else self._passed_over).append(read.run.folder.resolve())
        if read.names:
            self._drawn += read.lines
            self._chart.unpin_all()  # what tells a run apart depends on the others
            for name, (_, curve) in zip(read.names, self._drawn, strict=True):
                self._chart.pin(name, curve)
        self._chart.notify(f"beside it: {' · '.join(read.names)}" if read.names else read.problem)


@dataclass(frozen=True, eq=False)
class _Read:
    """The run that was read, if there was one, its lines, the names of all lines then, or why there are none."""

    run: Run | None
    lines: Sequence[tuple[Shown, Curve]]
    names: Sequence[str]
    problem: str


def _lines_of(run: Run) -> list[tuple[Shown, Curve]]:
    """Return a run's lines: one, or of a run that trains no network one an optimizer."""
    of_optimizer: dict[str, list[Curve]] = {}
    for replicate in summarise(run):
        of_optimizer.setdefault(replicate.lane.optimizer, []).append(replicate.curve)
    preset = run.preset()
    return [
        (Shown(preset, run.name, "" if optimizer == LEARNED else optimizer), median_curve(curves))
        for optimizer, curves in of_optimizer.items()
    ]
