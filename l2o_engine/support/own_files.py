"""Files that run as code, kept where only their owner can have written them.

A file is read and written through descriptors: the folder that is opened is the one that is checked, and the one that
the file is opened in, whatever becomes of the path meanwhile.
"""

import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class UntrustedError(Exception):
    """A folder or file that somebody else owns, or can write. The message says which, and what to do."""


def read_own(path: Path, most: int) -> bytes:
    """Read a file that nobody but us, or the administrator, can have written, and neither the folder around it.

    Parameters
    ----------
    path
        The file, in a folder of ours in a folder of ours.
    most
        Bytes that it may have.

    Raises
    ------
    UntrustedError
        If somebody else owns or can write it, its folder, or the folder above.
    OSError
        If it is not there or cannot be read.
    """
    with _opened(path.parent) as folder:
        descriptor = os.open(path.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
        with os.fdopen(descriptor, "rb") as file:
            found = os.fstat(descriptor)
            if not stat.S_ISREG(found.st_mode) or found.st_size > most:
                raise UntrustedError(f"{path} is not one of ours")
            _check(found, path)
            return file.read(most)


def write_own(path: Path, data: bytes) -> None:
    """Write a file whole, so that :func:`read_own` reads it; folders that are missing are made.

    Raises
    ------
    UntrustedError
        If somebody else owns or can write the folder, or the folder above.
    OSError
        If it cannot be written.
    """
    _make(path.parent)
    with _opened(path.parent) as folder:
        temporary = f".{path.name}.{uuid.uuid4().hex}.tmp"
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            with os.fdopen(os.open(temporary, flags, 0o644, dir_fd=folder), "wb") as file:
                file.write(data)
            os.rename(temporary, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary, dir_fd=folder)
            raise


def why_not_kept(folder: Path) -> str:
    """Return why :func:`write_own` would write nothing into a folder; an empty string if it would. Nothing is made."""
    try:
        there = _there_of(folder)
    except UntrustedError as error:
        return str(error)
    except OSError as error:
        return f"{folder} cannot be used ({error.strerror})"
    return "" if os.access(there, os.W_OK) else f"{there} cannot be written to"


def _there_of(folder: Path) -> Path:
    """Return what is there already of a folder that can be trusted, be it itself or one around it."""
    with suppress(FileNotFoundError), _opened(folder):
        return folder
    there = next(path for path in folder.parents if path.exists())
    if there == folder.parent:
        _check(there.stat(), there, may_be_sticky=True)
    return there


def _make(folder: Path) -> None:
    """Make a folder of ours in a folder of ours, by the umask, but never so that others could write to them."""
    folder.parent.parent.mkdir(parents=True, exist_ok=True)
    for one in (folder.parent, folder):
        one.mkdir(mode=0o755, exist_ok=True)


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    """Yield a descriptor of a folder that can be trusted."""
    outer = os.open(folder.parent, _FOLDER)
    try:
        _check(os.fstat(outer), folder.parent, may_be_sticky=True)
        inner = os.open(folder.name, _FOLDER | os.O_NOFOLLOW, dir_fd=outer)
        try:
            _check(os.fstat(inner), folder)
            yield inner
        finally:
            os.close(inner)
    finally:
        os.close(outer)


def _check(found: os.stat_result, path: Path, *, may_be_sticky: bool = False) -> None:
    """Refuse what others could have written. In a sticky folder (/tmp) they cannot replace what is ours."""
    if found.st_uid not in (os.geteuid(), 0):
        raise UntrustedError(f"{path} belongs to another user (number {found.st_uid})")
    if found.st_mode & _OTHERS_WRITE and not (may_be_sticky and found.st_mode & stat.S_ISVTX):
        raise UntrustedError(f"others can write to {path}; to have it used: chmod go-w {path}")
