"""A learned optimizer is an optimizer: the same (init, update) as gradient descent, for arrays and for tensors."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from l2o_engine.backends.reference import TorchBackend
from l2o_engine.meta.experiment import Experiment
from l2o_engine.optimizers.base import run
from l2o_engine.optimizers.learned.inputs.base import INPUTS, Inputs
from l2o_engine.optimizers.learned.learned_optimizer import LEARNED, LearnedOptimizer
from l2o_engine.optimizers.learned.networks import LSTM, MLP
from l2o_engine.tasks.quadratic import Quadratic
from l2o_engine.training.trainer import MetaTrainer
from tests.engine.optimizers.test_inputs import made

every_inputs = pytest.mark.parametrize("inputs", [made(cls) for cls in INPUTS], ids=lambda inputs: inputs.kind)


def a_learned(inputs: Inputs) -> LearnedOptimizer:
    return LearnedOptimizer(LSTM(layers=2, hidden=3), inputs)


@every_inputs
@given(seed=st.integers(0, 2**32))
def test_arrays_and_tensors_get_the_same_updates(inputs: Inputs, seed: int) -> None:
    learned = a_learned(inputs)
    generator = np.random.default_rng(seed)
    optimizer = learned.with_weights(learned.initialise(generator, "float32"))
    x = generator.normal(size=(2, 3)).astype("float32")
    state, tensor_state = optimizer.init(x), optimizer.init(torch.from_numpy(x))
    for _ in range(3):
        gradient = generator.normal(size=(2, 3)).astype("float32")
        update, state = optimizer.update(gradient, state)
        tensor_update, tensor_state = optimizer.update(torch.from_numpy(gradient), tensor_state)
        assert isinstance(update, np.ndarray)
        assert update.shape == gradient.shape
        assert update.dtype == np.float32
        np.testing.assert_array_equal(update, tensor_update.detach().numpy())
        assert state.seen.shape == ((2, 3) if inputs.width == 1 else (2, 3, inputs.width))


@every_inputs
def test_it_runs_as_any_optimizer_does_and_as_the_backend_evaluates_it(inputs: Inputs) -> None:
    experiment = Experiment(Quadratic(dims=3), a_learned(inputs))
    trainer = MetaTrainer(experiment, 0, TorchBackend(experiment))
    trainer.advance(3)
    task = experiment.task.draw(np.random.default_rng(1), 4, 1, steps=20, dtype="float32")
    learner = trainer.state().learner
    assert learner is not None
    evaluated = TorchBackend(experiment).evaluate(learner, task)
    # All tasks at once are other products of matrices than each by itself.
    np.testing.assert_allclose(run(trainer.optimizer(), task, 20), evaluated, rtol=1e-3)
    alone = [run(trainer.optimizer(), task[k : k + 1], 20) for k in range(4)]
    np.testing.assert_allclose(np.concatenate(alone), evaluated, rtol=1e-6)


@every_inputs
def test_what_is_found_is_safe_where_it_is_judged_and_moves_where_it_is_trained(inputs: Inputs) -> None:
    learned = a_learned(inputs)
    weights = learned.initialise(np.random.default_rng(0), "float32")
    weights[-1] = 0.7  # the output's bias
    gradients = [np.array([[1.0, -0.3]], np.float32)] + [np.array([[0.0, -0.3]], np.float32)] * 100
    for stays in (True, False):
        optimizer = learned.with_weights(weights, stays=stays)
        state, updates = optimizer.init(gradients[0]), []
        for gradient in gradients:
            update, state = optimizer.update(gradient, state)
            updates.append(update)
        assert np.isfinite(updates).all()
        assert (np.array(updates[1:])[:, 0, 0] == 0).all() == stays
        assert (np.array(updates)[:, 0, 1] != 0).all()


def test_its_updates_are_differentiable_by_its_weights() -> None:
    learned = a_learned(made(INPUTS.kinds["log"]))
    weights = torch.from_numpy(learned.initialise(np.random.default_rng(0), "float64")).requires_grad_()
    optimizer = learned.with_weights(weights)
    gradient = torch.tensor([[0.5, -0.1]], dtype=torch.float64)
    state = optimizer.init(gradient)
    for _ in range(2):
        update, state = optimizer.update(gradient, state)
    (found,) = torch.autograd.grad(update.sum(), weights)
    assert found.shape == weights.shape
    assert (found != 0).any()


def test_weights_of_another_network_are_refused() -> None:
    with pytest.raises(ValueError, match="has 6,621 weights"):
        LearnedOptimizer().with_weights(np.zeros(10))


def test_it_has_the_published_name_unless_it_is_given_another() -> None:
    weights = np.zeros(6621, np.float32)
    assert LearnedOptimizer().with_weights(weights).name == LEARNED
    assert LearnedOptimizer().with_weights(weights, name="mine").name == "mine"


def test_experiments_are_equal_by_what_they_are() -> None:
    one, other = (Experiment(Quadratic(), LearnedOptimizer(inputs=made(INPUTS.kinds["log"]))) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
    assert one != Experiment(Quadratic(dims=3), one.learned)


def test_an_output_scale_is_the_networks() -> None:
    scaled = LearnedOptimizer(LSTM(hidden=3), output_scale=0.1)
    assert scaled == LearnedOptimizer(LSTM(hidden=3, output_scale=0.1))
    assert replace(scaled, network=LSTM(hidden=3)) == LearnedOptimizer(LSTM(hidden=3))
    with pytest.raises(ValueError, match="MLP has no output scale"):
        LearnedOptimizer(MLP(), output_scale=0.1)
