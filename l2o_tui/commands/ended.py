"""How a command ends that keeps nothing until it is done: a signal is raised wherever it is, and said in one line."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NoReturn

from l2o_engine.support.user_code import place_in
from l2o_tui import exit_codes
from l2o_tui.text.streams import say


class EndedError(BaseException):
    """A signal that ends the command: nothing would be lost.

    Parameters
    ----------
    number
        The signal's.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number

    def tell(self, kept: str = "") -> int:
        """Say which signal it was, and what is kept of the command's work; return the exit code."""
        where = place_in(self.__traceback__)  # of a user's code, which did not return perhaps
        what = "".join(f"; {said}" for said in (f"it was at {where}" if where else "", kept) if said)
        say(f"l2o-tui: ended by {signal.Signals(self.number).name}{what}")
        return exit_codes.of_signal(self.number)


@contextmanager
def ended_by_signals() -> Iterator[Callable[[], None]]:
    """Have the signals that end a run raise :class:`EndedError` at once, wherever the main thread is.

    Yields
    ------
    Callable
        Raises it again, for a library in between may have swallowed it.
    """
    received: list[int] = []
    # One that is ignored was meant to be: by nohup, or by a shell that started us in the background.
    heard = [number for number in exit_codes.SIGNALS if signal.getsignal(number) != signal.SIG_IGN]

    def end(number: int, frame: FrameType | None) -> NoReturn:
        for other in heard:  # one is enough: what is put in order then is not to be interrupted
            signal.signal(other, signal.SIG_IGN)
        received.append(number)
        raise EndedError(number)

    def check() -> None:
        for number in received:
            raise EndedError(number)

    before = {number: signal.signal(number, end) for number in heard}
    try:
        yield check
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
