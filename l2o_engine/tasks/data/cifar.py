"""CIFAR-10's binary files: a record an image, one byte of label, then 1,024 of red, of green and of blue."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from l2o_engine.tasks.data.base import Part, Read, Source, part_of, read

PIXELS = 3 * 32 * 32
_RECORD = 1 + PIXELS
_MOST_RECORDS = 10_000


def read_part(paths: Sequence[Path]) -> Read:
    """Read files, one behind the other; see :data:`~l2o_engine.tasks.data.base.Read`."""
    parts, digests = [], {}
    for path in paths:
        source = read(path, _MOST_RECORDS * _RECORD)
        parts.append(part_in(source))
        digests[path.name] = source.digest
    images = np.concatenate([part.images for part in parts])
    return Part(images, np.concatenate([part.labels for part in parts])), digests


def part_in(source: Source) -> Part:
    """Return the images of a file.

    Raises
    ------
    DataError
        If it is no whole number of records, or a label is none.
    """
    records, rest = divmod(len(source.content), _RECORD)
    if rest:
        raise source.wrong(f"is no file of CIFAR-10's: {rest:,} bytes follow the {records:,} records of {_RECORD:,}")
    table = np.frombuffer(source.content, np.uint8).reshape(records, _RECORD)
    return part_of(source, table[:, 1:], table[:, 0])
