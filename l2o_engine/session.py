"""A session drives a run: it takes commands from a mailbox, yields events, and writes the run's folder.

Every front end is a reader of these events. Between two chunks of about 50 ms the session looks into its mailbox, so
it answers at once whatever the backend; how long a chunk is never changes a result.
"""

import queue
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from time import monotonic

from l2o_engine.backends import make_backend
from l2o_engine.checkpoints import Checkpoint
from l2o_engine.errors import Failure, UserError
from l2o_engine.events import (
    Checkpointed,
    Command,
    Curves,
    Ended,
    Event,
    Extend,
    Extended,
    GoOn,
    LaneResult,
    NewDraw,
    NewRows,
    Notice,
    Pause,
    Preparing,
    Progress,
    SaveCheckpoint,
    Started,
    Status,
    StatusChanged,
    Stop,
    finite,
)
from l2o_engine.metrics import ReportWindow, Rows, rows_of
from l2o_engine.runs import DrivenRun, lanes_of
from l2o_engine.trainer import Baselines, Chunk, Trainer, TrainerState, make_trainer

CHUNK_SECONDS = 0.05
_GREATEST_CHUNK = 65_536
_CURVES_SECONDS = 0.5
_RECORD_SECONDS = 1.0


class SessionError(Failure):
    """Training failed. The message says what happened and where the last checkpoint is."""


class Mailbox:
    """Where commands wait for the session. Any thread, and any signal handler, may put one in."""

    def __init__(self) -> None:
        self._queue: queue.SimpleQueue[Command] = queue.SimpleQueue()  # the one whose put() is safe in a signal handler

    def put(self, command: Command) -> None:
        """Leave a command."""
        self._queue.put(command)

    def take(self) -> Command | None:
        """Return the next command, or None if there is none."""
        try:
            return self._queue.get_nowait()
        except queue.Empty:
            return None

    def wait(self) -> Command:
        """Wait for the next command."""
        return self._queue.get()


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


