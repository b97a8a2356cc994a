"""``l2o-tui reproduce``: the notebook's experiments over seeds, and a table with a verdict on each.

stdout carries the table, or JSON lines; how it goes is told on stderr.
"""

import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import Any

from l2o_engine.live.mailbox import Mailbox
from l2o_engine.presets.schema import Preset
from l2o_engine.presets.story import DEEPMIND, EPISODE3, episode_of, group_of
from l2o_engine.records.codec import finite
from l2o_engine.studies.comparison import NamedLevel, baseline_levels
from l2o_engine.studies.episode3 import check_report_of
from l2o_engine.studies.reproduction import (
    Judgement,
    Reproduction,
    Result,
    cores,
    experiments_of,
    judged_results,
    process_pool,
    whose_data_is_there,
)
from l2o_engine.support.errors import UserError
from l2o_tui import exit_codes
from l2o_tui.commands.reproduce import rivalry_table
from l2o_tui.commands.reproduce.deepmind import write_deepmind
from l2o_tui.commands.reproduce.episode3 import write_episode3
from l2o_tui.commands.reproduce.notes import Notes
from l2o_tui.commands.reproduce.report import NAME, check_report, write_report
from l2o_tui.commands.reproduce.verdict_table import LEGEND, levels_line, table_of, verdict_of, weakness
from l2o_tui.text.headless import signals_to
from l2o_tui.text.names import wrapped
from l2o_tui.text.numbers import duration, fixed
from l2o_tui.text.output import Page, json_text, write_out
from l2o_tui.text.share_bar import share_bar
from l2o_tui.text.streams import is_terminal

_TICK = 0.25  # seconds between two looks at signals and outcomes
_NARROW = 100  # columns; in fewer, headings are folded
_CONSOLATION = "what was trained is saved, and the same command goes on"


def run_reproduce(
    group: str,
    *,
    seeds: int,
    only: Sequence[str],
    report: Path | None,
    jobs: int | None,
    as_json: bool,
    runs_dir: Path,
    backend: str | None,
    command: str,
) -> int:
    """Reproduce a group of experiments and print the verdicts.

    Parameters
    ----------
    group, only
        What, see :func:`~l2o_engine.studies.reproduction.experiments_of`. Of a whole group, those whose data is not
        there are left out, and said to be.
    seeds
        How many seeds each.
    report
        A folder that gets a page and its pictures; None for neither.
    jobs
        How many processes; None for as many as there are cores.
    as_json
        Print an object an experiment as it is over, in place of the table.
    runs_dir, backend
        See :class:`~l2o_engine.studies.reproduction.Reproduction`.
    command
        What the user typed, for the report.

    Returns
    -------
    int
        The exit code: done if every verdict is that it is reproduced, failed if not, or if a run failed; or that of
        the signal that ended it. See :mod:`l2o_tui.exit_codes`.

    Raises
    ------
    UserError
        If something is wrong with what was asked for; nothing was started.
    Failure
        If stdout could not be written to.
    """
    began = monotonic()
    experiments, left_out = _experiments(group, only)
    reproduction = Reproduction(experiments, seeds=seeds, runs_dir=runs_dir, backend=backend)
    if report:
        check_report_of(experiments)
        check_report(report, sorted({_page_of(preset) for preset in experiments}))
    notes = Notes(with_bars=not (as_json and is_terminal(sys.stdout)))
    for note in filter(None, (*left_out, weakness(seeds))):
        notes.say(note)
    workers = min(jobs or cores(), len(reproduction.jobs))
    received = _drive(reproduction, notes, workers, as_json=as_json)
    done = [outcome for outcome in reproduction.outcomes if outcome.status == "done"]
    if received:
        notes.say(
            f"l2o-tui: ended by {signal.Signals(received).name}: {len(done)} of {len(reproduction.jobs)} runs are "
            "done, what was under way is saved; the same command goes on"
        )
        return exit_codes.of_signal(received)
    of_page: dict[str, list[Result]] = {NAME: [], EPISODE3: [], DEEPMIND: []}
    for result in reproduction.results():
        of_page[_page_of(result.preset)].append(result)
    results, ours, deepminds = of_page[NAME], of_page[EPISODE3], of_page[DEEPMIND]
    for part in filter(None, (results, deepminds)):
        if not as_json:
            _print_table(part, elapsed=monotonic() - began)
    try:
        with share_bar("judging", hidden=as_json and is_terminal(sys.stdout)) as told:
            judgements = list(judged_results(ours, told=told))
        if ours:
            _print_rivalries(ours, judgements, as_json=as_json, elapsed=monotonic() - began)
        if report:
            notes.say(f"writing the report in {report} …")
        if report and results:
            write_report(report, results, _levels_of(results), command=command, seeds=seeds)
        if report and deepminds:
            write_deepmind(
                report,
                deepminds,
                reproduced=runs_dir / "reproduction",
                seeds=seeds,
                command=command,
                bar=share_bar,
            )
        if report and ours:
            with process_pool(workers) as executor:
                write_episode3(
                    report,
                    judgements,
                    ours,
                    runs_dir=runs_dir,
                    seeds=seeds,
                    command=command,
                    executor=executor,
                    bar=share_bar,
                )
    except KeyboardInterrupt:
        notes.say(f"l2o-tui: interrupted; {_CONSOLATION}")
        return exit_codes.of_signal(signal.SIGINT)
    fails = [
        _complain(results, notes),
        _complain(deepminds, notes),
        _complain(ours, notes),
        _complain_of_ours(judgements, notes),
    ]
    return exit_codes.FAILED if any(fails) else exit_codes.DONE


