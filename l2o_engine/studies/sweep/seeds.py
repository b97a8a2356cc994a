"""One run of a study: trained as far as it is to go, in whatever process, and what came of it as plain values."""

import os
import socket
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from math import isfinite, nan
from pathlib import Path
from typing import Any

from l2o_engine.live.sizes import admit
from l2o_engine.presets.files import check
from l2o_engine.presets.labels import Settings
from l2o_engine.presets.shipped import shipped_names
from l2o_engine.records.events import Event, Progress, Stop
from l2o_engine.runs import origin
from l2o_engine.runs.driven import InOtherHandsError
from l2o_engine.runs.folder import Run
from l2o_engine.runs.record import Record, RunError
from l2o_engine.studies.comparison import Replicate, Summing, took_off
from l2o_engine.studies.sweep.jobs import (
    Job,
    Outcome,
    drive,
    is_begun,
    is_done,
    sum_up,
    take_if_free,
)
from l2o_engine.studies.sweep.over import SweepError
from l2o_engine.studies.sweep.steering import is_paused, is_told_to_stop, wait_for_turn
from l2o_engine.studies.sweep.study import STUDY_FILE, presets_of, read_settings
from l2o_engine.studies.sweep.workers import worker
from l2o_engine.support.errors import Failure, UserError
from l2o_engine.support.user_code import allow_code
from l2o_engine.tasks.data.base import FOLDER_VARIABLE

_COMPARED = ("cpu", "l2o-tui", "numpy", "torch", "numba", "llvmlite")
"""What a result may depend on in its last bits: of the versions that a run records."""


@dataclass(frozen=True, eq=False)
class SeedOutcome(Outcome):
    """What came of one run.

    Attributes
    ----------
    iteration
        The last meta-iteration that its figures are of.
    final
        Mean log10 of the last loss over the last ``report.every`` meta-iterations; NaN where none was finite.
    sum_loss
        Mean of the summed loss over the same; NaN where it is not known.
    took_off
        Whether it learned; None as long as that is not known.
    host
        Where it was computed.
    versions
        Of what its result may depend on, "cpu" among them.
    """

    iteration: int = 0
    final: float = nan
    sum_loss: float = nan
    took_off: bool | None = None
    host: str = ""
    versions: Mapping[str, str] | None = None


def run_seed(
    tables: Mapping[str, Any], folder: str, until: int | None = None, code: Sequence[str] = (), data: str = ""
) -> dict[str, Any]:
    """Do what is left of one run: begin it, go on with it, or only read it. A plain function of plain values.

    A run that another process drives is left to it. Nothing is raised: what fails is told.

    Parameters
    ----------
    tables
        The effective preset's.
    folder
        The run's, absolute; below the study's, where a file may say that nothing is to be begun, or not now
        (:mod:`~l2o_engine.studies.sweep.steering`).
    until
        The meta-iteration of the report that it is to go to; None for its end. A little more is trained.
    code
        Folders from which the user lets code run (:func:`~l2o_engine.support.user_code.allow_code`), absolute.
    data
        Where data sets are, absolute; "" for where this process looks for them anyhow.

    Returns
    -------
    dict
        The fields of a :class:`SeedOutcome` but its job, as JSON has them: None for a number that is not finite.
    """
    try:
        allow_code(*code)
        if data:
            os.environ[FOLDER_VARIABLE] = data
        with worker.at_work():
            return _plain(_run(Job(check(tables), Path(folder)), until))
    except InOtherHandsError as error:
        return {"status": "elsewhere", "message": str(error)}
    except (UserError, Failure) as error:
        if _is_in_other_hands(Path(folder)):  # who had stopped for long has lost it to another
            return {"status": "elsewhere", "message": str(error)}
        return {"status": "failed", "message": str(error)}
    except Exception as error:  # noqa: BLE001 (one run that fails, however it does, must not stop the others)
        return {"status": "failed", "message": f"{type(error).__name__}: {error}"}


def read_seed(job: Job, until: int | None = None) -> dict[str, Any]:
    """Return what :func:`run_seed` would, without training anything: "interrupted" for what is not so far."""
    try:
        if is_done(job):
            return _plain(_done(job, before=True))
        if until is not None and is_begun(job) and (row := _reported(job, until)) is not None:
            return _plain(_reached(job, row, before=True))
        return _plain(SeedOutcome(job, "interrupted"))
    except UserError as error:
        return {"status": "failed", "message": str(error)}


