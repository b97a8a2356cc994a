"""The fused backend: the compiled kernel behind the engine's :class:`~l2o_engine.meta.learner.Backend`."""

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from math import nan
from typing import Any

import numpy as np

from l2o_engine.backends.compiled.compile import Kernel, get_kernel, is_compiled
from l2o_engine.backends.compiled.numba_private import is_told_not_to_compile
from l2o_engine.backends.compiled.place import cache_folder
from l2o_engine.backends.fused.kernel import FORWARD
from l2o_engine.backends.fused.pieces import missing_piece
from l2o_engine.backends.fused.spec import GRADIENT_MODES, POLICIES, Spec, forward_part, spec_of, workspace_bytes
from l2o_engine.meta.experiment import Experiment
from l2o_engine.meta.learner import Learner, MetaGradient, Results, Trace, traced
from l2o_engine.meta.meta_adam import Powers
from l2o_engine.meta.objectives.base import OBJECTIVES
from l2o_engine.optimizers.learned.inputs.base import INPUTS, Numbers
from l2o_engine.optimizers.learned.learned_optimizer import TrainedOptimizer
from l2o_engine.optimizers.learned.networks.base import NETWORKS
from l2o_engine.optimizers.learned.networks.lstm import LSTM
from l2o_engine.support.arrays import Floats
from l2o_engine.support.processes import Child
from l2o_engine.tasks.base import TASKS, Task
from l2o_engine.tasks.mixture import Mixture
from l2o_engine.tasks.small import flat_of

GREATEST_WORKSPACE = 4 * 2**30  # bytes


def why_not(experiment: Experiment) -> str:
    """Return why the kernel cannot take an experiment; an empty string if it can."""
    return next(_reasons(experiment), "")


why_not_forward = why_not
"""It goes forward with whatever it trains, and with nothing else."""


def _reasons(experiment: Experiment) -> Iterator[str]:
    if is_told_not_to_compile():
        yield "Numba is told not to compile (NUMBA_DISABLE_JIT)"
    if experiment.augmentation.adds:
        yield "the kernel augments no problem"
    learned = experiment.trained
    network, inputs = learned.network, learned.inputs
    if not isinstance(network, LSTM):
        yield f'the kernel has no network "{network.kind}"'
    else:
        yield from _reasons_of(network)
    if inputs.width != 1:  # see `fold_input_projection`
        yield f"the kernel takes one number a coordinate, these inputs give {inputs.width}"
    if foreign := set(inputs.numbers) - {"min_log"}:
        yield f'the kernel moves no adaptive number "{min(foreign)}"'
    spec = spec_of(experiment)
    if not experiment.truncation.is_whole:
        yield "the kernel unrolls whole episodes"
    if experiment.meta.precision is not None:
        yield "the kernel keeps Adam's constants in float32"
    if missing := missing_piece(spec):
        yield f"the kernel has no {missing}"
    tasks = [experiment.task, *(experiment.task.families if isinstance(experiment.task, Mixture) else ())]
    pieces: list[tuple[Any, Any]] = [(TASKS, task) for task in tasks]
    pieces += [(INPUTS, inputs), (NETWORKS, network), (OBJECTIVES, experiment.objective)]
    for registry, piece in pieces:
        if type(piece) is not registry.kinds[piece.kind]:  # one that was made of it may compute something else
            yield f"the kernel does not know the {registry.what} {type(piece).__name__}"
    needed = workspace_bytes(spec, experiment.steps)
    if needed > GREATEST_WORKSPACE:
        yield f"the kernel would need {needed / 2**30:.0f} GiB of memory"


def _reasons_of(network: LSTM) -> Iterator[str]:
    if network.input_projection != "linear":
        yield f'the kernel has no input projection "{network.input_projection}"'
    if network.output_scale != 1:
        yield "the kernel has no output scale"
    if network.output_bound != "none":
        yield f'the kernel has no output bound "{network.output_bound}"'


def to_compile(experiment: Experiment) -> str:
    """Return the shape of an experiment's kernel if it is still to be compiled; an empty string if it is there."""
    spec = spec_of(experiment)
    return "" if is_compiled(spec, cache_folder()) else repr(spec)


