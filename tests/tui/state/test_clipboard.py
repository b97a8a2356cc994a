"""The clipboard: by OSC 52, by tmux, or not at all, which is said."""

import sys
from pathlib import Path

import pytest

from l2o_tui.state.clipboard import copied


@pytest.fixture(autouse=True)
def _no_multiplexer(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TMUX", "STY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")


def tmux(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a tmux first on the path that does this, and be inside of it."""
    program = folder / "tmux"
    program.write_text(f"#!{sys.executable}\nimport sys\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("TMUX", "a socket,1,0")


def test_a_terminal_gets_it_by_osc_52() -> None:
    sent: list[str] = []
    assert copied("a chart", sent.append) == (True, "is on the clipboard, if this terminal takes it (OSC 52)")
    assert sent == ["a chart"]


@pytest.mark.parametrize("is_old", [False, True])
def test_tmux_gets_it_as_a_buffer(is_old: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuses = "if '-w' in sys.argv: sys.exit('unknown flag -w')\n" if is_old else ""
    keeps = f"open({str(tmp_path / 'kept')!r}, 'w').write(sys.argv[1] + ' ' + sys.stdin.read())"
    tmux(tmp_path, refuses + keeps, monkeypatch)
    sent: list[str] = []
    is_copied, said = copied("a chart ●", sent.append)
    assert is_copied
    assert "tmux's buffer" in said
    assert (tmp_path / "kept").read_text() == "load-buffer a chart ●"
    assert not sent


def test_what_tmux_says_against_it_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmux(tmp_path, "sys.exit('no server running')", monkeypatch)
    assert copied("a chart", print) == (False, "is not on the clipboard: tmux says no server running")


@pytest.mark.parametrize(("name", "value", "said"), [("STY", "1.a", "GNU screen"), ("TERM", "linux", "Linux console")])
def test_where_there_is_no_clipboard_that_is_said(
    name: str, value: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    sent: list[str] = []
    is_copied, why = copied("a chart", sent.append)
    assert not is_copied
    assert said in why
    assert not sent
