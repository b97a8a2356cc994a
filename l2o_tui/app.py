"""The screens: a textual app that shows the home screen, and one run at a time, driven in a thread of its own."""

import os
import signal
import sys
import termios
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from threading import Thread
from time import monotonic, sleep
from types import FrameType
from typing import ClassVar

from rich.console import RenderableType
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.notifications import Notify, SeverityLevel
from textual.screen import Screen

from l2o_engine.live.sizes import admit
from l2o_engine.presets.labels import Settings
from l2o_engine.records.events import Status
from l2o_engine.runs.catalogue import new_folder
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.folder import Run
from l2o_engine.runs.record import ACTIVE, RunError
from l2o_engine.runs.starting import start_beside
from l2o_engine.support.user_code import StoppedError, end_hanging, hanging
from l2o_engine.support.wording import shown, shown_lines
from l2o_tui import exit_codes
from l2o_tui.screens.dialogs import LeaveDialog
from l2o_tui.screens.giving import well_formed
from l2o_tui.screens.home import HomeScreen
from l2o_tui.screens.keyed import KeyedScreen
from l2o_tui.screens.start import NewRun
from l2o_tui.screens.study import StudyScreen
from l2o_tui.screens.training import FPS, TrainingScreen
from l2o_tui.state import keys
from l2o_tui.state.open_run import OpenRun
from l2o_tui.state.preferences import Preferences
from l2o_tui.state.themes import DEFAULT_THEME, THEMES
from l2o_tui.state.workers import in_background
from l2o_tui.text.headless import PATIENCE
from l2o_tui.text.streams import fitting, say
from l2o_tui.textual_private import PatientPalette, ThinApp

_NOTICE, _NOTICE_LINES = 500, 12  # characters a line, and lines: a notice covers what is under it
_LOOK_SECONDS = 0.25  # between two looks whether a run that was handed over is over already
_HANGING_SECONDS = 3.0  # for which a user's code may go on that was told to end
_FAILURE_SECONDS = 30.0  # for which a failure on leaving is shown


class KeyCommands(Provider):
    """The key table, by name, in the palette: what applies now."""

    async def discover(self) -> Hits:
        """List everything."""
        for key in self._offered():
            yield DiscoveryHit(key.command, self._runner(key), help=key.help)

    async def search(self, query: str) -> Hits:
        """List what matches."""
        matcher = self.matcher(query)
        for key in self._offered():
            score = matcher.match(key.command)
            if score > 0:
                yield Hit(score, matcher.highlight(key.command), self._runner(key), help=key.help)

    def _offered(self) -> list[keys.Key]:
        screen = self.screen
        return [key for key in screen.offered_keys() if key.command] if isinstance(screen, KeyedScreen) else []

    def _runner(self, key: keys.Key) -> "_Action":
        return _Action(self.screen, key.action)


class _Action:
    """Runs an action of a screen; called by the palette."""

    def __init__(self, screen: Screen[object], action: str) -> None:
        self._screen = screen
        self._action = action

    async def __call__(self) -> None:
        await self._screen.run_action(self._action)


