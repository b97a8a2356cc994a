"""What plotext draws of a figure, and what is written beside it."""

import re
from concurrent.futures import ThreadPoolExecutor
from math import nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.cells import cell_len

from l2o_engine.optimizers.learned.learned_optimizer import LEARNED
from l2o_engine.presets.published import NotebookRow
from l2o_engine.support.arrays import Doubles
from l2o_tui.charts.axes import Span
from l2o_tui.charts.base_losses import base_losses
from l2o_tui.charts.cells import Cells, faint_look, look_of
from l2o_tui.charts.convergence import median_series
from l2o_tui.charts.figure import Figure, Series
from l2o_tui.charts.layout import SMALLEST, arrange, spread
from l2o_tui.charts.plotext import Palette, draw, printed
from l2o_tui.charts.styles import MARKERS, POINT, Style
from tests.tui.curves import LEVELS, curve_of, falling, figure_of, series_of, text_of

SIZES = [SMALLEST, (16, 6), (40, 10), (80, 24), (120, 40), (250, 70)]
BRAILLE = re.compile("[\u2800-\u28ff]")


@given(heights=st.lists(st.floats(-40, 5), min_size=1, max_size=6))
def test_labels_keep_their_distance_and_order_and_stay_inside(heights: list[float]) -> None:
    placed = spread(heights, low=-40, high=5, distance=1.5)
    assert all(height <= 5 + 1e-9 for height in placed)
    order = np.argsort(heights, kind="stable")
    assert (np.diff(np.array(placed)[order]) >= 1.5 - 1e-9).all()


def drawn(figure: Figure, size: tuple[int, int] = (120, 40)) -> str:
    return text_of(draw(figure, *size))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("logarithmic", [True, False])
@pytest.mark.parametrize("plain", [True, False])
@pytest.mark.parametrize(
    "results",
    [[], [-3.0], [nan] * 50, [nan, *falling(90), np.inf], [-38.0] * 50, [5.0] * 9, [300.0, -300.0], [400.0, -3.0]],
)
@pytest.mark.parametrize("levels", [LEVELS, {"lost": nan}])
def test_whatever_the_data_there_is_a_picture_of_the_size(
    size: tuple[int, int], logarithmic: bool, plain: bool, results: Doubles, levels: dict[str, float]
) -> None:
    figure = figure_of([series_of(LEARNED, curve_of(results))], levels, logarithmic=logarithmic, caption="a caption")
    figure = figure.with_cursor(0, 10)
    lines = text_of(draw(figure, *size, plain=plain)).split("\n")
    assert [cell_len(line) for line in lines] == [size[0]] * size[1]
    assert ("+" if plain else "┤") in "".join(lines)
    if plain:
        assert all(line.isascii() for line in lines)


@settings(max_examples=150)
@given(
    st.lists(st.lists(st.floats(-400, 400) | st.sampled_from([nan, np.inf, -np.inf]), max_size=60), max_size=5),
    st.floats(0, 50),
    st.floats(8, 60),
    st.booleans(),
)
def test_nothing_that_is_not_finite_or_in_view_reaches_plotext(
    runs: list[list[float]], left: float, width: float, logarithmic: bool
) -> None:
    series = [series_of(f"run {k}", curve_of(results), k) for k, results in enumerate(runs)]
    figure = figure_of(series, {}, view=Span(left, left + width), logarithmic=logarithmic, right=60)
    assert draw(figure.with_cursor(left, 20), 40, 10).size == (40, 10)


def test_sixty_four_series_are_all_there() -> None:
    series = [series_of(f"run {k}", curve_of(falling(50, to=-k)), k) for k in range(64)]
    cells = draw(figure_of(series, {}), 120, 70)
    assert {look_of(Style(place)) for place in range(8)} <= set(cells.looks.ravel().tolist())
    assert all(f" {series[k].style.marker()} run {k} " in text_of(cells) for k in range(64))


def test_the_axes_have_decades_and_names_and_the_labels_say_what_is_reached() -> None:
    text = drawn(figure_of(caption="a caption"))
    assert "1e-10┤" in text
    assert re.search(r"^ +0 +100 +200 ", text, re.MULTILINE)
    assert "meta-iterations · a caption" in text
    for label in ("▲ SGD -3.70", "■ RMSProp -18.17"):
        assert label in text
    assert re.search(r"● RNN -(19|20)\.\d\d", text)


