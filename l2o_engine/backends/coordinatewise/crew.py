"""Threads that compute side by side: what is done in them does not hold the interpreter."""

import multiprocessing
import os
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

One = TypeVar("One")
Found = TypeVar("Found")


class Crew:
    """So many threads, the caller's one of them.

    Parameters
    ----------
    size
        How many; if not given, as many as there are cores, or one in a process of a pool, which has others beside it.
    """

    def __init__(self, size: int | None = None) -> None:
        self.size = size or _cores()
        self._made: tuple[int, ThreadPoolExecutor] | None = None

    @property
    def _pool(self) -> ThreadPoolExecutor:
        process = os.getpid()
        if self._made is None or self._made[0] != process:  # threads are not there in a process that was forked
            self._made = process, ThreadPoolExecutor(self.size - 1, "l2o-rows")
        return self._made[1]

    def do(self, work: Callable[[int], None], parts: int) -> None:
        """Call a function in every thread that one of so many parts is for, with its number, and wait for all."""
        others = {number: self._pool.submit(work, number) for number in range(1, min(self.size, parts))}
        try:
            work(0)
        finally:
            late = [number for number, other in others.items() if other.cancel()]  # their thread is somebody else's
            for number, other in others.items():
                if number not in late:
                    other.result()
        for number in late:
            work(number)

    def lend(self, work: Callable[[int], Found], parts: int, lent: "dict[int, Future[Found]]") -> None:
        """Call a function in every other thread that one of so many parts is for, with its number; wait for none.

        Parameters
        ----------
        work, parts
            As in :meth:`do`.
        lent
            Who works there since an earlier call, and is left alone: filled.
        """
        for number in range(1, min(self.size, parts)):
            if number not in lent or lent[number].done():
                lent[number] = self._pool.submit(work, number)

    def do_each(self, work: Callable[[One], Found], ones: Sequence[One]) -> list[Found]:
        """Call a function with each of several values, so many at a time as there are threads; return what it gave."""
        found: dict[int, Found] = {}

        def share(number: int) -> None:
            for index in range(number, len(ones), self.size):
                found[index] = work(ones[index])

        self.do(share, len(ones))
        return [found[index] for index in range(len(ones))]


def _cores() -> int:
    """Return how many cores are for this process."""
    if multiprocessing.parent_process() is not None:
        return 1
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
