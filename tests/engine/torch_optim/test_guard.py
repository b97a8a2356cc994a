"""What steps in for a learned optimizer that does harm, and that it does nothing where there is none."""

from dataclasses import replace
from math import inf, nan

import pytest
import torch

from l2o_engine.torch_optim.guard import after, at_first
from l2o_engine.torch_optim.optimizer import TorchOptimizer
from l2o_engine.torch_optim.options import Guard
from tests.engine.torch_optim.models import exported, give_gradients, moved, parameters

LOST = replace(exported(), weights=exported().weights * float("nan"))


def test_without_harm_a_guarded_optimizer_is_the_learned_one() -> None:
    plain = moved(TorchOptimizer(ones := parameters(), exported()), ones, range(6))
    guarded = TorchOptimizer(ones := parameters(), exported(), guard=True)
    for own, one in zip(moved(guarded, ones, range(6)), plain, strict=True):
        assert torch.equal(own, one)
    assert guarded.guarded == {"fallbacks": 0, "non_finite": 0}


def test_where_an_update_is_no_number_adam_steps_in() -> None:
    optimizer = TorchOptimizer(ones := parameters(torch.float64), LOST, lr=0.5, guard=Guard(lr=0.01))
    adam = torch.optim.Adam(others := parameters(torch.float64), lr=0.005)
    for own, one in zip(moved(optimizer, ones, range(1, 3)), moved(adam, others, range(1, 3)), strict=True):
        torch.testing.assert_close(own, one, rtol=1e-10, atol=1e-10)
    assert optimizer.guarded == {"fallbacks": 2 * len(ones), "non_finite": 0}


def test_one_tensor_falls_back_by_itself_and_begins_anew() -> None:
    made = exported()
    ones, twos = parameters(), parameters()
    optimizer, plain = TorchOptimizer(ones, made, guard=True), TorchOptimizer(twos, made)
    moved(optimizer, ones, range(2))
    moved(plain, twos, range(2))
    optimizer.state[ones[0]]["network.lstm1.cell"].fill_(nan)
    moved(optimizer, ones, range(2, 3))
    moved(plain, twos, range(2, 3))
    assert optimizer.guarded == {"fallbacks": 1, "non_finite": 0}
    assert all(torch.equal(one, two) for one, two in zip(ones[1:], twos[1:], strict=True))
    assert ones[0].isfinite().all()
    moved(optimizer, ones, range(3, 5))
    assert optimizer.guarded == {"fallbacks": 1, "non_finite": 0}
    assert optimizer.state[ones[0]]["memory.steps"] == 2  # what it has seen since then


def test_where_a_gradient_is_no_number_the_tensor_stays() -> None:
    optimizer = TorchOptimizer(ones := parameters(), exported(), guard=True)
    moved(optimizer, ones, range(2))
    give_gradients(ones, 2)
    assert ones[1].grad is not None
    ones[1].grad[0] = inf
    before = ones[1].detach().clone()
    optimizer.step()
    assert torch.equal(ones[1], before)
    assert optimizer.guarded == {"fallbacks": 0, "non_finite": 1}
    moved(optimizer, ones, range(3, 4))
    assert not torch.equal(ones[1], before)
    assert ones[1].isfinite().all()


def test_without_a_guard_what_is_no_number_is_seen() -> None:
    ones = parameters()
    moved(TorchOptimizer(ones, LOST), ones, range(1))
    assert ones[0].isnan().any()


def test_while_the_loss_has_grown_adam_steps_in() -> None:
    optimizer = TorchOptimizer(ones := parameters(), exported(), guard=Guard(growth=2))
    for loss in [1.0] * 3 + [100.0] * 2:
        give_gradients(ones, 1)
        optimizer.step(loss=loss)
    assert optimizer.guarded["fallbacks"] == 2 * len(ones)
    state = optimizer.state_dict()
    assert state["param_groups"][0]["guarded"]["is_grown"]
    later = TorchOptimizer(ones, exported(), guard=Guard(growth=2))
    later.load_state_dict(state)
    for _ in range(60):
        later.step(lambda: 1.0)
    counted = later.guarded["fallbacks"]
    later.step(loss=torch.tensor(1.0))
    assert later.guarded["fallbacks"] == counted  # the learned one is back


@pytest.mark.parametrize("guards", [(False, True), (True, False)])
def test_a_state_may_be_loaded_with_a_guard_and_without(guards: tuple[bool, bool]) -> None:
    first = TorchOptimizer(ones := parameters(), exported(), guard=guards[0])
    moved(first, ones, range(2))
    second = TorchOptimizer(ones, exported(), guard=guards[1])
    second.load_state_dict(first.state_dict())
    give_gradients(ones, 2)
    second.step(loss=1.0)
    second.add_param_group({"params": [torch.nn.Parameter(torch.ones(3))]})
    assert any("guard.mean" in state for state in second.state.values()) == guards[1]
    assert second.guarded == {"fallbacks": 0, "non_finite": 0}


def test_losses_that_are_known() -> None:
    known, guard = at_first(), Guard(growth=3)
    for loss in (4.0, 2.0, 1.0):
        known = after(loss, known, guard)
        assert not known["is_grown"]
    assert known["lowest"] == known["smoothed"] == pytest.approx(3.52)
    grown = after(nan, known, guard)
    assert grown["is_grown"]
    assert grown["smoothed"] == known["smoothed"]
    assert after(80.0, known, guard)["is_grown"]
    # Minibatches of a loss that is all but 0: what it grows by means nothing.
    converged = known
    for loss in [1e-4] * 60 + [3e-2] * 3:
        converged = after(loss, converged, guard)
        assert not converged["is_grown"]
    # Of losses below 0 the growth is what is above the lowest, too.
    below = after(-5.0, after(-10.0, at_first(), guard), guard)
    assert not below["is_grown"]


@pytest.mark.parametrize("wrong", [{"lr": 0.0}, {"lr": nan}, {"growth": 1.0}, {"growth": inf}])
def test_settings_out_of_their_range(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="the guard's"):
        Guard(**wrong)
