"""What optimizers reach: the baselines' levels and base losses beside a run, and any optimizers on given tasks."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from l2o_engine.meta.experiment import Experiment
from l2o_engine.optimizers.base import Optimizer, course, run
from l2o_engine.optimizers.learned.learned_optimizer import TrainedOptimizer
from l2o_engine.support.arrays import LOG_FLOOR, Doubles, finite_mean
from l2o_engine.support.progress import Bar
from l2o_engine.tasks.base import Task, TaskFamily
from l2o_engine.training.figures import Evaluated
from l2o_engine.training.streams import Streams, generator_of

_LOOKS = 10  # at held-out data over an episode, besides the first
_COORDINATES = 2**17  # that optimizers are let loose on at once for the base chart
_MOST_NUMBERS = 4_000_000  # that tasks drawn at once may take, so that a million draws need little memory


@dataclass(frozen=True)
class Level:
    """What an optimizer reaches, averaged over draws; non-finite results are left out, NaN where none is left.

    Attributes
    ----------
    end_log10
        Mean of log10(last loss + 1e-38).
    sum_loss
        Mean of the losses' sum. The last loss alone is no fair ranking: one giant step may buy it.
    first_loss
        Mean of the first loss, before any update: no optimizer's sum is below it.
    """

    end_log10: float
    sum_loss: float
    first_loss: float


@dataclass(frozen=True, eq=False)
class BaseCurves:
    """The losses of several optimizers over the base steps, all on the same tasks.

    Attributes
    ----------
    losses
        Name → [tasks, steps], or [steps] of one task.
    held_out
        Name → [tasks, looks], or [looks], over the data that no minibatch is drawn from; nothing where there is none.
    looks
        At which base steps that was looked at.
    """

    losses: Mapping[str, Doubles]
    held_out: Mapping[str, Doubles] = field(default_factory=dict)
    looks: tuple[int, ...] = ()

    def of_one(self) -> "BaseCurves":
        """Return those of the first task."""
        losses, held_out = ({name: one[0] for name, one in each.items()} for each in (self.losses, self.held_out))
        return BaseCurves(losses, held_out, self.looks)


def base_curves(optimizers: Sequence[Optimizer], task: Task, steps: int) -> BaseCurves:
    """Return the losses of optimizers on tasks [n, 1]; of one task over held-out data too, where the family has some.

    So many tasks at once that what a network remembers of their coordinates takes little memory.
    """
    family, at_once = task.family, max(_COORDINATES // task.family.size, 1)
    shows_held_out = family.has_held_out and len(task) == 1
    looks = sorted({round(look * (steps - 1) / _LOOKS) for look in range(_LOOKS + 1)}) if shows_held_out else []
    losses: dict[str, Doubles] = {}
    held_out: dict[str, Doubles] = {}
    for optimizer in optimizers:
        seen: list[Doubles] = []

        def look(step: int, x: Any, seen: list[Doubles] = seen) -> None:
            if step in looks:
                seen.append(family.held_out_loss(x[:, 0]).astype(np.float64))

        found = [
            course(optimizer, task[first : first + at_once], steps, seen=look)[0]
            for first in range(0, len(task), at_once)
        ]
        losses[optimizer.name] = np.concatenate(found)[:, 0].astype(np.float64)
        if seen:
            held_out[optimizer.name] = np.stack(seen, axis=-1)
    return BaseCurves(losses, held_out, tuple(looks))


class Baselines:
    """The hand-designed optimizers of an experiment, on draws of their own: levels and curves to compare with.

    Parameters
    ----------
    experiment
        The experiment.
    seed
        Decides the draws.
    draws
        How many of them the levels are averaged over.
    """

    def __init__(self, experiment: Experiment, seed: int, draws: int = 1000) -> None:
        self._experiment = experiment
        self._streams = Streams(seed)
        self._number = draws

    def run(self, task: Task) -> dict[str, Any]:
        """Return name → losses [n, batch, steps]."""
        return {
            optimizer.name: run(optimizer, task, self._experiment.steps) for optimizer in self._experiment.baselines
        }

    def curve_tasks(self, draws: Sequence[int]) -> Task:
        """Return the tasks that these numbers of the base chart's series are, each a batch of one.

        Raises
        ------
        ValueError
            If there is no number.
        """
        if not draws:
            raise ValueError("there is no task to draw")
        return Task.joined([self._draw(generator_of(self._streams.curves, [draw]), 1) for draw in draws])

    @property
    def levels(self) -> dict[str, float]:
        """Name → mean of log10(last loss + 1e-38) over the draws, non-finite ones left out."""
        return {name: level.end_log10 for name, level in self.measured.items()}

    @cached_property
    def measured(self) -> dict[str, Level]:
        """Name → what it reaches, over the draws."""
        return self.measure()

    def measure(self, between: Callable[[], None] = lambda: None) -> dict[str, Level]:
        """Return name → what it reaches, over the draws.

        Parameters
        ----------
        between
            Called again and again while it lasts; what it raises ends it.
        """
        experiment, generator = self._experiment, generator_of(self._streams.levels)
        found: dict[str, list[Doubles]] = {optimizer.name: [] for optimizer in experiment.baselines}
        for n in parts(self._number, drawn_at_once(experiment.task, experiment.steps)):
            task = self._draw(generator, n)
            for optimizer in experiment.baselines:
                losses = run(optimizer, task, experiment.steps, between)
                found[optimizer.name].append(_figures(losses.astype(np.float64)))
        return {name: Level(*map(finite_mean, np.concatenate(each, axis=1))) for name, each in found.items()}

    def _draw(self, generator: np.random.Generator, n: int) -> Task:
        experiment = self._experiment
        return experiment.task.draw(generator, n, 1, steps=experiment.steps, dtype=experiment.dtype)


def _figures(losses: Doubles) -> Doubles:
    """Return what a :class:`Level` is the means of, [3, n], of losses [n, 1, steps]."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.stack([np.log10(losses[:, 0, -1] + LOG_FLOOR), losses.sum(axis=-1)[:, 0], losses[:, 0, 0]])


