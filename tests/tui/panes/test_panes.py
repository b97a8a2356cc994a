"""The panes' one protocol: told the same view twice they draw nothing, hidden neither, and they catch up when shown."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from math import nan

import pytest
from rich.console import RenderableType
from textual.app import App, ComposeResult
from textual.pilot import Pilot
from textual.reactive import var
from textual.screen import Screen

from l2o_engine.presets.schema import Preset
from l2o_engine.records.curve import Curve
from l2o_engine.records.events import Diagnosed, Event, Extended, Notice
from l2o_engine.records.health import Diagnostician, TruncatedVitals
from l2o_engine.training.trainer import Lane
from l2o_tui.charts.widget import Chart
from l2o_tui.panes.base_pane import BasePane
from l2o_tui.panes.convergence_pane import ConvergencePane
from l2o_tui.panes.health_pane import HealthPane
from l2o_tui.panes.log_pane import LogPane
from l2o_tui.panes.pane import Pane
from l2o_tui.panes.progress_pane import ProgressPane
from l2o_tui.panes.status import StatusLines
from l2o_tui.state import keys
from l2o_tui.state.feed import LOG_KEPT, PROGRESS_KEPT, View
from l2o_tui.state.open_run import OpenRun
from tests.tui.scripted import LANE, ScriptedSession, a_run, curves, preset, progress, rows, started
from tests.tui.text.test_health import recorded
from tests.tui.waiting import text_of, until

SIZE = (100, 20)
PANES: dict[str, Callable[[OpenRun], Pane]] = {
    "status": lambda opened: StatusLines(opened.preset, driver=keys.WATCHED, id="pane"),
    "convergence": lambda opened: ConvergencePane(opened, id="pane"),
    "base": lambda _: BasePane(has_replicates=False, id="pane"),
    "progress": lambda opened: ProgressPane(opened.preset, opened.feed, id="pane"),
    "health": lambda _: HealthPane(id="pane"),
    "log": lambda opened: LogPane(opened.feed, id="pane"),
}


class Viewer(Screen[None]):
    """Shows one pane."""

    view: var[View] = var(View(phase=keys.LOADING), init=False)

    def __init__(self, pane: Pane) -> None:
        super().__init__()
        self.pane = pane

    def compose(self) -> ComposeResult:
        yield self.pane.data_bind(Viewer.view)


class Alone(App[int]):
    """An app with one pane, which counts what the terminal is sent."""

    def __init__(self, opened: OpenRun, pane: Pane) -> None:
        super().__init__()
        self.opened = opened
        self.viewer = Viewer(pane)
        self.sent = 0

    def on_mount(self) -> None:
        self.push_screen(self.viewer)

    def _display(self, screen: Screen[object], renderable: RenderableType | None) -> None:
        self.sent += renderable is not None
        super()._display(screen, renderable)

    def tell(self, *events: Event) -> None:
        """Let the run say something, and the screen look."""
        for event in events:
            self.opened.feed.publish(event)
        self.viewer.view = self.opened.feed.view()


@asynccontextmanager
async def alone(name: str, experiment: Preset | None = None) -> AsyncIterator[tuple[Alone, Pilot[int]]]:
    opened = OpenRun(ScriptedSession([]), experiment or preset())
    app = Alone(opened, PANES[name](opened))
    async with app.run_test(size=SIZE) as pilot:
        await pilot.pause()
        yield app, pilot


async def settled(pilot: Pilot[int]) -> str:
    """Return what is seen once nothing changes any more."""
    before = ""
    while (now := text_of(pilot)) != before:
        before = now
        await pilot.pause(0.15)  # the table's newest row comes into view at its next look
    return now


def everything() -> list[Event]:
    return [
        *a_run(preset()),
        Diagnosed(LANE, Diagnostician(preset().experiment, preset().report.every).judge(recorded("log30")[-1])),
        Notice("a notice"),
    ]


SEEN = {
    "status": "10,000 of 100,000",
    "convergence": "RMSProp -18.17",
    "base": "draw 1",
    "progress": "-9.50",
    "health": "meta-gradient",
    "log": "a notice",
}


@pytest.mark.parametrize("name", PANES)
async def test_it_shows_what_the_view_says_and_draws_nothing_for_the_same_again(name: str) -> None:
    async with alone(name) as (app, pilot):
        app.tell(*everything())
        assert SEEN[name] in await settled(pilot)
        sent = app.sent
        app.tell()
        app.viewer.pane.show_view(app.viewer.view)
        await settled(pilot)
        assert app.sent == sent


@pytest.mark.parametrize("name", PANES)
async def test_hidden_it_draws_nothing_and_it_catches_up_when_it_is_shown(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with alone(name) as (app, pilot):
        pane = app.viewer.pane
        shown: list[View] = []
        show_view = pane.show_view

        def noted(view: View) -> None:
            shown.append(view)
            show_view(view)

        monkeypatch.setattr(pane, "show_view", noted)
        pane.display = False
        await settled(pilot)
        app.tell(*everything())
        await settled(pilot)
        assert shown == []
        pane.display = True
        assert SEEN[name] in await settled(pilot)
        assert set(map(id, shown)) == {id(app.opened.feed.view())}


async def test_looks_that_come_fast_are_shown_one_a_second_and_the_last_of_them_in_the_end() -> None:
    async with alone("health") as (app, pilot):
        pane = app.viewer.pane
        looks = [Diagnosed(LANE, Diagnostician(preset().experiment, 1).judge(one)) for one in recorded("log30")[-3:]]
        app.tell(started(preset()), looks[0])
        first = pane.border_subtitle
        app.tell(looks[1])
        app.tell(looks[2])
        assert pane.border_subtitle == first == f"at {looks[0].diagnosis.vitals.iteration:,}"
        await until(pilot, lambda: pane.border_subtitle == f"at {looks[2].diagnosis.vitals.iteration:,}")


async def test_gates_and_layers_are_shown_where_there_is_room() -> None:
    truncated = TruncatedVitals(35.0, 0.0, nan, {"lstm0.input": 0.5}, {"layer0.weights": 0.25}, {})
    vitals = replace(recorded("log30")[-1], truncated=truncated)
    look = Diagnosed(LANE, Diagnostician(preset().experiment, 1).judge(vitals))
    async with alone("health") as (app, pilot):
        app.viewer.pane.styles.height = 18
        await settled(pilot)
        app.tell(started(preset()), look)
        said = await settled(pilot)
        assert "gates shut, i/f/o lstm0 50 %" in said
        assert "layers' rates layer0.weights 2.50E-01" in said
        app.viewer.pane.styles.height = 5
        said = await settled(pilot)
        assert "meta-gradient" in said
        assert "layers' rates" not in said


async def test_convergence_is_read_of_the_feed_only_for_new_rows_or_a_new_total(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with alone("convergence") as (app, _):
        read: list[View] = []
        convergence = app.opened.feed.convergence

        def noted() -> list[tuple[Lane, Curve]]:
            read.append(app.viewer.view)
            return convergence()

        monkeypatch.setattr(app.opened.feed, "convergence", noted)
        app.tell(started(preset()), rows(0, [1.0, 0.1]))
        assert len(read) == 1
        app.tell(progress(0, -1.0), Notice("nothing new for this pane"), curves())
        assert len(read) == 1
        app.tell(rows(2, [0.01]))
        app.tell(Extended(150_000))
        assert len(read) == 3


async def test_the_table_begins_anew_where_the_run_is_told_anew() -> None:
    async with alone("progress") as (app, pilot):
        pane = app.viewer.pane
        assert isinstance(pane, ProgressPane)
        app.tell(started(preset()), progress(0, -1.0), progress(5000, -4.25))
        assert "-4.25" in await settled(pilot)
        app.tell(started(preset()))
        assert pane.row_count == 0
        app.tell(progress(0, -1.0))
        assert pane.row_count == 1
        assert "-4.25" not in await settled(pilot)
        pane.display = False
        await settled(pilot)
        app.tell(started(preset()), progress(0, -7.75))  # the same count of rows, and of another telling
        pane.display = True
        seen = await settled(pilot)
        assert "-7.75" in seen
        assert "-1.00" not in seen


async def test_what_a_hidden_pane_has_missed_is_bounded() -> None:
    experiment = preset("log30", "report.every=1")
    for name in ("progress", "log"):
        async with alone(name, experiment) as (app, pilot):
            pane = app.viewer.pane
            pane.display = False
            await settled(pilot)
            app.tell(
                started(experiment),
                *(progress(iteration, -1.0) for iteration in range(PROGRESS_KEPT + 10)),
                *(Notice(f"number {number}") for number in range(LOG_KEPT + 10)),
            )
            pane.display = True
            seen = await settled(pilot)
            if isinstance(pane, ProgressPane):
                assert pane.row_count == PROGRESS_KEPT
                assert str(PROGRESS_KEPT + 9) in seen  # the newest is in view
            else:
                assert f"number {LOG_KEPT + 9}" in seen


class BrokenError(Exception):
    """What nobody has thought of."""


def broken(*_: object, **__: object) -> None:
    raise BrokenError("out of [/x] range\x1b]0;p\x07")


SAID = r"cannot be drawn: BrokenError: out of [/x] range\x1b]0;p\x07"
DRAWN_BY = {  # what each of them calls to draw
    "status": "render",
    "convergence": "figure",
    "base": "figure",
    "progress": "render_line",
    "health": "render_line",
    "log": "render_line",
}


@pytest.mark.parametrize("name", ["status", "convergence", "progress"])
async def test_a_pane_that_cannot_show_a_view_says_so_and_shows_the_next(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with alone(name) as (app, pilot):
        app.tell(started(preset()))  # which makes the table's columns, and so its width
        with monkeypatch.context() as patch:
            patch.setattr(app.viewer.pane, "show_view", broken)
            app.tell(*everything()[1:-1])
            assert SAID in await settled(pilot)
        app.tell(*everything()[-1:])
        seen = await settled(pilot)
        assert SAID not in seen
        assert SEEN[name] in seen


@pytest.mark.parametrize("name", PANES)
async def test_a_pane_that_cannot_be_painted_says_so_whatever_asks_for_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with alone(name) as (app, pilot):
        app.tell(*everything())
        assert SEEN[name] in await settled(pilot)
        pane = app.viewer.pane
        with monkeypatch.context() as patch:
            patch.setattr(pane, DRAWN_BY[name], broken)
            pane.refresh()
            if isinstance(pane, Chart):
                pane.redraw()  # as a key does
                pane.zoom(1)
            await pilot.resize_terminal(SIZE[0] - 7, SIZE[1])
            assert SAID in await settled(pilot)
        pane.refresh()
        if isinstance(pane, Chart):
            pane.fit()
        seen = await settled(pilot)
        assert SAID not in seen
        assert SEEN[name] in seen


async def test_what_is_laid_out_anew_may_fail_too(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, method in (("health", "_content"), ("log", "_append")):
        async with alone(name) as (app, pilot):
            app.tell(*everything())
            await settled(pilot)
            with monkeypatch.context() as patch:
                patch.setattr(app.viewer.pane, method, broken)
                await pilot.resize_terminal(SIZE[0] - 7, SIZE[1])
                assert SAID in await settled(pilot)
