"""``l2o-tui sweep``: every combination of settings over seeds, and a table, the best first.

stdout carries the table and pictures, CSV, or JSON lines; how it goes is told on stderr.
"""

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Literal

from l2o_engine.live.mailbox import Mailbox
from l2o_engine.presets.files import load
from l2o_engine.presets.shipped import find, shipped_names
from l2o_engine.studies.sweep import (
    STUDY_FILE,
    DaskExecutor,
    LostSchedulerError,
    SeedOutcome,
    SettingResult,
    Study,
    StudySettings,
    Sweep,
    SweepError,
    check_memory,
    check_workers,
    cores,
    dask_executor,
    go_on_with_study,
    is_study,
    overs_of,
    parse_over,
    pause_study,
    presets_of,
    process_pool,
    processes_for,
    read_settings,
    read_study,
    stop_study,
    study_of,
    told_of,
)
from l2o_engine.support.wording import shown
from l2o_tui import exit_codes
from l2o_tui.charts.figure import Figure
from l2o_tui.charts.matplotlib import check_picture, write_panels
from l2o_tui.charts.printing import as_text, size_of_stdout
from l2o_tui.charts.settings import setting_figures
from l2o_tui.commands.screen import has_terminal
from l2o_tui.commands.sweep.progress import SweepProgress
from l2o_tui.text.commands import proposed
from l2o_tui.text.headless import signals_to
from l2o_tui.text.names import wrapped
from l2o_tui.text.numbers import relative
from l2o_tui.text.output import json_text, write_out
from l2o_tui.text.streams import is_terminal, say
from l2o_tui.text.sweep import LEGEND, csv_text, document_of, table_lines

_TICK = 0.25  # seconds between two looks at signals and outcomes
_CHART_ROWS = 14
_MOST_ROWS = 40  # of the table on a terminal
_RECONNECT_SECONDS = 600.0  # for which a scheduler that was lost is looked for
_MOST_BREAKS = 3  # of the pool in a row, without a run having come to its end
_CONSOLATION = "what was trained is saved, and the same command goes on"


@dataclass(frozen=True)
class Asked:
    """What the user asked for.

    Attributes
    ----------
    what
        A preset, a study's file, or the folder of a study that was begun.
    over
        What is varied, "table.key=a,b,c" each.
    set
        What is changed of the preset, "table.key=value" each.
    random, latin
        How many points are drawn, and how; None for every combination.
    draw_seed
        Decides the draws.
    seed, seeds, iterations, backend
        Of the runs; None for what preset or study says.
    halving, halving_from
        Whether hopeless settings are given up, and before which meta-iteration none is.
    name
        The study's; None for one that is made of what is varied.
    """

    what: str
    over: Sequence[str]
    set: Sequence[str]
    random: int | None
    latin: int | None
    draw_seed: int
    seed: int | None
    seeds: int | None
    iterations: int | None
    backend: str | None
    halving: bool
    halving_from: int | None
    name: str | None


def run_sweep(
    asked: Asked,
    *,
    runs_dir: Path,
    jobs: int | None,
    scheduler: str | None,
    form: Literal["table", "json", "csv"],
    output: Path | None,
    only_show: bool,
) -> int:
    """Run a study, or go on with it, and print what came of its settings.

    Parameters
    ----------
    asked
        What is to be run.
    runs_dir
        Where the study's folder is.
    jobs
        How many processes; None for as many as there are cores.
    scheduler
        A Dask scheduler's address, or its file; None for processes of this machine.
    form
        What stdout carries.
    output
        A file that gets the pictures; None for none.
    only_show
        Print what is there, and train nothing.

    Returns
    -------
    int
        The exit code: done, failed if a run failed or something is left to do, or that of the signal that ended it.

    Raises
    ------
    UserError
        If something is wrong with what was asked for; nothing was started.
    Failure
        If stdout could not be written to.
    """
    if output:
        check_picture(output)
    study, runs_dir = _study(asked, runs_dir)
    sweep = Sweep(study, runs_dir=runs_dir, is_local=scheduler is None)
    if only_show:
        sweep.read()
    progress = SweepProgress(with_bars=not (form != "table" and is_terminal(sys.stdout)))
    received = 0
    if not only_show:
        workers = min(jobs or cores(), len(sweep.jobs))

        def here() -> Executor:
            return process_pool(workers, processes_for(workers, sweep.write_seconds))

        received = _drive(sweep, here if scheduler is None else _reconnecting(scheduler, progress), progress)
    figures = setting_figures(sweep.results())
    if output and figures:
        write_panels([[("final loss", figure)] for _, figure in figures], output)
    elif output:
        say(f"l2o-tui: there is nothing to draw yet: {output} is not written")
    _print(sweep.results(), figures, form, consolation="" if only_show else _CONSOLATION)
    where = ["--scheduler", scheduler] if scheduler else []
    go_on = proposed("sweep", Path(relative(str(sweep.folder))), *where)
    code = _conclusion(sweep, received, go_on, only_show=only_show)
    return exit_codes.of_signal(received) if received else code


