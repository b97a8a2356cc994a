"""A session drives a run: it takes commands from a mailbox, yields events, and writes the run's folder.

Every front end is a reader of these events. Between two chunks of about 50 ms the session looks into its mailbox, so
it answers at once whatever the backend; how long a chunk is never changes a result. What other processes ask, it finds
in the run's folder. A :class:`~l2o_engine.live.pipeline.Pipeline` trains, a
:class:`~l2o_engine.live.reporter.Reporter` says what is to be said of it.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor
from contextlib import suppress
from math import isfinite, nan
from time import monotonic

from l2o_engine.backends.devices import CPU
from l2o_engine.live.mailbox import Mailbox
from l2o_engine.live.pipeline import CHUNK_SECONDS, Pipeline
from l2o_engine.live.preparing import (
    SIGN_SECONDS,
    Computing,
    Patience,
    Turns,
    await_turn,
    find_levels,
    is_at_hand,
    load_backend,
)
from l2o_engine.live.reporter import BaseChart, Reporter
from l2o_engine.live.saving import Saving
from l2o_engine.presets.identity import resumed_settings
from l2o_engine.records.events import (
    Changed,
    Checkpointed,
    Command,
    Describe,
    Ended,
    Event,
    Extend,
    Extended,
    GoOn,
    Imitated,
    LaneResult,
    NewRows,
    Notice,
    Pause,
    SaveCheckpoint,
    ShowDraws,
    Started,
    Status,
    StatusChanged,
    Stop,
    Validated,
)
from l2o_engine.records.rows import rows_of
from l2o_engine.runs.about import About
from l2o_engine.runs.checkpoints import Checkpoint, Kind
from l2o_engine.runs.driven import DrivenRun, TakenError
from l2o_engine.runs.record import ACTIVE, RunError
from l2o_engine.support.errors import Failure, UserError
from l2o_engine.support.processes import EndedError
from l2o_engine.support.user_code import CodeError, StoppedError, end_hanging, is_hanging, take_printed, told_where

_FOLDER_SECONDS = 0.2
_FOLDER_CHUNKS = 4  # as long as so many chunks take it may be until a command in the folder is seen
_FIRST_SIGN_SECONDS = (
    0.3  # until run.json says how far it is: the first chunks are so short that they would wait for it
)
_MEASURED_SECONDS = 5.0  # of training, before it is said what slows it
_BUSY = 0.5  # of the time that the kernel should compute, at least
_CLOSE = 500  # meta-iterations between two reports, or checkpoints, that may be too close


class SessionError(Failure):
    """Training failed. The message says what happened and where the last checkpoint is."""


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


class Session:
    """Drives one run to its end, or until it is told to stop.

    Parameters
    ----------
    run
        The run's folder. The session closes it.
    backend
        "auto", "fused", "coordinatewise" or "torch"; None for what the preset says.
    device
        "cpu", "cuda", "cuda:1", "mps", "auto"; None for what the preset says.
    chunk
        Meta-iterations between two looks into the mailbox; None to adapt to ``chunk_seconds``.
    interactive
        Whether somebody is there: then it is watched, and after the end the session waits for commands, to look and to
        continue. When the disk fails it pauses; without anybody to make room it ends.
    watched
        Whether somebody watches: then the past of a resumed run is told again, and the base chart's curves are made.
    start_paused
        Whether the run waits for a GoOn before it trains.
    executor
        Advances the replicates; None for threads of this process, as many as the backend can use.
    chunk_seconds
        How long it may take until a command is obeyed, about, and four times that until one in the folder is. Where
        nobody watches, longer chunks cost less.
    turns
        Whose turn it is to compute, among sessions that share cores: this one waits for its own, and gives it back when
        the training is over. None if it shares them with nobody.

    Attributes
    ----------
    mailbox
        Takes commands.
    folder
        The run's.
    """

    def __init__(
        self,
        run: DrivenRun,
        *,
        backend: str | None = None,
        device: str | None = None,
        chunk: int | None = None,
        interactive: bool = False,
        watched: bool = False,
        start_paused: bool = False,
        executor: Executor | None = None,
        chunk_seconds: float = CHUNK_SECONDS,
        turns: Turns | None = None,
    ) -> None:
        self.mailbox = Mailbox()
        self.folder = run.folder
        self._run = run
        self._asked_backend = backend or run.current.run.backend
        self._asked_device = device or run.current.run.device
        self._interactive = interactive
        self._is_watched = interactive or watched
        self._start_paused = start_paused
        self._pipeline = Pipeline(executor, chunk, self._give_sign_of_life, chunk_seconds=chunk_seconds)
        self._reporter = Reporter(run.current)
        self._base_chart = BaseChart(self._pipeline, self._give_sign_of_life)
        self._stopwatch = _Stopwatch(0.0)
        self._computes = Computing(None, "", "", CPU)
        self._status: Status = "running"
        self._stopping: Stop | None = None
        self._has_begun = False  # since a disk failed, too: until then the files do not hold what is told
        self._saving = Saving(run)
        self._settings = resumed_settings(run.current)
        self._record_due = 0.0
        self._folder_due = 0.0
        self._folder_seconds = max(
            _FOLDER_SECONDS, _FOLDER_CHUNKS * chunk_seconds
        )  # each look is heard by a file server
        self._began = 0.0
        self._has_measured = False
        self._patience = Patience(self._give_sign_of_life, self._is_told_to_stop)
        self._turns = turns
        self._is_our_turn = False
        self._restored: tuple[Checkpoint | None, list[str]] | None = None

    def events(self) -> Iterator[Event]:
        """Drive the run, yielding what happens; returns when the session is over.

        Raises
        ------
        SessionError
            If something failed; what was trained up to the last checkpoint is safe.
        """
        try:
            try:
                yield from self._drive()
            except EndedError:  # told to stop before it began
                yield from self._recorded(self._give_up())
            except StoppedError as stopped:  # a user's code did not return, and was ended
                if self.mailbox.stop is None:
                    raise
                yield from self._recorded(self._end_without_chunk(str(stopped)))
        except Exception as error:
            if isinstance(error, CodeError):
                yield from self._kept_of_failed()
            failure = self._failure(error)
            yield self._failed(str(failure))
            raise failure from error
        finally:
            self._base_chart.close()
            self._pipeline.close()
            self._give_back_turn()
            self._run.close()

    @property
    def _total(self) -> int:
        return self._run.current.run.iterations

    @property
    def _iteration(self) -> int:
        """The last meta-iteration that has been told; -1 before the first."""
        return self._pipeline.iteration

    @property
    def _is_over(self) -> bool:
        return self._iteration >= self._total or self._pipeline.is_stuck

    def _drive(self) -> Iterator[Event]:
        is_prepared = False
        if self._turns is not None:
            self._restored = self._run.restore()  # which takes the disk, and none of the cores
            if is_prepared := is_at_hand(self._run.current, self._asked_backend, self._asked_device):
                yield from self._recorded(self._prepare())
            await_turn(self._turns, self._patience)
            self._is_our_turn = True
        if not is_prepared:
            yield from self._recorded(self._prepare())
        while self._stopping is None:
            if self._status in ("finished", "diverged") and not self._interactive:
                return
            try:
                if self._status == "running" and not self._has_begun:
                    yield from self._begin()
                else:
                    yield from self._recorded(self._turn())
            except OSError as error:
                if not (self._interactive and self._run.is_there):
                    raise
                yield from self._wait_for_the_disk(error)
        if self._status in ("running", "paused"):
            yield from self._recorded(self._end("interrupted", self._stopping.reason))

    def _recorded(self, events: Iterator[Event]) -> Iterator[Event]:
        for event in events:
            self._run.append_event(event)
            yield event

    def _turn(self) -> Iterator[Event]:
        """Do what is next: what is asked, a chunk, or waiting a moment."""
        if self._status == "running" and self._is_over:
            yield from self._finish()
            return
        is_running = self._status == "running"
        command = self.mailbox.take() if is_running else self.mailbox.wait(_FOLDER_SECONDS)
        asked = command or self._noted() or self._asked_in_folder()
        if isinstance(asked, Notice):
            yield asked
        elif asked is not None:
            if self._pipeline.is_ahead:
                yield from self._advance(launch=False)  # a command finds the run between two chunks
            yield from self._obey(asked)
        elif is_running:
            yield from self._advance()
        else:
            yield from self._base_chart.told()
            self._stay()

    def _stay(self) -> None:
        """Give a sign of life now and then while nothing is trained."""
        if self._status == "paused" and monotonic() >= self._record_due:
            with suppress(OSError):  # it only says that we are still here
                self._update_record()

    def _noted(self) -> Notice | None:
        """Return what is to be told of the run's folder."""
        return Notice(self._run.notices.pop(0)) if self._run.notices else None

    def _asked_in_folder(self) -> Command | Notice | None:
        """Return what another process asks of the run: one look into the folder now and then, for looks cost time."""
        now = monotonic()
        if now < self._folder_due:
            return None
        asked = self._run.inbox.take()
        if asked is None:
            self._folder_due = now + self._folder_seconds
        return asked

    def _is_told_to_stop(self) -> bool:
        """Return whether anybody wants the session to stop; other commands wait for their turn."""
        asked = self._asked_in_folder()
        if isinstance(asked, Notice):
            self._run.notices.append(asked.message)  # for who listens
        elif asked is not None:
            self.mailbox.put(asked)
        return self.mailbox.stop is not None

    # Before it trains.

    def _prepare(self) -> Iterator[Event]:
        preset = self._run.current
        computes = yield from load_backend(preset, self._asked_backend, self._asked_device, self._patience)
        before = self._run.written
        # Whoever goes on names it, for the same bits: that is not why it was chosen.
        if (before.backend, before.device) == (computes.name, computes.device):
            computes = computes._replace(reason=before.backend_reason)
        self._computes = computes
        self._pipeline.open(preset, computes.backend)

    def _begin(self) -> Iterator[Event]:
        """Go on from the newest good checkpoint, or begin, and tell from where and what came before."""
        run, preset, computes = self._run, self._run.current, self._computes
        if self._iteration >= 0:  # it goes back: what was told since is done again
            self._reporter = Reporter(preset)
        checkpoint, notices = self._restored or run.restore()
        self._restored = None
        start = None if checkpoint else run.start()
        self._pipeline.load(checkpoint.trainers if checkpoint else None, start)
        if start is not None:
            origin = start.origin
            notices.append(
                f"starts with the weights of {origin.run}, seed {origin.seed}, at {origin.iteration:,} "
                f"({start.digest:.12})"
            )
        self._stopwatch = _Stopwatch(checkpoint.elapsed_seconds if checkpoint else 0.0)
        self._saving.go_on_from(checkpoint)
        if not self._is_over:  # to look at a finished run does not change it
            self._status = "paused" if self._start_paused else "running"
            before = run.written
            if before.backend and before.device != computes.device:
                places = f"computed on {before.device} before, on {computes.device} from here on"
                notices.append(f"{places}: results may differ in their last bits")
            # Of a run that has just been made it is written with the first rows, or the first sign of life.
            tell = run.update if before.backend or before.status != self._status else run.note
            tell(
                status=self._status,
                backend=computes.name,
                backend_reason=computes.reason,
                device=computes.device,
                message="",
            )
        yield from self._recorded(self._announce(notices))
        if checkpoint is not None:  # which was told and recorded then
            yield from self._reporter.recall(run, checkpoint.iteration, is_watched=self._is_watched)
        if self._status == "running":
            self._stopwatch.start()
        self._began = self._stopwatch.seconds
        self._reporter.start_clock(self._began, self._iteration)
        self._record_due = monotonic() + _FIRST_SIGN_SECONDS
        self._has_begun = True
        if self._status == "paused":
            yield from self._recorded(self._become("paused"))

    def _announce(self, notices: Sequence[str]) -> Iterator[Event]:
        """Tell that it begins, and with what."""
        run, preset, computes = self._run, self._run.current, self._computes
        reached = yield from find_levels(run, self._patience)
        yield Started(
            run_dir=str(run.folder),
            preset=preset.name,
            seeds=preset.seeds,
            lanes=self._reporter.lanes,
            backend=computes.name,
            reason=computes.reason,
            device=computes.device,
            iteration=self._iteration,
            iterations=preset.run.iterations,
            levels={name: level.end_log10 for name, level in reached.items()},
            versions=run.written.versions,
        )
        changes, run.changes = run.changes, ()  # each is told once
        for change in changes:
            yield Changed(change.iteration, change.settings)
        for notice in notices:
            yield Notice(notice)
        yield from self._printed()

    def _give_up(self, message: str = "") -> Iterator[Event]:
        """End what has not begun to train: all that was kept of the run is as it was."""
        reason = self.mailbox.stop.reason if self.mailbox.stop else ""
        reason = f"{reason}; {message}" if message else reason
        if self._run.record().status in ACTIVE:
            self._run.update(status="interrupted", message=reason)
        record = self._run.record()
        results = tuple(LaneResult(lane, record.iteration, nan) for lane in self._reporter.lanes)
        yield Ended("interrupted", record.iteration, record.elapsed_seconds, results, reason)

    # While it trains.

    def _advance(self, *, launch: bool = True) -> Iterator[Event]:
        """Take in one chunk, and do what is due after it, while the next one is computed already."""
        pipeline, reporter = self._pipeline, self._reporter
        if not pipeline.is_ahead:
            pipeline.launch(self._next_stop())
        chunks = pipeline.collect()
        if launch and not self._is_over and not reporter.may_lose(pipeline.states, self._iteration):
            pipeline.launch(self._next_stop())
        rows = rows_of(chunks, reporter.lanes)
        self._run.append_rows(rows)
        yield NewRows(rows)
        yield from self._printed()
        for chunk in chunks:
            for likeness in chunk.likenesses:
                yield Imitated(chunk.lane, likeness)
            for verdict in chunk.verdicts:
                yield Validated(chunk.lane, verdict)
        yield from reporter.due(rows, chunks, pipeline, total=self._total, seconds=self._stopwatch.seconds)
        stage, figure = pipeline.judged or (0, reporter.figure(self._iteration))
        if isfinite(figure):
            self._saving.judge(self._state(), figure, stage)
        is_regular = self._iteration > 0 and self._iteration % self._run.current.run.checkpoint_every == 0
        if (kind := self._saving.due(is_regular=is_regular)) is not None:
            yield from self._checkpoint(kind)
        yield from self._warn_once()
        now = monotonic()
        if self._is_watched:
            yield from self._base_chart.refresh()
        if now >= self._record_due:
            self._update_record()

    def _warn_once(self) -> Iterator[Event]:
        """Say, after some seconds, which setting makes the training wait for what is told and saved of it."""
        trained = self._stopwatch.seconds - self._began
        if self._has_measured or trained < _MEASURED_SECONDS:
            return
        self._has_measured = True
        settings = self._run.current
        if self._pipeline.seconds > _BUSY * trained:
            return
        if settings.report.every < _CLOSE:
            yield Notice(f"a report every {settings.report.every} meta-iterations slows the training (report.every)")
        elif settings.run.checkpoint_every < _CLOSE and not settings.run.checkpoint_seconds:
            every = f"every {settings.run.checkpoint_every} meta-iterations"
            yield Notice(f"a checkpoint {every} slows the training (run.checkpoint_every, run.checkpoint_seconds)")

    def _next_stop(self) -> int:
        """Return the meta-iteration behind which something is due, where the next chunk ends at the latest."""
        at, settings = self._iteration, self._run.current.run
        # Of checkpoints that the clock will leave out, only the last within reach ends a chunk.
        reach = at + self._pipeline.chunk if settings.checkpoint_seconds else at
        every = settings.checkpoint_every
        stops = [self._total, self._reporter.next_due(at + 1), max(reach // every, at // every + 1) * every]
        until_validation = self._pipeline.until_validation  # what is validated is saved, where it is the best
        return min([*stops, at + until_validation] if until_validation else stops)

    def _state(self) -> Checkpoint:
        """Return the run's state after what has been told."""
        return Checkpoint(
            iteration=self._iteration,
            elapsed_seconds=round(self._stopwatch.seconds, 3),
            metrics_bytes=self._run.metrics_bytes,
            metrics_sha256=self._run.metrics_sha256,
            trainers=dict(self._pipeline.states),
            settings=self._settings,
        )

    def _checkpoint(self, kind: Kind = Kind.REGULAR, *, is_last: bool = False) -> Iterator[Event]:
        if self._iteration < 0 or not self._has_begun:
            return
        is_finite = self._reporter.is_finite(self._iteration)
        for checkpoint, kept, path in self._saving.save(self._state(), kind, is_finite=is_finite):
            if not is_last:  # then run.json is about to be written anyhow, and each time takes a sync
                self._update_record()
            if kept is not Kind.LATEST:  # which is gone with the next
                yield Checkpointed(checkpoint.iteration, str(path), self._run.current.seeds, kept is Kind.KEPT)

    # What it is asked.

    def _obey(self, command: Command) -> Iterator[Event]:
        match command:
            case Pause() if self._status == "running":
                self._stopwatch.stop()
                yield from self._checkpoint()
                yield from self._become("paused")
            case GoOn() if self._status == "paused" and self._has_begun:
                self._stopwatch.start()
                yield from self._become("running")
            case GoOn() if self._status == "paused":
                self._status, self._start_paused = "running", False
            case SaveCheckpoint() if not self._has_begun:
                yield Notice("no checkpoint is saved: the disk has not taken what came before it")
            case SaveCheckpoint():
                yield from self._checkpoint(Kind.KEPT)
            case Extend(iterations):
                yield from self._extend(iterations)
            case Describe():
                about = About(command.given_name, command.note, command.tags)
                self._run.describe(about)
                yield about.told
            case ShowDraws(seed=seed) if seed is None or seed in self._pipeline.states:
                self._base_chart.shown = command
                yield from self._base_chart.make()
            case Stop():
                self._stopping = command

    def _extend(self, iterations: int) -> Iterator[Event]:
        if iterations <= self._iteration or self._pipeline.is_stuck:
            yield Notice(f"cannot continue to {iterations:,}: the run is at {self._iteration:,}")
            return
        self._run.set_iterations(iterations)
        yield Extended(iterations)
        if self._status in ("finished", "diverged"):
            self._stopwatch.start()
            self._reporter.start_clock(self._stopwatch.seconds, self._iteration)
            yield from self._become("running")

    def _become(self, status: Status) -> Iterator[Event]:
        self._status = status
        self._update_record()
        yield StatusChanged(status, self._iteration)

    # When the disk takes nothing more.

    def _wait_for_the_disk(self, error: OSError) -> Iterator[Event]:
        """Pause where the disk has failed and somebody watches: he may make room, and go on.

        To go on is to begin again from the newest checkpoint, as who resumes does: nothing depends on what was written.
        """
        self._has_begun = False
        self._pipeline.drop()
        self._stopwatch.stop()
        self._status = "paused"
        where = f"from {self._saving.iteration:,}" if self._saving.iteration >= 0 else "from the start"
        reason = f"the disk has failed: {error.strerror or error}"
        message = f"paused, for the disk has failed: {error}. Once it takes files again, the run goes on {where}"
        for event in (StatusChanged("paused", self._iteration, reason), Notice(message)):
            with suppress(OSError):
                self._run.append_event(event)
            yield event

    # How it ends.

    def _finish(self) -> Iterator[Event]:
        diverged = self._pipeline.diverged
        if not diverged:
            stopped = ", ".join(map(str, self._pipeline.stopped))
            yield from self._end("finished", f"validation found nothing better, seed {stopped}" if stopped else "")
            return
        why = self._reporter.why_diverged(self._pipeline.states, diverged)
        best = self._run.best_checkpoint()
        kept = f"; the best checkpoint before is {best.name}" if best else ""
        yield from self._end("diverged", f"seed {', '.join(map(str, diverged))} diverged: {why}{kept}")

    def _kept_of_failed(self) -> Iterator[Event]:
        """Save what was trained before a user's code has failed: it may be mended, and the run goes on from there."""
        with suppress(OSError, RunError):  # the failure is what is to be told
            yield from [*self._printed(), *self._recorded(self._checkpoint())]

    def _printed(self) -> Iterator[Event]:
        """Tell what a user's code has printed."""
        for line in take_printed():
            yield Notice(line)

    def _end_without_chunk(self, message: str) -> Iterator[Event]:
        """End where a user's code did not: what it was at is lost, as a chunk that was never begun."""
        reason = self.mailbox.stop.reason if self.mailbox.stop else ""
        if self._has_begun:
            yield from self._end("interrupted", f"{reason}; {message}")
        else:
            yield from self._give_up(message)

    def _end(self, status: Status, message: str) -> Iterator[Event]:
        self._stopwatch.stop()
        self._give_back_turn()  # what is left to do is to write
        yield from self._checkpoint(is_last=True)
        self._status = status  # not before: who is killed while it is written has not finished
        self._update_record(message)
        if self._is_watched and status in ("finished", "diverged"):
            yield from self._base_chart.last()
        yield self._ended(status, message)

    def _give_back_turn(self) -> None:
        if self._turns is not None and self._is_our_turn:
            self._is_our_turn = False
            self._turns.release()

    def _ended(self, status: Status, message: str) -> Ended:
        results = self._reporter.results(self._pipeline.states)
        return Ended(status, self._iteration, round(self._stopwatch.seconds, 3), results, message)

    def _failed(self, message: str) -> Event:
        ended = self._ended("failed", message)
        with suppress(OSError, TakenError):  # the disk may be what failed
            self._run.append_event(ended)
        return ended

    def _failure(self, error: Exception) -> SessionError:
        if isinstance(error, TakenError):  # nothing here is ours to write any more
            return SessionError(str(error))
        error = told_where(error) or error if not isinstance(error, OSError | UserError) else error
        cause = str(error) if isinstance(error, OSError | UserError) else f"{type(error).__name__}: {error}"
        if not self._run.is_there:
            return SessionError(f"{self._run.folder} is gone, removed or renamed while it was being trained")
        latest = self._run.latest_checkpoint()
        what = f"{cause} ({f'the last checkpoint is {latest}' if latest else 'there is no checkpoint yet'})"
        try:
            self._run.update(status="failed", message=what)
        except (OSError, TakenError) as second:
            what += f"; and run.json could not be written: {second}"
        return SessionError(*what.split("\n"))  # what caused it may have several lines

    # What run.json says of it.

    def _update_record(self, message: str = "") -> None:
        self._record_due = monotonic() + SIGN_SECONDS
        self._run.update(
            status=self._status,
            iteration=max(self._iteration if self._has_begun else self._saving.iteration, 0),
            elapsed_seconds=round(self._stopwatch.seconds, 3),
            average_log_result=self._reporter.average_log_result,
            message=message,
        )

    def _give_sign_of_life(self) -> None:
        with suppress(OSError):
            self._run.update()
        if is_hanging() and self._is_told_to_stop():
            end_hanging()
