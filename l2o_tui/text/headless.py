"""The front end without a screen: a session's events as a table for people or JSON lines for scripts.

stdout carries the data and nothing else; what it is about goes to stderr. Nothing here knows textual.
"""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from threading import Event as Flag
from threading import Thread
from time import monotonic
from types import FrameType
from typing import Protocol

from rich.progress import BarColumn, MofNCompleteColumn, TimeRemainingColumn
from rich.progress import Progress as ProgressBar

from l2o_engine.live.mailbox import Mailbox
from l2o_engine.live.session import Session, SessionError
from l2o_engine.presets.identity import in_words
from l2o_engine.presets.schema import Preset
from l2o_engine.records.codec import as_json
from l2o_engine.records.events import (
    Changed,
    Checkpointed,
    Ended,
    Event,
    Extended,
    Found,
    NewRows,
    Notice,
    Preparing,
    Progress,
    Started,
    Stop,
    Validated,
)
from l2o_engine.support.errors import Failure
from l2o_engine.support.wording import shown
from l2o_tui import exit_codes
from l2o_tui.text import validation
from l2o_tui.text.commands import permissions, proposed
from l2o_tui.text.health import sentence
from l2o_tui.text.numbers import count, duration, fixed, relative
from l2o_tui.text.output import TextConsole, json_text, silence
from l2o_tui.text.progress_table import ProgressTable
from l2o_tui.text.streams import is_terminal, say, write_path

PATIENCE = 1.0  # seconds after which a second ctrl+c ends the program without a checkpoint
STILL_AT_IT = "it ends when what it is at is done and saved; ctrl+c again ends it at once, and loses that"


class _Printer(Protocol):
    """Prints events."""

    def show(self, event: Event) -> None: ...
    def close(self) -> None: ...


class JsonLines:
    """One JSON object a line on stdout."""

    def show(self, event: Event) -> None:
        """Print an event, if it is one for scripts."""
        for document in as_json(event):
            print(json_text(document), flush=True)  # noqa: T201 (data)

    def close(self) -> None:
        """Nothing is left to do."""


class Quiet:
    """Only the run's folder on stdout, so that a script can go on with it; on stderr only a bad end."""

    def show(self, event: Event) -> None:
        """Print the folder when the run starts."""
        match event:
            case Started():
                write_path(event.run_dir)
            case Ended(status="interrupted" | "diverged"):
                say(f"l2o-tui: {event.status} at {count(event.iteration)}: {event.message}")
            case _:
                pass

    def close(self) -> None:
        """Nothing is left to do."""


class Table:
    """The notebook's table on stdout, ours and the published rows side by side; the rest on stderr.

    Where stderr is a terminal, a line below the table tells how far the run is.
    """

    def __init__(self, preset: Preset, folder: Path) -> None:
        self._preset = preset
        self._console = TextConsole(stderr=True)
        self._table: ProgressTable | None = None
        self._bar: ProgressBar | None = None
        self._run_dir = Path(relative(str(folder)))

    def show(self, event: Event) -> None:
        """Print an event."""
        match event:
            case Preparing():
                self._say(f"{event.message} …")
            case Started():
                self._start(event)
            case NewRows() if self._bar and len(event.rows):
                self._bar.update(self._bar.task_ids[0], completed=int(event.rows.iteration[-1]))
            case Progress() if self._table:
                for line in self._table.lines(event):
                    print(line, flush=True)  # noqa: T201 (data)
            case Notice():
                self._say(event.message)
            case Ended():
                self._end(event)
            case _:
                self._mention(event)

    def close(self) -> None:
        """Take the progress line away."""
        if self._bar:
            self._bar.stop()
            self._bar = None

    def _mention(self, event: Event) -> None:
        """Print what is worth a line, and no more."""
        match event:
            case Changed():
                self._say(f"changed at {count(event.iteration)}: {in_words(event.settings)}")
            case Extended():
                self._say(f"continuing to {count(event.iterations)}")
                if self._bar:
                    self._bar.update(self._bar.task_ids[0], total=event.iterations)
            case Found():
                seed = f", seed {event.lane.seed}" if len(self._preset.seeds) > 1 else ""
                self._say(f"at {count(event.iteration)}{seed}: {sentence(event.finding)}")
            case Validated(lane, verdict) if said := validation.sentence(verdict):
                seed = f", seed {lane.seed}" if len(self._preset.seeds) > 1 else ""
                self._say(f"at {count(verdict.iteration)}{seed}: {said}")
            case Checkpointed(requested=True):
                self._say(f"checkpoint at {count(event.iteration)}: {relative(event.path)}")
            case _:
                pass

    def _start(self, event: Started) -> None:
        seeds = f"seed {event.seeds[0]}" if len(event.seeds) == 1 else f"seeds {event.seeds[0]}–{event.seeds[-1]}"
        resumed = f", resumed at {count(event.iteration)}" if event.iteration >= 0 else ""
        tuned = self._preset.tuned
        levels = ", ".join(
            f"{name} {fixed(level)}{' (tuned)' if name in tuned else ''}" for name, level in event.levels.items()
        )
        self._say(
            f"{event.preset} · {seeds} · {event.computes} ({event.reason}) · {count(event.iterations)} iterations"
        )
        self._say(f"in {self._run_dir}{resumed}")
        if levels and self._preset.learns:
            self._say(f"to beat (mean log10 of the last loss): {levels}")
        self._table = ProgressTable(self._preset, event.lanes, after=event.iteration)
        print(self._table.heading(), flush=True)  # noqa: T201 (data)
        if is_terminal(sys.stderr) and is_terminal(sys.stdout):  # not where the rows come back through a pipe
            self._bar = ProgressBar(
                BarColumn(),
                MofNCompleteColumn(),
                TimeRemainingColumn(),
                console=self._console,
                transient=True,
            )
            self._bar.add_task("", total=event.iterations, completed=max(event.iteration, 0))
            self._bar.start()

    def _end(self, event: Ended) -> None:
        self.close()
        if event.status == "failed":
            return  # the exception says it
        took = f"at {count(event.iteration)} after {duration(event.elapsed_seconds)} of training"
        self._say(f"{event.status} {took}" + (f": {event.message}" if event.message else ""))
        for result in event.results:
            name = result.lane.optimizer if self._preset.kind == "baselines" else f"seed {result.lane.seed}"
            self._say(f"{name}: average_log_result {fixed(result.average_log_result)}")
        if event.status == "interrupted":
            self._say(f"go on with: {proposed('resume', self._run_dir, *permissions())}")
        elif event.status == "finished" and not event.message:
            further = proposed("resume", self._run_dir, "--iterations", str(2 * event.iteration), *permissions())
            self._say(f"continue with: {further}")

    def _say(self, message: str) -> None:
        self._console.print(shown(message), soft_wrap=True)