def _experiments(group: str, only: Sequence[str]) -> tuple[list[Preset], list[str]]:
    """Return those to make, and what is to be said of others: those of a whole group may lack their data."""
    asked = experiments_of(group, only)
    experiments, lacking = whose_data_is_there(asked)
    if lacking and (only or not experiments):
        raise UserError(next(iter(lacking)))
    return experiments, [f"left out, {', '.join(names)}: {why}" for why, names in lacking.items()]


def _page_of(preset: Preset) -> str:
    """Return the page of the report that an experiment is told on: those parts that have no notebook have their own."""
    return group_of(preset) if group_of(preset) in (EPISODE3, DEEPMIND) else NAME


def _levels_of(results: Sequence[Result]) -> list[NamedLevel]:
    groups = [result.group for result in results if result.group]
    return baseline_levels(groups, seed=0) if groups else []


def _drive(reproduction: Reproduction, notes: Notes, workers: int, *, as_json: bool) -> int:
    """Let a pool of processes do all jobs, telling how it goes; return the signal that ended it, or 0."""
    with signals_to(Mailbox()) as received, process_pool(workers) as executor:
        try:
            reproduction.start(executor)
            while reproduction.is_going_on:
                notes.show_reproduction(reproduction)
                outcomes = reproduction.wait(_TICK)
                if received:
                    # What comes now was interrupted, or broken by the same signal: neither is news.
                    reproduction.stop()
                    continue
                for outcome in outcomes:
                    if outcome.status == "failed":
                        job = outcome.job
                        notes.say(f"{job.preset.name}, seed {job.seed}, failed: {outcome.message}")
                for name in dict.fromkeys(outcome.job.preset.name for outcome in outcomes):
                    if result := reproduction.result(name):
                        _tell(result, notes, as_json=as_json)
        finally:
            if reproduction.is_going_on and not received:
                reproduction.stop()
            notes.close()
    return received[0] if received else 0


def _tell(result: Result, notes: Notes, *, as_json: bool) -> None:
    """Tell of an experiment that is over: to scripts, or to who waits for the table."""
    if as_json:
        if _page_of(result.preset) != EPISODE3:  # which are judged before they are told
            write_out(json_text(_document(result)), consolation=_CONSOLATION)
        return
    published = "" if result.published is None else f", the notebook's {fixed(result.published)}"
    verdict = f", {said}" if (said := verdict_of(result)) else ""
    seeds = f"{result.seeds} seed{'' if result.seeds == 1 else 's'}"
    took = duration(result.seconds)
    notes.say(f"{result.name}: median {fixed(result.final.median)}{published}{verdict} ({seeds}, {took})")