class L2oApp(ThinApp[int]):
    """Shows a run, or the home screen, or a study's, and whatever is opened from there.

    Parameters
    ----------
    opened
        The run to show; the app closes when it is left. None for the home screen.
    study
        The folder of a study to show in place of the home screen.
    runs_dir
        Where runs are kept.
    on_hangup
        What becomes of a run that is driven here when the terminal is gone: "detach" or "checkpoint".
    fps
        How often the training screen is drawn a second, at most.
    is_served
        Whether it is shown to a browser: then it looks at runs and steers them, and nothing is trained by it.
    """

    CSS_PATH = "styles.tcss"
    TITLE = "l2o-tui"
    COMMANDS: ClassVar = {*App.COMMANDS, KeyCommands}
    ENABLE_COMMAND_PALETTE = True
    # In dialogs too, whatever has the focus.
    BINDINGS: ClassVar[list[BindingType]] = [Binding("ctrl+z", "suspend", show=False, priority=True)]

    def __init__(
        self,
        opened: OpenRun | None = None,
        *,
        study: Path | None = None,
        runs_dir: Path = Path("runs"),
        on_hangup: str = "detach",
        fps: float = FPS,
        is_served: bool = False,
    ) -> None:
        super().__init__()
        self.is_served = is_served
        self.hung = ""  # where a user's code was that had to be ended on leaving
        self.preferences = Preferences()
        for theme in THEMES:
            self.register_theme(theme)
        preferred = self.preferences.settings.theme
        self.theme = preferred if preferred in self.available_themes else DEFAULT_THEME
        painted = sys.__stderr__.encoding if sys.__stderr__ else None  # where textual paints
        self._fit = fitting(painted, is_console=os.environ.get("TERM") == "linux")
        self._fps = fps
        self._opened = opened
        self._study = study
        self._has_home = opened is None  # or a study's screen in its place
        self._runs_dir = runs_dir
        self._on_hangup = on_hangup
        self._signal = 0
        self._signalled_at = 0.0
        self._leaving = False
        self._is_opening = False
        self._detaches_for_next = False  # whether the run that is shown goes on in the background then
        self._next: OpenRun | None = None  # taken over, to be shown once it is no longer watched
        self.left: list[OpenRun] = []  # the runs that were shown, for a last word about each

    def on_mount(self) -> None:
        """Show the first screen."""
        # Not through the event loop: when the terminal is gone, textual's writer may have blocked it for good.
        self.hear_signals()
        if self._opened is not None:
            self.show_run(self._opened)
        elif not self._signal:
            home = HomeScreen(self._runs_dir, self) if self._study is None else StudyScreen(self._study, self)
            self.push_screen(home)
        if self._signal:  # it came before there was a screen, and the session ends as it would have ended later
            self._obey(self._signal)

    def hear_signals(self) -> None:
        """Let what ends a run end it after a checkpoint, and give the terminal back."""
        for number in exit_codes.SIGNALS:
            signal.signal(number, self._on_signal)

    def on_unmount(self) -> None:
        """However the app ends, by a crash too: let the session save what there is, or the process never ends."""
        if self._opened is not None:
            self._opened.leave("the screen was closed")

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Keep of textual's own commands those that make sense here."""
        for command in super().get_system_commands(screen):
            if command.title == "Theme":
                yield command._replace(title="app: Change the theme")
        if not self.is_served:
            what = "Save this screen as SVG in the working folder."
            yield SystemCommand("app: Save a picture", what, self._save_picture)

    def _save_picture(self) -> None:
        try:
            self.notify(f"saved {self.save_screenshot(path=str(Path.cwd()))}")
        except OSError as error:
            self.notify(f"cannot save a picture: {error.strerror}", severity="error")

    def fit(self, text: str) -> str:
        """Return a text as the terminal can show it, and without what it would obey."""
        return self._fit(text)

    def export_screenshot(self, *, title: str | None = None, simplify: bool = False) -> str:
        """Return this screen as SVG."""
        return well_formed(super().export_screenshot(title=title, simplify=simplify))

    def notify(
        self,
        message: str,
        *,
        title: str = "",
        severity: SeverityLevel = "information",
        timeout: float | None = None,
        markup: bool = False,
    ) -> None:
        """Show a notice; brackets in it are brackets. textual's own is called by every widget's ``notify``."""
        super().notify(
            shown_lines(message, most=_NOTICE, most_lines=_NOTICE_LINES),
            title=shown(title),
            severity=severity,
            timeout=timeout,
            markup=False,
        )

    def action_command_palette(self) -> None:
        """Show the palette."""
        if not isinstance(self.screen, PatientPalette):
            self.push_screen(PatientPalette(id="--command-palette"))

    def on_notify(self, event: Notify) -> None:
        """Let a notice take the place of the one before; textual calls its own handler as well, which shows it."""
        self.clear_notifications()
        self.screen.query("ToastHolder").remove()  # which textual leaves behind, empty and a row high

    def action_suspend(self) -> None:
        """Stop until the shell goes on with us; without one nobody could."""
        if self.is_served or not has_job_control():
            self.notify("no shell waits for this program, and could go on with it", severity="warning")
            return
        self.app_suspend_signal.publish(self)
        os.killpg(os.getpgrp(), signal.SIGTSTP)  # as the terminal does: who started us waits for all of the group

    def validate_app_focus(self, has_focus: bool) -> bool:
        """Keep the focus in a browser, which says that we have lost it before it ever says that we have it."""
        return has_focus or self.is_served

    # What the user prefers.

    def watch_theme(self, theme: str) -> None:
        """Remember a theme that was chosen, by its key or in the palette."""
        self.preferences.change(theme=theme)

    def action_next_theme(self) -> None:
        """Change to the next of our themes."""
        names = [theme.name for theme in THEMES]
        place = names.index(self.theme) if self.theme in names else -1
        self.theme = names[(place + 1) % len(names)]
        self.notify(f"theme: {self.theme}", timeout=2)

    # Opening runs.

    def show_run(self, opened: OpenRun) -> None:
        """Show a run; its events are listened to once the screen is painted."""
        self._opened, self._leaving = opened, False
        screen = TrainingScreen(opened, self.preferences, opener=self, fps=self._fps)
        self.push_screen(screen)

        def listen() -> None:
            self.run_worker(lambda: self._listen(opened), thread=True, exit_on_error=False, name="session")

        screen.call_after_refresh(listen)

    def start(self, wanted: NewRun, beside: Path, origin: Settings | None = None) -> None:
        """Start a new run and show it; of one that is driven here, first ask what becomes of it.

        See :class:`~l2o_tui.screens.opening.Opener`.
        """
        preset = wanted.preset

        def make() -> OpenRun:
            start = start_beside(preset, beside)  # before there is a folder: it may be refused
            folder = new_folder(self._runs_dir, preset)
            return OpenRun.driving(DrivenRun.create(preset, folder, start, about=wanted.about, origin=origin))

        def answer(answer: str | None) -> None:
            if answer in ("quit", "detach"):
                self._detaches_for_next = answer == "detach"
                self._open(make)

        if self._opened is not None and self._opened.has_something_to_lose:
            self.push_screen(LeaveDialog("Another run begins, and this one is not finished."), answer)
        else:
            self._open(make)

    def resume(self, run: Run, iterations: int | None) -> None:
        """Go on with a run, to a new total if one is given, and show it."""
        self._open(lambda: _take(run.folder, self._tell, iterations))

    def look(self, run: Run) -> None:
        """Show a run that another process drives, or none."""
        self._open(lambda: OpenRun.watching(run), is_look=True)

    def _open(self, make: Callable[[], OpenRun], *, is_look: bool = False) -> None:
        """Open a run in a thread: to learn whether another process drives it may take seconds."""
        if self.is_served and not is_look:
            self.notify("a browser's view trains nothing; start and resume on a terminal", severity="warning")
            return
        if self._is_opening:
            self.notify("a run is being opened already; a moment")
            return
        self._is_opening = True
        in_background(self, make, self._on_made, failed=self._on_refused, group="opening")

    def _tell(self, message: str) -> None:
        """Say, from the thread that opens a run, what takes some seconds."""
        self.call_later(self.notify, message)

    def _on_refused(self, message: str) -> None:
        self._is_opening = self._detaches_for_next = False
        self.notify(message, severity="error")

    def _on_made(self, opened: OpenRun) -> None:
        self._is_opening = False
        if self._opened is None:
            self.show_run(opened)
        else:
            self._next = opened
            self._opened.detaching, self._detaches_for_next = self._detaches_for_next, False
            self._leave("taken over" if opened.folder == self._opened.folder else "another run was started")

    # Leaving them.

    async def action_leave(self) -> None:
        """Leave the run, or the program; ask first if there is something to lose."""
        if isinstance(self.screen, LeaveDialog):
            return
        if self._opened is None:
            self.exit(exit_codes.DONE, return_code=exit_codes.DONE)
        elif self._leaving:
            self.notify("it leaves once what it is at is done and saved")
        elif self._opened.has_something_to_lose:
            self.push_screen(LeaveDialog(), self._answer)
        else:
            self._leave("left")

    def exit(self, result: int | None = None, return_code: int = 0, message: RenderableType | None = None) -> None:
        """Leave the program, also where a user's code does not return: its thread would be waited for."""
        if where := hanging():
            self.hung = where
            with suppress(StoppedError):
                end_hanging(0.0)
            Thread(target=_leave_without, args=(where, return_code), daemon=True).start()
        super().exit(result, return_code, message)

    async def action_quit(self) -> None:
        """Do as ``action_leave``: textual's own way out must not lose a run."""
        await self.action_leave()

    def action_detach(self) -> None:
        """Leave the run to a background process."""
        if self._opened is not None and not self._leaving:
            self._opened.detaching = True
            self._leave("detached")

    def action_take_over(self) -> None:
        """Go on here with a run that was watched and that nobody drives any more."""
        if self._opened is not None and not self._leaving:
            folder = self._opened.folder
            self._open(lambda: _take(folder, self._tell))

    def _answer(self, answer: str | None) -> None:
        if answer == "detach":
            self.action_detach()
        elif answer == "quit":
            self._leave("quit")

    def _leave(self, reason: str) -> None:
        if self._opened is not None:
            self._leaving = True
            for screen in self.screen_stack:
                if isinstance(screen, TrainingScreen) and screen.opened is self._opened and screen.is_mounted:
                    # A chunk and a checkpoint come first.
                    screen.answer("detaching" if self._opened.detaching else "leaving")
            self._opened.leave(reason)
            self._on_over(self._opened)

    def _listen(self, opened: OpenRun) -> None:
        """Listen to a run: in a thread, which posts nothing and touches no widget."""
        opened.listen()
        if self._signal and _terminal_is_gone():
            # The run's folder is closed, and there is no screen to restore.
            os._exit(exit_codes.of_signal(self._signal))
        self.call_later(self._on_over, opened)

    def _on_over(self, opened: OpenRun) -> None:
        if not (self._leaving and opened.is_over and opened is self._opened):
            return
        self._opened, self._leaving = None, False
        if self._next is not None and not self._signal:
            self._close(opened)
            self.show_run(self._next)
            if opened.driver == keys.OWN and not self._has_home:
                self.left.append(opened)
            self._next = None
            self._tell_left(opened)
            return
        self.left.append(opened)
        if not self._has_home or self._signal:
            code = self._exit_code(opened)
            self.exit(code, return_code=code)
            return
        self._close(opened)
        if isinstance(self.screen, HomeScreen):
            self.screen.select(opened.folder)
        self._tell_left(opened)

    def _tell_left(self, opened: OpenRun) -> None:
        """Say what no screen has shown of a run that was left."""
        if opened.failure:  # on leaving, perhaps
            self.notify(opened.failure, title=opened.folder.name, severity="error", timeout=_FAILURE_SECONDS)
        if opened.background_pid:
            self._tell_background(opened)

    def _tell_background(self, opened: OpenRun) -> None:
        """Say what becomes of a run that was handed over, for as long as that is so."""
        run, name = Run(opened.folder), opened.folder.name
        until = monotonic() + self.NOTIFICATION_TIMEOUT

        def end() -> Status | None:
            while monotonic() < until:
                if (status := run.status()) not in ACTIVE:
                    return status
                sleep(_LOOK_SECONDS)
            return None

        def tell_end(status: Status | None) -> None:
            if status is not None:
                self.notify(f"{status}, in the background: {name}")

        def tell(status: Status) -> None:
            if status in ACTIVE:
                self.notify(f"{opened.in_background}: {name}")
                in_background(self, end, tell_end, group="background")
            else:
                tell_end(status)

        in_background(self, run.status, tell, group="background")

    def _close(self, opened: OpenRun) -> None:
        """Take a run's screen away, with the help, palette or dialog that may lie over it."""
        while any(isinstance(screen, TrainingScreen) and screen.opened is opened for screen in self.screen_stack):
            self.pop_screen()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        """Let the session stop after this chunk; it is already over where the run was finished."""
        if self._signal and number == signal.SIGINT and monotonic() - self._signalled_at > PATIENCE:
            self.give_terminal_back()  # the chunk is too long for this user
            if where := hanging():
                say(f"l2o-tui: {where}, and was left there")
            os._exit(exit_codes.of_signal(number))
        if not self._signal:
            self._signal, self._signalled_at = number, monotonic()
        if self.is_running:  # else on_mount looks
            self._obey(number)

    def _obey(self, number: int) -> None:
        opened = self._opened
        if opened is None:
            code = exit_codes.of_signal(number)
            self.call_later(self.exit, code, code)
            return
        self._leaving = True
        if number == signal.SIGHUP and self._on_hangup == "detach" and opened.driver == keys.OWN:
            opened.detaching = True
        opened.leave(signal.Signals(number).name)
        if opened.is_over:  # no thread is left to end the app
            if _terminal_is_gone():
                os._exit(exit_codes.of_signal(self._signal))
            self.call_later(self._on_over, opened)

    def _exit_code(self, opened: OpenRun) -> int:
        if self._signal and opened.phase not in (keys.FINISHED, keys.DIVERGED, keys.FAILED):
            return exit_codes.of_signal(self._signal)
        if opened.driver == keys.WATCHED and not self._signal:
            return exit_codes.DONE
        return exit_codes.of_left(opened.phase)


