"""An experiment: all that decides a training, and nothing of how long, how it is told or where it is kept."""

from dataclasses import dataclass, field
from typing import Literal

from l2o_engine.meta.meta_adam import MetaAdam
from l2o_engine.meta.objectives.base import Objective
from l2o_engine.meta.objectives.sum import Sum
from l2o_engine.meta.truncation import Truncation
from l2o_engine.optimizers.base import HandDesigned
from l2o_engine.optimizers.learned.layout import Layout
from l2o_engine.optimizers.learned.learned_optimizer import LearnedOptimizer
from l2o_engine.optimizers.rmsprop import RmsProp
from l2o_engine.optimizers.sgd import Sgd
from l2o_engine.tasks.base import TaskFamily

DTypeName = Literal["float32", "float64"]


@dataclass(frozen=True)
class Experiment:
    """What is trained, on what, for what, and how.

    Attributes
    ----------
    task
        Draws the tasks.
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
    """

    task: TaskFamily
    learned: LearnedOptimizer | None = field(default_factory=LearnedOptimizer)
    objective: Objective = field(default_factory=Sum)
    truncation: Truncation = field(default_factory=Truncation)
    meta: MetaAdam = field(default_factory=MetaAdam)
    baselines: tuple[HandDesigned, ...] = field(default_factory=lambda: (Sgd(), RmsProp()))
    second_derivatives: bool = True
    dtype: DTypeName = "float32"

    @property
    def steps(self) -> int:
        """Base steps of an episode."""
        return self.truncation.of

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
