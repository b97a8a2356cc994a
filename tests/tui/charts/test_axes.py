"""What is decided of the axes before anything is drawn: views, ticks, what a y axis holds."""

from math import inf, nan

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2o_tui.charts.axes import Span, XAxis, YAxis, decade_ticks, even_ticks, round_up

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


@given(low=st.integers(-60, 10), span=st.integers(1, 70), most=st.integers(2, 20))
def test_decade_ticks_are_powers_of_ten_within_the_axis_and_few_enough(low: int, span: int, most: int) -> None:
    found = decade_ticks(low, low + span, most)
    ticks, labels = found.places, found.labels
    assert all(low <= tick <= low + span and tick == int(tick) for tick in ticks)
    assert len(ticks) <= most + 1
    assert len(set(np.diff(ticks))) <= 1
    assert [float(label) for label in labels] == pytest.approx([10.0**tick for tick in ticks], rel=1e-9)


@given(low=st.integers(0, 10**7), span=st.integers(1, 10**7), most=st.integers(2, 20), power=st.integers(-30, 0))
def test_even_ticks_are_even_few_enough_and_told_apart(low: int, span: int, most: int, power: int) -> None:
    scale = 10.0**power
    found = even_ticks(low * scale, (low + span) * scale, most)
    ticks, labels = found.places, found.labels
    slack = 1e-9 * (low + span) * scale
    assert all(low * scale - slack <= tick <= (low + span) * scale + slack for tick in ticks)
    assert len(ticks) == len(labels) == len(set(labels)) <= most + 1


@given(st.floats(1e-30, 1e30))
def test_rounding_up_gives_1_2_or_5_times_a_power_of_ten(value: float) -> None:
    rounded = round_up(value)
    assert value <= rounded * (1 + 1e-12)
    assert rounded < 2.5 * value * (1 + 1e-9)
    assert f"{rounded:e}"[0] in "125"


@given(st.integers(1, 20), st.integers(2, 9))
def test_meta_iterations_have_whole_ticks_however_few_they_are(right: int, most: int) -> None:
    whole = Span(0, right)
    ticks = XAxis("meta-iterations", "it", whole, whole, right).ticks(most)
    assert all(place == int(place) for place in ticks.places)
    assert list(ticks.labels) == [f"{place:.0f}" for place in ticks.places]


@given(st.lists(st.floats(-400, 400) | st.sampled_from([nan, inf, -inf])), st.booleans())
def test_a_y_axis_holds_what_is_finite_and_has_ticks(logs: list[float], logarithmic: bool) -> None:
    axis = YAxis.holding(np.array(logs), logarithmic=logarithmic)
    assert axis.low < axis.high < inf
    heights = axis.heights(np.array(logs))
    held = heights[np.isfinite(heights)]
    slack = 1e-9 * (axis.high - axis.low)
    assert ((held >= axis.low - slack) & (held <= axis.high + slack)).all()
    ticks = axis.ticks(9)
    assert 1 <= len(ticks.places) <= 10
    assert all(axis.low - slack <= place <= axis.high + slack for place in ticks.places)


@pytest.mark.parametrize(
    ("losses", "labels"),
    [
        ((0.42, 2.31), ("0.5", "1", "1.5", "2", "2.5")),
        ((2e-21, 3e-20), ("1e-21", "2e-21", "5e-21", "1e-20", "2e-20")),
        ((4.01e-4, 4.05e-4), ("0.0004", "0.000402", "0.000404", "0.000406")),
        ((1e6, 1.9e6), ("1e+6", "1.2e+6", "1.4e+6", "1.6e+6", "1.8e+6")),
    ],
)
def test_near_results_have_ticks_at_round_numbers(losses: tuple[float, float], labels: tuple[str, ...]) -> None:
    axis = YAxis.holding(np.log10(losses), logarithmic=True)
    ticks = axis.ticks(9)
    assert ticks.labels == labels
    np.testing.assert_allclose(10 ** np.array(ticks.places), list(map(float, labels)))


def test_a_linear_axis_begins_at_zero_and_has_the_numbers_themselves() -> None:
    axis = YAxis.holding(np.log10(np.linspace(40, 20, 100)), logarithmic=False)
    assert (axis.low, axis.high) == (0, 50)
    assert axis.ticks(5).labels == ("0", "10", "20", "30", "40", "50")
