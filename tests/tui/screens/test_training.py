"""The training screen, driven by a scripted session: what it shows, and what its keys do."""

from asyncio import sleep
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from math import inf, log
from pathlib import Path
from signal import SIGTSTP
from threading import Event as Flag
from typing import Any

import pytest
from numpy import log10
from textual.command import Hits
from textual.events import Key
from textual.pilot import Pilot
from textual.widgets import Input

from l2o_engine.live.background import HandOverError
from l2o_engine.live.session import SessionError
from l2o_engine.presets.schema import Preset
from l2o_engine.records.events import (
    Diagnosed,
    Ended,
    Event,
    Extend,
    Extended,
    GoOn,
    Notice,
    Pause,
    SaveCheckpoint,
    ShowDraws,
    StatusChanged,
    Stop,
    Validated,
)
from l2o_engine.records.health import Diagnostician
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.folder import Run
from l2o_engine.training.validating import Verdict
from l2o_tui.app import KeyCommands, L2oApp
from l2o_tui.charts.widget import BaseChart, ConvergenceChart
from l2o_tui.panes.progress_pane import ProgressPane
from l2o_tui.panes.status import StatusLines
from l2o_tui.screens import training
from l2o_tui.screens.dialogs import ExtendDialog, FailureScreen, HelpScreen, LeaveDialog
from l2o_tui.screens.home import HomeScreen
from l2o_tui.screens.start import StartDialog
from l2o_tui.screens.training import TrainingScreen
from l2o_tui.state import keys
from l2o_tui.state.open_run import OpenRun
from tests.engine import tiny
from tests.engine.made import made_run
from tests.engine.records.test_health import HEALTHY
from tests.tui.scripted import LANE, ScriptedSession, a_run, curves, ended, preset, progress, rows, started
from tests.tui.waiting import PATIENCE_SECONDS, at_rest, text_of, until

FPS = 10
SIZES = [(80, 24), (120, 40)]
ANSWERS: dict[type, list[Event]] = {
    Pause: [StatusChanged("paused", 10_000)],
    GoOn: [StatusChanged("running", 10_000)],
    ShowDraws: [curves(draw=1)],
    Stop: [Ended("interrupted", 10_000, 1.0, ())],
}


@pytest.fixture(autouse=True)
def _draw_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training, "LOOK_SECONDS", 0.05)


@asynccontextmanager
async def showing(
    session: Any, experiment: Preset | None = None, size: tuple[int, int] = (120, 40)
) -> AsyncIterator[Pilot[int]]:
    app = L2oApp(OpenRun(session, experiment or preset()), fps=FPS)
    async with app.run_test(size=size, notifications=True) as pilot:
        await until(pilot, session.has_told.is_set)
        await at_rest(pilot)
        yield pilot


@pytest.mark.parametrize("size", SIZES)
async def test_the_running_screen_shows_state_charts_and_table(size: tuple[int, int]) -> None:
    async with showing(ScriptedSession(a_run(preset()), ANSWERS), size=size) as pilot:
        seen = [text_of(pilot)]
        for _ in range(2):
            await pilot.press("tab")
            await at_rest(pilot)
            seen.append(text_of(pilot))
        first, everything = seen[0], "\n".join(seen)
        assert "running · log30 · seed 0" in first
        assert "torch · float32" in first
        assert "10,000 of 100,000 (10%)" in first
        assert "saved at 10,000" in first
        assert "1e-10" in first
        assert "RMSProp -18.17" in first
        assert "SGD -3.70" in first
        assert "base losses" in everything
        assert "draw 1" in everything
        assert "average_log_result" in everything
        assert "-9.50" in everything  # ours at 10,000
        assert "3.13E-01   -0.76" in everything  # the notebook's beside it
        for label in ("pause", "checkpoint", "more", "draw", "scale", "help", "leave"):
            assert label in first


@pytest.mark.parametrize(("figure", "said"), [(-0.5, "validated -0.50"), (inf, "validated –")])
async def test_the_last_validation_is_in_the_header(figure: float, said: str) -> None:
    verdict = Verdict(9999, 200, figure, -1.25, "", 1, 200)
    async with showing(ScriptedSession([*a_run(preset()), Validated(LANE, verdict)], ANSWERS)) as pilot:
        assert said in text_of(pilot)


def shown_panes(pilot: Pilot[int]) -> list[str | None]:
    rows = pilot.app.screen.query("#panes > *").results()
    return [pane.id for row in rows if row.display for pane in row.children if pane.display]


