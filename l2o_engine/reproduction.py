"""Reproducing the notebook: its experiments over several seeds, in as many processes as there are cores.

One seed of one experiment is a :class:`Job`, and its whole state is a run's folder. What is done is read from there, so
a reproduction that was interrupted, or killed, goes on where it was when it is started again. :func:`run_job` is a
plain function of a plain value: any ``concurrent.futures.Executor`` may run it, :func:`process_pool` by default.
"""

import multiprocessing
import os
import shutil
import signal
import sys
import threading
from collections.abc import Iterable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from math import isnan, nan
from multiprocessing import forkserver
from pathlib import Path
from time import monotonic, sleep
from types import FrameType
from typing import Any, Literal

from filelock import FileLock, Timeout

from l2o_engine import preset as presets
from l2o_engine.backends import choose
from l2o_engine.comparison import Group, Replicate, Spread, spread_of, summarise
from l2o_engine.errors import Failure, UserError
from l2o_engine.events import Stop
from l2o_engine.preset import Preset, experiment_settings
from l2o_engine.preset_messages import nearest, quote
from l2o_engine.runs import DrivenRun, Run, RunError
from l2o_engine.session import Mailbox, Session

GROUPS = ("episode1", "episode2", "beyond", "all")
"""What can be reproduced: the notebook's two episodes, ours beyond them, everything."""

NOTEBOOK_LEVELS = {"SGD": -3.70, "RMSProp": -18.17}
"""What the notebook's hand-designed optimizers reach: mean log10 of the last loss over 1,000 draws, ±0.2."""

FEW_SEEDS = 4
"""With fewer, a median says little: take-off times vary by seed."""

_FOLDER = "reproduction"
_PATIENCE = 60.0  # seconds for which a run that another process drives may stand still
_LOOK = 0.2  # seconds between two looks at it
_UNBORN = {
    ".lock",
    "checkpoints",
    "commands",
    "preset.toml",
    "metrics.csv",
}  # a folder's, until run.json makes it a run


class ReproductionError(UserError):
    """What was asked for cannot be reproduced. The message is meant for the user."""


def experiments_of(group: str, only: Sequence[str] = ()) -> list[Preset]:
    """Return a group's shipped experiments, each episode's from the notebook's worst result to its best.

    Parameters
    ----------
    group
        One of :data:`GROUPS`.
    only
        Names of experiments, to take only these.

    Raises
    ------
    ReproductionError
        If there is no such group, or no such experiment in it.
    """
    if group not in GROUPS:
        hint = nearest(group, GROUPS) or "."
        raise ReproductionError(f'cannot reproduce "{group}"{hint} Choose one of {", ".join(GROUPS)}')
    shipped = [presets.load(presets.find(name)) for name in presets.shipped_names()]
    found = {preset.name: preset for preset in shipped if preset.kind == "meta-training"}
    names = [name for name, preset in found.items() if group in ("all", _group_of(preset))]
    for name in only:
        if name not in names:
            hint = nearest(name, names) or f": it has {', '.join(names)}"
            elsewhere = f"; it is in {_group_of(found[name])}" if name in found else hint
            raise ReproductionError(f'there is no experiment "{name}" in {group}{elsewhere}')
    chosen = [found[name] for name in names if not only or name in only]
    return sorted(
        chosen, key=lambda preset: (GROUPS.index(_group_of(preset)), -(preset.published_final or 0), preset.name)
    )


def _group_of(preset: Preset) -> str:
    episode = preset.notebook.episode if preset.notebook else None
    return f"episode{episode}" if episode else "beyond"


