"""A session drives a run: it takes commands from a mailbox, yields events, and writes the run's folder.

Every front end is a reader of these events. Between two chunks of about 50 ms the session looks into its mailbox, so
it answers at once whatever the backend; how long a chunk is never changes a result. What other processes ask, it finds
in the run's folder.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from math import isfinite
from time import monotonic
from typing import TypeAlias, TypeVar

import numpy as np

from l2o_engine.backends.choose import choose
from l2o_engine.live.mailbox import Mailbox
from l2o_engine.records.events import (
    Checkpointed,
    Command,
    Curves,
    Diagnosed,
    Ended,
    Event,
    Extend,
    Extended,
    Found,
    GoOn,
    LaneResult,
    NewRows,
    Notice,
    Pause,
    Preparing,
    Progress,
    SaveCheckpoint,
    ShowDraws,
    Started,
    Status,
    StatusChanged,
    Stop,
)
from l2o_engine.records.health import Diagnostician, next_look
from l2o_engine.records.rows import ReportWindow, Rows, rows_of
from l2o_engine.runs.checkpoints import Checkpoint
from l2o_engine.runs.folder import DrivenRun, lanes_of
from l2o_engine.support.arrays import Doubles
from l2o_engine.support.errors import Failure, UserError
from l2o_engine.training.trainer import Baselines, Chunk, Lane, Trainer, TrainerState, make_trainer

CHUNK_SECONDS = 0.05
_GREATEST_CHUNK = 65_536
_CURVES_SECONDS = 0.5
_CURVES_SHARE = 0.1  # of the training's time that curves may take, at most
_RECORD_SECONDS = 1.0  # who watches from another host takes a much longer silence for a dead driver
_FOLDER_SECONDS = 0.2


class SessionError(Failure):
    """Training failed. The message says what happened and where the last checkpoint is."""


Value = TypeVar("Value")

Advance: TypeAlias = tuple[TrainerState, list[Chunk], float]
"""What one trainer did of a chunk: its state after, the chunk, seconds."""


class _Stopwatch:
    """Counts the seconds that the run trains: not while it is paused or over."""

    def __init__(self, elapsed: float) -> None:
        self._elapsed = elapsed
        self._since: float | None = None

    def start(self) -> None:
        if self._since is None:
            self._since = monotonic()

    def stop(self) -> None:
        self._elapsed = self.seconds
        self._since = None

    @property
    def seconds(self) -> float:
        return self._elapsed + (0 if self._since is None else monotonic() - self._since)


def advance(trainer: Trainer, n: int) -> Advance:
    """Let a trainer do n meta-iterations and return its state, what it did, and how long that took.

    A plain function of plain values, so that an executor may call it in another thread, process or machine.
    """
    began = monotonic()
    chunks = trainer.advance(n)
    return trainer.state(), chunks, monotonic() - began


def curves_of(trainer: Trainer, shown: ShowDraws, state: TrainerState) -> dict[str, Doubles]:
    """Return the base chart's losses by optimizer: [steps] of one problem, [draws, steps] of several."""
    if shown.count == 1:
        return trainer.curves(shown.first, state)
    return trainer.curves_of(range(shown.first, shown.first + shown.count), state)


@dataclass(frozen=True)
class _InFlight:
    """A chunk that is being computed: how long it is, and who computes."""

    n: int
    trainers: list[Trainer]
    futures: list[Future[Advance]]


