"""Data sets that tests make: files as the real ones are, of images that a network can tell apart."""

import gzip
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from l2o_engine.support.arrays import Bytes
from l2o_engine.tasks.data.base import FOLDER_VARIABLE


def images(n: int, pixels: int, white: int, seed: int = 0) -> tuple[Bytes, Bytes]:
    """Return images [n, pixels] and labels [n]: of each label a pattern of its own, with noise."""
    generator = np.random.default_rng(seed)
    patterns = generator.integers(0, white + 1, (10, pixels))
    labels = generator.integers(0, 10, n)
    noisy = np.where(
        generator.random((n, pixels)) < 0.3, generator.integers(0, white + 1, (n, pixels)), patterns[labels]
    )
    return noisy.astype(np.uint8), labels.astype(np.uint8)


def table(n: int, pixels: int, white: int) -> bytes:
    """Return a packed table of so many images, as scikit-learn's."""
    pictures, labels = images(n, pixels, white)
    lines = [",".join(map(str, (*picture, label))) for picture, label in zip(pictures, labels, strict=True)]
    return gzip.compress("".join(f"{line}\n" for line in lines).encode(), mtime=0)


def idx_images(n: int, size: tuple[int, int] = (28, 28)) -> bytes:
    """Return a file of images in IDX."""
    return struct.pack(">4I", 2051, n, *size) + images(n, size[0] * size[1], 255)[0].tobytes()


def idx_labels(n: int) -> bytes:
    """Return a file of their labels in IDX."""
    return struct.pack(">2I", 2049, n) + images(n, 1, 255)[1].tobytes()


def records(n: int) -> bytes:
    """Return a file of CIFAR-10's."""
    pictures, labels = images(n, 3072, 255)
    return np.concatenate([labels[:, None], pictures], axis=1).tobytes()


def write_digits(folder: Path) -> None:
    """Write the data set "digits" into a data folder."""
    (folder / "digits").mkdir(parents=True)
    (folder / "digits" / "digits.csv.gz").write_bytes(table(1797, 64, 16))


@contextmanager
def digits_in(folder: Path) -> Iterator[None]:
    """Have made digits written into a folder, which is the data folder for as long as this lasts."""
    write_digits(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER_VARIABLE, str(folder))
        yield
