"""Validation: when a training is looked at from outside, what is kept of it, and when it is over; the curriculum.

What is kept is a value, a :class:`Standing`, and what a validation changes in it is a rule without side effects: who
trains (:mod:`l2o_engine.training.validating`) measures, and does what the rule says.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import inf, nan
from typing import Annotated, Literal, TypeAlias

import numpy as np
from pydantic import BeforeValidator, Field

from l2o_engine.meta.learner import Learner
from l2o_engine.support.arrays import Floats
from l2o_engine.support.settings import SettingError, Whole, list_to_tuple, settings

_MOST_STAGES = 64
_LONGEST = 100_000  # base steps of an episode


@settings
class Validation:
    """How a training is judged while it goes on: on tasks of its own, of the problem without augmentation.

    The figure is a mean of their last losses, as a log10 (infinite where one is not finite); the lower, the better. The
    best checkpoint goes by it.

    Attributes
    ----------
    every
        Episodes between two validations, of each of those that are parallel: as many meta-iterations as the longest of
        them take.
    tasks
        How many tasks the figure is the mean over: the same ones each time.
    metric
        "end_log": the mean of the logarithms. "end": the logarithm of the mean, as DeepMind's code has it; where the
        last losses are of minibatches, the logarithm of a lucky one counts less. A mean below 0 has none, and counts as
        infinite.
    patience
        After so many validations in a row that found nothing better the training ends, and what was best is restored;
        0 for never. With a curriculum that says itself when a stage is over, 0.
    """

    every: Annotated[Whole, Field(ge=1)] = 100
    tasks: Annotated[Whole, Field(ge=1, le=10_000)] = 20
    metric: Literal["end_log", "end"] = "end_log"
    patience: Annotated[Whole, Field(ge=0)] = 0


@settings
class Curriculum:
    """Episodes that become longer (Chen et al. 2020, "Training Stronger Baselines for Learning to Optimize").

    A stage is validated at the length of the next one. Where a validation finds nothing better, and there were enough
    of them: if the stage has become better at all, its best network is restored (the meta-optimizer goes on as it is)
    and the next stage begins; else the training ends with the best network.

    Attributes
    ----------
    stages
        Base steps of the episodes of each stage behind the first, whose are unroll.steps: increasing.
    least
        Validations of a stage, at least.

    Raises
    ------
    SettingError
        If they do not increase.
    """

    stages: Annotated[
        tuple[Annotated[Whole, Field(ge=2, le=_LONGEST)], ...],
        BeforeValidator(list_to_tuple),
        Field(min_length=1, max_length=_MOST_STAGES),
    ] = (200, 500, 1000, 1500, 2000, 2500, 3000)
    least: Annotated[Whole, Field(ge=1)] = 3

    def __post_init__(self) -> None:
        if any(later <= earlier for earlier, later in zip(self.stages, self.stages[1:], strict=False)):
            raise SettingError("stages", "each must be longer than the one before")


Outcome: TypeAlias = Literal["better", "", "next", "stop"]


@dataclass(frozen=True, eq=False)
class Standing:
    """Where the validations of a training stand.

    Attributes
    ----------
    stage
        Of the curriculum, from 0 on.
    since
        Meta-iterations since the last validation.
    validations, better
        How many there were in this stage, and how many of these found something better.
    in_vain
        How many, without a gap up to now, did not.
    figure
        That of the network as it is, at the last validation; NaN before the first.
    best
        The lowest in this stage.
    weights, numbers
        The network that it is of; empty before the first validation.
    stopped
        Whether the training is over.
    """

    stage: int = 0
    since: int = 0
    validations: int = 0
    better: int = 0
    in_vain: int = 0
    figure: float = nan
    best: float = inf
    weights: Floats = field(default_factory=lambda: np.zeros(0))
    numbers: Mapping[str, float] = field(default_factory=dict)
    stopped: bool = False

    def kept(self, figure: float, learner: Learner) -> "Standing":
        """Return the standing with this network as the best."""
        return replace(self, figure=figure, best=figure, weights=learner.weights, numbers=learner.numbers)

    def restored(self, learner: Learner) -> Learner:
        """Return a learner with the best network; its meta-optimizer stays as it is."""
        return replace(learner, weights=self.weights, numbers=self.numbers)


def validated(
    standing: Standing, figure: float, learner: Learner, rules: Validation, curriculum: Curriculum | None
) -> tuple[Standing, Outcome]:
    """Return the standing after a validation of a network, and what follows.

    Returns
    -------
    tuple
        And "better" for a network that is the best now; "next" where the next stage is to begin, with the best one and
        a new :meth:`Standing.kept`; "stop" where training ends with it; else "".
    """
    standing = replace(standing, since=0, validations=standing.validations + 1, figure=figure)
    if figure < standing.best or not standing.weights.size:
        return replace(standing.kept(figure, learner), better=standing.better + 1, in_vain=0), "better"
    standing = replace(standing, in_vain=standing.in_vain + 1)
    if curriculum is None:
        is_over = 0 < rules.patience <= standing.in_vain
        return (replace(standing, stopped=True, figure=standing.best), "stop") if is_over else (standing, "")
    if standing.validations < curriculum.least:
        return standing, ""
    if not standing.better or standing.stage == len(curriculum.stages):
        return replace(standing, stopped=True, figure=standing.best), "stop"
    return replace(standing, stage=standing.stage + 1, validations=0, better=0, in_vain=0), "next"