def may_go_forward(experiment: Experiment) -> bool:
    """Return whether the kernel is there that :class:`FusedForward` needs, so that nothing has to be compiled."""
    spec, folder = spec_of(experiment), cache_folder()
    return is_compiled(spec, folder) or is_compiled(forward_part(spec), folder, FORWARD)


@lru_cache(maxsize=16)  # many networks of few shapes are looked at
def get_forward(spec: Spec) -> Kernel:
    """Return a kernel that goes forward: a whole one, if it is there, else one that can do no more.

    Both give the same numbers to the last bit, for both have the same code for it.

    Raises
    ------
    CompilationError
        If it cannot be compiled.
    """
    if is_compiled(spec, cache_folder()):
        return get_kernel(spec)
    return get_kernel(forward_part(spec), entries=FORWARD)


class FusedBackend:
    """Any experiment that the kernel has the pieces for; without the interpreter, so replicates run side by side.

    Parameters
    ----------
    experiment
        What is trained.
    compiler
        Where the process is ended from that compiles the kernel, if it has to be compiled.
    """

    name = "fused"
    is_parallel = True

    def __init__(self, experiment: Experiment, compiler: Child | None = None) -> None:
        self._kernel = get_kernel(spec_of(experiment), compiler)
        self._experiment = experiment

    def __reduce__(self) -> tuple[type["FusedBackend"], tuple[Experiment]]:
        """Travel to another process as the experiment; the kernel is loaded there."""
        return FusedBackend, (self._experiment,)

    def train(self, learner: Learner, task: Task) -> tuple[Learner, Results]:
        """Do one meta-iteration for each batch of tasks; see :class:`~l2o_engine.meta.learner.Backend`."""
        meta = self._experiment.meta
        learner, results, _ = self._run(learner, task, GRADIENT_MODES[meta.gradient], POLICIES[meta.non_finite])
        return learner, results

    def meta_gradient(self, learner: Learner, task: Task) -> MetaGradient:
        """Return one meta-gradient before clipping; see :class:`~l2o_engine.meta.learner.Backend`."""
        # Left as it is, and a step that is not finite is not taken: so the kernel changes nothing in the gradient.
        # To look is allowed when training is over.
        learner = replace(learner, diverged=False)
        _, results, gradient = self._run(learner, task, GRADIENT_MODES["none"], POLICIES["skip"])
        return MetaGradient(results.losses[0], float(results.objective[0]), float(results.gradient_norm[0]), gradient)

    def evaluate(self, learner: Learner, task: Task) -> Floats:
        """Return the losses of the learned optimizer as it is now; see :class:`~l2o_engine.meta.learner.Backend`."""
        return _looked_at(
            self._kernel, self._experiment, learner.weights, learner.numbers, task, self._experiment.steps
        )

    def _run(self, learner: Learner, task: Task, gradient_mode: int, policy: int) -> tuple[Learner, Results, Floats]:
        experiment, n = self._experiment, len(task)
        meta, adam, steps = experiment.meta, experiment.meta.constants, experiment.steps
        losses = _no_losses(experiment, task, steps, learner.weights.dtype)
        weights, moment1, moment2 = learner.weights.copy(), learner.moment1.copy(), learner.moment2.copy()
        min_log, powers = np.array([_min_log(learner.numbers)]), np.array(learner.powers)
        in_a_row = np.array([learner.non_finite_in_a_row], np.int64)
        rows = meta.batch * experiment.task.size
        objective, norm, used = np.empty(n), np.empty(n), np.empty(n)
        non_finite, gradient = np.empty(n, np.uint8), np.empty_like(weights)
        trace = np.empty((min(n, traced(steps, rows)) or 1, 4, steps * rows), weights.dtype)
        done, diverged = 0, learner.diverged
        if not diverged:
            done, diverged = self._kernel.meta_iterations(
                weights, moment1, moment2, min_log, powers, in_a_row, _parameters(task), task.start,
                steps, adam.learning_rate, adam.beta1, adam.beta2, adam.epsilon, gradient_mode,
                meta.clip_norm, policy, meta.max_non_finite,
                getattr(experiment.trained.inputs, "adaptation_rate", 0.0),
                losses, objective, norm, non_finite, used, gradient, trace,
            )  # fmt: skip
        learner = replace(
            learner,
            weights=weights,
            moment1=moment1,
            moment2=moment2,
            powers=Powers(*powers.tolist()),
            numbers={"min_log": float(min_log[0])} if learner.numbers else {},
            non_finite_in_a_row=int(in_a_row[0]),
            diverged=bool(diverged),
        )
        results = Results(
            losses[:done],
            objective[:done],
            norm[:done],
            non_finite[:done] > 0,
            {"min_log": used[:done]} if learner.numbers else {},
            self._trace(trace, done, task),
        )
        return learner, results, gradient

    def _trace(self, slots: Floats, done: int, task: Task) -> Trace:
        """Return the kernel's trace [slots, 4, steps * rows] in order, by batch and coordinate."""
        batch, size, steps = task.start.shape[1], self._experiment.task.size, self._experiment.steps
        first = max(done - len(slots), 0)
        in_order = slots[np.arange(first, done) % len(slots)].reshape(done - first, 4, steps, batch, size)
        x, gradient, inputs, updates = in_order.transpose(1, 0, 3, 2, 4)  # [k, batch, steps, size] each
        optimum = task[first:done].optimum()
        distance = None if optimum is None else x - optimum.reshape(done - first, batch, 1, size)
        return Trace(distance, gradient[:, :, :-1], inputs[:, :, :-1], updates[:, :, :-1])