def test_ten_meta_iterations_have_whole_ticks() -> None:
    text = drawn(figure_of([series_of(LEARNED, curve_of(falling(11)))]))
    assert re.search(r"^ +0 +2 +4 +6 +8 +10", text, re.MULTILINE)


def test_a_level_is_drawn_and_named_in_one_row_and_ticks_are_where_levels_of_their_value_are() -> None:
    for height in np.linspace(-19.9, -0.1, 40):
        lines = drawn(figure_of(levels={"level": float(height)})).split("\n")
        (row,) = [row for row, line in enumerate(lines) if "level" in line]
        assert "┈┈┈" in lines[row]
    lines = drawn(figure_of(levels={"level": -10.0})).split("\n")
    assert any("1e-10┤" in line and "level -10.00" in line for line in lines)


def test_eight_series_differ_by_marker_and_by_look() -> None:
    series = [series_of(f"seed {k}", curve_of(falling(200, seed=k, to=-4.0 - 3 * k)), k) for k in range(8)]
    cells = draw(figure_of(series, {}), 120, 40)
    text = text_of(cells)
    for place, marker in enumerate(MARKERS):
        assert f"{marker} seed {place}" in text
        assert text.count(marker) > 3  # along the line as well
        assert (cells.looks == look_of(Style(place))).any()


def test_a_bands_cells_are_fainter_and_sparser_than_the_lines() -> None:
    cells = draw(figure_of(levels={}), 120, 40)
    band = cells.texts[cells.looks == faint_look(Style(0))]
    assert set(band.tolist()) == {"⠂"}  # one dot a cell: it does not compete with its line
    line = "".join(cells.texts[(cells.looks == look_of(Style(0)))].tolist())
    assert len(BRAILLE.findall(line)) > 80
    without = draw(figure_of(levels={}, bands=False), 120, 40)
    assert not (without.looks == faint_look(Style(0))).any()


def test_a_lines_last_marker_is_where_its_value_is() -> None:
    y = np.append(np.linspace(-1, -12, 500), [-12.0, -1.0, -6.0])  # a short run of a long axis: a column holds it all
    line = Series("run", Style(0), np.arange(len(y)), y, at=-6.0)
    (row,) = (row for row in drawn(figure_of([line], {}, right=100_000)).split("\n") if "run -6.00" in row)
    assert row.count("●") == 2


def test_a_line_that_trembles_within_two_rows_is_no_thicker_than_one_that_does_not() -> None:
    steps = np.arange(20_000)
    for tremble in (0.0, 0.4, 0.9, 4.0):  # a row is half a decade
        y = np.where(steps % 2 == 0, -10.0, -10.0 + tremble)
        line = Series("", Style(0), steps, y)
        ends = Series("", Style(1), np.array([0, 1]), np.array([-1.0, -19.0]))
        cells = draw(figure_of([ends, line], {}, bands=False), 107, 39)
        drawn_cells = cells.texts[:36, 20:][cells.looks[:36, 20:] == look_of(Style(0))]
        dots = [(ord(text) - 0x2800).bit_count() for text in drawn_cells.tolist() if BRAILLE.match(text)]
        assert (np.median(dots) == 2) == (tremble < 1)  # dots in a cell


def test_an_outlier_among_a_million_is_in_the_picture() -> None:
    results = np.full(200_000, -2.0)
    results[123_456] = -30.0
    cells = draw(figure_of([series_of("", curve_of(results, window=1, capacity=262_144))], {}), 120, 40)
    assert (cells.looks[34] == look_of(Style(0))).any()  # near the bottom


def test_a_gap_stays_a_gap() -> None:
    results = np.full(100, -2.0)
    results[40:60] = nan
    cells = draw(figure_of([series_of("", curve_of(results, window=1, capacity=128))], {}, bands=False), 107, 20)
    columns = np.flatnonzero((cells.looks == look_of(Style(0))).any(axis=0)) - 6
    assert 39 <= columns[columns < 50].max() <= 41
    assert 59 <= columns[columns > 50].min() <= 62


