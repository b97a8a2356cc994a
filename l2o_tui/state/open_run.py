"""A run on the screen: what tells its events, and the feed that keeps them for the screen."""

import os
from collections.abc import Iterator
from pathlib import Path
from pwd import getpwuid
from typing import Protocol

from l2o_engine.live.background import hand_over
from l2o_engine.live.session import Session
from l2o_engine.live.watcher import Watcher
from l2o_engine.presets.schema import Preset
from l2o_engine.records.events import Command, Ended, Event, Leave, Preparing, Started, StatusChanged, Stop
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.folder import Run
from l2o_engine.runs.record import ACTIVE
from l2o_engine.support.errors import Failure, UserError
from l2o_engine.support.processes import python_command
from l2o_engine.support.user_code import allowed_folders
from l2o_engine.support.wording import shown
from l2o_tui.state import keys
from l2o_tui.state.feed import Feed
from l2o_tui.text.commands import permissions, proposed
from l2o_tui.text.numbers import relative

_HANDING_OVER = "handing it over to a background process"


class CommandBox(Protocol):
    """Where commands are left."""

    def put(self, command: Command) -> None:
        """Leave a command."""
        ...


class EventSource(Protocol):
    """What a screen needs of a session, or of a watcher of somebody else's."""

    @property
    def mailbox(self) -> CommandBox:
        """Takes commands."""
        ...

    def events(self) -> Iterator[Event]:
        """Yield events until the session is over; raise if something failed."""
        ...


