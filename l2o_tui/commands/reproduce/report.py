"""The report of a reproduction: a page of Markdown and its pictures, the same whenever it is made of the same runs."""

import re
from collections.abc import Sequence
from html import escape
from pathlib import Path
from tempfile import TemporaryFile

from l2o_engine.backends.choose import choose
from l2o_engine.runs import checkpoints
from l2o_engine.studies.comparison import NamedLevel, Replicate, baseline_levels
from l2o_engine.studies.reproduction import Result, wall_seconds
from l2o_engine.support.arrays import Doubles
from l2o_engine.support.errors import Failure, UserError
from l2o_engine.support.files import write_atomically
from l2o_engine.support.wording import shown
from l2o_engine.training.trainer import make_trainer
from l2o_tui.charts.base_losses import base_losses
from l2o_tui.charts.comparison import comparison
from l2o_tui.charts.matplotlib import check_picture, write_picture
from l2o_tui.commands.reproduce.verdict_table import LEGEND, levels_line, markdown_of, verdict_of, weakness
from l2o_tui.text.health import diagnoses_of, findings_of, sentence
from l2o_tui.text.numbers import duration, fixed

NAME = "reproduction"
"""Of the page, and of the folder of its pictures."""
_DRAWS = 3  # problems in a base picture, as in the notebook


class ReportError(UserError):
    """A report that cannot be written. The message is meant for the user."""


def check_report(folder: Path, pages: Sequence[str] = (NAME,)) -> None:
    """Make the report's folders, before anything is computed for it.

    Parameters
    ----------
    folder
        Where to.
    pages
        The names of the pages that it will have, each with a folder of that name for its pictures.

    Raises
    ------
    ReportError
        If they cannot be made or written into.
    PictureError
        If matplotlib is missing.
    """
    check_picture(Path("any.svg"))
    pictures = [folder / page for page in pages]
    try:
        for place in pictures:
            place.mkdir(parents=True, exist_ok=True)
        for place in (folder, *pictures):
            with TemporaryFile(dir=place):
                pass
    except OSError as error:
        raise ReportError(f"cannot write a report into {folder}: {error.strerror or error}") from error


def write_report(
    folder: Path, results: Sequence[Result], levels: Sequence[NamedLevel], *, command: str, seeds: int
) -> None:
    """Write ``reproduction.md``, and its pictures into ``reproduction/``.

    Parameters
    ----------
    folder
        Where to, see :func:`check_report`.
    results
        What came of the experiments.
    levels
        What the hand-designed optimizers reach.
    command
        What the user typed.
    seeds
        How many seeds there were of each experiment.

    Raises
    ------
    Failure
        If a run's last checkpoint is gone or damaged, or the page cannot be written.
    PictureError
        If a picture cannot.
    """
    lines = [
        *beginning("The reproduction", command),
        f"On the machine that made the runs, training them took {duration(sum(result.seconds for result in results))} "
        f"added up over its processes, and {duration(wall_seconds(results))} by the clock.",
        "",
        *([f"Note: {weakness(seeds)}.", ""] if weakness(seeds) else []),
        *markdown_of(results),
        "",
        LEGEND,
        "",
        f"{levels_line(levels)}.",
        "",
        "In the pictures, a point of the notebook's is an average since its row before, so it lags behind our line.",
    ]
    for result in results:
        lines += ["", *_section(folder / NAME, result)]
    write_page(folder / f"{NAME}.md", lines)


def write_page(page: Path, lines: Sequence[str]) -> None:
    """Write a page.

    Raises
    ------
    Failure
        If it cannot be written.
    """
    try:
        write_atomically(page, ("\n".join(lines).rstrip() + "\n").encode())
    except OSError as error:
        raise Failure(f"cannot write {page}: {error.strerror or error}") from error


def beginning(title: str, command: str) -> list[str]:
    """Return how a page begins that a command has written."""
    return [
        f"# {title}",
        "",
        "Written by",
        "",
        f"    {shown(command)}",
        "",
        "Do not edit it: the same command writes it anew. The same seeds give the same numbers on one type of CPU.",
        "",
    ]