def test_the_notebooks_points_are_drawn_where_they_are_in_view() -> None:
    rows = [NotebookRow(it=it, average_log_result=-it / 50) for it in (0, 200, 400, 5000)]
    text = drawn(figure_of(notebook=rows))
    assert text.count(POINT) == 3 + 1  # and the label
    assert "× notebook -8.00" in text
    assert POINT not in drawn(figure_of())


def test_the_cursor_is_a_line_behind_the_others_and_before_the_band() -> None:
    curve = curve_of(np.linspace(0, -12, 601), window=1, capacity=1024)
    figure = figure_of([series_of(LEARNED, curve)], {})
    room = arrange(figure, 120, 40)
    figure = figure.with_cursor(300.0, room.columns)
    column = room.left + figure.x.column_of(300, room.columns)
    lines = drawn(figure).split("\n")
    assert sum(line[column] == "│" for line in lines[:37]) >= 35
    assert re.search(r"it 30\d · ● RNN -(5\.9|6\.0)\d = ", lines[-1])


def test_a_level_out_of_view_is_pointed_at() -> None:
    assert "SGD -3.70↑" in drawn(figure_of(view=Span(500, 600)))


def test_each_seed_has_a_tint_and_a_digit_of_its_own() -> None:
    lines = {k: (np.arange(100), np.full(100, -1 - 5.0 * k)) for k in range(4)}
    cells = draw(figure_of(median_series(LEARNED, Style(0), lines, each=True), {}, bands=False), 120, 40)
    looks = [look_of(Style(0, seed)) for seed in range(4)]
    assert len(set(looks)) == 4
    for seed, look in enumerate(looks):
        assert (cells.looks == look).any()
        assert f" {seed} seed {seed} {-1 - 5 * seed}.00" in text_of(cells)


@pytest.mark.parametrize("width", [40, 46, 48, 60, 78, 120])
def test_labels_leave_the_drawing_more_than_half_of_the_width_and_keep_their_numbers(width: int) -> None:
    losses = {name: base ** np.arange(20.0) for name, base in ((LEARNED, 0.1), ("SGD", 0.5), ("RMSProp", 0.2))}
    long = losses | {"a hand-designed optimizer of mine": 0.3 ** np.arange(20.0)}
    for figure in (base_losses(losses), base_losses(long)):
        assert arrange(figure, width, 18).columns > width / 2
        text = drawn(figure, (width, 18))
        assert all(re.search(rf"{value}\d? *$", text, re.MULTILINE) for value in (r"-19\.0", r"-5\.7", r"-13\.[23]"))
    if width >= 46:
        assert re.search(r"RMSProp -13\.[23]", drawn(base_losses(losses), (width, 18)))


def test_names_are_cut_in_the_middle_and_counted_in_cells() -> None:
    names = ["均方根传播法", "a run with a very long name, number 1", "a run with a very long name, number 2"]
    series = [series_of(name, curve_of(falling(50, seed=k, to=-8.0 * (k + 1))), k) for k, name in enumerate(names)]
    for width in (60, 100):
        lines = text_of(draw(figure_of(series, {}), width, 20)).split("\n")
        assert {cell_len(line) for line in lines} == {width}
        assert sum("…" in line and re.search(r"[12] -\d", line) is not None for line in lines) == 2
        assert any("均方根传播法 -" in line for line in lines)


def test_the_reading_gives_way_before_its_values_do() -> None:
    series = [series_of(f"lr 1e-{k}", curve_of(falling(200, seed=k)), k) for k in range(4)]
    for width in (60, 80, 120, 250):
        figure = figure_of(series, {}).with_cursor(100, 40)
        caption = drawn(figure, (width, 24)).split("\n")[-1]
        assert figure.cursor is not None
        assert all(f"{one.value}" in caption for one in figure.cursor.readings), caption
        # A short name stands whole or not at all: cut, it would lose what tells it from the others.
        assert all(f"lr 1e-{k}" in caption for k in range(4)) == ("lr" in caption), caption


@pytest.mark.parametrize(
    "losses", [{}, {LEARNED: np.zeros(0)}, {LEARNED: np.full(20, nan)}, {LEARNED: np.array([1.0])}]
)
def test_base_losses_of_nothing_are_a_picture(losses: dict[str, Doubles]) -> None:
    for logarithmic in (True, False):
        assert len(drawn(base_losses(losses, logarithmic=logarithmic), (80, 20)).split("\n")) == 20


