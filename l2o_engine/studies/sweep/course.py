"""Jobs in the hands of an executor: given to it a few at a time, waited for, told to stop."""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from l2o_engine.backends.choose import choose
from l2o_engine.live.sizes import admit, work_of
from l2o_engine.runs.record import RunError
from l2o_engine.studies.sweep.jobs import Ending, Job, Outcome, difference, is_begun, is_done, prepare
from l2o_engine.studies.sweep.workers import stop_workers
from l2o_engine.support.errors import UserError
from l2o_engine.support.files import names_in

if TYPE_CHECKING:
    from pathlib import Path

Told = TypeVar("Told", bound=Outcome)

WINDOW = 2000
"""Jobs that an executor has at a time, at most: what it keeps of those that wait is bounded."""

ABRUPT = "a worker process ended abruptly (out of memory?)"


class Course(ABC, Generic[Told]):
    """Jobs in the hands of an executor.

    Parameters
    ----------
    jobs
        Of those that take as long the first is begun first.
    window
        How many the executor is given at a time.

    Attributes
    ----------
    jobs
        All jobs.
    is_stopped
        Whether it was told to begin nothing more.
    """

    remedy = "choose another --runs-dir"
    """What is proposed, beside deleting it, where a folder holds another run."""
    survives = False
    """Whether jobs go on with another executor where one has broken, but for those that broke it again and again."""
    prepares = True
    """Whether kernels are compiled first, each once: where the workers share what was compiled."""

    def __init__(self, jobs: Sequence[Job], *, window: int = WINDOW) -> None:
        self.jobs = list(jobs)
        self.is_stopped = False
        self._window = window
        self._kernels: dict[str, str] = {}  # what a job is a seed of → the kernel that has to be compiled for it
        self._done: set[Path] = set()
        self._outcomes: dict[Path, Told] = {}
        self._executor: Executor | None = None
        self._ready: deque[Job] = deque()
        self._after: list[Job] = []  # each begins with another job's run, which is not over yet
        self._running: dict[Future[Any], Job] = {}
        self._preparing: dict[Future[None], list[Job]] = {}
        self._over: SimpleQueue[Future[Any]] = SimpleQueue()  # futures that came to their end

    # What is done with a job.

    @abstractmethod
    def _call(self, job: Job) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        """Return what the executor is given: a plain function, and its arguments."""

    @abstractmethod
    def _answered(self, job: Job, answer: Any) -> Told:
        """Return the outcome that the function's answer tells of."""

    @abstractmethod
    def _ended(self, job: Job, status: Ending, message: str = "") -> Told:
        """Return the outcome of a job that the function has not told of."""

    @abstractmethod
    def _refusal(self, message: str) -> UserError:
        """Return the error that says that it cannot be begun."""

    def _is_loss(self, error: BaseException) -> bool:
        """Return whether an error says that a job's worker was lost, and nothing of the job."""
        return False

    def _is_tried_again(self, job: Job) -> bool:
        """Return whether a job whose worker was lost goes on in the hands of another."""
        return False

    # Before it starts.

    def check(self, known: Callable[[Job], bool] = lambda job: False) -> None:
        """Check all that can be checked before anything is started, and note what is done and what to compile.

        Parameters
        ----------
        known
            Tells of which jobs it is known that their folders hold no other run.

        Raises
        ------
        UserError
            If a job's folder holds a run with other settings, or one that cannot be read; if the backend cannot take a
            preset, or this machine has not the memory for a run.
        """
        there: dict[Path, set[str]] = {}  # in a folder: one look at it, in place of several for each of its runs
        for job in self.jobs:
            within = job.folder.parent
            if within not in there:
                with suppress(OSError):  # it is yet to be made, or whoever begins will say so
                    there[within] = set(names_in(within))
            has_folder = job.folder.name in there.get(within, ())
            try:
                other = difference(job) if has_folder and is_begun(job) and not known(job) else ""
                if has_folder and is_done(job):
                    self._done.add(job.folder)
            except RunError as error:
                raise self._refusal(f"{error}. Delete {job.folder}, or {self.remedy}") from error
            if other:
                raise self._refusal(
                    f"{job.folder} holds a run with other settings ({other}). Delete it, or {self.remedy}"
                )
            if job.preset.start is not None and job.begins_with is None:
                what = f"{job.preset.name} begins with what another run has come to"
                raise self._refusal(f"{what}, which these runs cannot be given: `l2o-tui run` can")
            if job.folder not in self._done and job.of not in self._kernels:
                self._kernels[job.of] = self._admitted(job)

    def _admitted(self, job: Job) -> str:
        """Refuse a job that cannot be done here; return the kernel that has to be compiled for it."""
        admit(job.preset)
        return choose(job.preset.experiment, job.preset.run.backend).to_compile if self.prepares else ""

    # Under way.

    def start(self, executor: Executor) -> None:
        """Give all jobs to an executor, the longest first; those whose kernel is still to be compiled wait for that.

        What is left at the end are short ones then, and no core is long without work.
        """
        self._executor = executor
        self._ready.extend(job for job in self.jobs if job.folder in self._done)  # to read a run takes no time
        self._fill()
        waiting: dict[str, list[Job]] = {}
        work: dict[str, float] = {}  # of what a job is a seed of
        for job in self.jobs:
            if job.of not in work:
                work[job.of] = work_of(job.preset)
        for job in sorted(self.jobs, key=lambda job: -work[job.of]):
            if job.folder not in self._done:
                waiting.setdefault(self._kernels.get(job.of, ""), []).append(job)
        ready = waiting.pop("", [])
        for jobs in waiting.values():
            future = executor.submit(prepare, jobs[0].preset)
            self._preparing[future] = jobs
            future.add_done_callback(self._over.put)
        self._keep(self._may_begin(ready))
        self._fill()

    def _may_begin(self, jobs: Iterable[Job]) -> list[Told | None]:
        """Let jobs begin, those that begin with another's run as soon as that is over.

        Returns
        -------
        The outcomes of those that never will, because that run has none.
        """
        never: list[Told | None] = []
        for job in jobs:
            before = job.begins_with
            ended = self._outcomes.get(before) if before else None
            is_there = before is None or before in self._done or (ended is not None and ended.status == "done")
            if is_there or is_begun(job):
                self._ready.append(job)
            elif ended is None:
                self._after.append(job)
            elif ended.status == "interrupted":
                never.append(self._ended(job, "interrupted"))
            else:
                never.append(self._ended(job, "failed", f"{ended.job.of}, which it begins with, has no result"))
        return never

    def _follow(self, over: Told) -> list[Told | None]:
        """Let those begin that wait for a job's run; return the outcomes of those that never will."""
        own = [job for job in self._after if job.begins_with == over.job.folder]
        self._after = [job for job in self._after if job not in own]
        return self._may_begin(own)

    def go_on_with(self, executor: Executor) -> None:
        """Go on with another executor, in place of one that has broken."""
        self._executor = executor
        self._fill()

    @property
    def is_broken(self) -> bool:
        """Whether there are jobs left and the executor has broken."""
        return self._executor is None and self.is_going_on

    def _fill(self) -> None:
        """Give the executor what it has room for."""
        while self._ready and self._executor is not None and len(self._running) < self._window:
            function, arguments = self._call(self._ready[0])
            try:
                future = self._executor.submit(function, *arguments)
            except BrokenExecutor:
                self._executor = None
                if not self.survives or self.is_stopped:  # else they wait for the next: it was no fault of theirs
                    self._keep([self._lost(self._ready.popleft()) for _ in range(len(self._ready))])
                return
            self._running[future] = self._ready.popleft()
            future.add_done_callback(self._over.put)

    @property
    def is_going_on(self) -> bool:
        """Whether there are jobs that have no outcome yet."""
        return bool(self._running or self._preparing or self._ready or self._after)

    @property
    def preparing(self) -> int:
        """How many jobs wait for a kernel that is being compiled."""
        return sum(map(len, self._preparing.values()))

    def wait(self, seconds: float) -> list[Told]:
        """Wait for outcomes, for so many seconds at most, and return the new ones."""
        if self.is_stopped:
            self._tell_to_stop()  # again: one that was being set up did not hear it
        found: list[Told | None] = []
        for future in self._come_to_their_end(seconds):
            if future in self._running:
                found.append(self._outcome(future, self._running.pop(future)))
            elif future in self._preparing:
                found += self._prepared(future, self._preparing.pop(future))
        kept = self._keep(found)
        self._fill()
        return kept

    def _come_to_their_end(self, seconds: float) -> Iterator[Future[Any]]:
        """Wait for the first future that is over, and yield all that are: of thousands, the others are not asked."""
        with suppress(Empty):
            yield self._over.get(timeout=seconds)
            while True:
                yield self._over.get_nowait()

    def _keep(self, found: Iterable[Told | None]) -> list[Told]:
        """Take in outcomes; return those that are news."""
        there = [outcome for outcome in found if outcome is not None]
        self._outcomes |= {outcome.job.folder: outcome for outcome in there}
        for outcome in tuple(there):
            there += self._keep(self._follow(outcome)) if self._after else []
        return there

    def _prepared(self, future: "Future[None]", jobs: list[Job]) -> list[Told | None]:
        """Go on with jobs whose kernel has been prepared; if that failed, each of them will tell why."""
        if self.is_stopped:
            return [self._ended(job, "interrupted") for job in jobs]
        if not future.cancelled() and isinstance(future.exception(), BrokenExecutor):
            self._executor = None
            return [self._lost(job) for job in jobs]
        return self._may_begin(jobs)

    def _outcome(self, future: "Future[Any]", job: Job) -> Told | None:
        error = None if future.cancelled() else future.exception()
        if self.is_stopped and (future.cancelled() or error is not None):
            return self._ended(job, "interrupted")
        if isinstance(error, BrokenExecutor):
            self._executor = None
            return self._lost(job)
        if future.cancelled() and self.survives:  # by Dask, whose scheduler is gone: the job has nothing to do with it
            self._ready.append(job)
            return None
        if future.cancelled() or (error is not None and self._is_loss(error)):
            return self._lost(job)
        return self._ended(job, "failed", f"{type(error).__name__}: {error}") if error else self._told(job, future)

    def _told(self, job: Job, future: "Future[Any]") -> Told:
        return self._answered(job, future.result())

    def _lost(self, job: Job) -> Told | None:
        """Return the outcome of a job whose worker was lost; None if it goes on elsewhere."""
        if self.is_stopped or not self._is_tried_again(job):
            return self._ended(job, "interrupted") if self.is_stopped else self._ended(job, "failed", ABRUPT)
        self._ready.append(job)
        return None

    def stop(self) -> None:
        """Begin nothing more, and let the workers save what they are at; their outcomes are still to be waited for.

        Of an executor of another kind than ours, what is under way comes to its end.
        """
        self.is_stopped = True
        self._after, waiting = [], [*self._ready, *self._after]
        self._ready.clear()
        self._keep(self._ended(job, "interrupted") for job in waiting)
        for future, job in [*self._running.items(), *((one, jobs[0]) for one, jobs in self._preparing.items())]:
            if self._may_be_cancelled(job):
                future.cancel()
        self._tell_to_stop()

    def _may_be_cancelled(self, job: Job) -> bool:
        """Return whether a job that is begun nonetheless would be noticed: futures of ours cannot be cancelled then."""
        return True

    def _tell_to_stop(self) -> None:
        stop_workers()

    @property
    def outcomes(self) -> list[Told]:
        """What came of the jobs so far."""
        return list(self._outcomes.values())
