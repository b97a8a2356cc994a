"""How a reproduction goes, told on stderr."""

from l2o_engine.studies.reproduction import Reproduction
from l2o_tui.text.job_bars import Bar, JobBars


class Notes(JobBars):
    """What is told on stderr and, on a terminal, the bars below it that tell how far the jobs are."""

    def show_reproduction(self, reproduction: Reproduction) -> None:
        """Bring the bars up to date: one for all, one for every experiment in work."""
        if not self.are_shown:
            return
        standings = reproduction.standings()
        done, total = sum(s.iterations for s in standings), sum(s.all_iterations for s in standings)
        runs = f"{sum(s.runs for s in standings)}/{len(reproduction.jobs)} runs"
        in_work = {
            one.name: Bar(one.iterations, one.all_iterations, f"{one.runs}/{one.all_runs} seeds")
            for one in standings
            if 0 < one.iterations < one.all_iterations
        }
        self.show("all", Bar(done, total, runs), in_work)
