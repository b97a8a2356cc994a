"""Who lets a trained optimizer loose on many tasks, forward only: what judging needs, and no training does."""

from typing import Protocol, runtime_checkable

from l2o_engine.backends.choose import BackendError, why_not_forward
from l2o_engine.meta.experiment import Experiment
from l2o_engine.optimizers.base import Optimizer, run
from l2o_engine.optimizers.learned.learned_optimizer import TrainedOptimizer
from l2o_engine.support.arrays import Floats
from l2o_engine.tasks.base import Task, TaskFamily


class Forward(Protocol):
    """Runs trained optimizers of one shape on tasks of one family."""

    @property
    def name(self) -> str:
        """Who computes: "fused", "coordinatewise" or "torch"."""
        ...

    def losses(self, optimizer: TrainedOptimizer, task: Task, steps: int) -> Floats:
        """Return the losses [n, batch, steps] on tasks [n, batch]; see :func:`~l2o_engine.optimizers.base.run`."""
        ...


@runtime_checkable
class SteppingForward(Forward, Protocol):
    """One that goes step by step, so that a caller sees where the points are."""

    def stepping(self, optimizer: TrainedOptimizer, family: TaskFamily) -> Optimizer:
        """Return an optimizer as it computes it, for :func:`~l2o_engine.optimizers.base.course` on a family's tasks."""
        ...


class TorchForward:
    """Any optimizer on any tasks, all at once, without a graph."""

    name = "torch"

    def stepping(self, optimizer: TrainedOptimizer, family: TaskFamily) -> Optimizer:
        """Return the optimizer."""
        return optimizer

    def losses(self, optimizer: TrainedOptimizer, task: Task, steps: int) -> Floats:
        """Return the losses [n, batch, steps]."""
        return run(optimizer, task, steps)


def choose_forward(experiment: Experiment, asked: str = "auto", *, may_compile: bool = True) -> Forward:
    """Return who computes, loaded: the fastest that can, its kernel compiled if need be; torch always can.

    Parameters
    ----------
    experiment
        The one whose optimizer is judged, with the problem that it is judged on and the greatest number of steps.
    asked
        "auto", "fused", "coordinatewise" or "torch".
    may_compile
        Whether seconds may be spent to compile it; else it is taken only where it is there.

    Raises
    ------
    BackendError
        If a kernel was asked for by name and cannot take the experiment.
    """
    if asked == "torch":
        return TorchForward()
    for name, load in _COMPILED.items():
        if asked not in ("auto", name):
            continue
        if why_not := why_not_forward(name, experiment):
            if asked == name:
                raise BackendError(f'backend "{name}" cannot run these tasks: {why_not}')
            continue
        try:
            if found := load(experiment, may_compile=may_compile or asked == name):
                return found
        except Exception:  # what a compiler may raise on some machine is open-ended
            if asked == name:
                raise
            return TorchForward()
    return TorchForward()


def _fused(experiment: Experiment, *, may_compile: bool) -> Forward | None:
    from l2o_engine.backends.fused.backend import FusedForward, may_go_forward

    return FusedForward(experiment) if may_compile or may_go_forward(experiment) else None


def _coordinatewise(experiment: Experiment, *, may_compile: bool) -> Forward | None:
    from l2o_engine.backends.coordinatewise.admission import to_compile

    if not may_compile and to_compile(experiment):
        return None
    from l2o_engine.backends.coordinatewise.backend import CoordinatewiseForward

    return CoordinatewiseForward(experiment)


_COMPILED = {"fused": _fused, "coordinatewise": _coordinatewise}  # the faster first
