"""Watching a run that another process drives, on this host or on another, through its folder.

A :class:`Watcher` is read like a session: it has a mailbox and yields events. It tells what is in ``metrics.csv`` and
``events.jsonl``, then what is added to them. Looking writes nothing; what is asked of the run becomes a file in
``commands/``.
"""

import json
import socket
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from math import inf
from pathlib import Path
from time import monotonic
from typing import Any

from l2o_engine.backends.choose import choose
from l2o_engine.live.mailbox import Mailbox
from l2o_engine.live.session import SessionError, curves_of
from l2o_engine.meta.learner import Backend
from l2o_engine.optimizers.learned.lstm import make_network
from l2o_engine.presets.schema import Preset
from l2o_engine.records.codec import event_from_json, vitals_from_json
from l2o_engine.records.events import (
    Checkpointed,
    Command,
    Curves,
    Diagnosed,
    Ended,
    Event,
    Extended,
    Leave,
    NewRows,
    Notice,
    Preparing,
    ShowDraws,
    Started,
    Status,
    StatusChanged,
)
from l2o_engine.records.health import Diagnostician
from l2o_engine.runs import checkpoints
from l2o_engine.runs.checkpoints import Checkpoint, CheckpointError
from l2o_engine.runs.commands import send
from l2o_engine.runs.folder import ACTIVE, SILENT_SECONDS, Record, Run, RunError, lanes_of
from l2o_engine.runs.metrics_file import RowReader, last_iteration
from l2o_engine.training.trainer import Baselines, Trainer, make_trainer

POLL_SECONDS = 0.25
_CURVES_SECONDS = 3.0
_AT_ONCE_SECONDS = 0.1  # once all is loaded, curves take less
_PATIENCE = 5.0  # seconds for which a folder may be out of reach: network file systems have such moments
_BLOCK = 500_000  # bytes at a time, some 6,000 rows: parsing them holds the interpreter, which a screen may wait for


