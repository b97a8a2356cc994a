"""What there is room for at which size, and that what there is no room for is left out whole."""

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from rich.cells import cell_len
from textual.pilot import Pilot
from textual.widgets import Footer
from textual.widgets._footer import FooterKey
from textual.widgets._toast import Toast

from l2o_engine.presets.files import load
from l2o_engine.presets.schema import Preset
from l2o_engine.presets.shipped import find
from l2o_engine.records.events import Event
from l2o_tui.app import L2oApp
from l2o_tui.charts.widget import BaseChart, Chart, ConvergenceChart
from l2o_tui.panes.health_pane import HealthPane
from l2o_tui.panes.progress_pane import ProgressPane
from l2o_tui.panes.status import StatusLines
from l2o_tui.screens.compare import CompareScreen
from l2o_tui.screens.home import HomeScreen
from l2o_tui.state.open_run import OpenRun
from l2o_tui.text.health import vitals_of
from tests.engine.made import made_run
from tests.tui.curves import falling
from tests.tui.screens.test_snapshots import LOG30, LOG43, learning, replicates, stuck
from tests.tui.scripted import ScriptedSession, preset, started
from tests.tui.waiting import at_rest, text_of, until


@asynccontextmanager
async def showing(
    told: list[Event], experiment: Preset, size: tuple[int, int], folder: Path = Path("runs/test")
) -> AsyncIterator[Pilot[int]]:
    opened = OpenRun(ScriptedSession([]), experiment, folder=folder)
    for event in told:
        opened.feed.publish(event)
    app = L2oApp(opened, fps=1000)
    async with app.run_test(size=size, notifications=True) as pilot:
        await at_rest(pilot)
        yield pilot


@asynccontextmanager
async def at_home(size: tuple[int, int]) -> AsyncIterator[Pilot[int]]:
    app = L2oApp(runs_dir=Path("runs"))
    async with app.run_test(size=size, notifications=True) as pilot:
        await until(pilot, lambda: isinstance(app.screen, HomeScreen) and app.screen.focused is not None)
        await at_rest(pilot)
        yield pilot


def saved(message: str) -> Path:
    """Return the file that a message tells of."""
    return Path(message.removeprefix("the chart is in "))


def notices(pilot: Pilot[int]) -> list[str]:
    return [notice.message for notice in pilot.app._notifications]


async def test_at_120_by_40_the_charts_have_22_to_24_rows_and_all_panes_one_background() -> None:
    async with showing(stuck(), LOG43, (120, 40)) as pilot:
        charts = list(pilot.app.screen.query(Chart))
        assert all(22 <= chart.outer_size.height <= 24 for chart in charts)
        health = pilot.app.screen.query_one("#health")
        progress = pilot.app.screen.query_one(ProgressPane)
        assert health.region.y == progress.region.y == charts[0].region.bottom
        backgrounds = set()
        for pane in (*charts, health, progress):
            pane.focus()
            await pilot.pause()
            backgrounds |= {one.background_colors[1].hex for one in (*charts, health, progress)}
        assert backgrounds == {pilot.app.screen.background_colors[1].hex}


@pytest.mark.parametrize("size", [(200, 55), (120, 40), (118, 40)])
async def test_a_finding_leaves_room_for_all_that_was_measured(size: tuple[int, int]) -> None:
    async with showing(stuck(), LOG43, size) as pilot:
        await at_rest(pilot)
        health = pilot.app.screen.query_one(HealthPane)
        lines = health.render_lines(health.outer_size.region)
        said = " ".join("".join(segment.text for segment in line)[1:-1].strip() for line in lines)
        said = re.sub(" +", " ", said)
        for name, value in vitals_of(list(pilot.app.screen.view.diagnoses.values())):  # type: ignore[attr-defined]
            assert f"{name} {value}" in said
        assert "⚠ epsilon" in said
        assert "→ try meta.gradient" in said
        assert ("99.999999 % of the step is lost" in said) == (size == (200, 55))