def outcome_of(job: Job, answer: Mapping[str, Any]) -> SeedOutcome:
    """Return the outcome that :func:`run_seed` has told of."""
    numbers = {name: nan if answer.get(name) is None else answer[name] for name in ("final", "sum_loss")}
    return SeedOutcome(job, **{**answer, **numbers})


def _origin(job: Job) -> Settings | None:
    """Return the settings of the study's preset that a run is a variation of, unless that is a shipped one."""
    if job.preset.name in shipped_names():
        return None
    path = job.folder.parent / STUDY_FILE
    with suppress(UserError):  # it only says what lists tell of the run
        for preset in presets_of(read_settings(path, follows=False), path):
            if preset.name == job.preset.name:
                return origin.of_preset(preset)
    return None


def _run(job: Job, until: int | None) -> SeedOutcome:
    study = job.folder.parent

    def is_stopped() -> bool:
        return worker.is_stopping or is_told_to_stop(study)

    summing = Summing(job.preset)

    def hear(event: Event) -> Stop | None:
        summing.hear(event)
        is_there = until is not None and isinstance(event, Progress) and event.iteration >= until
        return Stop(f"halving: the round goes to {until:,}") if is_there else None

    before = _is_over(job, until)
    if not before:
        wait_for_turn(study, is_stopped)
        if is_stopped():
            return SeedOutcome(job, "interrupted")
        if not (study / STUDY_FILE).is_file():  # a worker that came later, and would train into the void
            raise SweepError(
                f"{socket.gethostname()} does not see {study}: the runs folder must be on a file system that all "
                "workers share, by the same path"
            )
        admit(job.preset)  # where it is computed there may be less room than where it was asked for
        drive(take_if_free(job, _origin), hear, is_stopped=is_stopped, is_paused=lambda: is_paused(study))
    if is_done(job):
        return _done(job, before=before, heard=summing)
    if until is not None and (row := _reported(job, until)) is not None:
        return _reached(job, row, before=before)
    if is_stopped():
        return SeedOutcome(job, "interrupted")
    return SeedOutcome(job, "interrupted", "it was told to stop")


def _is_over(job: Job, until: int | None) -> bool:
    return is_done(job) or (until is not None and is_begun(job) and _reported(job, until) is not None)


def _reported(job: Job, iteration: int) -> Progress | None:
    return next((row for row in Run(job.folder).progress() if row.iteration == iteration), None)


def _done(job: Job, *, before: bool, heard: Summing | None = None) -> SeedOutcome:
    replicate, record = sum_up(job, heard), Run(job.folder).record()
    return SeedOutcome(
        job,
        "done",
        before=before,
        diverged=record.status == "diverged",
        seconds=record.elapsed_seconds,
        iteration=replicate.iteration,
        final=replicate.final,
        sum_loss=replicate.sum_loss,
        took_off=_took_off(job, replicate),
        host=record.host,
        versions=_compared(record),
    )


def _took_off(job: Job, replicate: Replicate) -> bool:
    """Return whether it learned: without what was published of some of the settings, so that all are judged alike."""
    if replicate.took_off or not job.preset.experiment.truncation.is_whole:
        return replicate.took_off
    return job.preset.learns and took_off(replicate.final, replicate.initial)


def _reached(job: Job, row: Progress, *, before: bool) -> SeedOutcome:
    record = Run(job.folder).record()
    return SeedOutcome(
        job,
        "reached",
        before=before,
        seconds=record.elapsed_seconds,
        iteration=row.iteration,
        final=row.average_log_result,
        host=record.host,
        versions=_compared(record),
    )


def _compared(record: Record) -> dict[str, str]:
    return {name: record.versions[name] for name in _COMPARED if name in record.versions}


def _is_in_other_hands(folder: Path) -> bool:
    with suppress(RunError):
        return Run(folder).is_driven()
    return False


def _plain(outcome: SeedOutcome) -> dict[str, Any]:
    fields = {name: value for name, value in vars(outcome).items() if name != "job"}
    return {name: None if isinstance(value, float) and not isfinite(value) else value for name, value in fields.items()}
