"""What every kind of network promises, by being registered, with every kind of inputs; and how their weights begin."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from l2o_engine.backends.choose import choose
from l2o_engine.backends.reference import TorchBackend
from l2o_engine.meta.experiment import Experiment
from l2o_engine.optimizers.base import run
from l2o_engine.optimizers.learned.inputs.base import INPUTS, Inputs
from l2o_engine.optimizers.learned.inputs.log_and_sign import LogAndSign
from l2o_engine.optimizers.learned.inputs.rnnprop import RnnProp
from l2o_engine.optimizers.learned.learned_optimizer import LearnedOptimizer
from l2o_engine.optimizers.learned.networks.base import NETWORKS, Network
from l2o_engine.optimizers.learned.networks.lstm import LSTM
from l2o_engine.tasks.quadratic import Quadratic
from l2o_engine.training.trainer import MetaTrainer
from tests.engine.optimizers.test_inputs import made

DEEPMIND_S = LSTM(hidden=3, input_projection="none", initialiser="sonnet", output_scale=0.1)
RNNPROP_S = LSTM(hidden=3, input_projection="elu", initialiser="rnnprop")
BOUNDED = LSTM(layers=1, hidden=3, output_scale=-0.1, output_bound="tanh")
KINDS: dict[str, Network] = {
    **{kind: cls() for kind, cls in NETWORKS.kinds.items() if kind != "by_group"},  # which needs groups
    "DeepMind's": DEEPMIND_S,
    "RNNprop's": RNNPROP_S,
    "bounded": BOUNDED,
}
every_network = pytest.mark.parametrize("network", KINDS.values(), ids=KINDS)
every_inputs = pytest.mark.parametrize("inputs", [made(cls) for cls in INPUTS], ids=lambda inputs: inputs.kind)


def tensors_in(state: Any) -> Iterator[Tensor]:
    """Yield the leaves of a network's state."""
    if isinstance(state, Tensor):
        yield state
    else:
        for inner in state.values() if isinstance(state, dict) else state:
            yield from tensors_in(inner)


# The suite.


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@every_inputs
@every_network
def test_every_network_takes_every_inputs_and_its_state_keeps_its_tree(
    network: Network, inputs: Inputs, dtype: str
) -> None:
    learned = LearnedOptimizer(network, inputs)
    weights = learned.initialise(np.random.default_rng(0), dtype)
    assert weights.shape == (learned.layout.size,)
    optimizer = learned.with_weights(weights).on(Quadratic(dims=3))
    generator = np.random.default_rng(1)
    state = optimizer.init(generator.normal(size=(2, 3)).astype(dtype))
    trees = [[(one.shape, one.dtype) for one in tensors_in(state.network)]]
    for _ in range(2):
        gradient = generator.normal(size=(2, 3)).astype(dtype)
        update, state = optimizer.update(gradient, state)
        assert (update.shape, update.dtype) == (gradient.shape, gradient.dtype)
        assert np.isfinite(update).all()
        assert tuple(state.memory) == inputs.remembers
        assert {str(kept.dtype) for kept in (state.seen, *state.memory.values())} == {f"torch.{dtype}"}
        trees.append([(one.shape, one.dtype) for one in tensors_in(state.network)])
    assert trees[0] == trees[1] == trees[2]
    assert all(shape[0] == 6 and str(kept) == f"torch.{dtype}" for shape, kept in trees[0])


@every_network
def test_weights_are_drawn_in_the_order_of_the_layout_and_rounded(network: Network) -> None:
    single, double = (network.initialise(2, np.random.default_rng(1), dtype) for dtype in ("float32", "float64"))
    assert single.dtype == np.float32
    assert np.array_equal(single, double.astype(np.float32))
    named = network.layout(2).split(double)
    assert not named["output_projection.bias"].any()


@every_network
def test_its_outputs_are_differentiable_by_every_one_of_its_parameters(network: Network) -> None:
    learned = LearnedOptimizer(network, LogAndSign())
    drawn = np.random.default_rng(0).normal(size=learned.layout.size)
    weights = torch.from_numpy(drawn).requires_grad_()
    optimizer = learned.with_weights(weights, stays=False)
    gradient = torch.tensor([0.5, -0.1], dtype=torch.float64)
    state = optimizer.init(gradient)
    for _ in range(2):
        update, state = optimizer.update(gradient, state)
    (found,) = torch.autograd.grad(update.sum(), weights)
    assert all(part.any() for part in learned.layout.split(found.numpy()).values())


@every_network
def test_a_network_of_zeros_moves_nothing(network: Network) -> None:
    learned = LearnedOptimizer(network)
    optimizer = learned.with_weights(np.zeros(learned.layout.size), stays=False)
    gradient = np.array([[1.0, -3.0]])
    update, _ = optimizer.update(gradient, optimizer.init(gradient))
    assert not update.any()


def test_a_linear_network_is_gradient_descent() -> None:
    learned = LearnedOptimizer(KINDS["linear"])
    optimizer = learned.with_weights(np.array([-0.5, 0.0]))
    gradient = np.array([[1.0, -3.0]])
    update, _ = optimizer.update(gradient, optimizer.init(gradient))
    assert update.tolist() == [[-0.5, 1.5]]


# How it is trained.


