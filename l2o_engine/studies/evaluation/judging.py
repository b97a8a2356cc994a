"""Letting trained optimizers and their rivals loose on held-out tasks.

A network is computed by the kernel, or by torch without a graph, in parts that are short enough to be interrupted;
which of the two is told, for their last bits differ.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from l2o_engine.backends.forward import Forward, SteppingForward, choose_forward
from l2o_engine.live.sizes import TooLargeError
from l2o_engine.meta.experiment import DTypeName, Experiment
from l2o_engine.optimizers.base import HandDesigned, Optimizer, course, run
from l2o_engine.optimizers.learned.learned_optimizer import LEARNED, TrainedOptimizer
from l2o_engine.optimizers.tuned import Metric, tuned_by
from l2o_engine.records.statistics import quartiles
from l2o_engine.studies.evaluation.matches import EvaluationError, Match, Network, Problem
from l2o_engine.support.arrays import LOG_FLOOR, Doubles
from l2o_engine.support.memory import available_memory
from l2o_engine.support.wording import size
from l2o_engine.tasks.base import Task
from l2o_engine.training.evaluation import drawn_at_once, parts
from l2o_engine.training.figures import SOLVED, Evaluated
from l2o_engine.training.intervals import Interval
from l2o_engine.training.streams import Streams, generator_of

DRAWS = 10_000
"""Tasks that optimizers are judged on, where nobody says how many, at most; see :func:`draws_on`."""

_LEAST_DRAWS, _NUMBERS = 20, 1e8  # of all losses of one optimizer, in some ten seconds

_OPERATIONS = {"fused": 1e9, "coordinatewise": 1e9, "torch": 5e7}  # of a part: a tenth of a second, or a few
_COPIES = 5  # of the losses of one optimizer that are there at once, in float64, while its figures are made
_OF_RIVAL = 20  # operations a coordinate and step


@dataclass(frozen=True, eq=False)
class Judged:
    """What an optimizer did on the held-out tasks of a problem.

    Attributes
    ----------
    problem
        The problem.
    name
        The optimizer's.
    network, rival
        Which it is: one is None.
    draws
        How many tasks.
    figures, intervals
        See :class:`~l2o_engine.training.figures.Evaluated`. Where a problem has data that no minibatch is drawn from,
        "end_loss_mean" is the last loss, and "held_out_loss" that over this data, after the last update; means over the
        tasks.
    curve
        Quartiles [3, steps] over the tasks of log10(loss + 1e-38).
    means
        Means [steps] over the tasks of the loss; not finite where one is not.
    solved
        Share [steps] of the tasks whose loss is at or below :data:`~l2o_engine.training.figures.SOLVED`.
    computed_by
        "fused", "coordinatewise", "torch" or "numpy".
    is_exploit
        Whether it buys its last losses by going far away first, see :func:`~l2o_engine.training.figures.is_exploit`.
    """

    problem: Problem
    name: str
    network: Network | None
    rival: HandDesigned | None
    draws: int
    figures: Mapping[str, float]
    intervals: Mapping[str, Interval]
    curve: Doubles
    means: Doubles
    solved: Doubles
    computed_by: str
    is_exploit: bool = False

    @property
    def tuned_by(self) -> Metric | None:
        """What a rival's settings are the best by on this very problem; None where they are not."""
        return None if self.rival is None else tuned_by(self.rival, self.problem.task, self.problem.steps)


def judge(
    matches: Sequence[Match],
    *,
    draws: int | None = None,
    seed: int = 0,
    asked: str = "auto",
    may_compile: bool = True,
    with_rivals: bool = True,
    told: Callable[[float], None] = lambda share: None,
) -> Iterator[Judged]:
    """Judge optimizers, one after the other: of each match its networks, then its rivals.

    Parameters
    ----------
    matches
        Who is judged on what.
    draws, seed
        How many held-out tasks of a problem (:func:`draws_on`, if not given), and what decides them; all of a problem
        see the same.
    asked, may_compile
        Who computes the networks, see :func:`~l2o_engine.backends.forward.choose_forward`.
    with_rivals
        Whether rivals are judged as well.
    told
        Is called with the share of all that is done, every few tenths of a second; what it raises ends it.

    Raises
    ------
    EvaluationError
        If there is no draw.
    TooLargeError
        If there is not enough memory for the losses of one optimizer.
    BackendError
        If the kernel was asked for by name, and cannot take a problem.
    """
    if draws is not None and draws < 1:
        raise EvaluationError("optimizers are judged on one draw at least")
    numbers = [draws_on(match.problem) if draws is None else draws for match in matches]
    for match, number in zip(matches, numbers, strict=True):
        _admit(match.problem, number)
    work = sum(_work(*each, with_rivals=with_rivals) for each in zip(matches, numbers, strict=True))
    meter = _Meter(work, told)
    for match, number in zip(matches, numbers, strict=True):
        problem, forwards = match.problem, dict[Experiment, Forward]()
        for network in match.networks:
            experiment = network.experiment_on(problem.task, problem.steps)
            if experiment not in forwards:
                forwards[experiment] = choose_forward(experiment, asked, may_compile=may_compile)
            forward = forwards[experiment]
            most = max(1, int(_OPERATIONS[forward.name] / network.operations_on(problem)))
            found = [
                meter.after(_run(network.optimizer, task, problem, forward), network.operations_on(problem) * len(task))
                for task in _drawn(problem, experiment.dtype, number, seed, most)
            ]
            yield _judged(problem, LEARNED, found, forward.name, network=network)
        for rival in problem.rivals if with_rivals else ():
            found = [
                meter.after(_run(rival, task, problem), _of_rival(problem) * len(task))
                for task in _drawn(problem, problem.dtype, number, seed, number)
            ]
            yield _judged(problem, rival.name, found, "numpy", rival=rival)


