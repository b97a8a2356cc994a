"""A Dask cluster as an executor: its scheduler gives the runs to workers, which share a file system with us.

Nothing of a scheduler is written here. A job is a plain function of plain values and its state is a run's folder, so a
worker that dies loses what its run has done since the last checkpoint: Dask gives the job to another, which goes on
from there. Where the scheduler is lost, all jobs are given to the next one anew, and those that are over are read.

Dask's messages are pickles. So a scheduler, and whoever can reach it, is trusted as the user's own programs are:
docs/cluster.md says what that asks of a network.
"""

import logging
import os
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor, Executor, Future
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from math import ceil, inf
from pathlib import Path
from threading import Lock, Semaphore, local
from time import monotonic
from typing import Any

from l2o_engine.backends.choose import choose
from l2o_engine.live.sizes import needs_of
from l2o_engine.presets.schema import Preset
from l2o_engine.runs.record import versions, what_changed
from l2o_engine.studies.sweep.over import SweepError
from l2o_engine.studies.sweep.seeds import run_seed
from l2o_engine.studies.sweep.study import STUDY_FILE
from l2o_engine.studies.sweep.workers import worker
from l2o_engine.support.files import read_bytes
from l2o_engine.support.wording import size

CONNECT_SECONDS = 10.0
_ASK_SECONDS = 60.0  # for what every worker is asked before the first job
_MOST_NAMED = 3
_MOST_BYTES = 50_000_000


@dataclass(frozen=True)
class WorkerSeen:
    """What a worker says of itself.

    Attributes
    ----------
    name
        Its address.
    host
        Where it is.
    versions
        What results may depend on, "cpu" among them, see :func:`~l2o_engine.runs.record.versions`.
    threads
        How many jobs it does at a time.
    memory
        Bytes that it may take, by Dask's limit; 0 for no limit.
    threads_of_numbers
        What ``OMP_NUM_THREADS`` says there; "" where it is not set.
    sees
        Whether the study's file is there, the same as here.
    """

    name: str
    host: str
    versions: dict[str, str]
    threads: int
    memory: int
    threads_of_numbers: str
    sees: bool


class LostSchedulerError(BrokenExecutor):
    """The connection to the scheduler is gone."""


