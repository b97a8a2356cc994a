"""One imitation: a network's updates are brought closer to those of a teacher, through PyTorch's autograd.

The network sees the teacher's gradients, not its own (off-policy), and what its inputs remember of x goes where the
teacher goes. One step of Adam a truncation; between two the network's state is carried on, cut from the graph.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from itertools import islice
from math import isfinite

import torch

from l2o_engine.backends.course import MetaOptimizer, torch_threads
from l2o_engine.meta.experiment import Experiment
from l2o_engine.meta.imitation import Imitation, Moments
from l2o_engine.meta.learner import Learner
from l2o_engine.support.arrays import Floats

Lesson = tuple[Floats, Floats]
"""A gradient that the teacher saw, and its update: [batch, *shape] each."""


def imitate(
    experiment: Experiment,
    rules: Imitation,
    learner: Learner,
    moments: Moments,
    start: Floats,
    lessons: Iterable[Lesson],
) -> tuple[Learner, Moments, list[float]]:
    """Return a learner whose weights have learned of a teacher, the moments after, and what each truncation missed.

    Parameters
    ----------
    experiment, rules
        What is trained, and how it imitates.
    learner
        Who learns. Its own moments and numbers stay as they are.
    moments
        The imitation's.
    start
        [batch, *shape], where the teacher started.
    lessons
        What it then saw and did. Where they, or what is learned of them, are not finite, nothing more is learned.
    """
    adam = MetaOptimizer(
        replace(experiment.meta, learning_rate=rules.learning_rate, gradient="none"),
        replace(learner, moment1=moments.moment1, moment2=moments.moment2, powers=moments.powers),
    )
    family, lessons = experiment.trained_on, iter(lessons)
    carried, losses = experiment.trained.with_weights(learner.weights).on(family).beginning(start), list[float]()
    with torch_threads(experiment.torch_threads):
        while part := list(islice(lessons, experiment.truncation.steps)):
            weights = adam.weights.detach().requires_grad_()
            optimizer = experiment.trained.with_weights(weights, learner.numbers, stays=False).on(family)
            x, state = optimizer.resumed(carried)
            missed = torch.zeros((), dtype=x.dtype)
            for gradient, update in _tensors(part):
                own, state = optimizer.update(gradient, state, taken=update)
                missed = missed + 0.5 * ((own - update) ** 2).mean()
                x = x + update
            (slope,) = torch.autograd.grad(missed, weights)
            if not (isfinite(float(missed.detach())) and bool(torch.isfinite(slope).all())):
                break
            adam.step(slope)
            losses.append(float(missed.detach()))
            carried = optimizer.carried(x, state)
    after = adam.learner(learner.numbers, learner.non_finite_in_a_row, learner.diverged)
    found = Moments(after.moment1, after.moment2, after.powers)
    return replace(after, moment1=learner.moment1, moment2=learner.moment2, powers=learner.powers), found, losses


def _tensors(lessons: Iterable[Lesson]) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    return ((torch.from_numpy(gradient), torch.from_numpy(update)) for gradient, update in lessons)