@pytest.mark.parametrize(
    ("network", "inputs", "reason"),
    [
        (DEEPMIND_S, "identity", 'the kernel has no input projection "none"'),
        (RNNPROP_S, "rnnprop", 'the kernel has no input projection "elu"'),
        (LSTM(output_scale=0.1), "identity", "the kernel has no output scale"),
        (BOUNDED, "identity", "the kernel has no output scale"),
        (LSTM(output_bound="tanh"), "identity", 'the kernel has no output bound "tanh"'),
        (LSTM(), "clamp", 'the kernel has no inputs "clamp"'),
        (LSTM(), "rnnprop", "the kernel takes one number a coordinate, these inputs give 2"),
        (KINDS["mlp"], "momenta", 'the kernel has no network "mlp"'),
        (KINDS["linear"], "identity", 'the kernel has no network "linear"'),
    ],
)
def test_the_kernel_says_what_it_cannot_take(network: Network, inputs: str, reason: str) -> None:
    experiment = Experiment(Quadratic(), LearnedOptimizer(network, made(INPUTS.kinds[inputs])))
    assert choose(experiment, "auto").reason.startswith(f"not fused: {reason}; not coordinatewise: ")


@pytest.mark.parametrize("initialiser", ["sonnet", "rnnprop"])
def test_the_kernel_takes_weights_however_they_began(initialiser: Any) -> None:
    assert choose(Experiment(Quadratic(), LearnedOptimizer(LSTM(initialiser=initialiser))), "auto").name == "fused"


@pytest.mark.parametrize(
    ("network", "inputs"),
    [(DEEPMIND_S, LogAndSign()), (RNNPROP_S, RnnProp()), (KINDS["mlp"], made(INPUTS.kinds["momenta"]))],
    ids=["DeepMind's", "RNNprop's", "learned_optimization's"],
)
def test_what_is_trained_runs_as_the_backend_evaluates_it(network: Network, inputs: Inputs) -> None:
    experiment = Experiment(Quadratic(dims=3), LearnedOptimizer(network, inputs), dtype="float64")
    trainer = MetaTrainer(experiment, 0, TorchBackend(experiment))
    (chunk,) = trainer.advance(3)
    assert not chunk.results.non_finite.any()
    task = experiment.task.draw(np.random.default_rng(1), 4, 1, steps=20, dtype="float64")
    learner = trainer.state().learner
    assert learner is not None
    evaluated = TorchBackend(experiment).evaluate(learner, task)
    np.testing.assert_allclose(run(trainer.optimizer(), task, 20), evaluated, rtol=1e-9)


# How weights begin.


def deviations(network: LSTM, width: int) -> dict[str, tuple[float, float]]:
    """Return for each parameter the standard deviation of many draws and their greatest magnitude."""
    flat = np.stack([network.initialise(width, np.random.default_rng(seed), "float64") for seed in range(50)])
    return {
        name: (float(flat[:, where].std()), float(np.abs(flat[:, where]).max()))
        for name, where, _ in network.layout(width).slices()
    }


OF_TWO = 0.8796256610342398
"""The standard deviation of a standard normal distribution that is cut at 2."""


def test_sonnet_draws_layers_and_their_biases_truncated_normal_by_the_numbers_that_go_in() -> None:
    network = LSTM(input_projection="none", initialiser="sonnet")
    assert network.layout(1).size == 5061
    assert network.layout(2).size == 5141
    found = deviations(network, 2)
    assert found.pop("output_projection.bias") == (0.0, 0.0)
    inputs = {
        "lstm0.kernel": 22,
        "lstm0.bias": 22,
        "lstm1.kernel": 40,
        "lstm1.bias": 40,
        "output_projection.kernel": 20,
    }
    assert set(found) == set(inputs)
    for name, (deviation, greatest) in found.items():
        sigma = inputs[name] ** -0.5
        assert deviation == pytest.approx(OF_TWO * sigma, rel=0.05), name
        assert 1.9 * sigma < greatest <= 2 * sigma, name


def test_rnnprop_draws_projections_truncated_normal_and_layers_as_glorot() -> None:
    network = LSTM(input_projection="elu", initialiser="rnnprop")
    assert network.layout(2).size == 6641
    found = deviations(network, 2)
    for name in ("input_projection.kernel", "output_projection.kernel"):
        assert found[name][0] == pytest.approx(OF_TWO * 0.1, rel=0.06), name
        assert 0.19 < found[name][1] <= 0.2, name
    for name in ("lstm0.kernel", "lstm1.kernel"):
        limit = (6 / 120) ** 0.5
        assert found[name][0] == pytest.approx(limit / 3**0.5, rel=0.05), name
        assert 0.99 * limit < found[name][1] <= limit, name
    assert {found[name] for name in found if name.endswith("bias")} == {(0.0, 0.0)}


def test_the_elu_is_torch_s_with_its_derivative() -> None:
    network = LSTM(layers=1, hidden=4, input_projection="elu", output_scale=2.0, output_bound="tanh")
    plain = LSTM(layers=1, hidden=4, input_projection="none")
    named = {
        name: torch.from_numpy(np.random.default_rng(3).normal(size=shape)).requires_grad_()
        for name, shape in network.layout(2).shapes.items()
    }
    inputs = torch.tensor([[0.5, -1.0], [2.0, 0.1], [0.0, 0.0]], dtype=torch.float64)
    outputs, _ = network.step(named, inputs, network.start(3, like=inputs))
    projected = torch.nn.functional.elu(inputs @ named["input_projection.kernel"] + named["input_projection.bias"])
    expected, _ = plain.step(named, projected, plain.start(3, like=inputs))
    torch.testing.assert_close(outputs, 2.0 * expected.tanh())
    ours, theirs = (torch.autograd.grad(one.sum(), list(named.values())) for one in (outputs, 2 * expected.tanh()))
    torch.testing.assert_close(ours, theirs)
    at_zero = torch.zeros(1, 1, dtype=torch.float64, requires_grad=True)
    one = {"input_projection.kernel": torch.eye(1, dtype=torch.float64), "input_projection.bias": 0.0}
    (slope,) = torch.autograd.grad(LSTM(hidden=1, input_projection="elu")._projected(one, at_zero).sum(), at_zero)
    assert slope.item() == 1.0
