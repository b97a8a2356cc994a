"""What a training adds to its problem so that what is learned holds elsewhere; nobody is judged on it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from l2o_engine.support.settings import Number, Whole, settings
from l2o_engine.tasks.base import TaskFamily
from l2o_engine.tasks.joined.joined import Joined, Member
from l2o_engine.tasks.joined.scaled import MOST_BOUND, Scaled
from l2o_engine.tasks.square import Square

COMPANION = "companion"
"""The name, and the part, of the group that a companion's coordinates are."""


@settings
class Augmentation:
    """What is added to the problem while the network is trained (RNNprop's, Lv et al. 2017).

    The losses of the training are of the problem with it; levels, base losses, validation and `evaluate` are of the
    problem alone.

    Attributes
    ----------
    scaling
        b of the random scaling: every task is f(c·x) with c = exp(u) for each coordinate, u uniform in [-b, b], and
        starts at x₀/c; 0 for none. RNNprop's is 3.
    companion
        Coordinates of a convex function that is optimized beside the problem by the same network, and whose loss is
        added: of kind "square". 0 for none; RNNprop's is 20.
    companion_scaling
        b of the companion's own random scaling.
    unseen
        Share of a network's images, others in every episode, that its gradients never see: the losses of the training
        are of these, so that what is learned does not overfit (Metz et al. 2019). 0: losses and gradients are of the
        same minibatches.
    """

    scaling: Annotated[Number, Field(ge=0, le=MOST_BOUND)] = 0.0
    companion: Annotated[Whole, Field(ge=0, le=10_000)] = 0
    companion_scaling: Annotated[Number, Field(ge=0, le=MOST_BOUND)] = 1.0
    unseen: Annotated[Number, Field(ge=0, le=0.9)] = 0.0

    @property
    def adds(self) -> bool:
        """Whether it adds anything."""
        return bool(self.scaling or self.companion or self.unseen)

    def of(self, problem: TaskFamily) -> TaskFamily:
        """Return the family that a training on a problem draws its tasks from: the problem, where nothing is added.

        Raises
        ------
        ValueError
            If it has no images, and some are to be unseen.
        """
        scaled = _scaled(problem.split(self.unseen) if self.unseen else problem, self.scaling)
        if not self.companion:
            return scaled
        return Augmented(scaled, _scaled(Square(self.companion), self.companion_scaling))


def _scaled(family: TaskFamily, bound: float) -> TaskFamily:
    return Scaled(family, bound) if bound else family


@dataclass(frozen=True)
class Augmented(Joined):
    """A problem and its companion, whose coordinates lie behind the problem's."""

    problem: TaskFamily
    companion: TaskFamily
    kind: str = "augmented"

    def parts(self) -> Iterator[tuple[str, TaskFamily, float]]:
        """Yield the problem and the companion."""
        yield "problem", self.problem, 1.0
        yield COMPANION, self.companion, 1.0

    def group_name(self, member: Member, name: str) -> str:
        """Return the problem's own name for a group, so that networks by group find it."""
        return name or member.name
