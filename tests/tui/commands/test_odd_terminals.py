"""The screens on terminals that are not what they say, or that cannot show all: on a real pseudo-terminal."""

import json
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pexpect
import pyte

from l2o_engine.runs.folder import Run
from tests.hostile import evil_preset, evil_run, unseen_in

COLUMNS, LINES = 100, 30
SHOWN, HIDDEN = "\x1b[?1049h", "\x1b[?1049l"


@contextmanager
def on_terminal(
    folder: Path, *command: str, encoding: str = "utf-8", **environment: str
) -> Iterator["pexpect.spawn[str]"]:
    """Start a command on a terminal of this size; all that it sends is kept in ``before`` and ``after``."""
    child = pexpect.spawn(
        command[0],
        list(command[1:]),
        dimensions=(LINES, COLUMNS),
        encoding=encoding,
        timeout=60,
        cwd=str(folder),
        env={
            "TERM": "xterm-256color",
            "HOME": str(folder),
            "PATH": "/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "PYTHONPATH": ":".join(sys.path),
        }
        | environment,
    )
    try:
        yield child
    finally:
        child.close(force=True)


def seen(sent: str, columns: int, lines: int) -> pyte.Screen:
    """Return what a terminal of this size shows."""
    screen = pyte.Screen(columns, lines)
    pyte.Stream(screen).feed(re.sub(r"\x1b\[[<>=]\d*u", "", sent))  # of the keyboard, which pyte does not know
    return screen


HOME = (sys.executable, "-m", "l2o_tui")


def leave(child: "pexpect.spawn[str]", *, is_shown: bool = False) -> str:
    """Leave the program, and return what the terminal was sent until then, or from now until then."""
    sent = ""
    if not is_shown:
        child.expect_exact(SHOWN)
        child.expect("leave")
        sent = child.before or ""
    child.send("q")
    child.expect_exact(HIDDEN)
    sent += child.before or ""
    child.expect(pexpect.EOF)
    child.close()
    assert child.exitstatus == 0
    return sent


def test_what_a_shell_has_exported_is_not_the_terminal_s_size(tmp_path: Path) -> None:
    with on_terminal(tmp_path, *HOME, COLUMNS="140", LINES="50") as child:
        child.expect_exact(SHOWN)
        child.expect("leave")
        sent = child.before or ""
        child.send("\x1a")  # and without a shell nobody could go on with what ctrl+z has stopped
        child.expect("no shell waits")
        sent += (child.before or "") + leave(child, is_shown=True)
    screen = seen(sent, 140, 50)
    assert "l2o-tui: the laboratory" in screen.display[0]
    assert not [line for line in screen.display[LINES:] if line.strip()]
    assert not [line for line in screen.display if line[COLUMNS:].strip()]


def unnamed(run: Run) -> Run:
    """Take away what the run was called: lists then have its folder's name."""
    record = json.loads(run.record_path.read_text())
    run.record_path.write_text(json.dumps(record | {"given_name": ""}))
    return run


def test_an_encoding_that_lacks_boxes_gets_plain_ones(tmp_path: Path) -> None:
    unnamed(evil_run(tmp_path / "runs" / "均方根 é", evil_preset()))
    with on_terminal(tmp_path, *HOME, encoding="latin-1", PYTHONIOENCODING="latin-1") as child:
        sent = leave(child)
    screen = seen(sent, COLUMNS, LINES)
    text = "\n".join(screen.display)
    assert "+- presets ---" in text
    assert "?????? é" in text  # in as many cells
    assert "\\u" not in text.replace(r"\u202e", "").replace(r"\u200b", "")


def test_nothing_of_strangers_is_obeyed(tmp_path: Path) -> None:
    evil_run(tmp_path / "runs" / "named")
    run = unnamed(evil_run(tmp_path / "runs" / "a\x1b]0;pwned\x07\x1b[2Jb"))
    run.folder.rename(run.folder.with_name("c\x1b]52;c;cHduZWQ=\x07"))
    (tmp_path / "evil.toml").write_text('name = "x"\n"\\u001b]0;pwned\\u0007" = 1\n')
    with on_terminal(tmp_path, *HOME) as child:
        sent = leave(child)
    assert "52;c;cHduZWQ=" in sent  # which is shown, as an escape
    sent = sent.replace("\x1b]22;default\x07", "")  # the mouse's pointer, as textual has it
    assert "\x1b]" not in sent
    assert unseen_in(sent) <= {"\x1b", "\r"}  # ours


def test_ctrl_z_stops_the_program_and_the_shell_goes_on_with_it(tmp_path: Path) -> None:
    with on_terminal(tmp_path, "bash", "--norc", "--noprofile", "-i", PS1="$ ") as shell:
        shell.expect_exact("$ ")
        shell.sendline(" ".join(HOME))
        shell.expect_exact(SHOWN)
        shell.expect("leave")
        shell.send("\x1a")
        shell.expect_exact(HIDDEN)
        shell.expect("Stopped")
        shell.expect_exact("$ ")
        shell.sendline("fg")
        shell.expect_exact(SHOWN)
        shell.expect("leave")
        shell.send("q")
        shell.expect_exact(HIDDEN)
        shell.sendline("echo code $?")
        shell.expect("code 0")
