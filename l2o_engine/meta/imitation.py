"""Imitation: between its episodes a network learns to do as a hand-designed optimizer does."""

from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from l2o_engine.meta.meta_adam import Powers
from l2o_engine.optimizers.adam import Adam
from l2o_engine.optimizers.base import OPTIMIZERS
from l2o_engine.support.arrays import Floats
from l2o_engine.support.settings import AdamConstant, Number, Whole, Words, is_number, list_to_tuple, settings

_MOST_STAGES = 65
_TeacherTable: Any = OPTIMIZERS.union()


def _probabilities(value: object) -> object:
    return (value,) if is_number(value) else list_to_tuple(value)


@settings
class Imitation:
    """Learning from an analytical optimizer (Chen et al. 2020, "Training Stronger Baselines for Learning to Optimize").

    Before an episode, by chance, a teacher optimizes a task of its own. The network sees the teacher's gradients, and
    its weights are moved so that its updates come closer to the teacher's: by ½·the mean squared difference over the
    coordinates, summed over each truncation, with an Adam of its own.

    Attributes
    ----------
    probability
        That an imitation comes before an episode; a list of one for each stage of a curriculum, of which the last holds
        for those behind it. Of parallel episodes it goes by the first.
    until
        Imitations come before episodes that begin earlier than this meta-iteration; 0 for all. So a network that would
        not find out of a plateau by itself is shown the way, and then left alone.
    learning_rate
        Of its Adam; what else this is set by is as in [meta], but for the gradient, which is left as it is.
    teacher
        A table like [[baseline]].
    """

    probability: Annotated[
        tuple[Annotated[Number, Field(ge=0, le=1)], ...],
        BeforeValidator(_probabilities),
        Field(min_length=1, max_length=_MOST_STAGES),
        Words("number ≥ 0 and ≤ 1, or a list of these"),
    ] = (0.3,)
    until: Annotated[Whole, Field(ge=0)] = 0
    learning_rate: AdamConstant = 0.001
    teacher: Annotated[_TeacherTable, Words("a table like [[baseline]]")] = Adam(0.01)

    def probability_of(self, stage: int, iteration: int) -> float:
        """Return the probability in a stage of the curriculum, from 0 on, before a meta-iteration."""
        if self.until and iteration >= self.until:
            return 0.0
        return self.probability[min(stage, len(self.probability) - 1)]


@dataclass(frozen=True, eq=False)
class Moments:
    """What the imitation's Adam remembers: as in :class:`~l2o_engine.meta.learner.Learner`."""

    moment1: Floats
    moment2: Floats
    powers: Powers = field(default_factory=Powers)
