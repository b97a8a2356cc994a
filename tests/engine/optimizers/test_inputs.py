"""What stands between the gradient and the network."""

from math import exp, inf, isnan, log, nan

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

from l2o_engine.optimizers.learned.inputs import LogCasting, make_transform
from l2o_engine.presets.schema import IdentityTransform, LogTransform, RatioLogTransform, RatioTransform, residual_at

GRADIENTS = st.floats(-1e3, 1e3).filter(bool)
MIN_LOGS = st.floats(-60, -0.5)
RESIDUALS = st.sampled_from(["exp(min_log - 5)", "exp(min_log)", 1e-38])


def column(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_identity_passes_everything_on() -> None:
    transform = make_transform(IdentityTransform())
    encoded = transform.encode(column(3.0, -1e-9), None, nan)
    assert encoded.inputs.tolist() == [3.0, -1e-9]
    assert transform.decode(column(0.25, -1.0), encoded, nan).tolist() == [0.25, -1.0]


@given(GRADIENTS, MIN_LOGS, RESIDUALS)
def test_log_casting_is_the_formula_of_the_notebook(g: float, m: float, residual: str | float) -> None:
    casting = make_transform(LogTransform(min_log=m, residual=residual))
    r = {"exp(min_log - 5)": exp(m - 5), "exp(min_log)": exp(m)}.get(str(residual), 1e-38)
    encoded = casting.encode(column(g), None, m)
    u = np.sign(g) * (log(abs(g) + r) - m) / -m
    assert encoded.inputs.item() == pytest.approx(u, rel=1e-9, abs=1e-12)
    outputs = column(u / 2)
    assert casting.decode(outputs, encoded, m).item() == pytest.approx(np.sign(u) * exp(abs(u / 2) * -m + m), rel=1e-9)


@given(GRADIENTS, MIN_LOGS, RESIDUALS)
def test_decoding_an_encoded_gradient_gives_it_back_with_the_residual(
    g: float, m: float, residual: str | float
) -> None:
    casting = LogCasting(m, residual, adaptive=False, adaptation_rate=0.01)
    r = residual_at(casting.residual, m)
    assume(log(abs(g) + r) > m)  # below that the sign turns: nothing is clamped
    encoded = casting.encode(column(g), None, m)
    assert casting.decode(encoded.inputs, encoded, m).item() == pytest.approx(np.sign(g) * (abs(g) + r), rel=1e-9)


def test_log_casting_clamps_nothing() -> None:
    casting = make_transform(LogTransform(min_log=-10.0, residual=1e-38))
    above_one, at_one, at_the_floor, below_it = casting.encode(
        column(exp(5), 1.0, exp(-10), exp(-12)), None, -10.0
    ).inputs.tolist()
    assert above_one == pytest.approx(1.5)
    assert at_one == pytest.approx(1.0)
    assert at_the_floor == pytest.approx(0.0, abs=1e-12)
    assert below_it == pytest.approx(-0.2)


def test_log_casting_follows_the_min_log_it_is_given() -> None:
    casting = make_transform(LogTransform(min_log=-10.0))
    assert casting.initial_min_log == -10.0
    assert casting.encode(column(exp(-8)), None, -16.0).inputs.item() == pytest.approx(0.5, abs=1e-3)


@given(GRADIENTS)
def test_the_ratio_s_first_step_divides_by_the_gradient_itself(g: float) -> None:
    transform = make_transform(RatioTransform())
    encoded = transform.encode(column(g), None, nan)
    assert encoded.inputs.item() == pytest.approx(g / (abs(g) + 1e-38), rel=1e-12)
    assert encoded.memory is not None
    assert encoded.memory.item() == abs(g)


@given(GRADIENTS, GRADIENTS)
def test_the_ratio_divides_by_the_last_gradient_s_magnitude(last: float, g: float) -> None:
    transform = make_transform(RatioTransform())
    encoded = transform.encode(column(g), transform.encode(column(last), None, nan).memory, nan)
    assert encoded.inputs.item() == pytest.approx(g / (abs(last) + 1e-38), rel=1e-12)
    assert encoded.memory is not None
    assert encoded.memory.item() == abs(g)
    assert transform.decode(encoded.inputs, encoded, nan).item() == pytest.approx(g, rel=1e-12)
    assert transform.decode(column(-2.0), encoded, nan).item() == pytest.approx(-2.0 * (abs(last) + 1e-38))


@given(GRADIENTS, GRADIENTS, MIN_LOGS)
def test_ratio_and_log_are_both_undone(last: float, g: float, m: float) -> None:
    ratio = abs(g) / (abs(last) + 1e-38)
    assume(log(ratio + 1e-38) > m)
    transform = make_transform(RatioLogTransform(min_log=m))
    memory = transform.encode(column(last), None, m).memory
    encoded = transform.encode(column(g), memory, m)
    assert encoded.inputs.item() == pytest.approx(np.sign(g) * (log(ratio + 1e-38) - m) / -m, rel=1e-9, abs=1e-12)
    assert encoded.signal.item() == pytest.approx(np.sign(g) * ratio, rel=1e-12)
    assert transform.decode(encoded.inputs, encoded, m).item() == pytest.approx(g, rel=1e-9)


def test_meta_gradients_flow_through_the_ratio_s_memory() -> None:
    transform = make_transform(RatioTransform())
    last = column(4.0).requires_grad_()
    encoded = transform.encode(column(2.0), transform.encode(last, None, nan).memory, nan)
    (gradient,) = torch.autograd.grad(encoded.inputs.sum(), last)
    assert gradient.item() == pytest.approx(-2.0 / 4.0**2)


ADAPTIVE = [LogTransform(min_log=-5.0, adaptive=True), RatioLogTransform(min_log=-5.0, adaptive=True)]


@pytest.mark.parametrize("settings", ADAPTIVE, ids=lambda settings: settings.kind)
def test_adaptive_min_log_moves_a_hundredth_of_the_way_down(settings: LogTransform | RatioLogTransform) -> None:
    transform = make_transform(settings)
    assert transform.adaptive
    assert transform.adapt(-5.0, 1e-10) == pytest.approx(0.99 * -5.0 + 0.01 * log(1e-10))
    assert transform.adapt(-5.0, 0.0) == pytest.approx(0.99 * -5.0 + 0.01 * log(1e-38))


@pytest.mark.parametrize("settings", ADAPTIVE, ids=lambda settings: settings.kind)
@given(m=MIN_LOGS, smallest=st.floats(0) | st.just(nan))
def test_adaptive_min_log_only_moves_down_and_stays_finite(
    settings: LogTransform | RatioLogTransform, m: float, smallest: float
) -> None:
    moved = make_transform(settings).adapt(m, smallest)
    assert -inf < moved <= m


@pytest.mark.parametrize("smallest", [nan, inf])
@pytest.mark.parametrize("settings", ADAPTIVE, ids=lambda settings: settings.kind)
def test_a_proposal_that_is_not_finite_moves_nothing(
    settings: LogTransform | RatioLogTransform, smallest: float
) -> None:
    assert make_transform(settings).adapt(-5.0, smallest) == -5.0


def test_a_fixed_min_log_stays() -> None:
    transform = make_transform(LogTransform(min_log=-5.0))
    assert not transform.adaptive
    assert transform.adapt(-5.0, 1e-30) == -5.0


@pytest.mark.parametrize("settings", [IdentityTransform(), RatioTransform()], ids=lambda settings: settings.kind)
def test_transforms_without_a_log_have_no_min_log(settings: IdentityTransform | RatioTransform) -> None:
    transform = make_transform(settings)
    assert isnan(transform.initial_min_log)
    assert isnan(transform.adapt(nan, 1e-30))