Steering = Literal["stop", "pause", "go_on"]


def steer_sweep(name: str, what: Steering, runs_dir: Path) -> int:
    """Stop a study that any process works on, let it pause or go on; return the exit code.

    Raises
    ------
    SweepError
        If there is no such study.
    """
    folder = _folder(name, runs_dir) or runs_dir / name
    tell, told_to, then = {
        "stop": (stop_study, "save and stop", proposed("sweep", folder)),
        "pause": (pause_study, "save and wait", proposed("sweep", folder, "--go-on")),
        "go_on": (go_on_with_study, "go on", ""),
    }[what]
    told = tell(folder)
    say(f"told {told} run{'' if told == 1 else 's'} to {told_to}" + (f"; go on with: {then}" if then else ""))
    return exit_codes.DONE


def _folder(name: str, runs_dir: Path) -> Path | None:
    """Return the folder of a study that was begun, if that is what is meant."""
    for folder in (Path(name), runs_dir / name):
        try:
            if (folder / STUDY_FILE).is_file():
                return folder
        except OSError:  # no name that the file system knows
            continue
    return None


def _study(asked: Asked, runs_dir: Path) -> tuple[Study, Path]:
    """Return the study that is asked for, and the folder that its own is in."""
    folder = _folder(asked.what, runs_dir)
    given = [
        option
        for option, value in {
            "--over": asked.over,
            "--set": asked.set,
            "--random": asked.random,
            "--latin": asked.latin,
            "--seed": asked.seed,
            "--iterations": asked.iterations,
            "--backend": asked.backend,
            "--halving": asked.halving or asked.halving_from,
            "--name": asked.name,
        }.items()
        if value
    ]
    if given and asked.what in shipped_names():  # a study may be called like its preset: the same command goes on
        folder = None
    if folder is not None:
        if given or asked.seeds is not None:
            what = given[0] if given else "--seeds"
            raise SweepError(f"{folder} is a study that was begun, and says all that; {what} is for a new one")
        return read_study(folder, follows=False), folder.absolute().parent
    path = find(asked.what)
    settings, presets, overs = StudySettings(), [], []
    if is_study(path):
        settings = read_settings(path)
        presets, overs = presets_of(settings, path), overs_of(settings, str(path))
    else:
        presets = [load(path)]
    changes: dict[str, object] = {
        "name": asked.name,
        "seed": asked.seed,
        "seeds": asked.seeds,
        "draw": "random" if asked.random else "latin" if asked.latin else None,
        "points": asked.random or asked.latin,
        "draw_seed": asked.draw_seed or None,
        "halving": True if asked.halving or asked.halving_from else None,
        "halving_from": asked.halving_from,
    }
    options = [f"run.iterations={asked.iterations}"] if asked.iterations else []
    options += [f"run.backend={asked.backend}"] if asked.backend else []
    update = {name: value for name, value in changes.items() if value is not None}
    update |= {"set": (*settings.set, *asked.set, *options)}
    typed = {over.key: over for over in map(parse_over, asked.over)}
    if len(typed) < len(asked.over):
        raise SweepError("a setting is varied twice; give all its values at once: --over table.key=a,b,c")
    kept = [over for over in overs if over.key not in typed]
    return study_of(settings.model_copy(update=update), presets, [*kept, *typed.values()]), runs_dir


Pool = Callable[[], AbstractContextManager[Executor]]


def _reconnecting(scheduler: str, progress: SweepProgress) -> Pool:
    """Return what connects to a scheduler: the first time it must be there, later it is waited for."""
    is_again = False

    @contextmanager
    def connected() -> Iterator[Executor]:
        nonlocal is_again
        deadline = monotonic() + (_RECONNECT_SECONDS if is_again else 0)
        if is_again:
            progress.say(f"the scheduler is lost: looking for another at {scheduler}; runs that are over are kept")
        is_again = True
        with ExitStack() as entered:
            while True:
                try:
                    executor = entered.enter_context(dask_executor(scheduler))
                    break
                except SweepError:
                    if monotonic() >= deadline:
                        raise
            yield executor

    return connected