@dataclass(frozen=True)
class Job:
    """One seed of one experiment, and the folder of its run."""

    preset: Preset
    folder: Path

    @property
    def seed(self) -> int:
        """The seed."""
        return self.preset.run.seed

    @property
    def iterations(self) -> int:
        """The meta-iterations of its run, the first of which has number 0."""
        return self.preset.run.iterations


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came of a job.

    Attributes
    ----------
    job
        The job.
    status
        "done": the run is at its end, or has diverged, and there is a result. "failed": there is none. "interrupted":
        it was told to stop, before or after it began.
    message
        Why it failed.
    before
        Whether it was done already, so that nothing was trained.
    diverged
        Whether the run has diverged.
    seconds
        How long the run has trained, in all sessions.
    under_way
        When the run was begun and last written to; None unless it is done.
    replicate
        The run summed up; None unless it is done.
    """

    job: Job
    status: Literal["done", "failed", "interrupted"]
    message: str = ""
    before: bool = False
    diverged: bool = False
    seconds: float = 0.0
    under_way: tuple[datetime, datetime] | None = None
    replicate: Replicate | None = None


def run_job(job: Job) -> Outcome:
    """Do what is left of a job's run: begin it, go on with it, or only read it. A plain function of a plain value.

    A run that another process drives is waited for. Nothing is raised: what fails is told in the outcome.
    """
    try:
        before = is_done(job)
        driven = None if before else _take(job)
        if driven is not None:
            _drive(driven)
        if not is_done(job):
            told = _worker.is_stopping
            return Outcome(job, "interrupted") if told else Outcome(job, "failed", "another process stopped it")
        record = Run(job.folder).record()
        return Outcome(
            job,
            "done",
            before=before,
            diverged=record.status == "diverged",
            seconds=record.elapsed_seconds,
            under_way=(datetime.fromisoformat(record.created), datetime.fromisoformat(record.updated)),
            replicate=_read(job),
        )
    except (UserError, Failure) as error:
        return Outcome(job, "failed", str(error))
    except Exception as error:  # noqa: BLE001 (one job that fails, however it does, must not stop the others)
        return Outcome(job, "failed", f"{type(error).__name__}: {error}")


def _read(job: Job) -> Replicate:
    """Sum up a run that is at its end. What its metrics have lost is not made good by another try."""
    run = Run(job.folder)
    remedy = f"delete {job.folder}, and the same command trains it again"
    try:
        (replicate,) = summarise(run)
    except RunError as error:
        raise RunError(f"{error}: {remedy}") from error
    iteration = run.record().iteration
    if replicate.iteration != iteration:
        raise RunError(f"{run.metrics_path} ends at {replicate.iteration:,} of {iteration:,}: {remedy}")
    return replicate


def is_done(job: Job) -> bool:
    """Return whether a job's run is at its end, or has diverged, by what its folder says.

    Raises
    ------
    RunError
        If the folder's run cannot be read.
    """
    if not _is_begun(job):
        return False
    record = Run(job.folder).record()
    return record.status == "diverged" or (record.status == "finished" and record.iteration >= job.iterations)


def _is_begun(job: Job) -> bool:
    return (job.folder / "run.json").is_file()


def _take(job: Job) -> DrivenRun | None:
    """Return the job's run in our hands; None if another process has brought it to its end, or we are to stop."""
    seen, since = (0, ""), monotonic()
    while not _worker.is_stopping and not is_done(job):
        if not _is_begun(job):
            try:
                return DrivenRun.create(job.preset, job.folder)
            except RunError:
                if not _is_being_made(job.folder):
                    raise
        else:
            run = Run(job.folder)
            if not run.is_driven():
                return DrivenRun.take(job.folder)
            record = run.record()
            if (record.iteration, record.status) != seen:
                seen, since = (record.iteration, record.status), monotonic()
            elif monotonic() - since > _PATIENCE:
                raise RunError(f"{run.name} is being driven by process {record.pid} on {record.host}, and stands still")
        sleep(_LOOK)
    return None


def _is_being_made(folder: Path) -> bool:
    """Return whether a folder is one that a run is just made in; what a killed process left of one is removed."""
    names = {path.name for path in folder.iterdir()} if folder.is_dir() else {""}
    if "run.json" in names:
        return True
    if not all(name in _UNBORN or name.endswith(".tmp") for name in names):
        return False
    try:
        with FileLock(folder / ".lock").acquire(timeout=0):
            shutil.rmtree(folder)
    except Timeout:
        pass  # whoever makes it is alive
    return True


