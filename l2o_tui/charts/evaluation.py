"""Optimizers on held-out draws: losses over the base steps, and the share of the draws that are solved by then."""

from collections.abc import Sequence

import numpy as np

from l2o_engine.studies.evaluation import Contender, Ranking
from l2o_engine.support.arrays import LOG_FLOOR
from l2o_engine.training.figures import SOLVED
from l2o_tui.charts.axes import Span, XAxis, YAxis
from l2o_tui.charts.figure import QUARTILES, Band, Figure, Series, axis_over, last_of
from l2o_tui.charts.styles import Style, optimizer_styles, run_styles
from l2o_tui.text.names import cut

_MOST_BANDS = 4  # that can be told apart: here they lie apart
_LONGEST_NAME = 32  # cells of a problem's name, for which there is room above a panel


def panels_of(rankings: Sequence[Ranking]) -> list[list[tuple[str, Figure]]]:
    """Return a row of two pictures a problem, each with its axis' name: median losses with quartiles, share solved.

    What was trained comes first, then its rivals. Who is judged on several problems looks alike in all of them,
    whatever its rank is, for a file of pictures has one legend.
    """
    contenders = [one for ranking in rankings for one in ranking.contenders]
    rivals = optimizer_styles(one.label for one in contenders if not one.is_trained)
    trained = list(dict.fromkeys(one.label for one in contenders if one.is_trained))
    own = [Style(0)] if len(trained) == 1 else run_styles(len(trained), rivals.values())
    styles_of_trained = dict(zip(trained, own, strict=True))
    return [
        _row(
            ranking,
            [
                (one, (styles_of_trained if one.is_trained else rivals)[one.label])
                for one in sorted(ranking.contenders, key=lambda one: not one.is_trained)
            ],
        )
        for ranking in rankings
    ]


def _row(ranking: Ranking, contenders: Sequence[tuple[Contender, Style]]) -> list[tuple[str, Figure]]:
    losses, shares = [], []
    for one, style in contenders:
        lower, median, upper = one.curve
        name = f"{one.label}, {len(one.judged)} seeds" if len(one.judged) > 1 else one.label
        steps = np.arange(len(median))
        losses.append(Series(name, style, steps, median, (Band(QUARTILES, lower, upper),), last_of(median)))
        solved = np.log10(one.solved + LOG_FLOOR)
        shares.append(Series(name, style, steps, solved, (), last_of(solved)))
    last = ranking.problem.steps - 1
    whole = Span(0, last)
    x = XAxis("base steps", "step", whole, whole, last)
    shows_bands = len(losses) <= _MOST_BANDS
    figure = Figure(
        x,
        axis_over(losses, whole, bands=shows_bands, logarithmic=True, more=()),
        losses,
        shows_bands=shows_bands,
        caption="median and quartiles" if shows_bands else "median",
        title=f"{cut(ranking.problem.name, _LONGEST_NAME)}, {ranking.problem.horizon:,} steps",
    )
    solved_by_then = Figure(
        x,
        YAxis(logarithmic=False, low=0.0, high=1.0),
        shares,
        title=f"share at or below {SOLVED:.0e}".replace("e-0", "e-"),
    )
    return [("loss", figure), ("share of the draws", solved_by_then)]
