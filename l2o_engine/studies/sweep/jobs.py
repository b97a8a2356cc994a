"""A job is one run of a study, in a folder of its own; what that folder holds decides what is left of the job.

Whoever does one is a plain function of plain values: any ``concurrent.futures.Executor`` may do it,
:func:`~l2o_engine.studies.sweep.workers.process_pool` by default.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic, sleep
from typing import Any, Literal

from l2o_engine.backends.choose import choose
from l2o_engine.live.session import Session
from l2o_engine.presets.identity import told_settings
from l2o_engine.presets.labels import Settings
from l2o_engine.presets.schema import Preset
from l2o_engine.records.events import Event, Stop
from l2o_engine.runs.driven import DrivenRun, InOtherHandsError
from l2o_engine.runs.folder import Run, is_beginning
from l2o_engine.runs.record import RunError
from l2o_engine.runs.starting import checkpoint_meant, started
from l2o_engine.studies.comparison import Replicate, Summing, summarise
from l2o_engine.studies.sweep.workers import worker
from l2o_engine.support.wording import quote

_PATIENCE = 60.0  # seconds for which a run that another process drives may stand still
_LOOK = 0.2  # seconds between two looks at it
_CHUNK_SECONDS = 0.25  # nobody watches: of log15_end_log a tenth of the CPU time less than with chunks of 0.05 s

Ending = Literal["done", "reached", "failed", "interrupted", "elsewhere"]
"""How a job ended.

"done": its run is at its end, or has diverged. "reached": it is as far as it was to go for now. "failed": there is no
result. "interrupted": it was told to stop, before or after it began. "elsewhere": another process drives it.
"""


@dataclass(frozen=True)
class Job:
    """One run of a study.

    Attributes
    ----------
    preset
        What is trained, of one seed.
    folder
        The run's.
    group
        By which jobs belong together that differ by their seed alone; the preset's name, if not given.
    begins_with
        The folder of the run that its own begins with, which is another job's; None where it begins with drawn weights.
    """

    preset: Preset
    folder: Path
    group: str = ""
    begins_with: Path | None = None

    @property
    def seed(self) -> int:
        """The seed."""
        return self.preset.run.seed

    @property
    def iterations(self) -> int:
        """The meta-iterations of its run, the first of which has number 0."""
        return self.preset.run.iterations

    @property
    def of(self) -> str:
        """The name of what it is a seed of."""
        return self.group or self.preset.name


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came of a job.

    Attributes
    ----------
    job
        The job.
    status
        How it ended.
    message
        Why it failed.
    before
        Whether it was done already, so that nothing was trained.
    diverged
        Whether the run has diverged.
    seconds
        How long the run has trained, in all sessions.
    """

    job: Job
    status: Ending
    message: str = ""
    before: bool = False
    diverged: bool = False
    seconds: float = 0.0


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


def iteration_of(job: Job) -> int:
    """Return how far a job's run is; 0 where it has none, or none that can be read: its turn will come, and say it."""
    try:
        return Run(job.folder).record().iteration if is_begun(job) else 0
    except RunError:
        return 0


def sum_up(job: Job, heard: Summing | None = None) -> Replicate:
    """Sum up a run that is at its end. What its metrics have lost is not made good by another try.

    Parameters
    ----------
    job
        The job.
    heard
        What was heard of the run while this process drove it: where that is all of it, no row is read again.

    Raises
    ------
    RunError
        If its rows are damaged, or some are missing.
    """
    run = Run(job.folder)
    remedy = f"delete {job.folder}, and the same command trains it again"
    try:
        (replicate,) = heard.replicates(run) if heard is not None and heard.is_whole else summarise(run)
    except RunError as error:
        raise RunError(f"{error}: {remedy}") from error
    iteration = run.record().iteration
    if replicate.iteration != iteration:
        raise RunError(f"{run.metrics_path} ends at {replicate.iteration:,} of {iteration:,}: {remedy}")
    return replicate


def take_in_turn(job: Job) -> DrivenRun | None:
    """Return the job's run in our hands, having waited for who drives it; None if he has ended it, or we are to stop.

    Raises
    ------
    RunError
        If the run cannot be made or taken, or who drives it stands still.
    """
    seen, since = (0, ""), monotonic()
    while not worker.is_stopping and not is_done(job):
        if not is_begun(job):
            try:
                return _created(job)
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


def take_if_free(job: Job, origin: Callable[[Job], Settings | None] = lambda _: None) -> DrivenRun:
    """Return the job's run in our hands, begun or gone on with.

    Parameters
    ----------
    job
        The job.
    origin
        What tells, of a run that is begun, what it is made of (:mod:`l2o_engine.runs.origin`).

    A run that a process of another host has driven is watched for some seconds first
    (:meth:`~l2o_engine.runs.driven.DrivenRun.take`), so one whose worker has died there is taken.

    Raises
    ------
    InOtherHandsError
        If another process drives it, or is about to make it.
    RunError
        If the run cannot be made or taken.
    """
    if is_begun(job):
        return DrivenRun.take(job.folder)
    try:
        return _created(job, origin(job))
    except RunError as error:
        if _is_being_made(job.folder):
            raise InOtherHandsError(str(error)) from error
        raise


def _created(job: Job, origin: Settings | None = None) -> DrivenRun:
    """Return a job's new run in our hands, begun with what the run before it has come to, if there is one."""
    preset, start = job.preset, None
    if job.begins_with is not None:
        preset, start = started(preset, Run(job.begins_with).exported(checkpoint=checkpoint_meant(preset)))
    return DrivenRun.create(preset, job.folder, start=start, origin=origin)


def _is_being_made(folder: Path) -> bool:
    """Return whether another process makes, or has just made, a run in a folder that we could not make one in."""
    return (folder / "run.json").is_file() or is_beginning(folder)


def drive(
    driven: DrivenRun,
    heard: Callable[[Event], Stop | None] = lambda event: None,
    *,
    is_stopped: Callable[[], bool] = lambda: False,
    is_paused: Callable[[], bool] = lambda: False,
) -> None:
    """Drive a run to its end, or until this process, or the run, is told to stop.

    Parameters
    ----------
    driven
        The run; it is closed at the end.
    heard
        Is told what happens, and may answer that it is enough.
    is_stopped, is_paused
        Whether the study was told to stop just now, or to pause: asked once, when the run can be found by who does it.

    Raises
    ------
    Failure
        If the training fails.
    """
    session = Session(driven, chunk_seconds=_CHUNK_SECONDS, start_paused=is_paused(), turns=worker.turns)
    worker.mailboxes.add(session.mailbox)
    try:
        if worker.is_stopping or is_stopped():
            session.mailbox.put(Stop("SIGTERM" if worker.is_stopping else "the study was stopped"))
        for event in session.events():
            if (enough := heard(event)) is not None:
                session.mailbox.put(enough)
    finally:
        worker.mailboxes.discard(session.mailbox)


def prepare(preset: Preset) -> None:
    """Load a preset's backend: its kernel is compiled, once, before several processes want it."""
    worker.is_preparing = True
    try:
        with worker.turn():
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
    settings = told_settings(preset) | run
    if preset.start is not None and preset.start.preset is not None:  # by what the run before it came to is no setting
        settings.pop("start.digest", None)
    return settings


def _said(value: Any) -> str:
    return "not set" if value is None else quote(value)
