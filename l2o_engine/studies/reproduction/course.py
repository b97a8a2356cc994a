"""Experiments over seeds, in the hands of an executor."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any

from l2o_engine.presets.files import override
from l2o_engine.presets.schema import Preset
from l2o_engine.records.statistics import spread_of
from l2o_engine.studies.reproduction.experiments import ReproductionError, begins_with
from l2o_engine.studies.reproduction.jobs import Outcome, run_job
from l2o_engine.studies.reproduction.results import Result
from l2o_engine.studies.sweep.course import Course
from l2o_engine.studies.sweep.jobs import Ending, Job, iteration_of

_FOLDER = "reproduction"


@dataclass(frozen=True)
class Standing:
    """How far an experiment is: runs and meta-iterations done, over all of its seeds, read already or not."""

    name: str
    runs: int
    all_runs: int
    iterations: int
    all_iterations: int


class Reproduction(Course[Outcome]):
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
        If a job's folder holds a run with other settings, or one that cannot be read; or what an experiment begins with
        is not among them.
    BackendError
        If the backend cannot take a preset.
    TooLargeError
        If this machine has not the memory for a run.
    """

    def __init__(
        self, experiments: Sequence[Preset], *, seeds: int, runs_dir: Path, backend: str | None = None
    ) -> None:
        self._experiments = list(experiments)
        names = {preset.name for preset in experiments}
        for preset in experiments:
            if (before := begins_with(preset)) is not None and before not in names:
                raise ReproductionError(f"{preset.name} begins with a run of {before}, which is not to be trained")
        self._folder = (runs_dir / _FOLDER).absolute()  # an executor's workers may work elsewhere
        longest_first = sorted(experiments, key=lambda preset: -preset.run.iterations)
        super().__init__([self._job(preset, seed, backend) for preset in longest_first for seed in range(seeds)])
        self.check()

    def _job(self, preset: Preset, seed: int, backend: str | None) -> Job:
        settings = [f"run.seed={seed}", "run.seeds=1"] + ([f"run.backend={backend}"] if backend else [])
        before = begins_with(preset)
        return Job(
            override(preset, settings),
            self._folder_of(preset.name, seed),
            begins_with=self._folder_of(before, seed) if before else None,
        )

    def _folder_of(self, name: str, seed: int) -> Path:
        return self._folder / f"{name}-s{seed}"

    def _call(self, job: Job) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return run_job, (job,)

    def _answered(self, job: Job, answer: Outcome) -> Outcome:
        return answer

    def _ended(self, job: Job, status: Ending, message: str = "") -> Outcome:
        return Outcome(job, status, message)

    def _refusal(self, message: str) -> ReproductionError:
        return ReproductionError(message)

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
        super().start(executor)

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

    def standings(self) -> list[Standing]:
        """Return how far every experiment is, by what the runs' folders say now."""
        found = []
        for preset in self._experiments:
            jobs = [job for job in self.jobs if job.preset.name == preset.name]
            over = [job.folder in self._outcomes or job.folder in self._done for job in jobs]
            iterations = [
                job.iterations if is_over else iteration_of(job) for job, is_over in zip(jobs, over, strict=True)
            ]
            found.append(
                Standing(preset.name, sum(over), len(jobs), sum(iterations), sum(job.iterations for job in jobs))
            )
        return found
