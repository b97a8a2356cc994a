"""The report of DeepMind's experiments, ``deepmind.md``: losses at the paper's steps, other optimizees, long horizons.

A section whose runs or data are not there says so.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from math import isfinite
from pathlib import Path

import numpy as np

from l2o_engine.presets.story import DEEPMIND
from l2o_engine.records.statistics import spread_of
from l2o_engine.studies import deepmind
from l2o_engine.studies.deepmind import Group, Other, Table
from l2o_engine.studies.evaluation import Judged
from l2o_engine.studies.reproduction import Result, wall_seconds
from l2o_engine.support.arrays import LOG_FLOOR, Doubles
from l2o_tui.charts.axes import Span, XAxis
from l2o_tui.charts.figure import Figure, Series, axis_over, last_of
from l2o_tui.charts.matplotlib import write_picture
from l2o_tui.charts.styles import optimizer_styles, run_styles
from l2o_tui.commands.reproduce.report import beginning, write_page
from l2o_tui.text.numbers import count, duration

NAME = DEEPMIND
"""Of the page, and of the folder of its pictures."""
DRAWS = 16
"""Held-out draws, episodes each, of a problem."""
LONG_DRAWS = 2
"""Of a long horizon."""
_DIMS = 10  # of the quadratic, whose losses the paper divides by it
_RIVALS = {"NAG": "Nesterov"}  # what the paper calls a rival → what it is called here
Bar = Callable[[str], AbstractContextManager[Callable[[float], None]]]


def write_deepmind(
    folder: Path,
    results: Sequence[Result],
    *,
    reproduced: Path,
    seeds: int,
    command: str,
    bar: Bar,
    draws: int = DRAWS,
    long_draws: int = LONG_DRAWS,
) -> None:
    """Judge the networks, and write the page and its pictures.

    Parameters
    ----------
    folder
        Where to, see :func:`~l2o_tui.commands.reproduce.report.check_report`.
    results
        What came of the experiments that this command made.
    reproduced
        Where the reproduction's runs are: those of an earlier command are judged, too.
    seeds
        How many seeds of each.
    command
        What the user typed.
    bar
        Shows how far something is, by its name.
    draws, long_draws
        How many held-out draws, of the experiments' own horizons and of long ones.

    Raises
    ------
    Failure
        If the page cannot be written.
    PictureError
        If a picture cannot.
    """
    pictures = folder / NAME
    groups = {group.preset.name: group for group in _groups(reproduced, seeds)}
    images = [group for name, group in groups.items() if name != deepmind.QUADRATIC]
    own: dict[str, Table] = {}
    for name, group in groups.items():
        with bar(name) as told:
            own[name] = deepmind.on_own_problem(group, draws=draws, told=told)
    others: list[Table] = []
    horizons: list[Table] = []
    for alike in _by_data(images):
        for other in deepmind.OTHERS:
            with bar(other.name) as told:
                others.append(deepmind.on_other(alike, other, draws=draws, told=told))
        for steps in deepmind.HORIZONS:
            with bar(f"{steps:,} steps") as told:
                horizons.append(deepmind.over_horizon(alike, steps, draws=long_draws, told=told))
    lines = [
        *_head(command, results, seeds, draws),
        *_in_short(own),
        *_quadratic(own.get(deepmind.QUADRATIC), pictures),
        *_images([table for name, table in own.items() if name != deepmind.QUADRATIC], pictures),
        *_others(others),
        *horizon_lines(horizons, pictures, long_draws),
    ]
    write_page(folder / f"{NAME}.md", lines)


def _groups(reproduced: Path, seeds: int) -> list[Group]:
    return deepmind.groups_below(reproduced, (deepmind.QUADRATIC, *deepmind.IMAGES), seeds)


def _by_data(groups: Iterable[Group]) -> list[list[Group]]:
    """Return groups whose optimizees see the same data, together."""
    found: dict[str, list[Group]] = {}
    for group in groups:
        found.setdefault(group.preset.problem.data, []).append(group)
    return list(found.values())


def _head(command: str, results: Sequence[Result], seeds: int, draws: int) -> list[str]:
    lines = [
        *beginning("DeepMind's experiments", command),
        "Learning to learn by gradient descent by gradient descent (Andrychowicz et al. 2016), and what came of it: "
        "networks that optimize networks, beside rivals that are tuned on the same problem as the paper tunes them: "
        "their learning rates, by the last loss; all else is what Torch7 had. Every figure is of "
        f"{draws} held-out episodes; of networks it is the median over the seeds, {seeds} at most, of those that the "
        "validation kept. The paper's figures are read off its curves, 3 to 5 % off, and its MNIST ones are of other "
        "data than digits: they are here for the shape.",
        "",
    ]
    if results:
        trained = sum(result.seconds for result in results)
        lines += [
            f"On the machine that made the runs, training them took {duration(trained)} added up over its processes, "
            f"and {duration(wall_seconds(results))} by the clock.",
            "",
        ]
    return lines


def _in_short(own: dict[str, Table]) -> list[str]:
    lines = ["## In short", ""]
    for name, table in own.items():
        verdict = _verdict(table, f"after {table.steps} steps", _end)
        if name != deepmind.QUADRATIC:
            verdict += f"; {_verdict(table, 'over the test images', _held_out)}"
        lines.append(f"- {name}: {verdict}")
    return [*lines, ""] if own else [*lines, "There are no runs yet: `l2o-tui reproduce deepmind` makes them.", ""]


def _verdict(table: Table, where: str, figure: Callable[[Judged], float]) -> str:
    """Return in words how a table's network compares with the best of its rivals by a figure."""
    trained, rivals = _parted(table)
    own = [one for judged in trained.values() for one in judged]
    ours = _over(own, figure)
    levels = {rival: _over(judged, figure) for rival, judged in rivals.items()}
    best = min(levels, key=lambda rival: levels[rival])
    below = "below" if ours < levels[best] else "not below"
    if len(own) > 1 and all(figure(one) < levels[best] for one in own):
        below = f"with each of {count(len(own))} seeds below"
    return f"{_loss(ours)} {where}, {below} the best tuned rival, {best} ({_loss(levels[best])})"


