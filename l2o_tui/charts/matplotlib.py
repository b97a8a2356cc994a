"""Figures as SVG, PNG or PDF. Only this file knows matplotlib.

A picture is the same, byte for byte, whenever it is drawn of the same figures by the same version of matplotlib. SVG
keeps its text as text. Colours are those of Okabe and Ito, which colour-blind readers can tell apart; line styles
differ too, for print without colour.
"""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from math import isfinite
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from l2o_engine.support.errors import UserError
from l2o_engine.support.files import write_atomically
from l2o_engine.support.wording import shown
from l2o_tui.charts.axes import YAxis
from l2o_tui.charts.figure import QUARTILES, RAW, Figure, Series
from l2o_tui.charts.layout import spread
from l2o_tui.charts.reduce import extremes, reduced
from l2o_tui.charts.styles import Style
from l2o_tui.text.names import cut

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure as Canvas

SUFFIXES = (".svg", ".png", ".pdf")
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#000000", "#56B4E9", "#999999")
_STYLES: tuple[Any, ...] = ("solid", (0, (5, 1.5)), (0, (6, 1.5, 1, 1.5)), (0, (1.5, 1)))
_DOTS: Any = (0, (1, 1))  # of a loss over held-out data
_GREY, _FAINT_GREY = "#555555", "#e6e6e6"
_SUPERSCRIPTS = str.maketrans("-+0123456789.", "⁻⁺⁰¹²³⁴⁵⁶⁷⁸⁹·")
_POINTS = 1800  # of all lines and bands together, so that an SVG stays small
_LEAST_POINTS = 24
_LONGEST_TITLE = 200  # characters
_LONGEST_NAME = 48  # characters of a name in the legend, two of which stand side by side
_MOST_X_TICKS, _MOST_Y_TICKS = 7, 12  # as on a terminal
_MOST_SHARED_TICKS = 4  # below one of several pictures
_LIVE_DPI = 100
# Of matplotlib's backends. That of WebAgg has one, and does nothing else as long as it is open.
_WITHOUT_WINDOWS = ("agg", "cairo", "pdf", "pgf", "ps", "svg", "template", "webagg")
_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "l2o-tui",
    "text.parse_math": False,  # a run's name may hold a $
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
}


Panels: TypeAlias = Sequence[Sequence[tuple[str, Figure]]]
"""Rows of as many figures each, each with the name of its y axis."""


class PictureError(UserError):
    """A picture that cannot be drawn or written. The message is meant for the user."""


def check_picture(path: Path) -> None:
    """Check that a picture can be drawn into a file, before anything is computed for it.

    Raises
    ------
    PictureError
        If the name ends in none of :data:`SUFFIXES`, its folder is missing, or matplotlib is.
    """
    if path.suffix.lower() not in SUFFIXES:
        raise PictureError(f"{path}: a picture's name ends in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}")
    if path.is_dir():
        raise PictureError(f"{path} is a folder")
    if not path.parent.is_dir():
        raise PictureError(f"there is no folder {path.parent} to write {path.name} into")
    check_matplotlib()


def check_matplotlib() -> None:
    """Check that matplotlib is there.

    Raises
    ------
    PictureError
        If it is not.
    """
    try:
        import matplotlib.figure  # noqa: F401 (whether it is there)
    except ImportError as error:
        raise PictureError("pictures need matplotlib: pip install 'l2o-tui[plots]'") from error


def write_picture(figures: Sequence[Figure], path: Path, *, title: str = "") -> None:
    """Draw a figure, or several side by side that share the y axis, into a file.

    Parameters
    ----------
    figures
        What to draw, at least one.
    path
        Where to; a file that is there is replaced. The suffix, one of :data:`SUFFIXES`, says as what.
    title
        Written above all of them.

    Raises
    ------
    PictureError
        If the file cannot be written or matplotlib is missing.
    """
    size = (7.2, 4.6) if len(figures) == 1 else (7.2, 3.2)
    with _canvas(path, size) as canvas:
        all_axes = canvas.subplots(1, len(figures), sharey=True, squeeze=False)[0]
        named: dict[str, Artist] = {}
        for axes, figure in zip(all_axes, figures, strict=True):
            named |= _draw(axes, figure, _MOST_X_TICKS if len(figures) == 1 else _MOST_SHARED_TICKS)
        low, high = min(figure.y.low for figure in figures), max(figure.y.high for figure in figures)
        tallest = max(figures, key=lambda figure: figure.y.high - figure.y.low)
        _draw_y_axis(all_axes[0], tallest.y, "loss")
        all_axes[0].set_ylim(low, high)
        if len(figures) == 1 and figures[0].levels:
            _name_levels(all_axes[0], figures[0])
        canvas.suptitle(shown(title, most=_LONGEST_TITLE))
        _draw_legend(canvas, named)


