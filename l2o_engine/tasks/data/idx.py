"""IDX, the format of MNIST and Fashion-MNIST: a header of big-endian numbers, then bytes.

Images begin with the magic number 2051, their count, rows and columns; labels with 2049 and their count
(http://yann.lecun.com/exdb/mnist, as TensorFlow's mnist.py reads it).
"""

import struct
from pathlib import Path

import numpy as np

from l2o_engine.support.arrays import Bytes
from l2o_engine.tasks.data.base import Read, Source, part_of, read

IMAGES, LABELS = 2051, 2049
MOST_IMAGES = 100_000
_NUMBER = 4  # bytes of each of a header's


def read_part(images: Path, labels: Path, size: tuple[int, int]) -> Read:
    """Read a file of images of a size (rows, columns), and the one of their labels, as many.

    See :data:`~l2o_engine.tasks.data.base.Read`.
    """
    pixels = size[0] * size[1]
    first = read(images, MOST_IMAGES * pixels + 4 * _NUMBER)
    found = images_in(first, size)
    second = read(labels, MOST_IMAGES + 2 * _NUMBER)
    named = labels_in(second)
    if len(named) != len(found):
        raise second.wrong(f"holds {len(named):,} labels, and {images.name} {len(found):,} images")
    return part_of(second, found, named), {images.name: first.digest, labels.name: second.digest}


def images_in(source: Source, size: tuple[int, int]) -> Bytes:
    """Return the images [n, rows·columns] of a file; DataError if it is none, or holds less or more than it says."""
    count, rows, columns = _header(source, IMAGES, "images", 3)
    if (rows, columns) != size:
        raise source.wrong(f"holds images of {rows:,} × {columns:,} pixels, not of {size[0]} × {size[1]}")
    return _body(source, count, rows * columns, 4).reshape(count, rows * columns)


def labels_in(source: Source) -> Bytes:
    """Return the labels [n] of a file; DataError as for its images."""
    (count,) = _header(source, LABELS, "labels", 1)
    return _body(source, count, 1, 2)


def _header(source: Source, magic: int, what: str, numbers: int) -> tuple[int, ...]:
    """Return the numbers behind the magic one."""
    length = _NUMBER * (1 + numbers)
    if len(source.content) < length:
        raise source.wrong(f"is too short for an IDX file of {what}")
    found, *rest = struct.unpack(f">{1 + numbers}I", source.content[:length])
    if found != magic:
        raise source.wrong(f"is no IDX file of {what}: it begins with {found}, not with {magic}")
    return tuple(rest)


def _body(source: Source, count: int, each: int, numbers: int) -> Bytes:
    """Return all bytes behind the header, which are as many as it says."""
    there = len(source.content) - _NUMBER * numbers
    if there != count * each:
        raise source.wrong(f"says that {count * each:,} bytes follow its header, and {there:,} do")
    return np.frombuffer(source.content, np.uint8, offset=_NUMBER * numbers)
