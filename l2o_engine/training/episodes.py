"""Episodes that go on over several meta-iterations: begun, handed to the backend a truncation at a time, and kept.

Parallel episodes, as many as the meta-batch has tasks, may be of different lengths and stand at different steps. Each
is drawn whole, minibatches and all, from the trainer's one generator when it begins. What is saved of it is the
generator's state before that and what the optimizer carries; the rest is drawn again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from math import nan
from typing import Any, cast

import numpy as np

from l2o_engine.meta.experiment import Experiment
from l2o_engine.meta.learner import Backend, Learner, Outcomes, Results, Series, Truncating, traced
from l2o_engine.meta.truncation import Carried, Episode, Outcome, side_by_side
from l2o_engine.support.arrays import LOG_FLOOR, Doubles, Floats
from l2o_engine.tasks.base import Arrays, Task


@dataclass(frozen=True, eq=False)
class _Running:
    """An episode and its task, [1, 1], drawn whole."""

    episode: Episode
    task: Task


class Episodes:
    """The parallel episodes of one trainer.

    Parameters
    ----------
    experiment
        One whose truncations are parts of an episode.
    backend
        What computes.
    draws
        What they are drawn from; the trainer's, which this moves.

    Raises
    ------
    ValueError
        If the backend takes whole episodes only.
    """

    def __init__(self, experiment: Experiment, backend: Backend, draws: np.random.PCG64) -> None:
        if not isinstance(backend, Truncating):
            raise ValueError(f'backend "{backend.name}" takes whole episodes only')
        self._experiment = experiment
        self._truncation = experiment.truncation
        self._backend = backend
        self._draws = draws
        self._running: list[_Running | Episode] = []
        self._load({})

    def advance(self, learner: Learner, n: int) -> tuple[Learner, Results]:
        """Do n meta-iterations, or fewer if the learner diverges."""
        outcomes, rows = list[Outcome](), self._experiment.meta.batch * self._experiment.trained_on.size
        series = Series(traced(self._truncation.losses, rows))
        before: Carried = {}
        for _ in range(n):
            if learner.diverged:
                break
            running = [self._begun(place) for place in range(len(self._running))]
            task = _side_by_side([self._part_of(one) for one in running])
            before = side_by_side([one.episode.carried for one in running])
            learner, result, carried, trace = self._backend.truncated(learner, task, before)
            for place, one in enumerate(running):
                own = {name: values[place] for name, values in carried.items()}
                self._running[place] = self._moved(one, result.losses[0, place], own)
            series.add_one(result, trace)
            outcomes.append(self._outcome())
        columns: dict[str, Doubles] = {name: np.array([getattr(one, name) for one in outcomes]) for name in _FIGURES}
        results = series.joined() if outcomes else self._nothing(learner)
        trace_of_all = replace(results.trace, carried=before) if results.trace else None
        return learner, replace(results, trace=trace_of_all, outcomes=Outcomes(**columns))

    def _nothing(self, learner: Learner) -> Results:
        experiment = self._experiment
        return Results.nothing(experiment.meta.batch, self._truncation.losses, experiment.dtype, learner.numbers)

    @property
    def begins(self) -> bool:
        """Whether the first of them begins anew with the next meta-iteration."""
        return isinstance(self._running[0], Episode)

    def state(self) -> dict[str, Episode]:
        """Return where each stands."""
        return {str(k): one if isinstance(one, Episode) else one.episode for k, one in enumerate(self._running)}

    def begin_anew(self, length: int) -> None:
        """Let all begin anew, with the next meta-iteration, to be so many base steps long at most from now on."""
        self._truncation = replace(self._truncation, of=length)
        self._running = [Episode(before=episode.before) for episode in self.state().values()]

    def load_state(self, state: Mapping[str, Episode], length: int) -> None:
        """Go on from where each stood; from the beginning, if nothing is given.

        Parameters
        ----------
        state
            As from :meth:`state`.
        length
            Base steps of those that begin from now on, at most.

        Raises
        ------
        ValueError
            If they are of another experiment.
        """
        check_episodes(self._experiment, state)
        self._truncation = replace(self._truncation, of=length)
        self._load(state)

    def _load(self, state: Mapping[str, Episode]) -> None:
        # What is loaded is mostly what was our own state a moment ago.
        drawn = {id(one.episode): one for one in self._running if isinstance(one, _Running)}
        episodes = [state.get(str(k), Episode()) for k in range(self._experiment.meta.batch)]
        self._running = [drawn.get(id(one)) or self._loaded(one) for one in episodes]

    def _loaded(self, episode: Episode) -> _Running | Episode:
        """Return an episode with its task, drawn again."""
        if not episode.length:
            return episode
        bits = np.random.PCG64()
        bits.state = cast("Any", episode.draws)
        return _Running(episode, self._draw(np.random.Generator(bits), episode.length))

    def _begun(self, place: int) -> _Running:
        """Return a parallel episode, begun anew if it has ended."""
        one = self._running[place]
        if isinstance(one, _Running):
            return one
        truncation, generator = self._truncation, np.random.Generator(self._draws)
        length = truncation.episode if truncation.shortest is None else truncation.length_of(generator.random())
        if one.before is None:
            length = truncation.first_length(place, len(self._running), length)
        draws = cast("dict[str, Any]", self._draws.state)
        task = self._draw(generator, length)
        carried = {name: values[0] for name, values in _beginning(self._experiment, task.start[0]).items()}
        return _Running(Episode(0, length, draws, carried, before=one.before), task)

    def _draw(self, generator: np.random.Generator, length: int) -> Task:
        steps = self._truncation.drawn_losses(length)
        return self._experiment.trained_on.draw(generator, 1, 1, steps=steps, dtype=self._experiment.dtype)

    def _part_of(self, one: _Running) -> Task:
        """Return the task of an episode's next truncation, [1, 1]."""
        first = one.episode.step // self._truncation.steps * self._truncation.losses
        where = slice(first, first + self._truncation.losses)

        def part_of(arrays: Arrays) -> Arrays:
            return {name: values[:, :, where] for name, values in arrays.items()}

        return replace(one.task, minibatches=part_of(one.task.minibatches), judged=part_of(one.task.judged))

    def _moved(self, one: _Running, losses: Floats, carried: Mapping[str, Floats]) -> _Running | Episode:
        """Return an episode after a truncation with these losses [losses].

        One that is lost, to NaN or infinity, has ended: nothing can be learned from it any more.
        """
        episode, values = one.episode, losses.astype(np.float64)
        step = episode.step + self._truncation.steps
        with np.errstate(invalid="ignore", over="ignore"):
            logs = np.log10(values + LOG_FLOOR)
            sum_loss = episode.sum_loss + float(values[:-1].sum())
            sum_log10 = episode.sum_log10 + float(logs[:-1].sum())
        if step < episode.length and np.isfinite(carried["x"]).all():
            moved = replace(episode, step=step, carried=carried, sum_loss=sum_loss, sum_log10=sum_log10)
            return replace(one, episode=moved)
        end, end_log10 = float(values[-1]), float(logs[-1])
        return Episode(before=Outcome(end, sum_loss + end, end_log10, (sum_log10 + end_log10) / (step + 1)))

    def _outcome(self) -> Outcome:
        """Return the mean of what the episodes came to that ended last."""
        ended = [episode.before for episode in self.state().values() if episode.before is not None]
        if not ended:
            return Outcome(nan, nan, nan, nan)
        with np.errstate(invalid="ignore", over="ignore"):
            return Outcome(*(float(np.mean([getattr(one, name) for one in ended])) for name in _FIGURES))


