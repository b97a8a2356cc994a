"""What every kind of network inputs promises, by being registered; and each one's formula."""

from math import exp, inf, log, nan

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

from l2o_engine.optimizers.learned.inputs.base import INPUTS, Encoded, Inputs, Tensors
from l2o_engine.optimizers.learned.inputs.identity import Identity
from l2o_engine.optimizers.learned.inputs.log import Log, residual_at
from l2o_engine.optimizers.learned.inputs.ratio import MAGNITUDE, Ratio
from l2o_engine.optimizers.learned.inputs.ratio_log import RatioLog
from l2o_engine.support.settings import fields_of

GRADIENTS = st.floats(-1e3, 1e3).filter(bool)
MIN_LOGS = st.floats(-60, -0.5)
RESIDUALS = st.sampled_from(["exp(min_log - 5)", "exp(min_log)", 1e-38])
NEEDED = {"min_log": -5.0, "min": -10.0}
"""What a kind must be given."""


def made(cls: type[Inputs]) -> Inputs:
    return cls(**{name: value for name, value in NEEDED.items() if name in fields_of(cls)})


every_inputs = pytest.mark.parametrize("inputs", [made(cls) for cls in INPUTS], ids=lambda inputs: inputs.kind)


def column(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def first(inputs: Inputs, gradient: Tensor) -> Encoded:
    """Return the first gradient, as it is encoded at the origin."""
    return inputs.encode(gradient, inputs.begin(torch.zeros_like(gradient)), inputs.numbers)


# The suite.


@every_inputs
@given(gradients=st.lists(st.lists(GRADIENTS, min_size=3, max_size=3), min_size=1, max_size=4))
def test_width_and_memory_are_what_is_declared(inputs: Inputs, gradients: list[list[float]]) -> None:
    memory = inputs.begin(column(0.0, 0.0, 0.0).view(1, 3))
    for values in gradients:
        gradient = column(*values).view(1, 3)
        encoded = inputs.among(inputs.encode(gradient, memory, inputs.numbers), Tensors())
        assert encoded.inputs.numel() == 3 * inputs.width
        assert encoded.inputs.shape == ((1, 3) if inputs.width == 1 else (1, 3, inputs.width))
        assert encoded.signal.shape == gradient.shape
        assert torch.isfinite(encoded.inputs).all()
        update = inputs.decode(torch.full_like(gradient, 0.5), encoded, inputs.numbers)
        assert update.shape == gradient.shape
        assert torch.isfinite(update).all()
        memory = inputs.moved(encoded.memory, update)
        assert tuple(memory) == inputs.remembers
        assert all(kept.shape == () or kept.shape[:2] == gradient.shape for kept in memory.values())


@every_inputs
@given(gradients=st.lists(GRADIENTS, min_size=2, max_size=4))
def test_every_coordinate_is_seen_by_itself(inputs: Inputs, gradients: list[float]) -> None:
    together = first(inputs, column(*gradients)).inputs.reshape(len(gradients), inputs.width)
    for row, gradient in zip(together, gradients, strict=True):
        alone = first(inputs, column(gradient)).inputs.reshape(inputs.width)
        assert row.tolist() == alone.tolist()


@every_inputs
def test_meta_gradients_flow_through_inputs_and_updates(inputs: Inputs) -> None:
    gradient = column(0.3, -0.02).requires_grad_()
    encoded = first(inputs, gradient)
    outputs = column(0.4, -0.1).requires_grad_()
    (by_outputs,) = torch.autograd.grad(inputs.decode(outputs, encoded, inputs.numbers).sum(), outputs)
    assert (by_outputs != 0).all()
    second = inputs.encode(column(0.1, 0.1), encoded.memory, inputs.numbers).inputs.sum()
    total = encoded.inputs.sum() + second
    (by_gradient,) = torch.autograd.grad(total, gradient)
    assert torch.isfinite(by_gradient).all()


@every_inputs
@given(smallest=st.floats(0) | st.just(nan))
def test_what_does_not_adapt_stays_and_what_does_stays_finite(inputs: Inputs, smallest: float) -> None:
    moved = inputs.adapt(inputs.numbers, smallest)
    assert set(moved) == set(inputs.numbers)
    assert np.isfinite(list(moved.values())).all()
    assert inputs.adapts or moved == inputs.numbers


@every_inputs
def test_inputs_can_be_compared_and_kept_in_a_set(inputs: Inputs) -> None:
    assert {inputs, made(type(inputs))} == {inputs}


# Each one's formula.


def test_identity_passes_everything_on() -> None:
    inputs = Identity()
    encoded = inputs.encode(column(3.0, -1e-9), {}, {})
    assert encoded.inputs.tolist() == [3.0, -1e-9]
    assert inputs.decode(column(0.25, -1.0), encoded, {}).tolist() == [0.25, -1.0]


@given(GRADIENTS, MIN_LOGS, RESIDUALS)
def test_log_casting_is_the_formula_of_the_notebook(g: float, m: float, residual: str | float) -> None:
    casting = Log(min_log=m, residual=residual)
    r = {"exp(min_log - 5)": exp(m - 5), "exp(min_log)": exp(m)}.get(str(residual), 1e-38)
    encoded = casting.encode(column(g), {}, casting.numbers)
    u = np.sign(g) * (log(abs(g) + r) - m) / -m
    assert encoded.inputs.item() == pytest.approx(u, rel=1e-9, abs=1e-12)
    update = casting.decode(column(u / 2), encoded, casting.numbers).item()
    assert update == pytest.approx(np.sign(u) * exp(abs(u / 2) * -m + m), rel=1e-9)


@given(GRADIENTS, MIN_LOGS, RESIDUALS)
def test_decoding_an_encoded_gradient_gives_it_back_with_the_residual(
    g: float, m: float, residual: str | float
) -> None:
    casting = Log(m, residual)
    r = residual_at(casting.residual, m)
    assume(log(abs(g) + r) > m)  # below that the sign turns: nothing is clamped
    encoded = casting.encode(column(g), {}, casting.numbers)
    update = casting.decode(encoded.inputs, encoded, casting.numbers).item()
    assert update == pytest.approx(np.sign(g) * (abs(g) + r), rel=1e-9)


def test_log_casting_clamps_nothing() -> None:
    casting = Log(min_log=-10.0, residual=1e-38)
    gradients = column(exp(5), 1.0, exp(-10), exp(-12))
    above_one, at_one, at_the_floor, below_it = casting.encode(gradients, {}, casting.numbers).inputs.tolist()
    assert above_one == pytest.approx(1.5)
    assert at_one == pytest.approx(1.0)
    assert at_the_floor == pytest.approx(0.0, abs=1e-12)
    assert below_it == pytest.approx(-0.2)


def test_log_casting_follows_the_min_log_it_is_given() -> None:
    casting = Log(min_log=-10.0)
    assert casting.numbers == {"min_log": -10.0}
    assert casting.encode(column(exp(-8)), {}, {"min_log": -16.0}).inputs.item() == pytest.approx(0.5, abs=1e-3)


@given(GRADIENTS)
def test_the_ratio_s_first_step_divides_by_the_gradient_itself(g: float) -> None:
    encoded = Ratio().encode(column(g), {}, {})
    assert encoded.inputs.item() == pytest.approx(g / (abs(g) + 1e-38), rel=1e-12)
    assert encoded.memory[MAGNITUDE].item() == abs(g)


@given(GRADIENTS, GRADIENTS)
def test_the_ratio_divides_by_the_last_gradient_s_magnitude(last: float, g: float) -> None:
    inputs = Ratio()
    encoded = inputs.encode(column(g), inputs.encode(column(last), {}, {}).memory, {})
    assert encoded.inputs.item() == pytest.approx(g / (abs(last) + 1e-38), rel=1e-12)
    assert encoded.memory[MAGNITUDE].item() == abs(g)
    assert inputs.decode(encoded.inputs, encoded, {}).item() == pytest.approx(g, rel=1e-12)
    assert inputs.decode(column(-2.0), encoded, {}).item() == pytest.approx(-2.0 * (abs(last) + 1e-38))


@given(GRADIENTS, GRADIENTS, MIN_LOGS)
def test_ratio_and_log_are_both_undone(last: float, g: float, m: float) -> None:
    ratio = abs(g) / (abs(last) + 1e-38)
    assume(log(ratio + 1e-38) > m)
    inputs = RatioLog(min_log=m)
    memory = inputs.encode(column(last), {}, inputs.numbers).memory
    encoded = inputs.encode(column(g), memory, inputs.numbers)
    assert encoded.inputs.item() == pytest.approx(np.sign(g) * (log(ratio + 1e-38) - m) / -m, rel=1e-9, abs=1e-12)
    assert encoded.signal.item() == pytest.approx(np.sign(g) * ratio, rel=1e-12)
    assert inputs.decode(encoded.inputs, encoded, inputs.numbers).item() == pytest.approx(g, rel=1e-9)


def test_meta_gradients_flow_through_the_ratio_s_memory() -> None:
    inputs = Ratio()
    last = column(4.0).requires_grad_()
    encoded = inputs.encode(column(2.0), inputs.encode(last, {}, {}).memory, {})
    (gradient,) = torch.autograd.grad(encoded.inputs.sum(), last)
    assert gradient.item() == pytest.approx(-2.0 / 4.0**2)


ADAPTIVE = [Log(min_log=-5.0, adaptive=True), RatioLog(min_log=-5.0, adaptive=True)]
every_adaptive = pytest.mark.parametrize("inputs", ADAPTIVE, ids=lambda inputs: inputs.kind)


@every_adaptive
def test_adaptive_min_log_moves_a_hundredth_of_the_way_down(inputs: Inputs) -> None:
    assert inputs.adapts
    assert inputs.adapt({"min_log": -5.0}, 1e-10)["min_log"] == pytest.approx(0.99 * -5.0 + 0.01 * log(1e-10))
    assert inputs.adapt({"min_log": -5.0}, 0.0)["min_log"] == pytest.approx(0.99 * -5.0 + 0.01 * log(1e-38))


@every_adaptive
@given(m=MIN_LOGS, smallest=st.floats(0) | st.just(nan))
def test_adaptive_min_log_only_moves_down_and_stays_finite(inputs: Inputs, m: float, smallest: float) -> None:
    assert -inf < inputs.adapt({"min_log": m}, smallest)["min_log"] <= m


@pytest.mark.parametrize("smallest", [nan, inf])
@every_adaptive
def test_a_proposal_that_is_not_finite_moves_nothing(inputs: Inputs, smallest: float) -> None:
    assert inputs.adapt({"min_log": -5.0}, smallest) == {"min_log": -5.0}


def test_a_fixed_min_log_stays() -> None:
    inputs = Log(min_log=-5.0)
    assert not inputs.adapts
    assert inputs.adapt(inputs.numbers, 1e-30) == {"min_log": -5.0}