async def test_without_health_the_event_log_has_its_room() -> None:
    experiment = load(find("baselines"))
    async with showing([], experiment, (120, 40)) as pilot:
        below = pilot.app.screen.query_one("#below")
        assert sum(pane.region.width for pane in below.children if pane.display) == 120
        assert pilot.app.screen.query_one("#log").region.width > 20
        await pilot.press("m", "tab", "tab")
        await at_rest(pilot)
        assert not pilot.app.screen.query_one("#log").display
    async with showing(learning(LOG30), LOG30, (120, 40)) as pilot:
        assert not pilot.app.screen.query_one("#log").display


@pytest.mark.parametrize("size", [(200, 55), (120, 40)])
async def test_the_table_of_four_seeds_shows_all_its_columns(size: tuple[int, int]) -> None:
    experiment = preset("log15_end_log", "run.seeds=4")
    async with showing([*replicates()], experiment, size) as pilot:
        pane = pilot.app.screen.query_one(ProgressPane)
        await until(pilot, lambda: bool(pane.columns))
        await at_rest(pilot)
        assert pane.max_scroll_x == 0
        line = next(line for line in text_of(pilot).splitlines() if "sum_error" in line)
        assert all(column.label.plain in line for column in pane.ordered_columns)


async def test_the_header_tells_the_average_before_memory_and_backend_and_cuts_nothing() -> None:
    experiment = preset("log30", "run.backend=torch")
    async with showing(learning(experiment), experiment, (80, 24)) as pilot:
        screen = pilot.app.screen
        average = screen.view.average  # type: ignore[attr-defined]
        assert average == pytest.approx(falling(20_000, to=-22)[-500:].mean(), abs=1e-6)
        for width in (*range(60, 70), *range(70, 130, 7)):
            await pilot.resize_terminal(width, 24)
            lines = str(screen.query_one(StatusLines).render()).splitlines()
            assert all(cell_len(line) <= width - 2 and "…" not in line for line in lines), width
            assert f"log10 {average:.2f}" in lines[1] or width < 62, lines
            assert not lines[0].endswith("·")


async def test_the_header_tells_a_device_that_is_not_the_cpu() -> None:
    experiment = preset("log30", "run.backend=torch")
    begun = replace(started(experiment), device="cuda:0 (A GPU)")
    async with showing([begun], experiment, (120, 40)) as pilot:
        assert "torch · cuda:0 (A GPU) · float32" in str(pilot.app.screen.query_one(StatusLines).render())


@pytest.mark.parametrize("width", [60, 61, 66, 70, 77, 80, 93, 120])
async def test_the_footer_leaves_out_whole_keys(width: int) -> None:
    async with showing(learning(LOG30), LOG30, (width, 24)) as pilot:
        footer = pilot.app.screen.query_one(Footer)
        keys = list(footer.query(FooterKey))
        assert keys
        assert footer.max_scroll_x == 0
        assert all(key.region.right <= width for key in keys)
        last = text_of(pilot).splitlines()[-1]
        shown = [f"{key.key_display} {key.description}" for key in keys]
        assert re.split(r" {2,}", last.strip()) == shown
        await pilot.resize_terminal(140, 24)
        await until(pilot, lambda: len(footer.query(FooterKey)) == 9)


async def test_at_home_a_name_gives_way_to_what_stands_beside_it(workplace: Path) -> None:
    name = "a-very-long-name-of-an-experiment-that-goes-on-and-on-s0-20261126-005411"
    for end in ("", "-2"):
        made_run(workplace / "runs" / f"{name}{end}", load(find("log30")), [[-1.0] * 300])
    async with at_home((80, 24)) as pilot:
        lines = [line for line in text_of(pilot).splitlines() if "finished" in line]
        assert len(lines) == 2
        whole = re.compile(r"a-very-long\S*…\S+ +✔ finished +\S+/\S+ +(\S+ +)?(now|\d+(\.\d)?s|\d+m \d+s) *│$")
        assert [line for line in lines if not whole.search(line)] == []
        assert sum("-s0-2 " in line for line in lines) == 1
        await pilot.resize_terminal(160, 40)
        await until(pilot, lambda: name[:15] in text_of(pilot))
        assert pilot.app.screen.query_one("#runs").max_scroll_x == 0
        await pilot.resize_terminal(109, 40)  # without the time, which the last column tells
        await until(pilot, lambda: f"{name.removesuffix('-20261126-005411')}-2 " in text_of(pilot))


