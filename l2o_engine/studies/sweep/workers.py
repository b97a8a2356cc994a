"""The processes that jobs are done in, and how they are told to stop."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.context import ForkServerContext, ForkServerProcess
from time import sleep
from types import FrameType
from typing import TYPE_CHECKING

from l2o_engine.records.events import Stop
from l2o_engine.studies.process_server import HEARD_BY_THE_PARENT, start_server

if TYPE_CHECKING:
    from l2o_engine.live.mailbox import Mailbox
    from l2o_engine.live.preparing import Turns

_A_CORE, _MOST_A_CORE = 2, 8  # processes
_MOST_MORE = 32  # on a slow disk, in all
_LATE_SECONDS = 0.1  # to write a small file: a disk takes some 10 ms, a network's file system may take hundreds


class Worker:
    """What SIGTERM reaches in this process, if it is one of the pool's.

    Attributes
    ----------
    turns
        Whose turn it is to compute, of all processes of the pool; None where whoever has a job computes. One that is
        killed in its turn takes it along, but then the pool is broken, and with it these turns are gone.
    """

    def __init__(self) -> None:
        self.turns: Turns | None = None
        self.is_stopping = False
        self.is_preparing = False
        self.mailboxes: set[Mailbox] = set()
        self._at_work = 0

    def begin(self, turns: "Turns") -> None:
        """Set this process up as a worker."""
        self.turns = turns
        # The training thread needs the interpreter only for moments; it should not wait 5 ms for each.
        sys.setswitchinterval(0.0005)
        for number in HEARD_BY_THE_PARENT:
            signal.signal(number, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGXCPU):  # which the kernel sends to the process that is at its limit
            signal.signal(number, self._stop)
        threading.Thread(target=self._end_with_parent, daemon=True).start()

    @contextmanager
    def at_work(self) -> Iterator[None]:
        """Let this process not end before a job has: a run that is being made hears nothing yet."""
        self._at_work += 1
        try:
            yield
        finally:
            self._at_work -= 1

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for our turn to compute, and give it back at the end."""
        if self.turns is None:
            yield
            return
        self.turns.acquire(True, None)
        try:
            yield
        finally:
            self.turns.release()

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self.is_stopping = True
        for mailbox in list(self.mailboxes):
            mailbox.put(Stop(signal.Signals(number).name))
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
        while self._at_work:
            sleep(0.02)
        os._exit(1)


worker = Worker()


def _begin_work(turns: "Turns") -> None:
    worker.begin(turns)


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class PoolProcess(ForkServerProcess):
    """A process of ours, told from others that the program may have by its type."""


class _Context(ForkServerContext):
    Process = PoolProcess


def processes_for(workers: int, seconds: float) -> int:
    """Return how many processes a pool has of which so many train at a time.

    While one trains, another begins its run or ends it, which is mostly waiting for the disk: so there are twice as
    many. Where a run's folder answers late, on a network's file system, that takes longer than to train a short run,
    and there are more, as far as that is no burden.

    Parameters
    ----------
    workers
        How many train at a time.
    seconds
        How long it took to write a small file.
    """
    return workers * (_A_CORE if seconds < _LATE_SECONDS else max(_A_CORE, min(_MOST_A_CORE, _MOST_MORE // workers)))


def process_pool(workers: int, processes: int | None = None) -> Executor:
    """Return an executor of this machine's processes, of which so many train at a time. For the main thread.

    Parameters
    ----------
    workers
        How many train at a time.
    processes
        How many there are; if not given, as many as for a quick disk.
    """
    processes = processes or processes_for(workers, 0.0)
    start_server()
    context = _Context()
    turns = context.BoundedSemaphore(workers)
    return ProcessPoolExecutor(processes, context, initializer=_begin_work, initargs=(turns,))


def stop_workers() -> None:
    """Tell the processes of our pools to save what they are at and to end."""
    for process in multiprocessing.active_children():
        if isinstance(process, PoolProcess):
            process.terminate()
