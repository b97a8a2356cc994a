"""The charts as widgets: what keys can do to them, what they tell the screen, and how they follow theme and size."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from math import nan
from typing import Any

import numpy as np
import pytest
from rich.color import ColorSystem
from textual.app import App, ComposeResult
from textual.events import MouseScrollDown, MouseScrollUp
from textual.pilot import Pilot
from textual.theme import Theme

from l2o_engine.optimizers.learned.learned_optimizer import LEARNED
from l2o_engine.presets.published import NotebookRow
from l2o_engine.records.events import Curves
from l2o_engine.support.arrays import Doubles
from l2o_engine.training.trainer import Lane
from l2o_tui.charts.axes import Span
from l2o_tui.charts.cells import look_of
from l2o_tui.charts.chart import Chart
from l2o_tui.charts.figure import Figure
from l2o_tui.charts.layout import arrange
from l2o_tui.charts.styles import Style, optimizer_styles
from l2o_tui.charts.widget import BaseChart, ConvergenceChart
from l2o_tui.state.themes import THEMES
from tests.tui.curves import curve_of, falling

TOTAL = 1000
LANE = Lane(0, LEARNED)
LEVELS = {"SGD": -3.7, "RMSProp": -18.17}
SIZES = [(40, 10), (80, 24), (120, 40), (250, 70), (12, 3), (120, 40)]


class ChartApp(App[None]):
    """One chart that fills the screen."""

    def __init__(self, chart: Chart) -> None:
        super().__init__()
        self.chart = chart

    def compose(self) -> ComposeResult:
        yield self.chart


@asynccontextmanager
async def on_screen(chart: Chart, size: tuple[int, int] = (120, 40)) -> AsyncIterator[Pilot[None]]:
    app = ChartApp(chart)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        yield pilot


def text_of(chart: Chart) -> str:
    return "\n".join(chart.render_line(row).text for row in range(chart.size.height))


def convergence(results: Doubles | None = None, *, notebook: tuple[NotebookRow, ...] = ()) -> ConvergenceChart:
    chart = ConvergenceChart(window=20, notebook=notebook, id="convergence")
    curve = curve_of(falling(600) if results is None else results, window=20, capacity=1024)
    chart.show([(LANE, curve)], LEVELS, TOTAL)
    return chart


def view(chart: Chart) -> tuple[float, float]:
    assert chart.drawn is not None
    return chart.drawn.x.view.left, chart.drawn.x.view.right


def is_fitted(chart: Chart) -> bool:
    assert chart.drawn is not None
    return chart.drawn.x.view == chart.drawn.x.whole


def readout(chart: Chart) -> str:
    """What the cursor reads, as it stands below the chart."""
    if chart.drawn is None or chart.drawn.cursor is None:
        return ""
    return text_of(chart).split("\n")[-1].strip().removeprefix(f"{chart.drawn.x.name} · ")


async def test_the_chart_shows_lines_levels_and_what_the_line_is() -> None:
    rows = (NotebookRow(it=100, average_log_result=-7.5),)
    chart = convergence(notebook=rows)
    async with on_screen(chart):
        text = text_of(chart)
        for part in ("● RNN -", "▲ SGD -3.70", "■ RMSProp -18.17", "× notebook -7.50", "1e-10┤", "800"):
            assert part in text
        assert "meta-iterations · line: mean of 20 · band: raw" in text


async def test_zoom_survives_every_option_and_fit_shows_all_again() -> None:
    chart = convergence()
    async with on_screen(chart) as pilot:
        assert view(chart) == (0, TOTAL)
        assert is_fitted(chart)
        chart.zoom(1)
        chart.zoom(1)
        seen = view(chart)
        assert not is_fitted(chart)
        assert seen[1] - seen[0] == TOTAL / 4
        assert seen[0] <= 600 <= seen[1]  # without a cursor it is about the newest data
        changes: list[Callable[[], Any]] = [
            lambda: setattr(chart, "logarithmic", False),
            lambda: chart.change_window(1),
            lambda: setattr(chart, "bands", False),
            lambda: setattr(chart, "each_seed", True),
            lambda: chart.pin("other", curve_of(falling(300))),
            lambda: chart.show([(LANE, curve_of(falling(900)))], LEVELS, TOTAL),
            lambda: chart.show([(LANE, curve_of(falling(900)))], LEVELS, 2 * TOTAL),
        ]
        for change in changes:
            change()
            text_of(chart)
            assert view(chart) == seen
        await pilot.resize_terminal(200, 60)
        await pilot.pause()
        assert "┤" in text_of(chart)
        assert view(chart) == seen
        chart.fit()
        text_of(chart)
        assert view(chart) == (0, 2 * TOTAL)


async def test_zoom_and_pan_stay_within_the_data_and_return() -> None:
    chart = convergence()
    async with on_screen(chart):
        chart.move_cursor(0)
        for _ in range(4):
            chart.zoom(1)
        close = view(chart)
        for _ in range(30):
            chart.pan(0.5)
            assert view(chart)[1] <= TOTAL
        assert view(chart)[1] == TOTAL
        for _ in range(60):
            chart.pan(-0.5)
        assert view(chart)[0] == 0
        assert view(chart)[1] == pytest.approx(close[1] - close[0])
        for _ in range(4):
            chart.zoom(-1)
        assert is_fitted(chart)
        for _ in range(40):
            chart.zoom(1)
        assert view(chart)[1] - view(chart)[0] >= 8


async def test_the_cursor_begins_at_the_newest_and_reads_out_the_data() -> None:
    results = falling(600)
    chart = convergence(results)
    async with on_screen(chart):
        assert readout(chart) == ""
        chart.move_cursor(-1)
        rolling = np.array([results[max(k - 19, 0) : k + 1].mean() for k in range(600)])
        assert "it 599 · ● RNN" in readout(chart)
        assert f"{rolling[-1]:.2f} = " in readout(chart)
        assert readout(chart) in text_of(chart)
        seen = [599]
        for _ in range(10):
            chart.move_cursor(-1)
            at = int(readout(chart).split(" · ")[0].removeprefix("it "))
            assert f"● RNN {rolling[at]:.2f} = {10 ** rolling[at]:.1e}, raw " in readout(chart)
            seen.append(at)
        assert (np.diff(seen) < 0).all()
        chart.page_cursor(-1)
        chart.move_cursor(0)
        assert chart.cursor is not None
        assert chart.cursor < TOTAL / 3
        chart.hide_cursor()
        assert readout(chart) == ""
        assert "line: mean" in text_of(chart)


async def test_the_cursor_takes_the_view_along_and_stops_at_the_ends() -> None:
    chart = convergence()
    async with on_screen(chart):
        chart.move_cursor(0)
        for _ in range(3):
            chart.zoom(1)
        width = view(chart)[1] - view(chart)[0]
        for _ in range(60):
            chart.page_cursor(-1)
        assert view(chart) == pytest.approx((0, width))
        assert chart.cursor == 0
        assert readout(chart)
        for _ in range(60):
            chart.page_cursor(1)
        assert view(chart) == pytest.approx((TOTAL - width, TOTAL))
        assert chart.cursor == TOTAL - 1
        assert "RNN –" in readout(chart)  # the run has not come so far


async def test_the_window_goes_up_and_down_and_says_when_it_is_rounded_up() -> None:
    chart = ConvergenceChart(window=30, id="convergence")
    chart.show([(LANE, curve_of(falling(1000), window=30, capacity=256))], {}, TOTAL)  # four results a point
    async with on_screen(chart):
        assert "mean of 30 ·" in text_of(chart)
        seen = []
        for by in (1, 1, 1, -1, -1, -1, -1, -1):
            chart.change_window(by)
            seen.append(chart.window)
        assert seen == [50, 100, 200, 100, 50, 30, 20, 10]
        assert "mean of 12 (10 rounded up) ·" in text_of(chart)
        for _ in range(40):
            chart.change_window(-1)
        assert chart.window == 1
        for _ in range(40):
            chart.change_window(1)
        assert chart.window >= 100_000
        assert f"RNN {falling(1000).mean():.2f}" in text_of(chart)


async def test_the_level_of_a_tuned_rival_says_so_and_keeps_its_style() -> None:
    chart = ConvergenceChart(window=5, tuned={"SGD"}, id="convergence")
    chart.show([(LANE, curve_of(falling(600)))], LEVELS, TOTAL)
    async with on_screen(chart):
        assert f"{Style(1).marker()} SGD, tuned" in text_of(chart)
        assert "RMSProp, tuned" not in text_of(chart)
    figure = chart.figure(None)
    assert figure is not None
    assert {level.label: level.style for level in figure.levels}["SGD, tuned"] == optimizer_styles(["SGD"])["SGD"]


async def test_replicates_are_one_median_and_other_runs_are_lines_beside_it() -> None:
    lanes = [(Lane(seed, LEARNED), curve_of(falling(600, seed=seed))) for seed in range(3)]
    chart = ConvergenceChart(window=5, id="convergence")
    chart.show(lanes, LEVELS, TOTAL)
    async with on_screen(chart):
        assert "● RNN, 3 seeds" in text_of(chart)
        assert "band: quartiles" in text_of(chart)
        chart.pin("long ago", curve_of(falling(400, seed=9)))
        chart.pin("longer ago", curve_of(falling(800, seed=8)))
        assert f"{Style(3).marker()} long ago" in text_of(chart)
        assert f"{Style(4).marker()} longer ago" in text_of(chart)
        assert "band: quartiles" in text_of(chart)
        chart.move_cursor(0)
        assert readout(chart).startswith("it 599 ")  # where this run is, not another one
        chart.hide_cursor()
        chart.unpin_all()
        assert "ago" not in text_of(chart)


async def test_the_optimizers_of_a_run_without_network_are_series() -> None:
    names = [f"optimizer {k}" for k in range(3)]
    chart = ConvergenceChart(window=5, id="convergence")
    chart.show([(Lane(0, name), curve_of(falling(600, seed=k))) for k, name in enumerate(names)], {}, TOTAL)
    async with on_screen(chart):
        styles = optimizer_styles(names)
        assert all(f"{styles[name].marker()} {name}" in text_of(chart) for name in names)
        assert "band" not in text_of(chart)


async def test_what_cannot_be_drawn_is_counted() -> None:
    results = falling(600)
    results[10:13] = nan
    results[20] = np.inf
    results[30:32] = -38
    chart = convergence(results)
    async with on_screen(chart):
        assert "4 not finite, left out · 2 zero, at 1e-38" in text_of(chart)
        chart.logarithmic = False
        assert "4 not finite, left out" in text_of(chart)
        assert "zero" not in text_of(chart)  # there it is where it belongs


@pytest.mark.parametrize("results", [np.zeros(0), np.full(1, -3.0), np.full(100, nan)])
@pytest.mark.parametrize("levels", [{}, LEVELS])
async def test_whatever_there_is_the_keys_do_no_harm(results: Doubles, levels: dict[str, float]) -> None:
    chart = ConvergenceChart(window=5, id="convergence")
    async with on_screen(chart):
        for shown in (False, True):
            if shown:
                chart.show([(LANE, curve_of(results))], levels, 0)
            for action in (chart.zoom, chart.pan, chart.move_cursor, chart.page_cursor, chart.change_window):
                for amount in (1, -1, 1, 1):
                    action(amount)
                    assert len(text_of(chart).split("\n")) == 40
            chart.fit()


async def test_every_size_has_its_picture() -> None:
    chart = convergence()
    async with on_screen(chart) as pilot:
        for size in SIZES:
            await pilot.resize_terminal(*size)
            await pilot.pause()
            lines = text_of(chart).split("\n")
            assert [len(line) for line in lines] == [size[0]] * size[1]
            assert any("┤" in line for line in lines) == (size != (12, 3))


async def test_only_what_changes_is_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    results = falling(600)
    chart = convergence(results)
    async with on_screen(chart):
        refreshed: list[Any] = []
        monkeypatch.setattr(chart, "refresh", lambda *regions: refreshed.extend(regions or [chart.size.region]))
        chart.show([(LANE, curve_of(results, window=20, capacity=1024))], LEVELS, TOTAL)
        assert refreshed == []
        before = text_of(chart).split("\n")
        chart.show([(LANE, curve_of([*results, *results[-3:]], window=20, capacity=1024))], LEVELS, TOTAL)
        after = text_of(chart).split("\n")
        told = {(row, column) for region in refreshed for row in region.line_range for column in region.column_range}
        assert {
            (row, column)
            for row, (one, other) in enumerate(zip(before, after, strict=True))
            for column, pair in enumerate(zip(one, other, strict=True))
            if pair[0] != pair[1]
        } <= told
        assert 0 < len(told) < 100


async def test_a_chart_that_is_not_shown_is_painted_when_it_is() -> None:
    chart = convergence()
    async with on_screen(chart) as pilot:
        chart.display = False
        await pilot.pause()
        chart.show([(LANE, curve_of(np.full(600, -3.0)))], {}, TOTAL)
        chart.display = True
        await pilot.pause()
        assert "RNN -3.00" in text_of(chart)


SERIES = {f"series-{place + 1}": f"#0{place}0a0b" for place in range(8)}


@pytest.mark.parametrize("variables", [SERIES, {"series-1": "#00aaff"}, {}])
async def test_colours_are_the_themes_and_follow_it(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    chart = convergence()
    async with on_screen(chart) as pilot:
        monkeypatch.setattr(type(pilot.app.console), "color_system", property(lambda _: "truecolor"))
        chart._on_theme(pilot.app.current_theme)
        before = [segment.style for row in range(40) for segment in chart.render_line(row)]
        theme = Theme(name="ours", primary="#123456", surface="#111111", variables=variables)
        pilot.app.register_theme(theme)
        pilot.app.theme = "ours"
        await pilot.pause()
        segments = [segment for row in range(40) for segment in chart.render_line(row)]
        assert [segment.style for segment in segments] != before
        marked = next(segment for segment in segments if "● RNN" in segment.text)
        assert marked.style is not None
        assert marked.style.color is not None
        expected = variables.get("series-1", "#123456")
        assert marked.style.color.name == expected


@pytest.mark.parametrize("theme", ["textual-light", "textual-ansi", "gruvbox"])
async def test_every_theme_has_colours_for_all(theme: str) -> None:
    chart = convergence()
    async with on_screen(chart) as pilot:
        if theme in pilot.app.available_themes:
            pilot.app.theme = theme
        await pilot.pause()
        assert "● RNN" in text_of(chart)


async def test_sixteen_colours_leave_the_band_grey(monkeypatch: pytest.MonkeyPatch) -> None:
    chart = convergence()
    async with on_screen(chart) as pilot:
        monkeypatch.setattr(type(pilot.app.console), "color_system", property(lambda _: "standard"))
        chart._on_theme(pilot.app.current_theme)
        chart_lines = [segment for row in range(40) for segment in chart.render_line(row)]
        band = next(segment.style for segment in chart_lines if "⠂⠂" in segment.text)
        assert band is not None
        assert band.color is not None
        assert band.color.downgrade(ColorSystem.STANDARD).number == 8  # bright black


async def test_a_cursor_that_moves_reads_the_same_figure_and_what_is_new_another_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chart = convergence()
    made: list[Span | None] = []
    figure = chart.figure

    def noted(view: Span | None) -> Figure | None:
        made.append(view)
        return figure(view)

    monkeypatch.setattr(chart, "figure", noted)
    async with on_screen(chart):
        del made[:]
        chart.move_cursor(-1)
        chart.page_cursor(-1)
        chart.hide_cursor()
        assert not made
        chart.move_cursor(-1)
        at = readout(chart)
        chart.show([(LANE, curve_of(falling(900), window=20, capacity=1024))], LEVELS, TOTAL)
        assert len(made) == 1
        assert chart.drawn is not None
        assert chart.drawn.x.newest == 899
        chart.zoom(2)
        chart.page_cursor(-9)  # and out of the view, which moves along
        assert len(made) == 3
        assert readout(chart) != at


async def test_of_sixteen_colours_seeds_have_first_those_that_nothing_else_in_the_picture_has(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    chart = convergence()
    async with on_screen(chart) as pilot:
        monkeypatch.setattr(type(pilot.app.console), "color_system", property(lambda _: "standard"))
        pilot.app.register_theme(THEMES[0])
        pilot.app.theme = THEMES[0].name
        await pilot.pause()
        styles = chart._themed()
        seeds = [styles[look_of(Style(0, seed))].color for seed in range(4)]
        others = [styles[look_of(Style(place))].color for place in range(3)]
        assert len({*seeds, *others}) == 7


async def test_base_losses_say_their_draw_or_how_many_and_whose() -> None:
    losses = {"SGD": 0.5 ** np.arange(20.0), LEARNED: 0.1 ** np.arange(20.0)}
    chart = BaseChart(id="base")
    async with on_screen(chart, (80, 20)):
        chart.show(None)
        assert text_of(chart).strip() == ""
        chart.show(Curves(3, 10, losses))
        assert "base steps · draw 4" in text_of(chart)
        assert "● RNN -19.00" in text_of(chart)
        chart.move_cursor(0)
        assert readout(chart) == "step 19 · ● RNN -19.00 = 1.0e-19 · ▲ SGD -5.72 = 1.9e-06"
        chart.hide_cursor()
        many = {name: np.stack([values] * 4) for name, values in losses.items()}
        many["SGD"][:, 3] = nan
        many["SGD"][:, 4] = 0
        chart.show(Curves(0, 10, many), seed=2)
        assert "base steps · 4 not finite, left out · 4 zero, at 1e-38 · median and" in text_of(chart)
        assert chart.drawn is not None
        assert "median and quartiles of 4 draws · seed 2" in chart.drawn.caption
        chart.logarithmic = False
        assert "zero" not in chart.drawn.caption


def drawing_of(chart: Chart) -> tuple[int, int]:
    """Return the column of the picture that the drawing begins in, and how many it has."""
    assert chart.drawn is not None
    room = arrange(chart.drawn, *chart.size)
    return room.left, room.columns


def cursor_column(chart: Chart) -> int | None:
    assert chart.drawn is not None
    cursor = chart.drawn.cursor
    return None if cursor is None else chart.drawn.x.column_of(cursor.x, drawing_of(chart)[1])


async def test_a_click_puts_the_cursor_there_and_the_wheel_zooms_about_it() -> None:
    chart = convergence()
    async with on_screen(chart) as pilot:
        left, columns = drawing_of(chart)
        await pilot.click(chart, offset=(2, 10))  # on the y axis' labels
        assert chart.cursor is None
        for column in (0, 17, columns - 1):
            await pilot.click(chart, offset=(left + column, 10))
            assert cursor_column(chart) == column
            assert readout(chart)
        await pilot.click(chart, offset=(left + 17, 10))
        before = chart.cursor
        await pilot._post_mouse_events([MouseScrollUp], chart, offset=(left + 17, 10), button=0)
        await pilot.pause()
        assert (is_fitted(chart), chart.cursor) == (False, before)
        assert cursor_column(chart) == 17
        await pilot._post_mouse_events([MouseScrollDown], chart, offset=(left + 17, 10), button=0)
        await pilot.pause()
        assert is_fitted(chart)


async def test_the_cursor_names_the_step_whose_loss_it_reads() -> None:
    chart = BaseChart(id="base")
    steps = 20
    chart.show(Curves(0, 0, {LEARNED: 10.0 ** -np.arange(steps, dtype=np.float64)}))
    async with on_screen(chart):
        seen = set()
        for _ in range(200):
            chart.move_cursor(-1)
            assert chart.drawn is not None
            assert chart.drawn.cursor is not None
            step, (reading,) = chart.drawn.cursor.said, chart.drawn.cursor.readings
            assert reading.value == f"{-int(step.split()[1]):.2f}".replace("-0.00", "0.00")
            seen.add(step)
        assert len(seen) == steps


async def test_a_terminal_without_braille_gets_plain_characters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "linux")
    async with on_screen(convergence()) as pilot:
        chart = pilot.app.query_one(Chart)
        assert text_of(chart).isascii()
        assert "* RNN -" in text_of(chart)
        monkeypatch.setenv("TERM", "xterm-256color")
        chart.redraw()
        assert "● RNN -" in text_of(chart)
        monkeypatch.setenv("L2O_ASCII", "1")
        chart.redraw()
        assert text_of(chart).isascii()


@pytest.mark.parametrize("colours", ["truecolor", "standard"])
async def test_the_replicates_tints_differ_from_one_another_in_every_theme(
    colours: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lanes = [(Lane(seed, LEARNED), curve_of(falling(600, seed=seed, to=-5.0 * seed - 5))) for seed in range(4)]
    chart = ConvergenceChart(window=5, id="convergence")
    chart.show(lanes, LEVELS, TOTAL)
    chart.each_seed = True
    async with on_screen(chart) as pilot:
        monkeypatch.setattr(type(pilot.app.console), "color_system", property(lambda _: colours))
        for theme in sorted(pilot.app.available_themes):
            pilot.app.theme = theme
            await pilot.pause()
            segments = [segment for row in range(40) for segment in chart.render_line(row)]
            found = {
                segment.style.color.triplet or segment.style.color.number
                for segment in segments
                if segment.style and segment.style.color and " seed " in segment.text
            }
            assert len(found) == 4, theme
