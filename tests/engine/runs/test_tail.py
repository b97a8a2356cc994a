"""The tail of a file: whole lines, each once, whatever moments it is looked at."""

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2o_engine.runs import tail as tails
from l2o_engine.runs.tail import Tail


def lines_of(tail: Tail, size: int | None = None) -> list[str]:
    return [line for lines in tail.lines(size) for line in lines]


@pytest.fixture
def growing(tmp_path: Path) -> Path:
    return tmp_path / "growing"


def test_a_file_that_is_not_there_yet_is_empty(growing: Path) -> None:
    tail = Tail(growing)
    assert (tail.size, tail.is_cut, lines_of(tail)) == (0, False, [])
    growing.write_text("one\n")
    assert lines_of(tail) == ["one\n"]


def test_a_line_is_told_when_it_is_whole_and_once(growing: Path) -> None:
    tail = Tail(growing)
    told = []
    for text in ("one\ntw", "o", "\nthree\n", ""):
        with growing.open("a") as file:
            file.write(text)
        told.append(lines_of(tail))
    assert told == [["one\n"], [], ["two\n", "three\n"], []]


def test_what_lies_beyond_a_size_waits(growing: Path) -> None:
    growing.write_text("one\ntwo\nthree\n")
    tail = Tail(growing)
    assert lines_of(tail, 8) == ["one\n", "two\n"]
    assert lines_of(tail, 10) == []
    assert lines_of(tail) == ["three\n"]


def test_a_file_that_was_cut_back_says_so(growing: Path) -> None:
    growing.write_text("one\ntwo\n")
    tail = Tail(growing)
    lines_of(tail)
    assert not tail.is_cut
    growing.write_text("one\n")
    assert tail.is_cut


@given(st.lists(st.text(st.characters(exclude_characters="\n"), max_size=40), max_size=12), st.integers(1, 30))
def test_blocks_of_any_size_tell_the_same_lines(lines: list[str], block: int) -> None:
    with TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(tails, "_BLOCK", block)
        path = Path(folder) / "growing"
        path.write_bytes("".join(f"{line}\n" for line in lines).encode())
        assert lines_of(Tail(path)) == [f"{line}\n" for line in lines]
