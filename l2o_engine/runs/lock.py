"""Who drives a run: its lock says so, and where another host's lock cannot be seen, the driver's sign of life.

A driver holds ``.lock``, and writes ``run.json`` every second. Looking writes nothing.
"""

import fcntl
import os
import socket
from collections.abc import Callable
from math import inf
from pathlib import Path
from time import monotonic, sleep

from filelock import FileLock

from l2o_engine.runs.record import ACTIVE, Record, age

SILENT_SECONDS = 60.0
"""A driver on another host that has not written run.json for so long counts as gone."""
_BEAT_SECONDS = 3.0  # within which a driver that is there writes run.json, whatever our clocks say


def lock_of(folder: Path) -> FileLock:
    """Return a run's lock, not taken yet."""
    # The lock is taken by one thread and let go by another: the screen's and the session's.
    return FileLock(folder / ".lock", thread_local=False)


def take_lock(folder: Path) -> FileLock:
    """Take a run's lock.

    Raises
    ------
    filelock.Timeout
        If another process, or another part of this one, holds it.
    """
    lock = lock_of(folder)
    lock.acquire(timeout=1)  # a moment's patience: who lists the runs holds the lock for an instant
    return lock


def is_driven(folder: Path, read: Callable[[], Record]) -> bool:
    """Return whether a process drives a run: by its lock, or, on another host, by the time in run.json.

    Not every file system shows a lock to other hosts. There a driver that writes run.json every second counts as gone
    after ``SILENT_SECONDS``; clocks that differ by more make this wrong.

    Parameters
    ----------
    folder
        The run's folder.
    read
        Reads run.json: once, after the lock was looked at.
    """
    is_locked, record = _is_locked(folder), read()
    if is_locked or record.status not in ACTIVE:
        return bool(is_locked)
    if record.host != socket.gethostname():
        return age(record) < SILENT_SECONDS
    return is_locked is None and _is_alive(record.pid)


def is_beating(read: Callable[[], Record]) -> bool:
    """Return whether a process writes run.json at this moment: clocks may differ by more than is_driven() allows."""
    before = read().updated
    sleep(_BEAT_SECONDS)
    return read().updated != before


class Listener:
    """Listens, look by look, for who drives a run; the silence of another host is counted by our clock alone.

    Parameters
    ----------
    folder
        The run's folder.
    read
        Reads run.json.
    """

    def __init__(self, folder: Path, read: Callable[[], Record]) -> None:
        self._folder = folder
        self._read = read
        self._heard: tuple[str, float] | None = None

    def is_driven(self) -> bool:
        """Return whether a process drives the run; of one on another host we hear when it writes run.json."""
        record = self._read()
        if record.host == socket.gethostname():
            self._heard = None
            return is_driven(self._folder, self._read)
        now = monotonic()
        if self._heard is None:  # by the clocks, which may differ
            self._heard = record.updated, now if is_driven(self._folder, self._read) else -inf
        elif self._heard[0] != record.updated:
            self._heard = record.updated, now
        return record.status in ACTIVE and now - self._heard[1] < SILENT_SECONDS


def _is_locked(folder: Path) -> bool | None:
    """Return whether a process holds the lock, without writing anything; None where that cannot be told."""
    try:
        descriptor = os.open(folder / ".lock", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return False
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: those who look do not see one another
    except (BlockingIOError, PermissionError):
        return True
    except OSError:  # a file system without locks
        return None
    finally:
        os.close(descriptor)
    return False


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