def check_episodes(experiment: Experiment, state: Mapping[str, Episode]) -> None:
    """Refuse what cannot be the parallel episodes of an experiment.

    Raises
    ------
    ValueError
        If they are another number, of other lengths, or carry something else.
    """
    truncation, expected = experiment.truncation, set[str]()
    if not truncation.is_whole:
        expected = {str(k) for k in range(experiment.meta.batch)}
    if state and set(state) != expected:
        raise ValueError("this state is of another number of parallel episodes")
    shapes: dict[str, tuple[int, ...]] = {}
    for episode in state.values():
        if not (episode.length or episode.step or episode.carried):
            continue
        if not shapes and experiment.trained_on.is_known:
            start = np.zeros((1, *experiment.trained_on.shape), experiment.dtype)
            shapes = {name: values.shape[1:] for name, values in _beginning(experiment, start).items()}
        in_whole = not (episode.step % truncation.steps or episode.length % truncation.steps)
        if not (in_whole and 0 < episode.step < episode.length <= experiment.horizons[-1] and episode.draws):
            raise ValueError("this state is of other episodes")
        if shapes and {name: values.shape for name, values in episode.carried.items()} != shapes:
            raise ValueError("this state is of another network or other inputs")


def _beginning(experiment: Experiment, start: Floats) -> Mapping[str, Floats]:
    """Return what is carried into the first truncation from points [batch, *shape]; the weights play no part."""
    learned = experiment.trained
    weights = np.zeros(learned.layout.size, experiment.dtype)
    return learned.with_weights(weights).on(experiment.trained_on).beginning(start)


_FIGURES = tuple(field.name for field in fields(Outcome))


def _side_by_side(tasks: Sequence[Task]) -> Task:
    """Return tasks [1, 1] of one family as one batch [1, batch]."""
    first = tasks[0]

    def joined(arrays: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        return {name: np.concatenate([one[name] for one in arrays], axis=1) for name in arrays[0]}

    start = np.concatenate([task.start for task in tasks], axis=1)
    return replace(
        first,
        start=start,
        parameters=joined([task.parameters for task in tasks]),
        minibatches=joined([task.minibatches for task in tasks]),
        judged=joined([task.judged for task in tasks]),
    )
