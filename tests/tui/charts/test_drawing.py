"""What the charts draw, and what they decide before: views, points, ticks, labels."""

import re
from math import isfinite, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from l2o_engine.optimizers.learned.learned_optimizer import LEARNED
from l2o_engine.presets.published import NotebookRow
from l2o_engine.support.arrays import Doubles
from l2o_tui.charts.canvas import MARKERS, POINT, SMALLEST, Canvas, marker_of
from l2o_tui.charts.cells import LOOKS, Cells, faint_look, series_look
from l2o_tui.charts.drawing import (
    Line,
    Palette,
    Series,
    median_series,
    paint_convergence,
    paint_losses,
    printed_convergence,
)
from l2o_tui.charts.layout import (
    Span,
    decade_ticks,
    even_ticks,
    extremes,
    line_at,
    round_up,
    spread,
    value_at,
)
from tests.tui.curves import curve_of, falling, series_of, text_of

LEVELS = {"SGD": -3.7, "RMSProp": -18.17}
RESULTS = st.lists(st.floats(-38, 10) | st.sampled_from([nan, np.inf, -np.inf, -38.0]), max_size=200)
SIZES = [SMALLEST, (16, 6), (40, 10), (80, 24), (120, 40), (250, 70)]
WHOLE = Span(0, 1000)


@st.composite
def views(draw: st.DrawFn) -> Span:
    left = draw(st.floats(0, 990))
    return Span(left, draw(st.floats(left + 8, 1000)))


@given(views(), st.floats(0, 1), st.sampled_from([0.25, 0.5, 2.0, 4.0]))
def test_a_zoomed_view_lies_within_the_data_and_holds_what_it_is_about(view: Span, share: float, factor: float) -> None:
    about = view.left + share * view.width
    zoomed = view.zoomed(factor, about, WHOLE, least=8)
    assert WHOLE.left <= zoomed.left < zoomed.right <= WHOLE.right + 1e-9
    assert zoomed.left - 1e-9 <= about <= zoomed.right + 1e-9
    if factor > 1:
        assert zoomed == view or zoomed.width == pytest.approx(view.width / factor)
        assert zoomed.width >= 8 - 1e-9


@given(views(), st.floats(0, 1), st.sampled_from([2.0, 4.0]))
def test_zooming_in_and_out_again_returns(view: Span, share: float, factor: float) -> None:
    about = view.left + share * view.width
    zoomed = view.zoomed(factor, about, WHOLE, least=8)
    if zoomed != view:
        back = zoomed.zoomed(1 / factor, about, WHOLE, least=8)
        assert (back.left, back.right) == pytest.approx((view.left, view.right))


@given(views(), st.floats(-2000, 2000))
def test_a_moved_view_is_as_wide_and_within_the_data(view: Span, by: float) -> None:
    moved = view.moved(by, WHOLE)
    assert moved.width == pytest.approx(view.width)
    assert WHOLE.left <= moved.left
    assert moved.right <= WHOLE.right + 1e-9
    if view.left + by >= 0 and view.right + by <= 1000:
        assert moved.left == pytest.approx(view.left + by)


@given(RESULTS, st.integers(1, 40), views())
def test_columns_keep_the_extremes_of_what_is_in_view(results: list[float], columns: int, view: Span) -> None:
    curve = curve_of(results)
    edges = np.linspace(view.left, view.right, columns + 1)
    low, high = extremes(curve.iteration, curve.low, curve.high, edges)
    in_view = [
        value for at, value in enumerate(results) if isfinite(value) and view.left < at <= min(view.right, len(results))
    ]
    # The points at the edges hold more than is in view.
    assert not in_view or (np.nanmin(low) <= min(in_view) and np.nanmax(high) >= max(in_view))
    finite = [value for value in results if isfinite(value)]
    assert all(min(finite) <= value <= max(finite) for value in [*low, *high] if isfinite(value))


@given(RESULTS, st.integers(1, 40))
def test_fitted_columns_have_just_the_extremes_of_all(results: list[float], columns: int) -> None:
    curve = curve_of(results)
    edges = np.linspace(0, max(len(results), 1), columns + 1)
    low, high = extremes(curve.iteration, curve.low, curve.high, edges)
    finite = [value for value in results if isfinite(value)]
    assert np.fmin.reduce(low) == pytest.approx(min(finite, default=nan), nan_ok=True)
    assert np.fmax.reduce(high) == pytest.approx(max(finite, default=nan), nan_ok=True)


