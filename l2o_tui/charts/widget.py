"""The screen's charts. What cannot be drawn (NaN, infinity) is said below a chart, never dropped in silence.

A chart is painted when its data, its size or what is looked at changes, and the screen is told only of the cells that
differ from the picture before: over a thin line every character counts.
"""

from collections.abc import Sequence

import numpy as np
from rich.segment import Segment
from rich.style import Style
from textual.color import Color
from textual.events import Click, MouseEvent, MouseScrollDown, MouseScrollUp
from textual.geometry import Region
from textual.strip import Strip
from textual.theme import Theme
from textual.widget import Widget

from l2o_engine.presets.published import NotebookRow
from l2o_engine.records.curve import Curve
from l2o_engine.records.events import Curves
from l2o_engine.training.trainer import Lane
from l2o_tui.charts.canvas import SMALLEST, Canvas
from l2o_tui.charts.cells import AXIS, LOOKS, SERIES_COLOURS, Cells, faint_look, series_look
from l2o_tui.charts.drawing import MOST_BANDS, Line, Series, median_series, paint_convergence, paint_losses
from l2o_tui.charts.layout import Span
from l2o_tui.text.numbers import count

# The theme's variable of a series' colour, or one of these in turn where the theme has none.
_SERIES_VARIABLE = "series-{}"
_FALLBACKS = ("primary", "warning", "success", "error", "accent", "secondary")
_FAINT_SHARE = 0.35  # of a series' colour in its band's
_GREY = Color(100, 100, 100)  # faint where there are no blends: of 16 colours "bright black" is the nearest
_LEAST_VIEW = 8  # iterations, or steps, that a view shows at least
_PAGE = 4  # pages that a view has, for the cursor
_WINDOWS = tuple(digit * 10**power for power in range(6) for digit in (1, 2, 5))


