"""Calling a user's code: where it fails or hangs is told by its file and line, and a call can be ended from outside."""

import ctypes
import inspect
import os
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import get_ident
from time import monotonic
from types import FrameType, TracebackType
from typing import Any

from l2o_engine.support.user_code.permission import CodeError
from l2o_engine.support.user_code.printed import hear, hear_no_more
from l2o_engine.support.wording import shown

_ENDLESS = 5.0  # seconds for which a call may go on before it is ended, where somebody waits for the end
_STUCK = 3.0  # seconds after which one is given up that was ended and has not
_MOST_SAID = 500  # characters of what an error says
_OURS = tuple(f"{Path(__file__).parents[3] / name}{os.sep}" for name in ("l2o_engine", "l2o_tui"))
_INSTALLED = ("site-packages", "dist-packages")


class StoppedError(CodeError):
    """A user's code did not return, and was ended."""


class Ending(BaseException):
    """Raised in a thread whose call is to end: no error, so that ``except Exception`` lets it through.

    It may come a moment after the call has returned: who waits for such a thread takes it for :class:`StoppedError`.
    """


@dataclass
class _Flight:
    """A call that has not returned."""

    what: str
    began: float
    ended: float = 0.0  # when it was first told to end


_in_flight: dict[int, _Flight] = {}  # by thread


@contextmanager
def users_code(what: str, *, is_heard: bool = True) -> Iterator[None]:
    """Run a user's code: its errors become a :class:`CodeError`, what it prints is kept.

    Parameters
    ----------
    what
        What runs, in words, for a failure that no line of the user's stands for: "loss of heat:Heat".
    is_heard
        Whether what it prints is kept, for whoever tells it, in place of being printed.

    Raises
    ------
    CodeError
        If it raises anything. A CodeError goes through as it is.
    StoppedError
        If it was ended by :func:`end_hanging`.
    """
    ident = get_ident()
    if ident in _in_flight:  # a call within a call
        yield
        return
    flight = _in_flight[ident] = _Flight(what, monotonic())
    if is_heard:
        hear()
    try:
        yield
    except CodeError:
        raise
    except Ending as error:
        where = place_in(error.__traceback__) or what
        raise StoppedError(f"{where}: did not return for {monotonic() - flight.began:.0f} s and was ended") from None
    except (Exception, SystemExit) as error:
        raise CodeError(_said(error, what)) from error
    finally:
        if is_heard:
            hear_no_more()
        _in_flight.pop(ident, None)


def _said(error: BaseException, what: str) -> str:
    """Return what is said of an error of a user's code: its place, its kind, and what it says itself."""
    kind = type(error).__name__
    if isinstance(error, SyntaxError) and error.filename and not _is_ours(error.filename):
        code = f": {error.text.strip()}" if error.text else ""
        return f"{shown(error.filename)}:{error.lineno}: {kind}: {error.msg}{code}"
    if isinstance(error, SystemExit):
        kind = "it called sys.exit(): SystemExit"
    text = shown(str(error).strip().replace("\n", " · "), most=_MOST_SAID)
    return f"{place_in(error.__traceback__) or what}: {kind}{f': {text}' if text else ''}"


def place_in(trace: TracebackType | None) -> str:
    """Return the user's line that a traceback leads through last, "file:line, in function"; "" where there is none.

    What it calls of installed packages, or of Python's own, lies below that and is not the user's.
    """
    found = ""
    for frame, line in traceback.walk_tb(trace):
        if _is_users(frame):
            found = _place(frame, line)
    return found


def told_where(error: BaseException) -> CodeError | None:
    """Return an error by the user's line in which it was raised, though we have called; None where there is none."""
    return CodeError(_said(error, "")) if place_in(error.__traceback__) else None


def line_of(function: Any) -> str:
    """Return where a user's function or class begins, "file:line, in name"; its name alone where that is not known."""
    name = getattr(function, "__qualname__", type(function).__qualname__)
    if isinstance(function, type):
        try:
            return f"{shown(inspect.getfile(function))}:{inspect.getsourcelines(function)[1]}, in {name}"
        except (OSError, TypeError):  # made in a prompt, or built in
            return str(name)
    code = getattr(getattr(function, "__func__", function), "__code__", None)
    return f"{shown(code.co_filename)}:{code.co_firstlineno}, in {name}" if code is not None else str(name)


def _is_users(frame: FrameType) -> bool:
    """Return whether a line is the user's: imported by us, or at least neither installed nor part of Python."""
    loader = frame.f_globals.get("__loader__")
    if getattr(loader, "is_of_l2o_user", False):
        return True
    file = frame.f_code.co_filename
    if _is_ours(file) or file.startswith("<"):
        return False
    return not any(place in file for place in _INSTALLED) and not file.startswith(sys.base_prefix + "/lib")


def _is_ours(file: str) -> bool:
    return file.startswith(_OURS)


def _place(frame: FrameType, line: int) -> str:
    return f"{shown(frame.f_code.co_filename)}:{line}, in {frame.f_code.co_name}"


# What does not return.


def is_hanging(least: float = _ENDLESS) -> bool:
    """Return whether a user's code has not returned for so many seconds, in another thread."""
    now, own = monotonic(), get_ident()
    return any(ident != own and now - flight.began >= least for ident, flight in list(_in_flight.items()))


def hanging(least: float = 0.0) -> str:
    """Return where a user's code is that has not returned for so many seconds, in words; "" where none is."""
    for ident, flight in list(_in_flight.items()):
        took = monotonic() - flight.began
        if took >= least and ident != get_ident():
            return f"{_place_now(ident) or flight.what}: has not returned for {took:.0f} s"
    return ""


def _place_now(ident: int) -> str:
    frame = sys._current_frames().get(ident)
    while frame is not None:
        if _is_users(frame):
            return _place(frame, frame.f_lineno)
        frame = frame.f_back
    return ""


def end_hanging(least: float = _ENDLESS) -> None:
    """End every call that has not returned for so many seconds: in its thread, at its next line of Python.

    Raises
    ------
    StoppedError
        If one was told so some seconds ago, and has not ended: it waits in a library, or swallows everything. Its
        thread is given up, and :func:`is_stuck`.
    """
    now = monotonic()
    for ident, flight in list(_in_flight.items()):
        if ident == get_ident() or now - flight.began < least:
            continue
        flight.ended = flight.ended or now
        if now - flight.ended > _STUCK:
            raise StoppedError(f"{hanging(least)}, and does not end; it is left where it is")
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(ident), ctypes.py_object(Ending))


def is_stuck() -> bool:
    """Return whether a call was told to end and has not: who waits for its thread would wait for ever."""
    now = monotonic()
    return any(flight.ended and now - flight.ended > _STUCK for flight in list(_in_flight.values()))
