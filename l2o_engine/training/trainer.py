"""Trainers: what a session drives, a chunk at a time.

A trainer's whole state is one :class:`TrainerState` value. ``advance(n)`` gives the same numbers as n times
``advance(1)``, so the size of a chunk never changes a result, and a trainer that loads a saved state goes on exactly
as the saved one would have.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol, cast

import numpy as np

from l2o_engine.backends.choose import choose
from l2o_engine.backends.devices import CPU
from l2o_engine.meta.experiment import Experiment
from l2o_engine.meta.imitation import Moments
from l2o_engine.meta.learner import Backend, Learner, Results, Series, traced
from l2o_engine.meta.meta_adam import Powers
from l2o_engine.meta.truncation import Episode
from l2o_engine.meta.validation import Standing
from l2o_engine.optimizers.learned.inputs.base import Numbers
from l2o_engine.optimizers.learned.learned_optimizer import LEARNED, TrainedOptimizer
from l2o_engine.support.arrays import Doubles, Floats
from l2o_engine.support.progress import Bar
from l2o_engine.tasks.base import Task
from l2o_engine.training.episodes import Episodes, check_episodes
from l2o_engine.training.evaluation import BaseCurves, Baselines, base_curves
from l2o_engine.training.imitating import Imitating, Likeness
from l2o_engine.training.streams import Streams, generator_of
from l2o_engine.training.validating import Validating, Verdict, left

CHUNK = 1000
"""Meta-iterations of a chunk, where nobody says how many."""


@dataclass(frozen=True, order=True)
class Lane:
    """One series of results: an optimizer, on the draws of one seed."""

    seed: int
    optimizer: str


def lanes_of_seed(experiment: Experiment, seed: int) -> tuple[Lane, ...]:
    """Return the series that an experiment produces for one seed: of the network, else of every baseline in turn."""
    if experiment.learned is not None:
        return (Lane(seed, LEARNED),)
    return tuple(Lane(seed, baseline.name) for baseline in experiment.baselines)


@dataclass(frozen=True)
class TrainerState:
    """All that a trainer is, between two meta-iterations.

    Attributes
    ----------
    done
        Number of meta-iterations done; the last of them was the notebook's ``it = done - 1``.
    draws
        State of the generator that tasks are drawn from (NumPy's PCG64, as its ``state`` property gives it).
    learner
        The network and its meta-optimizer; None where no network is trained.
    episodes
        Number of the parallel episode → where it stands; nothing where every truncation is a whole one.
    standing
        Where its validations stand; None where it is not validated.
    moments
        The imitation's; None where nobody is imitated.
    """

    done: int
    draws: Mapping[str, Any]
    learner: Learner | None
    episodes: Mapping[str, Episode] = field(default_factory=dict)
    standing: Standing | None = None
    moments: Moments | None = None

    def beginning_with(self, weights: Floats, numbers: Numbers) -> "TrainerState":
        """Return the state before the first meta-iteration with other weights and adaptive numbers than drawn ones."""
        if self.learner is None:
            raise ValueError("this state holds no network")
        own = weights.astype(self.learner.weights.dtype)
        return replace(self, learner=replace(self.learner, weights=own, numbers=dict(numbers)))

    @property
    def diverged(self) -> bool:
        """Whether the learner is beyond its non-finite policy and will not go on."""
        return self.learner is not None and self.learner.diverged

    @property
    def is_over(self) -> bool:
        """Whether it will not go on: it has diverged, or its validations have ended it."""
        return self.diverged or (self.standing is not None and self.standing.stopped)


@dataclass(frozen=True)
class Chunk:
    """What one lane did in one ``advance``: row k is the meta-iteration ``first + k``; and what came between them."""

    lane: Lane
    first: int
    results: Results
    verdicts: tuple[Verdict, ...] = ()
    likenesses: tuple[Likeness, ...] = ()


class Trainer(Protocol):
    """Does meta-iterations for one seed."""

    @property
    def lanes(self) -> tuple[Lane, ...]:
        """The series it produces."""
        ...

    def advance(self, n: int) -> list[Chunk]:
        """Do n meta-iterations, or fewer if it diverges; one chunk a lane."""
        ...

    def curves(self, draw: int, state: TrainerState) -> dict[str, Doubles]:
        """Return the losses [steps] of every optimizer on one task: number ``draw`` of a series, learned so far."""
        ...

    def curves_of(self, draws: Sequence[int], state: TrainerState) -> BaseCurves:
        """Return the same on several tasks of the series, over held-out data too where there is some."""
        ...

    def state(self) -> TrainerState:
        """Return all of its state."""
        ...

    def load_state(self, state: TrainerState) -> None:
        """Become the trainer that the state was taken from."""
        ...


class MetaTrainer:
    """Meta-trains a learned optimizer on a backend.

    Parameters
    ----------
    experiment
        What is trained, and how.
    seed
        Decides the initial weights and all draws.
    backend
        What computes; or its name, "auto", "fused", "coordinatewise" or "torch".
    device
        Where the one of this name computes: "cpu", or of "torch" also "cuda", "cuda:1", …, "mps"; or "auto", the first
        of these that is here.

    Raises
    ------
    ValueError
        If the experiment trains nothing, the backend takes whole episodes only and these are not, or a device is asked
        for beside a backend that has its own.
    BackendError
        If the backend asked for by name cannot take the experiment, or not on this device.
    DeviceError
        If the device cannot be had.

    Attributes
    ----------
    backend, reason
        What computes, and why it was chosen where "auto" chose it.
    """

    reason: str = "given"

    def __init__(
        self, experiment: Experiment, seed: int = 0, backend: Backend | str = "auto", device: str = CPU
    ) -> None:
        learned, streams = experiment.trained, Streams(seed)
        self.lanes = lanes_of_seed(experiment, seed)
        self._experiment = experiment
        if isinstance(backend, str):
            backend, self.reason = choose(experiment, backend, device).load()
        elif device != CPU:
            raise ValueError("a backend that is given computes where it was made for: name it, or give no device")
        self.backend = backend
        self._baselines = Baselines(experiment, seed)
        self._traced = traced(experiment.truncation.losses, experiment.meta.batch * experiment.trained_on.size)
        weights = learned.initialise(generator_of(streams.weights), experiment.dtype)
        zero = np.zeros_like(weights)
        self._learner = Learner(weights, zero, zero.copy(), Powers(), learned.inputs.numbers)
        self._draws = np.random.PCG64(streams.draws)
        self._episodes = None if experiment.truncation.is_whole else Episodes(experiment, backend, self._draws)
        self._validating = Validating(experiment, seed, backend) if experiment.validation else None
        self._standing = Standing() if experiment.validation else None
        self._imitating = Imitating(experiment, seed) if experiment.imitation else None
        self._moments = Moments(zero, zero.copy()) if experiment.imitation else None
        self._likenesses: list[Likeness] = []  # and not told yet
        self.done = 0

    def advance(self, n: int) -> list[Chunk]:
        """Do n meta-iterations, or fewer if it diverges or its validations end it.

        Parameters
        ----------
        n
            How many. ``advance(n)`` gives the same numbers, bit for bit, as n times ``advance(1)``.

        Returns
        -------
        list of Chunk
            One. Its ``results`` hold ``losses`` [n, batch, steps] of the experiment's dtype, and ``gradient_norm`` [n],
            ``objective`` [n] in float64: see :class:`~l2o_engine.meta.learner.Results`.
        """
        chunk, self._likenesses = self._advance(n), []
        return [chunk]

    def _advance(self, n: int) -> Chunk:
        if self._standing is None:
            first, results = self.done, self._trained(n)
            return Chunk(self.lanes[0], first, results, likenesses=tuple(self._likenesses))
        first, series, verdicts = self.done, Series(self._traced), list[Verdict]()
        until = self.done + (0 if self._standing.stopped else n)
        while True:
            due = self.done + left(self._experiment, self._standing)
            asked = min(until, due) - self.done
            results = self._trained(asked)
            series.add(results)
            self._standing = replace(self._standing, since=self._standing.since + len(results))
            if self.done == due and not self._learner.diverged:
                verdicts.append(self._validate())
            if self.done == until or len(results) < asked or self._standing.stopped:
                return Chunk(self.lanes[0], first, series.joined(), tuple(verdicts), tuple(self._likenesses))

    def _trained(self, n: int) -> Results:
        """Do n meta-iterations, or fewer if it diverges; each with the imitation that comes before its episode."""
        if self._imitating is None or self._moments is None or n < 1:
            return self._advanced(n)
        series = Series(self._traced)
        for _ in range(n):
            if (self._episodes is None or self._episodes.begins) and not self._learner.diverged:
                stage = self._standing.stage if self._standing else 0
                self._learner, self._moments, likeness = self._imitating.before_episode(
                    self._learner, self._moments, done=self.done, stage=stage
                )
                self._likenesses += [likeness] if likeness else []
            series.add(self._advanced(1))
            if self._learner.diverged:
                break
        return series.joined()

    def _advanced(self, n: int) -> Results:
        """Do n meta-iterations, or fewer if it diverges."""
        if self._episodes is None:
            results = self._advance_whole(n)
        else:
            self._learner, results = self._episodes.advance(self._learner, n)
        self.done += len(results)
        return results

    def _advance_whole(self, n: int) -> Results:
        """Do n meta-iterations that are an episode each."""
        before = self._draws.state
        self._learner, results = self.backend.train(self._learner, self._draw(n))
        if len(results) < n:  # it diverged on the way: as if what lies beyond had never been drawn
            self._draws.state = before
            self._draw(len(results))
        return results

    def _validate(self) -> Verdict:
        """Validate the network, and begin what is to begin."""
        standing, validating = cast("Standing", self._standing), cast("Validating", self._validating)
        self._standing, self._learner, verdict = validating.validate(standing, self._learner, self.done - 1)
        if verdict.outcome == "next" and self._episodes is not None:
            self._episodes.begin_anew(verdict.episode)
        return verdict

    def _draw(self, n: int) -> Task:
        experiment, generator = self._experiment, np.random.Generator(self._draws)
        return experiment.trained_on.draw(
            generator, n, experiment.meta.batch, steps=experiment.steps, dtype=experiment.dtype
        )

    def chunks(self, iterations: int, *, size: int = CHUNK, progress: bool = False) -> Iterator[Chunk]:
        """Yield chunks until so many meta-iterations are done in all, or it goes on no further.

        Parameters
        ----------
        iterations
            How many, those that were done before among them.
        size
            Of a chunk, at most; it changes no result.
        progress
            Whether a bar tells how far it is: a widget in a notebook, else on stderr.

        Raises
        ------
        ValueError
            If a chunk would hold nothing.
        MissingLibraryError
            If a bar is wanted and tqdm is not installed.
        """
        if size < 1:
            raise ValueError("a chunk has at least one meta-iteration")
        with Bar(shown=progress, total=iterations, what="meta-training", unit="it") as bar:
            bar.begin(self.done, iterations)
            while self.done < iterations and not self.state().is_over:
                for chunk in self.advance(min(size, iterations - self.done)):
                    bar.tell(self.done, said=f"end log10 {chunk.results.end_log10:.2f}" if progress else "")
                    yield chunk

    def optimizer(self) -> TrainedOptimizer:
        """Return the learned optimizer as it is now, with its weights [size] of the experiment's dtype.

        It is an optimizer like any other: ``init(x)`` and ``update(gradient, state)`` take arrays or tensors of any
        shape. What is trained later does not change it.
        """
        return self._experiment.trained.with_weights(self._learner.weights, self._learner.numbers)

    def curves(self, draw: int, state: TrainerState) -> dict[str, Doubles]:
        """Return the losses of every baseline and of the network in this state, all on the same task."""
        return dict(self.curves_of([draw], state).of_one().losses)

    def curves_of(self, draws: Sequence[int], state: TrainerState) -> BaseCurves:
        """Return the same on several tasks of the series, over held-out data too where there is some."""
        if state.learner is None:
            raise ValueError("this state holds no network")
        experiment, learner = self._experiment, state.learner
        task = self._baselines.curve_tasks(draws)
        if task.family.has_held_out and len(task) == 1:  # several are left to the backend, which is faster
            optimizer = experiment.trained.with_weights(learner.weights, learner.numbers)
            return base_curves([*experiment.baselines, optimizer], task, experiment.steps)
        curves = self._baselines.run(task) | {LEARNED: self.backend.evaluate(learner, task)}
        return BaseCurves({name: losses[:, 0].astype(np.float64) for name, losses in curves.items()})

    def state(self) -> TrainerState:
        """Return all of its state: one value, of NumPy arrays, which what is trained later does not change."""
        episodes = self._episodes.state() if self._episodes else {}
        draws = dict(self._draws.state)
        return TrainerState(self.done, draws, self._learner, episodes, self._standing, self._moments)

    def load_state(self, state: TrainerState) -> None:
        """Become the trainer that the state was taken from: it goes on bit for bit as that one would.

        Parameters
        ----------
        state
            As :meth:`state` of a trainer of the same experiment returned it, on whatever backend and device.

        Raises
        ------
        ValueError
            If it is of another experiment.
        """
        if state.learner is None:
            raise ValueError("this state holds no network")
        ours, theirs = self._learner, state.learner
        if (ours.weights.shape, ours.weights.dtype, set(ours.numbers)) != (
            (theirs.weights.shape, theirs.weights.dtype, set(theirs.numbers))
        ):
            raise ValueError("this state is of another network, other inputs or another dtype")
        # A run may be gone on with as another experiment, which has a validation where it had none.
        standing = (state.standing or Standing()) if self._validating else None
        if self._episodes is not None:
            self._episodes.load_state(state.episodes, self._experiment.horizons[standing.stage if standing else 0])
        else:
            check_episodes(self._experiment, state.episodes)
        self.done, self._learner, self._standing = state.done, state.learner, standing
        if self._imitating is not None:
            zero = np.zeros_like(state.learner.weights)
            self._moments = state.moments or Moments(zero, zero.copy())
        self._draws.state = cast("Any", state.draws)


class BaselineTrainer:
    """Runs the baselines only, one draw a "meta-iteration"; nothing is trained."""

    def __init__(self, experiment: Experiment, seed: int) -> None:
        self.lanes = lanes_of_seed(experiment, seed)
        self._experiment = experiment
        self._baselines = Baselines(experiment, seed)
        self._draws = np.random.PCG64(Streams(seed).draws)
        self.done = 0

    def advance(self, n: int) -> list[Chunk]:
        """Draw n tasks and run every baseline on each."""
        experiment, generator = self._experiment, np.random.Generator(self._draws)
        task = experiment.task.draw(generator, n, 1, steps=experiment.steps, dtype=experiment.dtype)
        all_losses = self._baselines.run(task)
        first, self.done = self.done, self.done + n
        return [Chunk(lane, first, _without_gradient(all_losses[lane.optimizer])) for lane in self.lanes]

    def curves(self, draw: int, state: TrainerState) -> dict[str, Doubles]:
        """Return the losses of every baseline on the same task."""
        return dict(self.curves_of([draw], state).of_one().losses)

    def curves_of(self, draws: Sequence[int], state: TrainerState) -> BaseCurves:
        """Return the same on several tasks of the series, over held-out data too where there is some."""
        experiment = self._experiment
        return base_curves(experiment.baselines, self._baselines.curve_tasks(draws), experiment.steps)

    def state(self) -> TrainerState:
        """Return all of its state."""
        return TrainerState(self.done, dict(self._draws.state), None)

    def load_state(self, state: TrainerState) -> None:
        """Become the trainer that the state was taken from."""
        self.done = state.done
        self._draws.state = cast("Any", state.draws)


def _without_gradient(losses: Any) -> Results:
    none = np.full(len(losses), np.nan)
    spoilt = ~np.isfinite(losses).all(axis=(1, 2))
    return Results(losses, none, none, spoilt)


def make_trainer(experiment: Experiment, backend: Backend | None, seed: int) -> Trainer:
    """Return the trainer of one seed; ``backend`` is None for an experiment that trains nothing.

    Raises
    ------
    ValueError
        If something is to be trained and there is no backend.
    """
    if experiment.learned is None:
        return BaselineTrainer(experiment, seed)
    if backend is None:
        raise ValueError("meta-training needs a backend")
    return MetaTrainer(experiment, seed, backend)
