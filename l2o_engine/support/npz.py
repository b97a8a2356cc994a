"""NumPy's .npz files, read though they may be anybody's: numbers alone, no pickle, and no more than they may hold."""

import os
import zlib
from io import BufferedReader
from math import prod
from pathlib import Path
from typing import IO, Any
from zipfile import BadZipFile, ZipFile, ZipInfo

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from l2o_engine.support.files import open_to_read
from l2o_engine.support.wording import quote

_MOST_MEMBERS = 1000
_HEADERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}


class NpzError(ValueError):
    """What is no such file, or holds what is not read; the message is a clause that says why."""


def read_npz(path: Path, most: int) -> dict[str, NDArray[Any]]:
    """Return the arrays of a file, by name: of floats or whole numbers.

    Parameters
    ----------
    path
        The file; a link is followed.
    most
        Bytes that the file, and all arrays together, may have.

    Raises
    ------
    NpzError
        If it is none, or holds something else.
    OSError
        If it cannot be read.
    """
    with open_to_read(path, follows=True) as file:
        return _arrays_in(file, most)


def _arrays_in(file: BufferedReader, most: int) -> dict[str, NDArray[Any]]:
    if os.fstat(file.fileno()).st_size > most:
        raise NpzError(f"it is longer than {most:,} bytes")
    try:
        with ZipFile(file) as archive:
            members = archive.infolist()
            if len(members) > _MOST_MEMBERS or sum(member.file_size for member in members) > most:
                raise NpzError(f"it holds more than {_MOST_MEMBERS:,} arrays, or than {most:,} bytes of them")
            return {member.filename.removesuffix(".npy"): _array_of(archive, member) for member in members}
    except NpzError:
        raise
    # What a damaged archive may raise: another way of packing and encryption among them.
    except (BadZipFile, zlib.error, EOFError, ValueError, NotImplementedError, RuntimeError, SyntaxError) as error:
        raise NpzError(f"it is no .npz file that can be read: {error}") from error


def _array_of(archive: ZipFile, member: ZipInfo) -> NDArray[Any]:
    """Return one array: what its header says is checked before as much is read."""
    name = quote(member.filename)
    with archive.open(member) as file:
        shape, is_fortran, dtype = _header_of(file, name)
        if dtype.kind not in "fiu":
            raise NpzError(f"{name} holds {dtype}, and not numbers")
        length = prod(shape) * dtype.itemsize
        data = file.read(member.file_size)
        if len(data) != length or min(shape, default=0) < 0:
            raise NpzError(f"{name} has {len(data):,} bytes, and not the {length:,} that its shape takes")
        return np.frombuffer(data, dtype).reshape(shape, order="F" if is_fortran else "C")


def _header_of(file: IO[bytes], name: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    read = _HEADERS.get(npy.read_magic(file))
    if read is None:
        raise NpzError(f"{name} is of a version of NumPy's format that holds no numbers alone")
    return read(file)