def _drive(sweep: Sweep, pool: Pool, progress: SweepProgress) -> int:
    """Let executors do all jobs, telling how it goes; return the signal that ended it, or 0."""
    told: set[str] = set()
    with signals_to(Mailbox()) as received:
        sweep.begin()
        if has_terminal():
            progress.say(f"watch it on a screen: {proposed('attach', Path(relative(str(sweep.folder))))}")
        try:
            breaks, is_begun = 0, False
            while not is_begun or (sweep.is_broken and not received):
                with pool() as executor:
                    if isinstance(executor, DaskExecutor):
                        _look_at_workers(executor, sweep, progress, is_again=is_begun)
                    if is_begun:
                        sweep.go_on_with(executor)
                    else:
                        sweep.start(executor)
                    is_begun = True
                    before = sweep.done
                    while sweep.is_going_on and not sweep.is_broken:
                        progress.show_sweep(sweep)
                        for outcome in sweep.wait(_TICK):
                            _tell(outcome, progress, told)
                        if received and not sweep.is_stopped:
                            sweep.stop()
                breaks = breaks + 1 if sweep.done == before else 0
                if sweep.is_broken and breaks >= _MOST_BREAKS:
                    progress.say("l2o-tui: worker processes end abruptly again and again (out of memory?)")
                    sweep.stop()
                    break
        finally:
            if sweep.is_going_on and not sweep.is_stopped:
                sweep.stop()
            progress.close()
            sweep.close()
    return received[0] if received else 0


def _look_at_workers(executor: DaskExecutor, sweep: Sweep, progress: SweepProgress, *, is_again: bool) -> None:
    """Say what the cluster's workers are; refuse those that cannot do the runs."""
    try:
        workers, wrong = executor.workers(sweep.folder)
    except LostSchedulerError as error:
        if is_again:  # then whoever gives it the next job will meet that, and look for another
            return
        raise SweepError(str(error)) from error
    check_workers(workers, wrong, sweep.folder)
    check_memory(workers, [variation.preset for variation in sweep.study.variations])
    for line in told_of(workers):
        progress.say(line)


def _tell(outcome: SeedOutcome, progress: SweepProgress, told: set[str]) -> None:
    """Tell of what is no plain success, of each run once."""
    said = {"failed": "failed: ", "elsewhere": "is left to another process: "}.get(outcome.status)
    if said and f"{outcome.job.folder.name} {said}" not in told:
        told.add(f"{outcome.job.folder.name} {said}")
        progress.say(f"{outcome.job.folder.name} {said}{outcome.message}")


def _print(
    results: Sequence[SettingResult], figures: Sequence[tuple[str, Figure]], form: str, *, consolation: str
) -> None:
    if form == "json":
        for result in results:
            write_out(json_text(document_of(result)), consolation=consolation)
        return
    if form == "csv":
        write_out(csv_text(results), consolation=consolation)
        return
    parts = [
        f"{shown(key)}: the final mean log10 of the last loss\n{as_text(figure, _CHART_ROWS)}\n"
        for key, figure in figures
    ]
    most = _MOST_ROWS if is_terminal(sys.stdout) else None
    width, _ = size_of_stdout()
    lines = [*table_lines(results, most=most), "", *wrapped(LEGEND, min(width, 100))]
    write_out("\n".join([*parts, *lines]), is_coloured=True, consolation=consolation)


def _conclusion(sweep: Sweep, received: int, go_on: str, *, only_show: bool) -> int:
    """Say what is left to do, with which command, and where it all is; return the exit code."""
    failed = sum(outcome.status == "failed" for outcome in sweep.outcomes)
    if received:
        ended = f"ended by {signal.Signals(received).name}: {sweep.done_well} of {len(sweep.jobs)} runs are done, "
        say(f"l2o-tui: {ended}what was under way is saved; go on with: {go_on}")
        return exit_codes.FAILED
    if failed:
        runs = "run" if failed == 1 else "runs"
        say(f"l2o-tui: {failed} {runs} failed, see above for why; once that is mended, the same command goes on")
        return exit_codes.FAILED
    if any(result.status == "unfinished" for result in sweep.results()):
        if only_show:
            return exit_codes.DONE
        say(f"l2o-tui: stopped, what was under way is saved; go on with: {go_on}")
        return exit_codes.FAILED
    say(f"in {relative(str(sweep.folder))}")
    return exit_codes.DONE
