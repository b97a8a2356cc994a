"""Adam in TensorFlow 1's form, as the constants and as a backend applies it."""

from math import sqrt

import numpy as np
import pytest
import torch

from l2o_engine.backends.reference import TorchBackend
from l2o_engine.meta.meta_adam import MetaAdam, Powers
from l2o_engine.support.arrays import Doubles
from tests.engine.tiny import draw, new_learner, tiny_preset

STEPS = 6


def test_the_constants_are_float32_as_tensorflow_1_keeps_them() -> None:
    adam = MetaAdam().constants
    assert adam.learning_rate == float(np.float32(3e-4))
    assert adam.beta1 == float(np.float32(0.9))
    assert adam.beta2 == float(np.float32(0.999))
    assert adam.epsilon == float(np.float32(1e-8))


def test_the_powers_are_multiplied_step_by_step_in_float32() -> None:
    adam, powers = MetaAdam(), Powers()
    beta1, beta2 = np.float32(1), np.float32(1)
    for _ in range(100):
        powers = adam.advance(powers)
        beta1, beta2 = beta1 * np.float32(0.9), beta2 * np.float32(0.999)
        assert powers == (float(beta1), float(beta2))
    assert adam.rate(powers) == adam.constants.learning_rate * sqrt(1 - powers.beta2) / (1 - powers.beta1)


def test_the_first_step_s_rate_corrects_the_bias() -> None:
    adam = MetaAdam(learning_rate=0.5, beta1=0.5, beta2=0.75)
    assert adam.rate(adam.advance(Powers())) == 0.5 * 0.5 / 0.5


def test_training_is_the_scalar_formula_applied_to_every_weight() -> None:
    gradients, weights = _train("run.dtype=float64", "meta.gradient=none", "meta.epsilon=1e-3")
    expected = [_scalar_adam(weights[0, k], gradients[:, k], epsilon=1e-3) for k in range(weights.shape[1])]
    np.testing.assert_allclose(weights[1:], np.array(expected).T, rtol=1e-13, atol=1e-15)


def _scalar_adam(weight: float, gradients: Doubles, epsilon: float) -> list[float]:
    """Return a weight after each step, as TensorFlow 1's ApplyAdam kernel computes it."""
    lr, b1, b2, eps = (float(np.float32(value)) for value in (3e-4, 0.9, 0.999, epsilon))
    m = v = 0.0
    b1_power, b2_power = 1.0, 1.0
    weights = []
    for g in gradients:
        b1_power, b2_power = float(np.float32(b1_power * b1)), float(np.float32(b2_power * b2))
        m = b1 * m + (1 - b1) * g
        v = b2 * v + (1 - b2) * g * g
        weight = weight - lr * sqrt(1 - b2_power) / (1 - b1_power) * m / (sqrt(v) + eps)
        weights.append(weight)
    return weights


def test_without_a_noticeable_epsilon_it_is_torch_s_adam() -> None:
    gradients, weights = _train("run.dtype=float64", "meta.gradient=none", "meta.epsilon=1e-30")
    steps = weights - weights[0]
    np.testing.assert_allclose(steps[1:], _torch_adam(weights[0], gradients, 1e-30) - weights[0], rtol=1e-3)


def test_a_large_epsilon_swallows_far_more_of_the_step_than_in_torch_s_adam() -> None:
    gradients, weights = _train("run.dtype=float64", "meta.gradient=none", "meta.epsilon=1e3")
    ours = np.abs(weights[1] - weights[0])
    torchs = np.abs(_torch_adam(weights[0], gradients, 1e3)[0] - weights[0])
    np.testing.assert_allclose(ours, torchs * sqrt(1 - 0.999), rtol=1e-2, atol=1e-14)


def _torch_adam(start: Doubles, gradients: Doubles, epsilon: float) -> Doubles:
    weights = torch.from_numpy(start.copy()).requires_grad_()
    optimizer = torch.optim.Adam([weights], lr=3e-4, betas=(0.9, 0.999), eps=epsilon)
    after = []
    for gradient in gradients:
        weights.grad = torch.from_numpy(gradient.copy())
        optimizer.step()
        after.append(weights.detach().numpy().copy())
    return np.array(after)


def _train(*settings: str) -> tuple[Doubles, Doubles]:
    """Return the meta-gradient of every step, and the weights before the first and after every step."""
    preset = tiny_preset(*settings)
    backend = TorchBackend(preset.experiment)
    problems = draw(preset, STEPS)
    learner = new_learner(preset, backend)
    gradients, weights = [], [learner.weights]
    for k in range(STEPS):
        gradients.append(backend.meta_gradient(learner, problems[k : k + 1]).gradient)
        learner, _ = backend.train(learner, problems[k : k + 1])
        weights.append(learner.weights)
    return np.array(gradients), np.array(weights)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_moments_are_kept_in_the_run_s_dtype(dtype: str) -> None:
    preset = tiny_preset(f"run.dtype={dtype}")
    backend = TorchBackend(preset.experiment)
    learner, results = backend.train(new_learner(preset, backend), draw(preset, 2))
    assert {learner.weights.dtype, learner.moment1.dtype, learner.moment2.dtype} == {np.dtype(dtype)}
    assert results.losses.dtype == dtype