def run_headless(session: Session, preset: Preset, *, as_json_lines: bool, quiet: bool) -> int:
    """Drive a session to its end, printing what happens.

    Returns
    -------
    int
        The exit code, see :mod:`l2o_tui.exit_codes`.

    Raises
    ------
    Failure
        If training failed, or stdout could not be written to.
    """
    printer: _Printer = JsonLines() if as_json_lines else Quiet() if quiet else Table(preset, session.folder)
    status, unwritable = "failed", ""
    with signals_to(session.mailbox) as received:
        try:
            for event in session.events():
                if isinstance(event, Ended):
                    status = event.status
                if unwritable:
                    continue
                try:
                    printer.show(event)
                except OSError as error:
                    # Who read stdout has left, or its disk is full: save what was trained, print no more.
                    unwritable = "stdout was closed" if isinstance(error, BrokenPipeError) else f"stdout: {error}"
                    silence(sys.stdout)
                    session.mailbox.put(Stop(unwritable))
        except SessionError as error:
            if isinstance(error.__cause__, OSError) and session.folder.is_dir():  # of the disk, which may be mended
                go_on = proposed("resume", session.folder, *permissions())
                raise SessionError(f"{error}. Once that is mended, go on with: {go_on}") from error
            raise
        finally:
            printer.close()
    if unwritable:
        raise Failure(
            f"{unwritable}; what was trained is saved. Go on with: {proposed('resume', session.folder, *permissions())}"
        )
    if status == "interrupted" and received:
        return exit_codes.of_signal(received[0])
    return exit_codes.of_status(status)


@contextmanager
def signals_to(mailbox: Mailbox) -> Iterator[list[int]]:
    """Turn the signals that end a run into a stop after this chunk; yields the list of those received.

    Where that takes longer than PATIENCE, who has pressed ctrl+c is told how to end at once.
    """
    received: list[int] = []
    pressed: SimpleQueue[bool] = SimpleQueue()  # which a signal handler may put into, whatever is held
    is_over = Flag()
    first = 0.0

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal first
        if received and number == signal.SIGINT and monotonic() - first > PATIENCE:
            signal.signal(number, signal.SIG_DFL)  # the chunk is too long for this user
            os.kill(os.getpid(), number)
        first = first or monotonic()
        received.append(number)
        if number == signal.SIGINT:
            pressed.put(True)
        mailbox.put(Stop(signal.Signals(number).name))

    def tell() -> None:
        if pressed.get() and not is_over.wait(PATIENCE):
            say(f"l2o-tui: {STILL_AT_IT}")

    Thread(target=tell, daemon=True).start()
    # One that is ignored was meant to be: by nohup, or by a shell that started us in the background.
    heard = [number for number in exit_codes.SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, stop) for number in heard}
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        is_over.set()
        pressed.put(False)
