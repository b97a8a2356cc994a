"""A screen whose keys come from the key table: only what applies now is offered."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import ClassVar, TypeVar

from textual.content import Content
from textual.screen import Screen
from textual.strip import Strip

from l2o_tui.charts.widget import Chart
from l2o_tui.screens import giving
from l2o_tui.screens.dialogs import HelpScreen
from l2o_tui.state import keys
from l2o_tui.state.clipboard import copied
from l2o_tui.state.workers import in_background
from l2o_tui.text.numbers import relative

Result = TypeVar("Result")


class KeyedScreen(Screen[Result]):
    """Base of the screens that the key table knows."""

    WHERE: ClassVar[str]
    """The screen's name in the key table."""

    READING: ClassVar[Content] = Content()
    """How to read the screen, for the help."""

    @property
    def phase(self) -> str:
        """What decides which keys apply."""
        raise NotImplementedError

    @property
    def driver(self) -> str:
        """Who drives what is shown; empty where that is no question."""
        return ""

    @property
    def there(self) -> frozenset[str]:
        """What there is of all that keys may need."""
        return frozenset()

    def offered_keys(self) -> list[keys.Key]:
        """Return the keys that apply now."""
        found = keys.offered(self.WHERE, self.phase, self.driver, self.there)
        return [key for key in found if not self._is_denied(key.action)]

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer only what applies now."""
        is_there = not self._is_denied(action)
        return is_there and keys.applies(self.WHERE, action, self.phase, self.driver, self.there)

    def _is_denied(self, action: str) -> bool:
        return action in keys.NOT_SERVED and getattr(self.app, "is_served", False)

    def action_help(self) -> None:
        """Show the help."""
        now = self.offered_keys()
        later = [key for key in keys.on(self.WHERE) if key not in now and not self._is_denied(key.action)]
        self.app.push_screen(HelpScreen(now, later, self.READING))

    async def action_theme(self) -> None:
        """Change to the next theme, by way of the app, which remembers it."""
        await self.app.run_action("next_theme")

    async def action_suspend(self) -> None:
        """Go back to the shell for a while, by way of the app."""
        await self.app.run_action("suspend")

    async def action_leave(self) -> None:
        """Leave, by way of the app, which knows what becomes of a run."""
        await self.app.run_action("leave")


class ChartScreen(KeyedScreen[Result]):
    """Base of the screens with a chart that the keys move about in."""

    @property
    def chart(self) -> Chart:
        """The chart that the keys are about."""
        raise NotImplementedError

    @property
    def given_name(self) -> str:
        """What a file with the chart is called, and what is written above it."""
        raise NotImplementedError

    @property
    def given_to(self) -> Sequence[Path]:
        """The folders that a file with the chart is written into: the first one that takes it."""
        return [Path.cwd()]

    def action_save_text(self) -> None:
        """Write the chart as text."""
        self._save(".txt", giving.as_text)

    def action_save_svg(self) -> None:
        """Write the chart as a picture."""
        self._save(".svg", giving.as_svg)

    def action_copy_chart(self) -> None:
        """Give the chart, as text, to the clipboard; where that cannot be, say so."""
        if not (lines := self._lines()):
            return
        text, app = giving.as_text(self.given_name, lines), self.app

        def tell(said: tuple[bool, str]) -> None:
            is_copied, what = said
            instead = "" if is_copied else "; w writes it into a file"
            self.notify(f"the chart {what}{instead}", severity="information" if is_copied else "warning")

        # tmux, if it is there, may take a moment.
        in_background(self, lambda: copied(text, lambda it: app.call_from_thread(app.copy_to_clipboard, it)), tell)

    def _save(self, suffix: str, write: Callable[[str, Sequence[Strip]], str]) -> None:
        lines = self._lines()
        if not lines:
            return
        try:
            path = giving.write_new(self.given_to, self.given_name, suffix, write(self.given_name, lines))
        except OSError as error:
            self.notify(f"cannot write the chart: {error.strerror or error}", severity="error")
        else:
            self.notify(f"the chart is in {relative(str(path))}")

    def _lines(self) -> list[Strip]:
        chart = self.chart
        if not chart.is_on_screen:
            self.notify("no chart is on the screen; tab shows the next pane", severity="warning")
            return []
        return [chart.render_line(row) for row in range(chart.size.height)]

    def action_move_cursor(self, columns: int) -> None:
        """Move the cursor."""
        self.chart.move_cursor(columns)

    def action_page_cursor(self, pages: int) -> None:
        """Move the cursor far."""
        self.chart.page_cursor(pages)

    def action_zoom(self, steps: int) -> None:
        """Zoom in or out."""
        self.chart.zoom(steps)

    def action_pan(self, steps: int) -> None:
        """Move the view by a quarter."""
        self.chart.pan(steps / 4)

    def action_fit(self) -> None:
        """Show everything."""
        self.chart.fit()
