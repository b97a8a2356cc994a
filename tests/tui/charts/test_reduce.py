"""Few points for many: no outlier is lost, gaps stay gaps, and what was drawn stays."""

from math import isfinite, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from l2o_tui.charts.axes import Span
from l2o_tui.charts.reduce import extremes, reduced, value_at
from tests.tui.charts.test_axes import views
from tests.tui.curves import curve_of, falling

RESULTS = st.lists(st.floats(-38, 10) | st.sampled_from([nan, np.inf, -np.inf, -38.0]), max_size=200)


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
    lines = [reduced(one.iteration, one.rolling, Span(0, 199), columns) for one in (before, after)]
    kept = [line.x < edges[1:][drawn].max(initial=0) for line in lines]
    assert_array_equal(lines[0].x[kept[0]], lines[1].x[kept[1]])
    assert_array_equal(lines[0].y[kept[0]], lines[1].y[kept[1]])
    band, later = (np.stack(extremes(one.iteration, one.low, one.high, edges))[:, drawn] for one in (before, after))
    assert_array_equal(band, later)


def test_the_cursor_reads_the_last_point_in_its_column_or_the_one_that_spans_it() -> None:
    x, y = np.array([3, 7, 11]), np.array([1.0, 2.0, nan])
    assert value_at(x, y, np.array([0.0, 8.0])) == 2
    assert value_at(x, y, np.array([4.0, 6.0])) == 2  # the point at 7 stands for 4 … 7
    assert np.isnan(value_at(x, y, np.array([8.0, 12.0])))
    assert np.isnan(value_at(x, y, np.array([12.0, 16.0])))
    assert np.isnan(value_at(x[:0], y[:0], np.array([0.0, 4.0])))


@given(RESULTS, st.integers(1, 40), views())
def test_a_reduced_line_is_in_view_finite_of_two_points_a_column_and_their_extremes(
    results: list[float], columns: int, view: Span
) -> None:
    x, y = np.arange(len(results)), np.array(results, np.float64)
    line = reduced(x, y, view, columns)
    assert np.isfinite(line.y).all()
    assert ((line.x >= view.left) & (line.x <= view.right)).all()
    assert (np.diff(line.x) > 0).all()
    assert len(line.x) <= 2 * columns + 2  # where it enters and leaves
    shown = y[(x >= view.left) & (x <= view.right) & np.isfinite(y)]
    assert not shown.size or (line.y.min() <= shown.min() and line.y.max() >= shown.max())
    assert not line.joined[:1].any()


def test_an_outlier_of_a_million_points_is_drawn() -> None:
    y = np.zeros(1_000_000)
    y[123_456], y[654_321] = 7.0, -9.0
    line = reduced(np.arange(len(y)), y, Span(0, 999_999), 100)
    assert (line.y.max(), line.y.min()) == (7, -9)
    assert {123_456.0, 654_321.0} <= set(line.x.tolist())


def test_gaps_stay_gaps_and_what_leaves_the_view_ends_at_its_edge() -> None:
    x, y = np.array([0, 10, 20, 30, 40]), np.array([0.0, 10.0, nan, 30.0, 40.0])
    line = reduced(x, y, Span(5, 35), 10)
    assert_array_equal(line.x, [5, 10, 30, 35])
    assert_array_equal(line.y, [5, 10, 30, 35])
    assert_array_equal(line.joined, [False, True, False, True])
    assert_array_equal(
        line.heights(np.array([4.0, 5, 8, 10, 20, 30, 33, 35, 36])), [nan, 5, 8, 10, nan, 30, 33, 35, nan]
    )
    assert_array_equal(reduced(x, y, Span(2, 8), 10).y, [2, 8])  # all of it is between two points
    assert not len(reduced(x, y, Span(21, 29), 10).x)
    assert not len(reduced(x[:0], y[:0], Span(0, 1), 10).x)


def test_heights_that_cannot_be_told_apart_are_the_last_of_them() -> None:
    y = np.where(np.arange(1000) % 2 == 0, 0.0, 0.01)
    line = reduced(np.arange(1000), y, Span(0, 999), 50, grain=0.1)
    assert_array_equal(line.x, np.append(np.arange(19, 999, 20), 999))
    assert_array_equal(line.y, np.full(50, 0.01))
    assert len(reduced(np.arange(1000), y, Span(0, 999), 50).x) == 100 + 1  # and the end
