"""The JAX peer of DeepMind's experiments: one jit, ``lax.scan`` over an episode's truncations and over their steps.

Our own implementation, for ``l2o-tui bench`` with the extra ``peers``; it is held to the golden values before it is
timed. float32, one episode at a time, a perceptron on images, the logarithm and the sign of its gradients, two or more
LSTMs without an input projection, the sum of a truncation's losses, no second derivatives.
"""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from l2o_engine.meta.meta_adam import MetaAdam
from l2o_engine.meta.objectives.sum import Sum
from l2o_engine.optimizers.learned.inputs.log_and_sign import LogAndSign
from l2o_engine.optimizers.learned.networks.lstm import LSTM
from l2o_engine.presets.schema import Preset
from l2o_engine.tasks.network import Network
from l2o_engine.tasks.network.architectures import Perceptron

_GOLDEN = "deepmind_mlp.s0.float32.npz"
_EPSILON = float(np.finfo(np.float32).eps)
Weights = dict[str, Any]


def why_not(preset: Preset) -> str:
    """Return why this peer cannot run a preset; an empty string if it can."""
    network, experiment = preset.network, preset.experiment
    fits = (
        isinstance(preset.problem, Network)
        and isinstance(preset.problem.network, Perceptron)
        and preset.problem.activation == "sigmoid"
        and isinstance(preset.inputs, LogAndSign)
        and isinstance(network, LSTM)
        and network.input_projection == "none"
        and network.output_bound == "none"
        and preset.objective == Sum()
        and (preset.meta.gradient, preset.meta.non_finite, preset.meta.batch) == ("none", "zero", 1)
        and preset.run.dtype == "float32"
        and not preset.unroll.second_derivatives
        and not experiment.truncation.is_whole
        and experiment.truncation.closing_loss
        and experiment.trained_on is experiment.task
    )
    return "" if fits else "the JAX peer only knows dm_mnist and its like"


def _loss(x: Any, images: Any, labels: Any, sizes: tuple[int, ...]) -> Any:
    signal, start = images, 0
    for layer, (before, after) in enumerate(pairwise(sizes)):
        kernel = x[start : start + before * after].reshape(before, after)
        bias = x[start + before * after : start + (before + 1) * after]
        signal = (jax.nn.sigmoid(signal) if layer else signal) @ kernel + bias
        start += (before + 1) * after
    return -jnp.mean(jnp.take_along_axis(jax.nn.log_softmax(signal), labels[:, None], 1))


def _make_train(
    meta: MetaAdam, network: LSTM, k: float, sizes: tuple[int, ...], images: Any, labels: Any
) -> Callable[[Any, Any, Any], Any]:
    """Return a compiled function (state, x0 [n], index [truncations, losses, images]) -> (state, losses)."""

    def unroll(weights: Weights, x: Any, layers: Any, index: Any) -> Any:
        def step(carry: Any, now: Any) -> Any:
            x, layers = carry
            value, gradient = jax.value_and_grad(_loss)(x, images[now], labels[now], sizes)
            gradient = jax.lax.stop_gradient(gradient)
            magnitude = jnp.maximum(jnp.log(jnp.abs(gradient) + _EPSILON) / k, -1)
            signal = jnp.stack([magnitude, jnp.clip(gradient * jnp.exp(k), -1, 1)], 1)
            after = []
            for layer, (h, c_before) in enumerate(layers):
                gates = jnp.concatenate([signal, h], 1) @ weights[f"lstm{layer}.kernel"] + weights[f"lstm{layer}.bias"]
                i, j, f, o = jnp.split(gates, 4, 1)
                c = jax.nn.sigmoid(f + network.forget_bias) * c_before + jax.nn.sigmoid(i) * jnp.tanh(j)
                signal = jax.nn.sigmoid(o) * jnp.tanh(c)
                after.append((signal, c))
            out = (signal @ weights["output_projection.kernel"] + weights["output_projection.bias"])[:, 0]
            return (x + network.output_scale * out, after), value

        (x, layers), values = jax.lax.scan(step, (x, layers), index[:-1])
        losses = jnp.append(values, _loss(x, images[index[-1]], labels[index[-1]], sizes))
        return losses.sum(), (losses, x, layers)

    def truncation(carry: Any, index: Any) -> Any:
        (weights, m, v, power1, power2), x, layers = carry
        (_, (losses, x, layers)), gradient = jax.value_and_grad(unroll, has_aux=True)(weights, x, layers, index)
        power1, power2 = power1 * meta.beta1, power2 * meta.beta2
        rate = meta.learning_rate * jnp.sqrt(1 - power2) / (1 - power1)
        m = {name: meta.beta1 * m[name] + (1 - meta.beta1) * g for name, g in gradient.items()}
        v = {name: meta.beta2 * v[name] + (1 - meta.beta2) * g * g for name, g in gradient.items()}
        weights = {name: w - rate * m[name] / (jnp.sqrt(v[name]) + meta.epsilon) for name, w in weights.items()}
        return ((weights, m, v, power1, power2), x, layers), losses

    def episode(state: Any, x0: Any, index: Any) -> Any:
        zero = jnp.zeros((x0.shape[0], network.hidden))
        (state, _, _), losses = jax.lax.scan(truncation, (state, x0, [(zero, zero)] * network.layers), index)
        return state, losses

    train: Callable[[Any, Any, Any], Any] = jax.jit(episode)
    return train


