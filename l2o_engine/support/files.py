"""Writing files so that a reader, or a crash, never meets half of one."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO


@contextmanager
def atomic_file(path: Path) -> Iterator[BinaryIO]:
    """Open a file to be written whole: under a temporary name beside it, synced, then renamed onto it.

    If what is done with it fails, nothing is left of it, and what was there stays.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def write_atomically(path: Path, data: bytes) -> None:
    """Write a file whole, as :func:`atomic_file` does."""
    with atomic_file(path) as file:
        file.write(data)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder last through a power failure, where the file system can."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
