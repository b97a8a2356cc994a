"""A screen whose keys come from the key table: only what applies now is offered."""

from typing import ClassVar, TypeVar

from textual.screen import Screen

from l2o_tui.charts.widget import Chart
from l2o_tui.screens.dialogs import HelpScreen
from l2o_tui.state import keys

Result = TypeVar("Result")


class KeyedScreen(Screen[Result]):
    """Base of the screens that the key table knows."""

    WHERE: ClassVar[str]
    """The screen's name in the key table."""

    READING: ClassVar[str] = ""
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
        return keys.offered(self.WHERE, self.phase, self.driver, self.there)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer only what applies now."""
        return keys.applies(self.WHERE, action, self.phase, self.driver, self.there)

    def action_help(self) -> None:
        """Show the help."""
        now = self.offered_keys()
        later = [key for key in keys.on(self.WHERE) if key not in now]
        self.app.push_screen(HelpScreen(now, later, self.READING))

    async def action_theme(self) -> None:
        """Change to the next theme, by way of the app, which remembers it."""
        await self.app.run_action("next_theme")

    async def action_leave(self) -> None:
        """Leave, by way of the app, which knows what becomes of a run."""
        await self.app.run_action("leave")


class ChartScreen(KeyedScreen[Result]):
    """Base of the screens with a chart that the keys move about in."""

    @property
    def chart(self) -> Chart:
        """The chart that the keys are about."""
        raise NotImplementedError

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