class _Tail:
    """Reads the whole lines of a file that grows, each once.

    Parameters
    ----------
    path
        The file; it need not be there yet.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._offset = 0

    @property
    def size(self) -> int:
        """How long the file is now, in bytes."""
        try:
            return self._path.stat().st_size
        except FileNotFoundError:
            return 0

    @property
    def is_cut(self) -> bool:
        """Whether the file is shorter than what has been read of it."""
        return self.size < self._offset

    def lines(self, size: int | None = None) -> Iterator[list[str]]:
        """Yield the lines that were added, some at a time, each with its newline; none beyond ``size`` bytes."""
        size = self.size if size is None else size
        if self._offset >= size:  # nothing is opened where nothing was added
            return
        most = _BLOCK
        with self._path.open("rb") as file:
            while self._offset < size:
                file.seek(self._offset)
                block = file.read(min(most, size - self._offset))
                end = block.rfind(b"\n") + 1
                if not end and len(block) < most:  # a line that is still being written
                    return
                if not end:  # a line that is longer
                    most *= 2
                    continue
                self._offset += end
                yield [line + "\n" for line in block[: end - 1].decode("utf-8", "replace").split("\n")]


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
        self._is_driven = True
        self._heard: tuple[str, float] | None = None
        self._trouble_since: float | None = None
        self._waits = False
        self._begin_anew(run.preset())
        self._levels: Mapping[str, float] | None = None
        self._wants_curves = curves
        self._curves_due = 0.0
        self._base_losses = _BaseLosses(run)
        self._curves_maker: ThreadPoolExecutor | None = None
        self._curves: Future[Curves | Notice] | None = None
        self._shown = ShowDraws()

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
            if self._curves_maker:
                self._curves_maker.shutdown(wait=False, cancel_futures=True)

    def _begin_anew(self, preset: Preset) -> None:
        """Forget what was told."""
        self._preset = preset
        self._lanes = lanes_of(preset)
        self._metrics = _Tail(self._run.metrics_path)
        self._reader = RowReader(self._lanes)
        self._events = _Tail(self._run.events_path)
        self._diagnosticians = {lane: Diagnostician(preset) for lane in self._lanes}
        self._untold: deque[dict[str, Any]] = deque()
        self._parts: list[dict[str, Any]] = []
        self._status: Status = "running"
        self._iteration = -1
        self._has_begun = False
        self._is_newer = True  # whether there may be a checkpoint that the curves have not been made of

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
        self._is_driven = self._sees_a_driver(self._run.record())
        record = self._run.record()
        for document in self._documents(self._events) if self._has_begun else ():
            self._untold.append(document)  # one by one: what has been read is not read again, whatever fails
        has_started = any(document.get("event") == "start" for document in self._untold)
        if not self._has_begun or has_started or self._metrics.is_cut or self._events.is_cut:
            yield from self._begin()
        else:
            yield from self._tell_rows()  # which are written before the events that are about them
            while self._untold:
                yield from self._tell(self._untold.popleft())
        if self._has_begun:
            yield from self._settle(record)
            yield from self._refresh_curves()

    def _sees_a_driver(self, record: Record) -> bool:
        """Return whether a process drives the run; of one on another host we hear when it writes run.json."""
        if record.host == socket.gethostname():
            self._heard = None
            return self._run.is_driven()
        now = monotonic()
        if self._heard is None:  # by the clocks, which may differ
            self._heard = record.updated, now if self._run.is_driven() else -inf
        elif self._heard[0] != record.updated:
            self._heard = record.updated, now
        return record.status in ACTIVE and now - self._heard[1] < SILENT_SECONDS

    def _begin(self) -> Iterator[Event]:
        """Tell of the run from its first row on, leaving out what was done again after a resume."""
        self._begin_anew(self._run.preset())
        size = self._events.size
        starts = self._starts(size)
        if self._is_driven and not starts:
            if not self._waits:
                yield Preparing("waiting for the run to start")
            self._waits = True
            return
        self._waits = False
        if self._levels is None:
            self._levels = Baselines(self._preset, self._preset.run.seed).levels
        record = self._run.record()  # after `size`: it is written before the event that says the same
        self._iteration = last_iteration(self._run.metrics_path)
        yield Started(
            run_dir=str(self._run.folder.resolve()),
            preset=self._preset.name,
            seeds=self._preset.seeds,
            lanes=self._lanes,
            backend=record.backend,
            reason=record.backend_reason,
            iteration=self._iteration,
            iterations=record.iterations,
            levels=self._levels,
        )
        yield from self._settle(record, also_where_driven=True)
        yield from self._tell_rows()
        yield from self._tell_the_past(starts, size)
        self._has_begun = True

    def _starts(self, size: int) -> list[tuple[int, int]]:
        """Return, of every session that the events tell of, at which place it begins and where it resumed."""
        starts: list[tuple[int, int]] = []
        names = ""
        for place, document in enumerate(self._documents(_Tail(self._run.events_path), size)):
            name = document.get("event", "")
            if name == "start" != names:  # a session's start is told once a seed
                starts.append((place, document.get("resumed_from", -1)))
            names = name
        return starts

    def _tell_the_past(self, starts: list[tuple[int, int]], size: int) -> Iterator[Event]:
        """Tell of past events what still holds: how the run's status changed on the way is history."""
        limits = _limits(starts)
        status, limit, ended = self._status, inf, None
        for place, document in enumerate(self._documents(self._events, size)):
            limit = limits.get(place, limit)
            if document.get("iteration", -1) > limit:
                continue
            for event in self._tell(document):
                match event:
                    case Ended():
                        ended = event
                    case StatusChanged():
                        ended = None
                    case Extended() if limit < inf:  # Started has told the total that came after it
                        pass
                    case _:
                        yield event
            if document.get("event") == "start":
                ended = None
        self._status = status
        if ended is not None:
            self._status = ended.status
            yield ended

    def _tell_rows(self) -> Iterator[Event]:
        for lines in self._metrics.lines():
            try:
                rows = self._reader.read(lines)
            except ValueError as error:
                yield Notice(f"some rows of {self._run.metrics_path} are left out, they cannot be read: {error}")
                continue
            if rows is not None:
                self._iteration = int(rows.iteration[-1])
                yield NewRows(rows)

    def _documents(self, tail: _Tail, size: int | None = None) -> Iterator[dict[str, Any]]:
        for lines in tail.lines(size):
            for line in lines:
                try:
                    document = json.loads(line)
                except ValueError:  # a killed process left half a line
                    continue
                if isinstance(document, dict):
                    yield document

    def _tell(self, document: dict[str, Any]) -> Iterator[Event]:
        """Tell the event that this object completes."""
        event: Event | None
        try:
            if document["event"] == "diagnosis":
                lane, vitals = vitals_from_json(document)
                event = Diagnosed(lane, self._diagnosticians[lane].judge(vitals))
            else:
                event = self._completed(document)
        except (KeyError, TypeError, ValueError):  # of another version
            return
        if isinstance(event, Checkpointed):
            self._is_newer = True
        if isinstance(event, StatusChanged | Ended):
            self._status = event.status
        if event is not None:
            yield event

    def _completed(self, document: dict[str, Any]) -> Event | None:
        """Return the event that this object is the last one of: some have one a seed or lane."""
        name = document["event"]
        if name == "start":
            return None
        if self._parts and self._parts[0]["event"] != name:
            self._parts = []
        self._parts.append(document)
        if len(self._parts) < {"checkpoint": len(self._preset.seeds), "end": len(self._lanes)}.get(name, 1):
            return None
        parts, self._parts = self._parts, []
        return event_from_json(parts)

    def _settle(self, record: Record, *, also_where_driven: bool = False) -> Iterator[Event]:
        """Tell the status that run.json gives where no event has: of a driver that was killed, say."""
        status = record.status
        if not self._is_driven and status in ACTIVE:
            status = "interrupted"
        if status != self._status and (also_where_driven or not self._is_driven):
            self._status = status
            yield StatusChanged(status, self._iteration)

    # Asking.

    def _obey(self, command: Command | None) -> Iterator[Event]:
        match command:
            case None:
                pass
            case Leave():
                self._has_left = True
            case ShowDraws() if self._run.latest_checkpoint() is None:
                self._shown, self._wants_curves = command, True
                yield Notice("the base losses come with the first checkpoint")
            case ShowDraws():
                self._shown, self._wants_curves = command, True
                self._is_newer, self._curves_due = True, 0.0
                if self._curves is not None:  # of what was asked before
                    self._curves.cancel()
                    self._curves = None
                yield from self._refresh_curves()
            case _ if not self._is_driven:
                yield Notice(f"no process drives {self._run.name}: there is nobody to ask")
            case _:
                yield from self._ask(command)

    def _ask(self, command: Command) -> Iterator[Event]:
        try:
            send(self._run.commands_path, command)
        except OSError as error:
            yield Notice(f"cannot ask {self._run.name}: {self._run.commands_path}: {error.strerror or error}")

    # Curves.

    def _refresh_curves(self) -> Iterator[Event]:
        """Tell the base losses that were made, and have them made anew if they are due."""
        yield from self._made_curves()
        is_due = self._wants_curves and self._is_newer and monotonic() >= self._curves_due
        if self._curves is None and is_due and self._run.latest_checkpoint() is not None:
            self._is_newer, self._curves_due = False, monotonic() + _CURVES_SECONDS
            self._curves_maker = self._curves_maker or ThreadPoolExecutor(1, "l2o-base-losses")
            self._curves = self._curves_maker.submit(self._base_losses.of_newest_checkpoint, self._shown)
            wait([self._curves], _AT_ONCE_SECONDS)
            yield from self._made_curves()

    def _made_curves(self) -> Iterator[Event]:
        if self._curves is not None and self._curves.done():
            made, self._curves = self._curves.result(), None
            yield made


