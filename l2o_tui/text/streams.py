r"""stdout and stderr: what they can hold, and saying something on them that nothing in it can misuse.

A stream's encoding may lack what our tables and charts are drawn with (ISO-8859-1 has no "│", GBK no braille), and a
name may hold anything. Nothing fails by that: :func:`prepare` has the streams write plain characters for ours, and an
escape like ``\u5747`` for any other that the encoding lacks.
"""

import codecs
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from io import RawIOBase, TextIOWrapper
from typing import IO, TYPE_CHECKING

from rich.cells import cell_len

from l2o_engine.support.wording import MOST_LINES, is_seen, shown_lines

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_ERRORS = "l2o-tui.plain"
_DRAWN = "⠿│─┼●▲┈"  # charts are made of such
_PLAIN = (
    dict(zip("│┃─━┈╌·•–—−×µ↑↓‖◌▪▸■◆●○▲△▼□█✔✖⚠", "||-----*---xu^v=.->##*o^^v##+x!", strict=True))
    | dict.fromkeys("╭╮╰╯┌┐└┘├┤┬┴┼", "+")
    | {"…": "...", "→": "->", "←": "<-", "≥": ">=", "≤": "<=", "±": "+-", "√": "sqrt", "∞": "inf", "²": "2"}
    | {"Σ": "sum", "ε": "eps", "β": "beta", "θ": "theta", "“": '"', "”": '"', "’": "'", "‘": "'"}
)
_UNKNOWN = "?"
_OF_CONSOLES = "cp437"


def prepare() -> bool:
    """Have stdout and stderr write whatever they are given; return whether charts can be drawn on both of them."""
    codecs.register_error(_ERRORS, _replace)
    streams = [stream for stream in (sys.stdout, sys.stderr) if isinstance(stream, TextIOWrapper)]
    for stream in streams:
        stream.reconfigure(errors=_ERRORS)
    return all(_holds(stream.encoding, _DRAWN) for stream in streams)


def is_terminal(stream: IO[str] | None) -> bool:
    """Return whether a stream is a terminal; None is one whose descriptor was closed before we started.

    Not what rich says: it takes ``FORCE_COLOR`` for a terminal, which asks for colours and has no size.
    """
    return stream is not None and stream.isatty()


def say(message: str, *, most_lines: int = MOST_LINES) -> None:
    """Print what is no data on stderr, so many lines of it; where that cannot be written to, nobody reads it."""
    if sys.stderr is not None:  # it was closed before we started: print() would take stdout
        with suppress(OSError):
            print(shown_lines(message, most_lines=most_lines), file=sys.stderr, flush=True)  # noqa: T201 (the one place)


def all_shown(text: str) -> str:
    """Return data as it is shown: all of it, however long."""
    return shown_lines(text, most=sys.maxsize, most_lines=sys.maxsize - 1)


def write_path(path: str) -> None:
    """Print a path on stdout: on a terminal to be read, else its very bytes, for a script goes on with it.

    Raises
    ------
    OSError
        If stdout cannot be written to.
    """
    if is_terminal(sys.stdout) or not isinstance(sys.stdout, TextIOWrapper):
        print(all_shown(path), flush=True)  # noqa: T201 (data)
        return
    sys.stdout.flush()
    sys.stdout.buffer.write(os.fsencode(path) + b"\n")
    sys.stdout.buffer.flush()


class TerminalBytes(RawIOBase):
    """A terminal, for data that is written as bytes: what it would obey is written as an escape.

    Parameters
    ----------
    descriptor
        The terminal's, which stays open.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")  # a character may come in two pieces

    def writable(self) -> bool:
        """Return that it is."""
        return True

    def write(self, data: "ReadableBuffer", /) -> int:
        """Write text."""
        rest = memoryview(all_shown(self._decoder.decode(bytes(data))).encode("utf-8"))
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]
        return memoryview(data).nbytes


def fitting(encoding: str | None, *, is_console: bool = False) -> Callable[[str], str]:
    """Return what makes any text one that a screen can show, in as many cells; the same object if it is one.

    A terminal obeys control characters, and one that moves the cursor or has no width spoils what is beside it: these
    are left out. Who wants them seen has made escapes of them before, which take more cells.

    Parameters
    ----------
    encoding
        The screen's; UTF-8, if None.
    is_console
        Whether it is the Linux console, whose fonts have of ours what an old PC had.
    """
    name = encoding or "utf-8"

    @lru_cache(maxsize=4096)
    def fitted(character: str) -> str:
        width = cell_len(character)
        if not is_seen(character):
            return " " * width
        is_drawn = not is_console or character not in _PLAIN or _holds(_OF_CONSOLES, character)
        if is_drawn and _holds(name, character):
            return character
        return _PLAIN.get(character, _UNKNOWN)[:width].ljust(width, _UNKNOWN)

    def fit(text: str) -> str:
        is_fit = text.isprintable() and (text.isascii() or (not is_console and _holds(name, text)))
        if is_fit:
            return text
        made = "".join(map(fitted, text))
        return text if made == text else made

    return fit


def _holds(encoding: str, text: str) -> bool:
    try:
        text.encode(encoding)
    except (UnicodeEncodeError, LookupError):
        return False
    return True


def _replace(error: UnicodeError) -> tuple[str, int]:
    """Return what is written in place of what an encoding lacks, and where to go on; a codec's error handler."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    lacking = error.object[error.start : error.end]
    plain = (_PLAIN.get(character) or character.encode("ascii", "backslashreplace").decode() for character in lacking)
    return "".join(plain), error.end
