"""What meta-training changes, what it yields, and what a backend that computes it must do.

Every backend sees the same draws and means the same by them; it holds no state of a run, all of which is in the
:class:`Learner`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Protocol, runtime_checkable

import numpy as np

from l2o_engine.meta.meta_adam import Powers
from l2o_engine.meta.truncation import Carried
from l2o_engine.optimizers.learned.inputs.base import Numbers
from l2o_engine.support.arrays import LOG_FLOOR, Doubles, Flags, Floats, finite_mean
from l2o_engine.tasks.base import Task


@dataclass(frozen=True)
class Learner:
    """What meta-training changes: the weights and all that the meta-optimizer remembers.

    Attributes
    ----------
    weights
        [size], of the run's dtype; the learned optimizer's layout names its parts.
    moment1, moment2
        [size], Adam's m and v.
    powers
        Adam's running powers of β1 and β2.
    numbers
        The inputs' adaptive numbers by name, min_log for instance; empty where they have none.
    non_finite_in_a_row
        How many meta-iterations up to now, without a gap, met a NaN or an infinity.
    diverged
        Whether the run is beyond its non-finite policy; such a learner does not go on.
    """

    weights: Floats
    moment1: Floats
    moment2: Floats
    powers: Powers
    numbers: Numbers = field(default_factory=dict)
    non_finite_in_a_row: int = 0
    diverged: bool = False


_TRACED = 64
_TRACED_NUMBERS = 1_000_000


def traced(steps: int, rows: int) -> int:
    """Return of how many meta-iterations at most a :class:`Trace` tells: fewer where each takes much memory."""
    return max(1, min(_TRACED, _TRACED_NUMBERS // (steps * rows)))


@dataclass(frozen=True)
class Trace:
    """What passed between optimizee and network in the last k ≤ ``traced()`` meta-iterations of a call, in order.

    All arrays are of the run's dtype.

    Attributes
    ----------
    distance
        [k, batch, steps, size]: x minus the task's optimum, before each update and after the last; None where the
        optimum is not known.
    gradient, updates
        [k, batch, steps - 1, size]: the optimizee's gradients, and how the network moved x.
    inputs
        [k, batch, steps - 1, size·width]: what the network saw of them.
    carried
        What the episodes had come to before the last of these meta-iterations; None where it began them.
    """

    distance: Floats | None
    gradient: Floats
    inputs: Floats
    updates: Floats
    carried: Carried | None = None

    def __len__(self) -> int:
        return len(self.gradient)

    @staticmethod
    def joined(traces: "Sequence[Trace]") -> "Trace | None":
        """Return traces one behind the other; None of none."""
        if not traces:
            return None

        def each(name: str) -> Any:
            return np.concatenate([getattr(trace, name) for trace in traces])

        distance = None if traces[0].distance is None else each("distance")
        return Trace(distance, each("gradient"), each("inputs"), each("updates"), traces[-1].carried)


@dataclass(frozen=True)
class Outcomes:
    """What episodes that go on over several meta-iterations came to, as each meta-iteration left it.

    All arrays are [n], float64: means over the parallel episodes, of each the one that ended last; NaN before any has.

    Attributes
    ----------
    end_loss, sum_loss, end_log10, mean_log10
        As in :class:`~l2o_engine.meta.truncation.Outcome`.
    """

    end_loss: Doubles
    sum_loss: Doubles
    end_log10: Doubles
    mean_log10: Doubles

    @staticmethod
    def joined(parts: "Sequence[Outcomes]") -> "Outcomes | None":
        """Return them one behind the other; None of none."""
        if not parts:
            return None
        return Outcomes(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])})


@dataclass(frozen=True)
class Results:
    """What n meta-iterations gave; fewer than asked where the learner diverged on the way.

    Attributes
    ----------
    losses
        [n, batch, steps], of the run's dtype: of what each meta-iteration unrolled.
    objective
        [n], float64.
    gradient_norm
        [n], float64: the meta-gradient's global norm before clipping; accumulated in float64, so that a small or large
        float32 gradient neither vanishes nor overflows by being squared.
    non_finite
        [n]: whether a loss or the meta-gradient held a NaN or an infinity.
    numbers
        Name → [n], float64: the inputs' adaptive numbers that each meta-iteration used.
    trace
        Of the last meta-iterations; None where no network is trained.
    outcomes
        What the episodes came to; None where each meta-iteration is an episode, whose losses say it.
    """

    losses: Floats
    objective: Doubles
    gradient_norm: Doubles
    non_finite: Flags
    numbers: Mapping[str, Doubles] = field(default_factory=dict)
    trace: Trace | None = None
    outcomes: Outcomes | None = None

    def __len__(self) -> int:
        return len(self.losses)

    @property
    def end_log10(self) -> float:
        """Mean log10 of the last loss + 1e-38 over all meta-iterations; NaN where there is no finite one."""
        if self.outcomes is not None:
            return finite_mean(self.outcomes.end_log10)
        with np.errstate(invalid="ignore"):
            return finite_mean(np.log10(self.losses[..., -1].astype(np.float64) + LOG_FLOOR))

    @staticmethod
    def nothing(batch: int, steps: int, dtype: str, numbers: Numbers) -> "Results":
        """Return the results of no meta-iteration, of so many tasks and losses, with these adaptive numbers."""
        none = np.zeros(0)
        return Results(np.zeros((0, batch, steps), dtype), none, none, np.zeros(0, bool), dict.fromkeys(numbers, none))


class Series:
    """Results one behind the other, and of their traces the last ones, whatever parts they come in.

    Parameters
    ----------
    most
        Of how many meta-iterations traces are wanted, as :func:`traced` says.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._parts: list[Results] = []
        self._told: list[tuple[int, Callable[[], Trace]]] = []  # of how many meta-iterations each, and what makes it

    def add(self, results: Results) -> None:
        """Add what came next."""
        self._parts.append(replace(results, trace=None))
        if (trace := results.trace) is not None:
            self._told.append((len(trace), lambda: trace))
        self._forget()

    def add_one(self, results: Results, trace: Callable[[], Trace]) -> None:
        """Add a meta-iteration, whose trace is made only if it is among the last."""
        self._parts.append(results)
        self._told.append((1, trace))
        self._forget()

    def _forget(self) -> None:
        while sum(n for n, _ in self._told[1:]) >= self._most:
            del self._told[0]

    def joined(self) -> Results:
        """Return all of it, at least one part, as one."""
        first = self._parts[0]

        def each(name: str) -> Any:
            return np.concatenate([getattr(part, name) for part in self._parts])

        return Results(
            each("losses"),
            each("objective"),
            each("gradient_norm"),
            each("non_finite"),
            {name: np.concatenate([part.numbers[name] for part in self._parts]) for name in first.numbers},
            Trace.joined([make() for _, make in self._told]),
            Outcomes.joined([part.outcomes for part in self._parts if part.outcomes is not None]),
        )


