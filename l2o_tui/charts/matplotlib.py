"""Pictures as SVG or PNG: convergence over the meta-iterations, and the base charts. Only this file knows matplotlib.

A picture is the same, byte for byte, whenever it is drawn of the same figures by the same version of matplotlib. SVG
keeps its text as text. Colours are those of Okabe and Ito, which colour-blind readers can tell apart; line styles
differ too, for print without colour.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from io import BytesIO
from math import ceil, floor, isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from l2o_engine.optimizers.learned.learned_optimizer import LEARNED
from l2o_engine.presets.published import NotebookRow
from l2o_engine.studies.comparison import Group, NamedLevel
from l2o_engine.support.arrays import LOG_FLOOR, Doubles
from l2o_engine.support.errors import UserError
from l2o_engine.support.files import write_atomically
from l2o_tui.charts.layout import decade_ticks, spread

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SUFFIXES = (".svg", ".png")
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#000000", "#56B4E9")
_STYLES: tuple[Any, ...] = ("solid", (0, (5, 1.5)), (0, (6, 1.5, 1, 1.5)), (0, (1.5, 1)))
_GREY = "#555555"
_SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_MOST_BANDS = 4  # groups whose quartiles can still be told apart
_POINTS = 1800  # of all lines and bands together, so that an SVG stays small
_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "l2o-tui",
    "text.parse_math": False,  # a run's name may hold a $
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


class PictureError(UserError):
    """A picture that cannot be drawn or written. The message is meant for the user."""


def check_picture(path: Path) -> None:
    """Check that a picture can be drawn into a file, before anything is computed for it.

    Raises
    ------
    PictureError
        If the name ends neither in .svg nor in .png, its folder is missing, or matplotlib is.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise PictureError(f"{path}: a picture's name ends in {' or '.join(SUFFIXES)}")
    if path.is_dir():
        raise PictureError(f"{path} is a folder")
    if not path.parent.is_dir():
        raise PictureError(f"there is no folder {path.parent} to write {path.name} into")
    try:
        import matplotlib as mpl  # noqa: F401 (whether it is there)
    except ImportError as error:
        raise PictureError("pictures need matplotlib: pip install 'l2o-tui[plots]'") from error


def convergence_picture(
    groups: Sequence[Group],
    levels: Sequence[NamedLevel],
    path: Path,
    *,
    published: Sequence[NotebookRow] = (),
    title: str = "",
) -> None:
    """Draw the convergence of groups of replicates: the end loss over the meta-iterations, logarithmic.

    A group is a line, the median over its replicates of the rolling log-average, and a band between the quartiles, as
    long as there are few groups. One group alone also shows its raw results, as a faint band between their extremes.

    Parameters
    ----------
    groups
        What to compare; at least one.
    levels
        The baselines' levels, drawn as labelled lines across.
    path
        Where to; a file that is there is replaced. The suffix, .svg or .png, says as what.
    published
        The notebook's rows, drawn as markers as far as the groups have come.
    title
        Written above.

    Raises
    ------
    PictureError
        If the file cannot be written or matplotlib is missing.
    """
    with _picture(path, (7.2, 4.6)) as figure:
        axes = figure.add_subplot()
        alone, band = len(groups) == 1, len(groups) <= _MOST_BANDS
        lines = 5 if alone else 3 if band else 1  # a band is two
        points = max(_POINTS // (lines * len(groups)), 24)
        for place, group in enumerate(groups):
            _draw_group(axes, group, place, points, alone=alone, band=band)
        right = max(int(group.curve.iteration[-1]) for group in groups) or 1
        if reached := [row for row in published if row.it <= right]:
            it, averages = [row.it for row in reached], [row.average_log_result for row in reached]
            axes.plot(
                it,
                averages,
                "o",
                color="#000000",
                fillstyle="none",
                markersize=4,
                label="the notebook",
                zorder=4,
                clip_on=False,
            )
        finite = [level for level in levels if isfinite(level.level.end_log10)]
        for level in finite:
            axes.axhline(level.level.end_log10, color=_GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=1)
        axes.set_xlim(0, right)
        _draw_powers_of_ten(axes)
        _draw_level_labels(axes, finite)
        axes.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
        axes.set_xlabel("meta-iterations")
        axes.set_ylabel("last loss (rolling log-average)")
        axes.set_title(title)
        figure.legend(loc="outside lower center", ncols=2 if len(groups) > 1 else 4, frameon=False)


def base_picture(draws: Sequence[Mapping[str, Doubles]], path: Path, *, title: str = "") -> None:
    """Draw base charts side by side: the losses of every optimizer over the steps, on one problem each, logarithmic.

    Parameters
    ----------
    draws
        For each problem, optimizer → losses [steps]. The learned optimizer comes first, and is drawn over the others.
    path
        Where to, see :func:`convergence_picture`.
    title
        Written above.

    Raises
    ------
    PictureError
        If the file cannot be written or matplotlib is missing.
    """
    with _picture(path, (7.2, 3.2)) as figure:
        all_axes = figure.subplots(1, len(draws), sharey=True, squeeze=False)[0]
        names = sorted(dict.fromkeys(name for losses in draws for name in losses), key=lambda name: name != LEARNED)
        for number, (axes, losses) in enumerate(zip(all_axes, draws, strict=True), 1):
            for place, name in enumerate(names):
                if name in losses:
                    heights = np.log10(np.where(np.isfinite(losses[name]), losses[name], np.nan) + LOG_FLOOR)
                    style = {"color": _COLOURS[place % len(_COLOURS)], "linestyle": _STYLES[place % len(_STYLES)]}
                    axes.plot(range(len(heights)), heights, label=name, zorder=3 - place / len(names), **style)
            axes.set_title(f"problem {number}")
            axes.set_xlabel("base step")
            axes.xaxis.get_major_locator().set_params(integer=True)
        _draw_powers_of_ten(all_axes[0])
        for axes in all_axes[1:]:
            axes.grid(axis="y", color="#e6e6e6", linewidth=0.6)
        all_axes[0].set_ylabel("loss")
        figure.suptitle(title)
        lines = {str(line.get_label()): line for axes in all_axes for line in axes.get_lines()}
        figure.legend(lines.values(), lines.keys(), loc="outside lower center", ncols=len(names), frameon=False)


@contextmanager
def _picture(path: Path, size: tuple[float, float]) -> "Iterator[Figure]":
    """Give a figure of this size, in inches, to draw on; then write it."""
    check_picture(path)
    import matplotlib as mpl
    from matplotlib.figure import Figure

    image = BytesIO()
    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=size, layout="constrained")  # pyplot would keep it, and choose a window for it
        yield figure
        if path.suffix.lower() == ".svg":
            figure.savefig(image, format="svg", metadata={"Date": None})
        else:
            figure.savefig(image, format="png", dpi=160)
    try:
        write_atomically(path, image.getvalue())
    except OSError as error:
        raise PictureError(f"cannot write {path}: {error.strerror or error}") from error


