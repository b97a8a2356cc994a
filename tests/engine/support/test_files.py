"""Files below a folder that a stranger may have filled: no link is followed, nothing waits, nothing has no end."""

import errno
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from stat import S_ISDIR

import pytest

from l2o_engine.support.files import (
    HeldFolder,
    RefusedFileError,
    atomic_file,
    make_folder,
    names_in,
    open_to_append,
    open_to_read,
    read_bytes,
    remove,
    rename,
    temporary_name,
    write_atomically,
    write_first,
)


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """Return a folder of the user's, with a file in it."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "thesis.tex").write_text("chapter 1")
    return folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Return a run's folder, which may itself be a link."""
    (tmp_path / "real").mkdir()
    (tmp_path / "root").symlink_to(tmp_path / "real")
    return tmp_path / "root"


def write_into(path: Path, root: Path) -> None:
    write_atomically(path, b"x", root)


def append_to(path: Path, root: Path) -> None:
    open_to_append(path, root).close()


def read_all(path: Path, root: Path) -> None:
    read_bytes(path, 100, root)


OPENINGS: list[Callable[[Path, Path], None]] = [append_to, read_all]


@pytest.mark.parametrize("opening", OPENINGS)
def test_a_link_in_place_of_a_file_is_refused(opening: Callable[[Path, Path], None], root: Path, outside: Path) -> None:
    (root / "metrics.csv").symlink_to(outside / "thesis.tex")
    with pytest.raises(RefusedFileError, match="symbolic link"):
        opening(root / "metrics.csv", root)
    assert (outside / "thesis.tex").read_text() == "chapter 1"


@pytest.mark.parametrize("opening", [*OPENINGS, write_into, remove])
def test_a_link_on_the_way_is_refused(opening: Callable[[Path, Path], None], root: Path, outside: Path) -> None:
    (root / "checkpoints").symlink_to(outside)
    with pytest.raises(RefusedFileError, match="symbolic link"):
        opening(root / "checkpoints" / "thesis.tex", root)
    with pytest.raises(RefusedFileError, match="symbolic link"):
        names_in(root / "checkpoints", root)
    with pytest.raises(RefusedFileError, match="symbolic link"):
        make_folder(root / "checkpoints", root)
    assert {path.name: path.read_text() for path in outside.iterdir()} == {"thesis.tex": "chapter 1"}


def test_below_a_root_that_is_a_link_all_is_as_usual(root: Path) -> None:
    make_folder(root / "inner", root)
    make_folder(root / "inner", root)
    write_atomically(root / "inner" / "a", b"one", root)
    with open_to_append(root / "inner" / "a", root) as file:
        file.write(b" two")
    assert read_bytes(root / "inner" / "a", 7, root) == b"one two"
    rename(root / "inner" / "a", "b", root)
    assert names_in(root / "inner", root) == ["b"]
    remove(root / "inner" / "b", root)
    remove(root / "inner" / "b", root)
    assert names_in(root / "inner", root) == []


def test_what_is_written_or_removed_replaces_a_link_and_not_what_it_leads_to(root: Path, outside: Path) -> None:
    (root / "run.json").symlink_to(outside / "thesis.tex")
    write_atomically(root / "run.json", b"{}")
    assert not (root / "run.json").is_symlink()
    (root / "link").symlink_to(outside / "thesis.tex")
    remove(root / "link")
    assert names_in(root) == ["run.json"]
    assert (outside / "thesis.tex").read_text() == "chapter 1"


def test_a_link_that_waits_under_the_temporary_name_is_not_written_through(root: Path, outside: Path) -> None:
    (root / temporary_name("run.json")).symlink_to(outside / "thesis.tex")
    write_atomically(root / "run.json", b"{}")
    assert (outside / "thesis.tex").read_text() == "chapter 1"
    assert names_in(root) == ["run.json"]


