"""Images for measurements on a machine that has no data set: as many pixels as MNIST's, as few of them lit."""

import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from l2o_engine.tasks.base import TaskFamily
from l2o_engine.tasks.data.base import FOLDER_VARIABLE, DataError
from l2o_engine.tasks.network import Network

_LIKE_MNIST = ("mnist", "fashion-mnist")
_PIXELS, _CLASSES, _LIT = 28 * 28, 10, 0.19
_IMAGES = {"train": 15_000, "t10k": 1_000}  # of the first 5,000 are held back


@contextmanager
def images_for(task: TaskFamily) -> Iterator[str]:
    """Have images made, for as long as this lasts, if the problem is of a data set like MNIST that is not there.

    Yields
    ------
    str
        What is to be said of it; "" if nothing was made.

    Raises
    ------
    DataError
        If another data set is not there.
    """
    try:
        _ = task.sources
    except DataError:
        if not isinstance(task, Network) or task.data not in _LIKE_MNIST:
            raise
    else:
        yield ""
        return
    before = os.environ.get(FOLDER_VARIABLE)
    with TemporaryDirectory(prefix="l2o-images-") as folder:
        _write(Path(folder) / task.data)
        os.environ[FOLDER_VARIABLE] = folder
        try:
            yield f"{task.data} is not there: measured on images that were made for it"
        finally:
            if before is None:
                del os.environ[FOLDER_VARIABLE]
            else:
                os.environ[FOLDER_VARIABLE] = before


def _write(folder: Path) -> None:
    """Write MNIST's four files: each class has pixels of its own that are lit, most of them, in its images."""
    folder.mkdir()
    generator = np.random.default_rng(0)
    often = np.where(generator.random((_CLASSES, _PIXELS)) < _LIT, 0.9, 0.02)
    for name, n in _IMAGES.items():
        labels = generator.integers(_CLASSES, size=n)
        lit = generator.random((n, _PIXELS)) < often[labels]
        images = lit * generator.integers(64, 256, (n, _PIXELS))
        head = struct.pack(">IIII", 2051, n, 28, 28)
        (folder / f"{name}-images-idx3-ubyte").write_bytes(head + images.astype(np.uint8).tobytes())
        head = struct.pack(">II", 2049, n)
        (folder / f"{name}-labels-idx1-ubyte").write_bytes(head + labels.astype(np.uint8).tobytes())