@given(st.integers(1, 150), st.integers(1, 60))
def test_what_was_drawn_does_not_move_as_a_run_goes_on(n: int, columns: int) -> None:
    results, edges = falling(200), np.linspace(0, 199, columns + 1)
    before, after = curve_of(results[:n], capacity=256), curve_of(results, capacity=256)
    drawn = edges[1:] < n - 1
    assert_array_equal(
        line_at(before.iteration, before.rolling, edges)[drawn], line_at(after.iteration, after.rolling, edges)[drawn]
    )
    band, later = (np.stack(extremes(one.iteration, one.low, one.high, edges))[:, drawn] for one in (before, after))
    assert_array_equal(band, later)


def test_a_line_is_its_points_at_the_columns_ends_and_its_last_one() -> None:
    x, y = np.array([0, 4, 8, 9]), np.array([1.0, nan, 3.0, 5.0])
    heights = line_at(x, y, np.array([0.0, 4, 8, 12, 16]))
    assert_array_equal(heights, [nan, 3.0, 5.0, nan])
    assert np.isnan(line_at(x[:0], y[:0], np.array([0.0, 4, 8]))).all()


def test_the_cursor_reads_the_last_point_in_its_column_or_the_one_that_spans_it() -> None:
    x, y = np.array([3, 7, 11]), np.array([1.0, 2.0, nan])
    assert value_at(x, y, np.array([0.0, 8.0])) == 2
    assert value_at(x, y, np.array([4.0, 6.0])) == 2  # the point at 7 stands for 4 … 7
    assert np.isnan(value_at(x, y, np.array([8.0, 12.0])))
    assert np.isnan(value_at(x, y, np.array([12.0, 16.0])))
    assert np.isnan(value_at(x[:0], y[:0], np.array([0.0, 4.0])))


@given(low=st.integers(-60, 10), span=st.integers(1, 70), most=st.integers(2, 20))
def test_decade_ticks_are_powers_of_ten_within_the_axis_and_few_enough(low: int, span: int, most: int) -> None:
    ticks, labels = decade_ticks(low, low + span, most)
    assert all(low <= tick <= low + span and tick == int(tick) for tick in ticks)
    assert len(ticks) <= most + 1
    assert len(set(np.diff(ticks))) <= 1
    assert [float(label) for label in labels] == pytest.approx([10.0**tick for tick in ticks], rel=1e-9)


@given(low=st.integers(0, 10**7), span=st.integers(1, 10**7), most=st.integers(2, 20), power=st.integers(-30, 0))
def test_even_ticks_are_even_few_enough_and_told_apart(low: int, span: int, most: int, power: int) -> None:
    scale = 10.0**power
    ticks, labels = even_ticks(low * scale, (low + span) * scale, most)
    slack = 1e-9 * (low + span) * scale
    assert all(low * scale - slack <= tick <= (low + span) * scale + slack for tick in ticks)
    assert len(ticks) == len(labels) == len(set(labels)) <= most + 1


@given(st.floats(1e-30, 1e30))
def test_rounding_up_gives_1_2_or_5_times_a_power_of_ten(value: float) -> None:
    rounded = round_up(value)
    assert value <= rounded * (1 + 1e-12)
    assert rounded < 2.5 * value * (1 + 1e-9)
    assert f"{rounded:e}"[0] in "125"


@given(heights=st.lists(st.floats(-40, 5), min_size=1, max_size=6))
def test_labels_keep_their_distance_and_order_and_stay_inside(heights: list[float]) -> None:
    placed = spread(heights, low=-40, high=5, distance=1.5)
    assert all(height <= 5 + 1e-9 for height in placed)
    order = np.argsort(heights, kind="stable")
    assert (np.diff(np.array(placed)[order]) >= 1.5 - 1e-9).all()


