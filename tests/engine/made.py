"""Runs whose results a test chooses, written as a session would have written them."""

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from l2o_engine.presets.schema import Preset
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
    columns: list[Any] = [iteration, lane, losses, summed, logs, logs, nothing, nothing, ~finite]
    driven = DrivenRun.create(preset, folder)
    driven.append_rows(Rows(*(column[order] for column in columns)))
    driven.update(status="finished", iteration=max(len(values) for values in results) - 1)
    driven.close()
    return Run(folder)


def change_record(folder: Path, **changes: Any) -> None:
    """Change what a run's run.json says."""
    path = folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def ago(seconds: float) -> str:
    """Return the time so many seconds ago, as run.json gives it."""
    return (datetime.now(UTC) - timedelta(seconds=seconds)).isoformat(timespec="milliseconds")
