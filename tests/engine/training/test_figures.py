"""The figures that optimizers are judged by, and their intervals, against losses by hand and plain resampling."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2o_engine.support.arrays import Doubles
from l2o_engine.training import intervals
from l2o_engine.training.figures import Evaluated

LOSSES = np.array([[1.0, 0.1], [2.0, 0.001], [1.0, np.inf], [1.0, 3.0], [1.0, np.nan]])


def test_figures_are_those_of_the_losses_by_hand() -> None:
    found = Evaluated("x", LOSSES)
    logs = np.log10([0.1, 0.001, 3.0])
    assert found.figures == pytest.approx(
        {
            "end_log10_mean": logs.mean(),
            "end_log10_lower": -2.0,
            "end_log10_median": -1.0,
            "end_log10_upper": (np.log10(3) - 1) / 2,
            "sum_mean": np.mean([1.1, 2.001, 4.0]),
            "sum_median": 2.001,
            "worse_than_start": 3,
            "non_finite": 2,
            "lost": 2,
            "reached_1e-3": 0.2,
            "steps_to_1e-3": 1,
            "reached_1e-6": 0,
            "steps_to_1e-6": np.nan,
            "reached_1e-12": 0,
            "steps_to_1e-12": np.nan,
        },
        nan_ok=True,
    )
    assert found.intervals.keys() == found.figures.keys()


def test_where_nothing_is_finite_there_is_no_figure() -> None:
    found = Evaluated("x", np.full((3, 2), np.nan))
    assert np.isnan([found.end_log10_mean, found.end_log10_median, found.sum_mean, found.sum_median]).all()
    assert np.isnan(found.intervals["end_log10_mean"]).all()
    assert found.intervals["non_finite"] == (3, 3)


def test_what_diverges_by_a_millionfold_is_lost_finite_or_not() -> None:
    losses = np.array([[1.0, 1e6], [1.0, 1.1e6], [9.0, 2.0], [np.inf, 1.0], [0.1, np.inf]])
    found = Evaluated("x", losses)  # of first losses, 1 is the median
    assert (found.lost, found.non_finite, found.worse_than_start) == (2, 1, 3)


def test_a_threshold_is_reached_at_the_first_step_that_is_there_whatever_comes_after() -> None:
    losses = np.array([[1e-4, 1.0, 1.0], [1.0, 1e-3, 1.0], [1.0, 1.0, -1.0], [np.nan, np.inf, 1e-3], [1.0, 1.0, 2e-3]])
    np.testing.assert_array_equal(Evaluated("x", losses).steps_to(1e-3), [0, 1, 2, 2, np.nan])


@given(st.integers(0, 1000), st.sampled_from([1, 2, 7, 400, 1500]))
def test_an_interval_holds_its_figure_and_the_same_numbers_have_the_same(seed: int, n: int) -> None:
    losses = 10.0 ** np.random.default_rng(seed).normal(-6, 4, (n, 3))
    found = Evaluated("x", losses)
    for name, (low, high) in found.intervals.items():
        figure = found.figures[name]
        if np.isfinite(figure) and n > 2:  # of two numbers the median is between, and never one of a resample's
            assert low - 1e-12 <= figure <= high + 1e-12, name
    again = Evaluated("y", losses.copy())
    np.testing.assert_array_equal(list(again.intervals.values()), list(found.intervals.values()))


def resampled(values: Doubles, figure: str) -> Doubles:
    """Return the figure's interval by resampling, as a book has it."""
    generator = np.random.default_rng(0)
    drawn = generator.choice(values, (4000, values.size))
    figures = np.quantile(drawn, 0.5, axis=1) if figure == "median" else drawn.mean(axis=1)
    found: Doubles = np.quantile(figures, (0.025, 0.975))
    return found


@pytest.mark.parametrize("n", [31, 301, 1501])
def test_intervals_are_those_of_plain_resampling(n: int) -> None:
    values = np.random.default_rng(5).exponential(size=n)
    of_mean, of_median = intervals.of_mean(values), intervals.of_quantile(values, 0.5)
    width = np.subtract(*resampled(values, "mean")[::-1])
    np.testing.assert_allclose(of_mean, resampled(values, "mean"), atol=0.1 * width)
    width = np.subtract(*resampled(values, "median")[::-1])
    np.testing.assert_allclose(of_median, resampled(values, "median"), atol=0.2 * width)
    drawn = np.random.default_rng(1).binomial(n, 7 / n, 4000)
    np.testing.assert_allclose(intervals.of_count(7, n), np.quantile(drawn, (0.025, 0.975)), atol=1)


def test_an_interval_means_what_it_says() -> None:
    """Of 300 samples about 95 % have intervals that hold the truth."""
    generator = np.random.default_rng(3)
    samples = generator.normal(size=(300, 200))
    for interval in (intervals.of_mean, lambda values: intervals.of_quantile(values, 0.5)):
        held = sum(low <= 0 <= high for low, high in map(interval, samples))
        assert 0.91 <= held / 300 <= 0.98
