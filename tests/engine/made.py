"""Results that a test chooses, and runs that hold them, written as a session would have written them."""

import json
from collections.abc import Sequence
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from math import nan
from pathlib import Path
from typing import Any

import numpy as np

from l2o_engine.meta.learner import Results
from l2o_engine.presets.schema import Preset
from l2o_engine.records.codec import as_json
from l2o_engine.records.events import Diagnosed
from l2o_engine.records.health import Diagnosis, Vitals
from l2o_engine.records.rows import Rows
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.folder import Run, lanes_of


def made_run(
    folder: Path, preset: Preset, results: Sequence[Sequence[float]], sums: Sequence[Sequence[float]] | None = None
) -> Run:
    """Write a finished run.

    Parameters
    ----------
    folder
        Where to.
    preset
        Its preset.
    results
        For each lane, log10 of the last loss of every meta-iteration; one that is not finite is flagged as such.
    sums
        For each lane, the summed losses; 1 everywhere if not given.
    """
    lanes = lanes_of(preset)
    assert len(results) == len(lanes)
    iteration = np.concatenate([np.arange(len(values)) for values in results])
    lane = np.concatenate([np.full(len(values), place) for place, values in enumerate(results)])
    logs = np.concatenate([np.array(values, float) for values in results])
    summed = np.ones(len(logs)) if sums is None else np.concatenate([np.array(values, float) for values in sums])
    finite = np.isfinite(logs)
    nothing = np.zeros(len(logs))
    losses = np.where(finite, 10.0 ** np.where(finite, logs, 0), logs)
    order = np.lexsort((lane, iteration))
    names = preset.inputs.numbers if preset.learns else {}
    rows = Rows(
        iteration=iteration[order],
        lane=lane[order],
        end_loss=losses[order],
        sum_loss=summed[order],
        end_log10=logs[order],
        mean_log10=logs[order],
        gradient_norm=nothing,
        numbers=dict.fromkeys(names, nothing),
        non_finite=~finite[order],
    )
    driven = DrivenRun.create(preset, folder)
    driven.append_rows(rows)
    driven.update(status="finished", iteration=max(*map(len, results), 1) - 1)
    driven.close()
    return Run(folder)


def change_record(folder: Path, **changes: Any) -> None:
    """Change what a run's run.json says."""
    path = folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def ago(seconds: float) -> str:
    """Return the time so many seconds ago, as run.json gives it."""
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat(timespec="milliseconds")


def add_look(run: Run, *, iteration: int, **measured: float) -> None:
    """Record a look at a made run's first lane, which measured this and nothing else."""
    nothing: dict[str, Any] = dict.fromkeys((field.name for field in fields(Vitals)), nan)
    counts = {"iteration": iteration, "rows": iteration, "non_finite": 0, "zeros": 0, "numbers": {}, "truncated": None}
    vitals = Vitals(**(nothing | counts | measured))
    lines = as_json(Diagnosed(lanes_of(run.preset())[0], Diagnosis(vitals, "flat", (), ())))
    with run.events_path.open("a") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines)


def results_of(losses: Sequence[Sequence[float]], dtype: str = "float64") -> Results:
    """Return the results of one meta-iteration a row, each of one problem with these losses."""
    array = np.array(losses, dtype=dtype).reshape(len(losses), 1, -1)
    count = np.arange(float(len(losses)))
    return Results(array, count, count + 0.5, ~np.isfinite(array).all(axis=(1, 2)), {"min_log": -count})


def cut(results: Results, first: int, last: int) -> Results:
    """Return the results of some of the meta-iterations."""
    arrays = {
        name: values[first:last]
        for name, values in vars(results).items()
        if name not in ("trace", "numbers", "outcomes")
    }
    return Results(**arrays, numbers={name: values[first:last] for name, values in results.numbers.items()})


def some_results(seed: int, n: int, dtype: str = "float64") -> Results:
    """Return results of n meta-iterations of 4 steps, some of which are not finite and some exactly 0."""
    generator = np.random.default_rng(seed)
    losses = 10.0 ** generator.uniform(-37, 30, (n, 4))
    losses[generator.random((n, 4)) < 0.1] = np.nan
    losses[generator.random((n, 4)) < 0.1] = np.inf
    losses[generator.random((n, 4)) < 0.1] = 0
    return results_of(losses, dtype)  # type: ignore[arg-type]


def columns_of(rows: Rows) -> dict[str, Any]:
    """Return the columns of rows by name, those of the adaptive numbers among the others."""
    return {name: values for name, values in vars(rows).items() if name != "numbers"} | rows.numbers
