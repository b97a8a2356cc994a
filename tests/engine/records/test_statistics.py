"""Statistics over replicates: figures by hand, and curves of any length that are nowhere made up."""

from math import isnan, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from l2o_engine.records.curve import Curve, History
from l2o_engine.records.rows import Rows
from l2o_engine.records.statistics import group_curve, median_line, quartiles, spread_of
from l2o_engine.support.arrays import Doubles

FIGURES = st.floats(-40, 5) | st.sampled_from([nan, np.inf])


def curve_of(values: Doubles, capacity: int) -> Curve:
    iteration, nothing = np.arange(len(values)), np.zeros(len(values))
    history = History(1, capacity)
    history.add(Rows(iteration, iteration, nothing + 1, nothing, values, values, nothing, {}, nothing > 0))
    return history.curve()


@given(st.lists(st.floats(-40, 5) | st.just(nan), max_size=9))
def test_a_spread_is_of_what_is_not_nan(values: list[float]) -> None:
    spread = spread_of(values)
    there = [value for value in values if not isnan(value)]
    assert (spread.count, spread.lost) == (len(there), len(values) - len(there))
    if there:
        assert min(there) == spread.least <= spread.lower <= spread.median <= spread.upper <= spread.greatest
        assert spread.median == pytest.approx(np.median(there))
    else:
        assert np.isnan(spread.median)


@given(st.lists(st.lists(FIGURES, min_size=3, max_size=3), min_size=1))
def test_quartiles_are_numpy_s_of_the_finite_values_to_the_last_bit(values: list[list[float]]) -> None:
    table = np.array(values)
    for place, column in enumerate(table.T):
        finite = column[np.isfinite(column)]
        expected = np.quantile(finite, [0.25, 0.5, 0.75]) if finite.size else [nan] * 3
        assert_array_equal(quartiles(table)[:, place], expected)


def test_a_median_is_over_the_replicates_that_have_come_so_far() -> None:
    lines = [(np.arange(n), np.full(n, float(-k))) for k, n in enumerate((4, 4, 2, 0))]
    middle = median_line(lines)
    assert_array_equal(middle.iteration, range(4))
    assert_array_equal(middle.median, [-1, -1, -0.5, -0.5])
    assert_array_equal(middle.lower, [-0.5 - 1] * 2 + [-0.75] * 2)
    assert_array_equal(middle.replicates, [3, 3, 2, 2])


def test_where_no_replicate_is_finite_there_is_no_median() -> None:
    middle = median_line([(np.arange(3), np.array([-1.0, nan, -3.0])), (np.arange(2), np.array([-3.0, np.inf]))])
    assert_array_equal(middle.median, [-2, nan, -3])
    assert_array_equal(middle.replicates, [2, 0, 1])
    nobody = np.zeros(0)
    assert len(median_line([(nobody.astype(int), nobody)]).median) == 0


def test_a_replicate_counts_where_it_has_a_point_and_is_never_interpolated() -> None:
    # The long one's buckets end at 3, 7, 11, 15; the short one stopped at 9, in the middle of a bucket.
    lines = [(np.array([3, 7, 11, 15]), np.zeros(4)), (np.array([1, 3, 5, 7, 9]), np.array([-1.0, -2, -3, -4, -5]))]
    middle = median_line(lines)
    assert_array_equal(middle.median, [-1, -2, 0, 0])
    assert_array_equal(middle.replicates, [2, 2, 1, 1])


@given(st.lists(st.integers(1, 100), min_size=1, max_size=4), st.integers(0, 1000))
def test_a_group_s_curve_has_what_each_replicate_had_at_a_bucket_s_end(lengths: list[int], seed: int) -> None:
    generator = np.random.default_rng(seed)
    results = [generator.integers(-38, 5, length).astype(float) for length in lengths]
    group = group_curve([curve_of(values, 16) for values in results])
    before = -1
    for point, iteration in enumerate(group.iteration):
        there = [values[iteration] for values in results if len(values) > iteration]
        assert_array_equal(group.median[point], np.quantile(there, 0.5))  # of windows of one result
        assert group.replicates[point] == len(there)
        raw = np.concatenate([values[before + 1 : iteration + 1] for values in results])
        assert (group.low[point], group.high[point]) == (raw.min(), raw.max())
        before = iteration
    assert before == max(lengths) - 1
