"""What a run will take, estimated before anything is allocated or made: memory, and the time to its first result.

The estimate counts what is surely held at the same time, so it errs below what is used in the end. The constants were
measured on one machine: autograd held 8 to 12 numbers, and the times hold within a factor of a few.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil

import numpy as np

from l2o_engine.backends.choose import choose
from l2o_engine.backends.devices import Device, free_on
from l2o_engine.meta.experiment import Experiment
from l2o_engine.optimizers.learned.inputs.base import MOST_REMEMBERED
from l2o_engine.presets.schema import Preset
from l2o_engine.support.errors import UserError
from l2o_engine.support.memory import available_memory
from l2o_engine.support.wording import duration_in_words, size
from l2o_engine.training.evaluation import drawn_at_once
from l2o_engine.training.validating import at_once

GREATEST_CHUNK = 65_536
"""Meta-iterations of the longest chunk."""
_CHUNK_BYTES = 2**28  # that a chunk's draws, results and rows may take, unless a single meta-iteration takes more
_ROW_BYTES = 600  # of a meta-iteration as numbers and as text: columns, lines, what is reported of them
_VECTORS = 3  # the weights, and Adam's two moments
_STATES = 2  # the one that was told, and the one ahead of it
_GRAPH = 8  # numbers of a hidden unit that autograd keeps, for each layer, row and base step
_TORCH_RATE, _KERNEL_RATE = 1e9, 3e10  # multiplications and additions a second
_TORCH_STEP = 1e-3  # seconds that a base step takes however small it is
_LONG = 20.0  # seconds that one is prepared for
_NUMPY_RATE = 5e7  # coordinates a second that a baseline moves
_UNROLLS = "their unrolls"
_CPU = Device()


class TooLargeError(UserError):
    """An experiment that this machine has not the memory for. The message gives the numbers."""


@dataclass(frozen=True)
class Needs:
    """What a run takes.

    Attributes
    ----------
    memory
        For what → bytes.
    first_result
        Seconds until the first row is there.
    on_device
        Bytes of the memory of the device that unrolls, where that has its own.
    """

    memory: Mapping[str, int]
    first_result: float
    on_device: int = 0

    @property
    def patience(self) -> str:
        """How long the first row will take, in words, if that is worth saying; else an empty string."""
        worth = self.first_result >= _LONG
        return f"the first result will take {duration_in_words(self.first_result)}" if worth else ""

    @property
    def bytes(self) -> int:
        """All of the memory."""
        return sum(self.memory.values())


def admit(preset: Preset, backend: str | None = None, device: str | None = None) -> Needs:
    """Refuse what cannot be run here, before anything of it is made; return what the rest takes.

    Parameters
    ----------
    preset
        The run's.
    backend, device
        What was asked for; None for what the preset says.

    Raises
    ------
    BackendError
        If the backend that was asked for by name cannot take it, or not on this device.
    DeviceError
        If the device cannot be had.
    TooLargeError
        If there is not enough memory.
    UserError
        If data that its problem is made of is not there or cannot be read; if its problem is code that nobody has
        allowed, or that fails; if its network cannot be for this problem.
    """
    _ = preset.experiment.task.sources
    try:
        preset.experiment.check_network()
    except ValueError as error:  # of a problem that is code, nobody could know it before
        raise UserError(f"{preset.name}: {error}") from error
    name, where = "numpy", Device()
    if preset.learns:
        choice = choose(preset.experiment, backend or preset.run.backend, device or preset.run.device)
        name, where = choice.name, choice.device
    needs = needs_of(preset, name, where)
    room = free_on(where)
    if room is not None and needs.on_device > room:
        raise TooLargeError(
            f"{preset.name} would need about {size(needs.on_device)} of memory on {where}, which has {size(room)} "
            f"free: {_remedy(_UNROLLS)}"
        )
    free = available_memory()
    if free is not None and needs.bytes > free[0]:
        parts = sorted(needs.memory.items(), key=lambda part: -part[1])
        most = ", ".join(f"{size(amount)} for {what}" for what, amount in parts[:2] if amount)
        raise TooLargeError(
            f"{preset.name} would need about {size(needs.bytes)} of memory ({most}); "
            f"{free[1]} has {size(free[0])} free: {_remedy(parts[0][0])}"
        )
    return needs


def workers_for(seeds: int, *, is_parallel: bool) -> int:
    """Return how many replicates are advanced at the same time, in threads."""
    return min(seeds, os.cpu_count() or 1) if is_parallel else 1


def chunk_bytes(preset: Preset) -> int:
    """Return about how much memory a meta-iteration takes, of all replicates, in the chunk that it is of."""
    experiment, item = preset.experiment, np.dtype(preset.run.dtype).itemsize
    tasks = experiment.meta.batch if preset.learns else 1
    lanes = 1 if preset.learns else len(preset.baseline)
    # An episode that goes on over several meta-iterations is drawn once, and not for each.
    drawn = tasks * _drawn_bytes(experiment) if experiment.truncation.is_whole else 0
    losses = tasks * experiment.truncation.losses * item * lanes
    return len(preset.seeds) * (drawn + 2 * losses + _ROW_BYTES * lanes)


def longest_chunk(preset: Preset) -> int:
    """Return how many meta-iterations a chunk of a preset has at most."""
    return max(1, min(GREATEST_CHUNK, _CHUNK_BYTES // chunk_bytes(preset)))


def needs_of(preset: Preset, backend: str, device: Device = _CPU) -> Needs:
    """Return what a run of a preset takes with a backend on a device, or with "numpy" where nothing is trained."""
    experiment = preset.experiment
    draws = preset.report.baseline_draws if preset.baseline else 0
    memory = {
        "results and draws": chunk_bytes(preset),
        "what the baselines reach": _level_bytes(experiment, draws),
    }
    levels = draws * experiment.steps * experiment.task.size * len(preset.baseline) / _NUMPY_RATE
    if not preset.learns:
        return Needs(memory, levels)
    item, weights = np.dtype(experiment.dtype).itemsize, experiment.trained.layout.size
    workers = workers_for(len(preset.seeds), is_parallel=backend == "fused")
    unrolls = workers * _unroll_bytes(experiment, backend)
    # In a checkpoint, they are all written at once.
    learners = (len(preset.seeds) * _VECTORS * (_STATES + 1) + workers * (_VECTORS + 1)) * weights * item
    episodes = 0 if experiment.truncation.is_whole else len(preset.seeds) * _episode_bytes(experiment)
    unrolls = max(unrolls, workers * _validation_bytes(experiment))
    on_device = unrolls if device.has_own_memory else 0
    unrolls -= on_device
    if experiment.imitation is not None:  # which is autograd's on the CPU, whoever trains
        unrolls = max(unrolls, workers * _unroll_bytes(experiment, "torch"))
    memory |= {"the networks": learners, _UNROLLS: unrolls, "the episodes": episodes}
    return Needs(memory, levels + _iteration(preset, backend), on_device)


def work_of(preset: Preset) -> float:
    """Return how much there is to do in a run, in no unit: enough to tell long runs of a study from short ones."""
    experiment = preset.experiment
    weights = experiment.trained.layout.size if preset.learns else 1
    size = experiment.trained_on.size if experiment.trained_on.is_known else 1  # nothing of a user's is run for this
    a_step = experiment.meta.batch * size * weights
    return float(preset.run.iterations * preset.run.seeds * experiment.truncation.losses * a_step)


def _unroll_bytes(experiment: Experiment, backend: str) -> int:
    """Return what one meta-iteration holds of its unroll."""
    item, rows, steps = np.dtype(experiment.dtype).itemsize, _rows(experiment), experiment.truncation.losses
    trace = (3 + experiment.trained.inputs.width) * steps * rows * item
    if backend == "fused":
        from l2o_engine.backends.fused.spec import spec_of, workspace_bytes

        return trace + workspace_bytes(spec_of(experiment), steps)
    optimizee = experiment.meta.batch * experiment.trained_on.graph_numbers
    if backend == "coordinatewise":
        from l2o_engine.backends.coordinatewise.spec import workspace_bytes as bytes_of_rows

        return trace + bytes_of_rows(experiment) + optimizee * item
    return trace + steps * (rows * _GRAPH * experiment.trained.network.units + optimizee) * item


def _validation_bytes(experiment: Experiment) -> int:
    """Return what a validation holds: tasks, and of one step what an unroll keeps of each."""
    if experiment.validation is None:
        return 0
    item, n, task = np.dtype(experiment.dtype).itemsize, at_once(experiment), experiment.task
    drawn = task.numbers_drawn(experiment.truncation.drawn_losses(experiment.horizons[-1])) * (16 + item)
    return n * (drawn + (task.size * _GRAPH * experiment.trained.network.units + task.graph_numbers) * item)


def _drawn_bytes(experiment: Experiment) -> int:
    """Return what a task takes that is drawn in float64, then rounded."""
    losses = experiment.truncation.drawn_losses(experiment.horizons[-1])
    numbers = experiment.trained_on.numbers_drawn(losses)
    return numbers * (16 + np.dtype(experiment.dtype).itemsize)


def _episode_bytes(experiment: Experiment) -> int:
    """Return what the parallel episodes of a seed hold: their tasks, and what is carried."""
    item, learned = np.dtype(experiment.dtype).itemsize, experiment.trained
    carried = (
        _rows(experiment) * (1 + 2 * learned.network.units + MOST_REMEMBERED * len(learned.inputs.remembers)) * item
    )
    # Health is told what was carried into each state's last truncation, too.
    return experiment.meta.batch * _drawn_bytes(experiment) + (2 * _STATES + 1) * carried


def _level_bytes(experiment: Experiment, draws: int) -> int:
    at_once = min(draws, drawn_at_once(experiment.task, experiment.steps))
    item = np.dtype(experiment.dtype).itemsize
    numbers = experiment.task.numbers_drawn(experiment.steps)
    each = numbers * (16 + item) + experiment.task.size * 5 * item + experiment.steps * (2 * item + 8)
    return at_once * each + draws * 24 * len(experiment.baselines)


def _iteration(preset: Preset, backend: str) -> float:
    """Return about how many seconds one meta-iteration of all seeds takes."""
    experiment = preset.experiment
    steps = experiment.truncation.losses
    operations = 6 * experiment.trained.layout.size * _rows(experiment) * steps
    turns = ceil(len(preset.seeds) / workers_for(len(preset.seeds), is_parallel=backend == "fused"))
    a_step = 0.0 if backend == "fused" else _TORCH_STEP
    return turns * (operations / (_TORCH_RATE if backend == "torch" else _KERNEL_RATE) + steps * a_step)


def _rows(experiment: Experiment) -> int:
    return experiment.meta.batch * experiment.trained_on.size


def _remedy(largest: str) -> str:
    return {
        "the networks": "fewer seeds, or a smaller network",
        _UNROLLS: "fewer unroll.steps, a smaller meta.batch or a smaller problem",
        "what the baselines reach": "fewer report.baseline_draws",
        "results and draws": "a smaller meta.batch or a smaller problem",
        "the episodes": "fewer unroll.steps, a smaller meta.batch or a smaller problem",
    }[largest]
