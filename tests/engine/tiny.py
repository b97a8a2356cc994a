"""Experiments small enough to run hundreds of times: three hidden units, four base steps."""

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from l2o_engine.live.session import Session
from l2o_engine.meta.learner import Backend, Learner, Results
from l2o_engine.presets.files import check, override
from l2o_engine.presets.schema import Preset
from l2o_engine.records.events import Event
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.tasks.base import Task
from l2o_engine.training.trainer import MetaTrainer

Kind = TypeVar("Kind")

INPUTS = {
    "identity": 'inputs = {kind = "identity"}',
    "log": 'inputs = {kind = "log", min_log = -5.0}',
    "log with residual e^m": 'inputs = {kind = "log", min_log = -5.0, residual = "exp(min_log)"}',
    "adaptive log": 'inputs = {kind = "log", min_log = -2.0, residual = 1e-38, adaptive = true}',
    "ratio": 'inputs = {kind = "ratio"}',
    "ratio and adaptive log": 'inputs = {kind = "ratio_log", min_log = -2.0, adaptive = true}',
}
OBJECTIVES = {
    "sum": 'objective = {kind = "sum"}',
    "end": 'objective = {kind = "end"}',
    "end_log": 'objective = {kind = "end_log"}',
    "sum_log": 'objective = {kind = "sum_log", residual = 1e-38}',
}

PROBLEMS = {
    "along the axes": "problem.dims=5",
    "wrapped": 'problem = {kind = "quadratic", dims = 3, rotation = "uniform", shift = 1.0, noise = 0.1, log = 1e-3}',
    "least squares": 'problem = {kind = "least_squares", dims = 3, rows = 4, problems = 2}',
    "lasso": 'problem = {kind = "lasso", dims = 3, shift = 1.0, log = 0.1}',
    "rastrigin": 'problem = {kind = "rastrigin", dims = 2, rotation = "uniform"}',
    "mixture": """problem = {kind = "mixture", weights = [1, 2, 1, 2], of = [
        {kind = "quadratic", rotation = "uniform"}, {kind = "rastrigin", noise = 0.1, shift = 1.0},
        {kind = "lasso", dims = 1, problems = 2}, {kind = "formula", shift = 0.5,
        parameters = {b = [1, 2], w = {normal = 1.0, length = 2}},
        loss = "b*sqrt(1 + sum(i, x[i]**4)) + sin(w[0]*x[0])*exp(-x[1]**2) + w[1]"}]}""".replace("\n", ""),
}

_TABLES: dict[str, Any] = {
    "name": "tiny",
    "unroll": {"steps": 4},
    "network": {"layers": 1, "hidden": 3},
    "report": {"every": 10, "rolling_window": 5, "baseline_draws": 5},
    # Without the clock: which checkpoints there are must not depend on how fast a test runs.
    "run": {"iterations": 30, "checkpoint_every": 10, "checkpoint_seconds": 0.0, "backend": "torch"},
}


def tiny_preset(*settings: str) -> Preset:
    """Return the small meta-training experiment with settings as a user writes them after --set."""
    return override(check(_TABLES), settings)


def tiny_baselines(*settings: str) -> Preset:
    """Return a small experiment that trains no network."""
    tables = {name: table for name, table in _TABLES.items() if name != "network"}
    return override(check(tables | {"kind": "baselines"}), settings)


def draw(preset: Preset, n: int, seed: int = 0) -> Task:
    """Draw n batches of the preset's tasks."""
    experiment, generator = preset.experiment, np.random.default_rng(seed)
    return experiment.task.draw(generator, n, experiment.meta.batch, steps=experiment.steps, dtype=experiment.dtype)


def new_learner(preset: Preset, backend: Backend, seed: int = 0) -> Learner:
    """Return the learner that a run of the preset starts with."""
    learner = MetaTrainer(preset.experiment, seed, backend).state().learner
    assert learner is not None
    return learner


def arrays_of(results: Results) -> dict[str, Any]:
    """Return the arrays of the results by name, and those of the trace and the outcomes if there are any.

    But for what was carried, which is of one meta-iteration.
    """
    arrays = vars(results).copy()
    if results.trace is not None:
        arrays["trace"] = replace(results.trace, carried=None)
    parts = [vars(part) for part in (arrays.pop("trace"), arrays.pop("outcomes")) if part]
    arrays |= dict(arrays.pop("numbers")) | {name: values for part in parts for name, values in part.items()}
    return {name: values for name, values in arrays.items() if values is not None}  # a distance to no known optimum


def start(folder: Path, preset: Preset, **options: Any) -> Session:
    """Return a session on a new run."""
    return Session(DrivenRun.create(preset, folder), **options)


def run(folder: Path, preset: Preset, *, chunk: int | None = None, executor: Executor | None = None) -> list[Event]:
    """Run a preset to its end and return the session's events."""
    return list(start(folder, preset, chunk=chunk, executor=executor).events())


def resume(
    folder: Path, *, iterations: int | None = None, chunk: int | None = None, accept_changes: bool = False
) -> list[Event]:
    """Go on with a run to its end, or to a new total, and return the session's events."""
    driven = DrivenRun.take(folder, accept_changes=accept_changes)
    if iterations is not None:
        driven.set_iterations(iterations)
    return list(Session(driven, chunk=chunk).events())


def of_kind(events: Sequence[Event], kind: type[Kind]) -> list[Kind]:
    """Return the events of one kind."""
    return [event for event in events if isinstance(event, kind)]
