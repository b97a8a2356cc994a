"""Lets a teacher go before some episodes, and a network learn of it; see :mod:`l2o_engine.meta.imitation`."""

from collections.abc import Iterator
from dataclasses import dataclass
from math import nan

import numpy as np

from l2o_engine.meta.experiment import Experiment
from l2o_engine.meta.imitation import Moments
from l2o_engine.meta.learner import Learner
from l2o_engine.optimizers.base import Looking, Optimizer, Surroundings
from l2o_engine.support.arrays import Floats
from l2o_engine.tasks.base import Task
from l2o_engine.training.streams import Streams, generator_of


@dataclass(frozen=True)
class Likeness:
    """What an imitation came to: how alike the network and its teacher were.

    Attributes
    ----------
    iteration
        The meta-iteration that it came before.
    truncations
        Of how many it was learned: of fewer than there are in an episode where a number was not finite.
    first, last
        The losses of the first and the last of them, NaN of none: ½·the mean squared difference between the network's
        updates and the teacher's, summed over the truncation.
    """

    iteration: int
    truncations: int
    first: float
    last: float


class Imitating:
    """The imitations of one trainer.

    Each is drawn from a generator of its own, which the number of meta-iterations done before it decides: so none of
    the training's draws is another one for it, and there is nothing to save but Adam's moments.

    Parameters
    ----------
    experiment
        One that imitates.
    seed
        Decides the draws.

    Raises
    ------
    ValueError
        If it does not.
    """

    def __init__(self, experiment: Experiment, seed: int) -> None:
        if experiment.imitation is None:
            raise ValueError("this experiment imitates nobody")
        self._experiment = experiment
        self._rules = experiment.imitation
        self._seeds = Streams(seed).imitation

    def before_episode(
        self, learner: Learner, moments: Moments, *, done: int, stage: int
    ) -> tuple[Learner, Moments, Likeness | None]:
        """Return a learner, and the moments, after what comes before an episode: an imitation or, as it may be, none.

        Parameters
        ----------
        learner, moments
            What they are before.
        done
            Meta-iterations done.
        stage
            Of the curriculum.
        """
        experiment, generator = self._experiment, generator_of(self._seeds, [done])
        if generator.random() >= self._rules.probability_of(stage, done):
            return learner, moments, None
        from l2o_engine.backends.imitation import imitate  # which loads torch

        steps = experiment.horizons[stage]
        task = experiment.trained_on.draw(generator, 1, experiment.meta.batch, steps=steps, dtype=experiment.dtype)[0]
        taught = lessons(self._rules.teacher, task, steps)
        learner, moments, losses = imitate(experiment, self._rules, learner, moments, task.start, taught)
        return learner, moments, Likeness(done, len(losses), *((losses[0], losses[-1]) if losses else (nan, nan)))


def lessons(teacher: Optimizer, task: Task, steps: int) -> Iterator[tuple[Floats, Floats]]:
    """Yield the gradient that an optimizer sees and the update that it makes, at each of so many base steps.

    Parameters
    ----------
    teacher, task, steps
        Who optimizes what, [batch] tasks, for how long. It ends where a number is not finite.
    """
    x = task.init()
    state = teacher.init(x)
    with np.errstate(over="ignore", invalid="ignore"):
        for step in range(steps):
            gradient = task.gradient(x, task.minibatch(step))
            if isinstance(teacher, Looking):
                state = teacher.look(state, Surroundings(task, x, step, gradient))
            update, state = teacher.update(gradient, state)
            if not (np.isfinite(gradient).all() and np.isfinite(update).all()):
                return
            yield gradient, update
            x = x + update
