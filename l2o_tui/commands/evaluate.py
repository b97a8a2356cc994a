"""``l2o-tui evaluate``: trained optimizers and their rivals on held-out draws, in tables, JSON lines or a picture.

stdout carries the tables, or the lines; how it goes, and what must be known of the networks, is told on stderr.
"""

import sys
from collections.abc import Sequence
from pathlib import Path
from shutil import get_terminal_size
from typing import Any

from l2o_engine.presets.schema import Preset
from l2o_engine.records.codec import finite
from l2o_engine.runs.catalogue import find_run
from l2o_engine.runs.exported import names_file
from l2o_engine.runs.folder import Run
from l2o_engine.runs.record import RunError
from l2o_engine.studies.evaluation import (
    EvaluationError,
    Judged,
    Match,
    Network,
    judge,
    matches_on,
    network_of_file,
    networks_of,
    own_matches,
    preset_of,
    rankings_of,
)
from l2o_tui import exit_codes
from l2o_tui.charts.evaluation import panels_of
from l2o_tui.charts.matplotlib import check_picture, write_panels
from l2o_tui.commands.ended import EndedError, ended_by_signals
from l2o_tui.text.evaluation import LEGEND, notes_on, ranking_lines
from l2o_tui.text.names import wrapped
from l2o_tui.text.numbers import whole_number
from l2o_tui.text.output import json_text, write_out
from l2o_tui.text.share_bar import share_bar
from l2o_tui.text.streams import is_terminal, say

OWN = "own"
"""What --on calls the problem that a run was trained on."""

_MOST_PANELS = 12  # rows of a picture
_TEXT_WIDTH = 80


def evaluate_runs(
    names: Sequence[str],
    *,
    on: Sequence[str],
    steps: Sequence[str],
    settings: Sequence[str],
    draws: int | None,
    seed: int,
    newest: bool,
    backend: str,
    output: Path | None,
    as_json: bool,
    runs_dir: Path,
) -> int:
    """Judge the networks of runs, and print how they and their rivals did.

    Parameters
    ----------
    names
        The runs, or optimizer files.
    on
        Presets or functions whose problems they are judged on, "own" among them; none for their own alone.
    steps
        Horizons, a number or several separated by commas each; none for the problems' own.
    settings
        What is changed of every problem, "problem.key=value" each.
    draws, seed
        How many held-out draws (by what a problem's loss takes, if not given), and what decides them.
    newest
        Whether the newest checkpoint is judged rather than the best one.
    backend
        What computes the networks.
    output
        A picture to draw; None for none.
    as_json
        Print an object for each optimizer as it is judged, in place of the tables.
    runs_dir
        Where runs are kept.

    Returns
    -------
    int
        The exit code: failed if the weights of a run could not be read, that of the signal that ended it.

    Raises
    ------
    UserError
        If something is wrong with what was asked for, or there is not enough memory; nothing was started.
    Failure
        If stdout cannot be written to.
    """
    if output:
        check_picture(output)
    horizons = [_whole(part, "--steps") for text in steps for part in text.split(",")]
    files = [network_of_file(Path(name)) for name in dict.fromkeys(names) if names_file(name)]
    runs = [find_run(name, runs_dir) for name in names if not names_file(name)]
    networks, left_out = _networks(runs, newest=newest) if runs else ([], False)
    networks += files
    matches = _matches(networks, on, settings, horizons)
    if output and len(matches) > _MOST_PANELS:
        raise EvaluationError(f"a picture shows {_MOST_PANELS} problems and horizons at most, not {len(matches)}")
    judged: list[Judged] = []
    try:
        with ended_by_signals() as check, share_bar("judging", hidden=as_json and is_terminal(sys.stdout)) as show:

            def told(share: float) -> None:
                check()
                show(share)

            for one in judge(matches, draws=draws, seed=seed, asked=backend, told=told):
                judged.append(one)
                if as_json:
                    write_out(json_text(document(one, seed)))
    except EndedError as ended:
        return ended.tell("" if as_json else "nothing is kept of it")
    rankings = rankings_of(judged)
    for note in notes_on(rankings):
        say(note)
    if not as_json:
        width = get_terminal_size().columns if is_terminal(sys.stdout) else None
        tables = ["\n".join(ranking_lines(ranking, seed=seed, width=width)) for ranking in rankings]
        write_out("\n\n".join([*tables, "\n".join(wrapped(LEGEND, width or _TEXT_WIDTH))]))
    if output:
        write_panels(panels_of(rankings), output)
    return exit_codes.FAILED if left_out else exit_codes.DONE


def document(one: Judged, seed: int) -> dict[str, Any]:
    """Return what ``--json`` says of an optimizer on a problem."""
    found: dict[str, Any] = {"optimizer": one.name}
    if one.network is not None:
        network, exported = one.network, one.network.source.exported
        run = network.source.place if exported is None else exported.origin.run
        found |= {"run": str(run), "seed": network.seed, "iteration": network.iteration}
        if exported is None:
            found |= {"checkpoint": "best" if network.is_best else "newest", "diverged": network.diverged}
        else:
            found |= {"file": str(network.source.place), "digest": exported.digest}
    if one.rival is not None:
        found |= {"kind": one.rival.kind, "settings": one.rival.settings, "tuned": one.tuned_by}
    found |= {"on": one.problem.name, "steps": one.problem.horizon, "draws": one.draws, "draws_seed": seed}
    found |= {name: finite(value) for name, value in one.figures.items()}
    found |= {f"{_stem(name)}_interval": [finite(end) for end in ends] for name, ends in one.intervals.items()}
    return found | {"exploit": one.is_exploit, "computed_by": one.computed_by}


def _stem(figure: str) -> str:
    return "end_log10" if figure == "end_log10_mean" else figure


def _networks(runs: Sequence[Run], *, newest: bool) -> tuple[list[Network], bool]:
    """Return the networks of runs, and whether those of some could not be read, which is said."""
    found: list[Network] = []
    errors: list[RunError] = []
    for run in {run.folder.resolve(): run for run in runs}.values():
        try:
            found += networks_of(run, newest=newest)
        except RunError as error:
            errors.append(error)
    if not found:
        raise RunError(*(line for wrong in errors for line in wrong.lines))
    for wrong in errors:
        say(f"l2o-tui: {wrong}; it is left out")
    return found, bool(errors)


def _matches(
    networks: Sequence[Network], on: Sequence[str], settings: Sequence[str], horizons: Sequence[int]
) -> list[Match]:
    beside = next((one.source.preset for one in networks if one.source.preset is not None), Preset(name="default"))
    presets = [preset_of(name, beside) for name in on if name != OWN]
    found = own_matches(networks, settings, horizons) if OWN in on or not on else []
    return found + matches_on(presets, networks, settings, horizons)


def _whole(text: str, option: str) -> int:
    try:
        return whole_number(text)
    except ValueError as error:
        raise EvaluationError(f"{option}: {error}") from error
