"""Waiting for a screen: for as long as a busy machine may take, and no longer than it takes."""

from collections.abc import Callable
from time import monotonic

from textual.pilot import Pilot

from l2o_tui.screens.home import HomeScreen
from l2o_tui.screens.training import TrainingScreen

PATIENCE_SECONDS = 60.0
AT_REST = 2  # looks without a change
# A key too: Textual waits for half a minute, which passes on a machine that is busy with others.
Pilot._wait_for_screen.__defaults__ = (PATIENCE_SECONDS,)


def text_of(pilot: Pilot[int]) -> str:
    """Return what the screen shows."""
    strips = pilot.app.screen._compositor.render_strips()
    return "\n".join(strip.text for strip in strips)


async def until(pilot: Pilot[int], condition: Callable[[], bool]) -> None:
    """Wait for the screen to get there."""
    deadline = monotonic() + PATIENCE_SECONDS
    while not condition():
        assert monotonic() < deadline, text_of(pilot)
        await pilot.pause(0.05)


async def at_rest(pilot: Pilot[int]) -> str:
    """Wait until the screen has drawn what the feed has and nothing changes any more; return its text."""
    unchanged, before = 0, ""
    deadline = monotonic() + PATIENCE_SECONDS
    while unchanged < AT_REST:
        assert monotonic() < deadline, before
        await pilot.pause()
        shown = [screen for screen in pilot.app.screen_stack if isinstance(screen, TrainingScreen)]
        is_drawn = all(screen.view == screen.opened.feed.view() for screen in shown)
        is_drawn &= all(screen.has_told for screen in pilot.app.screen_stack if isinstance(screen, HomeScreen))
        text = "".join(f"{line.rstrip()}\n" for line in text_of(pilot).splitlines())
        unchanged = unchanged + 1 if text == before and is_drawn else 0
        before = text
    return before
