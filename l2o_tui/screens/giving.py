"""Giving a chart away: as text, as a picture, to a file that is not there yet."""

import re
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.segment import Segment
from rich.text import Text
from textual.strip import Strip

from l2o_engine.support.files import write_atomically
from l2o_engine.support.wording import shown

# What XML cannot hold, and what an SVG should not.
_NOT_IN_SVG = re.compile("[^\\t\\n\\r\\x20-\\x7e\\xa0-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")


def as_text(title: str, lines: Sequence[Strip]) -> str:
    """Return a chart as it is on the screen, without colours."""
    title = shown(title)
    return "\n".join([title, *(line.text.rstrip() for line in lines)]) + "\n"


def as_svg(title: str, lines: Sequence[Strip]) -> str:
    """Return a chart as a picture of the screen, in its colours."""
    width = max(line.cell_length for line in lines)
    console = Console(
        file=StringIO(),
        width=width,
        record=True,
        force_terminal=True,
        color_system="truecolor",
        legacy_windows=False,
    )
    for line in lines:
        text = Text.assemble(*((text, style or "") for text, style, _ in Segment.simplify(line)))
        console.print(text, no_wrap=True, overflow="ignore", crop=False, highlight=False)
    return well_formed(console.export_svg(title=shown(title)))


def well_formed(svg: str) -> str:
    """Return an SVG without the characters that none can hold: what is on the screen may have them."""
    return _NOT_IN_SVG.sub("", svg)


def write_new(folders: Sequence[Path], name: str, suffix: str, content: str) -> Path:
    """Write a file of this name, or with a number behind it, into the first of these folders that takes it.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    OSError
        If none of them does.
    """
    for place, folder in enumerate(folders, 1):
        names = (f"{name}{number}{suffix}" for number in ("", *(f"-{k}" for k in range(2, 10_000))))
        path = next(folder / one for one in names if not (folder / one).exists())
        try:
            write_atomically(path, content.encode())
        except OSError:
            if place == len(folders):
                raise
        else:
            return path
    raise FileNotFoundError("no folder to write into")
