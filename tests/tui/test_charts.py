"""Reducing, ticks and labels: what the charts do before plotext draws."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2o_engine.history import Curve
from l2o_tui.charts.layout import decade_ticks, even_ticks, reduce_curve, spread


@given(low=st.integers(-60, 10), span=st.integers(1, 70), most=st.integers(2, 20))
def test_decade_ticks_are_powers_of_ten_within_the_axis_and_few_enough(low: int, span: int, most: int) -> None:
    ticks, labels = decade_ticks(low, low + span, most)
    assert all(low <= tick <= low + span and tick == int(tick) for tick in ticks)
    assert len(ticks) <= most + 1
    assert len(set(np.diff(ticks))) <= 1
    assert [float(label) for label in labels] == pytest.approx([10.0**tick for tick in ticks], rel=1e-9)


@given(low=st.integers(0, 10**7), span=st.integers(1, 10**7), most=st.integers(2, 20))
def test_even_ticks_are_even_and_few_enough(low: int, span: int, most: int) -> None:
    ticks, labels = even_ticks(low, low + span, most)
    assert all(low - 1e-6 <= tick <= low + span + 1e-6 for tick in ticks)
    assert len(ticks) == len(labels) <= most + 1


@given(n=st.integers(1, 3000), points=st.integers(8, 300), seed=st.integers(0, 100))
def test_reducing_a_curve_loses_no_extreme_and_keeps_the_end(n: int, points: int, seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=(3, n))
    values[0, values[0] > 1.5] = np.nan
    curve = Curve(np.arange(n), values[0], values[1], values[2], non_finite=2, zeros=1)
    reduced = reduce_curve(curve, points)
    assert len(reduced.iteration) <= points
    assert reduced.iteration[-1] == n - 1
    assert reduced.rolling[-1] == curve.rolling[-1]
    assert np.fmin.reduce(reduced.low) == pytest.approx(np.fmin.reduce(curve.low), nan_ok=True)
    assert reduced.high.max() == curve.high.max()
    assert (reduced.non_finite, reduced.zeros) == (2, 1)


@given(heights=st.lists(st.floats(-40, 5), min_size=1, max_size=6))
def test_labels_keep_their_distance_and_order_and_stay_inside(heights: list[float]) -> None:
    placed = spread(heights, low=-40, high=5, distance=1.5)
    assert all(height <= 5 + 1e-9 for height in placed)
    order = np.argsort(heights, kind="stable")
    assert (np.diff(np.array(placed)[order]) >= 1.5 - 1e-9).all()
