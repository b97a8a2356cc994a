"""Measuring meta-iterations per second, of several contestants in turn, so that their ratios mean something.

Absolute rates say little on a shared machine. Every contestant gets the same number of turns, the turns alternate, and
the median of a contestant's turns is its rate.
"""

import importlib.util
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any, TypeAlias

from l2o_engine.backends.choose import BackendError, choose
from l2o_engine.meta.learner import Backend
from l2o_engine.presets.files import override
from l2o_engine.presets.messages import PresetError
from l2o_engine.presets.schema import Preset
from l2o_engine.records.health import Diagnostician
from l2o_engine.records.rows import rows_of
from l2o_engine.training.trainer import MetaTrainer

ROUNDS = 5
Scales: TypeAlias = Mapping[str, tuple[str, Sequence[Any]]]
SCALES: Mapping[str, Scales] = {
    "fused": {
        "dims": ("problem.dims", (1, 2, 4, 8, 16)),
        "steps": ("unroll.steps", (10, 20, 50, 100)),
        "hidden": ("network.hidden", (10, 20, 32, 64)),
        "layers": ("network.layers", (1, 2, 3)),
        "batch": ("meta.batch", (1, 4, 16)),
        "seeds": ("run.seeds", (1, 2, 4)),
    },
    # Of dm_mnist: 805, 3,985, 15,910, 50,095 and 100,180 coordinates.
    "coordinatewise": {
        "units": ("problem.sizes", ([1], [5], [20], [63], [126])),
        "truncation": ("unroll.truncation", (5, 10, 20, 50)),
        "hidden": ("network.hidden", (10, 20, 32, 64)),
        "layers": ("network.layers", (1, 2, 3)),
        "batch": ("meta.batch", (1, 4)),
    },
}
"""Backend → what is varied of an experiment → the setting, and its values."""
_PEERS = ("jax_peer", "jax_truncated")
_SIDE = 1024  # rows and columns of the matrices that the machine's own rate is measured with


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


def torch_contestant(preset: Preset, threads: int) -> Contestant:
    """Return the reference, whose matrix products take so many threads."""
    reference = backend_contestant(override(preset, [f"run.torch_threads={threads}"]), "torch")
    return replace(reference, name=f"torch, {threads} threads")


def backend_contestants(preset: Preset) -> tuple[list[Contestant], list[str]]:
    """Return the backends that can take a preset, the slowest first, and why the others cannot.

    Where the kernel for small problems cannot, the reference comes with as many threads as there are cores, too.
    """
    found, refused = [], []
    for name in ("torch", "coordinatewise", "fused"):
        try:
            found.append(backend_contestant(preset, name))
        except BackendError as error:
            refused.append(str(error))
    cores = os.cpu_count() or 1
    if found[-1].name != "fused" and cores > 1:
        found.insert(1, torch_contestant(preset, cores))
    return found, refused


def flops_of(preset: Preset) -> float:
    """Return about how many multiplications and additions a meta-iteration's matrix products are.

    The network's, with every step of a coordinate computed twice (forward, and again on the way back), its derivatives
    by what it saw before once, and those by its weights once; first order.
    """
    experiment = preset.experiment
    layout, rows = experiment.trained.layout, experiment.meta.batch * experiment.trained_on.size
    products = sum(shape[0] * shape[1] for shape in layout.shapes.values() if len(shape) == 2)
    return 2.0 * 4 * products * rows * (experiment.truncation.losses - 1)


def product_contestant() -> Contestant:
    """Return the machine's own matrix product in float32, on all cores: ``advance(n)`` does n of 1024³."""
    from l2o_engine.backends.course import matrix_product

    product = matrix_product(_SIDE, os.cpu_count() or 1)

    def advance(n: int) -> int:
        for _ in range(n):
            product()
        return n

    return Contestant("sgemm 1024", advance)


def share_of_product(preset: Preset, rate: float, products: float) -> float:
    """Return which share of the machine's own rate a rate of meta-iterations is, by products of 1024³ a second."""
    return rate * flops_of(preset) / (products * 2.0 * _SIDE**3)


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
    """Return the JAX peer that knows a preset, checked first, or None and why there is none."""
    if importlib.util.find_spec("jax") is None:
        return None, "JAX is not installed (the extra: pip install 'l2o-tui[peers]')"
    reasons = []
    for name in _PEERS:
        spec = importlib.util.spec_from_file_location(f"l2o_{name}", _benchmarks_folder() / f"{name}.py")
        if spec is None or spec.loader is None:
            return None, f"benchmarks/{name}.py is not there"
        module: Any = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        if why_not := module.why_not(preset):
            reasons.append(why_not)
            continue
        error = module.check()
        return Contestant("jax", module.make_advance(preset)), f"jax meets the golden values to {error:.0e}"
    return None, "; ".join(reasons)


def _benchmarks_folder() -> Path:
    inside = Path(__file__).parent / "benchmarks"
    return inside if inside.is_dir() else Path(__file__).parents[2] / "benchmarks"


def scaling(preset: Preset, backend: str, seconds: float) -> Iterator[tuple[str, Any, Rate]]:
    """Yield a backend's rate as one size of the experiment varies: (what, value, rate)."""
    for what, (setting, values) in SCALES[backend].items():
        contestants = [backend_contestant(override(preset, [f"{setting}={value}"]), backend) for value in values]
        for value, rate in zip(values, measure(contestants, seconds), strict=True):
            yield what, value, rate
