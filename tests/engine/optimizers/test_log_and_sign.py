"""DeepMind's preprocessing, by the values of its own definition; what every kind promises is in test_inputs."""

from math import exp, log

import numpy as np
import pytest
import torch

from l2o_engine.backends.choose import choose
from l2o_engine.meta.experiment import Experiment
from l2o_engine.optimizers.learned.inputs.log_and_sign import LogAndSign
from l2o_engine.optimizers.learned.learned_optimizer import LearnedOptimizer
from l2o_engine.optimizers.learned.networks.lstm import LSTM
from l2o_engine.tasks.quadratic import Quadratic
from l2o_engine.training.trainer import MetaTrainer

EPSILON = 1.1920929e-07


def encoded(g: float, k: float = 5.0) -> list[float]:
    gradient = torch.tensor([g], dtype=torch.float64)
    found: list[float] = LogAndSign(k=k).encode(gradient, {}, {}).inputs[0].tolist()
    return found


@pytest.mark.parametrize("g", [1.0, -1.0, 0.25, -0.02, 30.0])
def test_a_gradient_above_e_to_minus_k_gives_its_logarithm_and_its_sign(g: float) -> None:
    assert encoded(g) == pytest.approx([log(abs(g) + EPSILON) / 5, np.sign(g)])


@pytest.mark.parametrize("g", [1e-3, -1e-5, 0.0])
def test_one_below_gives_minus_1_and_itself_times_e_to_the_k(g: float) -> None:
    assert encoded(g) == pytest.approx([-1.0, g * exp(5)])


def test_the_logarithm_of_1_is_0() -> None:
    assert encoded(1.0, k=10.0)[0] == pytest.approx(0.0, abs=1e-6)


def test_a_network_with_it_trains_on_the_reference_for_no_kernel_takes_it() -> None:
    experiment = Experiment(Quadratic(), LearnedOptimizer(LSTM(1, 4), LogAndSign()))
    choice = choose(experiment, "auto")
    assert (choice.name, choice.reason) == (
        "torch",
        "not fused: the kernel takes one number a coordinate, these inputs give 2"
        "; not coordinatewise: it takes first-order meta-gradients only (unroll.second_derivatives = false)",
    )
    assert experiment.trained.layout.shapes["input_projection.kernel"] == (2, 4)
    trainer = MetaTrainer(experiment)
    (chunk,) = trainer.advance(3)
    assert np.isfinite(chunk.results.losses).all()
    trace = chunk.results.trace
    assert trace is not None
    assert trace.inputs.shape == (3, 1, 19, 4)  # two coordinates, two numbers each
    assert trace.updates.shape == (3, 1, 19, 2)
