"""Files below a folder: opened without following links, read with a bound, written whole.

A run's folder may come from a stranger, and its names may lead anywhere: to somebody's home, to a pipe that waits for
ever, to a disk full of zeros. So the folder that the user names is trusted as a name and no more. Below it every
component is opened in the folder before it, links are refused, and what is no regular file is refused too. Whoever
reads or writes files of a run does it through here.

``root`` is the folder that was named, which may itself be a link; without one it is the folder that the file is in.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader, FileIO
from pathlib import Path
from stat import S_ISLNK, S_ISREG
from threading import Lock
from typing import BinaryIO

# Nobody waits for the other end of a pipe, no terminal becomes ours, and no child inherits what is open.
_CAREFULLY = os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# What file systems answer that cannot make renames last: CIFS, FUSE, some network file systems.
_NO_SUCH_PROMISE = (errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF)


class RefusedFileError(OSError):
    """A file that is there and is not opened, or not read to its end; ``strerror`` says why."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(errno.EINVAL, why, str(path))


# Folders.


@contextmanager
def open_folder(folder: Path, root: Path | None = None) -> Iterator[int]:
    """Open a folder without following links below the root, and yield its descriptor.

    Raises
    ------
    RefusedFileError
        If a link lies on the way.
    OSError
        If it is not there, is no folder or cannot be opened.
    """
    root = folder if root is None else root
    descriptor = _held_or_opened(root)
    try:
        place = root
        for name in folder.relative_to(root).parts:
            place /= name
            inner = _open(place, _FOLDER, descriptor)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