def test_the_printed_chart_has_a_palettes_colours_or_none() -> None:
    series = [series_of("one", curve_of(falling(300))), series_of("two", curve_of(falling(300, seed=1)), 3)]
    palette = Palette(series=(32, 166, 36, 175), faint=(67, 137, 65, 139))
    figure = figure_of(series)
    plain = printed(figure, 100, 25, palette=None)
    coloured = printed(figure, 100, 25, palette=palette)
    assert "\x1b" not in plain
    assert {len(line) for line in plain.split("\n")} == {100}
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain
    assert set(re.findall(r"38;5;(\d+)m", coloured)) == {"32", "67", "166", "36", "175", "139"}
    found = {name: colour for colour, name in re.findall(r"38;5;(\d+)m[^\x1b]* (one|SGD|RMSProp|two) ", coloured)}
    assert found == {"one": "32", "SGD": "166", "RMSProp": "36", "two": "175"}


def test_two_threads_draw_their_own_pictures() -> None:
    figures = [figure_of([Series(f"run {k}", Style(k), np.arange(50), np.full(50, -1.0 - k))], {}) for k in range(2)]
    alone = [drawn(figure) for figure in figures]
    with ThreadPoolExecutor(2) as threads:
        together = list(threads.map(drawn, figures * 20))
    assert together == alone * 20


def test_a_picture_leaves_nothing_behind_in_the_next() -> None:
    small = figure_of([], {})
    before = drawn(small)
    drawn(figure_of())
    assert drawn(small) == before


def test_a_blank_has_its_size() -> None:
    assert Cells.blank(7, 3).size == (7, 3)


def test_labels_stand_in_the_order_of_their_heights_though_they_share_a_row() -> None:
    ends = {"c": -12.9, "a": -12.3, "e": -14.0, "b": -12.6, "d": -13.1}
    series = [
        Series(name, Style(k), np.arange(50), np.full(50, end), at=end) for k, (name, end) in enumerate(ends.items())
    ]
    lines = drawn(figure_of(series), (100, 20)).split("\n")
    order = [found[1] for line in lines if (found := re.search(r" ([a-e]) -1\d\.\d\d *$", line))]
    assert order == list("abcde")


def test_the_last_row_says_how_many_series_have_no_label() -> None:
    series = [series_of(f"run {k}", curve_of(falling(50, seed=k, to=-k)), k) for k in range(64)]
    lines = drawn(figure_of(series, {}), (80, 20)).split("\n")
    assert sum(" run " in line for line in lines) == 16
    assert re.search(r" … 48 more *$", lines[16])
    assert "more" not in drawn(figure_of(series[:17], {}), (80, 20))


@pytest.mark.parametrize(
    ("results", "said"),
    [([], "no results yet"), ([nan] * 9, "no finite result here"), ([nan, -2.0], None), ([-38.0] * 9, None)],
)
def test_a_picture_of_nothing_says_why(results: list[float], said: str | None) -> None:
    text = drawn(figure_of([series_of("run", curve_of(results, window=1))]), (80, 20))
    assert ("no " in text) == (said is not None)
    assert said is None or f"meta-iterations · {said}" in text


def test_a_series_that_ends_in_nothing_is_named_where_it_ended() -> None:
    lost = Series("lost", Style(3), np.arange(50), np.append(np.full(30, -11.0), np.full(20, nan)))
    lines = drawn(figure_of([series_of("run", curve_of(falling(50))), lost])).split("\n")
    (at,) = (line for line in lines if "lost" in line)
    assert re.search(r"[⠁-⣿].* ◆ lost – *$", at)


def test_a_series_without_a_value_is_named_and_moves_no_other_label() -> None:
    lost = Series("lost", Style(3), np.arange(50), np.full(50, nan))
    with_it = drawn(figure_of([series_of("run", curve_of(falling(50))), lost])).split("\n")
    without = drawn(figure_of([series_of("run", curve_of(falling(50)))])).split("\n")
    assert sum(re.search(r" ◆ lost –", line) is not None for line in with_it) == 1
    for name in ("SGD", "RMSProp"):
        assert [name in line for line in with_it] == [name in line for line in without]