def _quadratic(table: Table | None, pictures: Path) -> list[str]:
    lines = ["## Least squares of ten dimensions", ""]
    if table is None:
        return [*lines, f"There is nothing yet: `l2o-tui reproduce deepmind --only {deepmind.QUADRATIC}`.", ""]
    _draw([table], pictures / "quadratic.svg", table.title)
    return [
        *lines,
        "The loss divided by 10, as in the paper's figure; in brackets the paper's.",
        "",
        *_curve_table(table, deepmind.PAPER_QUADRATIC, share=_DIMS, held_out=False),
        "",
        f"![Losses over the base steps]({NAME}/quadratic.svg)",
        "",
    ]


def _images(tables: Sequence[Table], pictures: Path) -> list[str]:
    lines = ["## Networks", "", "A minibatch's loss at some steps, and that over the test images after the last."]
    for place, table in enumerate(tables):
        _draw([table], pictures / f"images{place}.svg", table.title)
        lines += [
            "",
            f"{table.title}:",
            "",
            *_curve_table(table, deepmind.PAPER_MNIST, share=1, held_out=True),
            "",
            f"![Losses over the base steps]({NAME}/images{place}.svg)",
        ]
    return [*lines, *([] if tables else ["", "There is nothing yet."]), ""]


def _others(tables: Sequence[Table]) -> list[str]:
    lines = [
        "## Other optimizees",
        "",
        "The paper's tests: the same networks, and rivals as they were tuned for the experiment, on optimizees that "
        "nothing was trained or tuned on. The minibatch's loss after the last update; least and greatest over the "
        "seeds. The paper's, of MNIST: its LSTM, its Adam.",
        "",
    ]
    if not tables:
        return [*lines, "There is nothing yet.", ""]
    names = list(dict.fromkeys(name for table in tables for name in table.rows))
    lines += [_row(["", *names, "paper: LSTM", "Adam"]), _row([":---", *["---:"] * (len(names) + 2)])]
    for table in tables:
        paper: Other | None = table.other
        cells = [_with_range(table.rows[name]) if name in table.rows else "–" for name in names]
        lines.append(_row([_among(tables, table), *cells, *(map(str, paper.paper) if paper else ("–", "–"))]))
    return [*lines, ""]


def horizon_lines(tables: Sequence[Table], pictures: Path, draws: int) -> list[str]:
    """Return the section of horizons far beyond what was trained for, and draw its pictures, one a data set.

    Parameters
    ----------
    tables
        Of each data set and horizon.
    pictures
        The folder of the pictures.
    draws
        Of how many held-out episodes they are.
    """
    lines = [
        "## Longer horizons",
        "",
        f"Far beyond what was trained for: the median of the last 100 minibatches' losses, and the loss over the test "
        f"images after the last update, of {draws} episodes.",
        "",
    ]
    if not tables:
        return [*lines, "There is nothing yet.", ""]
    names = list(dict.fromkeys(name for table in tables for name in table.rows))
    lines += [_row(["", *names]), _row([":---", *["---:"] * len(names)])]
    for table in tables:
        late = [_cell(table, name, lambda one: float(np.median(one.means[-100:]))) for name in names]
        test = [_cell(table, name, _held_out) for name in names]
        title = _among(tables, table)
        lines += [_row([f"{title}, minibatch", *late]), _row([f"{title}, test", *test])]
    longest = max(table.steps for table in tables)
    for table in tables:
        if table.steps == longest:
            title, name = _among(tables, table), f"horizon-{table.data}.svg"
            _draw([table], pictures / name, title)
            lines += ["", f"![Losses of {title}]({NAME}/{name})"]
    return [*lines, ""]