class OpenRun:
    """One run, driven by this process or watched, and what the screen knows of it.

    Parameters
    ----------
    source
        Tells the events.
    preset
        The run's preset.
    iteration
        Where the run is, until the source says.
    folder
        The run's folder.
    driver
        ``keys.OWN`` if this process drives the run, ``keys.WATCHED`` if it only looks.
    device
        Where it was asked to compute, whatever the preset says: who goes on with the run is told so.
    name
        What people call it.
    """

    def __init__(
        self,
        source: EventSource,
        preset: Preset,
        iteration: int = -1,
        *,
        folder: Path = Path(),
        driver: str = keys.OWN,
        device: str | None = None,
        name: str = "",
    ) -> None:
        self.preset = preset
        self.folder = folder
        self.driver = driver
        self.feed = Feed(preset, iteration, is_watched=driver == keys.WATCHED, name=name)
        self.is_over = False  # a plain flag, which a signal handler may read whatever lock is held
        self.detaching = False
        self.background_pid = 0
        self._device = device
        self._was_paused = False
        self._source = source

    @classmethod
    def driving(
        cls, run: DrivenRun, *, chunk: int | None = None, backend: str | None = None, device: str | None = None
    ) -> "OpenRun":
        """Open a run to drive it here."""
        session = Session(run, chunk=chunk, backend=backend, device=device, interactive=True)
        record = run.record()
        return cls(session, run.current, record.iteration, folder=run.folder, device=device, name=record.given_name)

    @classmethod
    def watching(cls, run: Run) -> "OpenRun":
        """Open a run that another process drives, or none."""
        source, name = Watcher(run, curves=True), run.record().given_name
        return cls(source, run.preset(), folder=run.folder.resolve(), driver=keys.WATCHED, name=name)

    @property
    def phase(self) -> str:
        """The phase that the feed was last told of."""
        return self.feed.view().phase

    @property
    def failure(self) -> str:
        """What went wrong in this program, be it only on leaving; empty where nothing has."""
        view = self.feed.view()
        return view.message if view.failed_here else ""

    @property
    def has_something_to_lose(self) -> bool:
        """Whether leaving now would end the training."""
        return self.driver == keys.OWN and not self.is_over and self.phase in (keys.LOADING, keys.RUNNING, keys.PAUSED)

    def send(self, command: Command) -> None:
        """Give the run a command."""
        self._source.mailbox.put(command)

    def leave(self, reason: str) -> None:
        """End the session after a checkpoint, or stop looking."""
        self.send(Stop(reason) if self.driver == keys.OWN else Leave())

    def listen(self) -> None:
        """Take in events until the source is over; then hand the run over, if that was asked. Runs in a thread."""
        try:
            is_interrupted = False
            for event in self._source.events():
                self._was_paused = self.phase == keys.PAUSED  # before the last event, which ends it
                is_interrupted = isinstance(event, Ended) and event.status == keys.INTERRUPTED
                is_handed_over = is_interrupted and self.detaching and self.driver == keys.OWN
                # It is not over: to say for the seconds that this takes that it was interrupted would be wrong.
                self.feed.publish(Preparing(_HANDING_OVER) if is_handed_over else self._with_reason(event))
                if isinstance(event, Started) and self.driver == keys.WATCHED:
                    self.feed.note_driver(_driver_of(Run(self.folder)))
            if self.detaching and self.driver == keys.OWN and is_interrupted:
                self.background_pid = hand_over(self.folder, self._resuming())
        except (Failure, UserError) as error:
            self.feed.fail(str(error))
        except Exception as error:  # noqa: BLE001 (nothing may leave this thread unseen)
            self.feed.fail(f"{type(error).__name__}: {error}")
        finally:
            self.is_over = True

    def _with_reason(self, event: Event) -> Event:
        """Say why a watched run has failed, where its events do not: run.json does."""
        if isinstance(event, StatusChanged) and event.status == keys.FAILED:
            return Ended(event.status, event.iteration, 0.0, (), Run(self.folder).record().message)
        return event

    @property
    def in_background(self) -> str:
        """What becomes of a run that was handed over, in words."""
        return "waits, paused, in the background" if self._was_paused else "training goes on in the background"

    def _resuming(self) -> list[str]:
        """Return the command that goes on with the run, without a screen."""
        command = python_command("l2o_tui", "resume", str(self.folder.resolve()), "--no-ui", "--quiet")
        command += ["--start-paused"] if self._was_paused else []
        backend = self._computes()
        command += ["--device", self._device] if self._device else []
        for folder in allowed_folders() if self.preset.problem.is_code else ():  # as it was given to this process
            command += ["--allow-code", str(folder)]
        return command + (["--backend", backend] if backend else [])

    def _computes(self) -> str | None:
        """Return the backend that has computed so far; a run without a network has none to choose."""
        backend = self.feed.view().backend
        return backend if self.preset.learns and backend else None

    def farewell(self) -> Iterator[str]:
        """Yield what is worth saying once the screen is closed."""
        if self.failure:
            yield self.failure
        if self.failure and not self.folder.is_dir():
            return
        run, path = Run(self.folder), Path(relative(str(self.folder)))
        folder = shown(str(path))
        record, status = run.record(), run.status()  # run.json may say less, where the disk is full
        if self.background_pid and status in ACTIVE:  # it may be over by now
            yield f"{self.in_background} (process {self.background_pid}): {folder}"
            yield f"look at it with: {proposed('attach', path, *permissions())}"
            return
        message = f" ({shown(record.message)})" if record.message and not self.failure else ""
        yield f"{status} at {record.iteration:,} of {record.iterations:,}{message}: {folder}"
        if status in ("interrupted", "failed"):
            yield f"go on with: {proposed('resume', path, *permissions())}"


def _driver_of(run: Run) -> str:
    """Return who drives a run, if anybody does: a process of whom and where."""
    record = run.record()
    whose = f"{shown(owner)}'s " if (owner := _other_user(run.folder)) else ""
    return f"{whose}process {record.pid} on {shown(record.host)}"


def _other_user(folder: Path) -> str:
    """Return whose a folder is, if not ours; nothing where the system does not say."""
    try:
        owner = folder.stat().st_uid
        return "" if owner == os.getuid() else getpwuid(owner).pw_name
    except (OSError, KeyError):  # it is gone, or of a user whom this machine does not know
        return ""
