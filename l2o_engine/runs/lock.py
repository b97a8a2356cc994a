"""Who drives a run: its lock says so, else a process that lives, else a sign of life.

A driver holds ``.lock``, and writes ``run.json`` every second, with its process's id and beginning. The lock is what
tells first. Where it is gone (somebody removed it) or the file system has none, a process that run.json names and that
still lives here is believed; one of another host or container, whose processes we do not see, by its sign of life:
that run.json changes while we look, whatever its clock says. Looking writes nothing.
"""

import errno
import fcntl
import os
import socket
import time
from collections.abc import Callable
from math import inf
from pathlib import Path
from threading import Lock
from time import monotonic, sleep
from types import TracebackType

from l2o_engine.runs.record import ACTIVE, Driver, Record
from l2o_engine.support.files import open_lock
from l2o_engine.support.process_ids import began, whereabouts

SILENT_SECONDS = 60.0
"""Who watches takes a driver that has not written run.json for so long for gone."""
WATCH_SECONDS = 6.0
"""Who would go on with the run of another host watches it for so long first: six signs of life would be due."""
_LOOK_SECONDS = 0.25
_PATIENCE = 1.0  # a moment's: who lists the runs holds the lock for an instant
_HELD = (errno.EACCES, errno.EAGAIN, errno.EWOULDBLOCK)
_NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP)  # NFS without a lock daemon, some FUSE

_ours: set[Path] = set()  # the folders that this process holds, which no other sign tells where there are no locks
_ours_lock = Lock()


class HeldError(Exception):
    """Another process, or another part of this one, holds the lock."""


class RunLock:
    """A run's lock, held from the beginning on; :func:`take_lock` makes one. As a context it is let go at the end.

    Parameters
    ----------
    folder
        The run's folder.
    descriptor
        Of the lock file, open.
    is_real
        Whether the file system has locks.
    """

    def __init__(self, folder: Path, descriptor: int, *, is_real: bool) -> None:
        self._folder = folder
        self._descriptor = descriptor
        self._is_real = is_real

    def __enter__(self) -> "RunLock":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    @property
    def driver(self) -> Driver:
        """What run.json says of this process while it holds the lock."""
        return Driver(whereabouts(), began(os.getpid()) or 0, os.fstat(self._descriptor).st_ino)

    @property
    def is_lost(self) -> bool:
        """Whether the lock file has been removed, or another one is there in its place."""
        return not _is_file_of(self._descriptor, self._folder)

    def retake(self) -> None:
        """Lock the file that is there now, or a new one.

        Raises
        ------
        HeldError
            If another process holds it.
        OSError
            If it cannot be opened: the folder is gone, say.
        """
        descriptor, self._is_real = _lock(self._folder)
        os.close(self._descriptor)
        self._descriptor = descriptor

    def is_contested(self, record: Record) -> bool:
        """Return whether a process drives the run all the same: its lock file was removed, or there are no locks.

        Parameters
        ----------
        record
            What run.json says; its process is believed if it lives.
        """
        if record.status not in ACTIVE or record.pid == os.getpid() or not is_here(record):
            return False
        return _lives(record, self._folder, is_locked=False if self._is_real else None)

    def release(self) -> None:
        """Let go of it. The file stays: to remove it would let two processes lock two files of one name."""
        os.close(self._descriptor)
        with _ours_lock:
            _ours.discard(self._folder)


def take_lock(folder: Path, patience: float = _PATIENCE) -> RunLock:
    """Take a run's lock; where the file system has none, only other parts of this process are kept out.

    Parameters
    ----------
    folder
        The run's folder.
    patience
        Seconds to wait for it.

    Raises
    ------
    HeldError
        If another process, or another part of this one, holds it.
    OSError
        If its file cannot be opened.
    """
    folder = folder.resolve()
    deadline = monotonic() + patience
    while True:
        try:
            return _take(folder)
        except HeldError:
            if monotonic() >= deadline:
                raise
        sleep(_LOOK_SECONDS / 5)


