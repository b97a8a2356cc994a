"""``l2o-tui paths``: where runs, presets, kernels, preferences and data are looked for."""

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from shutil import get_terminal_size

from l2o_engine.backends.compiled.place import CACHE_VARIABLE, cache_folder
from l2o_engine.presets.shipped import shipped_folder
from l2o_engine.support.files import folders_in
from l2o_engine.support.wording import size as in_words
from l2o_engine.tasks.data.sets import SETS, data_folder, places_of
from l2o_tui.state.place import preferences_path
from l2o_tui.text.output import write_json, write_out
from l2o_tui.text.streams import is_terminal
from l2o_tui.text.tables import Column, fitted

_COLUMNS = (Column("what"), Column("there"), Column("said by", rank=2), Column("holds", rank=1), Column("where"))


@dataclass(frozen=True)
class Place:
    """A place that something is looked for in.

    Attributes
    ----------
    name
        What is looked for.
    path
        Where.
    said_by
        The option or variable that says so; "default" where none does.
    holds
        What is there, as far as a look at its names and sizes tells; an empty string where nothing is.
    size
        Its files' bytes, where they are few; else None.
    """

    name: str
    path: Path
    said_by: str = "default"
    holds: str = ""
    size: int | None = None


def print_paths(runs_dir: Path, *, runs_said_by: str, data_said_by: str, as_json_document: bool) -> None:
    """Print the places.

    Parameters
    ----------
    runs_dir
        The runs folder.
    runs_said_by, data_said_by
        What says where the runs and the data sets are.
    as_json_document
        Print JSON.
    """
    places = list(_places(runs_dir, runs_said_by, data_said_by))
    if as_json_document:
        return write_json(
            [
                {
                    "name": place.name,
                    "path": str(place.path.absolute()),
                    "said_by": place.said_by,
                    "exists": place.path.exists(),
                    "bytes": place.size,
                }
                for place in places
            ]
        )
    rows = [
        [place.name, "yes" if place.path.exists() else "no", place.said_by, place.holds, str(place.path.absolute())]
        for place in places
    ]
    lines = fitted(_COLUMNS, rows, get_terminal_size().columns if is_terminal(sys.stdout) else None)
    return write_out("\n".join(lines))


def _places(runs_dir: Path, runs_said_by: str, data_said_by: str) -> Iterator[Place]:
    folders = []
    with suppress(OSError):  # not there, or out of reach
        folders = folders_in(runs_dir, follows=True)
    yield Place("runs", runs_dir, runs_said_by, _counted(len(folders), "folder") if folders else "")
    shipped = shipped_folder()
    yield Place("presets", shipped, "installation", _counted(len(list(shipped.glob("*.toml"))), "file"))
    cache = "XDG_CACHE_HOME" if os.environ.get("XDG_CACHE_HOME") else "default"
    yield _of_files("kernels", cache_folder(), CACHE_VARIABLE if os.environ.get(CACHE_VARIABLE) else cache)
    config = "XDG_CONFIG_HOME" if os.environ.get("XDG_CONFIG_HOME") else "default"
    yield _of_files("preferences", preferences_path(), config)
    yield Place("data", data_folder(), data_said_by)
    for name in SETS:
        inside, *elsewhere = places_of(name)
        found = next((place for place in (inside, *elsewhere) if place.is_dir()), inside)
        yield _of_files(f"data/{name}", found, data_said_by if found.is_relative_to(data_folder()) else "installation")


def _of_files(name: str, path: Path, said_by: str) -> Place:
    """Return a place that is a file, or a folder of files."""
    try:
        files = [entry for entry in os.scandir(path) if entry.is_file()] if path.is_dir() else [path]
        size = sum(file.stat().st_size for file in files)
    except OSError:  # not there, or out of reach
        return Place(name, path, said_by)
    return Place(name, path, said_by, f"{_counted(len(files), 'file')}, {in_words(size)}", size)


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' if number != 1 else ''}"