def write_panels(rows: Panels, path: Path) -> None:
    """Draw rows of figures, each with a y axis of its own, whose name stands before it, into a file.

    Parameters
    ----------
    rows
        As many figures each, at least one of one.
    path
        See :func:`write_picture`.

    Raises
    ------
    PictureError
        If the file cannot be written or matplotlib is missing.
    """
    with _canvas(path, (7.2, 0.6 + 2.8 * len(rows))) as canvas:
        _draw_panels(canvas, rows)


def image_of(panels: Panels) -> bytes:
    """Return a picture that is looked at while it changes, as PNG: see :func:`write_panels`.

    Raises
    ------
    PictureError
        If matplotlib is missing.
    """
    check_matplotlib()
    with _drawing(_live_size(panels)) as canvas:
        _draw_panels(canvas, panels)
        return _encoded(canvas, ".png", dpi=_LIVE_DPI)


class Window:
    """A window of matplotlib's, for pictures that change.

    Raises
    ------
    PictureError
        If matplotlib is missing, or has no windows here.
    """

    def __init__(self) -> None:
        check_matplotlib()
        from matplotlib import pyplot as plt

        if plt.get_backend().lower() in _WITHOUT_WINDOWS:
            raise PictureError("there is neither a notebook nor a window here to draw in: name a file")
        self._canvas: Canvas | None = None

    def show(self, panels: Panels) -> None:
        """Show this picture in place of the one before; see :func:`write_panels`."""
        import matplotlib as mpl
        from matplotlib import pyplot as plt

        with mpl.rc_context(_SETTINGS):
            if self._canvas is None:
                self._canvas = plt.figure("l2o-tui", figsize=_live_size(panels), layout="constrained")
                plt.show(block=False)
            self._canvas.clear()
            _draw_panels(self._canvas, panels)
            self._canvas.canvas.draw_idle()
            self._canvas.canvas.flush_events()


def _live_size(panels: Panels) -> tuple[float, float]:
    return 5.0 * len(panels[0]), 0.6 + 2.8 * len(panels)


def _draw_panels(canvas: "Canvas", rows: Panels) -> None:
    all_axes = canvas.subplots(len(rows), len(rows[0]), squeeze=False)
    named: dict[str, Artist] = {}
    for row_of_axes, row in zip(all_axes, rows, strict=True):
        for axes, (name, figure) in zip(row_of_axes, row, strict=True):
            named |= _draw(axes, figure, _MOST_SHARED_TICKS)
            _draw_y_axis(axes, figure.y, name)
    _draw_legend(canvas, named)


def _draw_y_axis(axes: "Axes", y: YAxis, name: str) -> None:
    axes.set_ylim(y.low, y.high)
    ticks = y.ticks(_MOST_Y_TICKS)
    axes.set_yticks(ticks.places, [_typeset(label) for label in ticks.labels])
    axes.set_ylabel(name)


def _draw_legend(canvas: "Canvas", named: "dict[str, Artist]") -> None:
    names = [cut(name, _LONGEST_NAME) for name in named]
    columns = 4 if sum(map(len, names)) < 70 else 2
    canvas.legend(named.values(), names, loc="outside lower center", ncols=columns, frameon=False)


@contextmanager
def _canvas(path: Path, size: tuple[float, float]) -> "Iterator[Canvas]":
    """Give a canvas of this size, in inches, to draw on; then write it."""
    check_picture(path)
    with _drawing(size) as canvas:
        yield canvas
        image = _encoded(canvas, path.suffix.lower())
    try:
        write_atomically(path, image)
    except OSError as error:
        raise PictureError(f"cannot write {path}: {error.strerror or error}") from error


@contextmanager
def _drawing(size: tuple[float, float]) -> "Iterator[Canvas]":
    """Give a canvas of this size, in inches, to draw on and encode."""
    import matplotlib as mpl
    from matplotlib.figure import Figure as Canvas

    with mpl.rc_context(_SETTINGS), warnings.catch_warnings():
        # Of a name in letters that its own font lacks: an SVG has text, for which whoever shows it has a font.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield Canvas(figsize=size, layout="constrained")  # pyplot would keep it, and choose a window for it