def _start(weights: dict[str, Any]) -> Any:
    arrays = {name: jnp.asarray(values) for name, values in weights.items()}
    zero = {name: jnp.zeros_like(values) for name, values in arrays.items()}
    return arrays, zero, zero, jnp.float32(1), jnp.float32(1)


def make_advance(preset: Preset) -> Callable[[int], int]:
    """Return a function that does n meta-iterations, in whole episodes, and returns how many it did."""
    problem, network, inputs = preset.problem, preset.network, preset.inputs
    if not (isinstance(problem, Network) and isinstance(network, LSTM) and isinstance(inputs, LogAndSign)):
        raise TypeError(why_not(preset))
    experiment, part, generator = preset.experiment, problem.images.train, np.random.default_rng(preset.run.seed)
    reach, learned = experiment.truncation, experiment.trained
    sizes = (part.images.shape[1], *problem.sizes, 10)
    images = jnp.asarray(part.images.astype(np.float32) / problem.images.white)
    train = _make_train(preset.meta, network, inputs.k, sizes, images, jnp.asarray(part.labels.astype(np.int32)))
    state = _start(learned.layout.split(learned.initialise(generator, "float32")))
    truncations = reach.episode // reach.steps

    def advance(n: int) -> int:
        nonlocal state
        episodes = -(-n // truncations)
        for _ in range(episodes):
            task = problem.draw(generator, 1, 1, steps=reach.drawn_losses(reach.episode), dtype="float32")
            index = task.minibatches["index"][0, 0].reshape(truncations, reach.losses, -1)
            state, losses = train(state, task.start[0, 0], index)
        losses.block_until_ready()
        return episodes * truncations

    return advance


def check() -> float:
    """Return the worst relative error against the golden values of DeepMind's perceptron.

    Raises
    ------
    ValueError
        If it is not within 1e-4.
    """
    here = Path(__file__).parent
    places = (here / _GOLDEN, here.parent / "tests" / "data" / "golden_deepmind" / _GOLDEN)
    with np.load(next(path for path in places if path.is_file())) as file:
        golden = dict(file)
    network = LSTM(input_projection="none", output_scale=0.01)
    images, labels = jnp.asarray(golden["data.images"]), jnp.asarray(golden["data.labels"])
    train = _make_train(MetaAdam(learning_rate=1e-3), network, 5.0, (64, 8, 10), images, labels)
    names = network.layout(2).shapes
    state = _start({name: golden[f"weights.{name}"] for name in names})
    (weights, *_), losses = train(state, golden["x0"], golden["data.batches"])
    errors = [_error(losses, golden["losses"])]
    errors += [_error(weights[name], golden[f"weights_after5.{name}"]) for name in names]
    if not max(errors) < 1e-4:
        raise ValueError(f"the JAX peer misses the golden values by {max(errors):.1e}")
    return max(errors)


def _error(ours: Any, golden: Any) -> float:
    return float(np.abs(np.asarray(ours) - golden).max() / np.abs(golden).max())
