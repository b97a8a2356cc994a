"""A study under way: its runs in the hands of an executor, round by round where settings are halved."""

import os
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress
from itertools import islice
from pathlib import Path
from time import monotonic
from typing import Any

from l2o_engine.presets.tables import to_dict
from l2o_engine.records.events import Stop
from l2o_engine.runs.commands import send
from l2o_engine.runs.folder import Run
from l2o_engine.runs.lock import Listener
from l2o_engine.runs.record import ACTIVE, RunError, now, read_record_once
from l2o_engine.studies.sweep.cluster import is_loss, run_on_worker
from l2o_engine.studies.sweep.course import WINDOW, Course
from l2o_engine.studies.sweep.halving import kept_after, median_with_losses
from l2o_engine.studies.sweep.jobs import Ending, Job, is_begun, iteration_of
from l2o_engine.studies.sweep.over import SweepError
from l2o_engine.studies.sweep.results import SettingResult, results_of
from l2o_engine.studies.sweep.seeds import SeedOutcome, outcome_of, read_seed, run_seed
from l2o_engine.studies.sweep.steering import is_told_to_stop
from l2o_engine.studies.sweep.study import (
    PAUSE_FILE,
    STATE_FILE,
    STOP_FILE,
    STUDY_FILE,
    StoredJob,
    Study,
    StudyState,
    digest_of,
    jobs_text,
    read_state,
    state_text,
)
from l2o_engine.studies.sweep.workers import stop_workers
from l2o_engine.support.files import names_in, remove, write_atomically
from l2o_engine.support.user_code import allowed_folders
from l2o_engine.tasks.data.base import FOLDER_VARIABLE

_TRIES = 3  # of a job whose worker was lost without having come any further
_STATE_SECONDS = 5.0  # between two times that study.json is written
_STOP_SECONDS = 1.0  # between two times that runs are told to stop
_LONGEST_FAILURE = 500  # characters of why a run has failed, in study.json
_LOOK_SECONDS = 0.25  # between two times that the study's folder is asked what other processes do
_LOOKS = 100  # runs whose progress is looked at at a time, at most
_MOMENT = 0.05  # seconds that this may take


