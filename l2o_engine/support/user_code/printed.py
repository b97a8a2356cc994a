"""What a user's code prints: kept line by line, in place of a terminal or a stream of ours that it would spoil.

Python's own streams are exchanged for that, and only while such code runs: a thread that runs it is heard, every other
writes where it would have written. What goes past Python's streams, a C library's printf, is not.
"""

import sys
from collections import deque
from threading import Lock, get_ident
from typing import Any

_MOST_AT_ONCE = 5  # lines that are kept until somebody takes them
_MOST = 50  # that a process tells
_LONGEST = 1000  # characters of a line


class _Kept:
    """The lines of all threads, and how many were left out."""

    def __init__(self) -> None:
        self.lines: deque[str] = deque()
        self.left_out = 0
        self.told = 0
        self.is_over = False
        self._parts: dict[int, str] = {}
        self._lock = Lock()

    def write(self, text: str) -> None:
        *lines, rest = (self._parts.pop(get_ident(), "") + text).split("\n")
        if rest:
            self._parts[get_ident()] = rest[:_LONGEST]
        for line in lines:
            self.add(line)

    def end_line(self) -> None:
        if rest := self._parts.pop(get_ident(), ""):
            self.add(rest)

    def add(self, line: str) -> None:
        line = line.rstrip("\r")
        if not line.strip() or self.is_over:
            return
        with self._lock:
            if len(self.lines) < _MOST_AT_ONCE:
                self.lines.append(line[:_LONGEST])
            else:
                self.left_out += 1

    def take(self) -> list[str]:
        if not self.lines or self.is_over:
            return []
        with self._lock:
            lines, left_out = list(self.lines), self.left_out
            self.lines.clear()
            self.left_out = 0
        self.told += len(lines)
        self.is_over = self.told >= _MOST
        found = [f"your code says: {line}" for line in lines]
        found += [f"your code says {left_out:,} lines more"] if left_out else []
        return [*found, "your code goes on printing, which is not told any more"] if self.is_over else found


_kept = _Kept()
_hearing: set[int] = set()  # threads that run a user's code
_exchanging = Lock()


class _Stream:
    """Stands in a stream's place: keeps what a thread writes that runs a user's code, and hands on the rest."""

    def __init__(self, beneath: Any) -> None:
        self._beneath = beneath

    def write(self, text: str) -> int:
        if get_ident() in _hearing:
            _kept.write(str(text))
        elif self._beneath is not None:
            self._beneath.write(text)
        return len(text)

    def writelines(self, lines: Any) -> None:
        for line in lines:
            self.write(line)

    def flush(self) -> None:
        if get_ident() not in _hearing and self._beneath is not None:
            self._beneath.flush()

    def isatty(self) -> bool:
        return get_ident() not in _hearing and self._beneath is not None and bool(self._beneath.isatty())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._beneath, name)


class _NoInput:
    """Stands in stdin's place: nobody answers, for the keys are the screen's."""

    def __init__(self, beneath: Any) -> None:
        self._beneath = beneath

    def readline(self, size: int = -1) -> str:
        if get_ident() in _hearing:
            raise EOFError("a problem's code has no terminal to read from")
        line: str = self._beneath.readline(size)
        return line

    read = readline

    def __getattr__(self, name: str) -> Any:
        return getattr(self._beneath, name)


_KINDS: dict[str, type[_Stream | _NoInput]] = {"stdout": _Stream, "stderr": _Stream, "stdin": _NoInput}
# Stream's name, and what was there → ours. They are kept for good: print() holds no reference to the stream that it
# writes to (CPython 3.11), so one that another thread takes away meanwhile, and that nobody else has, crashes it.
_ours: dict[tuple[str, int], tuple[_Stream | _NoInput, Any]] = {}
_exchanged: dict[str, tuple[Any, Any]] = {}  # stream's name → ours, and what was there


def hear() -> None:
    """Keep from now on what this thread prints."""
    with _exchanging:
        if not _hearing:
            for name, kind in _KINDS.items():
                beneath = getattr(sys, name)
                if isinstance(beneath, _Stream | _NoInput):  # a screen that was begun meanwhile has put it back
                    continue
                ours, _ = _ours.setdefault((name, id(beneath)), (kind(beneath), beneath))
                _exchanged[name] = ours, beneath
                setattr(sys, name, ours)
        _hearing.add(get_ident())


def hear_no_more() -> None:
    """Let this thread print again where it would."""
    _kept.end_line()
    with _exchanging:
        _hearing.discard(get_ident())
        if not _hearing:
            for name, (ours, beneath) in _exchanged.items():
                if getattr(sys, name) is ours:  # else somebody has taken it meanwhile, as a screen does
                    setattr(sys, name, beneath)
            _exchanged.clear()


def take_printed() -> list[str]:
    """Return what was printed since this was asked last, a sentence a line; of very much only the beginning."""
    return _kept.take()
