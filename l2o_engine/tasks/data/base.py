"""What a data set is, and how its files are opened: bounded, unpacked no further than they may be, with a digest.

A file comes from anywhere. So it is no pipe and no device, it is not longer than its format lets it be, and what it
unpacks to is bounded as well; the readers of the formats then make arrays of what is there, never of what a header
promises.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from l2o_engine.support.arrays import Bytes, Integers
from l2o_engine.support.errors import UserError
from l2o_engine.support.files import RefusedFileError, read_bytes

if TYPE_CHECKING:
    from torch import Tensor, device

FOLDER_VARIABLE = "L2O_DATA_DIR"
"""What the environment calls the folder of the data sets."""

CLASSES = 10
"""Labels of every set are 0 … 9."""

_GZIP = b"\x1f\x8b"
_GZIP_FORMAT = 31  # zlib's window bits for a gzip file, whose checksum it compares


class DataError(UserError):
    """A data set that is not there or cannot be read. The message is meant for the user."""


@dataclass(frozen=True, eq=False)
class Part:
    """Images with their labels.

    Attributes
    ----------
    images
        uint8 [n, pixels], a channel behind the other.
    labels
        uint8 [n], each below :data:`CLASSES`.
    """

    images: Bytes
    labels: Bytes
    _tensors: "dict[device, tuple[Tensor, Tensor]]" = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.images)

    def on(self, where: "device") -> "tuple[Tensor, Tensor]":
        """Return images and labels as tensors on a device, brought there once; on the CPU they are the same memory."""
        if where not in self._tensors:
            from torch import from_numpy

            self._tensors[where] = from_numpy(self.images).to(where), from_numpy(self.labels).to(where)
        return self._tensors[where]

    def __getitem__(self, places: slice | Integers) -> "Part":
        """Return some of them, copied: the others are given back."""
        return Part(self.images[places].copy(), self.labels[places].copy())


Read: TypeAlias = tuple[Part, dict[str, str]]
"""What a format's ``read_part`` gives: images with their labels, in the files' order, and file name → SHA-256.

It raises FileNotFoundError where a file is not there, and DataError where one is damaged.
"""


@dataclass(frozen=True, eq=False)
class DataSet:
    """A data set in memory.

    Attributes
    ----------
    name
        What presets call it.
    shape
        Of an image: channels, rows, columns.
    white
        The greatest number of a pixel: divided by it, pixels are in [0, 1].
    train, test
        What minibatches are of, and what nothing is trained on.
    digests
        File name → SHA-256 of the file as it is on disk, in hexadecimal.
    """

    name: str
    shape: tuple[int, int, int]
    white: int
    train: Part
    test: Part
    digests: Mapping[str, str]

    def pooled(self, side: int) -> "DataSet":
        """Return it with one pixel for each square of so many × so many: their mean, rounded."""

        def of(part: Part) -> Part:
            channels, rows, columns = self.shape
            squares = part.images.reshape(-1, channels, rows // side, side, columns // side, side)
            means = (squares.sum((3, 5), np.uint32) + side**2 // 2) // side**2
            return Part(means.astype(np.uint8).reshape(len(part), -1), part.labels)

        return replace(self, shape=pooled_shape(self.shape, side), train=of(self.train), test=of(self.test))


def pooled_shape(shape: tuple[int, int, int], side: int) -> tuple[int, int, int]:
    """Return the shape of images in which one pixel stands for each square of so many × so many."""
    channels, rows, columns = shape
    return channels, rows // side, columns // side


@dataclass(frozen=True)
class Source:
    """A file of a data set, read.

    Attributes
    ----------
    path
        Where it is.
    content
        What is in it, unpacked.
    digest
        SHA-256 of the file as it is on disk, in hexadecimal.
    """

    path: Path
    content: bytes
    digest: str

    def wrong(self, what: str) -> DataError:
        """Return the error that says what is wrong with it."""
        return DataError(f"{self.path} {what}")


def read(path: Path, most: int) -> Source:
    """Read a file, and unpack it if it is a gzip file, whatever it is called.

    Parameters
    ----------
    path
        The file; a link is followed, for the user named the folder.
    most
        Bytes that it may have, unpacked; packed it may have no more either.

    Raises
    ------
    FileNotFoundError
        If it is not there.
    DataError
        If it cannot be read, is longer, or is a damaged gzip file.
    """
    try:
        found = read_bytes(path, most, follows=True)
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(str(path)) from None
    except RefusedFileError as error:
        raise DataError(f"{path} is not read: {error.strerror}") from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}") from error
    source = Source(path, found, sha256(found).hexdigest())
    if not found.startswith(_GZIP):
        return source
    return Source(path, _unpacked(source, most), source.digest)


def _unpacked(source: Source, most: int) -> bytes:
    """Return what a gzip file holds; what is beyond the bound is never unpacked."""
    unpacking = zlib.decompressobj(_GZIP_FORMAT)
    try:
        content = unpacking.decompress(source.content, most + 1)
    except zlib.error as error:
        raise source.wrong(f"is a damaged gzip file ({error})") from error
    if len(content) > most:
        raise source.wrong(f"unpacks to more than {most:,} bytes")
    if not unpacking.eof:
        raise source.wrong("is a gzip file that is cut off")
    if unpacking.unused_data:
        raise source.wrong("has something behind the end of its gzip file")
    return content


def part_of(source: Source, images: Bytes, labels: Bytes) -> Part:
    """Return images and labels together.

    Raises
    ------
    DataError
        If there is none, or a label is none.
    """
    if not len(images):
        raise source.wrong("holds no image")
    if int(labels.max()) >= CLASSES:
        raise source.wrong(f"holds the label {int(labels.max())}: they are 0 to {CLASSES - 1}")
    return Part(images, labels)
