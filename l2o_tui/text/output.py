"""What goes to stdout: data, written whole or with one message that says why not."""

import json
import os
import sys
from collections.abc import Mapping
from io import StringIO
from typing import IO, Any

from rich.console import Console
from rich.text import Text

from l2o_engine.records.codec import finite
from l2o_engine.support.errors import Failure
from l2o_engine.support.wording import shown_lines
from l2o_tui import exit_codes
from l2o_tui.text.streams import all_shown, is_terminal

_MOST = 4000  # characters of a line
_PIPED_WIDTH = 200  # a table for a pipe is not squeezed into the 80 columns of a terminal that is not there


def write_out(text: str, *, is_coloured: bool = False, consolation: str = "") -> None:
    """Print lines on stdout.

    Parameters
    ----------
    text
        The lines, without the last newline.
    is_coloured
        Whether escape sequences in it are ours, and whatever else is in it can be shown.
    consolation
        What is to be said of the work that was done, where stdout cannot be written to. Without one there is nothing
        to say to a reader that has seen enough.

    Raises
    ------
    Failure
        If stdout cannot be written to: its disk is full, or, with a consolation, who read it has left.
    SystemExit
        With 0, if who read it has left and there is no consolation: ``head`` has had what it wanted.
    """
    try:
        print(text if is_coloured else all_shown(text), flush=True)  # noqa: T201 (data)
    except OSError as error:
        silence(sys.stdout)
        is_closed = isinstance(error, BrokenPipeError)
        if is_closed and not consolation:
            raise SystemExit(exit_codes.DONE) from error
        what = "stdout was closed" if is_closed else f"stdout: {error.strerror or error}"
        raise Failure(f"{what}; {consolation}" if consolation else what) from error


def json_text(document: object, *, indent: int | None = None) -> str:
    """Return a document as JSON in plain ASCII, without control characters: these are JSON's escapes.

    A number that is not finite, which a damaged run.json may hold and JSON cannot say, is null.
    """
    try:
        text = json.dumps(document, indent=indent, allow_nan=False)
    except ValueError:
        text = json.dumps(_sayable(document), indent=indent, allow_nan=False)
    return text.replace("\x7f", "\\u007f")


def _sayable(node: Any) -> Any:
    if isinstance(node, Mapping):
        return {key: _sayable(inner) for key, inner in node.items()}
    return [_sayable(inner) for inner in node] if isinstance(node, list | tuple) else finite(node)


def write_json(document: object) -> None:
    """Print a document as JSON that people can read as well; see :func:`write_out`."""
    write_out(json_text(document, indent=2))


def silence(stream: IO[str]) -> None:
    """Send what is still written to a closed pipe nowhere, so that closing it raises nothing more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


class TextConsole(Console):
    """rich's console for texts that anybody may have written: they are shown, and mean nothing.

    No brackets are taken for markup, no ``:name:`` for an emoji, and no control character reaches the terminal.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(highlight=False, markup=False, emoji=False, **options)

    def render_str(self, text: str, **options: Any) -> Text:
        """Return a text as it is shown; every string that is printed, in a table too, comes by here."""
        return super().render_str(shown_lines(text, most=_MOST), **options)


class Page:
    """Tables and text for stdout, laid out for it, and kept until they are written at once.

    A failing stdout then meets one write, and not rich, which would try again when the program ends.
    """

    def __init__(self) -> None:
        there = Console()  # which knows whether colours are wanted, in a pipe too
        self._text = StringIO()
        self.console = TextConsole(
            file=self._text,
            force_terminal=there.is_terminal,
            width=there.width if is_terminal(sys.stdout) else _PIPED_WIDTH,
        )

    def write(self, *, consolation: str = "") -> None:
        """Print what there is; see :func:`write_out`."""
        write_out(self._text.getvalue().rstrip("\n"), is_coloured=True, consolation=consolation)