def _drive(driven: DrivenRun) -> None:
    session = Session(driven)
    _worker.mailboxes.add(session.mailbox)
    try:
        if _worker.is_stopping:
            session.mailbox.put(Stop("SIGTERM"))
        for _ in session.events():
            pass
    finally:
        _worker.mailboxes.discard(session.mailbox)


def prepare(preset: Preset) -> None:
    """Load a preset's backend: its kernel is compiled, once, before several processes want it."""
    _worker.is_preparing = True
    try:
        if not _worker.is_stopping:
            choose(preset, preset.run.backend).load()
    except KeyboardInterrupt:  # told to stop
        pass
    finally:
        _worker.is_preparing = False


class _Worker:
    """What SIGTERM reaches in this process, if it is one of the pool's."""

    def __init__(self) -> None:
        self.is_stopping = False
        self.is_preparing = False
        self.mailboxes: set[Mailbox] = set()

    def begin(self) -> None:
        """Set this process up as a worker."""
        # The training thread needs the interpreter only for moments; it should not wait 5 ms for each.
        sys.setswitchinterval(0.0005)
        for number in (signal.SIGINT, signal.SIGHUP):  # the parent hears them too, and tells us
            signal.signal(number, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, self._stop)
        threading.Thread(target=self._end_with_parent, daemon=True).start()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.is_stopping = True
        for mailbox in list(self.mailboxes):
            mailbox.put(Stop("SIGTERM"))
        if self.is_preparing:
            self.is_preparing = False  # once is enough
            raise KeyboardInterrupt  # a compiler has no mailbox

    def _end_with_parent(self) -> None:
        """Save what is under way and end, when the parent is gone: nobody would ever tell this process to."""
        parent = multiprocessing.parent_process()
        if parent is None:
            return
        parent.join()
        self.is_stopping = True
        for mailbox in list(self.mailboxes):
            mailbox.put(Stop("the parent process ended"))
        while self.mailboxes:
            sleep(0.02)
        os._exit(1)


_worker = _Worker()


def _begin_work() -> None:
    _worker.begin()


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def process_pool(workers: int) -> Executor:
    """Return an executor of so many processes of this machine. To be called in the main thread."""
    # Started while they are ignored, the server and all workers, which it forks, ignore them from their first moment:
    # a signal to the whole process group must not end the server. The workers listen to SIGTERM once they are set up.
    ignored = (signal.SIGINT, signal.SIGHUP, signal.SIGTERM)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in ignored}
    try:
        forkserver.ensure_running()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return ProcessPoolExecutor(workers, multiprocessing.get_context("forkserver"), initializer=_begin_work)


@dataclass(frozen=True)
class Standing:
    """How far an experiment is: runs and meta-iterations done, over all of its seeds, read already or not."""

    name: str
    runs: int
    all_runs: int
    iterations: int
    all_iterations: int


@dataclass(frozen=True, eq=False)
class Result:
    """What came of an experiment.

    Attributes
    ----------
    preset
        The experiment.
    replicates
        The runs that are done, by seed, except those that are lost.
    lost
        The seeds whose run has diverged, or ends without a finite result.
    failed
        The jobs that failed.
    seconds
        How long all of its runs have trained, added up.
    under_way
        When each of its runs was begun and last written to.
    """

    preset: Preset
    replicates: tuple[Replicate, ...]
    lost: tuple[int, ...]
    failed: tuple[Outcome, ...]
    seconds: float
    under_way: tuple[tuple[datetime, datetime], ...] = ()

    @property
    def name(self) -> str:
        """The experiment's name."""
        return self.preset.name

    @cached_property
    def group(self) -> Group | None:
        """The replicates as a group, for pictures; None where there are none."""
        return Group(self.name, self.preset, self.replicates) if self.replicates else None

    @property
    def seeds(self) -> int:
        """How many seeds have a result, lost ones too."""
        return len(self.replicates) + len(self.lost)

    @cached_property
    def final(self) -> Spread:
        """How the final mean log10 of the last loss is spread over the seeds; lost ones are counted only."""
        return spread_of([replicate.final for replicate in self.replicates] + [nan] * len(self.lost))

    @cached_property
    def sum_loss(self) -> Spread:
        """How the final mean of the summed loss is spread over the seeds."""
        return spread_of([replicate.sum_loss for replicate in self.replicates])

    @property
    def stuck(self) -> int:
        """How many replicates never took off."""
        return sum(not replicate.took_off for replicate in self.replicates)

    @property
    def published(self) -> float | None:
        """The notebook's final mean log10 of the last loss."""
        return self.preset.published_final

    @property
    def tolerance(self) -> float | None:
        """How far our median may be from it."""
        return self.preset.notebook.tolerance if self.preset.notebook else None

    @property
    def difference(self) -> float | None:
        """Our median less the notebook's final: below 0 ours is better. None where either is missing."""
        return None if self.published is None or isnan(self.final.median) else self.final.median - self.published

    @property
    def is_reproduced(self) -> bool | None:
        """Whether our median is within its tolerance of the notebook's; None where there is nothing to compare."""
        if self.published is None or self.tolerance is None or not self.seeds:
            return None
        return self.difference is not None and abs(self.difference) <= self.tolerance