async def test_a_small_screen_shows_one_pane_and_tab_goes_round() -> None:
    async with showing(ScriptedSession(a_run(preset()), ANSWERS), size=(80, 24)) as pilot:
        shown = []
        for _ in range(6):
            shown.append(shown_panes(pilot))
            await pilot.press("tab")
        assert shown == [["convergence"], ["base"], ["progress"], ["health"], ["log"], ["convergence"]]


async def test_a_click_goes_to_a_pane() -> None:
    async with showing(ScriptedSession(a_run(preset()), ANSWERS)) as pilot:
        screen = pilot.app.screen
        for name in ("progress", "base", "health", "convergence"):
            await pilot.click(f"#{name}", offset=(8, 3))
            await pilot.pause()
            assert [pane.id for pane in screen.query("#panes > * > .active")] == [name]
        await pilot.press("tab")
        assert [pane.id for pane in screen.query("#panes > * > .active")] == ["base"]


async def test_the_layout_follows_resizes() -> None:
    async with showing(ScriptedSession(a_run(preset()), ANSWERS)) as pilot:
        for size, panes in (((80, 24), 1), ((120, 40), 4), ((60, 16), 1), ((250, 70), 5)):
            await pilot.resize_terminal(*size)
            await pilot.pause()
            assert len(shown_panes(pilot)) == panes, size


async def test_the_event_log_is_wrapped_to_the_width_there_is() -> None:
    sentence = "many [words] " * 7 + "in one line"
    async with showing(ScriptedSession([*a_run(preset()), Notice(sentence)], ANSWERS), size=(80, 24)) as pilot:
        await pilot.press("shift+tab")
        await at_rest(pilot)
        assert sentence not in text_of(pilot)
        await pilot.resize_terminal(120, 24)
        await at_rest(pilot)
        assert sentence in text_of(pilot)
        await pilot.resize_terminal(70, 24)
        await at_rest(pilot)
        assert "in one line" in text_of(pilot)
        assert sentence not in text_of(pilot)


async def test_a_terminal_that_is_too_small_says_so() -> None:
    async with showing(ScriptedSession(a_run(preset()), ANSWERS), size=(40, 10)) as pilot:
        assert "too small" in text_of(pilot)
        await pilot.resize_terminal(80, 24)
        await pilot.pause()
        assert "too small" not in text_of(pilot)


async def test_space_pauses_and_goes_on() -> None:
    session = ScriptedSession(a_run(preset()), ANSWERS)
    async with showing(session) as pilot:
        await pilot.press("space")
        await until(pilot, lambda: session.commands == [Pause()])
        await at_rest(pilot)
        assert "paused" in text_of(pilot)
        assert "go on" in text_of(pilot)
        await pilot.press("space")
        await until(pilot, lambda: session.commands == [Pause(), GoOn()])
        await at_rest(pilot)
        assert "running" in text_of(pilot)


async def test_c_asks_for_a_checkpoint_and_n_for_a_new_draw() -> None:
    session = ScriptedSession(a_run(preset()), ANSWERS)
    async with showing(session) as pilot:
        await pilot.press("c", "n")
        await until(pilot, lambda: session.commands == [SaveCheckpoint(), ShowDraws(1, 1, 0)])
        await at_rest(pilot)
        assert "draw 2" in text_of(pilot)


async def test_plus_continues_to_the_total_that_is_asked_for() -> None:
    session = ScriptedSession([*a_run(preset()), ended()], ANSWERS | {Extend: [Extended(150_000)]})
    async with showing(session) as pilot:
        assert "finished" in text_of(pilot)
        await pilot.press("+")
        await pilot.pause()
        assert isinstance(pilot.app.screen, ExtendDialog)
        await pilot.press(*["backspace"] * 6, *"150000", "enter")
        await until(pilot, lambda: session.commands == [Extend(150_000)])
        await at_rest(pilot)
        assert "150,000" in text_of(pilot)


async def test_plus_takes_a_number_as_people_write_it() -> None:
    session = ScriptedSession([*a_run(preset()), ended()], ANSWERS)
    async with showing(session) as pilot:
        await pilot.press("+")
        await pilot.pause()
        await pilot.press(*["backspace"] * 6, *"1e6", "enter")
        await until(pilot, lambda: session.commands == [Extend(1_000_000)])