def _section(pictures: Path, result: Result) -> list[str]:
    notebook, group = result.preset.notebook, result.group
    lines = [f"## {result.name}", "", f"{result.preset.title}.", ""]
    if group:
        nearest = _nearest_to_median(result)
        levels = baseline_levels([group], seed=0)
        write_picture([comparison([group], levels, notebook=True)], pictures / f"{result.name}.svg")
        draws = enumerate(_base_curves(nearest), 1)
        problems = [base_losses(losses, title=f"problem {number}") for number, losses in draws]
        write_picture(problems, pictures / f"{result.name}-base.svg")
        lines += [
            f"![Convergence of {result.name}: the last loss over the meta-iterations]({NAME}/{result.name}.svg)",
            "",
            f"![Losses over the base steps on {_DRAWS} problems]({NAME}/{result.name}-base.svg)",
            "",
            f"The lower picture shows seed {nearest.lane.seed}, whose end is the nearest to the median.",
            "",
        ]
    finals = {replicate.lane.seed: fixed(replicate.final) for replicate in result.replicates}
    finals |= dict.fromkeys(result.lost, "lost") | {outcome.job.seed: "failed" for outcome in result.failed}
    lines += [f"- Ours, seeds {min(finals)} to {max(finals)}: {', '.join(finals[seed] for seed in sorted(finals))}."]
    lines += [f"- Seed {outcome.job.seed} failed: {_prose(outcome.message)}" for outcome in result.failed]
    if notebook and notebook.final is not None:
        others = f"; its other runs: {_listed(notebook.other_finals)}" if notebook.other_finals else ""
        lines += [f"- The notebook: {fixed(notebook.final)}{others}."]
    if notebook and notebook.independent_finals:
        lost = f"; {notebook.independent_lost} more lost to NaN" if notebook.independent_lost else ""
        lines += [f"- An independent implementation: {_listed(notebook.independent_finals)}{lost}."]
    if result.difference is not None and result.tolerance is not None:
        lines += [
            f"- Verdict: {verdict_of(result)}. Our median, {fixed(result.final.median)}, differs from the notebook's "
            f"by {result.difference:+.2f}; the tolerance is {fixed(result.tolerance)}."
        ]
    if notebook and notebook.remark:
        lines += [f"- {' '.join(notebook.remark)}"]
    return lines + _findings(result)


def _prose(message: str) -> str:
    """Return a message, which may quote anything, as a line of Markdown that means no more than it says."""
    line = shown(" ".join(message.split()))
    return escape(re.sub(r"([\\`*_\[\]|])", r"\\\1", line), quote=False)


def _listed(values: Sequence[float]) -> str:
    return ", ".join(map(fixed, values))


def _nearest_to_median(result: Result) -> Replicate:
    return min(result.replicates, key=lambda replicate: abs(replicate.final - result.final.median))


def _base_curves(replicate: Replicate) -> list[dict[str, Doubles]]:
    """Return the losses of all optimizers on the first problems of a run's base chart, the network at its end."""
    run, seed = replicate.run, replicate.lane.seed
    preset, path = run.preset(), run.latest_checkpoint()
    if path is None:
        raise Failure(f"no report: the checkpoints of {run.name} are gone")
    try:
        state = checkpoints.read(path, preset.experiment).trainers[seed]
    except checkpoints.CheckpointError as error:
        raise Failure(f"no report: a checkpoint of {run.name} cannot be read: {error}") from error
    backend, _ = choose(preset.experiment, run.record().backend).load()
    trainer = make_trainer(preset.experiment, backend, seed)
    return [trainer.curves(draw, state) for draw in range(_DRAWS)]


def _findings(result: Result) -> list[str]:
    diagnoses = {lane: found for replicate in result.replicates for lane, found in diagnoses_of(replicate.run).items()}
    return [f"- Diagnosis ({finding.code}): {owners}{sentence(finding)}" for owners, finding in findings_of(diagnoses)]
