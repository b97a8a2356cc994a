"""``l2o-tui compare``: the convergence of runs in one chart and their figures in a table, beside the baselines."""

import sys
from collections.abc import Sequence
from math import nan
from pathlib import Path
from shutil import get_terminal_size
from typing import Any

from l2o_engine.presets.files import load
from l2o_engine.presets.shipped import shipped_names
from l2o_engine.records.codec import finite
from l2o_engine.records.statistics import Spread
from l2o_engine.runs.catalogue import find_folder, runs_of_preset
from l2o_engine.runs.folder import Run
from l2o_engine.runs.record import RunError
from l2o_engine.studies.comparison import Group, NamedLevel, Replicate, baseline_levels, compare
from l2o_engine.studies.held_out import HeldOut, held_out_of
from l2o_tui import exit_codes
from l2o_tui.charts.comparison import MOST_BANDS_IN_FILES, comparison
from l2o_tui.charts.convergence import MOST_BANDS
from l2o_tui.charts.matplotlib import check_picture, write_picture
from l2o_tui.charts.printing import as_text, size_of_stdout
from l2o_tui.text.commands import proposed
from l2o_tui.text.comparison import figures_table, held_out_spread, notes_on
from l2o_tui.text.numbers import count
from l2o_tui.text.output import write_json, write_out
from l2o_tui.text.streams import is_terminal, say

_GREATEST_HEIGHT, _LEAST_HEIGHT = 30, 14


def compare_runs(names: Sequence[str], *, runs_dir: Path, output: Path | None, as_json: bool) -> int:
    """Print how runs compare, as chart and table or as JSON, and draw a picture if it is asked for.

    A run that has no result yet, or cannot be read, is said to be so on stderr, and the others are compared.

    Parameters
    ----------
    names
        The runs: folders, names in the runs folder, or "last"; of a preset, all its runs in the folder.
    runs_dir
        Where runs are kept.
    output
        The picture's path; None for none.
    as_json
        Print one JSON document in place of chart and table.

    Returns
    -------
    int
        The exit code: done, or failed if a run is missing from the figures. See :mod:`l2o_tui.exit_codes`.

    Raises
    ------
    UserError
        If a name means no run, none of the runs has figures, or the picture cannot be drawn.
    """
    folders = [folder for name in names for folder in _folders_of(name, runs_dir)]
    if output:
        check_picture(output)
    runs: list[Run] = []
    failed: list[RunError] = []
    for folder in folders:
        try:
            runs.append(Run(folder))
        except RunError as error:
            failed.append(error)
    if not runs:
        raise failed[0]
    groups = compare(runs, failed.append)
    for why in failed:
        say(f"l2o-tui: {why}")
    levels = baseline_levels(groups)
    if output:
        picture = comparison(groups, levels, most_bands=MOST_BANDS_IN_FILES, notebook=True)
        write_picture([picture], output, title=groups[0].preset.title if len(groups) == 1 else "")
    held_out = held_out_of(replicate.run for group in groups for replicate in group.replicates)
    for note in notes_on(groups, held_out):
        say(note)
    code = exit_codes.FAILED if failed else exit_codes.DONE
    if as_json:
        write_json(_document(groups, levels, held_out))
        return code
    width = get_terminal_size().columns if is_terminal(sys.stdout) else None
    lines = figures_table(groups, levels, held_out, width=width)
    write_out("\n".join([_chart(groups, levels, lines=len(lines)), "", *lines]), is_coloured=True)
    return code


def _folders_of(name: str, runs_dir: Path) -> list[Path]:
    """Return the folder of the run that is meant, or of all runs of the preset that is.

    A run is what it is taken for if there is one of exactly this name; a preset before the beginning of a run's name.
    """
    is_exact = any((folder / "run.json").exists() for folder in (Path(name), runs_dir / name))
    preset = None if is_exact else _preset_of(name)
    if preset is None:
        return [find_folder(name, runs_dir)]
    found = [run.folder for run in runs_of_preset(preset, runs_dir)]
    if not found:
        raise RunError(f"there is no run of {preset} in {runs_dir}; start one: {proposed('run', name)}")
    return found


def _preset_of(name: str) -> str | None:
    """Return the name of the preset that is meant; None if that is no shipped preset and no preset file."""
    if name in shipped_names():
        return name
    return load(Path(name)).name if name.endswith(".toml") else None


def _chart(groups: Sequence[Group], levels: Sequence[NamedLevel], *, lines: int) -> str:
    _, height = size_of_stdout()
    if is_terminal(sys.stdout):
        height = min(max(height - lines - 4, _LEAST_HEIGHT), _GREATEST_HEIGHT)
    return f"{_caption(groups)}\n{as_text(comparison(groups, levels), height - 1)}"


def _caption(groups: Sequence[Group]) -> str:
    windows = sorted({group.preset.report.rolling_window for group in groups})
    line = f"mean log10 of the last loss over {' or '.join(map(count, windows))} meta-iterations"
    if any(len(group.replicates) > 1 for group in groups):
        line += ", median over the seeds"
    if len(groups) == 1:
        return f"{line}; band: raw results"
    return f"{line}; band: quartiles" if len(groups) <= MOST_BANDS else line


def _document(groups: Sequence[Group], levels: Sequence[NamedLevel], held_out: HeldOut) -> dict[str, Any]:
    return {
        "experiments": [_group_document(group, held_out) for group in groups],
        "baselines": [
            {"name": named.name, "tuned": named.is_tuned}
            | {name: finite(value) for name, value in vars(named.level).items()}
            for named in levels
        ],
        "held_out_draws": list(held_out.draws),
    }


def _group_document(group: Group, held_out: HeldOut) -> dict[str, Any]:
    notebook = group.preset.notebook
    return {
        "label": group.label,
        "preset": group.preset.name,
        "seeds": list(group.seeds),
        "final": _spread_document(group.final),
        "held_out": _spread_document(held_out_spread(group, held_out)) if group.learns else None,
        "sum_loss": _spread_document(group.sum_loss),
        "took_off": group.took_off if group.learns else None,
        "not_yet": group.not_yet if group.learns else None,
        "non_finite": group.non_finite,
        "notebook": {"name": notebook.name, "final": group.published_final} if notebook else None,
        "replicates": [_replicate_document(replicate, held_out) for replicate in group.replicates],
    }


def _spread_document(spread: Spread) -> dict[str, Any]:
    return {name: value if isinstance(value, int) else finite(value) for name, value in vars(spread).items()}


def _replicate_document(replicate: Replicate, held_out: HeldOut) -> dict[str, Any]:
    return {
        "run": str(replicate.run.folder),
        "seed": replicate.lane.seed,
        "optimizer": replicate.lane.optimizer,
        "iteration": replicate.iteration,
        "initial": finite(replicate.initial),
        "final": finite(replicate.final),
        "held_out": finite(held_out.reached.get((replicate.run.folder, replicate.lane.seed), nan)),
        "sum_loss": finite(replicate.sum_loss),
        "took_off": replicate.took_off,
        "non_finite": replicate.non_finite,
    }
