"""Optimizers on held-out draws: losses over the base steps, and the share of the draws that are solved by then."""

import numpy as np

from l2o_engine.studies.evaluation import Ranking
from l2o_engine.support.arrays import LOG_FLOOR
from l2o_engine.training.figures import SOLVED
from l2o_tui.charts.axes import Span, XAxis, YAxis
from l2o_tui.charts.figure import QUARTILES, Band, Figure, Series, axis_over, last_of
from l2o_tui.charts.styles import Style, optimizer_styles, run_styles
from l2o_tui.text.names import cut

_MOST_BANDS = 4  # that can be told apart: here they lie apart
_LONGEST_NAME = 32  # cells of a problem's name, for which there is room above a panel


def evaluation(ranking: Ranking) -> tuple[Figure, Figure]:
    """Return the two pictures of a problem: median losses with quartiles, and the share that is solved.

    What was trained comes first, then its rivals, each with the colour that it has everywhere.
    """
    contenders = sorted(ranking.contenders, key=lambda one: not one.is_trained)
    rivals = optimizer_styles(one.label for one in contenders if not one.is_trained)
    trained = [one for one in contenders if one.is_trained]
    own = run_styles(len(trained), rivals.values()) if len(trained) > 1 else [Style(0)] * len(trained)
    styles = [*own, *rivals.values()]
    losses, shares = [], []
    for one, style in zip(contenders, styles, strict=True):
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
    return (
        Figure(
            x,
            axis_over(losses, whole, bands=shows_bands, logarithmic=True, more=()),
            losses,
            shows_bands=shows_bands,
            caption="median and quartiles" if shows_bands else "median",
            title=f"{cut(ranking.problem.name, _LONGEST_NAME)}, {ranking.problem.steps:,} steps",
        ),
        Figure(
            x,
            YAxis(logarithmic=False, low=0.0, high=1.0),
            shares,
            title=f"share at or below {SOLVED:.0e}".replace("e-0", "e-"),
        ),
    )
