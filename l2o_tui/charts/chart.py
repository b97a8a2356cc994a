"""A chart on the screen: a figure that keys can look into, drawn by plotext.

It is drawn when its data, its size or what is looked at changes, and the screen is told only of the cells that differ
from the picture before: over a thin line every character counts.
"""

from rich.segment import Segment
from rich.style import Style as RichStyle
from textual.color import Color
from textual.events import Click, MouseEvent, MouseScrollDown, MouseScrollUp
from textual.geometry import Region
from textual.strip import Strip
from textual.theme import Theme
from textual.widget import Widget

from l2o_tui.charts.axes import Span
from l2o_tui.charts.cells import AXIS, LOOKS, Cells, faint_look, look_of
from l2o_tui.charts.colours import of_sixteen, tint
from l2o_tui.charts.figure import Figure
from l2o_tui.charts.layout import SMALLEST, Room, arrange
from l2o_tui.charts.plotext import draw_in
from l2o_tui.charts.styles import COLOURS, TINTS, Style
from l2o_tui.charts.terminal import is_plain
from l2o_tui.text.numbers import count

# The theme's variable of a series' colour, or one of these in turn where the theme has none.
_SERIES_VARIABLE = "series-{}"
_FALLBACKS = ("primary", "warning", "success", "error", "accent", "secondary")
_FAINT_SHARE = 0.35  # of a series' colour in its band's
_GREY = Color(100, 100, 100)  # faint where there are no blends: of 16 colours "bright black" is the nearest
_OFTEN_TOGETHER = 3  # places: those of SGD and RMSProp are in nearly every picture of the network
_LEAST_VIEW = 8  # iterations, or steps, that a view shows at least
_PAGE = 4  # pages that a view has, for the cursor


