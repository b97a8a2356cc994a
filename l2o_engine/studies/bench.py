"""Measuring meta-iterations per second, of several contestants in turn, so that their ratios mean something.

Absolute rates say little on a shared machine. Every contestant gets the same number of turns, the turns alternate, and
the median of a contestant's turns is its rate.
"""

import importlib.util
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any

from l2o_engine.backends.choose import choose
from l2o_engine.meta.learner import Backend
from l2o_engine.presets.files import override
from l2o_engine.presets.messages import PresetError
from l2o_engine.presets.schema import Preset
from l2o_engine.records.health import Diagnostician
from l2o_engine.records.rows import rows_of
from l2o_engine.training.trainer import MetaTrainer

ROUNDS = 5
SCALES = {
    "dims": ("problem.dims", (1, 2, 4, 8, 16)),
    "steps": ("unroll.steps", (10, 20, 50, 100)),
    "hidden": ("network.hidden", (10, 20, 32, 64)),
    "layers": ("network.layers", (1, 2, 3)),
    "batch": ("meta.batch", (1, 4, 16)),
    "seeds": ("run.seeds", (1, 2, 4)),
}


@dataclass(frozen=True)
class Contestant:
    """Something that does meta-iterations: ``advance(n)`` does about n of them and returns how many, over all seeds."""

    name: str
    advance: Callable[[int], int]


@dataclass(frozen=True)
class Rate:
    """Seed-iterations per second: the median over the turns, and their range."""

    name: str
    median: float
    least: float
    greatest: float


def measure(contestants: Sequence[Contestant], seconds: float) -> list[Rate]:
    """Let the contestants take turns for about so many seconds each, after a turn that does not count."""
    turn = seconds / ROUNDS
    counts = [_calibrate(contestant, turn) for contestant in contestants]
    rates: list[list[float]] = [[] for _ in contestants]
    for _ in range(ROUNDS):
        for contestant, n, found in zip(contestants, counts, rates, strict=True):
            began = perf_counter()
            done = contestant.advance(n)
            found.append(done / (perf_counter() - began))
    return [Rate(c.name, median(found), min(found), max(found)) for c, found in zip(contestants, rates, strict=True)]


def _calibrate(contestant: Contestant, turn: float) -> int:
    """Return how many meta-iterations fill a turn."""
    if not contestant.advance(1):  # whatever is done once
        raise PresetError(f"{contestant.name} does nothing here: the preset diverges at once")
    n = 1
    while True:
        began = perf_counter()
        done = contestant.advance(n)
        took = perf_counter() - began
        if done < n:
            raise PresetError(f"{contestant.name} diverges on this preset: there is nothing to measure")
        if took > turn / 4:
            return max(1, round(n * turn / took))
        n *= 4


def backend_contestant(preset: Preset, name: str) -> Contestant:
    """Return a backend on a preset, all of its replicates side by side.

    Raises
    ------
    BackendError
        If the backend cannot take the preset.
    """
    return _side_by_side(name, preset, choose(preset.experiment, name).load()[0])


def _side_by_side(name: str, preset: Preset, backend: Backend) -> Contestant:
    trainers = [MetaTrainer(preset.experiment, seed, backend) for seed in preset.seeds]
    pool = ThreadPoolExecutor(min(len(trainers), os.cpu_count() or 1))

    def advance(n: int) -> int:
        all_chunks = pool.map(lambda trainer: trainer.advance(n), trainers)
        return sum(len(chunk.results) for chunks in all_chunks for chunk in chunks)

    return Contestant(name, advance)


def health_cost(preset: Preset, seconds: float) -> float:
    """Return which share of the kernel's time looking at a run's health takes, a report interval at a time.

    Of CPU time, and the median over pairs of turns, with looks and without: so that other processes do not count.
    """
    backend = choose(preset.experiment, "fused").load()[0]
    trainer = MetaTrainer(preset.experiment, preset.run.seed, backend)
    diagnostician = Diagnostician(preset.experiment, preset.report.every)

    def turn(*, looks: bool) -> float:
        began = process_time()
        (chunk,) = trainer.advance(preset.report.every)
        rows = rows_of([chunk], trainer.lanes)
        learner = trainer.state().learner
        if looks and learner is not None and len(rows):
            diagnostician.add(rows, chunk.results)
            diagnostician.look(learner)
        return process_time() - began

    turn(looks=True)  # whatever is done once
    costs: list[float] = []
    until = perf_counter() + seconds
    while perf_counter() < until or not costs:
        without, with_looks = turn(looks=False), turn(looks=True)
        costs.append(with_looks / without - 1)
    return median(costs)


def peer_contestant(preset: Preset) -> tuple[Contestant | None, str]:
    """Return the JAX peer, checked first, or None and why it is not there."""
    if importlib.util.find_spec("jax") is None:
        return None, "JAX is not installed (the extra: pip install 'l2o-tui[peers]')"
    spec = importlib.util.spec_from_file_location("l2o_jax_peer", _benchmarks_folder() / "jax_peer.py")
    if spec is None or spec.loader is None:
        return None, "benchmarks/jax_peer.py is not there"
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    why_not = module.why_not(preset)
    if why_not:
        return None, why_not
    error = module.check()
    return Contestant("jax", module.make_advance(preset)), f"jax meets the golden values to {error:.0e}"


def _benchmarks_folder() -> Path:
    inside = Path(__file__).parent / "benchmarks"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "benchmarks"


def scaling(preset: Preset, seconds: float) -> Iterator[tuple[str, int, Rate]]:
    """Yield the kernel's rate as one size of the experiment varies: (what, value, rate)."""
    for what, (setting, values) in SCALES.items():
        contestants = [backend_contestant(override(preset, [f"{setting}={value}"]), "fused") for value in values]
        for value, rate in zip(values, measure(contestants, seconds), strict=True):
            yield what, value, rate
