"""The processes that jobs are done in, and how they are told to stop."""

import multiprocessing
import os
import signal
import sys
import threading
from concurrent.futures import Executor, ProcessPoolExecutor
from multiprocessing import forkserver
from multiprocessing.context import ForkServerContext, ForkServerProcess
from time import sleep
from types import FrameType
from typing import TYPE_CHECKING

from l2o_engine.records.events import Stop
from l2o_engine.support.processes import environment_for_children

if TYPE_CHECKING:
    from l2o_engine.live.mailbox import Mailbox

# A scheduler, or a terminal, sends them to every process of a job. The parent tells us.
_HEARD_BY_THE_PARENT = (signal.SIGINT, signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2)


class Worker:
    """What SIGTERM reaches in this process, if it is one of the pool's."""

    def __init__(self) -> None:
        self.is_stopping = False
        self.is_preparing = False
        self.mailboxes: set[Mailbox] = set()

    def begin(self) -> None:
        """Set this process up as a worker."""
        # The training thread needs the interpreter only for moments; it should not wait 5 ms for each.
        sys.setswitchinterval(0.0005)
        for number in _HEARD_BY_THE_PARENT:
            signal.signal(number, signal.SIG_IGN)
        for number in (signal.SIGTERM, signal.SIGXCPU):  # which the kernel sends to the process that is at its limit
            signal.signal(number, self._stop)
        threading.Thread(target=self._end_with_parent, daemon=True).start()

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
        while self.mailboxes:
            sleep(0.02)
        os._exit(1)


worker = Worker()


def _begin_work() -> None:
    worker.begin()


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class PoolProcess(ForkServerProcess):
    """A process of ours, told from others that the program may have by its type."""


class _Context(ForkServerContext):
    Process = PoolProcess


def process_pool(workers: int) -> Executor:
    """Return an executor of so many processes of this machine. To be called in the main thread."""
    # Started while they are ignored, the server and all workers, which it forks, ignore them from their first moment:
    # a signal to the whole process group must not end the server. The workers listen to SIGTERM once they are set up.
    ignored = (*_HEARD_BY_THE_PARENT, signal.SIGTERM)
    before = {number: signal.signal(number, signal.SIG_IGN) for number in ignored}
    try:
        with environment_for_children():
            forkserver.ensure_running()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return ProcessPoolExecutor(workers, _Context(), initializer=_begin_work)


def stop_workers() -> None:
    """Tell the processes of our pools to save what they are at and to end."""
    for process in multiprocessing.active_children():
        if isinstance(process, PoolProcess):
            process.terminate()
