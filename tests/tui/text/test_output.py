"""What is printed on stdout, and how wide."""

import sys
from io import BytesIO, TextIOWrapper
from math import inf, nan

import pytest

from l2o_tui.text.output import Page, TextConsole, json_text
from l2o_tui.text.tables import plain_table


@pytest.mark.parametrize("forced", ["", "1"])
def test_a_pipe_gets_the_whole_table_in_colours_or_without(forced: str, monkeypatch: pytest.MonkeyPatch) -> None:
    out = BytesIO()
    monkeypatch.setattr(sys, "stdout", TextIOWrapper(out, encoding="utf-8", write_through=True))
    monkeypatch.setenv("FORCE_COLOR", forced)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("COLUMNS", "80")
    page = Page()
    assert page.console.width == 200
    table = plain_table("run", "status")
    table.add_row("a" * 120, "finished")
    page.console.print(table)
    page.write()
    assert "a" * 120 in out.getvalue().decode()
    assert (b"\x1b[1m" in out.getvalue()) == bool(forced)


def test_strings_are_no_markup_and_no_emoji(capsys: pytest.CaptureFixture[str]) -> None:
    console = TextConsole(width=100)
    console.print("[/] [red]a[/red] :bomb: \x1b[2J")
    table = plain_table("[x]", "")
    table.add_row("[/]\n:bomb:", "b\x07")
    console.print(table)
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines == ["[/] [red]a[/red] :bomb: \\x1b[2J", "[x]", "[/]\\n:bomb:  b\\x07"]


def test_json_is_ascii_that_no_terminal_obeys_and_has_no_numbers_that_json_lacks() -> None:
    document = {"name": "均\x7f\x1b\u2028\udcff", "numbers": [nan, (inf, 1.0)]}
    text = json_text(document)
    assert text == '{"name": "\\u5747\\u007f\\u001b\\u2028\\udcff", "numbers": [null, [null, 1.0]]}'
