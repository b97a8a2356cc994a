"""The live view: a textual app over a session that trains in a thread of its own."""

import os
import signal
import sys
import termios
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import ClassVar, Protocol

from textual.app import App, SystemCommand
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.screen import Screen

from l2o_engine.events import Event, Stop
from l2o_engine.preset import Preset
from l2o_engine.runs import DrivenRun, RunError
from l2o_engine.session import Mailbox, Session, SessionError
from l2o_tui import keys
from l2o_tui.feed import Feed
from l2o_tui.figures import relative
from l2o_tui.screens.dialogs import LeaveDialog
from l2o_tui.screens.training import TrainingScreen

_EXIT_CODES = {"failed": 1, "diverged": 3}
_SIGNALS = (signal.SIGHUP, signal.SIGINT, signal.SIGTERM)


class EventSource(Protocol):
    """What the app needs of a session."""

    @property
    def mailbox(self) -> Mailbox:
        """Takes commands."""
        ...

    def events(self) -> Iterator[Event]:
        """Yield events until the session is over; raise SessionError if something failed."""
        ...


class KeyCommands(Provider):
    """The key table, by name, in the palette: what applies now."""

    async def discover(self) -> Hits:
        """List everything."""
        for key in self._applicable():
            yield DiscoveryHit(key.command, self._runner(key), help=key.help)

    async def search(self, query: str) -> Hits:
        """List what matches."""
        matcher = self.matcher(query)
        for key in self._applicable():
            score = matcher.match(key.command)
            if score > 0:
                yield Hit(score, matcher.highlight(key.command), self._runner(key), help=key.help)

    def _applicable(self) -> list[keys.Key]:
        screen = self.screen
        if not isinstance(screen, TrainingScreen):
            return []
        return [key for key in keys.KEYS if key.command and keys.applies(key.action.partition("(")[0], screen.phase)]

    def _runner(self, key: keys.Key) -> "_Action":
        return _Action(self.screen, key.action)


class _Action:
    """Runs an action of a screen; called by the palette."""

    def __init__(self, screen: Screen[object], action: str) -> None:
        self._screen = screen
        self._action = action

    async def __call__(self) -> None:
        await self._screen.run_action(self._action)


class L2oApp(App[int]):
    """Shows one session. The exit code is its return code.

    Parameters
    ----------
    session
        To be driven in a thread; the app closes when it is over and the user, or a signal, has asked to leave.
    preset
        The run's preset.
    iteration
        Where the run is, until the session says.
    """

    CSS_PATH = "styles.tcss"
    TITLE = "l2o-tui"
    COMMANDS: ClassVar = {*App.COMMANDS, KeyCommands}
    ENABLE_COMMAND_PALETTE = True

    def __init__(self, session: EventSource, preset: Preset, iteration: int = -1) -> None:
        super().__init__()
        self._session = session
        self._feed = Feed(preset, iteration)
        self._training = TrainingScreen(preset, self._feed, session.mailbox)
        self._signal = 0
        self._leaving = False
        self._is_over = False  # a plain flag, which a signal handler may read whatever lock is held

    def on_mount(self) -> None:
        """Show the screen; training starts once it is painted."""
        # Not through the event loop: when the terminal is gone, textual's writer may have blocked it for good.
        for number in _SIGNALS:
            signal.signal(number, self._on_signal)
        self.push_screen(self._training)
        self._training.call_after_refresh(self._start)

    def on_unmount(self) -> None:
        """However the app ends, by a crash too: let the session save what there is, or the process never ends."""
        self._session.mailbox.put(Stop("the screen was closed"))

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Keep of textual's own commands those that make sense here."""
        wanted = {"Theme": "app: Change the theme", "Screenshot": "app: Save a picture of the screen"}
        for command in super().get_system_commands(screen):
            if command.title in wanted:
                yield command._replace(title=wanted[command.title])

    async def action_leave(self) -> None:
        """Leave; ask first if there is something to lose."""
        if isinstance(self.screen, LeaveDialog):
            return
        view = self._feed.view()
        if view.phase in (keys.LOADING, keys.RUNNING, keys.PAUSED) and not self._leaving:
            self.push_screen(LeaveDialog(), self._answer)
        else:
            self._leave("left")

    async def action_quit(self) -> None:
        """Do as ``action_leave``: textual's own way out must not lose a run."""
        await self.action_leave()

    def _answer(self, quit_: bool | None) -> None:
        if quit_:
            self._leave("quit")

    def _leave(self, reason: str) -> None:
        self._leaving = True
        self._session.mailbox.put(Stop(reason))
        self._on_over()

    def _start(self) -> None:
        self.run_worker(self._train, thread=True, exit_on_error=False, name="session")

    def _train(self) -> None:
        """Drive the session: in a thread, which posts nothing and touches no widget."""
        try:
            for event in self._session.events():
                self._feed.publish(event)
        except SessionError as error:
            self._feed.fail(str(error))
        except Exception as error:  # noqa: BLE001 (nothing may leave this thread unseen)
            self._feed.fail(f"{type(error).__name__}: {error}")
        finally:
            self._is_over = True
            if self._signal and _terminal_is_gone():
                os._exit(128 + self._signal)  # the run's folder is closed, and there is no screen to restore
            self.call_later(self._on_over)

    def _on_over(self) -> None:
        if self._leaving and self._is_over:
            self._finish()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """Let the session stop after this chunk; it is already over where the run was finished."""
        self._signal = self._signal or number
        self._leaving = True
        self._session.mailbox.put(Stop(signal.Signals(number).name))
        if self._is_over:  # no thread is left to end the app
            if _terminal_is_gone():
                os._exit(128 + self._signal)
            self.call_later(self._on_over)

    def _finish(self) -> None:
        phase = self._feed.view().phase
        interrupted = self._signal and phase not in ("finished", "diverged", "failed")
        code = 128 + self._signal if interrupted else _EXIT_CODES.get(phase, 0)
        self.exit(code, return_code=code)


def _terminal_is_gone() -> bool:
    try:
        termios.tcgetattr(sys.__stderr__ or 2)  # where textual paints
    except termios.error:
        return True
    return False


def run_app(run: DrivenRun, *, chunk: int | None, backend: str | None) -> int:
    """Show a run on the live screen and drive it.

    Returns
    -------
    int
        The exit code: 0 left or finished, 1 failed, 3 diverged, 128 + n ended by signal n.
    """
    session = Session(run, chunk=chunk, backend=backend, interactive=True)
    app = L2oApp(session, run.current, run.record().iteration)
    app.run()
    try:
        for line in _farewell(run):
            print(line, file=sys.stderr)  # noqa: T201
    except RunError as error:  # the folder has gone
        print(f"l2o-tui: {error}", file=sys.stderr)  # noqa: T201
    return app.return_code or 0


def _farewell(run: DrivenRun) -> Iterator[str]:
    record, folder = run.record(), relative(str(run.folder))
    message = f" ({record.message})" if record.message else ""
    yield f"{record.status} at {record.iteration:,} of {record.iterations:,}{message}: {folder}"
    if record.status in ("interrupted", "failed") and run.latest_checkpoint():
        yield f"go on with: l2o-tui resume {folder}"