def _document(result: Result) -> dict[str, Any]:
    return {
        "experiment": result.name,
        "episode": episode_of(result.preset),
        "notebook": result.published,
        "tolerance": result.tolerance,
        "median": finite(result.final.median),
        "lower": finite(result.final.lower),
        "upper": finite(result.final.upper),
        "least": finite(result.final.least),
        "greatest": finite(result.final.greatest),
        "held_out": finite(result.held_out.median),
        "sum_loss": finite(result.sum_loss.median),
        "difference": result.difference,
        "reproduced": result.is_reproduced,
        "verdict": verdict_of(result),
        "stuck": result.stuck,
        "lost": list(result.lost),
        "failed": {str(outcome.job.seed): outcome.message for outcome in result.failed},
        "trained_seconds": round(result.seconds, 3),
        "finals": {str(replicate.lane.seed): finite(replicate.final) for replicate in result.replicates},
        "runs": [str(replicate.run.folder) for replicate in result.replicates],
    }


def _print_table(results: Sequence[Result], *, elapsed: float) -> None:
    page = Page()
    console = page.console
    console.print(table_of(results, narrow=console.width < _NARROW))
    console.print()
    if _page_of(results[0].preset) == NAME:  # elsewhere every problem has rivals of its own
        console.print(levels_line(_levels_of(results)))
    console.print(LEGEND, width=min(console.width, _NARROW))
    trained = duration(sum(result.seconds for result in results))
    console.print(f"Training took {trained} in all, this command {duration(elapsed)}.")
    page.write(consolation=_CONSOLATION)


def _print_rivalries(
    results: Sequence[Result], judgements: Sequence[Judgement], *, as_json: bool, elapsed: float
) -> None:
    """Print how experiments did against their rivals: to scripts an object each, else the tables."""
    if as_json:
        judged = {judgement.result.name: rivalry_table.document_of(judgement) for judgement in judgements}
        for result in results:
            write_out(json_text(_document(result) | judged.get(result.name, {})), consolation=_CONSOLATION)
        return
    trained = duration(sum(result.seconds for result in results))
    lines = [*rivalry_table.table_lines(judgements), "", rivalry_table.draws_line(judgements)] if judgements else []
    lines += [
        *wrapped(rivalry_table.LEGEND, _NARROW),
        f"Training took {trained} in all, this command {duration(elapsed)}.",
    ]
    write_out("\n".join(lines), consolation=_CONSOLATION)


def _complain_of_ours(judgements: Sequence[Judgement], notes: Notes) -> bool:
    """Say what differs from our own reference; return whether anything does."""
    off = [judgement for judgement in judgements if judgement.is_reproduced is False]
    for judgement in off:
        notes.say(f"l2o-tui: {judgement.result.name}: {rivalry_table.verdict_of(judgement)} from our reference")
    return bool(off)


def _complain(results: Sequence[Result], notes: Notes) -> bool:
    """Say what failed and what is not reproduced; return whether anything was."""
    failed = [outcome for result in results for outcome in result.failed]
    if failed:
        runs = "run" if len(failed) == 1 else "runs"
        notes.say(
            f"l2o-tui: {len(failed)} {runs} failed, see above for why; once that is mended, the same command goes on"
        )
    off = [result for result in results if result.is_reproduced is False]
    for result in off:
        if result.difference is None:
            notes.say(f"l2o-tui: {result.name}: every seed was lost to NaN")
            continue
        notes.say(
            f"l2o-tui: {result.name}: our median {fixed(result.final.median)} differs from the notebook's "
            f"{fixed(result.published)} by {result.difference:+.2f}; the tolerance is {fixed(result.tolerance)}"
        )
    return bool(failed or off)
