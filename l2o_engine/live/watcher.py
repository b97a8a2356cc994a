"""Watching a run that another process drives, on this host or on another, through its folder.

A :class:`Watcher` is read like a session: it has a mailbox and yields events. It tells what is in ``metrics.csv`` and
``events.jsonl``, then what is added to them. Looking writes nothing; what is asked of the run becomes a file in
``commands/``.
"""

from collections.abc import Generator, Iterator
from time import monotonic

from l2o_engine.live.base_losses import BaseLosses
from l2o_engine.live.mailbox import Mailbox
from l2o_engine.live.session import SessionError
from l2o_engine.live.teller import Teller
from l2o_engine.presets.schema import Preset
from l2o_engine.records.events import Checkpointed, Command, Event, Leave, Notice, Preparing, ShowDraws
from l2o_engine.runs import levels
from l2o_engine.runs.commands import send
from l2o_engine.runs.folder import Run
from l2o_engine.runs.levels import Levels
from l2o_engine.runs.lock import Listener
from l2o_engine.runs.record import RunError
from l2o_engine.support.user_code import CodeError

POLL_SECONDS = 0.25
_PATIENCE = 5.0  # seconds for which a folder may be out of reach: network file systems have such moments


class Watcher:
    """Tells what a run does that another process drives, until it is told to :class:`~l2o_engine.records.events.Leave`.

    A run that nobody drives is told too; then the watcher waits for somebody to go on with it. When the run is resumed
    from a checkpoint, ``Started`` comes again and everything is told anew.

    Parameters
    ----------
    run
        The run's folder.
    curves
        Whether the base chart's curves are wanted from the start, rather than from the first ``ShowDraws`` on. They
        come from the newest checkpoint. A thread makes them: loading what computes them takes seconds.

    Attributes
    ----------
    mailbox
        Takes commands. ``Leave`` and ``ShowDraws`` are for the watcher; the others it asks of the run.
    """

    def __init__(self, run: Run, *, curves: bool = False) -> None:
        self.mailbox = Mailbox()
        self._run = run
        self._has_left = False
        self._listener = Listener(run.folder, run.record)
        self._is_driven = True
        self._trouble_since: float | None = None
        self._waits = False
        self._teller = Teller(run)
        self._levels: Levels | None = None
        self._base_losses = BaseLosses(run, are_wanted=curves)

    def events(self) -> Iterator[Event]:
        """Yield what happens; returns when the viewer leaves.

        Raises
        ------
        SessionError
            If the run's folder cannot be read any more.
        """
        try:
            while True:
                for event in self._patiently(self._look()):
                    yield event
                    yield from self._obey(self.mailbox.take())
                    if self._has_left:
                        return
                yield from self._obey(self.mailbox.wait(POLL_SECONDS))
                if self._has_left:
                    return
        finally:
            self._base_losses.close()

    def _patiently(self, events: Iterator[Event]) -> Iterator[Event]:
        try:
            yield from events
            self._trouble_since = None
        except (OSError, RunError) as error:
            now = monotonic()
            self._trouble_since = self._trouble_since or now
            if now - self._trouble_since > _PATIENCE:
                raise SessionError(f"{self._run.folder} cannot be watched any more: {error}") from error

    # Looking.

    def _look(self) -> Iterator[Event]:
        """Tell what is new."""
        # First of all, so that where nobody drives the run, all that was written is there to be read below.
        self._is_driven = self._listener.is_driven()
        record = self._run.record()
        for event in self._teller.news() if self._teller.holds() else self._begin():
            if isinstance(event, Checkpointed):
                self._base_losses.note_checkpoint()
            yield event
        if self._teller.has_begun:
            if not self._is_driven:
                yield from self._teller.settle(record, is_driven=False)
            yield from self._base_losses.refresh()

    def _begin(self) -> Iterator[Event]:
        """Tell of the run from its first row on, once it has started."""
        self._teller = Teller(self._run)
        self._base_losses.note_checkpoint()
        past = self._teller.past()
        if self._is_driven and not past.starts:
            if not self._waits:
                yield Preparing("waiting for the run to start")
            self._waits = True
            return
        self._waits = False
        reached = yield from self._find_levels(self._teller.preset)
        yield from self._teller.begin(past, reached, is_driven=self._is_driven)

    def _find_levels(self, preset: Preset) -> Generator[Event, None, Levels]:
        """Return the levels to beat. A run of an older version keeps none: then they are measured, once."""
        if self._levels is None:
            self._levels = levels.stored(self._run.record(), preset, preset.run.seed)
        if self._levels is None:
            try:
                yield from levels.measuring(preset)
                self._levels = levels.measure(preset, preset.run.seed)
            except CodeError as error:  # of a problem that is code, which need not be allowed to be looked at
                yield Notice(f"there are no levels to beat: {error}")
                self._levels = {}
        return self._levels

    # Asking.

    def _obey(self, command: Command | None) -> Iterator[Event]:
        match command:
            case None:
                pass
            case Leave():
                self._has_left = True
            case ShowDraws():
                yield from self._base_losses.show(command)
            case _ if not self._is_driven:
                yield Notice(f"no process drives {self._run.name}: there is nobody to ask")
            case _:
                yield from self._ask(command)

    def _ask(self, command: Command) -> Iterator[Event]:
        try:
            send(self._run.commands_path, command)
        except OSError as error:
            yield Notice(f"cannot ask {self._run.name}: {self._run.commands_path}: {error.strerror or error}")