class HeldFolder:
    """A folder that stays open, so that what this process does below it does not begin with opening it again.

    On a network's file system that is half of the calls. What is done meanwhile is done in this folder, even if it is
    given another name: :attr:`is_there` tells, and whoever writes is to ask now and then. To be let go of.

    Parameters
    ----------
    folder
        The folder, by the path by which it is used.

    Raises
    ------
    OSError
        If it cannot be opened.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        descriptor = os.open(folder, _FOLDER)
        with _held_lock:
            if folder in _held:
                os.close(descriptor)
                raise ValueError(f"{folder} is held already")
            _held[folder] = descriptor

    @property
    def is_there(self) -> bool:
        """Whether the path leads to this folder."""
        try:
            there = self._folder.stat()
        except OSError:
            return False
        with _held_lock:
            ours = os.fstat(_held[self._folder])
        return (ours.st_dev, ours.st_ino) == (there.st_dev, there.st_ino)

    def let_go(self) -> None:
        """Close it; once is enough."""
        with _held_lock:
            descriptor = _held.pop(self._folder, None)
        if descriptor is not None:
            os.close(descriptor)


_held: dict[Path, int] = {}
_held_lock = Lock()


def _held_or_opened(folder: Path) -> int:
    """Return a descriptor of a folder, to be closed: a copy, for another thread may let go of the folder meanwhile."""
    with _held_lock:
        if folder in _held:
            return os.dup(_held[folder])
    return os.open(folder, _FOLDER)


def make_folder(folder: Path, root: Path | None = None) -> None:
    """Make a folder, if it is not there; something else of that name is refused.

    Raises
    ------
    RefusedFileError
        If it is a link.
    OSError
        If it cannot be made.
    """
    with open_folder(folder.parent, root) as parent:
        with suppress(FileExistsError):
            os.mkdir(folder.name, dir_fd=parent)
        os.close(_open(folder, _FOLDER, parent))


def names_in(folder: Path, root: Path | None = None) -> list[str]:
    """Return the names in a folder.

    Raises
    ------
    OSError
        If the folder cannot be read, or a link leads to it.
    """
    with open_folder(folder, root) as descriptor, _listed(folder, root, descriptor) as entries:
        return [entry.name for entry in entries]


@contextmanager
def _listed(folder: Path, root: Path | None, descriptor: int) -> Iterator[Iterator[os.DirEntry[str]]]:
    """Scan an open folder; of one that is held, whose descriptors share one position, through another one."""
    if folder in _held and root in (None, folder):
        own = os.open(".", _FOLDER, dir_fd=descriptor)
        try:
            with os.scandir(own) as entries:
                yield entries
        finally:
            os.close(own)
    else:
        with os.scandir(descriptor) as entries:
            yield entries


def folders_in(folder: str | Path, *, follows: bool) -> list[str]:
    """Return the paths of the folders in a folder, as strings: there may be ten thousand.

    Parameters
    ----------
    folder
        The folder, which may itself be a link.
    follows
        Whether a link that leads to a folder is one.

    Raises
    ------
    OSError
        If the folder cannot be read.
    """
    with os.scandir(folder) as entries:
        return [entry.path for entry in entries if _is_folder(entry, follows=follows)]


def _is_folder(entry: os.DirEntry[str], *, follows: bool) -> bool:
    try:
        return entry.is_dir(follow_symlinks=follows)
    except OSError:
        return False


# Reading.


def open_to_read(path: Path, root: Path | None = None, *, follows: bool = False) -> BufferedReader:
    """Open a regular file for reading.

    Parameters
    ----------
    path, root
        The file.
    follows
        Whether a link is followed: where the user named the file.

    Raises
    ------
    RefusedFileError
        If it is a link, a pipe, a device, …, or a link lies on the way.
    OSError
        If it cannot be opened.
    """
    return os.fdopen(_open_regular(path, os.O_RDONLY, root, follows=follows), "rb")


def read_bytes(path: Path, most: int, root: Path | None = None, *, follows: bool = False) -> bytes:
    """Read a whole file that is not longer than it may be.

    Parameters
    ----------
    path, root
        The file.
    most
        Bytes that it may have.
    follows
        Whether a link is followed: where the user named the file.

    Raises
    ------
    RefusedFileError
        If it is longer, no regular file, or behind a link that is not to be followed.
    OSError
        If it cannot be read.
    """
    with os.fdopen(_open_regular(path, os.O_RDONLY, root, follows=follows), "rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise RefusedFileError(path, f"it is longer than {most:,} bytes")
    return content


# Writing.


def open_lock(path: Path, root: Path | None = None, *, make: bool = True) -> int:
    """Open a regular file to be locked, and return its descriptor; nothing of it is read or written.

    Parameters
    ----------
    path, root
        The file.
    make
        Whether it is made if it is not there, and opened for writing, as some file systems want it of who locks alone;
        else it is opened for reading.

    Raises
    ------
    RefusedFileError
        If it is a link, a pipe, a device, …, or a link lies on the way.
    OSError
        If it cannot be opened.
    """
    return _open_regular(path, os.O_RDWR | os.O_CREAT if make else os.O_RDONLY, root)


def open_to_append(path: Path, root: Path | None = None, *, make: bool = True) -> FileIO:
    """Open a regular file for writing at its end, unbuffered.

    Parameters
    ----------
    path, root
        The file.
    make
        Whether it is made if it is not there.

    Raises
    ------
    RefusedFileError
        If it is a link, a pipe, a device, …, or a link lies on the way.
    OSError
        If it cannot be opened.
    """
    flags = os.O_WRONLY | os.O_APPEND | (os.O_CREAT if make else 0)
    return FileIO(path, "ab", opener=lambda *_: _open_regular(path, flags, root))  # so that errors name it


def append(file: FileIO, data: bytes) -> None:
    """Write at the end of a file all of this, for a raw file may take less at a time; or nothing, if that fails.

    Raises
    ------
    OSError
        If the disk does not take all of it.
    """
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[file.write(rest) or 0 :]
    except OSError as error:
        with suppress(OSError):
            file.truncate(file.seek(0, os.SEEK_END) - (len(data) - len(rest)))
        raise OSError(error.errno, error.strerror, str(file.name)) from error


@contextmanager
def atomic_file(path: Path, root: Path | None = None) -> Iterator[BinaryIO]:
    """Open a file to be written whole: under a temporary name beside it, synced, then renamed onto it.

    If what is done with it fails, nothing is left of it, and what was there stays. A link that was there is replaced.
    """
    temporary = path.with_name(temporary_name(path.name))
    with open_folder(path.parent, root) as folder:
        try:
            with os.fdopen(_open_new(temporary, folder), "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary.name, path.name, src_dir_fd=folder, dst_dir_fd=folder)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(temporary.name, dir_fd=folder)
            raise
        _sync_folder(folder)


def write_atomically(path: Path, data: bytes, root: Path | None = None) -> None:
    """Write a file whole, as :func:`atomic_file` does."""
    with atomic_file(path, root) as file:
        file.write(data)


def write_first(path: Path, data: bytes, root: Path | None = None) -> None:
    """Write a file of a folder that is being made: it is on the disk when this returns, its name with the next rename.

    So the folder is synced once for all of its first files, by whatever :func:`write_atomically` writes there last, and
    nobody may rely on them before that is there.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
    with os.fdopen(_open_regular(path, flags, root), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def temporary_name(name: str) -> str:
    """Return what this process calls a file while it writes it."""
    return f".{name}.{os.getpid()}.tmp"


def remove(path: Path, root: Path | None = None) -> None:
    """Remove a file, or the link that is there in its place; what has gone already is no error.

    Raises
    ------
    OSError
        If it cannot be removed: it is a folder, say.
    """
    with suppress(FileNotFoundError), open_folder(path.parent, root) as folder:
        os.unlink(path.name, dir_fd=folder)


def remove_folder(folder: Path, root: Path | None = None) -> None:
    """Remove an empty folder; what has gone already is no error.

    Raises
    ------
    OSError
        If it cannot be removed: it is not empty, or no folder.
    """
    with suppress(FileNotFoundError), open_folder(folder.parent, root) as parent:
        os.rmdir(folder.name, dir_fd=parent)


def rename(path: Path, name: str, root: Path | None = None) -> None:
    """Give a file, or the link that is there in its place, another name in its folder.

    Raises
    ------
    OSError
        If it is not there or cannot be renamed.
    """
    with open_folder(path.parent, root) as folder:
        os.replace(path.name, name, src_dir_fd=folder, dst_dir_fd=folder)


def sync_folder(folder: Path, root: Path | None = None) -> None:
    """Make renames in a folder last through a power failure, where the file system can.

    Raises
    ------
    OSError
        If the file system can, and fails.
    """
    with open_folder(folder, root) as descriptor:
        _sync_folder(descriptor)


def _sync_folder(folder: int) -> None:
    try:
        os.fsync(folder)
    except OSError as error:
        if error.errno not in _NO_SUCH_PROMISE:
            raise


def _open_regular(path: Path, flags: int, root: Path | None, *, follows: bool = False) -> int:
    with open_folder(path.parent, root) as folder:
        descriptor = _open(path, flags | _CAREFULLY, folder, follows=follows)
    if S_ISREG(os.fstat(descriptor).st_mode):
        return descriptor
    os.close(descriptor)
    raise RefusedFileError(path, "it is no regular file")


def _open_new(path: Path, folder: int) -> int:
    """Open a file that is made by that; what a killed process that had our id has left there is removed first."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    try:
        return _open(path, flags, folder)
    except (FileExistsError, RefusedFileError):  # to look beforehand would be one more call each time
        os.unlink(path.name, dir_fd=folder)
        return _open(path, flags, folder)


def _open(path: Path, flags: int, folder: int, *, follows: bool = False) -> int:
    """Open what has the path's name in an open folder."""
    try:
        return os.open(path.name, flags | (0 if follows else os.O_NOFOLLOW), 0o666, dir_fd=folder)
    except OSError as error:
        if not follows and _is_link(path.name, folder):
            raise RefusedFileError(path, "it is a symbolic link, which is not followed") from error
        if error.errno == errno.ENXIO:  # a socket, or a pipe that nobody reads
            raise RefusedFileError(path, "it is no regular file") from error
        error.filename = str(path)
        raise


def _is_link(name: str, folder: int) -> bool:
    try:
        return S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except OSError:
        return False
