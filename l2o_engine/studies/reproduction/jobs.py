"""What a reproduction makes of its jobs: an ordinary run each, and its figures."""

from dataclasses import dataclass
from datetime import datetime
from math import nan

from l2o_engine.runs.folder import Run
from l2o_engine.studies.comparison import Replicate
from l2o_engine.studies.held_out import held_out_of
from l2o_engine.studies.sweep import jobs
from l2o_engine.studies.sweep.jobs import Job, drive, is_done, sum_up, take_in_turn
from l2o_engine.studies.sweep.workers import worker
from l2o_engine.support.errors import Failure, UserError


@dataclass(frozen=True, eq=False)
class Outcome(jobs.Outcome):
    """What came of a job.

    Attributes
    ----------
    under_way
        When the run was begun and last written to; None unless it is done.
    replicate
        The run summed up; None unless it is done.
    held_out
        Mean log10 of the last loss on held-out draws, see :mod:`~l2o_engine.studies.held_out`; NaN where there is none.
    """

    under_way: tuple[datetime, datetime] | None = None
    replicate: Replicate | None = None
    held_out: float = nan


def run_job(job: Job) -> Outcome:
    """Do what is left of a job's run: begin it, go on with it, or only read it. A plain function of a plain value.

    A run that another process drives is waited for. Nothing is raised: what fails is told in the outcome.
    """
    with worker.at_work():
        return _run_job(job)


def _run_job(job: Job) -> Outcome:
    try:
        before = is_done(job)
        driven = None if before else take_in_turn(job)
        if driven is not None:
            drive(driven)
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
            replicate=sum_up(job),
            held_out=held_out_of([Run(job.folder)]).reached.get((job.folder, job.seed), nan),
        )
    except (UserError, Failure) as error:
        return Outcome(job, "failed", str(error))
    except Exception as error:  # noqa: BLE001 (one job that fails, however it does, must not stop the others)
        return Outcome(job, "failed", f"{type(error).__name__}: {error}")
