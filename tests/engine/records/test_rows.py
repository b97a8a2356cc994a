"""Rows of metrics: what they are made of, and what reports say of them."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from l2o_engine.meta.learner import Results
from l2o_engine.records.rows import ReportWindow, Rows, joined, rows_of
from l2o_engine.training.trainer import Chunk, Lane
from tests.engine.made import columns_of, cut, results_of, some_results

LANES = (Lane(0, "RNN"), Lane(1, "RNN"), Lane(2, "RNN"))


# What the columns are.


def test_a_row_holds_the_last_loss_the_sum_and_the_logarithms() -> None:
    rows = rows_of([Chunk(LANES[0], 7, results_of([[1.0, 10.0, 1000.0], [1.0, 1.0, 0.0]]))], LANES)
    assert_array_equal(rows.iteration, [7, 8])
    assert_array_equal(rows.end_loss, [1000.0, 0.0])
    assert_array_equal(rows.sum_loss, [1011.0, 2.0])
    assert_array_equal(rows.end_log10, [3.0, -38.0])
    assert_array_equal(rows.mean_log10, [1.333333, -12.666667])
    assert_array_equal(rows.non_finite, [False, False])


def test_a_batch_s_row_is_the_mean_over_its_problems() -> None:
    losses = np.array([[[1.0, 100.0], [3.0, 10_000.0]]])
    one = np.zeros(1)
    rows = rows_of([Chunk(LANES[0], 0, Results(losses, one, one, np.zeros(1, bool)))], LANES)
    assert_array_equal(rows.end_loss, [5050.0])
    assert_array_equal(rows.sum_loss, [5052.0])
    assert_array_equal(rows.end_log10, [3.0])


# Order and chunks.


def test_rows_are_ordered_by_iteration_then_as_the_lanes_are() -> None:
    chunks = [Chunk(lane, 5, some_results(lane.seed, 4)) for lane in reversed(LANES)]
    rows = rows_of(chunks, LANES)
    assert_array_equal(rows.iteration, np.repeat([5, 6, 7, 8], 3))
    assert_array_equal(rows.lane, [0, 1, 2] * 4)
    for chunk in chunks:
        alone = columns_of(rows_of([chunk], LANES))
        for name, values in columns_of(rows.of_lane(LANES.index(chunk.lane))).items():
            assert_array_equal(values, alone[name], name)


def test_a_lane_that_ended_early_leaves_the_others_in_order() -> None:
    chunks = [Chunk(LANES[0], 0, some_results(0, 2)), Chunk(LANES[1], 0, some_results(1, 4))]
    rows = rows_of(chunks, LANES)
    assert_array_equal(rows.iteration, [0, 0, 1, 1, 2, 3])
    assert_array_equal(rows.lane, [0, 1, 0, 1, 1, 1])


@pytest.mark.parametrize("cuts", [[0, 12], [0, 1, 5, 12], [0, 0, 6, 6, 12]])
def test_rows_are_joined_as_they_were_parted(cuts: list[int]) -> None:
    whole = some_results(0, 12)
    parts = [rows_of([Chunk(LANES[0], i, cut(whole, i, k))], LANES) for i, k in pairwise(cuts)]
    together, alone = columns_of(joined(parts)), columns_of(rows_of([Chunk(LANES[0], 0, whole)], LANES))
    assert list(together) == list(alone)
    for name, values in together.items():
        assert_array_equal(values, alone[name], name)


def test_what_has_no_min_log_has_no_numbers() -> None:
    results = some_results(0, 3)
    assert list(rows_of([Chunk(LANES[0], 0, results)], LANES).numbers) == ["min_log"]
    without = replace(results, numbers={})
    assert rows_of([Chunk(LANES[0], 0, without)], LANES).numbers == {}


def test_losses_near_the_end_of_float64_make_no_warning() -> None:
    rows = rows_of([Chunk(LANES[0], 0, results_of([[1e308, 1e308, np.inf]]))], LANES)
    assert_array_equal(rows.sum_loss, [np.inf])
    rows = rows_of([Chunk(LANES[0], 0, results_of([[1e308, 1e308]]))], LANES)
    assert_array_equal(rows.end_loss, [1e308])


# Reports.

LOGS = st.floats(-38, 38) | st.sampled_from([np.nan, np.inf])


@given(st.lists(st.tuples(LOGS, LOGS, st.booleans(), LOGS), min_size=1, max_size=30), st.integers(1, 12), st.data())
def test_a_report_averages_the_finite_ones_of_the_last_rows(
    values: list[tuple[float, float, bool, float]], length: int, data: st.DataObject
) -> None:
    window = ReportWindow(length)
    bounds = sorted(data.draw(st.lists(st.integers(0, len(values)), max_size=4)))
    for first, last in zip([0, *bounds], [*bounds, len(values)], strict=True):
        window.add(_log_rows(values[first:last]))
    recent = values[-length:]
    for ours, column in (
        (window.average_log_result, 0),
        (window.average_sum_log_result, 1),
        (window.average_sum_loss, 3),
    ):
        finite = [row[column] for row in recent if np.isfinite(row[column])]
        assert_array_equal(ours, np.mean(finite) if finite else np.nan)
    assert window.non_finite == sum(row[2] for row in recent)


def _log_rows(values: list[tuple[float, float, bool, float]]) -> Rows:
    columns: Any = np.array(values, dtype=float).reshape(-1, 4).T
    n = np.arange(len(values))
    nothing = np.zeros(len(values))
    return Rows(n, n, nothing, columns[3], columns[0], columns[1], nothing, {}, columns[2] > 0)


def test_an_empty_report_is_nan() -> None:
    window = ReportWindow(5)
    assert np.isnan(window.average_log_result)
    assert window.non_finite == 0