@given(st.lists(st.text("ab ", min_size=12, max_size=12), min_size=2, max_size=2))
def test_changed_cells_are_told_and_rows_are_runs_of_one_look(texts: list[str]) -> None:
    before, after = Cells.blank(12, 2), Cells.blank(12, 2)
    for cells, text in zip((before, after), texts, strict=True):
        cells.write(1, 0, text, look=1 if "ab" in text else 0)
    told = {(row, column) for row, start, end in after.changes(before) for column in range(start, end)}
    differing = (before.characters != after.characters) | (before.looks != after.looks)
    assert {(row, column) for row, column in np.argwhere(differing).tolist()} <= told
    assert len(told) <= 12
    assert not list(after.changes(after))
    after.looks[1, 3:5] = 2
    runs = list(after.runs(1))
    assert "".join(text for text, _ in runs) == texts[1]
    assert [text for text, look in runs if look == 2] == [texts[1][3:5]]


def painted(size: tuple[int, int] = (120, 40), *, logarithmic: bool = True, **options: object) -> Canvas:
    canvas = Canvas(*size, logarithmic=logarithmic)
    series = options.pop("series", [series_of(LEARNED, curve_of(falling(600), capacity=1024))])
    paint_convergence(canvas, series, options.pop("levels", LEVELS), **options)  # type: ignore[arg-type]
    canvas.write_caption("a caption")
    return canvas


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("logarithmic", [True, False])
@pytest.mark.parametrize(
    "results", [[], [-3.0], [nan] * 50, [-38.0] * 50, [300.0, -300.0], falling(500), [nan, *falling(90), np.inf]]
)
@pytest.mark.parametrize("levels", [LEVELS, {}, {"lost": nan}])
def test_whatever_the_data_there_is_a_picture_of_the_size(
    size: tuple[int, int], logarithmic: bool, results: Doubles, levels: dict[str, float]
) -> None:
    series = [series_of(LEARNED, curve_of(results))]
    lines = text_of(painted(size, logarithmic=logarithmic, series=series, levels=levels)).split("\n")
    assert [len(line) for line in lines] == [size[0]] * size[1]
    if size[1] > 5:
        assert "a caption" in lines[-1] or lines[-1].rstrip().endswith(("…", "a"))


def test_the_axes_have_decades_and_names_and_the_labels_say_what_is_reached() -> None:
    text = text_of(painted())
    assert "1e-10┤" in text
    assert re.search(r"^ +0 +100 +200 ", text, re.MULTILINE)
    assert "meta-iterations · a caption" in text
    for label in ("▲ SGD -3.70", "■ RMSProp -18.17"):
        assert label in text
    assert re.search(r"● RNN -(19|20)\.\d\d", text)


def test_near_results_have_ticks_of_parts_of_a_decade() -> None:
    near = np.linspace(-3.1, -3.4, 50)
    assert "1e-3.2┤" in text_of(painted(series=[series_of("", curve_of(near))], levels={}))


def test_the_linear_axis_has_the_numbers_themselves() -> None:
    curve = curve_of(np.log10(np.linspace(40, 20, 100)))
    text = text_of(painted(series=[series_of(LEARNED, curve)], levels={}, logarithmic=False))
    assert re.search(r"^ +50┤", text, re.MULTILINE)
    assert re.search(r"^ +0┤", text, re.MULTILINE)
    assert "● RNN 2.0e+01" in text


def test_eight_series_differ_by_marker_and_by_look() -> None:
    series = [series_of(f"seed {k}", curve_of(falling(200, seed=k, to=-4.0 - 3 * k))) for k in range(8)]
    canvas = painted(series=series, levels={})
    text = text_of(canvas)
    for place in range(8):
        assert f"{marker_of(place)} seed {place}" in text
        assert text.count(marker_of(place)) > 3  # along the line as well
        assert (canvas.cells.looks == series_look(place)).any()
    assert {marker_of(place) for place in range(8)} == set(MARKERS)
    assert len({(marker_of(place), series_look(place)) for place in range(64)}) == 64


@pytest.mark.parametrize(("count", "drawn"), [(1, True), (2, True), (3, False)])
def test_bands_are_drawn_while_they_can_be_told_apart(count: int, drawn: bool) -> None:
    series = [series_of(f"run {k}", curve_of(falling(200, seed=k))) for k in range(count)]
    canvas = painted(series=series, levels={})
    assert bool((canvas.cells.looks == faint_look(0)).any()) == drawn
    without = painted(series=series, levels={}, bands=False)
    assert not (without.cells.looks == faint_look(0)).any()


