"""What a kernel is compiled for, as far as an experiment decides it, and what one costs in memory."""

from dataclasses import dataclass, replace
from math import prod
from typing import ClassVar

import numpy as np

from l2o_engine.backends.compiled.shape import Shape
from l2o_engine.meta.experiment import Experiment
from l2o_engine.optimizers.learned.networks.lstm import LSTM
from l2o_engine.tasks.base import TaskFamily
from l2o_engine.tasks.mixture import Mixture
from l2o_engine.tasks.small import SmallTask

# Codes for settings that the kernel takes at run time.
GRADIENT_MODES = {"none": 0, "clip": 1, "unit": 2}
POLICIES = {"zero": 0, "skip": 1, "stop": 2}


@dataclass(frozen=True)
class ProblemSpec:
    """What is compiled in of a problem; ranges and what else tasks are drawn from are not.

    Attributes
    ----------
    kind
        Of the bare function, or "mixture".
    numbers
        How many numbers a task's parameters are, side by side, in the order of :attr:`SmallTask.shapes`.
    bare_numbers
        How many of them are the bare function's.
    rotated, shifted, log
        The wrappers.
    settings
        What else the bare function is compiled for, see :attr:`SmallTask.compiled`.
    members
        A mixture's families.
    """

    kind: str
    numbers: int = 0
    bare_numbers: int = 0
    rotated: bool = False
    shifted: bool = False
    log: float = 0.0
    settings: tuple[str | int | float, ...] = ()
    members: tuple["ProblemSpec", ...] = ()


@dataclass(frozen=True)
class Spec(Shape):
    """What is compiled in. All else (steps, learning rate, min_log, policies, …) is an argument of the kernel."""

    dims: int
    batch: int
    hidden: int
    layers: int
    dtype: str
    forget_bias: float
    second_derivatives: bool
    problem: ProblemSpec
    noisy: bool
    inputs: str
    adaptive: bool
    residual: str | float
    ratio_residual: float
    objective: str
    objective_residual: float
    sum_weight: float
    kernel: ClassVar[str] = "l2o_engine.backends.fused.kernel"

    @property
    def rows(self) -> int:
        """Coordinates of all problems of a batch: the network's batch."""
        return self.dims * self.batch


def spec_of(experiment: Experiment) -> Spec:
    """Return what a kernel for this experiment must be compiled for.

    Raises
    ------
    ValueError
        If its network is no LSTM, or nothing is trained.
    """
    learned, objective = experiment.trained, experiment.objective
    network, inputs = learned.network, learned.inputs
    if not isinstance(network, LSTM):
        raise ValueError(f"the kernel is an LSTM's, this is {network.kind}")
    return Spec(
        dims=experiment.task.size,
        batch=experiment.meta.batch,
        hidden=network.hidden,
        layers=network.layers,
        dtype=experiment.dtype,
        forget_bias=network.forget_bias,
        second_derivatives=experiment.second_derivatives,
        problem=_problem_of(experiment.task),
        noisy=isinstance(experiment.task, SmallTask | Mixture) and bool(experiment.task.noise),
        inputs=inputs.kind,
        adaptive=inputs.adapts,
        residual=getattr(inputs, "residual", 0.0),
        ratio_residual=getattr(inputs, "ratio_residual", 0.0),
        objective=objective.kind,
        objective_residual=objective.residual,
        sum_weight=getattr(objective, "sum_weight", None) or 0.0,
    )


def forward_part(spec: Spec) -> Spec:
    """Return a Spec without what only training needs, so that all that go forward in one way share a kernel."""
    return replace(
        spec, objective="sum", objective_residual=0.0, sum_weight=0.0, second_derivatives=False, adaptive=False
    )


def _problem_of(task: TaskFamily) -> ProblemSpec:
    if isinstance(task, Mixture):
        members = tuple(map(_problem_of, task.families))
        return ProblemSpec(task.kind, numbers=1 + task.parameter_numbers, members=members)
    if not isinstance(task, SmallTask):
        return ProblemSpec(task.kind)  # for which there is no piece
    return ProblemSpec(
        task.kind,
        numbers=sum(map(prod, task.shapes.values())),
        bare_numbers=sum(map(prod, task.bare_shapes.values())),
        rotated=task.is_rotated,
        shifted=task.shift is not None,
        log=task.log,
        settings=task.compiled,
    )


def workspace_bytes(spec: Spec, steps: int) -> int:
    """Return about how much memory one call of the kernel takes beside its arguments."""
    itemsize = np.dtype(spec.dtype).itemsize
    pitch = -(-spec.hidden // 16) * 16
    tapes, weights = (steps + 1) * spec.rows * 7 * pitch, 3 * 8 * pitch**2
    return itemsize * spec.layers * (tapes + weights)