class Sweep(Course[SeedOutcome]):
    """A study under way.

    Parameters
    ----------
    study
        The study.
    runs_dir
        Where its folder is.
    is_local
        Whether the executor's workers are processes of this machine: they hear a signal, and share compiled kernels.
    window
        How many runs the executor is given at a time.

    Attributes
    ----------
    study, folder
        The study, and its folder.
    rounds
        The meta-iterations that halving's rounds go to, before the last.
    write_seconds
        How long it took to write the study's file: how quick the runs folder is.

    Raises
    ------
    SweepError
        If the study is impossible.
    PresetError
        If a setting is.
    """

    remedy = "choose another --name"
    survives = True

    def __init__(self, study: Study, *, runs_dir: Path, is_local: bool = True, window: int = WINDOW) -> None:
        self.study = study
        self.folder = (runs_dir / study.name).absolute()
        self._is_local = is_local
        self.prepares = is_local
        super().__init__(study.jobs(self.folder), window=window)
        self._slugs = {variation.slug: variation for variation in study.variations}
        self.rounds = self._rounds()
        self._round = 0
        self._alive = list(self._slugs)
        self._stopped: dict[str, int] = {}  # slug → where halving has given it up
        self._at_start: dict[Path, tuple[int, int]] = {}  # tries without progress, and how far the run was
        self._elsewhere: dict[Job, Listener] = {}
        self._created = now()
        self._state_due = self._stop_due = self._look_due = 0.0
        self._told_preparing = 0
        self._looked = 0
        self.write_seconds = 0.0
        self._seen: dict[Path, int] = {}  # how far a run under way was when it was last looked at
        before = read_state(self.folder)
        self._known = {one.folder: one.digest for one in before.jobs} if before else {}
        if before:
            self._created = before.created
        self._digests = digests = {variation.slug: digest_of(variation.preset) for variation in study.variations}
        self._stored = jobs_text(
            StoredJob(
                job.folder.name,
                job.preset.name,
                dict(self._slugs[job.of].settings),
                job.seed,
                digests[job.of],
                job.iterations,
            )
            for job in self.jobs
        )

    def _rounds(self) -> list[int]:
        halving = self.study.halving
        if halving is None:
            return []
        arms = len(self._slugs)
        each = {tuple(halving.rounds(one.preset, arms)) for one in self._slugs.values()}
        if len(each) > 1:
            raise SweepError("halving compares settings where they report: all need one run.iterations, report.every")
        return list(next(iter(each)))

    @property
    def _until(self) -> int | None:
        return self.rounds[self._round] if self._round < len(self.rounds) else None

    def _admitted(self, job: Job) -> str:
        return super()._admitted(job) if self._is_local else ""

    # What is done with a job.

    def _call(self, job: Job) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        data = os.environ.get(FOLDER_VARIABLE, "")
        code = [str(folder) for folder in allowed_folders()]
        where = str(Path(data).absolute()) if data else ""
        return run_seed if self._is_local else run_on_worker, (
            to_dict(job.preset),
            str(job.folder),
            self._until,
            code,
            where,
        )

    def _answered(self, job: Job, answer: Any) -> SeedOutcome:
        return outcome_of(job, answer)

    def _ended(self, job: Job, status: Ending, message: str = "") -> SeedOutcome:
        return SeedOutcome(job, status, message)

    def _refusal(self, message: str) -> SweepError:
        return SweepError(message)

    def _is_loss(self, error: BaseException) -> bool:
        return not self._is_local and is_loss(error)

    def _is_tried_again(self, job: Job) -> bool:
        # A worker that died may have been anybody's victim; a run that kills every worker is given up.
        tries, before = self._at_start.get(job.folder, (0, 0))
        at = iteration_of(job)
        tries = 0 if at > before or not is_begun(job) else tries + 1
        self._at_start[job.folder] = tries, at
        return tries < _TRIES

    # Under way.

    def begin(self) -> None:
        """Check all that can be checked, then make the study's folder and write what it is, before any run is begun.

        Raises
        ------
        SweepError
            If the folder, or one of a run, holds something else, or it cannot be written.
        BackendError, TooLargeError
            If the backend cannot take a preset, or this machine has not the memory for a run, and is to do it.
        """
        self.check(lambda job: self._known.get(job.folder.name) == self._digests[job.of])
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            names = names_in(self.folder)
            if names and STUDY_FILE not in names:
                raise SweepError(f"{self.folder} holds something else than a study; choose another --name")
            began = monotonic()
            write_atomically(self.folder / STUDY_FILE, self.study.to_toml().encode())
            self.write_seconds = monotonic() - began
            for sign in (STOP_FILE, PAUSE_FILE):  # of what another session was told
                remove(self.folder / sign)
            self._write_state("running")
        except OSError as error:
            raise SweepError(f"cannot make {self.folder}: {error.strerror or error}") from error

    def read(self) -> None:
        """Read what is there, and train nothing: what is at its end, and the rounds of halving that are over."""
        while True:
            jobs = [job for job in self.jobs if job.of in self._alive]
            for job in jobs:
                self._keep([self._answered(job, read_seed(job, self._until))])
            waits = [job for job in jobs if self._outcomes[job.folder].status == "interrupted"]
            if self._until is None or waits:
                return
            self._next_round()
            self._ready.clear()

    def wait(self, seconds: float) -> list[SeedOutcome]:
        """Wait for outcomes, for so many seconds at most, and return the new ones."""
        is_time = monotonic() >= self._look_due  # not for each outcome: a look may wait for a network
        if is_time and not self.is_stopped and is_told_to_stop(self.folder):
            self.stop()
        found = super().wait(seconds)
        if is_time:
            self._look_elsewhere()
            self._look_due = monotonic() + _LOOK_SECONDS
        if not super().is_going_on and not self._elsewhere and not self.is_stopped:
            self._next_round()
        if monotonic() >= self._state_due or self.preparing != self._told_preparing:
            with suppress(OSError):  # it only says how far it all is
                self._write_state("running")
        return found

    @property
    def is_going_on(self) -> bool:
        """Whether there is something left to wait for."""
        return super().is_going_on or (bool(self._elsewhere) and not self.is_stopped)

    def _keep(self, found: Any) -> list[SeedOutcome]:
        kept = []
        for outcome in super()._keep(found):
            if outcome.status == "elsewhere" and not self.is_stopped:
                run = Run(outcome.job.folder) if is_begun(outcome.job) else None
                self._elsewhere[outcome.job] = Listener(outcome.job.folder, run.record if run else _nothing)
            kept.append(outcome)
        return kept

    def _look_elsewhere(self) -> None:
        """Take up again what another process has driven, once it is over or that process is gone: some at a time."""
        for job, listener in list(islice(self._elsewhere.items(), _LOOKS)):
            del self._elsewhere[job]
            with suppress(RunError):
                if is_begun(job) and listener.is_driven():
                    self._elsewhere[job] = listener  # its turn comes after the others'
                    continue
            if not self.is_stopped:
                self._ready.append(job)
        self._fill()

    def _next_round(self) -> None:
        """Give up the worse half of the settings, where a round is over, and let the others go on."""
        if self._until is None:
            return
        at, of_slug = self._until, {result.variation.slug: result for result in self.results()}
        self._round += 1
        losses = {slug: median_with_losses(list(of_slug[slug].finals.values())) for slug in self._alive}
        kept = sorted(self._alive, key=lambda slug: losses[slug])[: kept_after(len(self._slugs), self._round)]
        self._stopped |= {slug: at for slug in self._alive if slug not in kept}
        self._alive = [slug for slug in self._alive if slug in kept]
        self._ready.extend(
            job for job in self.jobs if job.of in kept and self._outcomes[job.folder].status in ("reached", "done")
        )
        self._fill()

    # Stopping.

    def stop(self) -> None:
        """Begin nothing more, and let every run that is under way save its state, on whatever host.

        They are still to be waited for. Runs that were in other hands all along are left to them.
        """
        if not self._is_local:  # whose workers hear no signal of ours
            with suppress(OSError):
                write_atomically(self.folder / STOP_FILE, b"")
        super().stop()

    def _may_be_cancelled(self, job: Job) -> bool:
        return not self._is_driven(job)

    def _tell_to_stop(self) -> None:
        if self._is_local:
            stop_workers()
            return
        if monotonic() < self._stop_due:
            return
        self._stop_due = monotonic() + _STOP_SECONDS
        for job in self._running.values():
            if self._is_driven(job):
                with suppress(OSError):
                    send(job.folder / "commands", Stop("the study was stopped"))

    def _is_driven(self, job: Job) -> bool:
        return self._progress_of(job) is not None

    def _progress_of(self, job: Job) -> int | None:
        """Return how far a job's run is that seems to be under way; None for one that is not, or not begun."""
        try:
            record = read_record_once(job.folder / "run.json")
        except RunError:
            return None
        return record.iteration if record.status in ACTIVE else None

    def close(self, *, status: str | None = None) -> None:
        """Write how the study stands. A sign that stopped it stays until the next beginning: a job may be late to look.

        Parameters
        ----------
        status
            As study.json has it; by what came of the runs, if not given.
        """
        endings = {
            self._outcomes[job.folder].status if job.folder in self._outcomes else "interrupted"
            for job in self.jobs
            if job.of not in self._stopped
        }
        # Its jobs may all have heard of a stop before it was looked for here: then something is left nonetheless.
        is_left = self.is_stopped or not endings <= {"done", "failed"}
        ended = "interrupted" if is_left else "failed" if "failed" in endings else "finished"
        with suppress(OSError):
            self._write_state(status or ended)

    # How it stands.

    def _write_state(self, status: Any) -> None:
        self._state_due, self._told_preparing = monotonic() + _STATE_SECONDS, self.preparing
        endings = [outcome.status for outcome in self.outcomes]
        state = StudyState(
            name=self.study.name,
            status=status,
            created=self._created,
            updated=now(),
            pid=os.getpid(),
            host=socket.gethostname(),
            done=endings.count("done"),
            stopped=sum(job.of in self._stopped for job in self.jobs),
            failed=endings.count("failed"),
            jobs=(),
            failures={
                outcome.job.folder.name: outcome.message[:_LONGEST_FAILURE]
                for outcome in self.outcomes
                if outcome.status == "failed"
            },
            preparing=self._told_preparing,
            given_up={job.folder.name: self._stopped[job.of] for job in self.jobs if job.of in self._stopped},
        )
        write_atomically(self.folder / STATE_FILE, state_text(state, self._stored).encode())

    @property
    def done(self) -> int:
        """How many runs are over: at their end, failed, or given up."""
        over = ("done", "failed", "interrupted")
        return sum(
            job.of in self._stopped or (job.folder in self._outcomes and self._outcomes[job.folder].status in over)
            for job in self.jobs
        )

    @property
    def done_well(self) -> int:
        """How many runs are at their end."""
        return sum(outcome.status == "done" for outcome in self.outcomes)

    @property
    def elsewhere(self) -> int:
        """How many runs other processes drive."""
        return len(self._elsewhere)

    def under_way(self) -> Iterator[tuple[Job, int]]:
        """Yield the runs that seem to be under way and how far each is, by what their folders say.

        Of many that an executor has, some are looked at each time, as many as a moment is enough for; of the others it
        is told what was seen when it was their turn.
        """
        waiting = list(self._running.values())
        self._seen = {job.folder: self._seen[job.folder] for job in waiting if job.folder in self._seen}
        until = monotonic() + _MOMENT
        for _ in range(min(_LOOKS, len(waiting))):
            job = waiting[self._looked % len(waiting)]
            self._looked += 1
            at = self._progress_of(job)
            if at is None:
                self._seen.pop(job.folder, None)
            else:
                self._seen[job.folder] = at
            if monotonic() >= until:
                break
        return ((job, self._seen[job.folder]) for job in waiting if job.folder in self._seen)

    def results(self) -> list[SettingResult]:
        """Return what came of the settings so far, the best first."""
        return results_of(self.study.variations, self.outcomes, self.study.seeds, self._stopped)


def _nothing() -> Any:
    raise RunError("there is no run yet")
