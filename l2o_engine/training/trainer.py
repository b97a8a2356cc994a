"""Trainers: what a session drives, a chunk at a time.

A trainer's whole state is one :class:`TrainerState` value. ``advance(n)`` gives the same numbers as n times
``advance(1)``, so the size of a chunk never changes a result, and a trainer that loads a saved state goes on exactly
as the saved one would have.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, cast

import numpy as np

from l2o_engine.meta.adam import Powers
from l2o_engine.meta.learner import Backend, Learner, Results
from l2o_engine.optimizers.base import make_optimizer, run_optimizer
from l2o_engine.optimizers.learned.inputs import make_transform
from l2o_engine.optimizers.learned.lstm import make_network
from l2o_engine.presets.schema import Preset
from l2o_engine.support.arrays import LOG_FLOOR, Doubles, finite_mean
from l2o_engine.tasks.base import Problems, make_family

LEARNED = "RNN"
"""The name of the learned optimizer, beside the names of the preset's baselines."""


@dataclass(frozen=True, order=True)
class Lane:
    """One series of results: an optimizer, on the draws of one seed."""

    seed: int
    optimizer: str


@dataclass(frozen=True)
class TrainerState:
    """All that a trainer is, between two meta-iterations.

    Attributes
    ----------
    done
        Number of meta-iterations done; the last of them was the notebook's ``it = done - 1``.
    draws
        State of the generator that problems are drawn from (NumPy's PCG64, as its ``state`` property gives it).
    learner
        The network and its meta-optimizer; None where no network is trained.
    """

    done: int
    draws: dict[str, Any]
    learner: Learner | None

    @property
    def diverged(self) -> bool:
        """Whether the learner is beyond its non-finite policy and will not go on."""
        return self.learner is not None and self.learner.diverged


@dataclass(frozen=True)
class Chunk:
    """What one lane did in one ``advance``: row k is the meta-iteration ``first + k``."""

    lane: Lane
    first: int
    results: Results


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
        """Return the losses [steps] of every optimizer on one problem: number ``draw`` of a series, learned so far."""
        ...

    def curves_of(self, draws: Sequence[int], state: TrainerState) -> dict[str, Doubles]:
        """Return the same on several problems of the series: [draws, steps]."""
        ...

    def state(self) -> TrainerState:
        """Return all of its state."""
        ...

    def load_state(self, state: TrainerState) -> None:
        """Become the trainer that the state was taken from."""
        ...


class _Streams:
    """Independent generators made of one seed, one for each use, so that no use disturbs another."""

    def __init__(self, seed: int) -> None:
        self.weights, self.draws, self.curves, self.levels = np.random.SeedSequence(seed).spawn(4)


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


class Baselines:
    """The hand-designed optimizers of a preset, on draws of their own: levels and curves to compare with.

    Parameters
    ----------
    preset
        The experiment.
    seed
        Decides the draws.
    """

    def __init__(self, preset: Preset, seed: int) -> None:
        self._preset = preset
        self._family = make_family(preset.problem, preset.run.dtype)
        self._optimizers = {settings.name: make_optimizer(settings) for settings in preset.baseline}
        self._streams = _Streams(seed)

    def run(self, problems: Problems) -> dict[str, Any]:
        """Return name → losses [n, batch, steps]."""
        steps = self._preset.unroll.steps
        return {
            name: run_optimizer(optimizer, self._family, problems, steps)
            for name, optimizer in self._optimizers.items()
        }

    def curve_problems(self, draws: Sequence[int]) -> Problems:
        """Return the problems that these numbers of the base chart's series are, each a batch of one."""
        seeds = self._streams.curves
        drawn = []
        for draw in draws:
            stream = np.random.SeedSequence(seeds.entropy, spawn_key=(*seeds.spawn_key, draw))
            drawn.append(self._family.draw(np.random.Generator(np.random.PCG64(stream)), 1, 1))
        return Problems(
            np.concatenate([problem.start for problem in drawn]),
            {name: np.concatenate([one.parameters[name] for one in drawn]) for name in drawn[0].parameters},
        )

    @property
    def levels(self) -> dict[str, float]:
        """Name → mean of log10(last loss + 1e-38) over the preset's number of draws, non-finite ones left out."""
        return {name: level.end_log10 for name, level in self.measured.items()}

    @cached_property
    def measured(self) -> dict[str, Level]:
        """Name → what it reaches, over the preset's number of draws."""
        generator = np.random.Generator(np.random.PCG64(self._streams.levels))
        problems = self._family.draw(generator, self._preset.report.baseline_draws, 1)
        return {name: _level(losses.astype(np.float64)) for name, losses in self.run(problems).items()}