def _draw_group(axes: "Axes", group: Group, place: int, points: int, *, alone: bool, band: bool) -> None:
    curve, colour = group.curve, _COLOURS[place % len(_COLOURS)]
    starts = np.unique(np.linspace(0, len(curve.iteration), points, endpoint=False).astype(int))
    ends = np.append(starts[1:], len(curve.iteration)) - 1
    x, n = curve.iteration[ends], len(group.replicates)
    if alone:
        low, high = np.fmin.reduceat(curve.low, starts), np.fmax.reduceat(curve.high, starts)
        axes.fill_between(x, low, high, color=colour, alpha=0.12, linewidth=0, label="raw results", zorder=1.5)
    if band and n > 1:
        label = "quartiles" if alone else None
        axes.fill_between(
            x, curve.lower[ends], curve.upper[ends], color=colour, alpha=0.3, linewidth=0, label=label, zorder=2
        )
    replicates = f"{n} seeds" if n > 1 else f"seed {group.seeds[0]}"
    label = f"median of {replicates}" if alone and n > 1 else replicates if alone else f"{group.label}, {replicates}"
    axes.plot(x, curve.median[ends], color=colour, linestyle=_STYLES[place % len(_STYLES)], label=label, zorder=3)


def _draw_powers_of_ten(axes: "Axes") -> None:
    """Label the y axis, which holds logarithms, with powers of ten, and draw faint lines there."""
    low, high = axes.get_ylim()
    ticks, _ = decade_ticks(floor(low), ceil(high), most=9)
    axes.set_yticks([tick for tick in ticks if low <= tick <= high])
    axes.yaxis.set_major_formatter(lambda value, _: f"10{f'{value:.0f}'.translate(_SUPERSCRIPTS)}")
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.6)


def _draw_level_labels(axes: "Axes", levels: Sequence[NamedLevel]) -> None:
    """Write the levels' names at the right of their lines."""
    low, high = axes.get_ylim()
    heights = spread([level.level.end_log10 for level in levels], low, high, (high - low) / 22)
    for level, height in zip(levels, heights, strict=True):
        text = f"{level.name}\n{level.level.end_log10:.2f}"
        place = axes.get_yaxis_transform()
        axes.text(1.01, height, text, transform=place, color=_GREY, va="center", fontsize=8)
