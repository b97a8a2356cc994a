"""Pictures as values: what is shown, what the axes hold, what the cursor reads. Nothing is drawn here."""

from math import isfinite, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from l2o_engine.optimizers.learned.learned_optimizer import LEARNED
from l2o_engine.presets.published import NotebookRow
from l2o_tui.charts.axes import Span
from l2o_tui.charts.base_losses import base_losses
from l2o_tui.charts.convergence import median_series
from l2o_tui.charts.figure import QUARTILES, RAW
from l2o_tui.charts.styles import Style
from tests.tui.curves import curve_of, falling, figure_of, series_of

COLUMNS = 90


def test_the_labels_are_what_is_reached_the_lines_before_the_levels() -> None:
    figure = figure_of()
    found = [(label.name, label.value) for label in figure.labels]
    assert [name for name, _ in found] == [LEARNED, "SGD", "RMSProp"]
    assert found[1:] == [("SGD", "-3.70"), ("RMSProp", "-18.17")]
    assert float(found[0][1]) == pytest.approx(float(np.mean(falling(600)[-5:])), abs=0.006)
    assert figure.labels[2].short == "-18.2"


@pytest.mark.parametrize(("count", "shown"), [(1, True), (2, True), (3, False)])
def test_bands_are_shown_while_they_can_be_told_apart(count: int, shown: bool) -> None:
    series = [series_of(f"run {k}", curve_of(falling(200, seed=k)), k) for k in range(count)]
    assert figure_of(series).shows_bands == shown
    assert not figure_of(series, bands=False).shows_bands


def test_without_the_band_the_axis_follows_the_line() -> None:
    noisy = np.full(300, -2.0)
    noisy[150] = -30.0
    series = [series_of("", curve_of(noisy, window=100, capacity=512))]
    assert figure_of(series, {}).y.low == -30
    assert figure_of(series, {}, bands=False).y.low > -10


def test_the_axis_goes_to_the_runs_total_and_stays_there_as_the_run_goes_on() -> None:
    axes = [figure_of([series_of("", curve_of(falling(6000)[:n], capacity=8192))], right=6000).x for n in (50, 3000)]
    assert [axis.whole for axis in axes] == [Span(0, 6000)] * 2
    assert [axis.newest for axis in axes] == [49, 2999]


def test_a_part_in_view_has_its_own_y_axis() -> None:
    figure = figure_of(view=Span(500, 600))
    assert figure.x.view == Span(499, 599)  # there is no more
    assert figure.y.high < -10  # the fall is out of view, and so is SGD's level
    assert [level.label for level in figure.levels] == ["SGD", "RMSProp"]


def test_the_notebooks_points_are_those_in_view() -> None:
    rows = [NotebookRow(it=it, average_log_result=-it / 50) for it in (0, 200, 400, 5000)]
    figure = figure_of(notebook=rows)
    assert figure.points is not None
    assert figure.points.x.tolist() == [0, 200, 400]
    assert figure.labels[-1].value == "-8.00"
    assert figure_of().points is None


@given(st.integers(0, 599), st.booleans())
def test_the_cursor_reads_what_the_data_says(at: int, logarithmic: bool) -> None:
    curve = curve_of(falling(600), capacity=1024)
    figure = figure_of([series_of(LEARNED, curve)], logarithmic=logarithmic).with_cursor(at, COLUMNS)
    assert figure.cursor is not None
    iteration = int(figure.cursor.said.removeprefix("it "))
    assert abs(iteration - at) <= 599 / COLUMNS
    (reading,) = figure.cursor.readings
    assert float(reading.value) == pytest.approx(curve.rolling[iteration], abs=0.006)
    assert float(reading.number) == pytest.approx(10 ** curve.rolling[iteration], rel=0.06)
    low, high = map(float, reading.band.removeprefix("raw ").split(" … "))
    edges = figure.x.edges(COLUMNS)
    column = figure.x.column_of(at, COLUMNS)
    inside = [k for k in range(600) if edges[column] < k <= edges[column + 1] or k == edges[column] == 0]
    assert (low, high) == pytest.approx((curve.low[inside].min(), curve.high[inside].max()), abs=0.006)


def test_the_labels_have_the_values_at_the_cursor() -> None:
    curve = curve_of(np.linspace(0, -12, 601), window=1, capacity=1024)
    figure = figure_of([series_of(LEARNED, curve)], {}).with_cursor(300, COLUMNS)
    assert float(figure.labels[0].value) == pytest.approx(-6.0, abs=0.15)