@pytest.mark.parametrize("typed", ["9999", "100000", "0", "", "2e5x", "1e13"])
async def test_plus_refuses_a_total_that_is_no_further(typed: str) -> None:
    session = ScriptedSession([*a_run(preset()), ended()], ANSWERS)
    async with showing(session) as pilot:
        await pilot.press("+")
        await pilot.pause()
        await pilot.press(*["backspace"] * 6, *typed, "enter")
        await pilot.pause()
        assert isinstance(pilot.app.screen, ExtendDialog)
        assert "whole number from 100,001" in text_of(pilot)
        await pilot.press("escape")
        assert session.commands == []


async def test_y_changes_the_axis_of_both_charts() -> None:
    async with showing(ScriptedSession(a_run(preset()), ANSWERS)) as pilot:
        screen = pilot.app.screen
        assert "1e-10" in text_of(pilot)
        await pilot.press("y")
        await pilot.pause()
        assert not screen.query_one(BaseChart).logarithmic
        assert not screen.query_one(ConvergenceChart).logarithmic
        assert "1e-10" not in text_of(pilot)


async def test_help_lists_every_key_and_closes() -> None:
    async with showing(ScriptedSession(a_run(preset()), ANSWERS)) as pilot:
        await pilot.press("question_mark")
        await pilot.pause()
        assert isinstance(pilot.app.screen, HelpScreen)
        text = text_of(pilot)
        await pilot.press("pagedown")
        text += await at_rest(pilot)
        for key in ("space", "tab", "q", "+ or =", "left", "[", "]"):
            assert key in text
        await pilot.press("escape")
        await pilot.pause()
        assert not isinstance(pilot.app.screen, HelpScreen)


@pytest.mark.parametrize("key", ["q", "ctrl+c"])
async def test_leaving_a_running_run_asks_first(key: str) -> None:
    session = ScriptedSession(a_run(preset()), ANSWERS)
    async with showing(session) as pilot:
        await pilot.press(key)
        await pilot.pause()
        assert isinstance(pilot.app.screen, LeaveDialog)
        await pilot.press("escape")
        await pilot.pause()
        assert session.commands == []
        await pilot.press(key)
        await pilot.pause()
        await pilot.press("q")
        await until(pilot, lambda: pilot.app.return_code == 0)
        assert session.commands == [Stop("quit")]


class SlowSession(ScriptedSession):
    """Is at a chunk that takes long when it is told to stop."""

    def __init__(self, told: list[Event]) -> None:
        super().__init__(told)
        self.chunk_is_done = Flag()

    def events(self) -> Iterator[Event]:
        yield from super().events()
        self.chunk_is_done.wait(PATIENCE_SECONDS)


async def test_while_a_long_chunk_is_waited_for_it_says_that_it_leaves() -> None:
    session = SlowSession(a_run(preset()))
    async with showing(session) as pilot:
        await pilot.press("q")
        await pilot.pause()
        await pilot.press("q")
        await until(pilot, lambda: "leaving …" in text_of(pilot))
        await pilot.press("q")
        await until(pilot, lambda: "once what it is at is done" in messages(pilot))
        session.chunk_is_done.set()
        await until(pilot, lambda: pilot.app.return_code == 0)


async def test_leaving_a_finished_run_does_not_ask() -> None:
    session = ScriptedSession([*a_run(preset()), ended()], {})
    async with showing(session) as pilot:
        await pilot.press("q")
        await until(pilot, lambda: pilot.app.return_code == 0)
        assert session.commands == [Stop("left")]


async def test_a_diverged_run_leaves_with_code_3() -> None:
    session = ScriptedSession([*a_run(preset()), Ended("diverged", 10_000, 1.0, (), "seed 0 diverged")], {})
    async with showing(session) as pilot:
        text = text_of(pilot)
        assert "diverged" in text
        assert "seed 0 diverged" in text
        await pilot.press("q")
        await until(pilot, lambda: pilot.app.return_code == 3)


class FailingSession(ScriptedSession):
    def events(self) -> Iterator[Event]:
        yield from self._told
        self.has_told.set()
        raise SessionError("No space left on device (the last checkpoint is runs/x)")


async def test_a_failure_is_shown_and_leaves_with_code_1() -> None:
    async with showing(FailingSession(a_run(preset()))) as pilot:
        await until(pilot, lambda: isinstance(pilot.app.screen, FailureScreen))
        await pilot.pause()
        assert "No space left on device" in text_of(pilot)
        await pilot.press("escape")
        await pilot.pause()
        assert "failed" in text_of(pilot)
        await pilot.press("q")
        await until(pilot, lambda: pilot.app.return_code == 1)