async def test_at_80_by_24_the_comparison_shows_its_last_line_and_reads_out_the_cursor(workplace: Path) -> None:
    ours = ("report.rolling_window=20", "report.baseline_draws=100", "run.iterations=399")
    for place, settings in enumerate((("run.dtype=float64", "report.every=200"), ("report.every=100",))):
        made_run(
            workplace / "runs" / f"{place}", load(find("log30"), [*ours, *settings]), [list(falling(400, to=-20.0))]
        )
    async with at_home((80, 24)) as pilot:
        await pilot.press("space", "space", "c")
        await until(pilot, lambda: isinstance(pilot.app.screen, CompareScreen) and "floor of" in text_of(pilot))
        await at_rest(pilot)
        assert pilot.app.screen.query_one("#figures").max_scroll_y == 0
        assert pilot.app.screen.query_one(Chart).size.height >= 8
        seen = text_of(pilot)
        assert "those of dtype float64 over 200" in " ".join(seen.split())
        assert len(re.findall(r"^ *■ RMSProp +-", seen, re.MULTILINE)) == 1
        await pilot.press("right", "left")
        read = (await at_rest(pilot)).splitlines()
        assert any("it " in line and "dtype float" in line for line in read)


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_a_notice_takes_the_place_of_the_one_before_and_covers_no_axis(size: tuple[int, int]) -> None:
    async with showing(learning(LOG30), LOG30, size) as pilot:
        app = pilot.app
        for text in ("first", "second", "a checkpoint was saved at 20,000, and this is a long message " * 2):
            app.notify(text, markup=False)
            await until(pilot, lambda text=text: text[:20] in text_of(pilot))  # type: ignore[misc]
            await at_rest(pilot)
            (toast,) = app.screen.query(Toast)
            for chart in (app.screen.query_one(ConvergenceChart), app.screen.query_one(BaseChart)):
                if chart.is_on_screen:
                    assert not toast.region.overlaps(chart.content_region)
        assert [notice.message[:2] for notice in app._notifications] == ["a "]


async def test_a_chart_is_given_away_as_text_and_as_a_picture(workplace: Path) -> None:
    folder = made_run(workplace / "runs" / "ours", preset(), [[1.0] * 300]).folder
    async with showing(learning(LOG30), LOG30, (120, 40), folder) as pilot:
        chart = pilot.app.screen.query_one(ConvergenceChart)
        drawn = [chart.render_line(row).text.rstrip() for row in range(chart.size.height)]
        await pilot.press("w")
        await until(pilot, lambda: len(notices(pilot)) == 1)
        path = saved(notices(pilot)[0])
        assert path == Path("runs/ours/ours-convergence.txt")
        assert path.read_text().splitlines() == ["ours-convergence", *drawn]
        await pilot.press("w")  # what is there is not replaced
        await until(pilot, (folder / "ours-convergence-2.txt").exists)
        await pilot.press("W")
        await until(pilot, (folder / "ours-convergence.svg").exists)
        svg = (folder / "ours-convergence.svg").read_text()
        assert svg.startswith("<svg")
        assert "RMSProp" in svg
        assert pilot.app.theme_variables["series-1"] in svg
        await pilot.press("tab", "C")
        await until(pilot, lambda: "clipboard" in notices(pilot)[0])
        assert pilot.app.clipboard.startswith("ours-base\n")
        assert "RMSProp" in pilot.app.clipboard


async def test_a_chart_goes_into_the_working_folder_where_the_run_s_cannot_be_written_to(workplace: Path) -> None:
    async with showing(learning(LOG30), LOG30, (120, 40), workplace / "gone") as pilot:
        await pilot.press("w")
        await until(pilot, (workplace / "gone-convergence.txt").exists)


async def test_without_a_chart_on_the_screen_there_is_none_to_give_away(workplace: Path) -> None:
    async with showing(learning(LOG30), LOG30, (80, 24), workplace) as pilot:
        await pilot.press("tab", "tab")
        await at_rest(pilot)
        await pilot.press("w")
        await until(pilot, lambda: "no chart is on the screen" in "".join(notices(pilot)))
        assert not list(workplace.glob("*.txt"))
