"""Episodes and truncations: how long the learned optimizer runs on one task, and how far one meta-iteration reaches.

An episode is one run of the learned optimizer on drawn tasks. A meta-iteration unrolls and differentiates a truncation
of it; what is carried from one to the next is a value, an :class:`Episode`. So far every truncation is the whole
episode, as in the notebook, and each meta-iteration begins a new one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from l2o_engine.support.arrays import Floats
from l2o_engine.support.settings import Whole, settings


@settings
class Truncation:
    """``Truncation(20)``: an episode of 20 base steps, reached whole by one meta-iteration.

    Attributes
    ----------
    steps
        Base steps that one meta-iteration unrolls and differentiates.
    of
        Base steps of an episode; as many, if not given.

    Raises
    ------
    ValueError
        If a truncation would not be the whole episode.
    """

    steps: Annotated[Whole, Field(ge=2)] = 20
    of: Whole | None = None

    def __post_init__(self) -> None:
        if self.episode != self.steps:
            raise ValueError(f"a truncation is the whole episode so far: {self.steps} of {self.episode} steps is not")

    @property
    def is_whole(self) -> bool:
        """Whether one meta-iteration reaches a whole episode, so that nothing is carried."""
        return self.episode == self.steps

    @property
    def episode(self) -> int:
        """Base steps of an episode."""
        return self.steps if self.of is None else self.of


@dataclass(frozen=True, eq=False)
class Episode:
    """Where episodes stand between two meta-iterations.

    Attributes
    ----------
    step
        Base steps done; 0 where the next meta-iteration begins new ones.
    carried
        Name → array: x, the optimizer's state, what its inputs remember; nothing where new ones begin.
    """

    step: int = 0
    carried: Mapping[str, Floats] = field(default_factory=dict)
