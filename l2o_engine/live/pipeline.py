"""The pipeline: the trainers of a run, one a seed, which compute a chunk ahead of what has been told.

How long a chunk is never changes a result; it is adapted to about 50 ms, so that a command never waits long, and
bounded so that it needs little memory.
"""

from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, replace
from functools import partial
from math import nan
from time import monotonic
from typing import TYPE_CHECKING, TypeAlias

from l2o_engine.live.preparing import awaited
from l2o_engine.live.sizes import GREATEST_CHUNK, longest_chunk, workers_for
from l2o_engine.meta.learner import Backend
from l2o_engine.optimizers.learned.exported import Exported
from l2o_engine.presets.schema import Preset
from l2o_engine.records.events import ShowDraws
from l2o_engine.support.user_code import is_stuck
from l2o_engine.training.evaluation import BaseCurves
from l2o_engine.training.trainer import Chunk, Trainer, TrainerState, make_trainer
from l2o_engine.training.validating import left

if TYPE_CHECKING:
    from l2o_engine.meta.validation import Standing

CHUNK_SECONDS = 0.05
"""How long a chunk is to take, about: a key is answered between two."""

Advance: TypeAlias = tuple[TrainerState, list[Chunk], float]
"""What one trainer did of a chunk: its state after, the chunk, seconds."""


def advance(trainer: Trainer, n: int) -> Advance:
    """Let a trainer do n meta-iterations and return its state, what it did, and how long that took.

    A plain function of plain values, so that an executor may call it in another thread, process or machine.
    """
    began = monotonic()
    chunks = trainer.advance(n)
    return trainer.state(), chunks, monotonic() - began


def curves_of(trainer: Trainer, shown: ShowDraws, state: TrainerState) -> BaseCurves:
    """Return the base chart's losses: [steps] of one problem, [draws, steps] of several."""
    curves = trainer.curves_of(range(shown.first, shown.first + shown.count), state)
    return curves.of_one() if shown.count == 1 else curves


@dataclass(frozen=True)
class _InFlight:
    """A chunk that is being computed: how long it is, and who computes for which seed."""

    n: int
    futures: dict[int, Future[Advance]]


