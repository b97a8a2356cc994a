"""The strongest plain JAX peer: one jit over everything, ``lax.scan`` over meta-iterations and over base steps.

Our own implementation of the notebook's experiment, for ``l2o-tui bench`` with the extra ``peers``; it is held to the
golden values before it is timed. float32, one problem a meta-iteration, the log casting, the log of the last loss.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from l2o_engine.meta.objectives.end_log import EndLog
from l2o_engine.optimizers.learned.inputs.log import Log, residual_at
from l2o_engine.presets.files import load_preset
from l2o_engine.presets.schema import Preset

_GOLDEN = "log30_end_log.s0.float32.npz"
_CHUNK = 1000
Weights = dict[str, Any]


def why_not(preset: Preset) -> str:
    """Return why this peer cannot run a preset; an empty string if it can."""
    fits = (
        isinstance(preset.inputs, Log)
        and not preset.inputs.adaptive
        and preset.network.forget_bias == 1
        and preset.objective == EndLog()
        and preset.meta.gradient == "clip"
        and preset.meta.non_finite == "zero"
        and preset.meta.max_non_finite == 0
        and preset.meta.batch == 1
        and preset.run.dtype == "float32"
        and preset.unroll.second_derivatives
    )
    return "" if fits else "the JAX peer only knows log30 and its like"


def _losses(weights: Weights, scale: Any, x0: Any, *, layers: int, steps: int, min_log: float, residual: float) -> Any:
    hidden = weights["input_projection.bias"].shape[0]

    def loss(x: Any) -> Any:
        return jnp.sum((scale * x) ** 2)

    def step(carry: Any, _: None) -> Any:
        x, states = carry
        value, gradient = jax.value_and_grad(loss)(x)
        inputs = jnp.sign(gradient) * (jnp.log(jnp.abs(gradient) + residual) - min_log) / -min_log
        signal = inputs[:, None] @ weights["input_projection.kernel"] + weights["input_projection.bias"]
        next_states = []
        for layer, (h, c_prev) in enumerate(states):
            gates = jnp.concatenate([signal, h], 1) @ weights[f"lstm{layer}.kernel"] + weights[f"lstm{layer}.bias"]
            i, j, f, o = jnp.split(gates, 4, 1)
            c = jax.nn.sigmoid(f + 1) * c_prev + jax.nn.sigmoid(i) * jnp.tanh(j)
            signal = jax.nn.sigmoid(o) * jnp.tanh(c)
            next_states.append((signal, c))
        out = (signal @ weights["output_projection.kernel"] + weights["output_projection.bias"])[:, 0]
        return (x + jnp.sign(out) * jnp.exp(jnp.abs(out) * -min_log + min_log), next_states), value

    zero = jnp.zeros((x0.shape[0], hidden))
    (x, _), values = jax.lax.scan(step, (x0, [(zero, zero)] * layers), None, length=steps - 1)
    return jnp.append(values, loss(x))


def _make_train(preset: Preset) -> Callable[[Any, Any, Any], Any]:
    """Return a compiled function (state, scale [n, dims], x0 [n, dims]) -> (state, losses [n, steps])."""
    meta, inputs = preset.meta, preset.inputs
    if not isinstance(inputs, Log):
        raise TypeError(why_not(preset))
    shape: dict[str, Any] = {
        "layers": preset.network.layers,
        "steps": preset.unroll.steps,
        "min_log": inputs.min_log,
        "residual": residual_at(inputs.residual, inputs.min_log),
    }

    def objective(weights: Weights, scale: Any, x0: Any) -> Any:
        losses = _losses(weights, scale, x0, **shape)
        return jnp.log(losses[-1]), losses

    def meta_iteration(state: Any, problem: Any) -> Any:
        weights, m, v, power1, power2 = state
        (_, losses), gradient = jax.value_and_grad(objective, has_aux=True)(weights, *problem)
        norm = jnp.sqrt(sum(jnp.sum(g * g) for g in gradient.values()))
        scale = jnp.where(norm > meta.clip_norm, meta.clip_norm / norm, 1.0)
        gradient = {name: jnp.nan_to_num(g * scale, nan=0.0) for name, g in gradient.items()}
        power1, power2 = power1 * meta.beta1, power2 * meta.beta2
        rate = meta.learning_rate * jnp.sqrt(1 - power2) / (1 - power1)
        m = {name: meta.beta1 * m[name] + (1 - meta.beta1) * g for name, g in gradient.items()}
        v = {name: meta.beta2 * v[name] + (1 - meta.beta2) * g * g for name, g in gradient.items()}
        weights = {name: w - rate * m[name] / (jnp.sqrt(v[name]) + meta.epsilon) for name, w in weights.items()}
        return (weights, m, v, power1, power2), losses

    train: Callable[[Any, Any, Any], Any] = jax.jit(
        lambda state, scale, x0: jax.lax.scan(meta_iteration, state, (scale, x0))
    )
    return train


def _start(weights: dict[str, Any]) -> Any:
    arrays = {name: jnp.asarray(values) for name, values in weights.items()}
    zero = {name: jnp.zeros_like(values) for name, values in arrays.items()}
    return arrays, zero, zero, jnp.float32(1), jnp.float32(1)


def make_advance(preset: Preset) -> Callable[[int], int]:
    """Return a function that does n meta-iterations, in whole scans of a thousand, and returns how many it did."""
    train, generator = _make_train(preset), np.random.default_rng(preset.run.seed)
    learned, family = preset.experiment.trained, preset.experiment.task
    state = _start(learned.layout.split(learned.initialise(generator, "float32")))

    def advance(n: int) -> int:
        nonlocal state
        scans = -(-n // _CHUNK)
        for _ in range(scans):  # whole scans: another length would be compiled anew
            task = family.draw(generator, _CHUNK, 1, steps=preset.unroll.steps, dtype="float32")
            state, losses = train(state, task.parameters["scale"][:, 0], task.start[:, 0])
        losses.block_until_ready()
        return scans * _CHUNK

    return advance


def check() -> float:
    """Return the worst relative error against the golden values of log30.

    Raises
    ------
    ValueError
        If it is not within 1e-4.
    """
    here = Path(__file__).parent
    path = next(p for p in (here / _GOLDEN, here.parent / "tests" / "data" / "golden" / _GOLDEN) if p.is_file())
    preset = load_preset("log30")
    with np.load(path) as file:
        golden = dict(file)
    names = preset.experiment.trained.layout.shapes
    state = _start({name: golden[f"weights.{name}"] for name in names})
    (weights, *_), losses = _make_train(preset)(state, golden["scale"], golden["x0"])
    errors = [_error(losses, golden["losses"])]
    errors += [_error(weights[name], golden[f"weights_after5.{name}"]) for name in names]
    if not max(errors) < 1e-4:
        raise ValueError(f"the JAX peer misses the golden values by {max(errors):.1e}")
    return max(errors)


def _error(ours: Any, golden: Any) -> float:
    return float(np.abs(np.asarray(ours) - golden).max() / np.abs(golden).max())
