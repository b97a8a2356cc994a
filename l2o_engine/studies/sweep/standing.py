"""How a study stands, by what its folder says: for whoever watches it, from any process and any host.

A folder of runs that no sweep has made, a reproduction's say, is watched in the same way: its jobs are the runs that
are there, and what is varied is what their presets were changed in.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import inf, isfinite, nan
from pathlib import Path
from socket import gethostname
from time import monotonic
from typing import Any, Literal

from l2o_engine.records.events import Status
from l2o_engine.records.statistics import Spread, spread_of
from l2o_engine.runs.folder import is_beginning
from l2o_engine.runs.listing import Listed, Surveyor
from l2o_engine.runs.lock import SILENT_SECONDS
from l2o_engine.runs.record import Stamp, stamp_of
from l2o_engine.studies.sweep.halving import median_with_losses
from l2o_engine.studies.sweep.steering import is_paused
from l2o_engine.studies.sweep.study import STATE_FILE, StoredJob, StudyState, read_state
from l2o_engine.support.process_ids import began

JobState = Status | Literal["waits", "starts", "given up"]
"""A run's status; of a job that has no run yet, "waits"; of one that has not trained yet, for it is set up and its turn
has not come, "starts"; of a run that halving has given up, "given up"."""

_WITH_RESULT = ("finished", "diverged", "given up")
_OVER = (*_WITH_RESULT, "failed")
_UNDER_WAY = ("running", "paused")


@dataclass(frozen=True)
class JobStanding:
    """How one job of a study stands.

    Attributes
    ----------
    folder
        Of its run, which may be still to be made.
    preset, settings, seed
        The preset's name; what is varied, "table.key" → value; the seed.
    state
        How it stands.
    iteration, iterations
        How far the run is, of how many meta-iterations; 0 where that is not known.
    final
        Mean log10 of the last loss over the last report so far; NaN where there is none, or the run has diverged.
    seconds
        How long it has trained.
    message
        Why it failed; empty where the run says it, or it has not.
    """

    folder: Path
    preset: str
    settings: Mapping[str, Any]
    seed: int
    state: JobState
    iteration: int = 0
    iterations: int = 0
    final: float = nan
    seconds: float = 0.0
    message: str = ""

    @property
    def is_over(self) -> bool:
        """Whether nothing is left of it to be done."""
        return self.state in _OVER

    @property
    def is_under_way(self) -> bool:
        """Whether a process has it in its hands."""
        return self.state in _UNDER_WAY

    @property
    def has_run(self) -> bool:
        """Whether there is a run to be looked at."""
        return self.state != "waits" and not (self.state == "failed" and self.message)

    @property
    def share(self) -> float:
        """How much of it is done, from 0 to 1."""
        if self.is_over:
            return 1.0
        return min(self.iteration / self.iterations, 1.0) if self.iterations else 0.0


@dataclass(frozen=True)
class SettingStanding:
    """How the seeds of one combination of settings stand.

    Attributes
    ----------
    preset_name, settings
        The preset's name; what is varied, "table.key" → value.
    jobs
        Of its seeds.
    counts_under_way
        Whether the figures are also of runs that are not over, as they are now.
    """

    preset_name: str
    settings: Mapping[str, Any]
    jobs: tuple[JobStanding, ...]
    counts_under_way: bool = False

    @cached_property
    def finals(self) -> dict[int, float]:
        """Seed → mean log10 of the last loss; NaN for one that is lost. Those that have none are not in it."""
        return {job.seed: job.final for job in self.jobs if self._has_figure(job)}

    def _has_figure(self, job: JobStanding) -> bool:
        if job.state in _WITH_RESULT:
            return True
        return self.counts_under_way and job.state != "failed" and isfinite(job.final)

    @cached_property
    def final(self) -> Spread:
        """How that is spread over the seeds; lost ones are counted only."""
        return spread_of(list(self.finals.values()))

    @property
    def given_up(self) -> bool:
        """Whether halving has given it up."""
        return any(job.state == "given up" for job in self.jobs)

    @property
    def share(self) -> float:
        """How much of it is done, from 0 to 1."""
        return sum(job.share for job in self.jobs) / len(self.jobs)


@dataclass(frozen=True)
class StudyStanding:
    """How a study stands.

    Attributes
    ----------
    name, folder
        Of the study.
    status
        "running" or "paused" while a process works on it; else "finished", "failed" or "interrupted".
    jobs
        All of them, in the order in which they are begun.
    driver
        The process that works on it and its host; empty where none does, or that is not told.
    is_sweep
        Whether it is a sweep, which can be told to pause and to stop.
    unreadable
        How many runs cannot be read.
    preparing
        How many jobs wait for a kernel that is being compiled; 0 where that is not told.
    """

    name: str
    folder: Path
    status: Status
    jobs: tuple[JobStanding, ...]
    driver: str = ""
    is_sweep: bool = False
    unreadable: int = 0
    preparing: int = 0

    def counts(self) -> dict[JobState, int]:
        """Return how many jobs stand how."""
        counted: dict[JobState, int] = {}
        for job in self.jobs:
            counted[job.state] = counted.get(job.state, 0) + 1
        return counted

    @property
    def share(self) -> float:
        """How much of it is done, from 0 to 1."""
        return sum(job.share for job in self.jobs) / len(self.jobs) if self.jobs else 0.0

    @property
    def best(self) -> JobStanding | None:
        """The job with the lowest figure of those that have a result; None where there is none."""
        found = [job for job in self.jobs if job.state in _WITH_RESULT and isfinite(job.final)]
        return min(found, key=lambda job: job.final, default=None)

    @property
    def seconds_left(self) -> float:
        """For how long it will still be under way, in seconds, at the pace of its runs now; infinity if none has one.

        Meta-iterations of all jobs that are left, over those that the runs under way make a second. What others take,
        and what halving will leave out, is not foreseen.
        """
        left = sum(job.iterations - job.iteration for job in self.jobs if not job.is_over)
        paces = [job.iteration / job.seconds for job in self.jobs if job.state == "running" and job.seconds > 0]
        return left / sum(paces) if sum(paces) > 0 else inf

    @cached_property
    def settings(self) -> list[SettingStanding]:
        """How the settings stand, by their runs that are over, the best first."""
        return self._settings(with_under_way=False)

    @cached_property
    def settings_so_far(self) -> list[SettingStanding]:
        """The same, where runs that are not over count, too, as they are now."""
        return self._settings(with_under_way=True)

    def _settings(self, *, with_under_way: bool) -> list[SettingStanding]:
        together: dict[Any, list[JobStanding]] = {}
        for job in self.jobs:
            together.setdefault((job.preset, frozen(job.settings)), []).append(job)
        found = [
            SettingStanding(jobs[0].preset, jobs[0].settings, tuple(jobs), with_under_way) for jobs in together.values()
        ]
        return sorted(found, key=_rank)


def _rank(one: SettingStanding) -> tuple[bool, float]:
    """Return by what a setting is ranked: given up or not, then its median, lost seeds the worst."""
    return one.given_up, median_with_losses(list(one.finals.values()))


def frozen(value: Any) -> Any:
    """Return a setting's value, or settings, as what can be a key: lists and tables as tuples."""
    if isinstance(value, Mapping):
        return tuple(sorted((name, frozen(inner)) for name, inner in value.items()))
    return tuple(map(frozen, value)) if isinstance(value, list | tuple) else value


