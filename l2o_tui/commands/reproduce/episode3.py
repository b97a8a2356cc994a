"""The report of Episode 3, ``episode3.md``: tuned rivals, who wins where, and where a learned optimizer fails.

Its tables are what ``tune`` and ``evaluate`` print, below the command that prints them. A section whose runs are not
there says so.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager
from html import escape
from pathlib import Path

from l2o_engine.presets.files import load, override
from l2o_engine.presets.shipped import find
from l2o_engine.presets.story import EPISODE3
from l2o_engine.studies import episode3
from l2o_engine.studies.comparison import baseline_levels
from l2o_engine.studies.episode3 import Section
from l2o_engine.studies.evaluation import Ranking
from l2o_engine.studies.reproduction import COUNTS, Judgement, Result, Rivalry, wall_seconds
from l2o_engine.studies.tuning import Found, Problem
from l2o_engine.support.wording import shown
from l2o_tui.charts.comparison import comparison
from l2o_tui.charts.evaluation import panels_of
from l2o_tui.charts.matplotlib import write_panels, write_picture
from l2o_tui.commands.reproduce import rivalry_table
from l2o_tui.commands.reproduce.references import references
from l2o_tui.commands.reproduce.report import beginning, write_page
from l2o_tui.commands.reproduce.verdict_table import weakness
from l2o_tui.text.evaluation import ranking_lines, share_text
from l2o_tui.text.numbers import count, duration, fixed, loss_sum
from l2o_tui.text.tuning import tuning_table

NAME = EPISODE3
"""Of the page, and of the folder of its pictures."""

DRAWS = 2000
"""Held-out draws that networks are judged on away from their own problems."""
TUNING_DRAWS = 5000
"""Tasks that the rivals of the first tables are tuned on: as ``tune`` does."""
_SEED = 0  # of the held-out draws
Bar = Callable[[str], AbstractContextManager[Callable[[float], None]]]


def write_episode3(
    folder: Path,
    judgements: Sequence[Judgement],
    results: Sequence[Result],
    *,
    runs_dir: Path,
    seeds: int,
    command: str,
    executor: Executor,
    bar: Bar,
    draws: int = DRAWS,
    tuning_draws: int = TUNING_DRAWS,
) -> None:
    """Judge what the page tells besides, and write the page and its pictures.

    Parameters
    ----------
    folder
        Where to, see :func:`~l2o_tui.commands.reproduce.report.check_report`.
    judgements, results
        How the experiments did on their own problems, and what came of them.
    runs_dir
        Where runs are kept.
    seeds
        How many seeds there are of each.
    command
        What the user typed.
    draws
        How many held-out draws networks are judged on here.
    tuning_draws
        How many rivals are tuned on, in the table of the quadratics.
    executor
        Tunes them.
    bar
        Shows how far something is, by its name.

    Raises
    ------
    Failure
        If the weights of a run cannot be read, or the page cannot be written.
    PictureError
        If a picture cannot.
    """
    pictures = folder / NAME
    reproduced = runs_dir / "reproduction"
    with bar("tuning rivals") as told:
        tuned = episode3.tuned_rivals(executor, draws=tuning_draws, told=told)
    with bar("along the axes") as told:
        former = episode3.former_on_rotated(reproduced, seeds=seeds, draws=draws, told=told)
    with bar("unseen functions") as told:
        unseen = episode3.generalist_elsewhere(results, draws=draws, told=told)
    with bar("Rosenbrock") as told:
        recipes = episode3.valley_recipes(results, runs_dir, draws=draws, told=told)
    with bar("elsewhere") as told:
        elsewhere = episode3.elsewhere(results, draws=draws, told=told)
    lines = [
        *_head(command, results, seeds),
        *_in_short(judgements, unseen, elsewhere),
        *_rivals(tuned, tuning_draws),
        *_own(judgements, pictures, reproduced),
        *_former(former, reproduced),
        *_unseen(unseen, pictures, reproduced),
        *_recipes(recipes, runs_dir),
        *_elsewhere(elsewhere, reproduced),
        *_runs(results, pictures),
        *(references(judgements) if judgements else []),
    ]
    write_page(folder / f"{NAME}.md", lines)


def _head(command: str, results: Sequence[Result], seeds: int) -> list[str]:
    trained, wall = sum(result.seconds for result in results), wall_seconds(results)
    return [
        *beginning("Episode 3: a fair fight", command),
        'The notebooks end with "my declaration of victory over RMSProp is probably unfair", and announce an episode '
        "with tuned rivals and other functions that was never written. This is ours: every rival is tuned, "
        "every figure is of draws that nothing was trained or tuned on, and each table stands below the command "
        "that prints it. Its references are our own earlier medians; no notebook has any.",
        "",
        f"On the machine that made the runs, training them took {duration(trained)} added up over its processes, and "
        f"{duration(wall)} by the clock.",
        "",
        *([f"Note: {weakness(seeds)}.", ""] if weakness(seeds) else []),
    ]


def _in_short(judgements: Sequence[Judgement], unseen: Section, elsewhere: Section) -> list[str]:
    """Return what the tables say, in sentences that are made of them."""
    lines = ["## In short", "", "On their own problems, against the best tuned rival of each count:", ""]
    lines += [f"- {rivalry_table.in_words(judgement)}" for judgement in judgements]
    if not judgements:
        lines += ["- no experiment has a run to judge yet."]
    for title, section in (("Elsewhere", elsewhere), ("On functions that it never saw", unseen)):
        rivalries = [Rivalry(ranking) for ranking in section.rankings]
        if rivalries:
            lines += ["", f"{title}, networks win", ""]
            lines += [f"- {_tally(rivalries, figure)} {said}" for figure, said in zip(COUNTS, _SAID, strict=True)]
    return [*lines, ""]


_SAID = ("by the last loss", "by the mean of Σ", "by the median of Σ")


def _tally(rivalries: Sequence[Rivalry], figure: str) -> str:
    """Return on how many of the problems the networks win."""
    decided = [rivalry.wins(figure) for rivalry in rivalries if rivalry.wins(figure) is not None]
    return f"on {sum(map(bool, decided))} of {len(decided)}"


def _rivals(tuned: dict[str, list[Found]], draws: int) -> list[str]:
    """Return the tables of rivals tuned on the quadratic."""
    lines = ["## Rivals at their best", ""]
    lines += [
        "Is the notebook's victory over RMSProp fair? There, RMSProp has a learning rate of 0.1 that nobody tuned. "
        "Tuned for the last loss alone, along the axes, its giant first step makes the next one an exact Newton "
        "step (an exploit: it pays for it in Σ); a rotation takes that away.",
        "",
    ]
    for name, found in tuned.items():
        settings = episode3.TUNING[name]
        preset = load(find(episode3.TUNED))
        changed = override(preset, settings) if settings else preset
        problem = Problem(changed.problem, changed.experiment.steps, draws, changed.run.seed, changed.run.dtype)
        options = "".join(f" --set {setting}" for setting in settings)
        given = f" --draws {draws}" if draws != Problem(changed.problem).draws else ""
        table = tuning_table(found, problem, f"{episode3.TUNED}, {name}")
        lines += [f"The quadratic of two dimensions, {name}:", ""]
        lines += _printed(f"l2o-tui tune {episode3.TUNED}{options}{given}", table)
    return [*lines, "vSGD is told the curvature, which the others, and a network, are not.", ""]


def _own(judgements: Sequence[Judgement], pictures: Path, reproduced: Path) -> list[str]:
    lines = ["## On their own problems", ""]
    if not judgements:
        return [*lines, "No experiment has a run to judge yet.", ""]
    lines += [*_markdown(rivalry_table.ends_of(judgements)), "", *_markdown(rivalry_table.sums_of(judgements)), ""]
    lines += [rivalry_table.LEGEND, "", rivalry_table.draws_line(judgements), ""]
    rankings = [judgement.rivalry.ranking for judgement in judgements]
    lines += _picture(rankings, pictures / "own.svg", "Losses over the base steps, and the share that is solved")
    for judgement in judgements:
        lines += [f"### {judgement.result.name}", "", f"{judgement.result.preset.title}.", ""]
        ranking = judgement.rivalry.ranking
        lines += _evaluated(f"l2o-tui evaluate {_runs_of(judgement.result.name, reproduced)}", ranking)
    return lines


def _former(section: Section, reproduced: Path) -> list[str]:
    lines = ["## Trained along the axes, judged on rotated problems and for longer", ""]
    missing = f"There is no finished run of {', '.join(section.missing)} in {shown(str(reproduced))} yet: "
    if section.missing:
        lines += [f"{missing}`l2o-tui reproduce episode1` and `episode2` make them, and the same command as above.", ""]
    runs = " ".join(_runs_of(name, reproduced) for name in episode3.ALONG_THE_AXES if name not in section.missing)
    for ranking in section.rankings:
        problem = ranking.problem
        along = "" if problem.name == episode3.ROTATED else f" --set {episode3.ALONG[0]}"
        command = f"l2o-tui evaluate {runs} --on {episode3.ROTATED}{along} --steps {problem.horizon}"
        lines += _evaluated(f"{command} --draws {section.draws}", ranking)
    return lines


def _unseen(section: Section, pictures: Path, reproduced: Path) -> list[str]:
    lines = [
        "## Functions that it never saw",
        "",
        f"The {episode3.GENERALIST} is trained on a mixture that has none of these. Beside it are rivals that are "
        'tuned on each function, which it is not, and others, called "of-mixture", that are tuned on what it was '
        "trained on.",
        "",
    ]
    if section.missing:
        return [*lines, "It has no run to judge yet.", ""]
    lines += _picture(section.rankings, pictures / "unseen.svg", "The generalist on functions that it never saw")
    lines += [*_markdown(_unseen_rows(section)), ""]
    for ranking in section.rankings:
        command = f"l2o-tui evaluate {_runs_of(episode3.GENERALIST, reproduced)} --on {ranking.problem.name}"
        lines += _evaluated(f"{command} --draws {section.draws}", ranking)
    return [*lines, f"The rivals of the mixture are those of presets/{episode3.GENERALIST}.toml.", ""]


def _unseen_rows(section: Section) -> list[tuple[str, ...]]:
    """Return function by function the generalist, the best rival tuned there, and the best of those of the mixture."""
    rows: list[tuple[str, ...]] = [("function", "count", "generalist", "best, tuned on it", "best, of the mixture")]
    for ranking in section.rankings:
        rivalry = Rivalry(ranking)
        for figure, said in ((COUNTS[0], "last loss"), (COUNTS[2], "median Σ")):
            number = fixed if figure == COUNTS[0] else loss_sum
            cells = [number(rivalry.trained.figure(figure))]
            for of_mixture in (False, True):
                own = [one for one in rivalry.rivals if one.label.endswith(episode3.OF_MIXTURE) == of_mixture]
                best = min(own, key=lambda one, figure=figure: one.figure(figure), default=None)  # type: ignore[misc]
                cells.append(
                    f"{best.label.removesuffix(episode3.OF_MIXTURE)} {number(best.figure(figure))}" if best else "–"
                )
            rows.append((ranking.problem.name, said, *cells))
    return rows


def _recipes(section: Section, runs_dir: Path) -> list[str]:
    lines = [
        "## Recipes for Rosenbrock's valley",
        "",
        f"Everything in {shown(str(runs_dir))} that was trained on this function, whatever its start, parameters and "
        f"steps were, judged on the problem of presets/{episode3.VALLEY}.toml.",
        "",
    ]
    if section.missing:
        return [*lines, f"There is nothing yet: `l2o-tui run {episode3.VALLEY} --set TABLE.KEY=VALUE` makes some.", ""]
    for ranking in section.rankings:
        lines += _evaluated(f"l2o-tui evaluate RUN… --on {episode3.VALLEY} --draws {section.draws}", ranking)
    return lines


def _elsewhere(section: Section, reproduced: Path) -> list[str]:
    lines = [
        "## Where they fail: longer, larger, steeper",
        "",
        "The same networks, and rivals with the settings that are the best on the experiment's own problem.",
        "",
    ]
    if section.missing:
        lines += [f"Of {', '.join(section.missing)} there is no run to judge yet.", ""]
    if section.rankings:
        rivalries = [Rivalry(ranking) for ranking in section.rankings]
        lines += [*_markdown(_elsewhere_rows(rivalries)), ""]
    for ranking in section.rankings:
        name, _, changed = ranking.problem.name.partition(" (")
        options = "".join(f" --set 'problem.{setting}'" for setting in _settings_in(changed))
        command = f"l2o-tui evaluate {_runs_of(name, reproduced)}{options} --steps {ranking.problem.horizon}"
        lines += _evaluated(f"{command} --draws {section.draws}", ranking)
    return lines


def _settings_in(changed: str) -> list[str]:
    """Return the settings of a problem's name: what is behind the preset's, "scale=[1.5, 4.5])"."""
    return [changed.removesuffix(")")] if changed else []


def _elsewhere_rows(rivalries: Sequence[Rivalry]) -> list[tuple[str, ...]]:
    rows: list[tuple[str, ...]] = [("problem", "steps", "last loss", "best rival", "median Σ", "best rival", "lost")]
    for rivalry in rivalries:
        problem, trained = rivalry.ranking.problem, rivalry.trained
        cells = []
        for figure, number in ((COUNTS[0], fixed), (COUNTS[2], loss_sum)):
            best = rivalry.best(figure)
            cells += [number(trained.figure(figure)), f"{best.label} {number(best.figure(figure))}" if best else "–"]
        lost = share_text(trained.share("non_finite"))
        rows.append((problem.name, count(problem.horizon), *cells, lost))
    return rows


def _runs(results: Sequence[Result], pictures: Path) -> list[str]:
    lines = ["## Their training", ""]
    for result in results:
        finals = {replicate.lane.seed: fixed(replicate.final) for replicate in result.replicates}
        finals |= dict.fromkeys(result.lost, "lost") | {outcome.job.seed: "failed" for outcome in result.failed}
        lines += [f"### {result.name}: its runs", ""]
        if result.group:
            levels = baseline_levels([result.group], seed=0)
            write_picture([comparison([result.group], levels, notebook=True)], pictures / f"{result.name}.svg")
            lines += [f"![Convergence of {result.name}]({NAME}/{result.name}.svg)", ""]
        ends = ", ".join(finals[seed] for seed in sorted(finals))
        lines += [f"Seeds {min(finals)} to {max(finals)} end at {ends}: mean log10 of the last loss in training.", ""]
    return lines


def _runs_of(name: str, reproduced: Path) -> str:
    return shown(f"{reproduced}/{name}-s*")


def _evaluated(command: str, ranking: Ranking) -> list[str]:
    """Return what ``evaluate`` prints, folded below a line that says of what it is."""
    problem = ranking.problem
    title = f"{escape(shown(problem.name))}, {count(problem.horizon)} steps"
    return [
        f"<details><summary>{title}</summary>",
        "",
        *_printed(command, ranking_lines(ranking, seed=_SEED)),
        "</details>",
        "",
    ]


def _printed(command: str, lines: Sequence[str]) -> list[str]:
    """Return a command and what it prints as a block of code."""
    return ["```console", f"$ {command}", *map(shown, lines), "```", ""]


def _markdown(rows: Sequence[tuple[str, ...]]) -> list[str]:
    """Return a table in Markdown: names at the left, numbers at the right."""
    lines = ["| " + " | ".join(shown(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]
    return [lines[0], "| " + " | ".join([":---", *["---:"] * (len(rows[0]) - 1)]) + " |", *lines[1:]]


def _picture(rankings: Sequence[Ranking], path: Path, title: str) -> list[str]:
    write_panels(panels_of(rankings), path)
    return [f"![{title}]({NAME}/{path.name})", ""]