class Pipeline:
    """Trains the replicates of a run side by side, a chunk at a time: launch one, collect it, launch the next.

    Open it before anything else, and close it when done.

    Parameters
    ----------
    executor
        Advances the replicates; None for threads of this process, as many as the backend can use.
    chunk
        Meta-iterations of a chunk, or as many as there is memory for; None to adapt to ``chunk_seconds``.
    sign_of_life
        Called every second while a chunk is waited for.
    chunk_seconds
        How long a chunk is to take, about.

    Attributes
    ----------
    states
        Seed → state after the chunk that was collected last: what has been told, and is saved. The trainers themselves
        may be a chunk ahead. Empty until the pipeline is open.
    seconds
        How long it has computed what was collected.
    """

    def __init__(
        self,
        executor: Executor | None,
        chunk: int | None,
        sign_of_life: Callable[[], None],
        *,
        chunk_seconds: float = CHUNK_SECONDS,
    ) -> None:
        self.states: dict[int, TrainerState] = {}
        self.seconds = 0.0
        self._trainers: dict[int, Trainer] = {}
        self._until_validation: Callable[[Standing], int] = lambda standing: 0
        self._beginning: Mapping[int, TrainerState] = {}
        self._executor = executor
        self._own_executor: Executor | None = None
        self._workers = 1
        self._in_flight: _InFlight | None = None
        self._fixed_chunk = chunk
        self._chunk_seconds = chunk_seconds
        self._chunk = chunk or 1
        self._longest = GREATEST_CHUNK
        self._sign_of_life = sign_of_life

    def open(self, preset: Preset, backend: Backend | None) -> None:
        """Make the trainers, as they are before the first meta-iteration; the backend is None where none is trained."""
        self._until_validation = partial(left, preset.experiment)
        self._trainers = {seed: make_trainer(preset.experiment, backend, seed) for seed in preset.seeds}
        self._take_states()
        self._beginning = self.states
        self._longest = longest_chunk(preset)
        self._chunk = min(self._chunk, self._longest)
        self._workers = len(self._trainers)  # of an executor that was given; its own business, a guess
        if self._executor is None:
            self._workers = workers_for(self._workers, is_parallel=backend is not None and backend.is_parallel)
            self._executor = self._own_executor = ThreadPoolExecutor(self._workers, "l2o-training")

    def load(self, states: Mapping[int, TrainerState] | None, start: Exported | None = None) -> None:
        """Go on from saved states, one a seed, or from the beginning: with drawn weights, or all with given ones."""
        for seed, trainer in self._trainers.items():
            state = (states or self._beginning)[seed]
            if start is not None and states is None:
                state = state.beginning_with(start.weights, start.numbers)
            trainer.load_state(state)
        self._take_states()

    def _take_states(self) -> None:
        self.states = {seed: trainer.state() for seed, trainer in self._trainers.items()}

    def close(self) -> None:
        """Let nothing go on behind the end: what is being computed is waited for and dropped.

        But where a user's code does not return, and would not be ended.
        """
        self.drop()
        if self._own_executor:
            self._own_executor.shutdown(wait=not is_stuck(), cancel_futures=True)

    def drop(self) -> None:
        """Wait for the chunk that is being computed, if there is one, and forget it; load() must come next."""
        if self._in_flight:
            for future in self._in_flight.futures.values():
                future.cancel()
            wait(self._in_flight.futures.values(), timeout=0 if is_stuck() else None)
            self._in_flight = None

    @property
    def iteration(self) -> int:
        """The last meta-iteration that every replicate which still goes on has done; -1 before the first."""
        states = self.states.values()
        going_on = [state.done for state in states if not state.is_over]
        return (min(going_on) if going_on else max((state.done for state in states), default=0)) - 1

    @property
    def diverged(self) -> list[int]:
        """The seeds that have diverged and do not go on."""
        return [seed for seed, state in self.states.items() if state.diverged]

    @property
    def stopped(self) -> list[int]:
        """The seeds whose validations have ended them."""
        return [seed for seed, state in self.states.items() if state.is_over and not state.diverged]

    @property
    def judged(self) -> tuple[int, float] | None:
        """The stage and the figure that the states are judged by; NaN between two validations, None without any.

        The stage is the earliest of all replicates', the figure the mean over them.
        """
        standings = [state.standing for state in self.states.values() if state.standing is not None]
        if not standings:
            return None
        is_fresh = all(standing.stopped or not standing.since for standing in standings)
        figure = sum(standing.figure for standing in standings) / len(standings)
        return min(standing.stage for standing in standings), figure if is_fresh else nan

    @property
    def until_validation(self) -> int:
        """How many meta-iterations there are until the next validation of a replicate; 0 where there is none."""
        standings = [state.standing for state in self.states.values() if not state.is_over]
        return min((self._until_validation(one) for one in standings if one is not None), default=0)

    @property
    def is_stuck(self) -> bool:
        """Whether no replicate goes on."""
        return all(state.is_over for state in self.states.values())

    @property
    def chunk(self) -> int:
        """How many meta-iterations the next chunk has, unless something is due before."""
        return self._chunk

    @property
    def is_ahead(self) -> bool:
        """Whether a chunk has been launched and not collected."""
        return self._in_flight is not None

    def launch(self, until: int) -> None:
        """Have the next chunk computed, which ends at this meta-iteration at the latest."""
        if self._executor is None:
            raise RuntimeError("the pipeline has not been opened")
        n = min(self._chunk, until - self.iteration)
        going_on = [seed for seed, state in self.states.items() if not state.is_over]
        futures = {seed: self._executor.submit(advance, self._trainers[seed], n) for seed in going_on}
        self._in_flight = _InFlight(n, futures)

    def collect(self) -> list[Chunk]:
        """Wait for the chunk that was launched and take over what came of it."""
        if self._in_flight is None:
            raise RuntimeError("no chunk has been launched")
        n, all_chunks, all_seconds = self._in_flight.n, [], 0.0
        for seed, future in self._in_flight.futures.items():
            state, chunks, seconds = awaited(future, self._sign_of_life)
            self._trainers[seed].load_state(state)  # it has been elsewhere, if the executor is of another process
            self.states[seed] = state
            all_chunks += chunks
            all_seconds += seconds
        taken = all_seconds / min(self._workers, len(self._in_flight.futures))
        self.seconds += taken
        self._adapt_chunk(n, taken)
        self._in_flight = None
        return all_chunks

    def _adapt_chunk(self, n: int, seconds: float) -> None:
        if self._fixed_chunk is None and 2 * n > self._chunk:  # of fewer, the time says little
            wanted = int(n * self._chunk_seconds / max(seconds, 1e-6))
            self._chunk = min(max(wanted, 1), 2 * self._chunk, self._longest)

    def give_up(self, seeds: Iterable[int]) -> None:
        """Let the replicates of these seeds go on no further, as if they were beyond their policy."""
        for seed in seeds:
            state = self.states[seed]
            if state.learner is not None:
                self.states[seed] = replace(state, learner=replace(state.learner, diverged=True))
                self._trainers[seed].load_state(self.states[seed])

    def base_losses(self, seed: int, shown: ShowDraws) -> Callable[[], BaseCurves]:
        """Return what makes the base chart's losses by optimizer, of a replicate's network as it was told last.

        It may be called in another thread.
        """
        return partial(curves_of, self._trainers[seed], shown, self.states[seed])