@pytest.mark.parametrize("opening", OPENINGS)
def test_pipes_sockets_and_folders_are_refused_at_once(opening: Callable[[Path, Path], None], root: Path) -> None:
    os.mkfifo(root / "pipe")
    (root / "folder").mkdir()
    with socket.socket(socket.AF_UNIX) as listening, pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)  # the names of sockets are short
        listening.bind("socket")
        for name in ("pipe", "socket", "folder"):
            with pytest.raises(OSError, match=r"no regular file|Is a directory"):
                opening(root / name, root)


def test_a_device_that_the_user_names_is_refused(root: Path) -> None:
    (root / "a.toml").symlink_to("/dev/zero")
    with pytest.raises(RefusedFileError, match="no regular file"):
        read_bytes(root / "a.toml", 100, follows=True)


def test_a_file_is_read_only_so_far(root: Path) -> None:
    (root / "a").write_bytes(b"12345")
    assert read_bytes(root / "a", 5) == b"12345"
    with pytest.raises(RefusedFileError, match="longer than 4 bytes"):
        read_bytes(root / "a", 4)


def test_a_file_that_is_not_there_says_so_by_its_whole_name(root: Path) -> None:
    for opening in (open_to_read, append_to_what_is_there):
        with pytest.raises(FileNotFoundError) as failed:
            opening(root / "a")
        assert failed.value.filename == str(root / "a")


def append_to_what_is_there(path: Path) -> None:
    open_to_append(path, make=False).close()


def test_what_fails_leaves_what_was_there(root: Path) -> None:
    write_atomically(root / "a", b"before")
    with suppress(ValueError), atomic_file(root / "a") as file:
        file.write(b"half")
        raise ValueError("on the way")
    assert names_in(root) == ["a"]
    assert read_bytes(root / "a", 9) == b"before"


# Folders whose renames cannot be made to last (case 1).


def refusing(number: int) -> Callable[[int], None]:
    """Return an fsync that answers with an error where it is asked for a folder."""
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(number, os.strerror(number))
        real(descriptor)

    return fsync


@pytest.mark.parametrize("number", [errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.EBADF])
def test_a_file_system_that_cannot_sync_folders_will_do(
    number: int, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fsync", refusing(number))
    write_atomically(root / "a", b"x")
    assert read_bytes(root / "a", 1) == b"x"


def test_a_disk_that_fails_to_sync_a_folder_is_told(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", refusing(errno.EIO))
    with pytest.raises(OSError, match="Input/output error"):
        write_atomically(root / "a", b"x")


# A folder that stays open.


def test_what_is_held_is_written_into_without_being_opened_again(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = HeldFolder(root)
    opened: list[object] = []
    really = os.open

    def noting(path: str, *arguments: int, **options: int) -> int:
        opened.append(path)
        return really(path, *arguments, **options)

    monkeypatch.setattr(os, "open", noting)
    write_atomically(root / "file", b"1")
    assert read_bytes(root / "file", 10) == b"1"
    assert [path for path in opened if Path(str(path)).is_absolute()] == []
    assert sorted(names_in(root)) == sorted(names_in(root)) == sorted(path.name for path in root.iterdir())
    held.let_go()
    held.let_go()
    write_atomically(root / "file", b"2")
    assert root in opened


def test_a_held_folder_knows_that_it_is_elsewhere_or_another_is_in_its_place(root: Path) -> None:
    held = HeldFolder(root)
    there = [held.is_there]
    root.rename(root.with_name("elsewhere"))
    there.append(held.is_there)
    root.mkdir()
    there.append(held.is_there)
    assert there == [True, False, False]
    write_atomically(root / "file", b"1")
    assert not (root / "file").exists()  # which is why it is asked
    assert (root.with_name("elsewhere") / "file").read_bytes() == b"1"
    held.let_go()


def test_first_files_are_written_over_what_a_killed_process_left_and_through_no_link(root: Path, outside: Path) -> None:
    (root / "file").write_bytes(b"half of what was to be longer")
    write_first(root / "file", b"whole")
    assert (root / "file").read_bytes() == b"whole"
    (root / "link").symlink_to(outside / "secret")
    with pytest.raises(RefusedFileError):
        write_first(root / "link", b"x")