class DaskExecutor(Executor):
    """A Dask client, as an executor. To be closed; :func:`dask_executor` does.

    Parameters
    ----------
    client
        Dask's.
    """

    def __init__(self, client: Any) -> None:
        self._client = client
        self._executor = client.get_executor(pure=False)  # every call is one of its own

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> "Future[Any]":
        """Give a call to the scheduler.

        Raises
        ------
        LostSchedulerError
            If there is none any more.
        """
        if self._client.status != "running":
            raise LostSchedulerError("the connection to the scheduler is gone")
        future: Future[Any] = self._executor.submit(fn, *args, **kwargs)
        return future

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Let go of the cluster; what is under way there is given up, unless it is waited for before."""
        with suppress(OSError):  # a scheduler that is gone, or too busy to answer, hears nothing of it
            self._executor.shutdown(wait=False)
        with suppress(OSError):
            self._client.close(timeout=CONNECT_SECONDS)

    def workers(self, study: Path) -> tuple[list[WorkerSeen], list[str]]:
        """Ask every worker what it is; return the answers, and why there is none of the others, a sentence each.

        Parameters
        ----------
        study
            The study's folder, whose file they should see.

        Raises
        ------
        LostSchedulerError
            If the scheduler does not answer.
        """
        try:
            info = self._client.scheduler_info(n_workers=-1)["workers"]
            answers = self._client.run(_described, str(study), on_error="return") if info else {}
        except OSError as error:
            raise LostSchedulerError(f"the scheduler does not answer ({error})") from error
        expected = read_bytes(study / STUDY_FILE, _MOST_BYTES) if (study / STUDY_FILE).is_file() else b""
        seen, wrong = [], []
        for name, answer in answers.items():
            if isinstance(answer, BaseException):
                wrong.append(f"worker {name} cannot do a run: {type(answer).__name__}: {answer}")
                continue
            there = info.get(name, {})
            seen.append(
                WorkerSeen(
                    name,
                    answer["host"],
                    answer["versions"],
                    int(there.get("nthreads", 1)),
                    int(there.get("memory_limit") or 0),
                    answer["threads"],
                    answer["study"] == expected,
                )
            )
        return seen, wrong


def _described(study: str) -> dict[str, Any]:
    """Say what this process is; a plain function, for the workers."""
    try:
        content = read_bytes(Path(study) / STUDY_FILE, _MOST_BYTES)
    except OSError:
        content = None
    threads = os.environ.get("OMP_NUM_THREADS", "")
    return {"host": socket.gethostname(), "versions": versions(), "threads": threads, "study": content}


@contextmanager
def dask_executor(scheduler: str) -> Iterator[DaskExecutor]:
    """Connect to a scheduler, and let go of it at the end.

    Parameters
    ----------
    scheduler
        Its address, ``tcp://host:port``, or the file that it has written for those who look for it.

    Raises
    ------
    SweepError
        If Dask is not installed, or there is no scheduler.
    """
    try:
        distributed = import_module("distributed")
    except ImportError as error:
        raise SweepError("--scheduler needs Dask: pip install 'l2o-tui[cluster]'") from error
    # What it says of a lost connection is said here, once and in our words.
    for name in ("distributed.client", "distributed.core", "distributed.comm"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    place = {"scheduler_file": scheduler} if _is_file(scheduler) else {"address": scheduler}
    try:
        client = distributed.Client(**place, timeout=CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as error:
        raise SweepError(f"there is no Dask scheduler at {scheduler} ({str(error) or 'no answer'})") from error
    with DaskExecutor(client) as executor:
        yield executor


def _is_file(scheduler: str) -> bool:
    return "://" not in scheduler and (scheduler.endswith(".json") or Path(scheduler).is_file())


_SHORT_SECONDS = 5.0  # of training, within which the next run of a worker may be begun
_MOST_AHEAD = 8  # runs that a thread has begun and not trained


class WorkerTurns:
    """Which of a Dask worker's jobs computes, and when it lets go of its thread so that the next one is begun.

    A job that has trained lets go of it, and ends its run beside the next one's training. Where runs are short it does
    so when it begins to train, so that the next one is begun by then; and where it takes longer to begin a run than to
    train it, for its folder answers late, more are begun. Where they are long none is: it would wait here for hours,
    while another worker has nothing to do.

    Parameters
    ----------
    threads
        The worker's.
    let_go
        Gives back the thread of the job that calls it, which goes on in it all the same.
    """

    def __init__(self, threads: int, let_go: Callable[[], None]) -> None:
        self._threads = threads
        self._let_go = let_go
        self._computing = Semaphore(threads)
        self._lock = Lock()
        self._ahead = 0
        self._beginning, self._training = 0.0, inf  # seconds that the last run took
        self._job = local()

    def begin(self) -> None:
        """Take notice of a job that begins in this thread; every one is to :meth:`end`."""
        self._job.began, self._job.holds, self._job.is_ahead = monotonic(), True, True
        with self._lock:
            self._ahead += 1
            depth = min(max(ceil(self._beginning / self._training), 1), _MOST_AHEAD)
            is_one_of_many = self._ahead < depth * self._threads
        if is_one_of_many:
            self._leave_thread()

    def acquire(self, blocking: bool, timeout: float | None, /) -> bool:
        """Wait for the turn of this thread's job, for so many seconds at most, and return whether it has come."""
        if self._job.began is not None:
            self._beginning, self._job.began = monotonic() - self._job.began, None
        if not self._computing.acquire(blocking, timeout):
            return False
        self._job.since = monotonic()
        self._no_more_ahead()
        if self._training < _SHORT_SECONDS:
            self._leave_thread()
        return True

    def release(self) -> None:
        """Let another job have the turn."""
        self._training = monotonic() - self._job.since
        self._computing.release()
        self._leave_thread()

    def end(self) -> None:
        """Take notice that this thread's job is over."""
        self._no_more_ahead()

    def _no_more_ahead(self) -> None:
        if self._job.is_ahead:
            self._job.is_ahead = False
            with self._lock:
                self._ahead -= 1

    def _leave_thread(self) -> None:
        if self._job.holds:
            self._job.holds = False
            self._let_go()


