"""What stdout and stderr can hold: any encoding will do, and nothing fails."""

import os
import subprocess
import sys
from io import BufferedWriter, BytesIO, TextIOWrapper
from pathlib import Path

import pytest
from rich.cells import cell_len

from l2o_tui.text import streams
from tests.engine.made import made_run
from tests.engine.tiny import tiny_preset

ENCODINGS = ["latin-1", "ascii", "gbk", "euc-jp", "iso-8859-15", "koi8-r"]
OURS = "│ · … – Σ ε → ⚠ ± √v ∞ ≥"


def written(encoding: str, text: str, monkeypatch: pytest.MonkeyPatch) -> tuple[bool, str]:
    """Return whether charts can be drawn on streams of this encoding, and what is on stdout for a text."""
    out, err = BytesIO(), BytesIO()
    monkeypatch.setattr(sys, "stdout", TextIOWrapper(out, encoding=encoding, write_through=True))
    monkeypatch.setattr(sys, "stderr", TextIOWrapper(err, encoding=encoding, write_through=True))
    draws = streams.prepare()
    sys.stdout.write(text)
    streams.say(text)
    assert err.getvalue().decode(encoding).rstrip("\n") == out.getvalue().decode(encoding)
    return draws, out.getvalue().decode(encoding)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_ours_are_plain_where_the_encoding_lacks_them(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    draws, text = written(encoding, OURS, monkeypatch)
    assert not draws
    assert "\\" not in text
    assert len(text.split()) == len(OURS.split())


def test_ascii_has_all_of_ours_plain(monkeypatch: pytest.MonkeyPatch) -> None:
    assert written("ascii", OURS, monkeypatch)[1] == "| - ... - sum eps -> ! +- sqrtv inf >="


def test_what_else_an_encoding_lacks_is_an_escape(monkeypatch: pytest.MonkeyPatch) -> None:
    assert written("latin-1", "é 均 \udcff", monkeypatch)[1] == "é \\u5747 \\udcff"


def test_utf_8_can_hold_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    assert written("utf-8", OURS, monkeypatch) == (True, OURS)


def test_a_path_for_a_script_is_its_very_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    out = BytesIO()
    monkeypatch.setattr(sys, "stdout", TextIOWrapper(out, encoding="ascii", write_through=True))
    streams.write_path("runs/a\x1b\udcff")
    assert out.getvalue() == b"runs/a\x1b\xff\n"


def test_data_for_a_terminal_is_shown_and_not_obeyed() -> None:
    reading, writing = os.pipe()
    with BufferedWriter(streams.TerminalBytes(writing), buffer_size=5) as terminal:
        for piece in (b"1,a\x1b[2J\n2,\xe5\x9d", b"\x87\x07\n", b"\xff\n" * 3):
            terminal.write(piece)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        assert pipe.read().decode() == "1,a\\x1b[2J\n2,均\\x07\n" + "\ufffd\n" * 3


def test_what_is_said_where_there_is_no_stderr_does_not_come_out_on_stdout(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    streams.say("not data")
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("encoding", [None, "utf-8", *ENCODINGS])
@pytest.mark.parametrize("text", [OURS, "╭─ runs ─╮", "均方根", "a\x1b[2J\u202e\u200b\x07b", "e\u0301", "⠿⠛"])
def test_what_a_screen_is_sent_fits_it_in_as_many_cells(encoding: str | None, text: str) -> None:
    fit = streams.fitting(encoding)
    sent = fit(text)
    assert cell_len(sent) == cell_len(text)
    sent.encode(encoding or "utf-8")
    assert not set(sent) & set("\x1b\u202e\u200b\x07")
    assert fit(sent) is sent  # what fits is the same object


def test_the_linux_console_gets_of_ours_what_its_fonts_have_and_names_as_they_are() -> None:
    assert streams.fitting("utf-8", is_console=True)("╭─┐│ ● ✔ … Имя 均") == "+─┐│ * + . Имя 均"


@pytest.mark.parametrize("encoding", ["latin-1", "gbk", "ascii"])
def test_no_command_fails_by_an_encoding(encoding: str, tmp_path: Path) -> None:
    made_run(tmp_path / "runs" / "均", tiny_preset("title=均方根 – é"), [[-1.0] * 25])
    program = """
import os, sys
from l2o_tui.cli import main
for command in (["runs"], ["show", "均"], ["compare", "均"], ["show", "无"], ["presets"], ["--help"]):
    sys.argv = ["l2o-tui", *command]
    try:
        main()
    except SystemExit as stopped:
        print("code", stopped.code, os.environ.get("L2O_ASCII"))
"""
    environment = {"PYTHONIOENCODING": encoding, "PYTHONPATH": ":".join(sys.path), "PATH": "/usr/bin:/bin", "HOME": "/"}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, check=False, timeout=60
    )
    out, err = done.stdout.decode(encoding), done.stderr.decode(encoding)
    assert "Error" not in err
    codes = [line for line in out.splitlines() if line.startswith("code")]
    assert codes == [f"code {code} 1" for code in (0, 0, 0, 2, 0, 0)]
    assert ("均方根" if encoding == "gbk" else "\\u5747\\u65b9\\u6839") in out
