"""The commands that messages propose: as they can be pasted into a shell, whatever a folder is called."""

import os
import shlex
from pathlib import Path

from l2o_engine.support.user_code import allowed_folders
from l2o_tui.text.numbers import relative


def proposed(*words: str | Path) -> str:
    """Return a command line of this program.

    Parameters
    ----------
    words
        The command and what stands behind it, as the program is to get them. A path that looks like an option gets
        ``./`` before it.
    """
    return " ".join(["l2o-tui", *(_typed(word) for word in words)])


def permissions() -> list[str | Path]:
    """Return the options that let another process run what code this one was allowed to run; none where none was."""
    return [word for folder in allowed_folders() for word in ("--allow-code", Path(relative(str(folder))))]


def _typed(word: str | Path) -> str:
    """Return a word as it is typed: in quotes if it needs them, and what cannot be typed as bash and zsh write it."""
    text = str(word)
    if isinstance(word, Path) and text.startswith("-"):
        text = f"./{text}"
    if text.isprintable():
        return shlex.quote(text)
    return "$'" + "".join(map(_escaped, text)) + "'"


def _escaped(character: str) -> str:
    if character in "\\'":
        return f"\\{character}"
    if character.isprintable():
        return character
    return "".join(f"\\x{byte:02x}" for byte in os.fsencode(character))
