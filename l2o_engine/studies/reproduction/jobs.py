"""A job is one seed of one experiment; what its run's folder holds decides what is left of it.

:func:`run_job` is a plain function of a plain value: any ``concurrent.futures.Executor`` may run it,
:func:`~l2o_engine.studies.reproduction.workers.process_pool` by default.
"""

from dataclasses import dataclass
from datetime import datetime
from math import nan
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Literal

from l2o_engine.backends.choose import choose
from l2o_engine.live.session import Session
from l2o_engine.presets.identity import told_settings
from l2o_engine.presets.schema import Preset
from l2o_engine.records.events import Stop
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.folder import Run, is_beginning
from l2o_engine.runs.record import RunError
from l2o_engine.studies.comparison import Replicate, summarise
from l2o_engine.studies.held_out import held_out_of
from l2o_engine.studies.reproduction.workers import worker
from l2o_engine.support.errors import Failure, UserError
from l2o_engine.support.wording import quote

_PATIENCE = 60.0  # seconds for which a run that another process drives may stand still
_LOOK = 0.2  # seconds between two looks at it


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
    held_out
        Mean log10 of the last loss on held-out draws, see :mod:`~l2o_engine.studies.held_out`; NaN where there is none.
    """

    job: Job
    status: Literal["done", "failed", "interrupted"]
    message: str = ""
    before: bool = False
    diverged: bool = False
    seconds: float = 0.0
    under_way: tuple[datetime, datetime] | None = None
    replicate: Replicate | None = None
    held_out: float = nan


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
            told = worker.is_stopping
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
            held_out=held_out_of([Run(job.folder)]).reached.get((job.folder, job.seed), nan),
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
    if not is_begun(job):
        return False
    record = Run(job.folder).record()
    is_whole = record.iteration >= job.iterations or record.has_ended_early
    return record.status == "diverged" or (record.status == "finished" and is_whole)


def is_begun(job: Job) -> bool:
    """Return whether a job has a run."""
    return (job.folder / "run.json").is_file()


def _take(job: Job) -> DrivenRun | None:
    """Return the job's run in our hands; None if another process has brought it to its end, or we are to stop."""
    seen, since = (0, ""), monotonic()
    while not worker.is_stopping and not is_done(job):
        if not is_begun(job):
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
    """Return whether another process makes, or has just made, a run in a folder that we could not make one in."""
    return (folder / "run.json").is_file() or is_beginning(folder)


def _drive(driven: DrivenRun) -> None:
    session = Session(driven)
    worker.mailboxes.add(session.mailbox)
    try:
        if worker.is_stopping:
            session.mailbox.put(Stop("SIGTERM"))
        for _ in session.events():
            pass
    finally:
        worker.mailboxes.discard(session.mailbox)


def prepare(preset: Preset) -> None:
    """Load a preset's backend: its kernel is compiled, once, before several processes want it."""
    worker.is_preparing = True
    try:
        if not worker.is_stopping:
            choose(preset.experiment, preset.run.backend).load()
    except KeyboardInterrupt:  # told to stop
        pass
    finally:
        worker.is_preparing = False


def difference(wanted: Job) -> str:
    """Return the first setting by which a job's run differs from it, if it is one that makes another run."""
    there = Run(wanted.folder)
    preset, used = there.preset(), there.record().backend
    ours, theirs = _settings(wanted.preset), _settings(preset)
    asked, asked_there = wanted.preset.run.backend, preset.run.backend
    # Asked for by another name, a backend may still be the one that was used.
    if asked != asked_there and choose(wanted.preset.experiment, asked).name != (used or asked_there):
        ours["run.backend"], theirs["run.backend"] = asked, used or asked_there
    for name in sorted({*ours, *theirs}):
        if ours.get(name) != theirs.get(name):
            return f"{name} is {_said(theirs.get(name))} there, {_said(ours.get(name))} here"
    return ""


def _settings(preset: Preset) -> dict[str, Any]:
    """Return "table.key" → value of all settings but the backend that must be the same in a job's run."""
    run = {f"run.{key}": getattr(preset.run, key) for key in ("iterations", "seed", "seeds")}
    return told_settings(preset) | run


def _said(value: Any) -> str:
    return "not set" if value is None else quote(value)