def _cell(table: Table, name: str, figure: Callable[[Judged], float]) -> str:
    """Return a figure of who is called so, over the seeds; a dash where nobody is, in a table of other data."""
    return _loss(_over(table.rows[name], figure)) if name in table.rows else "–"


def _among(tables: Sequence[Table], table: Table) -> str:
    """Return a table's title, with its data where they are of several."""
    several = len({one.data for one in tables}) > 1
    return f"{table.data}, {table.title}" if several else table.title


def _curve_table(
    table: Table, paper: Mapping[str, Sequence[float | None]], *, share: float, held_out: bool
) -> list[str]:
    looks = [*deepmind.LOOKS, table.steps]
    heads = ["", *(f"step {look}" for look in looks), *(["test"] if held_out else []), "least … greatest"]
    lines = [_row(heads), _row([":---", *["---:"] * (len(heads) - 1)])]
    ours = {_RIVALS.get(name, name): values for name, values in paper.items()}
    for name, judged in table.rows.items():
        printed = ours.get("LSTM" if judged[0].network is not None else name, ())
        cells = []
        for place, look in enumerate(looks):
            loss = _over(judged, partial(_mean_at, step=look)) / share
            cells.append(_beside(loss, printed[place] if place < len(printed) else None))
        cells += [_loss(_over(judged, _held_out))] if held_out else []
        spread = spread_of([_end(one) / share for one in judged])
        between = f"{_loss(spread.least)} … {_loss(spread.greatest)}" if len(judged) > 1 else ""
        lines.append(_row([_called(name, judged), *cells, between]))
    return lines


def _beside(value: float, printed: float | None) -> str:
    return _loss(value) + (f" ({printed:g})" if printed is not None else "")


def _called(name: str, judged: Sequence[Judged]) -> str:
    if judged[0].network is not None:
        return f"**{name}**, {count(len(judged))} seeds"
    return f"{name}, tuned" if judged[0].tuned_by else name


def _parted(table: Table) -> tuple[dict[str, tuple[Judged, ...]], dict[str, tuple[Judged, ...]]]:
    trained = {name: judged for name, judged in table.rows.items() if judged[0].network is not None}
    return trained, {name: judged for name, judged in table.rows.items() if name not in trained}


def _end(one: Judged) -> float:
    return float(one.means[-1])


def _held_out(one: Judged) -> float:
    return one.figures["held_out_loss"]


def _mean_at(one: Judged, step: int) -> float:
    return float(one.means[step])


def _over(judged: Sequence[Judged], figure: Callable[[Judged], float]) -> float:
    """Return the median over the seeds, one that is not finite counting as greatest."""
    return float(np.median([value if isfinite(value) else np.inf for value in map(figure, judged)]))


def _with_range(judged: Sequence[Judged]) -> str:
    values = sorted(map(_end, judged))
    middle = _loss(_over(judged, _end))
    return f"{middle} ({_loss(values[0])} … {_loss(values[-1])})" if len(values) > 1 else middle


def _loss(value: float) -> str:
    return f"{value:.3g}" if isfinite(value) else "lost"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _draw(tables: Sequence[Table], path: Path, title: str) -> None:
    """Draw the mean losses of a table's optimizers over the base steps."""
    figures = []
    for table in tables:
        trained, rivals = _parted(table)
        styles = optimizer_styles(rivals)
        own = dict(zip(trained, run_styles(len(trained), styles.values()), strict=True))
        series = []
        for name, judged in table.rows.items():
            means: Doubles = np.median([one.means for one in judged], axis=0)
            with np.errstate(invalid="ignore"):
                logs = np.log10(means + LOG_FLOOR)
            style = own[name] if name in own else styles[name]
            series.append(Series(name, style, np.arange(len(logs)), logs, (), last_of(logs)))
        whole = Span(0, table.steps)
        x = XAxis("base steps", "step", whole, whole, table.steps)
        figures.append(Figure(x, axis_over(series, whole, bands=False, logarithmic=True, more=()), series))
    write_picture(figures, path, title=title)