def evaluate(
    optimizers: Sequence[Optimizer],
    task: TaskFamily,
    *,
    problems: int = 1000,
    steps: int = 20,
    seed: int = 0,
    dtype: str | None = None,
    progress: bool = False,
) -> list[Evaluated]:
    """Run optimizers on the same tasks, which no training with this seed has drawn.

    Parameters
    ----------
    optimizers
        Hand-designed ones, and learned ones with their weights.
    task
        The family that tasks are drawn from.
    problems
        How many.
    steps
        How many losses of each: the last one is after steps - 1 updates.
    seed
        Decides the draws; they are from a stream of their own.
    dtype
        "float32" or "float64"; that of the learned optimizers' weights, else float32, if not given.
    progress
        Whether a bar tells how far it is: a widget in a notebook, else on stderr.

    Returns
    -------
    list
        What each did, in the optimizers' order.

    Raises
    ------
    ValueError
        If there is no task, or fewer than one step, or learned optimizers are of different dtypes.
    MissingLibraryError
        If a bar is wanted and tqdm is not installed.
    """
    dtypes = {str(one.weights.dtype).removeprefix("torch.") for one in optimizers if isinstance(one, TrainedOptimizer)}
    if len(dtypes | ({dtype} if dtype else set())) > 1:
        raise ValueError(
            f"learned optimizers of {' and '.join(sorted(dtypes))} cannot run on {dtype or 'the same'} tasks"
        )
    dtype = dtype or next(iter(dtypes), "float32")
    if problems < 1 or steps < 1:
        raise ValueError("evaluation needs at least one problem and one step")
    losses: list[list[Doubles]] = [[] for _ in optimizers]
    generator = generator_of(Streams(seed).held_out)
    done = 0
    with Bar(shown=progress, total=problems * len(optimizers), what="evaluating", unit="problems") as bar:
        for n in parts(problems, drawn_at_once(task, steps)):
            drawn = task.draw(generator, n, 1, steps=steps, dtype=dtype)
            for optimizer, found in zip(optimizers, losses, strict=True):
                found.append(run(optimizer, drawn, steps)[:, 0].astype(np.float64))
                done += n
                bar.tell(done, said=optimizer.name)
    return [Evaluated(o.name, np.concatenate(found)) for o, found in zip(optimizers, losses, strict=True)]


def drawn_at_once(task: TaskFamily, steps: int) -> int:
    """Return how many tasks are drawn at once, so that any number of them takes little memory."""
    return max(1, _MOST_NUMBERS // max(task.size * steps, task.numbers_drawn(steps)))


def parts(whole: int, most: int) -> Iterator[int]:
    """Yield the sizes of the parts that a number of tasks is gone through in, each ``most`` at most."""
    while whole > 0:
        yield min(whole, most)
        whole -= most