async def test_only_what_applies_is_offered() -> None:
    async with showing(ScriptedSession([*a_run(preset()), ended()], {})) as pilot:
        session_keys = {binding.binding.action for binding in pilot.app.screen.active_bindings.values()}
        assert "pause" not in session_keys
        assert "go_on" not in session_keys
        assert {"extend", "checkpoint", "new_draw"} <= session_keys


@pytest.mark.parametrize("typed", ["help", "linear", "new dr"])
async def test_enter_in_the_palette_is_about_what_was_typed_however_fast(
    typed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    actions: list[str] = []
    search = KeyCommands.search

    async def slowly(commands: KeyCommands, query: str) -> Hits:
        await sleep(0.3)  # as beside a training thread, on a busy machine
        async for hit in search(commands, query):
            yield hit

    monkeypatch.setattr(KeyCommands, "search", slowly)
    async with showing(ScriptedSession(a_run(preset()), ANSWERS)) as pilot:
        app = pilot.app

        async def act(action: str) -> None:
            actions.append(action)

        monkeypatch.setattr(app.screen, "run_action", act)
        app.action_command_palette()
        await until(pilot, lambda: "run: Pause" in text_of(pilot))
        for character in typed:  # and enter, before the list of it is there
            app.post_message(Key("space" if character == " " else character, character))
        app.post_message(Key("enter", "\r"))
        await until(pilot, lambda: bool(actions))
    assert actions == [{"help": "help", "linear": "scale", "new dr": "new_draw"}[typed]]


async def test_the_palette_offers_the_keys_by_name() -> None:
    async with showing(ScriptedSession(a_run(preset()), ANSWERS)) as pilot:
        await pilot.press("ctrl+p")
        await at_rest(pilot)
        assert "run: Pause" in text_of(pilot)
        await pilot.press("escape")
        await pilot.pause()


async def test_what_cannot_be_drawn_is_counted_and_shown() -> None:
    nan, inf = float("nan"), float("inf")
    told: list[Event] = [started(preset()), rows(0, [1.0, nan, inf, 0.0, 1e-3])]
    async with showing(ScriptedSession(told, ANSWERS)) as pilot:
        text = text_of(pilot)
        assert "2 not finite" in text
        assert "1 zero, at 1e-38" in text


class BreakingSession(ScriptedSession):
    def events(self) -> Iterator[Event]:
        yield from self._told
        self.has_told.set()
        raise OSError(28, "No space left on device")


async def test_no_error_of_the_training_thread_goes_unseen() -> None:
    async with showing(BreakingSession(a_run(preset()))) as pilot:
        await until(pilot, lambda: isinstance(pilot.app.screen, FailureScreen))
        await pilot.pause()
        assert "No space left on device" in text_of(pilot)
        await pilot.press("escape", "q")
        await until(pilot, lambda: pilot.app.return_code == 1)


async def test_a_pane_that_was_hidden_is_drawn_when_the_terminal_grows() -> None:
    the_rest = [*a_run(preset())[1:], ended()]
    session = ScriptedSession([started(preset()), rows(0, [1.0])], ANSWERS | {ShowDraws: the_rest})
    async with showing(session, size=(80, 24)) as pilot:
        await pilot.press("tab", "n")  # the rest of the run happens while the convergence chart is hidden
        await until(pilot, lambda: "finished" in text_of(pilot))
        await pilot.resize_terminal(120, 40)
        await until(
            pilot, lambda: "1e-10" in text_of(pilot).split("base losses")[0] or text_of(pilot).count("1e-10") > 1
        )


async def test_the_lanes_of_a_run_are_told_apart_by_name(tmp_path: Path) -> None:
    for experiment, names in (
        (preset("baselines"), ["SGD", "RMSProp"]),
        (replicates(), ["seed 4", "seed 5", "seed 6"]),
    ):
        run = DrivenRun.create(experiment, tmp_path / experiment.name)
        app = L2oApp(OpenRun.driving(run), fps=FPS)
        async with app.run_test(size=(120, 40)) as pilot:
            await until(pilot, lambda pilot=pilot: "finished" in text_of(pilot))  # type: ignore[misc]
            await pilot.press("s")  # of replicates the median is drawn first
            await at_rest(pilot)
            chart = "\n".join(line[:72] for line in text_of(pilot).splitlines()[2:24])
            assert all(name in chart for name in names), chart
            assert ("band: quartiles" in chart) == (len(names) > 2)


def replicates() -> Preset:
    tiny = ("network.hidden=3", "network.layers=1", "unroll.steps=4", "report.every=10", "run.iterations=20")
    return preset("log15_end", *tiny, "run.seed=4", "run.seeds=3", "run.backend=torch")


class LookingSession(ScriptedSession):
    """Looks at the screen when it is started, before it would load the backend."""

    app: L2oApp
    painted_height = 0

    def events(self) -> Iterator[Event]:
        self.painted_height = self.app.screen.query_one(StatusLines).region.height
        yield from super().events()


async def test_the_screen_is_painted_before_the_session_starts() -> None:
    session = LookingSession(a_run(preset()), ANSWERS)
    app = session.app = L2oApp(OpenRun(session, preset()), fps=FPS)
    async with app.run_test() as pilot:
        await until(pilot, session.has_told.is_set)
        assert session.painted_height == 2


async def test_a_crash_of_the_screen_stops_the_session() -> None:
    session = ScriptedSession(a_run(preset()), ANSWERS)

    async def crash() -> None:
        async with showing(session) as pilot:
            pilot.app.call_later(lambda: 1 / 0)
            await at_rest(pilot)

    with pytest.raises(ZeroDivisionError):
        await crash()
    assert session.is_over.wait(PATIENCE_SECONDS)
    assert session.commands == [Stop("the screen was closed")]


async def test_notices_are_shown() -> None:
    told = [*a_run(preset()), Notice("passed over a checkpoint: it is damaged")]
    async with showing(ScriptedSession(told, ANSWERS)) as pilot:
        await until(pilot, lambda: "passed over" in text_of(pilot))


async def test_the_table_stays_where_the_user_has_scrolled_to() -> None:
    experiment = preset("log30", "report.every=1")
    told: list[Event] = [started(experiment), *(progress(iteration, -1.0) for iteration in range(60))]
    session = ScriptedSession(told, {Pause: [progress(60, -1.0), StatusChanged("paused", 60)]})
    async with showing(session, experiment) as pilot:
        pane = pilot.app.screen.query_one(ProgressPane)
        await until(pilot, lambda: pane.scroll_y == pane.max_scroll_y > 0)
        end = pane.max_scroll_y
        pane.scroll_to(y=end - 1, animate=False)  # one line up is far enough not to be pulled back
        await pilot.pause(3 * training.LOOK_SECONDS)
        assert pane.scroll_y == end - 1
        pane.scroll_to(y=3, animate=False)
        await pilot.pause()
        await pilot.press("space")
        await until(pilot, lambda: pane.row_count == 61)
        assert pane.scroll_y == 3


# Leaving for the home screen.


@asynccontextmanager
async def shown_from_home(opened: OpenRun) -> AsyncIterator[Pilot[int]]:
    app = L2oApp(runs_dir=opened.folder.parent, fps=FPS)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until(pilot, lambda: isinstance(app.screen, HomeScreen))
        app.show_run(opened)
        await until(pilot, lambda: "● running" in text_of(pilot))
        yield pilot


def messages(pilot: Pilot[int]) -> str:
    return "\n".join(notification.message for notification in pilot.app._notifications)


@pytest.fixture
def interrupted(tmp_path: Path) -> OpenRun:
    """A run on the screen whose folder says that it was detached."""
    run = DrivenRun.create(tiny.tiny_preset(), tmp_path / "runs" / "ours")
    run.update(status="interrupted", message="detached")
    run.close()
    return OpenRun(ScriptedSession(a_run(preset()), ANSWERS), preset(), folder=run.folder)


async def test_a_failed_detach_is_told_at_home_and_as_the_last_word(
    interrupted: OpenRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> int:
        raise HandOverError("the background process for ours ended at once; it says:\n[no] memory")

    monkeypatch.setattr("l2o_tui.state.open_run.hand_over", fail)
    async with shown_from_home(interrupted) as pilot:
        left = pilot.app.screen
        assert isinstance(left, TrainingScreen)
        await pilot.press("d")
        await until(pilot, lambda: isinstance(pilot.app.screen, HomeScreen))
        left.look()  # as its timer may, which is stopped a moment later: no dialog of it appears at home
        await pilot.pause()
        assert isinstance(pilot.app.screen, HomeScreen)
        await until(pilot, lambda: "ended at once" in text_of(pilot))
        assert "[no] memory" in messages(pilot)
    said = list(interrupted.farewell())
    assert "[no] memory" in said[0]
    assert not any("(detached)" in line for line in said)
    assert said[-1].startswith("go on with: l2o-tui resume")


@pytest.mark.parametrize("key", ["question_mark", "ctrl+p", "+"])
async def test_what_lies_over_the_screen_of_a_run_that_is_left_goes_with_it(
    key: str, interrupted: OpenRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go_on = Flag()

    def slowly(*_: object, **__: object) -> int:
        assert may_go_on.wait(PATIENCE_SECONDS)
        return 1

    monkeypatch.setattr("l2o_tui.state.open_run.hand_over", slowly)
    async with shown_from_home(interrupted) as pilot:
        try:
            if key == "+":
                await pilot.press(key)  # while it is being left, nothing can be set any more
                await until(pilot, lambda: isinstance(pilot.app.screen, ExtendDialog))
                pilot.app.action_detach()  # type: ignore[attr-defined]
            else:
                await pilot.press("d", key)
                await until(pilot, lambda: len(pilot.app.screen_stack) == 4)
        finally:
            may_go_on.set()
        await until(pilot, lambda: isinstance(pilot.app.screen, HomeScreen))
        assert len(pilot.app.screen_stack) == 2  # textual's own is below
        await until(pilot, lambda: "interrupted, in the background" in messages(pilot))  # as its folder says


async def test_the_header_says_that_a_run_is_detached_until_it_is(
    interrupted: OpenRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    may_go_on = Flag()

    def slowly(*_: object, **__: object) -> int:
        assert may_go_on.wait(PATIENCE_SECONDS)
        return 77

    monkeypatch.setattr("l2o_tui.state.open_run.hand_over", slowly)
    async with shown_from_home(interrupted) as pilot:
        try:
            await pilot.press("d")
            await until(pilot, lambda: "handing it over" in text_of(pilot))
            assert "detaching …" in text_of(pilot)
            assert "loading" not in text_of(pilot)
        finally:
            may_go_on.set()
        await until(pilot, lambda: isinstance(pilot.app.screen, HomeScreen))
        await until(pilot, lambda: "in the background" in messages(pilot))


async def test_the_message_after_a_detach_does_not_outlive_the_run(
    interrupted: OpenRun, monkeypatch: pytest.MonkeyPatch
) -> None:
    def goes_on(folder: Path, *_: object) -> int:
        DrivenRun.take(folder).close()  # as it is for a moment: "running", and driven
        return 77

    states = iter(["running", "running", "finished"])
    monkeypatch.setattr("l2o_tui.state.open_run.hand_over", goes_on)
    async with shown_from_home(interrupted) as pilot:
        monkeypatch.setattr("l2o_engine.runs.folder.Run.status", lambda _: next(states, "finished"))
        said: list[str] = []
        notify = pilot.app.notify

        def note(message: str, **rest: Any) -> None:
            said.append(message)
            notify(message, **rest)

        monkeypatch.setattr(pilot.app, "notify", note)
        await pilot.press("d")
        await until(pilot, lambda: messages(pilot) == "finished, in the background: ours")  # and nothing beside it
        assert said == ["training goes on in the background: ours", "finished, in the background: ours"]


async def test_the_header_of_a_watched_run_says_who_drives_it(tmp_path: Path) -> None:
    run = made_run(tmp_path / "run", tiny.tiny_preset(), [[-1.0] * 25])
    record = run.record()
    session = ScriptedSession(a_run(preset()), ANSWERS)
    opened = OpenRun(session, preset(), folder=run.folder, driver=keys.WATCHED)
    async with L2oApp(opened, fps=FPS).run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: f"driven by process {record.pid} on {record.host}" in text_of(pilot))
        opened.feed.publish(StatusChanged("interrupted", 10_000))
        await until(pilot, lambda: "interrupted" in text_of(pilot))
        assert "driven by" not in text_of(pilot)
        session.mailbox.put(Stop("the test is over"))  # it knows no Leave


async def test_other_figures_are_shown_over_the_meta_iterations(tmp_path: Path) -> None:
    experiment = tiny.tiny_preset('inputs={kind="log", min_log=-15.0, adaptive=true}')
    tiny.run(tmp_path / "run", experiment)
    opened = OpenRun.driving(DrivenRun.take(tmp_path / "run"))
    async with L2oApp(opened, fps=FPS).run_test(size=(120, 40)) as pilot:
        await until(pilot, lambda: "finished" in text_of(pilot))
        chart = pilot.app.screen.query_one(ConvergenceChart)
        last = [*Run(tmp_path / "run").rows()][-1]
        ends = {"Σ of the losses": log10(last.sum_loss[-5:]).mean(), "norm of": log10(last.gradient_norm[-5:]).mean()}
        ends |= {"e^min_log": last.numbers["min_log"][-5:].mean() / log(10), "lost to ε": None}
        for title, value in ends.items():
            await pilot.press("g")
            await until(pilot, lambda title=title: title in text_of(pilot) and bool(chart.drawn and chart.drawn.series))  # type: ignore[misc]
            await until(pilot, lambda: chart.drawn is not None and not chart.drawn.levels)
            assert chart.drawn is not None
            assert chart.drawn.y.logarithmic == (value is not None)
            if value is not None:
                assert chart.drawn.series[0].at == pytest.approx(value, abs=1e-5)
            else:
                assert 0 <= 10 ** chart.drawn.series[0].at <= 1
        await pilot.press("g")
        await until(pilot, lambda: chart.drawn is not None and len(chart.drawn.levels) == 2)
        assert "end loss" in text_of(pilot)


# What is to be done about it.


def stuck(experiment: Preset) -> list[Event]:
    vitals = replace(HEALTHY, distance_ratio=1.0, epsilon_share=0.9999, gradient_norm=1e-14)
    diagnosis = Diagnostician(experiment.experiment, experiment.report.every).judge(vitals)
    return [*a_run(experiment), Diagnosed(LANE, diagnosis)]


async def test_the_remedy_is_one_key_away(tmp_path: Path) -> None:
    experiment = tiny.tiny_preset('inputs={kind="log", min_log=-15.0}')
    run = made_run(tmp_path / "runs" / "stuck", experiment, [[-1.0] * 25])
    session = ScriptedSession(stuck(experiment), ANSWERS)
    app = L2oApp(OpenRun(session, experiment, folder=run.folder), runs_dir=run.folder.parent, fps=FPS)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until(pilot, lambda: "a remedy" in text_of(pilot))
        await pilot.press("a")
        await until(pilot, lambda: isinstance(app.screen, StartDialog) and "Start anew from stuck" in text_of(pilot))
        assert "epsilon: the meta-gradient is 1e-14" in text_of(pilot)
        assert app.screen.query_one("#settings", Input).value == "meta.gradient=unit"
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, LeaveDialog))  # this one is not finished
        await pilot.press("q")
        await until(pilot, lambda: isinstance(app.screen, TrainingScreen) and app.screen.opened.folder != run.folder)
        started_run = Run(app.screen.opened.folder)  # type: ignore[attr-defined]
        assert started_run.preset().meta.gradient == "unit"
        assert [command for command in session.commands if isinstance(command, Stop)] == [
            Stop("another run was started")
        ]
        await until(pilot, lambda: "finished" in text_of(pilot))


async def test_who_stays_with_a_run_starts_no_other(tmp_path: Path) -> None:
    run = made_run(tmp_path / "runs" / "ours", tiny.tiny_preset(), [[-1.0] * 25])
    session = ScriptedSession(a_run(tiny.tiny_preset()), ANSWERS)
    app = L2oApp(OpenRun(session, tiny.tiny_preset(), folder=run.folder), runs_dir=run.folder.parent, fps=FPS)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until(pilot, lambda: "● running" in text_of(pilot))
        assert "a remedy" not in text_of(pilot)  # nothing is wrong
        await pilot.press("a", "k")
        await until(pilot, lambda: isinstance(app.screen, StartDialog))
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(app.screen, LeaveDialog))
        await pilot.press("escape")
        await until(pilot, lambda: isinstance(app.screen, TrainingScreen))
        assert [path.name for path in run.folder.parent.iterdir()] == ["ours"]
        assert not session.commands


