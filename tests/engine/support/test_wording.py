"""Strings of strangers: what of them is shown, and that a message shows nothing else."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2o_engine.support.errors import Failure, UserError
from l2o_engine.support.wording import MOST, MOST_LINES, is_seen, nearest, quote, shown, shown_lines

ANY_TEXT = st.text(st.characters(exclude_categories=()))  # with surrogates, as file names may have


@pytest.mark.parametrize(
    ("text", "as_shown"),
    [
        ("log30, ε=1e-16, 均方根 ✔", "log30, ε=1e-16, 均方根 ✔"),
        ("\x1b]0;pwned\x07", r"\x1b]0;pwned\x07"),
        ("a\nb\tc\rd", r"a\nb\tc\rd"),
        ("\x9b31m\x7f\x00", r"\x9b31m\x7f\x00"),
        ("\u202eevil\u2069", r"\u202eevil\u2069"),
        ("a\u200bb\ufeffc\u00add", r"a\u200bb\ufeffc\xadd"),
        ("\u2028\u2029", r"\u2028\u2029"),
        ("\U000e0041", r"\U000e0041"),
        ("\udcff", r"\udcff"),
        ("\ue000\u0378", r"\ue000\u0378"),
        ("\u3164\u115f", r"\u3164\u115f"),
        ("a\u00a0b\u3000c", "a\u00a0b\u3000c"),
        ("[/][red]x\\[", "[/][red]x\\["),
    ],
)
def test_what_is_unseen_or_obeyed_is_an_escape_and_the_rest_stays(text: str, as_shown: str) -> None:
    assert shown(text) == as_shown


@given(ANY_TEXT)
def test_a_text_that_is_shown_is_one_line_of_what_can_be_seen_and_is_shown_alike_again(text: str) -> None:
    line = shown(text)
    assert all(map(is_seen, line))
    assert shown(line) == line
    assert len(line) <= MOST


@given(ANY_TEXT)
def test_lines_stay_lines(text: str) -> None:
    assert all(is_seen(character) or character == "\n" for character in shown_lines(text))
    assert shown_lines(text).count("\n") == min(text.count("\n"), MOST_LINES)


def test_the_middle_of_what_is_long_is_cut_out() -> None:
    assert shown("a" * 60 + "b" * 60, most=20) == "aaaaaaaa … bbbbbbbbb"
    assert len(shown("\x1b" * 10_000_000)) == MOST
    said = shown_lines("\n".join(map(str, range(1000))), most_lines=3)
    assert said.split("\n") == ["0", "1", "2", "… and 997 lines more"]


def test_every_character_of_the_kinds_that_harm_is_unseen() -> None:
    harmful = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    found = [code for code in range(0x3000) if unicodedata.category(chr(code)) in harmful and is_seen(chr(code))]
    assert found == []


@pytest.mark.parametrize("kind", [UserError, Failure])
def test_a_message_is_safe_to_show_and_has_the_lines_it_was_given(kind: type[UserError | Failure]) -> None:
    error = kind("no run a\x1b[2Jb", "and\nno other")
    assert str(error) == "no run a\\x1b[2Jb\nand\\nno other"
    assert error.lines == ("no run a\\x1b[2Jb", "and\\nno other")


def test_a_message_has_no_lines_without_end() -> None:
    said = str(UserError(*map(str, range(1000)))).split("\n")
    assert said[-2:] == ["49", "… and 950 lines more"]


def test_values_are_quoted_as_toml_has_them_whatever_they_are() -> None:
    assert [quote(value) for value in (True, 3, "a\x1b", [1, 2])] == ["true", "3", '"a\\x1b"', "[1, 2]"]
    assert "digits" in quote(10**5000)
    assert "too large" in quote([10**5000])
    assert nearest("k" * 10_000_000, ["key"]) == ""
