"""The coordinate-wise LSTM."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from l2o_engine.optimizers.learned.networks.lstm import LSTM

NETWORKS = st.builds(LSTM, layers=st.integers(1, 3), hidden=st.integers(1, 8))
WIDTHS = st.integers(1, 3)


def test_the_notebook_s_network_has_6621_weights() -> None:
    network = LSTM(layers=2, hidden=20, forget_bias=1.0)
    assert network.layout(1).size == 6621
    assert network.layout(1).shapes == {
        "input_projection.kernel": (1, 20),
        "input_projection.bias": (20,),
        "lstm0.kernel": (40, 80),
        "lstm0.bias": (80,),
        "lstm1.kernel": (40, 80),
        "lstm1.bias": (80,),
        "output_projection.kernel": (20, 1),
        "output_projection.bias": (1,),
    }


def test_kernels_fill_the_glorot_range_and_biases_are_zero() -> None:
    network = LSTM(layers=2, hidden=20, forget_bias=1.0)
    draws = [network.initialise(1, np.random.default_rng(seed), "float64") for seed in range(20)]
    for name, where, shape in network.layout(1).slices():
        values = np.stack([flat[where] for flat in draws])
        if name.endswith("bias"):
            assert not values.any(), name
        else:
            limit = (6 / (shape[0] + shape[1])) ** 0.5
            assert 0.95 * limit < np.abs(values).max() <= limit, name
            assert abs(values.mean()) < 0.1 * limit, name
            assert values.std() == pytest.approx(limit / 3**0.5, rel=0.1), name


def test_float32_weights_are_the_float64_ones_rounded() -> None:
    network = LSTM(layers=1, hidden=4, forget_bias=1.0)
    single, double = (network.initialise(1, np.random.default_rng(1), dtype) for dtype in ("float32", "float64"))
    assert single.dtype == np.float32
    assert np.array_equal(single, double.astype(np.float32))


@given(NETWORKS, WIDTHS)
def test_join_undoes_split(network: LSTM, width: int) -> None:
    layout = network.layout(width)
    flat = np.arange(layout.size, dtype=np.float64)
    named = layout.split(flat)
    assert {name: values.shape for name, values in named.items()} == layout.shapes
    assert np.array_equal(layout.join(named), flat)


@given(NETWORKS, WIDTHS)
def test_slices_cover_every_weight_once(network: LSTM, width: int) -> None:
    layout = network.layout(width)
    covered = [index for _, where, _ in layout.slices() for index in range(where.start, where.stop)]
    assert covered == list(range(layout.size))


def test_join_refuses_a_missing_array_and_another_shape() -> None:
    layout = LSTM(layers=1, hidden=2).layout(1)
    named = layout.split(np.zeros(layout.size))
    with pytest.raises(ValueError, match=r"lstm0\.bias"):
        layout.join(named | {"lstm0.bias": np.zeros(7)})
    with pytest.raises(KeyError):
        layout.join({name: values for name, values in named.items() if name != "lstm0.bias"})


@pytest.mark.parametrize("forget_bias", [0.0, 1.0, 2.5])
@pytest.mark.parametrize("layers", [1, 2])
def test_steps_equal_torch_s_lstm_cell_with_the_gates_in_its_order(layers: int, forget_bias: float) -> None:
    hidden, rows = 5, 3
    network = LSTM(layers=layers, hidden=hidden, forget_bias=forget_bias)
    generator = torch.Generator().manual_seed(0)
    flat = torch.randn(network.layout(1).size, generator=generator, dtype=torch.float64)
    weights = {name: flat[where].view(shape) for name, where, shape in network.layout(1).slices()}
    cells = [_torch_cell(weights, layer, hidden, forget_bias) for layer in range(layers)]

    state = network.start(rows, like=flat)
    expected_state = [(torch.zeros(rows, hidden, dtype=torch.float64),) * 2 for _ in range(layers)]
    for _ in range(3):
        inputs = torch.randn(rows, generator=generator, dtype=torch.float64)
        outputs, state = network.step(weights, inputs[:, None], state)
        signal = inputs[:, None] * weights["input_projection.kernel"] + weights["input_projection.bias"]
        for layer, cell in enumerate(cells):
            expected_state[layer] = cell(signal, expected_state[layer])
            signal = expected_state[layer][0]
        expected = (signal * weights["output_projection.kernel"].T).sum(1) + weights["output_projection.bias"]
        torch.testing.assert_close(outputs, expected)
        for ours, torchs in zip(state, expected_state, strict=True):
            torch.testing.assert_close(ours, torchs)


@given(NETWORKS, WIDTHS)
def test_the_gates_are_those_of_the_step(network: LSTM, width: int) -> None:
    generator = torch.Generator().manual_seed(0)
    flat = torch.randn(network.layout(width).size, generator=generator, dtype=torch.float64)
    weights = {name: flat[where].view(shape) for name, where, shape in network.layout(width).slices()}
    state = network.start(3, like=flat)
    for _ in range(2):
        inputs = torch.randn(3, width, generator=generator, dtype=torch.float64)
        gates = network.gates(weights, inputs, state)
        assert len(gates) == 3 * network.layers
        _, state = network.step(weights, inputs, state)
        for layer, (hidden, cell) in enumerate(state):
            torch.testing.assert_close(gates[f"lstm{layer}.output"] * cell.tanh(), hidden)


def test_each_gate_has_its_name() -> None:
    network = LSTM(layers=1, hidden=1, forget_bias=0.5, input_projection="none")
    weights = {name: torch.zeros(shape) for name, shape in network.layout(1).shapes.items()}
    weights["lstm0.bias"] = torch.tensor([1.0, -9.0, 2.0, 3.0])  # i, j, f, o
    gates = network.gates(weights, torch.zeros(1, 1), network.start(1, like=torch.zeros(1)))
    expected = {"lstm0.input": 1.0, "lstm0.forget": 2.5, "lstm0.output": 3.0}
    assert {name: float(values) for name, values in gates.items()} == pytest.approx(
        {name: 1 / (1 + math.exp(-value)) for name, value in expected.items()}
    )


def _torch_cell(weights: dict[str, Tensor], layer: int, hidden: int, forget_bias: float) -> torch.nn.LSTMCell:
    """Return torch's cell: gates i, f, g, o in rows, where TensorFlow 1 has i, j, f, o in columns and g is called j."""
    cell = torch.nn.LSTMCell(hidden, hidden, dtype=torch.float64).requires_grad_(False)
    i, j, f, o = weights[f"lstm{layer}.kernel"].chunk(4, dim=1)
    kernel = torch.cat([i, f, j, o], dim=1).T
    cell.weight_ih.copy_(kernel[:, :hidden])
    cell.weight_hh.copy_(kernel[:, hidden:])
    i, j, f, o = weights[f"lstm{layer}.bias"].chunk(4)
    cell.bias_ih.copy_(torch.cat([i, f + forget_bias, j, o]))
    cell.bias_hh.zero_()
    return cell


def test_every_coordinate_has_a_state_of_its_own() -> None:
    network = LSTM(layers=2, hidden=4, forget_bias=1.0)
    flat = torch.from_numpy(network.initialise(1, np.random.default_rng(0), "float64"))
    weights = {name: flat[where].view(shape) for name, where, shape in network.layout(1).slices()}
    inputs = torch.tensor([0.5, -2.0, 0.1], dtype=torch.float64)

    def two_steps(rows: Tensor) -> Tensor:
        outputs, state = network.step(weights, rows[:, None], network.start(len(rows), like=flat))
        return network.step(weights, (rows + outputs)[:, None], state)[0]

    together = two_steps(inputs)
    alone = torch.cat([two_steps(row[None]) for row in inputs])
    torch.testing.assert_close(together, alone)