async def test_ctrl_z_suspends_under_a_dialog_too(monkeypatch: pytest.MonkeyPatch) -> None:
    stopped: list[int] = []
    monkeypatch.setattr("l2o_tui.app.has_job_control", lambda: True)
    monkeypatch.setattr("l2o_tui.app.os.killpg", lambda _, number: stopped.append(number))
    async with showing(ScriptedSession(a_run(preset()), ANSWERS)) as pilot:
        await pilot.press("ctrl+z")
        await pilot.press("+")
        await until(pilot, lambda: isinstance(pilot.app.screen, ExtendDialog))
        await pilot.press("ctrl+z")
        assert stopped == [SIGTSTP, SIGTSTP]


# Other runs beside this one.


def labels(pilot: Pilot[int]) -> list[str]:
    figure = pilot.app.screen.query_one(ConvergenceChart).drawn
    return [series.label for series in figure.series] if figure else []


def last_drawn(pilot: Pilot[int]) -> list[float]:
    figure = pilot.app.screen.query_one(ConvergenceChart).drawn
    assert figure
    return [float(value) for value in figure.series[-1].y]


def is_pinning(pilot: Pilot[int]) -> bool:
    return any(worker.group == "pin" for worker in pilot.app.workers)


async def test_p_adds_run_after_run_until_six_are_there_and_shift_p_takes_them_all_away(tmp_path: Path) -> None:
    for number in range(7):
        made_run(tmp_path / f"run-{number}", preset("simple_sum"), [[10.0**-number] * 300])
    made_run(tmp_path / "run-6-empty", preset("simple_sum"), [[]])
    ours = made_run(tmp_path / "run-9", preset(), [[1.0] * 300]).folder
    app = L2oApp(OpenRun(ScriptedSession(a_run(preset()), ANSWERS), preset(), folder=ours), fps=FPS)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until(pilot, lambda: "● running" in text_of(pilot))
        (own,) = labels(pilot)
        await pilot.press("P")  # there is nothing to take away
        assert messages(pilot) == ""
        await pilot.press("p")
        await until(pilot, lambda: "has no result yet" in messages(pilot))
        for number in range(6, 0, -1):
            await pilot.press("p")
            await until(pilot, lambda number=number: len(labels(pilot)) == 8 - number)  # type: ignore[misc]
            await until(pilot, lambda: not is_pinning(pilot))
        assert labels(pilot) == [own, *(f"simple_sum, {number}" for number in range(6, 0, -1))]
        await pilot.press("p")
        await until(pilot, lambda: "no more can be" in messages(pilot))
        assert len(labels(pilot)) == 7
        await pilot.press("P")
        assert labels(pilot) == [own]