class _Meter:
    """Tells how much of all work is done."""

    def __init__(self, whole: float, told: Callable[[float], None]) -> None:
        self._whole, self._done, self._told = whole, 0.0, told

    def after(self, part: "_Part", work: float) -> "_Part":
        """Take note of a part that took so much work, and return it."""
        self._done += work
        self._told(min(self._done / self._whole, 1.0))
        return part


@dataclass(frozen=True)
class _Part:
    """What an optimizer did on some tasks: losses [n, steps], and over held-out data [n] where there is some."""

    losses: Doubles
    held_out: Doubles


def _run(optimizer: Optimizer, task: Task, problem: Problem, fast: Forward | None = None) -> _Part:
    """Let an optimizer loose on tasks [n, 1]."""
    if not problem.task.has_held_out:
        if fast is not None and isinstance(optimizer, TrainedOptimizer):
            losses = fast.losses(optimizer, task, problem.steps)
        else:
            losses = run(optimizer, task, problem.steps)
        return _Part(losses[:, 0].astype(np.float64), np.zeros(0))
    if isinstance(fast, SteppingForward) and isinstance(optimizer, TrainedOptimizer):
        optimizer = fast.stepping(optimizer, task.family)
    losses, points = course(optimizer, task, problem.steps)
    held_out = problem.task.held_out_loss(points[:, 0])
    return _Part(losses[:, 0].astype(np.float64), held_out.astype(np.float64))


def draws_on(problem: Problem) -> int:
    """Return how many tasks of a problem optimizers are judged on where nobody says: fewer where a loss takes long."""
    task = problem.task
    if not task.graph_numbers:
        return DRAWS
    return int(max(_LEAST_DRAWS, min(DRAWS, _NUMBERS // (problem.steps * (task.size + task.graph_numbers)))))


def _work(match: Match, draws: int, *, with_rivals: bool) -> float:
    networks = sum(network.operations_on(match.problem) for network in match.networks)
    return draws * (networks + len(match.problem.rivals) * _of_rival(match.problem) * with_rivals)


def _of_rival(problem: Problem) -> float:
    return _OF_RIVAL * problem.task.size * problem.steps


def _drawn(problem: Problem, dtype: DTypeName, draws: int, seed: int, most: int) -> Iterator[Task]:
    """Yield the held-out tasks of a seed, so many at once at most."""
    generator = generator_of(Streams(seed).held_out)
    for n in parts(draws, min(most, drawn_at_once(problem.task, problem.steps))):
        yield problem.task.draw(generator, n, 1, steps=problem.steps, dtype=dtype)


def _admit(problem: Problem, draws: int) -> None:
    """Refuse what there is no memory for, before it is taken."""
    needed, free = 8 * _COPIES * draws * problem.steps, available_memory()
    if free is not None and needed > free[0]:
        raise TooLargeError(
            f"{draws:,} draws of {problem.steps:,} steps would need about {size(needed)} of memory; {free[1]} has "
            f"{size(free[0])} free: fewer draws"
        )


def _judged(
    problem: Problem,
    name: str,
    found: Sequence[_Part],
    computed_by: str,
    *,
    network: Network | None = None,
    rival: HandDesigned | None = None,
) -> Judged:
    evaluated = Evaluated(name, np.concatenate([part.losses for part in found]))
    losses, held_out = evaluated.losses, np.concatenate([part.held_out for part in found])
    figures = dict(evaluated.figures)
    if len(held_out):
        figures |= {"end_loss_mean": float(losses[:, -1].mean()), "held_out_loss": float(held_out.mean())}
    with np.errstate(invalid="ignore", divide="ignore"):
        curve, solved = quartiles(np.log10(losses + LOG_FLOOR)), (losses <= SOLVED).mean(axis=0)
    return Judged(
        problem=problem,
        name=name,
        network=network,
        rival=rival,
        draws=len(losses),
        figures=figures,
        intervals=evaluated.intervals,
        curve=curve,
        means=losses.mean(axis=0),
        solved=solved,
        computed_by=computed_by,
        is_exploit=evaluated.is_exploit,
    )
