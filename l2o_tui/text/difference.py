"""The settings in which two runs differ, as a table: the same for stdout and the screen."""

from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from l2o_engine.presets.changed import Changed, changed_settings
from l2o_engine.presets.identity import all_settings
from l2o_engine.runs.folder import Run
from l2o_engine.runs.record import RunError
from l2o_engine.support.wording import quote
from l2o_tui.text.tables import Column, fitted

_COLUMNS = (Column("setting"), Column("", rank=2, least=8), Column("", rank=1, least=8))
_NOT_THERE = "–"


def difference_of(first: Run, second: Run) -> Changed:
    """Return the settings in which two runs differ, "table.key" → (the first one's, the second one's).

    A preset's title is none: it says in words what the settings are.

    Raises
    ------
    RunError
        If a run's preset.toml cannot be read.
    """
    before, after = ({**all_settings(run.preset()), "title": None} for run in (first, second))
    return changed_settings(before, after)


def difference_table(runs: Sequence[Run], settings: Changed, width: int | None) -> list[str]:
    """Return a line a setting: its name, and the value that each of two runs has.

    Parameters
    ----------
    runs
        The two runs.
    settings
        What :func:`difference_of` says of them.
    width
        Cells that there are; None for as many as it takes.
    """
    rows = [["", *map(_called, runs)], *([name, *map(_said, pair)] for name, pair in settings.items())]
    lines = fitted(_COLUMNS, rows, width)
    return lines[1:]  # the runs' names are the headings


def _called(run: Run) -> str:
    with suppress(RunError):  # it has gone since it was read
        return run.record().given_name or run.name
    return run.name


def _said(value: Any) -> str:
    return _NOT_THERE if value is None else quote(value)