class FusedForward:
    """The kernel where it only goes forward, for any number of steps; what it computes is what the backend evaluates.

    Parameters
    ----------
    experiment
        Its problem is what optimizers run on.
    """

    name = "fused"

    def __init__(self, experiment: Experiment) -> None:
        self._kernel = get_forward(spec_of(experiment))
        self._experiment = experiment

    def losses(self, optimizer: TrainedOptimizer, task: Task, steps: int) -> Floats:
        """Return the losses of an optimizer; see :class:`~l2o_engine.backends.forward.Forward`."""
        return _looked_at(self._kernel, self._experiment, np.asarray(optimizer.weights), optimizer.numbers, task, steps)


def _looked_at(
    kernel: Kernel, experiment: Experiment, weights: Floats, numbers: Numbers, task: Task, steps: int
) -> Floats:
    """Return the losses [n, batch, steps] of a learned optimizer on tasks."""
    # The kernel is compiled for one size of batch; tasks to look at come in batches of one.
    batches = task.in_batches_of(experiment.meta.batch)
    losses = _no_losses(experiment, batches, steps, weights.dtype)
    # A copy, for weights may be read-only, and the kernel's signature says that what it takes is not.
    kernel.evaluate_losses(weights.copy(), _min_log(numbers), _parameters(batches), batches.start, steps, losses)
    n, batch = task.start.shape[:2]
    return losses.reshape(-1, steps)[: n * batch].reshape(n, batch, steps)


def _no_losses(experiment: Experiment, task: Task, steps: int, dtype: np.dtype[Any]) -> Floats:
    """Return an array for the losses [n, batch, steps] of tasks that the kernel was compiled for."""
    shape = (experiment.meta.batch, *experiment.task.shape)
    if task.start.shape[1:] != shape:  # the kernel does not look, and reads on
        raise ValueError(f"these tasks are of shape {task.start.shape[1:]}, not {shape}")
    return np.empty((len(task), experiment.meta.batch, steps), dtype)


def _min_log(numbers: Numbers) -> float:
    """Return the one adaptive number that the kernel's inputs can have; NaN where they have none."""
    return numbers.get("min_log", nan)


def _parameters(task: Task) -> Floats:
    """Return the tasks' parameters, then their gradients' noise, side by side: [n, batch, numbers]."""
    numbers: Floats = np.ascontiguousarray(flat_of({**task.parameters, **task.minibatches}, task.start))
    return numbers