@dataclass(frozen=True)
class MetaGradient:
    """One meta-gradient, before clipping: losses [batch, steps], objective, norm, and the flat gradient [size]."""

    losses: Floats
    objective: float
    norm: float
    gradient: Floats


class Backend(Protocol):
    """Computes meta-iterations of one experiment. Holds no state of the run: all of it is in the :class:`Learner`."""

    @property
    def name(self) -> str:
        """Its name, as in ``--backend``."""
        ...

    @property
    def is_parallel(self) -> bool:
        """Whether it computes without the interpreter, so that several threads get further than one."""
        ...

    def train(self, learner: Learner, task: Task) -> tuple[Learner, Results]:
        """Do one meta-iteration for each batch of tasks.

        n meta-iterations in one call give the same numbers, to the last bit, as n calls of one.
        """
        ...

    def meta_gradient(self, learner: Learner, task: Task) -> MetaGradient:
        """Return the meta-gradient of a single batch of tasks (``len(task) == 1``); nothing is changed."""
        ...

    def evaluate(self, learner: Learner, task: Task) -> Floats:
        """Return the losses [n, batch, steps] of the learned optimizer as it is now; nothing is changed.

        The batches may be of any size, for a task's losses do not depend on the others of its batch.
        """
        ...


class Truncated(NamedTuple):
    """One meta-iteration on a truncation.

    Attributes
    ----------
    learner, results
        What has become of it, and results of one row, without their trace.
    carried
        What the episodes have come to.
    trace
        What makes the trace of this meta-iteration; most are of no interest.
    """

    learner: Learner
    results: Results
    carried: Carried
    trace: Callable[[], Trace]


@runtime_checkable
class Truncating(Backend, Protocol):
    """A backend that computes meta-iterations which are part of an episode, too."""

    def truncated(self, learner: Learner, task: Task, carried: Carried) -> "Truncated":
        """Do one meta-iteration on a truncation of the episodes of one batch of tasks.

        Parameters
        ----------
        learner
            One that has not diverged.
        task
            [1, batch]; its minibatches are those of the truncation's losses. Where it starts plays no part.
        carried
            What the episodes have come to.

        Returns
        -------
        Truncated
            What is carried on is of the forward pass, which was made with the weights as they were before.
        """
        ...

    def evaluate(self, learner: Learner, task: Task, steps: int | None = None) -> Floats:
        """Return the losses [n, batch, steps] of the learned optimizer; as many as an episode has, if not given."""
        ...

    def meta_gradient(self, learner: Learner, task: Task, carried: Carried | None = None) -> MetaGradient:
        """Return the meta-gradient of a single batch of tasks, or of a truncation of its episodes.

        Parameters
        ----------
        learner
            What it is of; nothing is changed.
        task
            [1, batch], as for :meth:`truncated` where something is carried.
        carried
            What the episodes have come to; None where the tasks are begun.
        """
        ...
