"""A session that is driven by a thread of its own, while who called is told what happens.

Python raises KeyboardInterrupt in the main thread, wherever that stands. With the session in another thread that is
never where the run's files are written: it is where events are waited for or told, and becomes a Stop in the session's
mailbox, which ends it behind a checkpoint. No signal handler is set, so this may be done in a notebook, where there
are others, and in any thread.
"""

from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from time import monotonic, sleep

from l2o_engine.live.session import Session
from l2o_engine.records.events import Event, Stop
from l2o_engine.runs.folder import Run
from l2o_engine.support.errors import UserError

PATIENCE = 1.0
"""Seconds after which a second ctrl+c is one, and not the first once more: then it does not wait."""

_AHEAD = 64  # events that the session may be ahead of who is told of them
_NAP_SECONDS = 0.01
_LOOK_SECONDS = 0.2
_LOOKS = 25


def drive(session: Session, tell: Callable[[Event], None]) -> None:
    """Drive a session to its end in a thread, and be told of it in this one.

    Parameters
    ----------
    session
        The session.
    tell
        Is told what happens, in order. Who takes too long for that is waited for by the training.

    Raises
    ------
    SessionError
        If something failed; what was trained up to the last checkpoint is safe.
    BaseException
        What came while it was told, ctrl+c's KeyboardInterrupt for one: once the session has ended behind a checkpoint,
        with a note that says where the run is. A second ctrl+c, after :data:`PATIENCE`, does not wait for that.
    """
    driving = _Driving(session)
    try:
        driving.thread.start()
        while (event := driving.told.get()) is not None:
            tell(event)
    except BaseException as error:
        since = 0.0
        while not driving.is_left:
            try:
                since = since or monotonic()
                driving.stop("ctrl+c" if isinstance(error, KeyboardInterrupt) else type(error).__name__)
                error.add_note(_where(session, driving.error))
                driving.is_left = True
            except KeyboardInterrupt:
                if since and monotonic() - since > PATIENCE:
                    driving.is_left = True
                    raise
        raise
    if driving.error is not None:
        raise driving.error


class _Driving:
    """The thread that drives a session, and what it tells.

    ctrl+c may leave any lock of Python's own taken that the main thread was about to let go. So what the two threads
    share is a queue that is written in C, and flags.
    """

    def __init__(self, session: Session) -> None:
        self.thread = Thread(target=self._drive, name="l2o-session")
        self.told: SimpleQueue[Event | None] = SimpleQueue()
        self.error: Exception | None = None
        self.is_left = False
        self._has_begun = self._is_over = False
        self._session = session

    def _drive(self) -> None:
        self._has_begun = True
        try:
            for event in self._session.events():
                self._put(event)
        except Exception as error:  # noqa: BLE001 (raised on where it is waited for)
            self.error = error
        finally:
            self.told.put(None)
            self._is_over = True

    def _put(self, event: Event) -> None:
        while self.told.qsize() >= _AHEAD and not self.is_left:
            sleep(_NAP_SECONDS)
        if not self.is_left:
            self.told.put(event)

    def stop(self, reason: str) -> None:
        """Have the session end, and wait until it has; may be called again, if that was interrupted."""
        self._session.mailbox.put(Stop(reason))
        looks = _LOOKS  # at a thread that may just be starting
        while not self._is_over and (self._has_begun or looks > 0):
            looks -= 1
            with suppress(Empty):
                self.told.get(timeout=_LOOK_SECONDS)


def _where(session: Session, error: Exception | None) -> str:
    """Say where the run is that was interrupted."""
    if error is not None:
        return str(error)
    try:
        run = Run(session.folder)
        at = f"{run.status()} at {run.record().iteration:,}"
    except UserError as unreadable:
        return str(unreadable)
    return f"the run is {at}: {session.folder}; go on with l2o_engine.resume({str(session.folder)!r})"
