"""Experiments over seeds, in the hands of an executor."""

from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any

from l2o_engine.backends.choose import choose
from l2o_engine.live.sizes import admit
from l2o_engine.presets.files import override
from l2o_engine.presets.schema import Preset
from l2o_engine.records.statistics import spread_of
from l2o_engine.runs.folder import Run
from l2o_engine.runs.record import RunError
from l2o_engine.studies.reproduction.experiments import ReproductionError
from l2o_engine.studies.reproduction.jobs import Job, Outcome, difference, is_begun, is_done, prepare, run_job
from l2o_engine.studies.reproduction.results import Result
from l2o_engine.studies.reproduction.workers import stop_workers

_FOLDER = "reproduction"


@dataclass(frozen=True)
class Standing:
    """How far an experiment is: runs and meta-iterations done, over all of its seeds, read already or not."""

    name: str
    runs: int
    all_runs: int
    iterations: int
    all_iterations: int


class Reproduction:
    """Experiments over seeds, in the hands of an executor.

    Parameters
    ----------
    experiments
        The experiments.
    seeds
        How many seeds each: 0, 1, …
    runs_dir
        Where runs are kept; these go into its folder ``reproduction``.
    backend
        "auto", "fused", "coordinatewise" or "torch"; None for what each preset says.

    Attributes
    ----------
    jobs
        All jobs, the longest first, so that no core waits long for another at the end.

    Raises
    ------
    ReproductionError
        If a job's folder holds a run with other settings, or one that cannot be read.
    BackendError
        If the backend cannot take a preset.
    TooLargeError
        If this machine has not the memory for a run.
    """

    def __init__(
        self, experiments: Sequence[Preset], *, seeds: int, runs_dir: Path, backend: str | None = None
    ) -> None:
        self._experiments = list(experiments)
        self._folder = (runs_dir / _FOLDER).absolute()  # an executor's workers may work elsewhere
        longest_first = sorted(experiments, key=lambda preset: -preset.run.iterations)
        self.jobs = [self._job(preset, seed, backend) for preset in longest_first for seed in range(seeds)]
        self._kernels: dict[str, str] = {}  # experiment → the kernel that has to be compiled for it
        self._done: set[Path] = set()
        self._check()
        self._outcomes: dict[Path, Outcome] = {}
        self._executor: Executor | None = None
        self._running: dict[Future[Outcome], Job] = {}
        self._preparing: dict[Future[None], list[Job]] = {}
        self._is_stopped = False

    def _job(self, preset: Preset, seed: int, backend: str | None) -> Job:
        settings = [f"run.seed={seed}", "run.seeds=1"] + ([f"run.backend={backend}"] if backend else [])
        return Job(override(preset, settings), self._folder / f"{preset.name}-s{seed}")

    def _check(self) -> None:
        """Check all that can be checked before anything is started, and note what is done and what to compile."""
        for job in self.jobs:
            try:
                other = difference(job) if is_begun(job) else ""
                if is_done(job):
                    self._done.add(job.folder)
            except RunError as error:
                raise ReproductionError(f"{error}. Delete {job.folder}, or choose another --runs-dir") from error
            if other:
                raise ReproductionError(
                    f"{job.folder} holds a run with other settings ({other}). Delete it, or choose another --runs-dir"
                )
            if job.folder not in self._done and job.preset.name not in self._kernels:
                admit(job.preset)
                self._kernels[job.preset.name] = choose(job.preset.experiment, job.preset.run.backend).to_compile

    def start(self, executor: Executor) -> None:
        """Give all jobs to an executor; those whose kernel is still to be compiled wait for that.

        Raises
        ------
        ReproductionError
            If the folder cannot be made.
        """
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ReproductionError(f"cannot make {self._folder}: {error.strerror}") from error
        self._executor = executor
        self._submit(job for job in self.jobs if job.folder in self._done)  # to read a run takes no time
        waiting: dict[str, list[Job]] = {}
        for job in self.jobs:
            if job.folder not in self._done:
                waiting.setdefault(self._kernels[job.preset.name], []).append(job)
        ready = waiting.pop("", [])
        for jobs in waiting.values():
            self._preparing[executor.submit(prepare, jobs[0].preset)] = jobs
        self._submit(ready)

    def _submit(self, jobs: Iterable[Job]) -> None:
        if self._executor is None:
            raise RuntimeError("the reproduction has not been started")
        for job in jobs:
            self._running[self._executor.submit(run_job, job)] = job

    @property
    def _futures(self) -> list[Future[Any]]:
        return [*self._running, *self._preparing]

    @property
    def is_going_on(self) -> bool:
        """Whether there are jobs that have no outcome yet."""
        return bool(self._running or self._preparing)

    def wait(self, seconds: float) -> list[Outcome]:
        """Wait for outcomes, for so many seconds at most, and return the new ones."""
        if self._is_stopped:
            stop_workers()  # again: one that was being set up did not hear it
        done, _ = wait(self._futures, seconds, FIRST_COMPLETED)
        found = []
        for future in done:
            if future in self._running:
                found.append(self._outcome(future, self._running.pop(future)))
            else:
                found += self._go_on(self._preparing.pop(future))
        self._outcomes |= {outcome.job.folder: outcome for outcome in found}
        return found

    def _go_on(self, jobs: list[Job]) -> list[Outcome]:
        """Submit jobs whose kernel has been prepared; if that failed, each of them will tell why."""
        if self._is_stopped:
            return [Outcome(job, "interrupted") for job in jobs]
        try:
            self._submit(jobs)
        except BrokenProcessPool:
            return [_broken(job) for job in jobs if job not in self._running.values()]
        return []

    def _outcome(self, future: "Future[Outcome]", job: Job) -> Outcome:
        error = None if future.cancelled() else future.exception()
        if future.cancelled() or (error is not None and self._is_stopped):
            return Outcome(job, "interrupted")
        if isinstance(error, BrokenProcessPool):
            return _broken(job)
        return Outcome(job, "failed", f"{type(error).__name__}: {error}") if error else future.result()

    def stop(self) -> None:
        """Begin nothing more, and let the workers save what they are at; their outcomes are still to be waited for.

        Of an executor of another kind than ours, what is under way comes to its end.
        """
        self._is_stopped = True
        for future in self._futures:
            future.cancel()
        stop_workers()

    def result(self, name: str) -> Result | None:
        """Return what came of an experiment; None as long as one of its jobs is neither done nor has failed."""
        jobs = [job for job in self.jobs if job.preset.name == name]
        outcomes = [self._outcomes[job.folder] for job in jobs if job.folder in self._outcomes]
        if len(outcomes) < len(jobs) or any(outcome.status == "interrupted" for outcome in outcomes):
            return None
        done = [(outcome, outcome.replicate) for outcome in outcomes if outcome.replicate is not None]
        kept = [not (outcome.diverged or isnan(replicate.final)) for outcome, replicate in done]
        return Result(
            preset=jobs[0].preset,
            replicates=tuple(replicate for (_, replicate), keep in zip(done, kept, strict=True) if keep),
            lost=tuple(outcome.job.seed for (outcome, _), keep in zip(done, kept, strict=True) if not keep),
            failed=tuple(outcome for outcome in outcomes if outcome.status == "failed"),
            seconds=sum(outcome.seconds for outcome in outcomes),
            under_way=tuple(outcome.under_way for outcome in outcomes if outcome.under_way),
            held_out=spread_of([outcome.held_out for outcome, _ in done]),
        )

    def results(self) -> list[Result]:
        """Return the results of the experiments that are over, in the experiments' order."""
        found = [self.result(preset.name) for preset in self._experiments]
        return [result for result in found if result is not None]

    @property
    def outcomes(self) -> list[Outcome]:
        """What came of the jobs so far."""
        return list(self._outcomes.values())

    def standings(self) -> list[Standing]:
        """Return how far every experiment is, by what the runs' folders say now."""
        found = []
        for preset in self._experiments:
            jobs = [job for job in self.jobs if job.preset.name == preset.name]
            over = [job.folder in self._outcomes or job.folder in self._done for job in jobs]
            iterations = [
                job.iterations if is_over else _iteration(job) for job, is_over in zip(jobs, over, strict=True)
            ]
            found.append(
                Standing(preset.name, sum(over), len(jobs), sum(iterations), sum(job.iterations for job in jobs))
            )
        return found


def _broken(job: Job) -> Outcome:
    return Outcome(job, "failed", "a worker process ended abruptly (out of memory?)")


def _iteration(job: Job) -> int:
    try:
        return Run(job.folder).record().iteration if is_begun(job) else 0
    except RunError:  # its turn will come, and say it
        return 0