def _level(losses: Doubles) -> Level:
    with np.errstate(over="ignore", invalid="ignore"):
        return Level(
            end_log10=finite_mean(np.log10(losses[..., -1] + LOG_FLOOR)),
            sum_loss=finite_mean(losses.sum(axis=-1)),
            first_loss=finite_mean(losses[..., 0]),
        )


class MetaTrainer:
    """Meta-trains a network on a backend.

    Parameters
    ----------
    preset
        The experiment; ``kind`` is "meta-training".
    backend
        What computes.
    seed
        Decides the initial weights and all draws.
    """

    def __init__(self, preset: Preset, backend: Backend, seed: int) -> None:
        streams = _Streams(seed)
        self.lanes = (Lane(seed, LEARNED),)
        self._preset = preset
        self._backend = backend
        self._family = make_family(preset.problem, preset.run.dtype)
        self._baselines = Baselines(preset, seed)
        weights = make_network(preset.network).initialise(
            np.random.Generator(np.random.PCG64(streams.weights)), preset.run.dtype
        )
        zero = np.zeros_like(weights)
        min_log = make_transform(preset.transform).initial_min_log
        self._learner = Learner(weights, zero, zero.copy(), Powers(), min_log=min_log)
        self._draws = np.random.PCG64(streams.draws)
        self.done = 0

    def advance(self, n: int) -> list[Chunk]:
        """Do n meta-iterations, or fewer if it diverges."""
        before, batch = self._draws.state, self._preset.meta.batch
        problems = self._family.draw(np.random.Generator(self._draws), n, batch)
        self._learner, results = self._backend.train(self._learner, problems)
        if len(results) < n:  # it diverged on the way: as if what lies beyond had never been drawn
            self._draws.state = before
            self._family.draw(np.random.Generator(self._draws), len(results), batch)
        first, self.done = self.done, self.done + len(results)
        return [Chunk(self.lanes[0], first, results)]

    def curves(self, draw: int, state: TrainerState) -> dict[str, Doubles]:
        """Return the losses of every baseline and of the network in this state, all on the same problem."""
        return {name: losses[0] for name, losses in self.curves_of([draw], state).items()}

    def curves_of(self, draws: Sequence[int], state: TrainerState) -> dict[str, Doubles]:
        """Return the same on several problems of the series: [draws, steps]."""
        if state.learner is None:
            raise ValueError("this state holds no network")
        problems = self._baselines.curve_problems(draws)
        curves = self._baselines.run(problems) | {LEARNED: self._backend.evaluate(state.learner, problems)}
        return {name: losses[:, 0].astype(np.float64) for name, losses in curves.items()}

    def state(self) -> TrainerState:
        """Return all of its state."""
        return TrainerState(self.done, dict(self._draws.state), self._learner)

    def load_state(self, state: TrainerState) -> None:
        """Become the trainer that the state was taken from."""
        if state.learner is None:
            raise ValueError("this state holds no network")
        self.done, self._learner = state.done, state.learner
        self._draws.state = cast("Any", state.draws)


class BaselineTrainer:
    """Runs the baselines only, one draw a "meta-iteration"; nothing is trained."""

    def __init__(self, preset: Preset, seed: int) -> None:
        self.lanes = tuple(Lane(seed, baseline.name) for baseline in preset.baseline)
        self._family = make_family(preset.problem, preset.run.dtype)
        self._baselines = Baselines(preset, seed)
        self._draws = np.random.PCG64(_Streams(seed).draws)
        self.done = 0

    def advance(self, n: int) -> list[Chunk]:
        """Draw n problems and run every baseline on each."""
        all_losses = self._baselines.run(self._family.draw(np.random.Generator(self._draws), n, 1))
        first, self.done = self.done, self.done + n
        return [Chunk(lane, first, _without_gradient(all_losses[lane.optimizer])) for lane in self.lanes]

    def curves(self, draw: int, state: TrainerState) -> dict[str, Doubles]:
        """Return the losses of every baseline on the same problem."""
        return {name: losses[0] for name, losses in self.curves_of([draw], state).items()}

    def curves_of(self, draws: Sequence[int], state: TrainerState) -> dict[str, Doubles]:
        """Return the same on several problems of the series: [draws, steps]."""
        curves = self._baselines.run(self._baselines.curve_problems(draws))
        return {name: losses[:, 0].astype(np.float64) for name, losses in curves.items()}

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
    return Results(losses, none, none, spoilt, none)


def make_trainer(preset: Preset, backend: Backend | None, seed: int) -> Trainer:
    """Return the trainer of one seed; ``backend`` is None for a preset that trains no network."""
    if preset.kind == "baselines":
        return BaselineTrainer(preset, seed)
    if backend is None:
        raise ValueError("meta-training needs a backend")
    return MetaTrainer(preset, backend, seed)