class StudyWatcher:
    """Looks at a study, again and again: what has not been written since is not read again.

    Parameters
    ----------
    folder
        The study's.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.absolute()
        self._surveyor = Surveyor(self._folder)
        self._state: StudyState | None = None
        self._stamp: Stamp | None = None
        self._changed = monotonic()  # when we saw that study.json was written

    def look(self) -> StudyStanding:
        """Return how it stands now. What is wrong with one run keeps no other from being told of."""
        self._read_state()
        survey, state = self._surveyor.look(), self._state
        runs = {run.folder: run for run in survey.all_runs}
        is_driven = state is not None and self._is_driven(state)
        # One that is being made at this moment is not readable yet, and no trouble.
        unreadable = sum(not is_beginning(found.folder) for found in survey.unreadable)
        unreadable += sum(study.unreadable for study in survey.studies)
        if state is not None:
            jobs = tuple(self._of_sweep(job, state, runs.get(self._folder / job.folder)) for job in state.jobs)
        else:
            jobs = _of_runs(list(reversed(runs.values())))
        return StudyStanding(
            name=state.name if state else self._folder.name,
            folder=self._folder,
            status=self._status(jobs, is_driven=is_driven),
            jobs=jobs,
            driver=f"process {state.pid} on {state.host}" if state and is_driven else "",
            is_sweep=state is not None,
            unreadable=unreadable,
            preparing=state.preparing if state and is_driven else 0,
        )

    def _read_state(self) -> None:
        stamp = stamp_of(str(self._folder / STATE_FILE))
        if stamp is None or stamp != self._stamp:
            self._state, self._stamp, self._changed = read_state(self._folder), stamp, monotonic()

    def _status(self, jobs: Sequence[JobStanding], *, is_driven: bool) -> Status:
        state = self._state
        if is_driven:
            return "paused" if is_paused(self._folder) else "running"
        if state is not None and state.status != "running":
            is_cut = state.status == "finished" and not all(job.is_over for job in jobs)
            return "interrupted" if is_cut else state.status
        states = {job.state for job in jobs}
        if states & {"running", "starts", "paused"}:
            return "running" if states & {"running", "starts"} else "paused"
        if jobs and all(job.is_over for job in jobs):
            return "failed" if any(job.state == "failed" for job in jobs) else "finished"
        return "interrupted"

    def _is_driven(self, state: StudyState) -> bool:
        """Return whether the process that worked on it last does still: of another host, by its signs of life."""
        if state.status != "running":
            return False
        if state.host == gethostname() and began(state.pid) is None:
            return False
        return monotonic() - self._changed < SILENT_SECONDS

    def _of_sweep(self, job: StoredJob, state: StudyState, run: Listed | None) -> JobStanding:
        folder = self._folder / job.folder
        failure = state.failures.get(job.folder, "")
        if run is None:
            kind: JobState = "failed" if failure else "waits"
            return JobStanding(
                folder, job.preset, job.settings, job.seed, kind, iterations=job.iterations, message=failure
            )
        return _of_run(run, job.settings, job.iterations or run.iterations, is_given_up=job.folder in state.given_up)


def _of_run(run: Listed, settings: Mapping[str, Any], iterations: int, *, is_given_up: bool = False) -> JobStanding:
    figure = None if run.status == "diverged" else run.average_log_result
    state: JobState = run.status
    if is_given_up and run.status == "interrupted":
        state = "given up"
    elif run.status == "running" and run.iteration <= 0 and not run.elapsed_seconds:
        state = "starts"
    return JobStanding(
        run.folder,
        run.preset,
        settings,
        run.seed,
        state,
        max(run.iteration, 0),
        iterations,
        nan if figure is None else figure,
        run.elapsed_seconds,
    )


def _of_runs(runs: Sequence[Listed]) -> tuple[JobStanding, ...]:
    """Return jobs for runs that no sweep has made: their settings are what was changed of their presets in any."""
    keys = dict.fromkeys(key for run in runs for key in run.changed or {})
    usual = {key: before for run in runs for key, (before, _) in (run.changed or {}).items()}
    return tuple(
        _of_run(
            run,
            {key: (run.changed or {}).get(key, (None, usual[key]))[1] for key in keys},
            run.iterations,
        )
        for run in runs
    )