class Session:
    """Drives one run to its end, or until it is told to stop.

    Parameters
    ----------
    run
        The run's folder. The session closes it.
    backend
        "auto", "fused" or "torch"; None for what the preset says.
    chunk
        Meta-iterations between two looks into the mailbox; None to adapt to about 50 ms.
    interactive
        Whether somebody watches: then the past of a resumed run is told again, the base chart's curves are made, and
        after the end the session waits for commands, to look and to continue.
    start_paused
        Whether the run waits for a GoOn before it trains.
    executor
        Advances the replicates; None for threads of this process, as many as the backend can use.

    Attributes
    ----------
    mailbox
        Takes commands.
    """

    def __init__(
        self,
        run: DrivenRun,
        *,
        backend: str | None = None,
        chunk: int | None = None,
        interactive: bool = False,
        start_paused: bool = False,
        executor: Executor | None = None,
    ) -> None:
        self.mailbox = Mailbox()
        self._run = run
        self._asked_backend = backend or run.current.run.backend
        self._fixed_chunk = chunk
        self._chunk = chunk or 1
        self._interactive = interactive
        self._start_paused = start_paused
        self._executor = executor
        self._own_executor: Executor | None = None
        self._workers = len(run.current.seeds)  # of an executor that was given; its own business, a guess
        self._in_flight: _InFlight | None = None
        self._states: dict[int, TrainerState] = {}
        self._lanes = lanes_of(run.current)
        self._trainers: list[Trainer] = []
        self._windows = [ReportWindow(run.current.report.every) for _ in self._lanes]
        learned = run.current.kind == "meta-training"
        self._diagnosticians = {lane: Diagnostician(run.current) for lane in self._lanes if learned}
        self._stopwatch = _Stopwatch(0.0)
        self._status: Status = "running"
        self._stopping: Stop | None = None
        self._last_checkpoint = -1
        self._last_report = (0.0, 0)
        self._shown = ShowDraws()
        self._curves_due = 0.0
        self._record_due = 0.0
        self._folder_due = 0.0

    def events(self) -> Iterator[Event]:
        """Drive the run, yielding what happens; returns when the session is over.

        Raises
        ------
        SessionError
            If something failed; what was trained up to the last checkpoint is safe.
        """
        try:
            for event in self._drive():
                self._run.append_event(event)
                yield event
        except Exception as error:
            failure = self._failure(error)
            yield self._failed(str(failure))
            raise failure from error
        finally:
            self._wait()
            self._run.close()

    @property
    def _total(self) -> int:
        return self._run.current.run.iterations

    @property
    def _iteration(self) -> int:
        """The last meta-iteration that every replicate which still goes on has done; -1 before the first."""
        states = list(self._states.values())
        going_on = [state.done for state in states if not state.diverged]
        return (min(going_on) if going_on else max(state.done for state in states)) - 1

    @property
    def _is_over(self) -> bool:
        return self._iteration >= self._total or all(state.diverged for state in self._states.values())

    def _drive(self) -> Iterator[Event]:
        yield from self._prepare()
        if self._status == "paused":
            yield from self._become("paused")
        while self._stopping is None:
            if self._status == "running" and self._is_over:
                yield from self._finish()
            is_running = self._status == "running"
            if not is_running and not self._interactive and self._status != "paused":
                return
            command = self.mailbox.take() if is_running else self.mailbox.wait(_FOLDER_SECONDS)
            asked = command or self._asked_in_folder()
            if isinstance(asked, Notice):
                yield asked
            elif asked is not None:
                if self._in_flight:
                    yield from self._advance(launch=False)  # a command finds the run between two chunks
                yield from self._obey(asked)
            elif is_running:
                yield from self._advance()
            elif self._status == "paused" and monotonic() >= self._record_due:
                with suppress(OSError):  # it only says that we are still here
                    self._update_record()
        if self._status in ("running", "paused"):
            yield from self._end("interrupted", self._stopping.reason)

    def _asked_in_folder(self) -> Command | Notice | None:
        """Return what another process asks of the run: one look into the folder now and then, for looks cost time."""
        now = monotonic()
        if now < self._folder_due:
            return None
        asked = self._run.inbox.take()
        if asked is None:
            self._folder_due = now + _FOLDER_SECONDS
        return asked

    def _prepare(self) -> Iterator[Event]:
        run, preset = self._run, self._run.current
        backend, name, reason = None, "numpy", "nothing is trained"
        if preset.kind == "meta-training":
            choice = choose(preset, self._asked_backend)
            yield Preparing(choice.preparation)
            with ThreadPoolExecutor(1, "l2o-loading") as loader:  # it may have a kernel to compile
                backend, reason = self._awaited(loader.submit(choice.load))
            name = backend.name
        self._trainers = [make_trainer(preset, backend, seed) for seed in preset.seeds]
        if self._executor is None:
            self._workers = min(len(self._trainers), os.cpu_count() or 1) if backend and backend.is_parallel else 1
            self._executor = self._own_executor = ThreadPoolExecutor(self._workers, "l2o-training")
        checkpoint, notices = run.restore()
        if checkpoint is not None:
            for trainer, seed in zip(self._trainers, preset.seeds, strict=True):
                trainer.load_state(checkpoint.trainers[seed])
            self._stopwatch = _Stopwatch(checkpoint.elapsed_seconds)
            self._last_checkpoint = checkpoint.iteration
        self._states = {seed: trainer.state() for seed, trainer in zip(preset.seeds, self._trainers, strict=True)}
        if not self._is_over:  # to look at a finished run does not change it
            self._status = "paused" if self._start_paused else "running"
            run.update(status=self._status, backend=name, backend_reason=reason, message="")
        yield Started(
            run_dir=str(run.folder),
            preset=preset.name,
            seeds=preset.seeds,
            lanes=self._lanes,
            backend=name,
            reason=reason,
            iteration=self._iteration,
            iterations=preset.run.iterations,
            levels=Baselines(preset, preset.run.seed).levels,
        )
        for notice in notices:
            yield Notice(notice)
        if checkpoint is not None:
            yield from self._recall(checkpoint)
        if self._status == "running":
            self._stopwatch.start()
        self._last_report = (self._stopwatch.seconds, self._iteration)

    def _recall(self, checkpoint: Checkpoint) -> Iterator[Event]:
        """Take in, and tell a watching front end, what the run did before this session."""
        for rows in self._run.rows():
            self._take_in(rows)
            if self._interactive:
                yield NewRows(rows)
        if self._interactive:
            for progress in self._run.progress():
                if progress.iteration <= checkpoint.iteration:
                    yield progress
        for lane, vitals in self._run.vitals():
            if vitals.iteration <= checkpoint.iteration:
                diagnosis = self._diagnosticians[lane].judge(vitals)
                if self._interactive:
                    yield Diagnosed(lane, diagnosis)

    def _take_in(self, rows: Rows, chunks: Sequence[Chunk] = ()) -> None:
        results = {chunk.lane: chunk.results for chunk in chunks}
        for index, (lane, window) in enumerate(zip(self._lanes, self._windows, strict=True)):
            of_lane = rows.of_lane(index)
            window.add(of_lane)
            if lane in self._diagnosticians:
                self._diagnosticians[lane].add(of_lane, results.get(lane))

    def _advance(self, *, launch: bool = True) -> Iterator[Event]:
        """Take in one chunk, and do what is due after it, while the next one is computed already."""
        self._in_flight = self._in_flight or self._launch()
        chunks = self._collect()
        if launch and not self._is_over:
            self._in_flight = self._launch()
        rows = rows_of(chunks, self._lanes)
        self._run.append_rows(rows)
        self._take_in(rows, chunks)
        yield NewRows(rows)
        yield from self._look([chunk.lane for chunk in chunks if self._states[chunk.lane.seed].diverged])
        settings, iteration = self._run.current, self._iteration
        if iteration % settings.report.every == 0:
            yield from self._report(rows)
        first = next_look(0, settings.report.every)
        if iteration == next_look(iteration, settings.report.every) or iteration == self._total < first:
            yield from self._look(self._going_on())
        if iteration > 0 and iteration % settings.run.checkpoint_every == 0:
            yield from self._checkpoint()
        now = monotonic()
        if self._interactive and now >= self._curves_due:
            yield self._curves()
        if now >= self._record_due:
            self._update_record()

    def _launch(self) -> _InFlight:
        """Start the next chunk, which ends where a report or a checkpoint is due."""
        settings, done = self._run.current, self._iteration + 1
        stops = [self._total, next_look(done, settings.report.every)]
        stops += [-(-done // every) * every for every in (settings.report.every, settings.run.checkpoint_every)]
        n = min(self._chunk, *(stop - done + 1 for stop in stops if stop >= done))
        going_on = [
            trainer for trainer, state in zip(self._trainers, self._states.values(), strict=True) if not state.diverged
        ]
        if self._executor is None:
            raise RuntimeError("the session has not been prepared")
        futures = [self._executor.submit(advance, trainer, n) for trainer in going_on]
        return _InFlight(n, going_on, futures)

    def _collect(self) -> list[Chunk]:
        """Wait for the chunk in flight and take over what came of it."""
        in_flight, all_chunks, all_seconds = self._in_flight, [], 0.0
        if in_flight is None:
            return []
        for trainer, future in zip(in_flight.trainers, in_flight.futures, strict=True):
            state, chunks, seconds = self._awaited(future)
            trainer.load_state(state)  # it has been elsewhere, if the executor is of another process
            self._states[trainer.lanes[0].seed] = state
            all_chunks += chunks
            all_seconds += seconds
        self._in_flight = None
        self._adapt_chunk(in_flight.n, all_seconds / min(self._workers, len(in_flight.trainers)))
        return all_chunks

    def _awaited(self, future: "Future[Value]") -> Value:
        """Wait for a result, with a sign of life for who watches from another host: it may take minutes."""
        while not wait([future], _RECORD_SECONDS).done:
            with suppress(OSError):
                self._run.update()
        return future.result()

    def _wait(self) -> None:
        """Let nothing go on behind the end of the session."""
        if self._in_flight:
            for future in self._in_flight.futures:
                future.cancel()
            wait(self._in_flight.futures)
        if self._own_executor:
            self._own_executor.shutdown(wait=True)

    def _adapt_chunk(self, n: int, seconds: float) -> None:
        if self._fixed_chunk is None and n == self._chunk:
            wanted = int(n * CHUNK_SECONDS / max(seconds, 1e-6))
            self._chunk = min(max(wanted, 1), 2 * self._chunk, _GREATEST_CHUNK)

    def _report(self, rows: Rows) -> Iterator[Event]:
        seconds, iteration = self._stopwatch.seconds, self._iteration
        last_seconds, last_iteration = self._last_report
        self._last_report = (seconds, iteration)
        rate = (iteration - last_iteration) / max(seconds - last_seconds, 1e-9)
        for index, (lane, window) in enumerate(zip(self._lanes, self._windows, strict=True)):
            of_lane = rows.of_lane(index)
            if not len(of_lane) or of_lane.iteration[-1] != iteration:
                continue  # this lane has diverged
            yield Progress(
                lane=lane,
                iteration=iteration,
                sum_error=float(of_lane.sum_loss[-1]),
                optim_result=float(of_lane.end_loss[-1]),
                average_log_result=window.average_log_result,
                average_sum_log_result=window.average_sum_log_result,
                numbers={name: float(values[-1]) for name, values in of_lane.numbers.items()},
                iterations_per_second=round(rate, 2),
                elapsed_seconds=round(seconds, 3),
                non_finite=window.non_finite,
            )

    def _going_on(self) -> list[Lane]:
        return [lane for lane in self._lanes if not self._states[lane.seed].diverged]

    def _look(self, lanes: Sequence[Lane]) -> Iterator[Event]:
        """Look at how lanes do: now and then, and when one has diverged, for the last time."""
        for lane in lanes:
            state = self._states[lane.seed]
            if state.learner is None:
                continue  # nothing is learned
            diagnosis = self._diagnosticians[lane].look(state.learner)
            yield Diagnosed(lane, diagnosis)
            for finding in diagnosis.new:
                yield Found(lane, state.done - 1, finding)

    def _curves(self) -> Event:
        began = monotonic()
        seeds, shown = self._run.current.seeds, self._shown
        seed = seeds[0] if shown.seed is None else shown.seed
        state = self._states[seed]  # not the trainer's own: it may be a chunk ahead
        losses = curves_of(self._trainers[seeds.index(seed)], shown, state)
        now = monotonic()
        self._curves_due = now + max(_CURVES_SECONDS, (now - began) / _CURVES_SHARE)
        return Curves(shown.first, self._iteration, losses, seed)

    def _checkpoint(self, *, requested: bool = False) -> Iterator[Event]:
        if self._iteration < 0 or (self._iteration == self._last_checkpoint and not requested):
            return
        path = self._run.save(
            Checkpoint(
                iteration=self._iteration,
                elapsed_seconds=round(self._stopwatch.seconds, 3),
                metrics_bytes=self._run.metrics_bytes,
                trainers=dict(self._states),  # not the trainers' own: they may be a chunk ahead
            ),
            keep=requested,
        )
        self._last_checkpoint = self._iteration
        self._update_record()
        yield Checkpointed(self._iteration, str(path), self._run.current.seeds, requested)

    def _obey(self, command: Command) -> Iterator[Event]:
        match command:
            case Pause() if self._status == "running":
                self._stopwatch.stop()
                yield from self._checkpoint()
                yield from self._become("paused")
            case GoOn() if self._status == "paused":
                self._stopwatch.start()
                yield from self._become("running")
            case SaveCheckpoint():
                yield from self._checkpoint(requested=True)
            case Extend(iterations):
                yield from self._extend(iterations)
            case ShowDraws(seed=seed) if seed is None or seed in self._states:
                self._shown = command
                yield self._curves()
            case Stop():
                self._stopping = command

    def _extend(self, iterations: int) -> Iterator[Event]:
        if iterations <= self._iteration or all(state.diverged for state in self._states.values()):
            yield Notice(f"cannot continue to {iterations:,}: the run is at {self._iteration:,}")
            return
        self._run.set_iterations(iterations)
        yield Extended(iterations)
        if self._status in ("finished", "diverged"):
            self._stopwatch.start()
            self._last_report = (self._stopwatch.seconds, self._iteration)
            yield from self._become("running")

    def _become(self, status: Status) -> Iterator[Event]:
        self._status = status
        self._update_record()
        yield StatusChanged(status, self._iteration)

    def _finish(self) -> Iterator[Event]:
        diverged = [seed for seed, state in self._states.items() if state.diverged]
        if not diverged:
            yield from self._end("finished", "")
            return
        yield from self._end("diverged", f"seed {', '.join(map(str, diverged))} diverged: {self._why(diverged)}")

    def _why(self, diverged: list[int]) -> str:
        learners = [self._states[seed].learner for seed in diverged]
        if any(learner is not None and not np.isfinite(learner.weights).all() for learner in learners):
            return "its weights are no longer finite"
        policy = self._run.current.meta
        if policy.non_finite == "stop":
            return 'a non-finite number ends the run (meta.non_finite = "stop")'
        return f"more than {policy.max_non_finite} meta-iterations in a row were not finite (meta.max_non_finite)"

    def _end(self, status: Status, message: str) -> Iterator[Event]:
        self._stopwatch.stop()
        self._status = status
        yield from self._checkpoint()
        self._update_record(message)
        if self._interactive and status in ("finished", "diverged"):
            yield self._curves()
        yield self._ended(status, message)

    def _ended(self, status: Status, message: str) -> Ended:
        iteration = self._iteration if self._states else -1
        results = tuple(
            LaneResult(lane, self._states[lane.seed].done - 1 if self._states else -1, window.average_log_result)
            for lane, window in zip(self._lanes, self._windows, strict=True)
        )
        return Ended(status, iteration, round(self._stopwatch.seconds, 3), results, message)

    def _update_record(self, message: str = "") -> None:
        self._record_due = monotonic() + _RECORD_SECONDS
        # Of one optimizer over its seeds; a mean over several optimizers would mean nothing.
        learned = self._run.current.kind == "meta-training"
        results = [w.average_log_result for w in self._windows if learned and isfinite(w.average_log_result)]
        self._run.update(
            status=self._status,
            iteration=max(self._iteration, 0),
            elapsed_seconds=round(self._stopwatch.seconds, 3),
            average_log_result=sum(results) / len(results) if results else None,
            message=message,
        )

    def _failed(self, message: str) -> Event:
        ended = self._ended("failed", message)
        with suppress(OSError):  # the disk may be what failed
            self._run.append_event(ended)
        return ended

    def _failure(self, error: Exception) -> SessionError:
        cause = str(error) if isinstance(error, OSError | UserError) else f"{type(error).__name__}: {error}"
        latest = self._run.latest_checkpoint()
        what = f"{cause} ({f'the last checkpoint is {latest}' if latest else 'there is no checkpoint yet'})"
        try:
            self._run.update(status="failed", message=what)
        except OSError as second:
            what += f"; and run.json could not be written: {second}"
        return SessionError(what)