def test_without_the_band_the_axis_follows_the_line() -> None:
    noisy = np.full(300, -2.0)
    noisy[150] = -30.0
    series = [series_of("", curve_of(noisy, window=100, capacity=512))]
    assert "1e-30┤" in text_of(painted(series=series, levels={}))
    assert "1e-10┤" not in text_of(painted(series=series, levels={}, bands=False))


def test_the_axis_goes_to_the_runs_total_and_the_line_as_far_as_it_got() -> None:
    canvas = painted(right=6000, levels={})
    assert canvas.whole == Span(0, 6000)
    drawn = np.flatnonzero((canvas.cells.looks == series_look(0)).any(axis=0))
    labels = 120 - canvas.columns
    assert drawn[drawn < labels].size == 0 or drawn[0] < 10
    assert canvas.column_of(600) / canvas.columns == pytest.approx(0.1, abs=0.02)


def test_a_part_in_view_is_drawn_on_its_own_axis() -> None:
    canvas = Canvas(120, 40, logarithmic=True, view=Span(500, 600))
    curve = curve_of(falling(600), capacity=1024)
    paint_convergence(canvas, [series_of(LEARNED, curve)], LEVELS)
    text = text_of(canvas)
    assert re.search(r"^ +500 +520 +540 ", text, re.MULTILINE)
    assert "1e-20┤" in text
    assert "1e-5┤" not in text  # the fall is out of view
    assert "SGD -3.70↑" in text  # and so is this level


def test_the_notebooks_points_are_drawn_where_they_are_in_view() -> None:
    rows = [NotebookRow(it=it, average_log_result=-it / 50) for it in (0, 200, 400, 5000)]
    text = text_of(painted(notebook=rows))
    assert text.count(POINT) == 3 + 1  # and the label
    assert "× notebook -8.00" in text
    assert POINT not in text_of(painted())


@given(st.integers(0, 599), st.booleans())
def test_the_cursor_reads_what_the_data_says(at: int, logarithmic: bool) -> None:
    curve = curve_of(falling(600), capacity=1024)
    canvas = Canvas(120, 40, logarithmic=logarithmic, cursor=at)
    paint_convergence(canvas, [series_of(LEARNED, curve)], LEVELS)
    where, reading = canvas.readings
    iteration = int(where.removeprefix("it "))
    found = re.fullmatch(r"● RNN (\S+) = (\S+), raw (\S+) … (\S+)", reading)
    assert found
    mean, power, low, high = map(float, found.groups())
    column = 599 / canvas.columns
    assert abs(iteration - at) <= column
    assert mean == pytest.approx(curve.rolling[iteration], abs=0.006)
    assert power == pytest.approx(10 ** curve.rolling[iteration], rel=0.06)
    place = canvas.cursor_column()
    assert place is not None
    left, right = canvas.edges()[place : place + 2]
    inside = [k for k in range(600) if left < k <= right or k == left == 0]
    assert (low, high) == pytest.approx((curve.low[inside].min(), curve.high[inside].max()), abs=0.006)


def test_the_cursor_is_a_line_and_the_labels_have_its_values() -> None:
    curve = curve_of(np.linspace(0, -12, 601), window=1, capacity=1024)
    canvas = Canvas(120, 40, logarithmic=True, cursor=300.0)
    paint_convergence(canvas, [series_of(LEARNED, curve)], {})
    assert re.search(r"● RNN -(5\.9|6\.0)\d", text_of(canvas))
    column = text_of(canvas).split("\n")[0].index("│", 8)
    assert column == 7 + canvas.column_of(300)


def test_a_cursor_out_of_view_reads_nothing() -> None:
    canvas = Canvas(120, 40, logarithmic=True, view=Span(0, 100), cursor=300.0)
    paint_convergence(canvas, [series_of(LEARNED, curve_of(falling(600)))], {})
    assert canvas.readings == []


def test_replicates_are_a_median_with_quartiles_over_those_that_are_there() -> None:
    lines = [Line(f"seed {k}", np.arange(n), np.full(n, float(-k))) for k, n in enumerate((4, 4, 2, 0))]
    one = median_series(LEARNED, lines, each=False)
    assert_array_equal(one.iteration, range(4))
    assert_array_equal(one.line, [-1, -1, -0.5, -0.5])
    assert_array_equal(one.low, [-1.5, -1.5, -0.75, -0.75])
    assert one.band == "quartiles"
    assert one.each == ()
    assert len(median_series(LEARNED, lines, each=True).each) == 4


