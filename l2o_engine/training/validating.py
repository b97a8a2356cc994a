"""Validates a training on tasks of its own, and takes it through its curriculum; see :mod:`l2o_engine.meta.validation`.

By the backend that trains, and always on the same tasks: so the figures, on which the course of a curriculum depends,
are the same where a training is resumed.
"""

from dataclasses import dataclass
from math import inf, isnan
from typing import cast

import numpy as np

from l2o_engine.meta.experiment import Experiment
from l2o_engine.meta.learner import Backend, Learner, Truncating
from l2o_engine.meta.validation import Outcome, Standing, Validation, validated
from l2o_engine.support.arrays import LOG_FLOOR, Doubles, Floats, finite_mean
from l2o_engine.tasks.base import Task
from l2o_engine.training.evaluation import drawn_at_once, parts
from l2o_engine.training.streams import Streams, generator_of

_COORDINATES = 50_000  # that a network moves at once: its state and gates take some hundred numbers each


@dataclass(frozen=True)
class Verdict:
    """What a validation found.

    Attributes
    ----------
    iteration
        The last meta-iteration before it.
    steps
        Base steps of the tasks that it was on.
    figure, best
        The network's, and the lowest of the stage, this one among them; where the next stage begins, that of the
        network that it begins with, at its own length.
    outcome
        "better", "next" where a stage begins, "stop" where the training is over; "" else.
    stage, episode
        Of the curriculum, from 0 on, and base steps of its episodes: those that go on.
    """

    iteration: int
    steps: int
    figure: float
    best: float
    outcome: Outcome
    stage: int
    episode: int


class Validating:
    """Validates one trainer.

    Parameters
    ----------
    experiment
        One that has a validation.
    seed
        Decides the tasks.
    backend
        Lets the network loose on them.

    Raises
    ------
    ValueError
        If it has none.
    """

    def __init__(self, experiment: Experiment, seed: int, backend: Backend) -> None:
        if experiment.validation is None:
            raise ValueError("this experiment has no validation")
        self._experiment = experiment
        self._rules = experiment.validation
        self._seeds = Streams(seed).validation
        self._backend = backend

    def validate(self, standing: Standing, learner: Learner, iteration: int) -> tuple[Standing, Learner, Verdict]:
        """Validate a learner after a meta-iteration; return what stands now, and the learner that goes on."""
        experiment = self._experiment
        steps = self._length(standing.stage)
        figure = self.figure(learner, steps)
        standing, outcome = validated(standing, figure, learner, self._rules, experiment.curriculum)
        if outcome in ("next", "stop"):
            learner = standing.restored(learner)
        if outcome == "next":
            standing = standing.kept(self.figure(learner, self._length(standing.stage)), learner)
        episode = experiment.horizons[standing.stage]
        verdict = Verdict(iteration, steps, figure, standing.best, outcome, standing.stage, episode)
        return standing, learner, verdict

    def _length(self, stage: int) -> int:
        """Return at how many base steps a stage is validated: those of the next, or its own where it is the last."""
        horizons = self._experiment.horizons
        return horizons[min(stage + 1, len(horizons) - 1)]

    def figure(self, learner: Learner, steps: int) -> float:
        """Return the mean of the last losses of so many base steps, as log10; infinity where one is not finite."""
        experiment, task = self._experiment, self._experiment.task
        losses = steps if experiment.truncation.is_whole else steps + 1
        generator, found = generator_of(self._seeds), list[Doubles]()
        for n in parts(self._rules.tasks, at_once(experiment)):
            tasks = task.draw(generator, n, 1, steps=losses, dtype=experiment.dtype)
            found.append(self._losses(learner, tasks, losses)[..., -1].astype(np.float64).ravel())
        last = np.concatenate(found)
        with np.errstate(invalid="ignore"):
            if self._rules.metric == "end":
                figure = float(np.log10(last.mean() + LOG_FLOOR))
            else:  # one below 0 has no logarithm, and is left out as everywhere
                figure = finite_mean(np.log10(last + LOG_FLOOR))
        return figure if np.isfinite(last).all() and not isnan(figure) else inf

    def _losses(self, learner: Learner, tasks: Task, steps: int) -> Floats:
        if isinstance(self._backend, Truncating):
            return self._backend.evaluate(learner, tasks.in_batches_of(len(tasks)), steps)
        return self._backend.evaluate(learner, tasks)  # it has whole episodes alone, whose length is the only one


def at_once(experiment: Experiment) -> int:
    """Return on how many tasks a network is let loose at once, at most, so that a validation takes little memory."""
    task, rules = experiment.task, cast("Validation", experiment.validation)
    losses = experiment.truncation.drawn_losses(experiment.horizons[-1])
    return min(rules.tasks, drawn_at_once(task, losses), max(1, _COORDINATES // task.size))


def left(experiment: Experiment, standing: Standing) -> int:
    """Return how many meta-iterations there are until the next validation of a training that has them."""
    rules = cast("Validation", experiment.validation)
    an_episode = experiment.horizons[standing.stage] // experiment.truncation.steps
    return max(1, rules.every * an_episode - standing.since)
