"""The reference backend: meta-training through PyTorch autograd, written to be read.

One meta-iteration unrolls the learned optimizer for a number of base steps on one batch of problems, differentiates
the objective of its losses with respect to the network's weights (back-propagation through time, and, unless the
preset says otherwise, through the optimizee's own gradient as well), and takes one Adam step.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import replace
from math import isfinite, nan
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from l2o_engine.meta.adam import Adam, make_adam
from l2o_engine.meta.learner import Learner, MetaGradient, Results, Trace, traced
from l2o_engine.meta.objectives import make_objective
from l2o_engine.optimizers.learned.inputs import make_transform
from l2o_engine.optimizers.learned.lstm import make_network
from l2o_engine.presets.schema import MetaSettings, Preset
from l2o_engine.support.arrays import Floats
from l2o_engine.tasks.base import Problems, make_family


class TorchBackend:
    """Any preset, through autograd, on one thread: with tensors of 2 x 20 a second one only costs."""

    name = "torch"
    is_parallel = False

    def __init__(self, preset: Preset) -> None:
        torch.set_num_threads(1)
        self._preset = preset
        self._family = make_family(preset.problem, preset.run.dtype)
        self._network = make_network(preset.network)
        self._transform = make_transform(preset.transform)
        self._objective = make_objective(preset.objective)
        self._adam = make_adam(preset.meta)
        self._traced = traced(preset.unroll.steps, preset.meta.batch * preset.problem.dims)

    def train(self, learner: Learner, problems: Problems) -> tuple[Learner, Results]:
        """Do one meta-iteration for each batch of problems; see :class:`~l2o_engine.meta.learner.Backend`."""
        meta = self._preset.meta
        optimizer = _MetaOptimizer(self._adam, learner)
        min_log, in_a_row, diverged = learner.min_log, learner.non_finite_in_a_row, learner.diverged
        losses, objectives, norms, non_finite, min_logs = [], [], [], [], []
        traces: deque[_Unrolled] = deque(maxlen=self._traced)
        for index in range(len(problems)):
            if diverged:
                break
            step = self._differentiate(optimizer.weights, min_log, problems[index : index + 1])
            bad = not (isfinite(step.norm) and bool(np.isfinite(step.losses).all()))
            in_a_row = in_a_row + 1 if bad else 0
            losses.append(step.losses)
            objectives.append(step.objective)
            norms.append(step.norm)
            non_finite.append(bad)
            min_logs.append(min_log)
            traces.append(step.unrolled)
            beyond_policy = bad and (meta.non_finite == "stop" or 0 < meta.max_non_finite < in_a_row)
            if not beyond_policy and not (bad and meta.non_finite == "skip"):
                optimizer.step(_condition(step.gradient, step.norm, meta))
            diverged = beyond_policy or not bool(torch.isfinite(optimizer.weights).all())
            min_log = self._transform.adapt(min_log, step.unrolled.smallest_signal)
        results = (
            Results(
                np.stack(losses),
                np.array(objectives),
                np.array(norms),
                np.array(non_finite, bool),
                np.array(min_logs),
                self._trace(traces, problems[len(losses) - len(traces) : len(losses)]),
            )
            if losses
            else self._no_results()
        )
        return optimizer.learner(min_log, in_a_row, diverged), results

    def meta_gradient(self, learner: Learner, problems: Problems) -> MetaGradient:
        """Return one meta-gradient before clipping; see :class:`~l2o_engine.meta.learner.Backend`."""
        step = self._differentiate(torch.from_numpy(learner.weights), learner.min_log, problems)
        return MetaGradient(step.losses, step.objective, step.norm, step.gradient.numpy())

    def evaluate(self, learner: Learner, problems: Problems) -> Floats:
        """Return the losses of the learned optimizer as it is now; see :class:`~l2o_engine.meta.learner.Backend`."""
        weights = torch.from_numpy(learner.weights)
        batches = [
            self._unroll(weights, learner.min_log, problems[k : k + 1], train=False) for k in range(len(problems))
        ]
        return np.stack([unrolled.losses.T.numpy() for unrolled in batches])

    def _trace(self, traces: Sequence["_Unrolled"], problems: Problems) -> Trace:
        def stack(name: str) -> Floats:
            """Return [k, batch, steps, dims]."""
            each = [torch.stack(getattr(unrolled, name)).detach().transpose(0, 1).numpy() for unrolled in traces]
            return np.stack(each)

        distance = stack("points") - self._family.optimum(problems)[:, :, None, :]
        return Trace(distance, stack("gradients"), stack("inputs"), stack("updates"))

    def _no_results(self) -> Results:
        shape = (0, self._preset.meta.batch, self._preset.unroll.steps)
        none = np.zeros(0)
        return Results(np.zeros(shape, self._preset.run.dtype), none, none, np.zeros(0, bool), none)

    def _differentiate(self, weights: Tensor, min_log: float, problems: Problems) -> "_Step":
        weights = weights.detach().requires_grad_()
        unrolled = self._unroll(weights, min_log, problems, train=True)
        objective = self._objective(unrolled.losses)
        (gradient,) = torch.autograd.grad(objective, weights)
        norm = float(torch.linalg.vector_norm(gradient, dtype=torch.float64))
        unrolled = unrolled._replace(losses=unrolled.losses.detach())  # who keeps it must not keep the graph
        return _Step(unrolled.losses.T.numpy(), float(objective.detach()), gradient, norm, unrolled)

    def _unroll(self, weights: Tensor, min_log: float, problems: Problems, *, train: bool) -> "_Unrolled":
        """Run the learned optimizer on one batch of problems."""
        steps, network, transform = self._preset.unroll.steps, self._network, self._transform
        second_derivatives = train and self._preset.unroll.second_derivatives
        parameters = {name: torch.from_numpy(values[0]) for name, values in problems.parameters.items()}
        named = {name: weights[where].view(shape) for name, where, shape in network.slices()}
        x = torch.from_numpy(problems.start[0]).requires_grad_()  # [batch, dims]
        state = network.start(x.numel(), like=x)
        memory = None
        losses, points, gradients, inputs, updates = [], [], [], [], []
        smallest_signal = nan
        for step in range(steps):
            loss = self._family.loss(x, parameters)  # [batch]
            losses.append(loss if train else loss.detach())
            points.append(x.detach())
            last = step == steps - 1
            if last and not transform.adaptive:
                break
            (gradient,) = torch.autograd.grad(
                loss.sum(), x, create_graph=second_derivatives and not last, retain_graph=True
            )
            encoded = transform.encode(gradient, memory, min_log)
            if last:
                smallest_signal = float(encoded.signal.detach().abs().min())
                break
            memory = encoded.memory
            outputs, state = network.step(named, encoded.inputs.reshape(-1), state)
            update = transform.decode(outputs.view_as(x), encoded, min_log)
            x = x + update
            if not train:
                x = x.detach().requires_grad_()
            gradients.append(gradient.detach())
            inputs.append(encoded.inputs.detach())
            updates.append(update.detach())
        return _Unrolled(torch.stack(losses), smallest_signal, points, gradients, inputs, updates)


class _Unrolled(NamedTuple):
    """One unroll on one batch of problems."""

    losses: Tensor  # [steps, batch], each recorded before its update
    smallest_signal: float  # |signal| at the last step; NaN where the transform does not adapt
    points: list[Tensor]  # steps × [batch, dims]
    gradients: list[Tensor]  # steps - 1 × [batch, dims], as are inputs and updates
    inputs: list[Tensor]
    updates: list[Tensor]


class _Step(NamedTuple):
    """One differentiated unroll."""

    losses: Floats  # [batch, steps]
    objective: float
    gradient: Tensor  # [size], the meta-gradient before clipping
    norm: float
    unrolled: _Unrolled


def _condition(gradient: Tensor, norm: float, meta: MetaSettings) -> Tensor:
    """Return the meta-gradient as Adam sees it: clipped, scaled to norm 1 or left as it is; spoilt entries 0."""
    if not isfinite(norm):
        # TF1's clip_by_global_norm spoils every entry then, and every spoilt entry becomes 0 (Episode 2).
        whole = meta.gradient != "none"
        return torch.zeros_like(gradient) if whole else torch.where(torch.isfinite(gradient), gradient, 0.0)
    match meta.gradient:
        case "clip" if norm > meta.clip_norm:
            return gradient * (meta.clip_norm / norm)
        case "unit" if norm > 0:
            return (gradient.double() / norm).to(gradient.dtype)  # 1 / norm may be beyond float32
        case _:
            return gradient


class _MetaOptimizer:
    """Adam on the flat vector of all weights; see :mod:`l2o_engine.meta.adam` for the formula."""

    def __init__(self, adam: Adam, learner: Learner) -> None:
        self._adam = adam
        self._learner = learner
        self._powers = learner.powers
        self.weights = torch.from_numpy(learner.weights.copy())
        self._moment1 = torch.from_numpy(learner.moment1.copy())
        self._moment2 = torch.from_numpy(learner.moment2.copy())

    def step(self, gradient: Tensor) -> None:
        adam = self._adam
        self._powers = adam.advance(self._powers)
        self._moment1.mul_(adam.beta1).add_(gradient, alpha=1 - adam.beta1)
        self._moment2.mul_(adam.beta2).addcmul_(gradient, gradient, value=1 - adam.beta2)
        denominator = self._moment2.sqrt().add_(adam.epsilon)
        self.weights.addcdiv_(self._moment1, denominator, value=-adam.rate(self._powers))

    def learner(self, min_log: float, in_a_row: int, diverged: bool) -> Learner:
        return replace(
            self._learner,
            weights=self.weights.numpy(),
            moment1=self._moment1.numpy(),
            moment2=self._moment2.numpy(),
            powers=self._powers,
            min_log=min_log,
            non_finite_in_a_row=in_a_row,
            diverged=diverged,
        )
