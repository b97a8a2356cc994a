"""The losses of every optimizer over the base steps: of one problem, or their spread over many."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from l2o_engine.optimizers.learned.learned_optimizer import LEARNED
from l2o_engine.records.statistics import quartiles
from l2o_engine.support.arrays import LOG_FLOOR, Doubles
from l2o_tui.charts.axes import Span, XAxis
from l2o_tui.charts.figure import QUARTILES, Band, Figure, Series, axis_over, last_of
from l2o_tui.charts.styles import optimizer_styles

HELD_OUT = "test"
"""What a loss over held-out data is called, behind the optimizer's name."""
_MOST_BANDS = 4  # that can be told apart: here they lie apart


def base_losses(
    losses: Mapping[str, Doubles],
    *,
    held_out: Mapping[str, Doubles] | None = None,
    looks: Sequence[int] = (),
    logarithmic: bool = True,
    view: Span | None = None,
    caption: str = "",
    title: str = "",
) -> Figure:
    """Return the picture of losses over the base steps, the network's first.

    Parameters
    ----------
    losses
        Name → [steps] of one problem, or [problems, steps]: then the median and the quartiles of the finite ones.
    held_out, looks
        Name → [looks] or [problems, looks], over data that no minibatch is drawn from; and at which base steps.
    logarithmic
        Whether losses are drawn by their logarithm.
    view
        What of the x axis is looked at; None for all.
    caption, title
        Said below and above.
    """
    styles = optimizer_styles(losses)
    series = []
    for name, values in sorted(losses.items(), key=lambda item: item[0] != LEARNED):
        logs = _logs(values)
        lower, median, upper = quartiles(logs)
        bands = (Band(QUARTILES, lower, upper),) if len(logs) > 1 else ()
        series.append(Series(name, styles[name], np.arange(logs.shape[1]), median, bands, last_of(median)))
        if held_out and name in held_out:
            _, median, _ = quartiles(_logs(held_out[name]))
            style = replace(styles[name], is_held_out=True)
            series.append(Series(f"{name}, {HELD_OUT}", style, np.array(looks), median, (), last_of(median)))
    last = max((len(one.x) for one in series), default=1) - 1
    whole = Span(0, max(last, 1))
    seen = view.within(whole) if view else whole
    shows_bands = len(losses) <= _MOST_BANDS and any(one.bands for one in series)
    y = axis_over(series, seen, bands=shows_bands, logarithmic=logarithmic, more=())
    return Figure(XAxis("base steps", "step", whole, seen, last), y, series, (), None, shows_bands, caption, title)


def _logs(losses: Doubles) -> Doubles:
    """Return log10(loss + 1e-38) [problems, …]."""
    with np.errstate(invalid="ignore", divide="ignore"):
        logs: Doubles = np.log10(np.atleast_2d(losses) + LOG_FLOOR)
    return logs
