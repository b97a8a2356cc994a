"""Giving a text to the clipboard of whoever sits at the terminal, over SSH and tmux too; or saying why that cannot be.

A terminal takes it as an escape sequence (OSC 52), which SSH passes on as it does everything. tmux, as it is set at
first, passes none on that a program inside sends, but sends one itself for a buffer that it is given.
"""

import os
import subprocess
from collections.abc import Callable
from shutil import which

_PATIENCE = 3.0  # seconds for tmux to take it
_WITHOUT = {"linux": "the Linux console has none", "dumb": "this terminal has none"}


def copied(text: str, send: Callable[[str], object]) -> tuple[bool, str]:
    """Give a text to the clipboard, as far as can be known from here.

    Parameters
    ----------
    text
        The text, in which there is nothing that a terminal would obey.
    send
        Sends it to the terminal, as OSC 52.

    Returns
    -------
    tuple
        Whether something took it; and what is to be said of it.
    """
    if os.environ.get("TMUX") and which("tmux"):
        if (why := _into_tmux(text)) is None:
            return True, "is in tmux's buffer (prefix ] pastes it) and, if the terminal takes it, on the clipboard"
        return False, f"is not on the clipboard: tmux says {why}"
    if os.environ.get("STY"):
        return False, "is not on the clipboard: GNU screen passes nothing on to the terminal"
    if why := _WITHOUT.get(os.environ.get("TERM", "")):
        return False, f"is not on the clipboard: {why}"
    send(text)
    return True, "is on the clipboard, if this terminal takes it (OSC 52)"


def _into_tmux(text: str) -> str | None:
    """Give a text to tmux, which also sends it to its terminal (-w, from 3.2 on); return why it took it not at all."""
    why = "nothing"
    for options in (["-w"], []):
        try:
            done = subprocess.run(
                ["tmux", "load-buffer", *options, "-"],
                input=text.encode(),
                capture_output=True,
                timeout=_PATIENCE,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return str(error)
        if done.returncode == 0:
            return None
        why = done.stderr.decode("utf-8", "replace").strip() or f"exit code {done.returncode}"
    return why