def _encoded(canvas: "Canvas", suffix: str, *, dpi: int = 160) -> bytes:
    image = BytesIO()
    match suffix:
        case ".svg":
            canvas.savefig(image, format="svg", metadata={"Date": None})
        case ".pdf":
            canvas.savefig(image, format="pdf", metadata={"CreationDate": None})
        case _:
            canvas.savefig(image, format="png", dpi=dpi)
    return image.getvalue()


def _draw(axes: "Axes", figure: Figure, most_ticks: int) -> "dict[str, Artist]":
    """Draw a figure's lines over its levels, and those over its bands; return what the legend names."""
    named: dict[str, Artist] = {}
    background: dict[str, Artist] = {}
    bands = sum(len(one.bands) for one in figure.series) if figure.shows_bands else 0
    columns = max(_POINTS // max(2 * len(figure.series) + 2 * bands, 1), _LEAST_POINTS)
    for order, one in enumerate(figure.series):
        colour = _colour(one.style)
        if figure.shows_bands:
            background |= _draw_bands(axes, figure, one, columns)
        line = reduced(one.x, figure.y.heights(one.y), figure.x.view, columns)
        x, y = np.insert(line.x, _breaks(line.joined), np.nan), np.insert(line.y, _breaks(line.joined), np.nan)
        thin: dict[str, Any] = {"linewidth": 0.8, "alpha": 0.7} if one.is_replicate else {}
        style = _DOTS if one.style.is_held_out else _STYLES[one.style.place % len(_STYLES)]
        above = 3 - order / (len(figure.series) + 1)  # the first one, which matters most, over the others
        (named[one.label],) = axes.plot(x, y, color=colour, linestyle=style, zorder=above, **thin)
    if figure.points is not None:
        heights = figure.y.heights(figure.points.y)
        mark: dict[str, Any] = {"color": "#000000", "fillstyle": "none", "markersize": 4}
        (named[figure.points.label],) = axes.plot(figure.points.x, heights, "o", zorder=4, clip_on=False, **mark)
    for level in figure.levels:
        height = figure.y.height(level.y)
        if isfinite(height):
            axes.axhline(height, color=_colour(level.style), linewidth=1, linestyle=(0, (4, 3)), zorder=1)
    axes.set_xlim(figure.x.view.left, figure.x.view.right)
    ticks = figure.x.ticks(most_ticks)
    axes.set_xticks(ticks.places, ticks.labels)
    axes.grid(axis="y", color=_FAINT_GREY, linewidth=0.6)
    axes.set_xlabel(figure.below)
    axes.set_title(figure.title)
    ordered = {label.name: named[label.name] for label in figure.labels if label.name in named}
    return ordered | background if len(figure.series) == 1 else ordered


def _draw_bands(axes: "Axes", figure: Figure, one: Series, columns: int) -> "dict[str, Artist]":
    edges = figure.x.edges(columns)
    drawn: dict[str, Artist] = {}
    for band in one.bands:
        if band.kind == QUARTILES and len(one.x) <= columns:  # as its line: from point to point
            end, lows, highs = one.x.astype(np.float64), band.low, band.high
        else:
            lows, highs = extremes(one.x, band.low, band.high, edges)
            end = np.minimum(edges[1:], one.x[-1] if len(one.x) else edges[1:])
        lows, highs = figure.y.heights(lows), figure.y.heights(highs)
        name, alpha, order = ("raw results", 0.12, 1.5) if band.kind == RAW else (band.kind, 0.3, 2)
        colour = _colour(one.style)
        drawn[name] = axes.fill_between(end, lows, highs, color=colour, alpha=alpha, linewidth=0, zorder=order)
    return drawn


def _breaks(joined: Any) -> Any:
    return np.flatnonzero(~joined)[1:]


def _colour(style: Style) -> str:
    return _COLOURS[style.colour]


def _name_levels(axes: "Axes", figure: Figure) -> None:
    """Write the levels' names at the right of their lines."""
    low, high = figure.y.low, figure.y.high
    there = [(level, figure.y.height(level.y)) for level in figure.levels]
    there = [(level, height) for level, height in there if isfinite(height)]
    heights = spread([height for _, height in there], low, high, (high - low) / 22)
    for (level, _), height in zip(there, heights, strict=True):
        text = f"{cut(level.label, 28)}\n{figure.value(level.y)}"
        place = axes.get_yaxis_transform()
        axes.text(1.01, height, text, transform=place, color=_colour(level.style), va="center", fontsize=8)


def _typeset(label: str) -> str:
    """Return a tick's label as print has it: 10⁻⁵ for 1e-5."""
    power, _, exponent = label.partition("e")
    return f"10{exponent.removeprefix('+').translate(_SUPERSCRIPTS)}" if power == "1" and exponent else label
