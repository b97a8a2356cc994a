"""What is used of textual that textual does not promise to keep: how it updates the screen, its keys, footer, palette.

Everything that the terminal is sent of a screen goes through here, so here is the last look at it: a text that the
terminal would obey, or cannot show, does not get beyond (:meth:`ThinApp.fit`).

Over a thin line every character counts: of a line of the screen that changes in part, only that part is sent.

Textual's own update sends such a line from the left edge of its widget up to the last change, once for every change,
and the colours anew with every piece of a widget, such as a table's cell, be they the same or not.
"""

from asyncio import Event as Sign
from asyncio import wait_for
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Any

from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.control import Control
from rich.segment import Segment, Segments
from textual import on
from textual._compositor import ChopsUpdate, LayoutUpdate
from textual._xterm_parser import XTermParser
from textual.app import App, ReturnType
from textual.command import CommandPalette
from textual.drivers import linux_driver, web_driver
from textual.events import Event, Key
from textual.screen import Screen
from textual.strip import Strip
from textual.widget import Widget
from textual.widgets import Input
from textual.widgets._footer import FooterKey
from textual.worker import WorkerCancelled

Fit = Callable[[str], str]
"""Makes any text one that may be sent to the terminal, in as many cells; returns the same object if it is one."""


def _as_it_is(text: str) -> str:
    return text


class ThinUpdate(ChopsUpdate):
    """The same update of the screen, but of each line only the spans that changed.

    Parameters
    ----------
    update
        The update.
    fit
        Is asked about every text of it.
    """

    def __init__(self, update: ChopsUpdate, fit: Fit = _as_it_is) -> None:
        super().__init__(update.chops, update.spans, update.chop_ends)
        self._fit = fit

    def render_segments(self, console: Console) -> str:
        """Return what the terminal is sent."""
        sent = []
        for y, left, right in self.spans:
            # A line is made of chops: parts of it, by where they begin, that belong to one widget.
            for end, (begin, strip) in zip(self.chop_ends[y], self.chops[y].items(), strict=False):
                first, last = max(begin, left), min(end, right)
                if strip is not None and first < last:
                    span = _joined(strip.crop(first - begin, last - begin), self._fit)
                    sent += [Control.move_to(first, y).segment.text, span.render(console)]
        return "".join(sent)


def _joined(strip: Strip, fit: Fit) -> Strip:
    """Return a strip whose neighbours of one look are one piece; what tells them apart is for the mouse alone."""
    looks = [Segment(fit(text), style.clear_meta_and_links() if style else style) for text, style, _ in strip]
    return Strip(looks, strip.cell_length).simplify()


def _fitted(strip: Strip, fit: Fit) -> Strip:
    """Return a strip of fitting texts: itself, with what it has rendered already, if they are."""
    texts = [fit(text) for text, _, _ in strip]
    if all(text is segment.text for text, segment in zip(texts, strip, strict=True)):
        return strip
    return Strip([Segment(text, style) for text, (_, style, _) in zip(texts, strip, strict=True)], strip.cell_length)


def thinned(update: RenderableType | None, fit: Fit = _as_it_is) -> RenderableType | None:
    """Return an update of parts of the screen as one that sends no more than them, and only what fits."""
    if isinstance(update, ChopsUpdate):
        return ThinUpdate(update, fit)
    if isinstance(update, LayoutUpdate):
        return LayoutUpdate([[_fitted(strip, fit) for strip in line] for line in update.strips], update.region)
    return update


_ESCAPE = "\x1b"
_BEGIN_SEQUENCES = "[O"  # behind an escape: what follows tells which key it is
_WORD_BY_WORD = ("\x1bb", "\x1bf")  # what a Mac's terminals send for option and an arrow, which inputs know


class EscapeParser(XTermParser):
    """textual's parser of what the terminal sends, where an escape and the key that is pressed right behind are two.

    Textual takes both for one key, with alt, which nothing here is bound to; of some it drops the escape.
    """

    def _sequence_to_key_events(self, sequence: str, alt: bool = False) -> Iterable[Key]:
        follows = sequence[1:] if sequence.startswith(_ESCAPE) and sequence not in _WORD_BY_WORD else ""
        if alt or (len(follows) == 1 and follows not in _BEGIN_SEQUENCES):
            yield Key("escape", _ESCAPE)
            sequence = sequence[-1]
        yield from super()._sequence_to_key_events(sequence)


for _driver in (linux_driver, web_driver):  # which have no other place for a parser
    vars(_driver)["XTermParser"] = EscapeParser


_FIELD_SECONDS = 1.0  # for which a key waits for what was typed before it


class ThinApp(App[ReturnType]):
    """An app that sends the terminal no more than what has changed, and nothing that does not fit."""

    def fit(self, text: str) -> str:
        """Return a text as it may be sent to the terminal, in as many cells; the same object if it may."""
        return text

    async def on_event(self, event: Event) -> None:
        """Do what an event asks for; what a key does in a field, in its turn."""
        if not (isinstance(event, Key) and await self._did_in_field(event)):
            await super().on_event(event)

    async def _did_in_field(self, key: Key) -> bool:
        """Do what a key is bound to in a field after what was typed before it, and before what is typed behind it.

        Textual gives the field a character at once, but other keys go a long way: of a program that is busy for a
        moment, what is typed behind "down" would stay in the field that is left, or be deleted by the ctrl+u before it.
        """
        field = None if key.is_forwarded or key.is_printable else self.focused
        if not isinstance(field, Input):
            return False
        typed = Sign()
        if field.call_later(typed.set):
            with suppress(TimeoutError):
                await wait_for(typed.wait(), _FIELD_SECONDS)
        return await self._check_bindings(key.key, priority=True) or await self._check_bindings(key.key)

    def _display(self, screen: Screen[Any], renderable: RenderableType | None) -> None:
        super()._display(screen, thinned(renderable, self.fit))

    def _print_error_renderables(self) -> None:
        """Print how the app has failed, once it is closed: a traceback, which quotes what it met."""
        for failure in self._exit_renderables:
            if isinstance(failure, Segments):
                failure.segments = [
                    Segment("\n".join(map(self.fit, text.split("\n"))), style) for text, style, _ in failure.segments
                ]
        super()._print_error_renderables()

    def give_terminal_back(self) -> None:
        """Leave the terminal as it was found, from a signal handler: the process ends at once."""
        if self._driver is not None:
            self._driver.stop_application_mode()
            self._driver.close()


class PatientPalette(CommandPalette):
    """The palette, where enter is about what was typed: it waits for the list of that, if it is not there yet.

    Textual's own takes what is chosen in the list at that moment, which is what matched before.
    """

    @on(Input.Submitted)
    def _wait_for_the_list(self, event: Input.Submitted) -> None:
        group = self._GATHER_COMMANDS_GROUP
        gathering = [one for one in self.workers if one.group == group and one.node is self and not one.is_finished]
        if not gathering:
            return
        event.stop()
        event.prevent_default()  # what textual does at once

        async def choose() -> None:
            with suppress(WorkerCancelled):  # more was typed meanwhile: that enter was not about it
                await gathering[-1].wait()
                self._select_or_command()

        self.run_worker(choose(), group="l2o-choose", exclusive=True)


def cells_of_key(key: Widget) -> int:
    """Return how many cells a key of textual's footer takes: one lies around the key, and one behind its label."""
    return cell_len(key.key_display) + cell_len(key.description) + 3 if isinstance(key, FooterKey) else 0