class Chart(Widget):
    """A picture in characters, part of which can be looked at, with a cursor that reads out values."""

    can_focus = False
    DEFAULT_CSS = "Chart { width: 1fr; height: 1fr; }"

    def __init__(self, *, id: str) -> None:  # noqa: A002 (textual's name)
        super().__init__(id=id)
        self._logarithmic = True
        self._view: Span | None = None
        self._cursor: float | None = None
        self._figure: Figure | None = None  # what there is to draw, without the cursor
        self._seen: tuple[Figure, Room] | None = None
        self._cells: Cells | None = None
        self._styles: list[RichStyle] = []

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
        if self._seen is None:
            return
        axis = self._seen[0].x
        centre = (axis.view.left + axis.view.right) / 2
        about = next((x for x in (self._cursor, axis.newest) if x is not None and axis.view.holds(x)), centre)
        self._look_at(axis.view.zoomed(2.0**steps, about, axis.whole, _LEAST_VIEW))

    def pan(self, share: float) -> None:
        """Look further right by this share of the view; left for a negative one."""
        if self._seen is not None:
            axis = self._seen[0].x
            self._look_at(axis.view.moved(share * axis.view.width, axis.whole))

    def _look_at(self, span: Span) -> None:
        is_all = self._seen is not None and span == self._seen[0].x.whole
        self._view = None if is_all else span
        self.redraw()

    # The cursor.

    @property
    def cursor(self) -> int | None:
        """The iteration or step that the cursor is at; None without one."""
        return None if self._cursor is None else int(self._cursor)

    def move_cursor(self, columns: int) -> None:
        """Move the cursor by columns; a view of a part moves along. A first one appears at the newest data."""
        if self._seen is None:
            return
        axis, room = self._seen[0].x, self._seen[1]
        span = axis.view
        step = span.width / room.columns
        column = axis.column_of(axis.newest if self._cursor is None else self._cursor, room.columns)
        if self._cursor is not None:
            column += columns
            beyond = min(column, 0) + max(column - room.columns + 1, 0)
            moved = span.moved(beyond * step, axis.whole)
            if moved != span:
                span = self._view = moved
                self._figure = None
            column -= beyond
        self._cursor = span.left + (column + 0.5) * step
        self._draw_again()

    def page_cursor(self, pages: int) -> None:
        """Move the cursor by quarters of the view."""
        if self._seen is not None:
            self.move_cursor(pages * max(self._seen[1].columns // _PAGE, 1))

    def hide_cursor(self) -> None:
        """Take the cursor away."""
        self._cursor = None
        self._draw_again()

    # The mouse.

    def on_click(self, event: Click) -> None:
        """Put the cursor where the click was."""
        at = self._under(event)
        if at is not None:
            self._cursor = at
            self._draw_again()

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
        if offset is None or self._seen is None:
            return None
        figure, room = self._seen
        return room.x_at(figure, offset.x)

    # Drawing.

    def figure(self, view: Span | None) -> Figure | None:
        """Return the picture of what is in view, of all for None; None while there is nothing to show."""
        raise NotImplementedError

    @property
    def drawn(self) -> Figure | None:
        """The picture as it was drawn last, with what the cursor reads."""
        return self._seen[0] if self._seen else None

    def redraw(self) -> None:
        """Draw what is new, and tell the screen what has changed; later if the chart is not on the screen now."""
        self._figure = None
        self._draw_again()

    def _draw_again(self) -> None:
        """Draw the same figure: its cursor is elsewhere."""
        before = self._cells
        self._cells = None
        if not self.is_mounted or not self.display or before is None or before.size != self.size:
            self.refresh()
            return
        try:
            self._cells = self._picture()
        except Exception:  # noqa: BLE001 (it fails again where the screen asks for the line, and is told of there)
            self.refresh()
            return
        regions = [Region(start, row, end - start, 1) for row, start, end in self._cells.changes(before)]
        if regions:
            self.refresh(*regions)

    def render_line(self, y: int) -> Strip:
        """Return a line of the picture, drawing it if it is not of this size."""
        if self._cells is None or self._cells.size != self.size:
            self._cells = self._picture()
        if not self._styles:
            self._styles = self._themed()
        return Strip([Segment(text, self._styles[look]) for text, look in self._cells.runs(y)], self.size.width)

    def on_mount(self) -> None:
        """Follow the theme."""
        self.app.theme_changed_signal.subscribe(self, self._on_theme)

    def _on_theme(self, _: Theme) -> None:
        self._styles = []
        self.refresh()

    def _picture(self) -> Cells:
        width, height = self.size
        figure = self._figure = self._figure or self.figure(self._view)
        if figure is None or width < SMALLEST[0] or height < SMALLEST[1]:
            return Cells.blank(width, height)
        room = arrange(figure, width, height)
        if self._cursor is not None:
            figure = figure.with_cursor(self._cursor, room.columns)
        self._seen = figure, room
        return draw_in(room, figure, plain=is_plain())

    def _themed(self) -> list[RichStyle]:
        """Return the style of each look, in the theme's colours."""
        variables = self.app.theme_variables
        background = self.background_colors[1]
        colours = [
            Color.parse(variables.get(_SERIES_VARIABLE.format(place + 1)) or variables[_FALLBACKS[place % 6]])
            for place in range(COLOURS)
        ]
        is_rgb = all(one.ansi is None for one in (*colours, background))
        has_blends = is_rgb and self.app.console.color_system != "standard"
        if is_rgb and not has_blends:
            colours = of_sixteen(colours, background)
        found = dict.fromkeys(range(LOOKS), RichStyle(bgcolor=background.rich_color))
        for place, colour in enumerate(colours):
            faint = background.blend(colour, _FAINT_SHARE) if has_blends else _GREY
            found[look_of(Style(place))] = RichStyle(color=colour.rich_color, bgcolor=background.rich_color)
            found[faint_look(Style(place))] = RichStyle(color=faint.rich_color, bgcolor=background.rich_color)
            # Where there are no tints, other series' colours: at last those that are mostly beside this one.
            near = colours[place : place + _OFTEN_TOGETHER]
            others = [one for one in dict.fromkeys([*colours[place:], *colours]) if one not in near]
            others = [*others, *(one for one in near if one != colour)] or [colour]
            for seed in range(TINTS):
                part = tint(colour, background, seed) if has_blends else others[seed % len(others)]
                style = RichStyle(color=part.rich_color, bgcolor=background.rich_color)
                found[look_of(Style(place, seed))] = style
        return [self.rich_style, *(found[look] for look in range(AXIS, LOOKS))]


def left_out(non_finite: int, zeros: int, *, logarithmic: bool) -> list[str]:
    """Say what cannot be drawn of a curve, or not where it belongs: nothing is dropped in silence."""
    said = [f"{count(non_finite)} not finite, left out"] if non_finite else []
    return [*said, f"{count(zeros)} zero, at 1e-38"] if zeros and logarithmic else said