def test_each_seeds_line_is_drawn_faintly_if_wanted() -> None:
    lines = [Line(f"seed {k}", np.arange(100), np.full(100, -1 - 5.0 * k)) for k in range(3)]

    def with_each(each: bool) -> tuple[int, str]:
        canvas = painted(series=[median_series(LEARNED, lines, each=each)], levels={}, bands=False)
        drawn = canvas.cells.looks[:, : canvas.columns] == faint_look(0)
        return int(drawn.any(axis=1).sum()), text_of(canvas)

    assert with_each(each=False)[0] == 0
    rows, text = with_each(each=True)
    assert rows == 2  # the middle one lies below the median
    assert all(f"· seed {k} {-1 - 5 * k}.00" in text for k in range(3))


def test_base_losses_of_one_problem_are_lines_and_of_many_bands_as_well() -> None:
    steps = np.arange(20.0)
    one = {"SGD": 0.5**steps, LEARNED: 0.1**steps}
    canvas = Canvas(80, 20, logarithmic=True)
    paint_losses(canvas, one)
    assert "● RNN -19.00" in text_of(canvas)  # the network is the first
    assert "▲ SGD -5.72" in text_of(canvas)
    assert not np.isin(canvas.cells.looks, [faint_look(0), faint_look(1)]).any()
    many = {name: np.stack([losses, losses * 10, losses * 100]) for name, losses in one.items()}
    many[LEARNED][0, 5:] = nan
    canvas = Canvas(80, 20, logarithmic=True, cursor=19)
    paint_losses(canvas, many)
    assert (canvas.cells.looks == faint_look(0)).any()
    assert canvas.readings == ["step 19", "RNN -17.50 = 3.2e-18", "SGD -4.72 = 1.9e-05"]


@pytest.mark.parametrize(
    "losses", [{}, {LEARNED: np.zeros(0)}, {LEARNED: np.full(20, nan)}, {LEARNED: np.array([1.0])}]
)
def test_base_losses_of_nothing_are_a_picture(losses: dict[str, Doubles]) -> None:
    for logarithmic in (True, False):
        canvas = Canvas(80, 20, logarithmic=logarithmic)
        paint_losses(canvas, losses)
        assert len(text_of(canvas).split("\n")) == 20


def test_the_printed_chart_has_a_palettes_colours_or_none() -> None:
    series = [series_of("one", curve_of(falling(300))), series_of("two", curve_of(falling(300, seed=1)))]
    palette = Palette(series=(32, 166, 36), faint=(67, 137, 65))
    plain = printed_convergence(series, LEVELS, width=100, height=25, palette=None)
    coloured = printed_convergence(series, LEVELS, width=100, height=25, palette=palette)
    assert "\x1b" not in plain
    assert {len(line) for line in plain.split("\n")} == {100}
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain
    # The first series has the first colour, the levels the next ones, further series those behind: the first again.
    assert set(re.findall(r"38;5;(\d+)m", coloured)) == {"32", "67", "166", "36"}
    found = {name: colour for colour, name in re.findall(r"38;5;(\d+)m[^\x1b]* (one|SGD|RMSProp|two) ", coloured)}
    assert found == {"one": "32", "SGD": "166", "RMSProp": "36", "two": "32"}


def test_a_label_needs_no_more_room_than_there_is() -> None:
    series = [series_of(f"a run with a very long name, number {k}", curve_of(falling(50, seed=k))) for k in range(60)]
    canvas = painted((60, 12), series=series, levels={})
    assert {len(line) for line in text_of(canvas).split("\n")} == {60}
    assert canvas.columns >= 20


def test_there_is_a_look_for_all() -> None:
    assert len({series_look(k) for k in range(100)} | {faint_look(k) for k in range(100)} | {0, 1, 2}) == LOOKS


def test_a_series_without_a_band_has_none() -> None:
    curve = curve_of(falling(300))
    own = series_of("own", curve)
    other = Series("other", curve.iteration, curve.low - 5, curve.high, curve.rolling, band="")
    assert not (painted(series=[own, other], levels={}).cells.looks == faint_look(1)).any()
