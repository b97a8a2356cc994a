"""What goes to stdout: data, written whole or with one message that says why not."""

import json
import os
import sys
from io import StringIO
from typing import IO

from rich.console import Console

from l2o_engine.support.errors import Failure
from l2o_tui import exit_codes

_PIPED_WIDTH = 200  # a table for a pipe is not squeezed into the 80 columns of a terminal that is not there


def write_out(text: str, *, consolation: str = "") -> None:
    """Print lines on stdout.

    Parameters
    ----------
    text
        The lines, without the last newline.
    consolation
        What is to be said of the work that was done, where stdout cannot be written to. Without one there is nothing
        to say to a reader that has seen enough.

    Raises
    ------
    Failure
        If stdout cannot be written to: its disk is full, or, with a consolation, who read it has left.
    SystemExit
        With 1, if who read it has left and there is no consolation.
    """
    try:
        print(text, flush=True)  # noqa: T201 (data)
    except OSError as error:
        silence(sys.stdout)
        is_closed = isinstance(error, BrokenPipeError)
        if is_closed and not consolation:
            raise SystemExit(exit_codes.FAILED) from error
        what = "stdout was closed" if is_closed else f"stdout: {error.strerror or error}"
        raise Failure(f"{what}; {consolation}" if consolation else what) from error


def write_json(document: object) -> None:
    """Print a document as JSON that people can read as well; see :func:`write_out`."""
    write_out(json.dumps(document, indent=2))


def silence(stream: IO[str]) -> None:
    """Send what is still written to a closed pipe nowhere, so that closing it raises nothing more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class Page:
    """Tables and text for stdout, laid out for it, and kept until they are written at once.

    A failing stdout then meets one write, and not rich, which would try again when the program ends.
    """

    def __init__(self) -> None:
        there = Console(highlight=False)
        self._text = StringIO()
        self.console = Console(
            file=self._text,
            highlight=False,
            force_terminal=there.is_terminal,
            width=there.width if there.is_terminal else _PIPED_WIDTH,
        )

    def write(self, *, consolation: str = "") -> None:
        """Print what there is; see :func:`write_out`."""
        write_out(self._text.getvalue().rstrip("\n"), consolation=consolation)
