"""The lines of a study's lists: one of its jobs, and one of the settings that it compares."""

from dataclasses import dataclass
from math import isnan
from pathlib import Path

from l2o_engine.studies.sweep import JobStanding, SettingStanding
from l2o_tui.panes.status import with_sign
from l2o_tui.text.numbers import compact, duration, fixed

JOB_HEADINGS = ("run", "status", "at", "", "log10", "trained")
SETTING_HEADINGS = ("settings", "seeds", "log10", "best … worst", "done")
_BAR = 6  # cells of a job's bar


@dataclass(frozen=True)
class JobEntry:
    """A line for a job."""

    job: JobStanding
    label: str

    @property
    def identity(self) -> Path:
        """The folder of its run."""
        return self.job.folder

    @property
    def cells(self) -> list[str]:
        """What the line shows."""
        job = self.job
        done = round(job.share * _BAR)
        at = f"{compact(job.iteration)}/{compact(job.iterations)}"
        return [
            self.label,
            with_sign(job.state),
            "" if job.state == "waits" else at,
            f"{'━' * done}{'─' * (_BAR - done)}" if job.is_under_way else "",
            _figure(job.final),
            duration(job.seconds) if job.seconds else "",
        ]

    @property
    def words(self) -> str:
        """What a filter would look into."""
        return " ".join(self.cells).lower()


@dataclass(frozen=True)
class SettingEntry:
    """A line for one combination of settings, over its seeds."""

    setting: SettingStanding
    label: str

    @property
    def identity(self) -> Path:
        """The folder of its first run."""
        return self.setting.jobs[0].folder

    @property
    def best(self) -> JobStanding:
        """Its run with the lowest figure; without figures the one that is furthest."""
        with_figure = [job for job in self.setting.jobs if not isnan(job.final)]
        if with_figure:
            return min(with_figure, key=lambda job: job.final)
        return max(self.setting.jobs, key=lambda job: job.iteration)

    @property
    def cells(self) -> list[str]:
        """What the line shows."""
        one, final = self.setting, self.setting.final
        lost = sum(isnan(value) for value in one.finals.values())
        return [
            self.label,
            f"{len(one.finals)}/{len(one.jobs)}" + (f" {lost} lost" if lost else ""),
            _figure(final.median),
            f"{fixed(final.least)} … {fixed(final.greatest)}" if final.count > 1 else "",
            "given up" if one.given_up else f"{one.share:.0%}",
        ]

    @property
    def words(self) -> str:
        """What a filter would look into."""
        return " ".join(self.cells).lower()


def _figure(value: float) -> str:
    return "–" if isnan(value) else fixed(value)