async def test_p_says_when_no_run_is_left(tmp_path: Path) -> None:
    made_run(tmp_path / "other", preset("simple_sum"), [[1.0] * 300])
    ours = made_run(tmp_path / "ours", preset(), [[1.0] * 300]).folder
    app = L2oApp(OpenRun(ScriptedSession(a_run(preset()), ANSWERS), preset(), folder=ours), fps=FPS)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until(pilot, lambda: "● running" in text_of(pilot))
        await pilot.press("p")
        await until(pilot, lambda: "beside it: simple_sum" in messages(pilot))
        await until(pilot, lambda: not is_pinning(pilot))
        await pilot.press("p")
        await until(pilot, lambda: "no other run is left" in messages(pilot))
        assert "simple_sum" in labels(pilot)


async def test_what_differs_names_a_run_beside_this_one_and_several_seeds_are_their_median(tmp_path: Path) -> None:
    seeds = [[-1.0] * 300, [-3.0] * 300, [-2.0] * 300]
    made_run(tmp_path / "1", preset("log30", "meta.learning_rate=1e-4", "run.seeds=3"), seeds)
    made_run(tmp_path / "2", preset("log30", "run.seed=7"), [[-1.0] * 300])
    ours = made_run(tmp_path / "3", preset(), [[1.0] * 300]).folder
    app = L2oApp(OpenRun(ScriptedSession(a_run(preset()), ANSWERS), preset(), folder=ours), fps=FPS)
    async with app.run_test(size=(120, 40), notifications=True) as pilot:
        await until(pilot, lambda: "● running" in text_of(pilot))
        for number in (1, 2):
            await pilot.press("p")
            await until(pilot, lambda number=number: len(labels(pilot)) == 1 + number)  # type: ignore[misc]
            await until(pilot, lambda: not is_pinning(pilot))
        assert labels(pilot)[1:] == ["seed 7", "lr 1e-4, 3 seeds"]
        assert last_drawn(pilot) == [-2.0] * 300
        await pilot.press("left_square_bracket")  # over another window it is the median still
        assert last_drawn(pilot) == [-2.0] * 300
