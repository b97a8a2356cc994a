"""An experiment: all that decides a training, and nothing of how long, how it is told or where it is kept."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, get_args

from l2o_engine.meta.imitation import Imitation
from l2o_engine.meta.meta_adam import MetaAdam
from l2o_engine.meta.objectives.base import Objective
from l2o_engine.meta.objectives.sum import Sum
from l2o_engine.meta.truncation import Truncation
from l2o_engine.meta.validation import Curriculum, Validation
from l2o_engine.optimizers.base import HandDesigned
from l2o_engine.optimizers.learned.layout import Layout
from l2o_engine.optimizers.learned.learned_optimizer import LEARNED, LearnedOptimizer
from l2o_engine.optimizers.rmsprop import RmsProp
from l2o_engine.optimizers.sgd import Sgd
from l2o_engine.support.settings import as_float32
from l2o_engine.tasks.base import TaskFamily
from l2o_engine.tasks.joined import Augmentation

DTypeName = Literal["float32", "float64"]

DEFAULT_BASELINES: tuple[HandDesigned, ...] = (Sgd(), RmsProp())
"""The notebook's."""


@dataclass(frozen=True)
class Experiment:
    """What is trained, on what, for what, and how.

    Attributes
    ----------
    task
        Draws the tasks: what is optimized, and what optimizers are judged on.
    learned
        The optimizer to be trained; None where only hand-designed ones run.
    objective
        What the meta-optimizer minimises.
    truncation
        How long an episode is, and how far one meta-iteration reaches.
    meta
        The meta-optimizer.
    baselines
        The hand-designed optimizers to compare with, each with a name of its own.
    second_derivatives
        Whether the meta-gradient goes through the tasks' own gradients too.
    dtype
        Of all arrays: "float32" or "float64".
    augmentation
        What is added to the problem while the network is trained.
    validation
        How the training is judged while it goes on; None where it is not.
    curriculum
        How episodes become longer; None where they do not.
    imitation
        How the network imitates a hand-designed optimizer between its episodes; None where it does not.
    torch_threads
        How many threads an operation of torch takes: those of the optimizee's gradient, and all of the reference. With
        another number, sums are rounded in another order.

    Raises
    ------
    ValueError
        If two optimizers have one name, a setting would be 0 in the dtype, there is no such dtype, no thread, the
        network cannot be for this task's groups, or the curriculum does not fit truncation and validation.
    """

    task: TaskFamily
    learned: LearnedOptimizer | None = field(default_factory=LearnedOptimizer)
    objective: Objective = field(default_factory=Sum)
    truncation: Truncation = field(default_factory=Truncation)
    meta: MetaAdam = field(default_factory=MetaAdam)
    baselines: tuple[HandDesigned, ...] = DEFAULT_BASELINES
    second_derivatives: bool = True
    dtype: DTypeName = "float32"
    augmentation: Augmentation = field(default_factory=Augmentation)
    validation: Validation | None = None
    curriculum: Curriculum | None = None
    imitation: Imitation | None = None
    torch_threads: int = 1

    def __post_init__(self) -> None:
        if self.dtype not in get_args(DTypeName):
            raise ValueError(f'the dtype is "float32" or "float64", not {self.dtype!r}')
        if self.torch_threads < 1:
            raise ValueError(f"torch takes 1 thread or more, not {self.torch_threads}")
        names = [baseline.name for baseline in self.baselines]
        if len(set(names)) != len(names):
            raise ValueError("every baseline needs a name of its own")
        if LEARNED in names:
            raise ValueError(f'a baseline may not be called "{LEARNED}": that is the network')
        if self.task.is_known:
            self.check_network()
        if self.curriculum is not None:
            self._check(self.curriculum)
        for name, value in self._small_numbers() if self.dtype == "float32" else ():
            if value > 0 and as_float32(value) == 0:
                raise ValueError(f'{name} would be 0 in float32: take a greater one, or dtype "float64"')

    def check_network(self) -> None:
        """Refuse a network that cannot be for this task's groups; where the task is code, they are not known before.

        Raises
        ------
        ValueError
            If it cannot.
        """
        if self.learned is not None:
            for family in (self.task, self.trained_on):
                self.learned.network.on(family)

    def _check(self, curriculum: Curriculum) -> None:
        steps, first = self.truncation.steps, curriculum.stages[0]
        if self.validation is None:
            raise ValueError("a curriculum needs a validation")
        if self.validation.patience:
            raise ValueError("a curriculum says itself when a stage is over: validation.patience must be 0")
        if self.truncation.is_whole:
            raise ValueError("a curriculum needs episodes that go in truncations (unroll.truncation)")
        if first <= self.truncation.episode:
            raise ValueError(
                f"curriculum.stages: the first, {first:,}, must be above unroll.steps, {self.truncation.episode:,}"
            )
        for stage in curriculum.stages:
            if stage % steps:
                raise ValueError(f"curriculum.stages: {stage:,} is not made of truncations of {steps:,}")

    def _small_numbers(self) -> Iterator[tuple[str, float]]:
        """Yield what may round to 0 in float32, which it must not."""
        yield "objective.residual", self.objective.residual
        pieces = {"inputs": self.learned.inputs} if self.learned else {}
        if self.imitation is not None:
            yield "imitation.learning_rate", self.imitation.learning_rate
            pieces["imitation.teacher"] = self.imitation.teacher
        for place, piece in (pieces | {f"baseline.{k}": one for k, one in enumerate(self.baselines)}).items():
            for name, value in piece.small_numbers.items():
                yield f"{place}.{name}", value

    @cached_property
    def trained_on(self) -> TaskFamily:
        """Draws the tasks that the network is trained on: the problem, with what the augmentation adds."""
        return self.augmentation.of(self.task)

    @property
    def steps(self) -> int:
        """How many losses an episode has, each recorded before the next update."""
        return self.truncation.episode_losses

    @property
    def horizons(self) -> tuple[int, ...]:
        """Base steps of the episodes of each stage of the curriculum; of the one there is, without."""
        return (self.truncation.episode, *(self.curriculum.stages if self.curriculum else ()))

    def judged_on(self, task: TaskFamily, steps: int) -> "Experiment":
        """Return it on other tasks and a whole episode of so many losses, without what only trains.

        Raises
        ------
        ValueError
            If its optimizer cannot be let loose on them.
        """
        return replace(
            self,
            task=task,
            truncation=Truncation(steps),
            baselines=(),
            augmentation=Augmentation(),
            validation=None,
            curriculum=None,
            imitation=None,
        )

    @property
    def layout(self) -> Layout | None:
        """The names and shapes of what is learned; None where nothing is."""
        return self.learned.layout if self.learned else None

    @property
    def trained(self) -> LearnedOptimizer:
        """The optimizer to be trained.

        Raises
        ------
        ValueError
            If there is none.
        """
        if self.learned is None:
            raise ValueError("this experiment trains nothing")
        return self.learned