def advance(trainer: Trainer, n: int) -> tuple[TrainerState, list[Chunk]]:
    """Let a trainer do n meta-iterations and return its state with what it did.

    A plain function of plain values, so that an executor may call it in another thread, process or machine.
    """
    chunks = trainer.advance(n)
    return trainer.state(), chunks


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
    executor
        Advances the replicates side by side; None for one after the other.

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
        executor: Executor | None = None,
    ) -> None:
        self.mailbox = Mailbox()
        self._run = run
        self._asked_backend = backend or run.current.run.backend
        self._fixed_chunk = chunk
        self._chunk = chunk or 1
        self._interactive = interactive
        self._executor = executor
        self._lanes = lanes_of(run.current)
        self._trainers: list[Trainer] = []
        self._windows = [ReportWindow(run.current.report.every) for _ in self._lanes]
        self._stopwatch = _Stopwatch(0.0)
        self._status: Status = "running"
        self._stopping: Stop | None = None
        self._last_checkpoint = -1
        self._last_report = (0.0, 0)
        self._draw = 0
        self._curves_due = 0.0
        self._record_due = 0.0

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
            raise self._failure(error) from error
        finally:
            self._run.close()

    @property
    def _preset_iterations(self) -> int:
        return self._run.current.run.iterations

    @property
    def _iteration(self) -> int:
        """The last meta-iteration that every lane which still goes on has done; -1 before the first."""
        going_on = [trainer.done for trainer in self._trainers if not trainer.diverged]
        return (min(going_on) if going_on else max(trainer.done for trainer in self._trainers)) - 1

    @property
    def _is_over(self) -> bool:
        return self._iteration >= self._preset_iterations or all(trainer.diverged for trainer in self._trainers)

    def _drive(self) -> Iterator[Event]:
        yield from self._prepare()
        while self._stopping is None:
            if self._status == "running" and self._is_over:
                yield from self._finish()
            if self._status == "running":
                yield from self._advance()
                command = self.mailbox.take()
            elif self._interactive or self._status == "paused":
                command = self.mailbox.wait()
            else:
                return
            while command is not None:
                yield from self._obey(command)
                command = self.mailbox.take()
        if self._status in ("running", "paused"):
            yield from self._end("interrupted", self._stopping.reason)

    def _prepare(self) -> Iterator[Event]:
        run, preset = self._run, self._run.current
        choice = None
        if preset.kind == "meta-training":
            yield Preparing("loading the backend")
            choice = make_backend(preset, self._asked_backend)
        name, reason = (choice.backend.name, choice.reason) if choice else ("numpy", "nothing is trained")
        self._trainers = [make_trainer(preset, choice.backend if choice else None, seed) for seed in preset.seeds]
        checkpoint, notices = run.restore()
        if checkpoint is not None:
            for trainer, seed in zip(self._trainers, preset.seeds, strict=True):
                trainer.load_state(checkpoint.trainers[seed])
            self._stopwatch = _Stopwatch(checkpoint.elapsed_seconds)
            self._last_checkpoint = checkpoint.iteration
        run.update(status="running", backend=name, backend_reason=reason, message="")
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

    def _take_in(self, rows: Rows) -> None:
        for lane, window in enumerate(self._windows):
            window.add(rows.of_lane(lane))

    def _advance(self) -> Iterator[Event]:
        """Do one chunk, and what is due after it. A chunk ends where a report or a checkpoint is due."""
        settings, done = self._run.current, self._iteration + 1
        stops = [self._preset_iterations]
        stops += [-(-done // every) * every for every in (settings.report.every, settings.run.checkpoint_every)]
        n = min(self._chunk, *(stop - done + 1 for stop in stops if stop >= done))
        began = monotonic()
        rows = rows_of(self._train(n), self._lanes)
        self._adapt_chunk(n, monotonic() - began)
        self._run.append_rows(rows)
        self._take_in(rows)
        yield NewRows(rows)
        if self._iteration % settings.report.every == 0:
            yield from self._report(rows)
        if self._iteration > 0 and self._iteration % settings.run.checkpoint_every == 0:
            yield from self._checkpoint()
        now = monotonic()
        if self._interactive and now >= self._curves_due:
            yield self._curves()
        if now >= self._record_due:
            self._update_record()

    def _train(self, n: int) -> list[Chunk]:
        trainers = [trainer for trainer in self._trainers if not trainer.diverged]
        apply: Callable[..., Iterator[tuple[TrainerState, list[Chunk]]]] = self._executor.map if self._executor else map
        all_chunks = []
        for trainer, (state, chunks) in zip(trainers, apply(advance, trainers, [n] * len(trainers)), strict=True):
            trainer.load_state(state)
            all_chunks += chunks
        return all_chunks

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
                min_log=float(of_lane.min_log[-1]),
                iterations_per_second=round(rate, 2),
                elapsed_seconds=round(seconds, 3),
                non_finite=window.non_finite,
            )

    def _curves(self) -> Event:
        self._curves_due = monotonic() + _CURVES_SECONDS
        return Curves(self._draw, self._iteration, self._trainers[0].curves(self._draw))

    def _checkpoint(self, *, requested: bool = False) -> Iterator[Event]:
        if self._iteration < 0 or (self._iteration == self._last_checkpoint and not requested):
            return
        path = self._run.save(
            Checkpoint(
                iteration=self._iteration,
                elapsed_seconds=round(self._stopwatch.seconds, 3),
                metrics_bytes=self._run.metrics_bytes,
                trainers={
                    seed: trainer.state() for seed, trainer in zip(self._run.current.seeds, self._trainers, strict=True)
                },
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
            case NewDraw():
                self._draw += 1
                yield self._curves()
            case Stop():
                self._stopping = command

    def _extend(self, iterations: int) -> Iterator[Event]:
        if iterations <= self._iteration or all(trainer.diverged for trainer in self._trainers):
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
        diverged = [trainer.lanes[0].seed for trainer in self._trainers if trainer.diverged]
        if not diverged:
            yield from self._end("finished", "")
            return
        policy = self._run.current.meta
        seeds = f"seed {', '.join(map(str, diverged))}"
        message = f'{seeds} diverged beyond the policy meta.non_finite = "{policy.non_finite}"'
        if policy.max_non_finite:
            message += f", meta.max_non_finite = {policy.max_non_finite}"
        yield from self._end("diverged", message)

    def _end(self, status: Status, message: str) -> Iterator[Event]:
        self._stopwatch.stop()
        self._status = status
        yield from self._checkpoint()
        self._update_record(message)
        if self._interactive and status in ("finished", "diverged"):
            yield self._curves()
        done = {lane: trainer.done - 1 for trainer in self._trainers for lane in trainer.lanes}
        yield Ended(
            status,
            self._iteration,
            round(self._stopwatch.seconds, 3),
            tuple(
                LaneResult(lane, done[lane], window.average_log_result)
                for lane, window in zip(self._lanes, self._windows, strict=True)
            ),
            message,
        )

    def _update_record(self, message: str = "") -> None:
        self._record_due = monotonic() + _RECORD_SECONDS
        results = [window.average_log_result for window in self._windows]
        self._run.update(
            status=self._status,
            iteration=max(self._iteration, 0),
            elapsed_seconds=round(self._stopwatch.seconds, 3),
            average_log_result=finite(sum(results) / len(results)),
            message=message,
        )

    def _failure(self, error: Exception) -> SessionError:
        if isinstance(error, UserError):
            what = str(error)
        else:
            cause = str(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
            latest = self._run.latest_checkpoint()
            what = f"{cause} ({f'the last checkpoint is {latest}' if latest else 'there is no checkpoint yet'})"
        try:
            self._run.update(status="failed", message=what)
        except OSError as second:
            what += f"; and run.json could not be written: {second}"
        return SessionError(what)
