"""How a study goes, told on stderr."""

from math import isfinite
from time import monotonic

from l2o_engine.studies.sweep import Sweep
from l2o_tui.text.job_bars import Bar, JobBars
from l2o_tui.text.numbers import duration, fixed

_MOST_BARS = 8  # below the one of them all: the runs that are furthest
_BAR_SECONDS = 0.2  # between two times that the bars are brought up to date
_LINE_SECONDS = 10.0  # between two lines, where there are no bars


class SweepProgress(JobBars):
    """What is told on stderr: on a terminal a bar of them all and one of each run in work, else a line now and then."""

    def __init__(self, *, with_bars: bool) -> None:
        super().__init__(with_bars=with_bars)
        self._began = self._told_at = monotonic()
        self._told = -1
        self._due = 0.0

    def show_sweep(self, sweep: Sweep) -> None:
        """Bring it up to date, if it is time: not for each of a thousand outcomes."""
        if not self.are_shown:
            self._tell(sweep)
            return
        if monotonic() < self._due:
            return
        self._due = monotonic() + _BAR_SECONDS
        under_way = list(sweep.under_way())
        share = sum(min(at / job.iterations, 1) for job, at in under_way)
        runs = f"{sweep.done}/{len(sweep.jobs)} runs" + (f", {sweep.elsewhere} elsewhere" if sweep.elsewhere else "")
        furthest = sorted(under_way, key=lambda one: -one[1])[:_MOST_BARS]
        in_work = {job.folder.name.removeprefix(f"{job.preset.name}_"): Bar(at, job.iterations) for job, at in furthest}
        self.show(sweep.study.name, Bar(sweep.done + share, len(sweep.jobs), runs + _best(sweep)), in_work)

    def _tell(self, sweep: Sweep) -> None:
        if monotonic() - self._told_at < _LINE_SECONDS or sweep.done == self._told:
            return
        self._told, self._told_at = sweep.done, monotonic()
        self.say(f"{self._told} of {len(sweep.jobs)} runs after {duration(monotonic() - self._began)}{_best(sweep)}")


def _best(sweep: Sweep) -> str:
    finals = [outcome.final for outcome in sweep.outcomes if isfinite(outcome.final)]
    return f", best so far {fixed(min(finals))}" if finals else ""
