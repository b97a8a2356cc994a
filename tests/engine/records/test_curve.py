"""The bounded memory of a run's convergence curve."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from l2o_engine.records.curve import Curve, History
from l2o_engine.records.rows import Rows

CAPACITY = 8
RESULTS = st.lists(st.floats(-38, 38) | st.sampled_from([np.nan, np.inf, -38.0]), max_size=100)


def rows_of(results: list[float], first: int = 0) -> Rows:
    """Return rows with these log10 results; -38 is an exact zero."""
    values = np.array(results, dtype=float)
    nothing = np.zeros(len(values))
    iteration = np.arange(first, first + len(values))
    losses = np.where(values == -38, 0.0, 1.0)
    return Rows(iteration, iteration * 0, losses, nothing, values, nothing, nothing, {}, np.isnan(values))


def curve_of(results: list[float], window: int, cuts: list[int] | None = None, capacity: int = CAPACITY) -> Curve:
    history = History(window, capacity)
    bounds = [0, *sorted(cuts or []), len(results)]
    for first, last in pairwise(bounds):
        history.add(rows_of(results[first:last], first))
    return history.curve()


def naive_rolling(results: list[float], window: int) -> list[float]:
    means = []
    for end in range(1, len(results) + 1):
        finite = [value for value in results[max(end - window, 0) : end] if np.isfinite(value)]
        means.append(float(np.mean(finite)) if finite else np.nan)
    return means


@given(RESULTS, st.integers(1, 20))
def test_every_point_covers_the_finite_results_since_the_one_before(results: list[float], window: int) -> None:
    curve = curve_of(results, window)
    first = 0
    for last, low, high in zip(curve.iteration, curve.low, curve.high, strict=True):
        finite = [value for value in results[first : last + 1] if np.isfinite(value)]
        assert_array_equal([low, high], [min(finite), max(finite)] if finite else [np.nan, np.nan])
        first = last + 1
    assert first == len(results)


@given(RESULTS, st.integers(1, 20))
def test_the_line_is_the_rolling_mean_of_the_finite_results(results: list[float], window: int) -> None:
    curve = curve_of(results, window)
    expected = np.array(naive_rolling(results, window))[curve.iteration]
    np.testing.assert_allclose(curve.rolling, expected, rtol=1e-9, atol=1e-9)


@given(RESULTS, st.integers(1, 20), st.integers(1, 150))
def test_another_window_is_rounded_up_to_whole_points_and_exact_at_their_ends(
    results: list[float], window: int, other: int
) -> None:
    curve = curve_of(results, window)
    found = curve.nearest_window(other)
    if other == window:
        assert found == window
    else:
        assert 0 <= found - other < curve.width
        assert found % curve.width == 0
    full = (curve.iteration + 1) % curve.width == 0  # the last point may hold fewer results
    expected = np.array(naive_rolling(results, found))[curve.iteration]
    np.testing.assert_allclose(curve.rolling_over(other)[full], expected[full], rtol=1e-9, atol=1e-9)


@given(RESULTS, st.integers(1, 150))
def test_the_last_point_has_another_windows_mean_over_at_least_so_many(results: list[float], other: int) -> None:
    curve = curve_of(results, 3)
    if not results:
        return
    found = curve.rolling_over(other)[-1]
    lengths = range(min(other, len(results)), min(other + 2 * curve.width, len(results)) + 1)
    possible = np.array([naive_rolling(results, length)[-1] for length in lengths])
    assert np.isclose(found, possible, rtol=1e-9, atol=1e-9, equal_nan=True).any()


@given(RESULTS, st.lists(st.integers(0, 100), max_size=6), st.integers(1, 20))
def test_the_curve_does_not_depend_on_how_rows_were_cut(results: list[float], cuts: list[int], window: int) -> None:
    one = curve_of(results, window)
    other = curve_of(results, window, [min(cut, len(results)) for cut in cuts])
    for name in ("iteration", "low", "high", "count", "width", "window", "non_finite", "zeros"):
        assert_array_equal(getattr(one, name), getattr(other, name), name)
    for name in ("rolling", "total"):
        np.testing.assert_allclose(getattr(one, name), getattr(other, name), rtol=1e-9, atol=1e-9)


@given(RESULTS)
def test_what_cannot_be_drawn_is_counted(results: list[float]) -> None:
    curve = curve_of(results, 5)
    assert curve.non_finite == sum(not np.isfinite(value) for value in results)
    assert curve.zeros == results.count(-38.0)


@pytest.mark.parametrize("capacity", [2, 8, 64])
def test_a_long_run_needs_no_more_points_than_the_capacity(capacity: int) -> None:
    history = History(7, capacity)
    for first in range(0, 5000, 50):
        history.add(rows_of([1.0] * 50, first))
        assert len(history.curve().iteration) <= capacity + 1
    assert len(history.curve().iteration) > capacity / 2
    assert history.curve().iteration[-1] == 4999


def test_as_long_as_there_is_room_every_result_is_a_point() -> None:
    results = [float(k) for k in range(CAPACITY)]
    curve = curve_of(results, 1)
    assert_array_equal(curve.iteration, range(CAPACITY))
    assert_array_equal(curve.low, results)
    assert_array_equal(curve.rolling, results)


def test_points_are_evenly_wide() -> None:
    curve = curve_of([0.0] * 64, 1)
    assert_array_equal(np.diff([-1, *curve.iteration]), 64 // CAPACITY)


def test_a_history_of_nothing_is_an_empty_curve() -> None:
    assert len(History(5).curve().iteration) == 0


def test_a_curve_once_taken_does_not_change() -> None:
    history = History(2, CAPACITY)
    history.add(rows_of([1.0, 2.0]))
    curve = history.curve()
    history.add(rows_of([9.0] * 30, 2))
    assert_array_equal(curve.high, [1.0, 2.0])


def test_results_that_are_not_there_yet_are_not_left_out() -> None:
    rows = rows_of([np.nan, np.nan, -1.0, np.nan, np.inf])
    no_episode_has_ended = replace(rows, non_finite=np.array([False, False, False, True, False]))
    history = History(2)
    history.add(no_episode_has_ended)
    assert history.curve().non_finite == no_episode_has_ended.unseen == 2
