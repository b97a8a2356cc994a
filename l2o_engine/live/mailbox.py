"""A mailbox: where commands wait for who drives a run, or watches one."""

import queue
from typing import overload

from l2o_engine.records.events import Command, Stop


class Mailbox:
    """Where commands wait. Any thread, and any signal handler, may put one in.

    Attributes
    ----------
    stop
        The first Stop that was left, for who cannot take commands yet; it is taken in its turn none the less.
    """

    def __init__(self) -> None:
        self.stop: Stop | None = None
        self._queue: queue.SimpleQueue[Command] = queue.SimpleQueue()  # the one whose put() is safe in a signal handler

    def put(self, command: Command) -> None:
        """Leave a command."""
        if isinstance(command, Stop) and self.stop is None:
            self.stop = command
        self._queue.put(command)

    def take(self) -> Command | None:
        """Return the next command, or None if there is none."""
        try:
            return self._queue.get_nowait()
        except queue.Empty:
            return None

    @overload
    def wait(self) -> Command: ...
    @overload
    def wait(self, seconds: float) -> Command | None: ...
    def wait(self, seconds: float | None = None) -> Command | None:
        """Wait for the next command, and return None if none comes within so many seconds."""
        try:
            return self._queue.get(timeout=seconds)
        except queue.Empty:
            return None
