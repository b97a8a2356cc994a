"""``l2o-tui diff``: the settings in which two runs differ."""

import sys
from pathlib import Path
from shutil import get_terminal_size
from typing import Any

from l2o_engine.runs.catalogue import find_run
from l2o_engine.runs.folder import Run
from l2o_engine.runs.record import what_changed
from l2o_tui.text.difference import difference_of, difference_table
from l2o_tui.text.output import write_json, write_out
from l2o_tui.text.streams import is_terminal, say


def diff_runs(first: str, second: str, *, runs_dir: Path, as_json_document: bool) -> None:
    """Print the settings in which two runs differ; what else may make their figures differ is said on stderr.

    Parameters
    ----------
    first, second
        Folders, names in the runs folder, or "last".
    runs_dir
        Where runs are kept.
    as_json_document
        Print JSON.

    Raises
    ------
    UserError
        If a name means no run, or one cannot be read.
    """
    runs = find_run(first, runs_dir), find_run(second, runs_dir)
    settings = difference_of(*runs)
    if as_json_document:
        return write_json(
            {
                "runs": [str(run.folder) for run in runs],
                "settings": {name: list(pair) for name, pair in settings.items()},
                "versions": _versions(*runs),
            }
        )
    if versions := what_changed(runs[0].record().versions, runs[1].record().versions):
        say(f"l2o-tui: not made by the same program: {versions}")
    if not settings:
        return say(f"l2o-tui: {runs[0].name} and {runs[1].name} have the same settings")
    width = get_terminal_size().columns if is_terminal(sys.stdout) else None
    return write_out("\n".join(difference_table(runs, settings, width)))


def _versions(first: Run, second: Run) -> dict[str, Any]:
    before, after = first.record().versions, second.record().versions
    names = sorted({*before, *after})
    return {name: [before.get(name), after.get(name)] for name in names if before.get(name) != after.get(name)}