def test_a_cursor_out_of_view_reads_nothing() -> None:
    assert figure_of(view=Span(0, 100)).with_cursor(300, COLUMNS).cursor is None


def test_replicates_are_a_median_with_quartiles_over_those_that_are_there() -> None:
    lines = {k: (np.arange(n), np.full(n, float(-k))) for k, n in enumerate((4, 4, 2, 0))}
    (one,) = median_series(LEARNED, Style(0), lines, each=False)
    assert_array_equal(one.x, range(4))
    assert_array_equal(one.y, [-1, -1, -0.5, -0.5])
    assert_array_equal(one.bands[0].low, [-1.5, -1.5, -0.75, -0.75])
    assert one.bands[0].kind == QUARTILES
    *parts, median = median_series(LEARNED, Style(0), lines, each=True)
    assert [part.label for part in parts] == ["seed 0", "seed 1", "seed 2", "seed 3"]
    assert all(part.is_replicate for part in parts)
    assert not median.is_replicate


def test_each_seed_is_read_at_the_cursor_and_the_median_is_named_first() -> None:
    lines = {k: (np.arange(100), np.full(100, -1 - 5.0 * k)) for k in range(3)}
    figure = figure_of(median_series(LEARNED, Style(0), lines, each=True), {})
    assert [label.name for label in figure.labels] == [LEARNED, "seed 0", "seed 1", "seed 2"]
    read = figure.with_cursor(50, COLUMNS).cursor
    assert read is not None
    assert {one.name: one.value for one in read.readings} == {
        LEARNED: "-6.00", "seed 0": "-1.00", "seed 1": "-6.00", "seed 2": "-11.00",
    }  # fmt: skip


def test_base_losses_of_one_problem_are_lines_and_of_many_bands_as_well() -> None:
    one = {"SGD": 0.5 ** np.arange(20.0), LEARNED: 0.1 ** np.arange(20.0)}
    figure = base_losses(one)
    assert [(label.name, label.value) for label in figure.labels] == [(LEARNED, "-19.00"), ("SGD", "-5.72")]
    assert not figure.shows_bands
    many = {name: np.stack([losses, losses * 10, losses * 100]) for name, losses in one.items()}
    many[LEARNED][0, 5:] = nan
    figure = base_losses(many).with_cursor(19, 60)
    assert figure.shows_bands
    assert figure.cursor is not None
    assert figure.cursor.said == "step 19"
    assert [(one.value, one.number) for one in figure.cursor.readings] == [("-17.50", "3.2e-18"), ("-4.72", "1.9e-05")]


def test_a_loss_over_held_out_data_is_a_line_beside_its_optimizers() -> None:
    one = {LEARNED: 0.1 ** np.arange(20.0), "SGD": 0.5 ** np.arange(20.0)}
    figure = base_losses(one, held_out={LEARNED: np.array([1.0, 1e-3, 1e-7])}, looks=(0, 10, 19)).with_cursor(19, 60)
    assert [(one.label, list(one.x[-2:])) for one in figure.series] == [
        *((LEARNED, [18, 19]), (f"{LEARNED}, test", [10, 19]), ("SGD", [18, 19]))
    ]
    trained, held_out, other = (one.style for one in figure.series)
    assert held_out.colour == trained.colour != other.colour
    assert len({style.marker() for style in (trained, held_out, other)}) == 3
    assert figure.cursor is not None
    assert [one.value for one in figure.cursor.readings] == ["-19.00", "-7.00", "-5.72"]


@pytest.mark.parametrize("results", [[], [-3.0], [nan] * 50, [-38.0] * 50, [300.0] * 9, [-300.0, 400.0]])
@pytest.mark.parametrize("logarithmic", [True, False])
def test_whatever_the_data_the_axes_are_finite_and_the_values_are_words(
    results: list[float], logarithmic: bool
) -> None:
    figure = figure_of([series_of(LEARNED, curve_of(results))], {"lost": nan}, logarithmic=logarithmic)
    assert all(map(isfinite, (figure.y.low, figure.y.high, figure.x.view.right)))
    assert figure.y.low < figure.y.high
    assert not figure.levels
    value = figure.labels[0].value
    assert value == "–" if not results or not isfinite(results[-1]) else float(value) or value


def test_a_raw_band_is_read_though_it_is_not_shown() -> None:
    series = [series_of(f"run {k}", curve_of(falling(200, seed=k)), k) for k in range(3)]
    read = figure_of(series).with_cursor(100, COLUMNS).cursor
    assert read is not None
    assert all(one.band.startswith(RAW) for one in read.readings)