class _BaseLosses:
    """Makes the base chart's curves of a run that is watched, by its newest checkpoint.

    Parameters
    ----------
    run
        The run's folder.
    """

    def __init__(self, run: Run) -> None:
        self._run = run
        self._trainer: Trainer | None = None

    def of_newest_checkpoint(self, shown: ShowDraws) -> Curves | Notice:
        """Return the curves, or why there are none: a backend that cannot be had does not end the watching."""
        try:
            preset = self._run.preset()
            if self._trainer is None:
                self._trainer = make_trainer(preset, _backend_for_a_look(preset), preset.seeds[0])
            checkpoint = self._newest_checkpoint(preset)
            seed = preset.seeds[0] if shown.seed is None else shown.seed
            losses = curves_of(self._trainer, shown, checkpoint.trainers[seed])
        except Exception as error:  # noqa: BLE001 (a backend that cannot be had, a damaged checkpoint, …)
            return Notice(f"there are no base losses: {error}")
        return Curves(shown.first, checkpoint.iteration, losses, seed)

    def _newest_checkpoint(self, preset: Preset) -> Checkpoint:
        while (path := self._run.latest_checkpoint()) is not None:
            try:
                return checkpoints.read(path, make_network(preset.network), preset.run.dtype)
            except CheckpointError:
                if path.exists():  # else the run has removed it, for there are newer ones
                    raise
        raise CheckpointError(f"the checkpoints of {self._run.name} are gone")


def _backend_for_a_look(preset: Preset) -> Backend | None:
    """Return what computes a few curves soonest: nobody compiles a kernel for a look."""
    if preset.kind != "meta-training":
        return None
    choice = choose(preset, "auto")
    if choice.to_compile:
        choice = choose(preset, "torch")
    return choice.load()[0]


def _limits(starts: list[tuple[int, int]]) -> dict[int, float]:
    """Return, by the place where each session begins, the last of its meta-iterations that was not done again later."""
    limits, limit = {}, inf
    for place, resumed_from in reversed(starts):
        limits[place] = limit
        limit = min(limit, resumed_from)
    return limits
