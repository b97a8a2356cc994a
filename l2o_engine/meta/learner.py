"""What meta-training changes, what it yields, and what a backend that computes it must do.

Every backend sees the same draws and means the same by them; it holds no state of a run, all of which is in the
:class:`Learner`.
"""

from dataclasses import dataclass
from typing import Protocol

from l2o_engine.meta.adam import Powers
from l2o_engine.support.arrays import Doubles, Flags, Floats
from l2o_engine.tasks.base import Problems


@dataclass(frozen=True)
class Learner:
    """What meta-training changes: the weights and all that the meta-optimizer remembers.

    Attributes
    ----------
    weights
        [size], of the run's dtype; :class:`~l2o_engine.optimizers.learned.lstm.Network` names its parts.
    moment1, moment2
        [size], Adam's m and v.
    powers
        Adam's running powers of β1 and β2.
    min_log
        The transform's min_log; NaN where it has none.
    non_finite_in_a_row
        How many meta-iterations up to now, without a gap, met a NaN or an infinity.
    diverged
        Whether the run is beyond its non-finite policy; such a learner does not go on.
    """

    weights: Floats
    moment1: Floats
    moment2: Floats
    powers: Powers
    min_log: float
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
        [k, batch, steps, dims]: x minus the problem's optimum, before each update and after the last; None where no
        optimum is known.
    gradient, inputs, updates
        [k, batch, steps - 1, dims]: the optimizee's gradients, what the network saw of them, and how it moved x.
    """

    distance: Floats | None
    gradient: Floats
    inputs: Floats
    updates: Floats

    def __len__(self) -> int:
        return len(self.gradient)


@dataclass(frozen=True)
class Results:
    """What n meta-iterations gave; fewer than asked where the learner diverged on the way.

    Attributes
    ----------
    losses
        [n, batch, steps], of the run's dtype.
    objective
        [n], float64.
    gradient_norm
        [n], float64: the meta-gradient's global norm before clipping; accumulated in float64, so that a small or large
        float32 gradient neither vanishes nor overflows by being squared.
    non_finite
        [n]: whether a loss or the meta-gradient held a NaN or an infinity.
    min_log
        [n], float64: the min_log that each meta-iteration used; NaN where there is none.
    trace
        Of the last meta-iterations; None where no network is trained.
    """

    losses: Floats
    objective: Doubles
    gradient_norm: Doubles
    non_finite: Flags
    min_log: Doubles
    trace: Trace | None = None

    def __len__(self) -> int:
        return len(self.losses)


@dataclass(frozen=True)
class MetaGradient:
    """One meta-gradient, before clipping: losses [batch, steps], objective, norm, and the flat gradient [size]."""

    losses: Floats
    objective: float
    norm: float
    gradient: Floats


class Backend(Protocol):
    """Computes meta-iterations of one preset. Holds no state of the run: all of it is in the :class:`Learner`."""

    @property
    def name(self) -> str:
        """Its name, as in ``--backend``."""
        ...

    @property
    def is_parallel(self) -> bool:
        """Whether it computes without the interpreter, so that several threads get further than one."""
        ...

    def train(self, learner: Learner, problems: Problems) -> tuple[Learner, Results]:
        """Do one meta-iteration for each batch of problems.

        n meta-iterations in one call give the same numbers, to the last bit, as n calls of one.
        """
        ...

    def meta_gradient(self, learner: Learner, problems: Problems) -> MetaGradient:
        """Return the meta-gradient of a single batch of problems (``len(problems) == 1``); nothing is changed."""
        ...

    def evaluate(self, learner: Learner, problems: Problems) -> Floats:
        """Return the losses [n, batch, steps] of the learned optimizer as it is now; nothing is changed.

        The batches may be of any size, for a problem's losses do not depend on the others of its batch.
        """
        ...