def run_on_worker(*arguments: Any) -> dict[str, Any]:
    """Do what :func:`~l2o_engine.studies.sweep.seeds.run_seed` does, in a Dask worker."""
    turns = _turns_here()
    if turns is None:
        return run_seed(*arguments)
    turns.begin()
    try:
        return run_seed(*arguments)
    finally:
        turns.end()


def _turns_here() -> WorkerTurns | None:
    """Return the turns of the Dask worker that this process is; None if it is none."""
    if "distributed" not in sys.modules:
        return None
    distributed = import_module("distributed")
    with _turns_lock, suppress(ValueError):  # no worker
        if worker.turns is None:
            worker.turns = WorkerTurns(distributed.get_worker().state.nthreads, distributed.secede)
        return worker.turns if isinstance(worker.turns, WorkerTurns) else None
    return None


_turns_lock = Lock()


def is_loss(error: BaseException) -> bool:
    """Return whether an error says that the workers that did a job have died, one after the other."""
    return type(error).__name__ == "KilledWorker"


def told_of(workers: Sequence[WorkerSeen]) -> list[str]:
    """Return what is to be known of workers: how many, and where they differ from here or from one another."""
    if not workers:
        return ["the scheduler has no workers yet: runs begin when there are some"]
    hosts = {one.host for one in workers}
    threads = sum(one.threads for one in workers)
    lines = [
        f"{_counted(len(workers), 'worker')} on {_counted(len(hosts), 'host')}, {_counted(threads, 'run')} at a time"
    ]
    ours = versions()
    different: dict[str, list[str]] = {}
    for one in workers:
        if difference := what_changed(ours, one.versions):
            different.setdefault(difference, []).append(one.host)
    lines += [
        f"not as here, results may differ in their last bits: {difference} ({_some(owners)})"
        for difference, owners in different.items()
    ]
    busy = [one.host for one in workers if one.threads_of_numbers != "1"]
    if busy:
        lines.append(f"OMP_NUM_THREADS is not 1 on {_some(busy)}: a run may take more threads than it should")
    return lines


def check_workers(workers: Sequence[WorkerSeen], wrong: Sequence[str], study: Path) -> None:
    """Refuse a cluster that cannot do a study's runs.

    Raises
    ------
    SweepError
        If a worker cannot import what it needs, or does not see the study's folder.
    """
    if wrong:
        raise SweepError(*wrong[:_MOST_NAMED], "install the same l2o-tui where the workers are")
    blind = [one.host for one in workers if not one.sees]
    if blind:
        raise SweepError(
            f"{_some(blind)} does not see {study}: the runs folder must be on a file system that all workers share, "
            "by the same path"
        )


def check_memory(workers: Sequence[WorkerSeen], presets: Sequence[Preset]) -> None:
    """Refuse runs that no worker has the memory for.

    Raises
    ------
    SweepError
        If there is such a run.
    """
    rooms = [one.memory / one.threads for one in workers if one.memory]
    if len(rooms) < len(workers) or not rooms:  # one has no limit, or there is none yet
        return
    for preset in presets:
        name = choose(preset.experiment, preset.run.backend).name if preset.learns else "numpy"
        needed = needs_of(preset, name).bytes
        if needed > max(rooms):
            raise SweepError(
                f"{preset.name} would need about {size(needed)} of memory; the workers have {size(max(rooms))} a "
                "thread: give them more (--memory-limit), or fewer threads (--nthreads)"
            )


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _some(names: Sequence[str]) -> str:
    distinct = list(dict.fromkeys(names))
    more = f" and {len(distinct) - _MOST_NAMED:,} more" if len(distinct) > _MOST_NAMED else ""
    return ", ".join(distinct[:_MOST_NAMED]) + more