def _leave_without(where: str, return_code: int) -> None:
    """End the process in some seconds, if it has not ended by then."""
    sleep(_HANGING_SECONDS)
    say(f"l2o-tui: {where}, and was left there")
    os._exit(return_code)


def _take(folder: Path, tell: Callable[[str], None], iterations: int | None = None) -> OpenRun:
    """Take a run to go on with it, to a new total if one is given."""
    admit(Run(folder).preset())
    driven = DrivenRun.take(folder, tell=tell)
    if iterations is not None:
        driven.set_iterations(iterations)
    return OpenRun.driving(driven)


def has_job_control() -> bool:
    """Return whether a shell has started our process group, and notices when it stops."""
    try:
        leader = os.getpgrp()
        parent = os.getppid() if leader == os.getpid() else _parent_of(leader)
        return os.getpgid(parent) != leader and os.getsid(parent) == os.getsid(0)
    except (OSError, ValueError):  # it is gone, or another's
        return False


def _parent_of(pid: int) -> int:
    """Return the parent of a process, where the system says so as Linux does."""
    return int(Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()[1])


def _terminal_is_gone() -> bool:
    try:
        termios.tcgetattr(sys.__stderr__ or 2)  # where textual paints
    except termios.error:
        return True
    return False


def run_app(
    opened: OpenRun | None,
    *,
    study: Path | None = None,
    runs_dir: Path,
    on_hangup: str,
    fps: float,
    is_served: bool = False,
) -> int:
    """Show a run, a study, or the home screen.

    Returns
    -------
    int
        The exit code, see :mod:`l2o_tui.exit_codes`.
    """
    app = L2oApp(opened, study=study, runs_dir=runs_dir, on_hangup=on_hangup, fps=fps, is_served=is_served)
    app.hear_signals()
    app.run()
    if app.hung:
        say(f"l2o-tui: {app.hung} and was ended")
    for left in app.left:
        try:
            for line in left.farewell():
                say(line)
        except RunError as error:  # the folder has gone
            say(f"l2o-tui: {error}")
    return app.return_code or exit_codes.DONE
