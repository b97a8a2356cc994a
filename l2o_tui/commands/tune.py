"""``l2o-tui tune``: the hand-designed rivals of a preset, each at its best.

stdout carries TOML: [[baseline]] tables to paste, below a table for people in comments. With ``--output`` the file has
that, and stdout the table alone. How it goes is told on stderr.
"""

import sys
from collections.abc import Sequence
from math import isfinite
from pathlib import Path
from time import monotonic

from rich.progress import BarColumn, TaskID, TextColumn
from rich.progress import Progress as ProgressBars

from l2o_engine.optimizers.tuned import Metric
from l2o_engine.presets.files import load
from l2o_engine.presets.shipped import find
from l2o_engine.studies.tuning import METRICS, Found, Problem, Progress, check_room, tune_rivals
from l2o_engine.support.errors import Failure, UserError
from l2o_engine.support.files import write_atomically
from l2o_tui import exit_codes
from l2o_tui.commands.ended import EndedError, ended_by_signals
from l2o_tui.text.output import TextConsole, json_text, write_out
from l2o_tui.text.streams import is_terminal, say
from l2o_tui.text.tuning import baselines_toml, document_of, tuning_table

_SECONDS = 30.0  # between two lines that tell how far it is, where no bar does


def run_tune(
    name: str,
    *,
    settings: Sequence[str],
    metric: Metric | None,
    rivals: Sequence[str],
    draws: int,
    seed: int | None,
    rate_only: bool,
    as_json: bool,
    output: Path | None,
    force: bool,
) -> int:
    """Tune rivals on a preset's problem, and print what is found.

    Parameters
    ----------
    name, settings
        The preset: a TOML file, or the name of a shipped one; and what is changed of it, "table.key=value" each.
    metric
        What settings are to be the best by; None for both figures.
    rivals
        Names in :data:`~l2o_engine.studies.tuning.RIVALS`.
    draws
        How many tasks they are tuned on, and judged by.
    seed
        Decides the draws; None for the preset's.
    rate_only
        Whether only the learning rate is searched.
    as_json
        Print an object a line as it is found, in place of the table.
    output, force
        A file that gets the [[baseline]] tables, and whether one that is there is replaced.

    Returns
    -------
    int
        The exit code: done, or that of the signal that ended it.

    Raises
    ------
    UserError
        If something is wrong with what was asked for; nothing was started.
    Failure
        If the file or stdout could not be written to.
    """
    preset = load(find(name), settings)
    experiment = preset.experiment
    _ = experiment.task.sources  # data, or code, that cannot be had is an error before anything is begun
    problem = Problem(
        preset.problem,
        experiment.steps,
        draws,
        preset.run.seed if seed is None else seed,
        preset.run.dtype,
        closes=not experiment.truncation.is_whole,
    )
    check_room(problem)
    if output:
        _check_output(output, force=force)
    bars = _Bars(with_bars=not (as_json and is_terminal(sys.stdout)))
    found: list[Found] = []
    try:
        with ended_by_signals() as check:

            def tell(progress: Progress) -> None:
                check()
                bars.show(progress)

            try:
                for one in tune_rivals(
                    problem, rivals, (metric,) if metric else METRICS, rate_only=rate_only, tell=tell
                ):
                    found.append(one)
                    if as_json:
                        write_out(json_text(document_of(one, problem)))
            finally:
                bars.close()
    except EndedError as ended:
        return ended.tell("nothing is kept of it")
    table = tuning_table(found, problem, preset.name)
    text = "\n".join([*(f"# {line}".rstrip() for line in table), "", baselines_toml(found)])
    unwritten = _write(output, f"{text}\n") if output else ""
    if not as_json:
        write_out("\n".join(table) if output and not unwritten else text)
    if unwritten:
        raise Failure(unwritten)
    if not any(isfinite(one.figures["end_log10_mean"]) for one in found):
        say("l2o-tui: no last loss has a logarithm here: only the sum of the losses tells the rivals apart")
    return exit_codes.DONE


def _check_output(output: Path, *, force: bool) -> None:
    try:
        if output.is_dir():
            raise UserError(f"{output} is a folder; --output is a file")
        if not output.resolve().parent.is_dir():
            raise UserError(f"{output}: there is no such folder")
        if output.exists() and not output.is_file():
            raise UserError(f"{output} is no regular file")
        if output.exists() and output.stat().st_size and not force:
            raise UserError(f"{output} is there already; --force replaces it")
    except OSError as error:
        raise UserError(f"cannot write {output}: {error.strerror or error}") from error


def _write(output: Path, text: str) -> str:
    """Write the file; return why it could not be written, if so: what was found then goes to stdout instead."""
    try:
        # Not the link that leads to it is replaced.
        write_atomically(output.resolve() if output.is_file() else output, text.encode())
    except OSError as error:
        return f"cannot write {output}: {error.strerror or error}"
    return ""


class _Bars:
    """A bar for each rival on stderr, where that is a terminal; else a line when one is begun, and now and then."""

    def __init__(self, *, with_bars: bool) -> None:
        self._console = TextConsole(stderr=True)
        self._with_bars = with_bars and is_terminal(sys.stderr)
        self._last_line = 0.0
        self._bars: ProgressBars | None = None
        self._tasks: dict[str, TaskID] = {}

    def show(self, progress: Progress) -> None:
        """Bring a rival's bar up to date."""
        if not self._with_bars:
            now = monotonic()
            if not progress.done:
                self._console.print(f"tuning {progress.rival} …")
            elif now - self._last_line >= _SECONDS:
                self._console.print(f"tuning {progress.rival}: {progress.done / progress.expected:.0%} …")
            else:
                return
            self._last_line = now
            return
        if self._bars is None:
            columns = (TextColumn("{task.description}"), BarColumn(30), TextColumn("{task.percentage:.0f}%"))
            self._bars = ProgressBars(
                *columns, console=self._console, transient=True, redirect_stdout=False, redirect_stderr=False
            )
            self._bars.start()
        if progress.rival not in self._tasks:
            self._tasks[progress.rival] = self._bars.add_task(progress.rival)
        self._bars.update(self._tasks[progress.rival], completed=progress.done, total=progress.expected)

    def close(self) -> None:
        """Take the bars away."""
        if self._bars:
            self._bars.stop()
            self._bars = None