class Chart(Widget):
    """A picture in characters, part of which can be looked at, with a cursor that reads out values."""

    can_focus = False
    DEFAULT_CSS = "Chart { width: 1fr; height: 1fr; }"

    def __init__(self, *, id: str) -> None:  # noqa: A002 (textual's name)
        super().__init__(id=id)
        self._logarithmic = True
        self._view: Span | None = None
        self._cursor: float | None = None
        self._canvas: Canvas | None = None
        self._cells: Cells | None = None
        self._styles: list[Style] = []

    # What is looked at.

    @property
    def logarithmic(self) -> bool:
        """Whether losses are drawn by their logarithm."""
        return self._logarithmic

    @logarithmic.setter
    def logarithmic(self, value: bool) -> None:
        self._logarithmic = value
        self.redraw()

    def fit(self) -> None:
        """Look at all there is."""
        self._view = None
        self.redraw()

    def zoom(self, steps: int) -> None:
        """Look more closely, twice as much a step; less for a negative number.

        What the cursor is at stays where it is; without a cursor the newest data, else the centre.
        """
        if self._canvas is None:
            return
        span, whole = self._canvas.span, self._canvas.whole
        centre = (span.left + span.right) / 2
        about = next((x for x in (self._cursor, self._canvas.newest) if x is not None and span.holds(x)), centre)
        self._look_at(span.zoomed(2.0**steps, about, whole, _LEAST_VIEW))

    def pan(self, share: float) -> None:
        """Look further right by this share of the view; left for a negative one."""
        if self._canvas is not None:
            span = self._canvas.span
            self._look_at(span.moved(share * span.width, self._canvas.whole))

    def _look_at(self, span: Span) -> None:
        is_all = self._canvas is not None and span == self._canvas.whole
        self._view = None if is_all else span
        self.redraw()

    # The cursor.

    @property
    def cursor(self) -> int | None:
        """The iteration or step that the cursor is at; None without one."""
        return None if self._cursor is None else int(self._cursor)

    def move_cursor(self, columns: int) -> None:
        """Move the cursor by columns; a view of a part moves along. A first one appears at the newest data."""
        canvas = self._canvas
        if canvas is None:
            return
        span = canvas.span
        step = span.width / canvas.columns
        column = canvas.column_of(canvas.newest if self._cursor is None else self._cursor)
        if self._cursor is not None:
            column += columns
            beyond = min(column, 0) + max(column - canvas.columns + 1, 0)
            moved = span.moved(beyond * step, canvas.whole)
            if moved != span:
                span = self._view = moved
            column -= beyond
        self._cursor = span.left + (column + 0.5) * step
        self.redraw()

    def page_cursor(self, pages: int) -> None:
        """Move the cursor by quarters of the view."""
        if self._canvas is not None:
            self.move_cursor(pages * max(self._canvas.columns // _PAGE, 1))

    def hide_cursor(self) -> None:
        """Take the cursor away."""
        self._cursor = None
        self.redraw()

    # The mouse.

    def on_click(self, event: Click) -> None:
        """Put the cursor where the click was."""
        at = self._under(event)
        if at is not None:
            self._cursor = at
            self.redraw()

    def on_mouse_scroll_up(self, event: MouseScrollUp) -> None:
        """Zoom in, as the key does."""
        event.stop()
        self.zoom(1)

    def on_mouse_scroll_down(self, event: MouseScrollDown) -> None:
        """Zoom out."""
        event.stop()
        self.zoom(-1)

    def _under(self, event: MouseEvent) -> float | None:
        offset = event.get_content_offset(self)
        return None if offset is None or self._canvas is None else self._canvas.x_of(offset.x)

    # Painting.

    def paint(self, canvas: Canvas) -> None:
        """Draw the data."""
        raise NotImplementedError

    def caption(self) -> str:
        """Return what is said below the drawing while there is no cursor."""
        return ""

    def _left_out(self, non_finite: int, zeros: int) -> list[str]:
        said = [f"{count(non_finite)} not finite, left out"] if non_finite else []
        return [*said, f"{count(zeros)} zero, at 1e-38"] if zeros and self._logarithmic else said

    def redraw(self) -> None:
        """Paint, and tell the screen what has changed; later if the chart is not on the screen now."""
        before = self._cells
        self._cells = None
        if not self.is_mounted or not self.display or before is None or before.characters.shape != self.size[::-1]:
            self.refresh()
            return
        self._cells = self._painted()
        regions = [Region(start, row, end - start, 1) for row, start, end in self._cells.changes(before)]
        if regions:
            self.refresh(*regions)

    def render_line(self, y: int) -> Strip:
        """Return a line of the picture, painting it if it is not of this size."""
        width, height = self.size
        if self._cells is None or self._cells.characters.shape != (height, width):
            self._cells = self._painted()
        if not self._styles:
            self._styles = self._themed()
        return Strip([Segment(text, self._styles[look]) for text, look in self._cells.runs(y)], width)

    def on_mount(self) -> None:
        """Follow the theme."""
        self.app.theme_changed_signal.subscribe(self, self._on_theme)

    def _on_theme(self, _: Theme) -> None:
        self._styles = []
        self.refresh()

    def _painted(self) -> Cells:
        width, height = self.size
        if width < SMALLEST[0] or height < SMALLEST[1]:
            return Cells.blank(width, height)
        canvas = Canvas(width, height, logarithmic=self._logarithmic, view=self._view, cursor=self._cursor)
        self.paint(canvas)
        canvas.write_caption(" · ".join(canvas.readings) or self.caption())
        self._canvas = canvas
        return canvas.cells

    def _themed(self) -> list[Style]:
        """Return the style of each look, in the theme's colours."""
        variables = self.app.theme_variables
        background = self.background_colors[1]
        styles = [Style(bgcolor=background.rich_color)] * LOOKS
        for place in range(SERIES_COLOURS):
            name = _SERIES_VARIABLE.format(place + 1)
            colour = Color.parse(variables.get(name) or variables[_FALLBACKS[place % len(_FALLBACKS)]])
            has_blends = self.app.console.color_system != "standard" and colour.ansi is background.ansi is None
            faint = background.blend(colour, _FAINT_SHARE) if has_blends else _GREY
            styles[series_look(place)] = Style(color=colour.rich_color, bgcolor=background.rich_color)
            styles[faint_look(place)] = Style(color=faint.rich_color, bgcolor=background.rich_color)
        return [self.rich_style, *styles[AXIS:]]


class BaseChart(Chart):
    """The losses of every optimizer over the base steps: of one problem, or their spread over many."""

    def __init__(self, *, id: str) -> None:  # noqa: A002 (textual's name)
        super().__init__(id=id)
        self._curves: Curves | None = None
        self._seed: int | None = None
        self.border_title = "base losses"

    def show(self, curves: Curves | None, *, seed: int | None = None) -> None:
        """Draw these curves, of the replicate with this seed."""
        if curves is None or (curves is self._curves and seed == self._seed):
            return
        self._curves, self._seed = curves, seed
        self.redraw()

    def paint(self, canvas: Canvas) -> None:
        """Draw each optimizer's losses."""
        if self._curves is not None:
            paint_losses(canvas, self._curves.losses)

    def caption(self) -> str:
        """Say which draws these are, and what is left out."""
        if self._curves is None:
            return ""
        losses = [np.atleast_2d(values) for values in self._curves.losses.values()]
        draws = max(len(values) for values in losses)
        what = f"draw {self._curves.draw + 1}" if draws == 1 else f"median and quartiles of {count(draws)} draws"
        every = np.concatenate([values.ravel() for values in losses])
        said = [what] if self._seed is None else [what, f"seed {self._seed}"]
        return " · ".join([*self._left_out(int((~np.isfinite(every)).sum()), int((every == 0).sum())), *said])


class ConvergenceChart(Chart):
    """The end loss over the meta-iterations: raw band, rolling log-average, and what to compare them with.

    Parameters
    ----------
    window
        Number of results in the rolling mean, to begin with: the preset's, which is exact.
    notebook
        The rows that the notebook printed of this experiment.
    """

    def __init__(self, *, window: int, notebook: Sequence[NotebookRow] = (), id: str) -> None:  # noqa: A002 (textual's name)
        super().__init__(id=id)
        self._windows = sorted({*_WINDOWS, window})
        self._window = window
        self._notebook = notebook
        self._bands = True
        self._each_seed = False
        self._lanes: Sequence[tuple[Lane, Curve]] = ()
        self._pinned: dict[str, Curve] = {}
        self._levels: dict[str, float] = {}
        self._iterations = 0
        self._series: list[Series] = []
        self.border_title = "end loss over the meta-iterations"

    def show(self, lanes: Sequence[tuple[Lane, Curve]], levels: dict[str, float], iterations: int = 0) -> None:
        """Draw these lanes, and these levels as lines across; the x axis goes to the number of iterations."""
        self._lanes, self._levels, self._iterations = lanes, levels, iterations
        self._arrange()

    @property
    def window(self) -> int:
        """Number of results in the rolling mean."""
        return self._window

    @window.setter
    def window(self, value: int) -> None:
        self._window = max(value, 1)
        self._arrange()

    def change_window(self, by: int) -> None:
        """Take the next greater window, or the next smaller one for -1."""
        others = [window for window in self._windows if (window > self._window if by > 0 else window < self._window)]
        if others:
            self.window = others[0] if by > 0 else others[-1]

    @property
    def bands(self) -> bool:
        """Whether the raw results, or the replicates' quartiles, are drawn; without them y follows the lines."""
        return self._bands

    @bands.setter
    def bands(self, value: bool) -> None:
        self._bands = value
        self.redraw()

    @property
    def each_seed(self) -> bool:
        """Whether replicates are drawn one by one, too."""
        return self._each_seed

    @each_seed.setter
    def each_seed(self, value: bool) -> None:
        self._each_seed = value
        self._arrange()

    def pin(self, name: str, curve: Curve) -> None:
        """Draw another run as well, in place of one of the same name."""
        self._pinned[name] = curve
        self._arrange()

    def unpin_all(self) -> None:
        """Draw no other run any more."""
        self._pinned.clear()
        self._arrange()

    def paint(self, canvas: Canvas) -> None:
        """Draw the lanes, the other runs, the levels and the notebook's points; nothing before there is a run."""
        if not self._lanes:
            return
        paint_convergence(
            canvas,
            self._series,
            self._levels,
            right=self._iterations,
            bands=self._bands,
            notebook=self._notebook,
        )

    def caption(self) -> str:
        """Say what line and band are, and what is left out."""
        curves = [*(curve for _, curve in self._lanes), *self._pinned.values()]
        found = max((curve.nearest_window(self._window) for curve in curves), default=self._window)
        rounded = "" if found == self._window else f" ({count(self._window)} rounded up)"
        own = self._series[: len(self._series) - len(self._pinned)]
        bands = {one.band for one in own} if self._bands and len(own) <= MOST_BANDS else ()
        said = [f"line: mean of {count(found)}{rounded}", *(f"band: {band}" for band in sorted(bands))]
        lanes = [curve for _, curve in self._lanes]
        left_out = self._left_out(sum(one.non_finite for one in lanes), sum(one.zeros for one in lanes))
        return " · ".join([*left_out, *said])  # what is left out first: the rest of the line may be cut off

    def _arrange(self) -> None:
        """Make series of the lanes, those of one optimizer together, and of the other runs."""
        of_optimizer: dict[str, dict[int, Curve]] = {}
        for lane, curve in self._lanes:
            of_optimizer.setdefault(lane.optimizer, {})[lane.seed] = curve
        self._series = []
        for optimizer, curves in of_optimizer.items():
            if len(curves) == 1:
                self._series += [_series(optimizer, curve, self._window) for curve in curves.values()]
            else:
                lines = [
                    Line(f"seed {seed}", curve.iteration, curve.rolling_over(self._window))
                    for seed, curve in curves.items()
                ]
                self._series.append(median_series(f"{optimizer}, {len(curves)} seeds", lines, each=self._each_seed))
        # Of other runs only the lines: bands over bands cannot be told apart.
        self._series += [_series(name, curve, self._window, band="") for name, curve in self._pinned.items()]
        self.redraw()


def _series(label: str, curve: Curve, window: int, *, band: str = "raw") -> Series:
    return Series(label, curve.iteration, curve.low, curve.high, curve.rolling_over(window), band)
