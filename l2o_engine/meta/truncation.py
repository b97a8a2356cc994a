"""Episodes and truncations: how long the learned optimizer runs on one task, and how far one meta-iteration reaches.

An episode is one run of the learned optimizer on a drawn task. A meta-iteration unrolls and differentiates a truncation
of it. In the notebook every truncation is the whole episode, and each meta-iteration begins new ones. Where it is a
part, as in DeepMind's experiments, what the episode has come to is carried to the next meta-iteration as a value, an
:class:`Episode`: points and states as numbers, through which no derivative goes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import exp, log
from typing import Annotated, Any, TypeAlias

import numpy as np
from pydantic import Field

from l2o_engine.support.arrays import Floats
from l2o_engine.support.settings import SettingError, Whole, settings

Carried: TypeAlias = Mapping[str, Floats]
"""What a learned optimizer carries from one truncation to the next, name → [batch, …].

"x" [batch, *shape]; "network.…", what the network remembers, [batch, coordinates, …]: "network.lstm0.hidden";
"memory.…", what its inputs do, [batch, …] of x's shape, or a count [batch, 1, …].
"""


@settings
class Truncation:
    """How far a meta-iteration reaches: ``Truncation(20)``, a whole episode; ``Truncation(20, of=100)``, a fifth of it.

    A whole episode of 20 steps has 20 losses and the 19 updates between them (the notebook). A truncation of 20 steps
    has 20 updates and 21 losses, each before its update, and the last after them all, on a minibatch of its own; the
    next truncation counts it again as its first (google-deepmind/learning-to-learn, meta.py).

    Attributes
    ----------
    steps
        Base steps that one meta-iteration unrolls and differentiates.
    of
        Base steps of an episode, in whole truncations; as many, if not given.
    shortest
        Where given, an episode is between so many and ``of`` base steps long, in whole truncations, log-uniformly.
    staggered
        Whether the first of several parallel episodes are cut short, so that not all end at once.
    closing_loss
        Whether the objective is of the loss after the last update too (DeepMind), or not (RNNprop).

    Raises
    ------
    SettingError
        If an episode is not made of whole truncations, or something is set that a whole episode does not have.
    """

    steps: Annotated[Whole, Field(ge=2)] = 20
    of: Whole | None = None
    shortest: Whole | None = None
    staggered: bool = False
    closing_loss: bool = True

    def __post_init__(self) -> None:
        if self.episode % self.steps:
            raise SettingError(
                "of", f"an episode of {self.episode:,} steps is not made of truncations of {self.steps:,}"
            )
        if self.is_whole:
            for name, without in (("shortest", None), ("staggered", False), ("closing_loss", True)):
                if getattr(self, name) != without:
                    raise SettingError(name, "has no meaning where a truncation is the whole episode")
        elif self.shortest is not None and (self.shortest % self.steps or not 0 < self.shortest <= self.episode):
            raise SettingError("shortest", f"must be truncations of {self.steps:,} steps, {self.episode:,} at most")

    @property
    def episode(self) -> int:
        """Base steps of an episode, at most."""
        return self.steps if self.of is None else self.of

    @property
    def is_whole(self) -> bool:
        """Whether one meta-iteration reaches a whole episode, so that nothing is carried."""
        return self.episode == self.steps

    @property
    def losses(self) -> int:
        """How many losses a meta-iteration has; one update fewer."""
        return self.steps if self.is_whole else self.steps + 1

    @property
    def counted(self) -> int:
        """Of how many of these, from the first on, the objective is."""
        return self.losses if self.closing_loss else self.losses - 1

    @property
    def episode_losses(self) -> int:
        """How many losses an episode has: those before its updates and, where it goes in truncations, the final one."""
        return self.episode if self.is_whole else self.episode + 1

    def drawn_losses(self, length: int) -> int:
        """Return for how many losses minibatches are drawn, for an episode so many base steps long.

        Truncation k's are those from k · ``losses`` on.
        """
        return self.losses * (length // self.steps)

    def length_of(self, uniform: float) -> int:
        """Return how long an episode is, made of a number in [0, 1)."""
        if self.shortest is None:
            return self.episode
        low, high = log(self.shortest), log(self.episode + self.steps)
        drawn = exp(low + uniform * (high - low))
        return min(int(drawn) // self.steps * self.steps, self.episode)

    def first_length(self, place: int, of: int, length: int) -> int:
        """Return how long the first episode is of parallel episode ``place`` of so many."""
        truncations = length // self.steps
        return self.steps * (truncations - place * truncations // of if self.staggered else truncations)


@dataclass(frozen=True)
class Outcome:
    """What an episode came to.

    Attributes
    ----------
    end_loss, sum_loss
        Its final loss, and the sum of its losses: where two truncations meet, only the first's closing one is left out.
    end_log10, mean_log10
        log10(loss + 1e-38) of the final loss, and its mean over the losses.
    """

    end_loss: float
    sum_loss: float
    end_log10: float
    mean_log10: float


@dataclass(frozen=True, eq=False)
class Episode:
    """Where one episode stands between two meta-iterations.

    Attributes
    ----------
    step, length
        Base steps done, and how many it has; both 0 where the next meta-iteration begins a new one.
    draws
        State of the generator that its task was drawn with: what is drawn again needs not be kept.
    carried
        What the optimizer carries, see :data:`Carried`, without the leading axis.
    sum_loss, sum_log10
        Of the losses up to now, those before each update; the second of log10(loss + 1e-38).
    before
        What the episode before it came to; None where there was none.
    """

    step: int = 0
    length: int = 0
    draws: Mapping[str, Any] = field(default_factory=dict)
    carried: Carried = field(default_factory=dict)
    sum_loss: float = 0.0
    sum_log10: float = 0.0
    before: Outcome | None = None


def side_by_side(carried: Sequence[Carried]) -> Carried:
    """Return what several episodes carry, with a leading axis [batch]."""
    if len(carried) == 1:
        return {name: values[None] for name, values in carried[0].items()}
    return {name: np.stack([one[name] for one in carried]) for name in carried[0]}