def wall_seconds(results: Sequence[Result]) -> float:
    """Return for how long at least one of the results' runs was under way, a pause between two commands left out."""
    total, until = 0.0, datetime.min.replace(tzinfo=UTC)
    for began, ended in sorted(span for result in results for span in result.under_way):
        total += max((ended - max(began, until)).total_seconds(), 0)
        until = max(until, ended)
    return total


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
        "auto", "fused" or "torch"; None for what each preset says.

    Attributes
    ----------
    jobs
        All jobs, the longest first, so that no core waits long for another at the end.

    Raises
    ------
    ReproductionError
        If a job's folder holds a run with other settings, or one that cannot be read.
    PresetError
        If the backend cannot take a preset.
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
        return Job(presets.override(preset, settings), self._folder / f"{preset.name}-s{seed}")

    def _check(self) -> None:
        """Check all that can be checked before anything is started, and note what is done and what to compile."""
        for job in self.jobs:
            try:
                difference = _difference(Run(job.folder), job) if _is_begun(job) else ""
                if is_done(job):
                    self._done.add(job.folder)
            except RunError as error:
                raise ReproductionError(f"{error}. Delete {job.folder}, or choose another --runs-dir") from error
            if difference:
                raise ReproductionError(
                    f"{job.folder} holds a run with other settings ({difference}). "
                    "Delete it, or choose another --runs-dir"
                )
            if job.folder not in self._done and job.preset.name not in self._kernels:
                self._kernels[job.preset.name] = choose(job.preset, job.preset.run.backend).to_compile

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
            self._stop_workers()  # again: one that was being set up did not hear it
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
        self._stop_workers()

    @staticmethod
    def _stop_workers() -> None:
        for worker in multiprocessing.active_children():
            worker.terminate()

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
        return Run(job.folder).record().iteration if _is_begun(job) else 0
    except RunError:  # its turn will come, and say it
        return 0


def _difference(there: Run, wanted: Job) -> str:
    """Return the first setting by which a run differs from a job, if it is one that makes another run."""
    preset, used = there.preset(), there.record().backend
    ours, theirs = _settings(wanted.preset), _settings(preset)
    asked, asked_there = wanted.preset.run.backend, preset.run.backend
    # Asked for by another name, a backend may still be the one that was used.
    if asked != asked_there and choose(wanted.preset, asked).name != (used or asked_there):
        ours["run.backend"], theirs["run.backend"] = asked, used or asked_there
    for name in sorted({*ours, *theirs}):
        if ours.get(name) != theirs.get(name):
            return f"{name} is {_said(theirs.get(name))} there, {_said(ours.get(name))} here"
    return ""


def _settings(preset: Preset) -> dict[str, Any]:
    """Return "table.key" → value of all settings but the backend that must be the same in a job's run."""
    run = {f"run.{key}": getattr(preset.run, key) for key in ("iterations", "seed", "seeds")}
    return experiment_settings(preset) | run


def _said(value: Any) -> str:
    return "not set" if value is None else quote(value)
