"""Its updates are those of the optimizer that was trained, however tensors are cut, joined and stepped."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from l2o_engine.backends.compiled.compile import CompilationError
from l2o_engine.backends.in_place import steppers
from l2o_engine.backends.in_place.spec import TILE
from l2o_engine.backends.in_place.steppers import KernelStepper, TorchStepper
from l2o_engine.backends.in_place.tiles import Piece, put_rows, rows_in, zeros_in_tiles
from l2o_engine.optimizers.learned.inputs.base import Inputs
from l2o_engine.optimizers.learned.inputs.log_and_sign import LogAndSign
from l2o_engine.optimizers.learned.inputs.momenta import Momenta
from l2o_engine.optimizers.learned.inputs.ratio import Ratio
from l2o_engine.optimizers.learned.networks.base import Network
from l2o_engine.optimizers.learned.networks.by_group import ByGroup, Member
from l2o_engine.optimizers.learned.networks.lstm import LSTM
from l2o_engine.optimizers.learned.networks.mlp import MLP
from l2o_engine.torch_optim import passes
from l2o_engine.torch_optim.optimizer import TorchOptimizer
from tests.engine.optimizers.test_networks import every_inputs, every_network
from tests.engine.torch_optim.models import TINY, exported, give_gradients, moved, parameters

CLOSE = {torch.float32: 2e-6, torch.float64: 1e-13}


def stepped_by_itself(made: Any, ones: list[nn.Parameter], steps: range) -> list[Tensor]:
    """Return where parameters are if each is optimized alone, by the trained optimizer itself."""
    found = []
    for one in ones:
        weights = made.weights.astype(str(one.dtype).removeprefix("torch."))
        optimizer = made.learned.with_weights(weights, made.numbers)
        x = one.detach().reshape(-1)
        state = optimizer.init(x)
        for step in steps:
            give_gradients(ones, step)
            gradient = one.grad
            assert gradient is not None
            with torch.no_grad():
                update, state = optimizer.update(gradient.reshape(-1), state)
            x = x + update
        found.append(x.view(one.shape))
    return found


@every_network
@every_inputs
def test_an_update_is_the_trained_optimizers(network: Network, inputs: Inputs) -> None:
    made, steps = exported(network, inputs), range(4)
    expected = stepped_by_itself(made, parameters(), steps)
    for own, one in zip(moved(TorchOptimizer(ones := parameters(), made), ones, steps), expected, strict=True):
        torch.testing.assert_close(own, one, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dtype", CLOSE, ids=str)
@pytest.mark.parametrize("inputs", [LogAndSign(), Ratio()], ids=lambda inputs: inputs.kind)
def test_the_kernel_does_what_torch_does(monkeypatch: pytest.MonkeyPatch, dtype: torch.dtype, inputs: Inputs) -> None:
    made, ones, steps = exported(TINY, inputs), parameters(dtype), range(5)
    by_kernel = TorchOptimizer(ones, made)
    found = moved(by_kernel, ones, steps)
    assert isinstance(made_of(by_kernel).stepper, KernelStepper)
    monkeypatch.setattr(passes, "stepper_for", lambda network, *_: TorchStepper(network))
    by_torch = TorchOptimizer(ones := parameters(dtype), made)
    for own, one in zip(found, moved(by_torch, ones, steps), strict=True):
        torch.testing.assert_close(own, one, rtol=0, atol=CLOSE[dtype])


def made_of(optimizer: TorchOptimizer) -> passes.Computing:
    """Return what computes for the first parameter."""
    return optimizer._computing("", optimizer.param_groups[0]["params"][0])


@pytest.mark.parametrize("inputs", [LogAndSign(), Ratio(), None], ids=["log_and_sign", "ratio", "rnnprop"])
def test_how_many_coordinates_go_at_once_makes_no_difference(monkeypatch: pytest.MonkeyPatch, inputs: Any) -> None:
    made, steps = exported(TINY, inputs), range(4)
    whole = moved(TorchOptimizer(ones := parameters(), made), ones, steps)
    monkeypatch.setattr(passes, "_KERNEL_AT_ONCE", TILE)
    cut = TorchOptimizer(ones := parameters(), made)
    for own, one in zip(moved(cut, ones, steps), whole, strict=True):
        torch.testing.assert_close(own, one, rtol=0, atol=1e-6)  # logarithms of other neighbours round otherwise


def test_a_tensor_seen_as_a_whole_is_never_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    made, steps = exported(MLP(), Momenta()), range(3)
    whole = moved(TorchOptimizer(ones := parameters(), made), ones, steps)
    monkeypatch.setattr(passes, "_TORCH_AT_ONCE", 1)
    for own, one in zip(moved(TorchOptimizer(ones := parameters(), made), ones, steps), whole, strict=True):
        torch.testing.assert_close(own, one, rtol=0, atol=0)


def test_the_number_of_threads_makes_no_difference() -> None:
    before = torch.get_num_threads()
    found = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            ones = [nn.Parameter(torch.ones(2_000)), *parameters()]
            found.append(moved(TorchOptimizer(ones, exported()), ones, range(3)))
    finally:
        torch.set_num_threads(before)
    for other in found[1:]:
        assert all(torch.equal(own, one) for own, one in zip(found[0], other, strict=True))


def test_networks_by_group_move_kernels_and_the_rest() -> None:
    conv, rest = LSTM(layers=1, hidden=3), LSTM(layers=1, hidden=2)
    network = ByGroup(of=(Member("conv", ("conv",), conv), Member("fc", ("*",), rest)))
    made, ones = exported(network, LogAndSign()), parameters()
    found = moved(TorchOptimizer(ones, made), ones, range(3))
    size = conv.layout(2).size
    alone = {
        "conv": replace(made, learned=replace(made.learned, network=conv), weights=made.weights[:size]),
        "fc": replace(made, learned=replace(made.learned, network=rest), weights=made.weights[size:]),
    }
    expected = {name: stepped_by_itself(one, parameters(), range(3)) for name, one in alone.items()}
    for number, own in enumerate(found):
        torch.testing.assert_close(own, expected["conv" if own.ndim == 4 else "fc"][number], rtol=1e-4, atol=1e-5)


def test_a_parameter_that_no_network_moves_is_named() -> None:
    network = ByGroup(of=(Member("conv", ("conv",), LSTM(layers=1, hidden=2)),))
    with pytest.raises(ValueError, match="no network of a run moves the parameter bias"):
        TorchOptimizer([("kernel", parameters()[3]), ("bias", parameters()[1])], exported(network))


def test_where_the_kernel_cannot_be_compiled_torch_computes_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: object) -> None:
        raise CompilationError("no compiler")

    monkeypatch.setattr(steppers, "_kernel", fails)
    with pytest.warns(UserWarning, match="several times slower: the kernel cannot be compiled"):
        found = moved(TorchOptimizer(ones := parameters(), exported()), ones, range(2))
    for own, one in zip(found, stepped_by_itself(exported(), parameters(), range(2)), strict=True):
        torch.testing.assert_close(own, one, rtol=1e-4, atol=1e-5)


def test_the_kernel_writes_to_no_state_that_is_not_what_it_takes_it_for() -> None:
    ones = parameters()
    optimizer = TorchOptimizer(ones, exported())
    moved(optimizer, ones, range(1))
    for wrong in (torch.zeros(1), torch.zeros(3, TINY.hidden, TILE), torch.zeros(4, TILE, 5).mT):
        optimizer.state[ones[0]]["network.lstm0.cell"] = wrong
        with pytest.raises(ValueError, match=r"state of 210 coordinates is not \[4, 5, 64\] of float32"):
            optimizer.step()


@given(st.lists(st.integers(1, 200), min_size=1, max_size=4), st.integers(0, 3))
def test_rows_come_back_from_their_tiles(sizes: list[int], inner: int) -> None:
    shape = (2,) * inner
    for rows in sizes:
        values = torch.from_numpy(np.random.default_rng(rows).standard_normal((rows, *shape)))
        tiles = zeros_in_tiles(values[:1], rows)
        put_rows(tiles, values)
        assert torch.equal(rows_in(tiles, rows), values)
        first = (rows - 1) // TILE * TILE
        piece = Piece.of({"": tiles}, first, rows)
        assert torch.equal(rows_in(piece.states[""], piece.rows), values[first:])
