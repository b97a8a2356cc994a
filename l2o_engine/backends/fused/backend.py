"""The fused backend: the compiled kernel behind the engine's :class:`~l2o_engine.meta.learner.Backend`."""

from dataclasses import replace
from typing import Any

import numpy as np

from l2o_engine.backends.fused.compile import cache_folder, get_kernel, is_compiled
from l2o_engine.backends.fused.pieces import missing_piece
from l2o_engine.backends.fused.spec import GRADIENT_MODES, POLICIES, spec_of, workspace_bytes
from l2o_engine.meta.adam import Powers, make_adam
from l2o_engine.meta.learner import Learner, MetaGradient, Results, Trace, traced
from l2o_engine.presets.schema import Preset
from l2o_engine.support.arrays import Floats
from l2o_engine.tasks.base import Problems, make_family

GREATEST_WORKSPACE = 4 * 2**30  # bytes


def why_not(preset: Preset) -> str:
    """Return why the kernel cannot take a preset; an empty string if it can."""
    spec = spec_of(preset)
    width = getattr(preset.transform, "width", 1)
    if width != 1:  # see `fold_input_projection`
        return f"the kernel takes one number a coordinate, these inputs give {width}"
    if missing := missing_piece(spec):
        return f"the kernel has no {missing}"
    needed = workspace_bytes(spec, preset.unroll.steps)
    if needed > GREATEST_WORKSPACE:
        return f"the kernel would need {needed / 2**30:.0f} GiB of memory"
    return ""


def to_compile(preset: Preset) -> str:
    """Return the shape of a preset's kernel if it is still to be compiled; an empty string if it is there."""
    spec = spec_of(preset)
    return "" if is_compiled(spec, cache_folder()) else repr(spec)


class FusedBackend:
    """Any preset that the kernel has the pieces for; without the interpreter, so replicates run side by side."""

    name = "fused"
    is_parallel = True

    def __init__(self, preset: Preset) -> None:
        self._kernel = get_kernel(spec_of(preset))
        self._preset = preset
        self._adam = make_adam(preset.meta)
        self._family = make_family(preset.problem, preset.run.dtype)

    def __reduce__(self) -> tuple[type["FusedBackend"], tuple[Preset]]:
        """Travel to another process as the preset; the kernel is loaded there."""
        return FusedBackend, (self._preset,)

    def train(self, learner: Learner, problems: Problems) -> tuple[Learner, Results]:
        """Do one meta-iteration for each batch of problems; see :class:`~l2o_engine.meta.learner.Backend`."""
        meta = self._preset.meta
        learner, results, _ = self._run(learner, problems, GRADIENT_MODES[meta.gradient], POLICIES[meta.non_finite])
        return learner, results

    def meta_gradient(self, learner: Learner, problems: Problems) -> MetaGradient:
        """Return one meta-gradient before clipping; see :class:`~l2o_engine.meta.learner.Backend`."""
        # Left as it is, and a step that is not finite is not taken: so the kernel changes nothing in the gradient.
        # To look is allowed when training is over.
        learner = replace(learner, diverged=False)
        _, results, gradient = self._run(learner, problems, GRADIENT_MODES["none"], POLICIES["skip"])
        return MetaGradient(results.losses[0], float(results.objective[0]), float(results.gradient_norm[0]), gradient)

    def evaluate(self, learner: Learner, problems: Problems) -> Floats:
        """Return the losses of the learned optimizer as it is now; see :class:`~l2o_engine.meta.learner.Backend`."""
        # The kernel is compiled for one size of batch; problems to look at come in batches of one.
        steps, batches = self._preset.unroll.steps, problems.in_batches_of(self._preset.meta.batch)
        losses = self._no_losses(batches, learner.weights.dtype)
        # A copy, for weights may be read-only, and the kernel's signature says that what it takes is not.
        weights = learner.weights.copy()
        self._kernel.evaluate_losses(weights, learner.min_log, _parameters(batches), batches.start, steps, losses)
        n, batch, _ = problems.start.shape
        return losses.reshape(-1, steps)[: n * batch].reshape(n, batch, steps)

    def _run(
        self, learner: Learner, problems: Problems, gradient_mode: int, policy: int
    ) -> tuple[Learner, Results, Floats]:
        preset, adam, n = self._preset, self._adam, len(problems)
        losses = self._no_losses(problems, learner.weights.dtype)
        weights, moment1, moment2 = learner.weights.copy(), learner.moment1.copy(), learner.moment2.copy()
        min_log, powers = np.array([learner.min_log]), np.array(learner.powers)
        in_a_row = np.array([learner.non_finite_in_a_row], np.int64)
        dtype = weights.dtype
        steps, rows = preset.unroll.steps, preset.meta.batch * preset.problem.dims
        objective, norm, used = np.empty(n), np.empty(n), np.empty(n)
        non_finite, gradient = np.empty(n, np.uint8), np.empty_like(weights)
        trace = np.empty((min(n, traced(steps, rows)) or 1, 4, steps * rows), dtype)
        done, diverged = 0, learner.diverged
        if not diverged:
            done, diverged = self._kernel.meta_iterations(
                weights, moment1, moment2, min_log, powers, in_a_row, _parameters(problems), problems.start,
                steps, adam.learning_rate, adam.beta1, adam.beta2, adam.epsilon, gradient_mode,
                preset.meta.clip_norm, policy, preset.meta.max_non_finite,
                getattr(preset.transform, "adaptation_rate", 0.0),
                losses, objective, norm, non_finite, used, gradient, trace,
            )  # fmt: skip
        learner = replace(
            learner,
            weights=weights,
            moment1=moment1,
            moment2=moment2,
            powers=Powers(*powers.tolist()),
            min_log=float(min_log[0]),
            non_finite_in_a_row=int(in_a_row[0]),
            diverged=bool(diverged),
        )
        results = Results(
            losses[:done],
            objective[:done],
            norm[:done],
            non_finite[:done] > 0,
            used[:done],
            self._trace(trace, done, problems),
        )
        return learner, results, gradient

    def _no_losses(self, problems: Problems, dtype: np.dtype[Any]) -> Floats:
        """Return an array for the losses [n, batch, steps] of problems that the kernel was compiled for."""
        preset = self._preset
        if problems.start.shape[1:] != (
            preset.meta.batch,
            preset.problem.dims,
        ):  # the kernel does not look, and reads on
            raise ValueError(f"these problems are of shape {problems.start.shape[1:]}, not [batch, dims]")
        return np.empty((len(problems), preset.meta.batch, preset.unroll.steps), dtype)

    def _trace(self, slots: Floats, done: int, problems: Problems) -> Trace:
        """Return the kernel's trace [slots, 4, steps * rows] in order, by batch and dimension."""
        _, batch, dims = problems.start.shape
        steps = self._preset.unroll.steps
        first = max(done - len(slots), 0)
        in_order = slots[np.arange(first, done) % len(slots)].reshape(done - first, 4, steps, batch, dims)
        x, gradient, inputs, updates = in_order.transpose(1, 0, 3, 2, 4)  # [k, batch, steps, dims] each
        optimum = self._family.optimum(problems[first:done])[:, :, None, :]
        return Trace(x - optimum, gradient[:, :, :-1], inputs[:, :, :-1], updates[:, :, :-1])


def _parameters(problems: Problems) -> Floats:
    """Return the problems' parameters side by side, [n, batch, numbers], as the kernel's pieces read them."""
    return np.ascontiguousarray(np.concatenate(list(problems.parameters.values()), axis=-1))
