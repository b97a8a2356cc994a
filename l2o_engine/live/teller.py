"""The teller: what a run's files say, told as the events that they were made of.

A run that was killed and resumed has done some meta-iterations twice. Its metrics are cut back to the checkpoint that
it went on from, its events are not: of these, what lay beyond the checkpoint is left out.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from math import inf
from typing import TYPE_CHECKING

from l2o_engine.records.codec import DiagnosisLine, Recorded, StartLine, event_of, lane_of, vitals_of
from l2o_engine.records.events import (
    Diagnosed,
    Ended,
    Event,
    Extended,
    NewRows,
    Notice,
    Recalled,
    Started,
    Status,
    StatusChanged,
)
from l2o_engine.records.health import Diagnostician, Vitals
from l2o_engine.runs.events_file import EventsFile, damage_note
from l2o_engine.runs.folder import Run, lanes_of
from l2o_engine.runs.levels import Levels
from l2o_engine.runs.metrics_file import RowReader, header_in, last_iteration
from l2o_engine.runs.record import ACTIVE, Record
from l2o_engine.runs.tail import Tail

if TYPE_CHECKING:
    from l2o_engine.training.trainer import Lane


@dataclass(frozen=True)
class Past:
    """What ``events.jsonl`` held at one moment.

    Attributes
    ----------
    size
        How long it was, in bytes.
    starts
        Of every session that it tells of, at which place it begins, and the meta-iteration where it resumed.
    """

    size: int
    starts: tuple[tuple[int, int], ...]

    @property
    def limits(self) -> dict[int, float]:
        """By the place where each session begins, the last of its meta-iterations that was not done again later."""
        limits, limit = {}, inf
        for place, resumed_from in reversed(self.starts):
            limits[place] = limit
            limit = min(limit, resumed_from)
        return limits


class Teller:
    """Tells a run from its first row on, then what is added, until it is resumed: then another begins anew.

    Parameters
    ----------
    run
        The run's folder.

    Attributes
    ----------
    preset
        The run's preset.
    has_begun
        Whether the run has been told up to the present.
    """

    def __init__(self, run: Run) -> None:
        self.preset = run.preset()
        self.has_begun = False
        self._run = run
        self._lanes = lanes_of(self.preset)
        self._metrics = Tail(run.metrics_path)
        self._reader = RowReader(self._lanes)
        self._events = EventsFile(run.events_path)
        experiment, every = self.preset.experiment, self.preset.report.every
        self._diagnosticians = {lane: Diagnostician(experiment, every) for lane in self._lanes}
        self._untold: deque[Recorded] = deque()
        self._parts: list[Recorded] = []
        self._row_trouble = ""  # what was said last of rows that are left out
        self._foreign = 0  # events that are of no lane of ours
        self._has_told_of_damage = False
        self._status: Status = "running"
        self._iteration = -1

    # From the first row on.

    def past(self) -> Past:
        """Return what the events tell so far."""
        size = self._events.size
        starts: list[tuple[int, int]] = []
        names = ""
        for place, (_, event) in enumerate(EventsFile(self._run.events_path).read(size)):
            if isinstance(event, StartLine) and names != "start":  # a session's start is told once a seed
                starts.append((place, -1 if event.resumed_from is None else event.resumed_from))
            names = event.event
        return Past(size, tuple(starts))

    def begin(self, past: Past, levels: Levels, *, is_driven: bool) -> Iterator[Event]:
        """Tell of the run from its first row on, leaving out what was done again after a resume.

        Parameters
        ----------
        past
            What :meth:`past` returned.
        levels
            The levels to beat.
        is_driven
            Whether a process drives the run.
        """
        record = self._run.record()  # after `past`: it is written before the event that says the same
        self._iteration = last_iteration(self._run.metrics_path)
        yield Started(
            run_dir=str(self._run.folder.resolve()),
            preset=self.preset.name,
            seeds=self.preset.seeds,
            lanes=self._lanes,
            backend=record.backend,
            reason=record.backend_reason,
            iteration=self._iteration,
            iterations=record.iterations,
            levels={name: level.end_log10 for name, level in levels.items()},
            versions=record.versions,
            device=record.device,
        )
        yield from self.settle(record, is_driven=is_driven)
        yield from self._tell_the_beginning()
        yield from self._tell_rows()
        yield from self._tell_the_past(past)
        yield from self._tell_of_damage()
        self.has_begun = True

    def _tell_the_beginning(self) -> Iterator[Event]:
        """Tell the beginning of a long run without its rows."""
        window = self.preset.report.rolling_window
        blocks = self._run.beginning(least=window, window=window)
        if blocks is not None:
            self._reader.pass_over(header_in(self._run.metrics_path), blocks.iteration)
            self._metrics.skip(blocks.end)
            yield Recalled(blocks)

    def settle(self, record: Record, *, is_driven: bool) -> Iterator[Event]:
        """Tell the status that run.json gives where no event has: of a driver that was killed, say."""
        status = record.status
        if not is_driven and status in ACTIVE:
            status = "interrupted"
        if status != self._status:
            self._status = status
            yield StatusChanged(status, self._iteration)

    def _tell_the_past(self, past: Past) -> Iterator[Event]:
        """Tell of past events what still holds: how the run's status changed on the way is history."""
        limits = past.limits
        status, limit, ended = self._status, inf, None
        looks: dict[Lane, list[Vitals]] = {}
        for place, (_, line) in enumerate(self._events.read(past.size)):
            limit = limits.get(place, limit)
            if getattr(line, "iteration", -1) > limit:  # not every event is of a meta-iteration
                continue
            if isinstance(line, DiagnosisLine) and lane_of(line) in self._diagnosticians:
                lane, vitals = vitals_of(line)
                looks.setdefault(lane, []).append(vitals)
                continue
            for event in self._tell(line):
                match event:
                    case Ended():
                        ended = event
                    case StatusChanged():
                        ended = None
                    case Extended() if limit < inf:  # Started has told the total that came after it
                        pass
                    case _:
                        yield event
            if isinstance(line, StartLine):
                ended = None
        for lane, past_vitals in looks.items():  # what the last look means is the present
            yield Diagnosed(lane, self._diagnosticians[lane].recall(past_vitals))
        self._status = status
        if ended is not None:
            self._status = ended.status
            yield ended

    # What is added.

    def holds(self) -> bool:
        """Read the events that were added, and return whether what was told still holds; else it is to be told anew."""
        if not self.has_begun:
            return False
        for _, line in self._events.read():
            self._untold.append(line)  # one by one: what has been read is not read again, whatever fails
        has_started = any(isinstance(line, StartLine) for line in self._untold)
        return not (has_started or self._metrics.is_cut or self._events.is_cut)

    def news(self) -> Iterator[Event]:
        """Tell the rows that were added, and the events that :meth:`holds` has read."""
        yield from self._tell_rows()  # which are written before the events that are about them
        while self._untold:
            yield from self._tell(self._untold.popleft())
        yield from self._tell_of_damage()

    def _tell_of_damage(self) -> Iterator[Event]:
        damaged = self._events.damaged + self._foreign
        if damaged and not self._has_told_of_damage:
            self._has_told_of_damage = True
            yield Notice(damage_note(damaged))

    def _tell_rows(self) -> Iterator[Event]:
        for lines in self._metrics.lines():
            try:
                rows = self._reader.read(lines)
            except ValueError as error:
                if str(error) != self._row_trouble:  # a damaged header is so for all that follows
                    self._row_trouble = str(error)
                    yield Notice(f"some rows of {self._run.metrics_path} are left out, they cannot be read: {error}")
                continue
            if rows is not None:
                self._iteration = int(rows.iteration[-1])
                yield NewRows(rows)

    def _tell(self, line: Recorded) -> Iterator[Event]:
        """Tell the event that this line completes."""
        lane = lane_of(line)
        if lane is not None and lane not in self._diagnosticians:
            self._foreign += 1
            return
        event: Event | None
        if isinstance(line, DiagnosisLine):
            owner, vitals = vitals_of(line)
            event = Diagnosed(owner, self._diagnosticians[owner].judge(vitals))
        else:
            event = self._completed(line)
        if isinstance(event, StatusChanged | Ended):
            self._status = event.status
        if event is not None:
            yield event

    def _completed(self, line: Recorded) -> Event | None:
        """Return the event that this line is the last one of: some have one a seed or lane."""
        name = line.event
        if isinstance(line, StartLine):
            return None
        if self._parts and self._parts[0].event != name:
            self._parts = []
        self._parts.append(line)
        if len(self._parts) < {"checkpoint": len(self.preset.seeds), "end": len(self._lanes)}.get(name, 1):
            return None
        parts, self._parts = self._parts, []
        return event_of(parts)
