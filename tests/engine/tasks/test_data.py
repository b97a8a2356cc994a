"""Data sets: read as they are, split, shared; and every way in which a file can be wrong is named."""

import gzip
import os
import struct
import tracemalloc
from collections.abc import Callable
from hashlib import sha256
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from l2o_engine.tasks import data
from l2o_engine.tasks.data import DataError, Part, base, cifar, idx, sets, table
from l2o_engine.tasks.data.base import Source
from tests.engine import digits
from tests.fuzz.targets import TARGETS


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a data folder with nothing in it; no package and no Debian has data sets."""
    monkeypatch.setenv(data.FOLDER_VARIABLE, str(tmp_path))

    def not_installed(package: str) -> NoReturn:
        raise PackageNotFoundError(package)

    monkeypatch.setattr(sets, "distribution", not_installed)
    monkeypatch.setattr(sets, "FASHION_OF_DEBIAN", tmp_path / "nowhere")
    return tmp_path


def mnist(folder: Path, name: str, *, train: int = 5_003, packed: bool = True) -> Path:
    """Write the four files of MNIST, or of Fashion-MNIST."""
    place = folder / name
    place.mkdir()
    files = {"train-images-idx3": digits.idx_images(train), "train-labels-idx1": digits.idx_labels(train)}
    files |= {"t10k-images-idx3": digits.idx_images(4), "t10k-labels-idx1": digits.idx_labels(4)}
    for file, content in files.items():
        suffix = ".gz" if packed else ""
        (place / f"{file}-ubyte{suffix}").write_bytes(gzip.compress(content, 0) if packed else content)
    return place


def source(content: bytes) -> Source:
    return Source(Path("some.file"), content, "")


# What is read.


def test_digits_are_split_and_every_image_is_in_one_part() -> None:
    found = data.load("digits")
    assert (len(found.train), len(found.test), found.shape, found.white) == (1347, 450, (1, 8, 8), 16)
    whole = table.part_in(source(gzip.decompress(digits.table(1797, 64, 16))), 64, 16)
    both = np.concatenate([found.train.images, found.test.images])
    order = np.lexsort(whole.images.T), np.lexsort(both.T)
    np.testing.assert_array_equal(whole.images[order[0]], both[order[1]])
    assert found.digests == {"digits.csv.gz": sha256(digits.table(1797, 64, 16)).hexdigest()}


def test_the_permutation_is_fixed_for_ever() -> None:
    """Another one would be another problem: runs would not go on as they were."""
    numbers = np.arange(1797, dtype=np.uint16)
    part = Part(numbers[:, None].view(np.uint8), numbers.astype(np.uint8))
    train, test = sets.shuffled(part, 450)
    assert test.images.view(np.uint16)[:6, 0].tolist() == [855, 921, 269, 1185, 11, 1271]
    assert train.images.view(np.uint16)[:3, 0].tolist() == [1748, 1096, 533]


@pytest.mark.parametrize("packed", [True, False], ids=["gz", "plain"])
def test_mnist_s_first_5000_are_held_back(folder: Path, packed: bool) -> None:
    mnist(folder, "mnist", packed=packed)
    found = data.load("mnist")
    images, _ = digits.images(5_003, 784, 255)
    np.testing.assert_array_equal(found.train.images, images[5_000:])
    assert len(found.train.labels) == 3
    assert len(found.test) == 4
    assert len(found.digests) == 4
    assert found.train.images.base is None  # those held back take no memory


def test_fashion_is_found_where_debian_puts_it_and_the_data_folder_comes_first(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sets, "FASHION_OF_DEBIAN", mnist(folder, "debian"))
    assert len(data.load("fashion-mnist").train) == 3
    other = folder / "other"
    other.mkdir()
    mnist(other, "fashion-mnist", train=5_001)
    monkeypatch.setenv(data.FOLDER_VARIABLE, str(other))
    assert len(data.load("fashion-mnist").train) == 1


def test_cifar_is_read_red_before_green_before_blue(folder: Path) -> None:
    place = folder / "cifar-10-batches-bin"
    place.mkdir()
    for name in [*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"]:
        (place / name).write_bytes(digits.records(2))
    found = data.load("cifar10")
    assert (len(found.train), len(found.test), found.shape) == (10, 2, (3, 32, 32))
    content = digits.records(2)
    assert found.train.labels[1] == content[3073]
    assert found.train.images[1].tobytes() == content[3074:]


def test_a_package_s_table_is_read_and_the_package_not_imported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digits.write_digits(folder)
    monkeypatch.undo()
    monkeypatch.setenv(data.FOLDER_VARIABLE, str(folder / "nothing"))
    metadata = folder / "scikit_learn-1.0.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: scikit-learn\nVersion: 1.0\n")
    (folder / "sklearn" / "datasets").mkdir(parents=True)
    (folder / "digits").rename(folder / "sklearn" / "datasets" / "data")
    (folder / "sklearn" / "__init__.py").write_text("raise RuntimeError('imported')")
    monkeypatch.syspath_prepend(folder)
    assert len(data.load("digits").test) == 450


def test_a_set_is_read_once_and_shared(folder: Path) -> None:
    digits.write_digits(folder)
    first = data.load("digits")
    (folder / "digits" / "digits.csv.gz").unlink()
    assert data.load("digits") is first


def test_a_pooled_pixel_is_its_square_s_mean_in_every_channel(folder: Path) -> None:
    place = folder / "cifar-10-batches-bin"
    place.mkdir()
    for name in [*(f"data_batch_{k}.bin" for k in range(1, 6)), "test_batch.bin"]:
        (place / name).write_bytes(digits.records(2))
    whole, pooled = data.load("cifar10"), data.load("cifar10", 4)
    assert pooled.shape == (3, 8, 8)
    assert pooled.digests == whole.digests
    for large, small in ((whole.train, pooled.train), (whole.test, pooled.test)):
        np.testing.assert_array_equal(small.labels, large.labels)
        assert small.images.shape == (len(large), 192)
        for channel, row, column in ((0, 0, 0), (1, 2, 5), (2, 7, 7)):
            square = large.images.reshape(-1, 3, 32, 32)[:, channel, 4 * row :, 4 * column :][:, :4, :4]
            found = small.images[:, 64 * channel + 8 * row + column]
            assert np.abs(found - square.mean((1, 2))).max() <= 0.5


def test_a_pooled_set_is_made_once_and_shared(folder: Path) -> None:
    digits.write_digits(folder)
    assert data.load("digits", 2) is data.load("digits", 2)
    assert data.load("digits", 1) is data.load("digits")


# What is not there.


@pytest.mark.parametrize("name", data.SETS)
def test_a_set_that_is_missing_is_one_message_that_says_how_to_get_it(folder: Path, name: str) -> None:
    with pytest.raises(DataError) as error:
        data.load(name)
    assert len(error.value.lines) == 1
    said = str(error.value)
    assert f'"{name}" is not there' in said
    assert str(folder) in said
    assert "--data-dir" in said
    assert "DATA_FOLDER" not in said


def test_a_file_that_is_missing_is_named(folder: Path) -> None:
    (mnist(folder, "mnist") / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(DataError, match=r"t10k-labels-idx1-ubyte is missing"):
        data.load("mnist")


# What is damaged.

GOOD_IMAGES, GOOD_LABELS = digits.idx_images(3, (2, 2)), digits.idx_labels(3)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "too short"),
        (GOOD_IMAGES[:15], "too short"),
        (GOOD_LABELS + bytes(9), "begins with 2049"),
        (GOOD_IMAGES[:-1], "12 bytes follow its header, and 11 do"),
        (GOOD_IMAGES + b"x", "12 bytes follow its header, and 13 do"),
        (struct.pack(">4I", 2051, 2**32 - 1, 2, 2), "17,179,869,180 bytes follow"),
        (struct.pack(">4I", 2051, 1, 65536, 65536), "65,536 × 65,536 pixels"),
        (struct.pack("<4I", 2051, 3, 2, 2) + bytes(12), "begins with 50855936"),
    ],
)
def test_what_is_wrong_with_images_is_named(content: bytes, said: str) -> None:
    with pytest.raises(DataError, match=f"some.file .*{said}"):
        idx.images_in(source(content), (2, 2))


@pytest.mark.parametrize(
    ("images", "labels", "said"),
    [
        (GOOD_IMAGES, digits.idx_labels(4), "4 labels, and images 3 images"),
        (GOOD_IMAGES, GOOD_IMAGES, "no IDX file of labels"),
        (GOOD_IMAGES, GOOD_LABELS[:-1] + b"\x0a", "holds the label 10"),
        (digits.idx_images(0, (2, 2)), digits.idx_labels(0), "holds no image"),
    ],
)
def test_labels_must_be_those_of_the_images(tmp_path: Path, images: bytes, labels: bytes, said: str) -> None:
    (tmp_path / "images").write_bytes(images)
    (tmp_path / "labels").write_bytes(labels)
    with pytest.raises(DataError, match=said):
        idx.read_part(tmp_path / "images", tmp_path / "labels", (2, 2))


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "holds no image"),
        (b" \n\n", "holds no image"),
        (b"1,2,3\n1,2\n", "no table of numbers"),
        (b"1,2,3\n\n1,2,3\n", "an empty line"),
        (b"1,2,3,4\n", "has 4 columns"),
        (b"1,2,x\n", "no table of numbers"),
        (b"1,\xff,3\n", "byte 2"),
        (b"1,2,3\n1,17,3\n", "in row 2"),
        (b"1,-1,3\n", "in row 1"),
        (b"1,0.5,3\n", "in row 1"),
        (b"1,nan,3\n", "in row 1"),
        (b"1,1e400,3\n", "in row 1"),
        (b"1,2,10\n", "in row 1"),
        (b"1,2,3\n" * 10_001, "more than 10,000 lines"),
    ],
)
def test_what_is_wrong_with_a_table_is_named(content: bytes, said: str) -> None:
    with pytest.raises(DataError, match=f"some.file .*{said}"):
        table.part_in(source(content), 2, 16)


def test_a_table_with_fewer_images_is_another_one(folder: Path) -> None:
    (folder / "digits").mkdir()
    (folder / "digits" / "digits.csv.gz").write_bytes(digits.table(100, 64, 16))
    with pytest.raises(DataError, match="holds 100 images, not 1,797"):
        data.load("digits")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "holds no image"),
        (digits.records(2)[:-1], "3,072 bytes follow the 1 records"),
        (b"\x0a" + digits.records(1)[1:], "holds the label 10"),
    ],
)
def test_what_is_wrong_with_cifar_is_named(content: bytes, said: str) -> None:
    with pytest.raises(DataError, match=f"some.file .*{said}"):
        cifar.part_in(source(content))


PACKED = gzip.compress(b"1,2,3\n" * 50, mtime=0)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (PACKED[:-1], "cut off"),
        (PACKED[:10], "cut off"),
        (PACKED + PACKED, "behind the end"),
        (PACKED[:-8] + bytes(8), "damaged gzip"),
        (PACKED[:4] + b"\xff" * 30, "damaged gzip"),
        (bytes(1001), "longer than 1,000 bytes"),
        (gzip.compress(bytes(1001), mtime=0), "unpacks to more than 1,000 bytes"),
    ],
    ids=["last byte missing", "head alone", "twice", "digest", "garbage", "long", "long when unpacked"],
)
def test_files_are_unpacked_whole_or_not_at_all(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(DataError, match=said):
        base.read(tmp_path / "file", 1_000)


def test_a_bomb_is_unpacked_no_further_than_a_file_may_be(tmp_path: Path) -> None:
    """64 MB of zeros: what is held is the bound of one, and the little that is packed."""
    (tmp_path / "file").write_bytes(gzip.compress(bytes(2**26), 1))
    tracemalloc.start()
    with pytest.raises(DataError, match="unpacks to more"):
        base.read(tmp_path / "file", 2**20)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**23


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir], ids=["pipe", "folder"])
def test_what_is_no_file_is_not_waited_for(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "file")
    with pytest.raises(DataError, match="no regular file"):
        base.read(tmp_path / "file", 1_000)


def test_a_name_s_control_characters_are_shown_as_escapes(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    strange = folder / "\x1b[31m"
    digits.write_digits(strange)
    (strange / "digits" / "digits.csv.gz").write_bytes(b"1,2\n")
    monkeypatch.setenv(data.FOLDER_VARIABLE, str(strange))
    with pytest.raises(DataError, match=r"\\x1b\[31m"):
        data.load("digits")


@given(content=st.binary(max_size=64))
@example(content=GOOD_IMAGES)
@example(content=PACKED)
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    TARGETS["data"].feed(content)
