"""Checkpoints: a run's whole state in one safetensors file, and how the newest good one is found again.

The tensors are named as the network names its parameters; everything else (generator states, Adam's powers, min_log,
how long the metrics file was) is JSON in the file's metadata, with a digest of the whole. No pickle is ever loaded.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import isnan, nan
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from l2o_engine.meta.adam import Powers
from l2o_engine.meta.learner import Learner
from l2o_engine.optimizers.learned.lstm import Network
from l2o_engine.support.arrays import Floats
from l2o_engine.support.files import write_atomically
from l2o_engine.training.trainer import TrainerState

FORMAT = 1
_KEPT = "-kept"


class CheckpointError(Exception):
    """A checkpoint file that is damaged, or not one of ours."""


@dataclass(frozen=True)
class Checkpoint:
    """The state of a run.

    Attributes
    ----------
    iteration
        The last meta-iteration done, -1 before the first.
    elapsed_seconds
        How long the run has trained.
    metrics_bytes
        How long ``metrics.csv`` was.
    trainers
        Seed → state.
    """

    iteration: int
    elapsed_seconds: float
    metrics_bytes: int
    trainers: Mapping[int, TrainerState]


def write(folder: Path, checkpoint: Checkpoint, network: Network, *, keep: bool) -> Path:
    """Write a checkpoint and return its path.

    One that was asked for (``keep``) has a name of its own, so that :func:`prune` leaves it.
    """
    tensors: dict[str, Floats] = {}
    states: dict[str, Any] = {}
    for seed, state in checkpoint.trainers.items():
        states[str(seed)] = {"done": state.done, "draws": state.draws, "learner": None}
        if state.learner is not None:
            learner = state.learner
            states[str(seed)]["learner"] = {
                "powers": list(learner.powers),
                "min_log": None if isnan(learner.min_log) else learner.min_log,
                "non_finite_in_a_row": learner.non_finite_in_a_row,
                "diverged": learner.diverged,
            }
            for kind in ("weights", "moment1", "moment2"):
                for name, values in network.split(getattr(learner, kind)).items():
                    tensors[f"seed{seed}.{kind}.{name}"] = np.ascontiguousarray(values)
    document = json.dumps(
        {
            "format": FORMAT,
            "iteration": checkpoint.iteration,
            "elapsed_seconds": checkpoint.elapsed_seconds,
            "metrics_bytes": checkpoint.metrics_bytes,
            "trainers": states,
        }
    )
    metadata = {"l2o": document, "sha256": _digest(document, tensors)}
    folder.mkdir(exist_ok=True)
    path = folder / f"{checkpoint.iteration:012d}{_KEPT if keep else ''}.safetensors"
    write_atomically(path, save(tensors, metadata))
    return path


def read(path: Path, network: Network, dtype: str) -> Checkpoint:
    """Read a checkpoint back.

    Raises
    ------
    CheckpointError
        If the file is damaged, of another format, of another network or of another dtype.
    """
    try:
        with safe_open(path, framework="np") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        if metadata["sha256"] != _digest(metadata["l2o"], tensors):
            raise CheckpointError(f"{path.name} is damaged: its digest does not fit")
        if any(values.dtype != dtype for values in tensors.values()):
            raise CheckpointError(f"{path.name} holds other numbers than {dtype}")
        document = json.loads(metadata["l2o"])
        if document["format"] != FORMAT:
            raise CheckpointError(f"{path.name} is of format {document['format']}, this version reads {FORMAT}")
        trainers = {
            int(seed): TrainerState(state["done"], state["draws"], _learner(state["learner"], seed, tensors, network))
            for seed, state in document["trainers"].items()
        }
        return Checkpoint(document["iteration"], document["elapsed_seconds"], document["metrics_bytes"], trainers)
    except (OSError, SafetensorError, KeyError, ValueError, TypeError) as error:
        raise CheckpointError(f"{path.name} cannot be read: {error}") from error


def newest_first(folder: Path) -> list[Path]:
    """Return the checkpoint files of a folder, the newest first."""
    return sorted(folder.glob("*.safetensors"), key=iteration_of, reverse=True)


def iteration_of(path: Path) -> int:
    """Return the iteration that a checkpoint's name gives, -2 for a file that is not named like one."""
    number = path.stem.removesuffix(_KEPT)
    try:
        return int(number)
    except ValueError:
        return -2


def is_kept(path: Path) -> bool:
    """Return whether the checkpoint was asked for."""
    return path.stem.endswith(_KEPT)


def prune(folder: Path, keep: int) -> None:
    """Remove all but the newest few checkpoints and those that were asked for."""
    for path in [path for path in newest_first(folder) if not is_kept(path)][keep:]:
        path.unlink(missing_ok=True)


def _learner(
    document: dict[str, Any] | None, seed: str, tensors: Mapping[str, Floats], network: Network
) -> Learner | None:
    if document is None:
        return None
    vectors = {
        kind: network.join({name: tensors[f"seed{seed}.{kind}.{name}"] for name in network.shapes})
        for kind in ("weights", "moment1", "moment2")
    }
    return Learner(
        **vectors,
        powers=Powers(*document["powers"]),
        min_log=nan if document["min_log"] is None else document["min_log"],
        non_finite_in_a_row=document["non_finite_in_a_row"],
        diverged=document["diverged"],
    )


def _digest(document: str, tensors: Mapping[str, Floats]) -> str:
    digest = hashlib.sha256(document.encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].tobytes())
    return digest.hexdigest()