def _take(folder: Path) -> RunLock:
    with _ours_lock:
        if folder in _ours:
            raise HeldError
        descriptor, is_real = _lock(folder)
        _ours.add(folder)
        return RunLock(folder, descriptor, is_real=is_real)


def _lock(folder: Path) -> tuple[int, bool]:
    """Open and lock a run's lock file; return its descriptor, and whether the file system has locks."""
    descriptor, is_real = open_lock(folder / ".lock"), True
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        is_real = error.errno not in _NO_LOCKS
        if is_real:
            os.close(descriptor)
        if error.errno in _HELD:
            raise HeldError from error
        if is_real:
            raise
    if not _is_file_of(descriptor, folder):  # replaced under our hands
        os.close(descriptor)
        raise HeldError
    return descriptor, is_real


def _is_file_of(descriptor: int, folder: Path) -> bool:
    ours = os.fstat(descriptor)
    try:
        there = (folder / ".lock").lstat()
    except OSError:
        return False
    return (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)


def is_here(record: Record) -> bool:
    """Return whether the process that a run.json names would be among those that we see, if it lived."""
    if record.driver and record.driver.where and whereabouts():
        return record.driver.where == whereabouts()  # whatever the host is called, in this container or meanwhile
    return record.host == socket.gethostname()


def is_driven(folder: Path, read: Callable[[], Record]) -> bool:
    """Return whether a process drives a run, as far as one look can tell.

    Of a driver that we cannot see one look tells only that run.json was written lately: by the file's time, not by
    what a foreign clock has written into it.

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
    return _lives(record, folder, is_locked=is_locked) if is_here(record) else _was_written_lately(folder)


def seems_driven(folder: Path) -> bool:
    """Return whether a process may drive a run whose run.json cannot be read: nothing but lock and file tell."""
    is_locked = _is_locked(folder)
    return _was_written_lately(folder) if is_locked is None else is_locked


def is_beating(read: Callable[[], Record]) -> bool:
    """Return whether a process writes run.json while we look, for ``WATCH_SECONDS``: no clock is asked."""
    before = read().updated
    for _ in range(round(WATCH_SECONDS / _LOOK_SECONDS)):
        sleep(_LOOK_SECONDS)
        if read().updated != before:
            return True
    return False


class Listener:
    """Listens, look by look, for who drives a run; the silence of one that we cannot see is counted by our clock alone.

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
        if is_here(record):
            self._heard = None
            return is_driven(self._folder, self._read)
        now = monotonic()
        if self._heard is None:  # by the file's time
            self._heard = record.updated, now if is_driven(self._folder, self._read) else -inf
        elif self._heard[0] != record.updated:
            self._heard = record.updated, now
        return record.status in ACTIVE and now - self._heard[1] < SILENT_SECONDS


def _lives(record: Record, folder: Path, *, is_locked: bool | None) -> bool:
    """Return whether the process that run.json names lives, and has not let go of the lock."""
    driver, there, inode = record.driver, began(record.pid), _lock_inode(folder)
    if is_locked is False and inode is not None and (driver is None or driver.lock == inode):
        return False  # its lock is there, and free
    if there is None or (driver is not None and driver.began not in (0, there)):
        return False
    return record.pid != os.getpid() or folder.resolve() in _ours


def _lock_inode(folder: Path) -> int | None:
    try:
        return (folder / ".lock").lstat().st_ino
    except OSError:
        return None


def _was_written_lately(folder: Path) -> bool:
    try:
        written = (folder / "run.json").lstat().st_mtime
    except OSError:
        return False
    return abs(time.time() - written) < SILENT_SECONDS


def _is_locked(folder: Path) -> bool | None:
    """Return whether a process holds the lock, without writing anything; None where that cannot be told."""
    try:
        descriptor = open_lock(folder / ".lock", make=False)
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
