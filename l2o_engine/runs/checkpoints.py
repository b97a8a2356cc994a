"""Checkpoints: a run's whole state in one safetensors file, and how the newest good one is found again.

The state is saved as a tree with names (:mod:`l2o_engine.support.tree`): its arrays are tensors, a network's by the
names of its parameters; everything else (generator states, Adam's powers, adaptive numbers, how long the metrics file
was) is JSON in the file's metadata, with a digest of the whole. No pickle is ever loaded.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from l2o_engine.meta.learner import Learner
from l2o_engine.meta.meta_adam import Powers
from l2o_engine.meta.truncation import Episode
from l2o_engine.optimizers.learned.layout import Layout
from l2o_engine.support.arrays import Floats
from l2o_engine.support.files import write_atomically
from l2o_engine.support.tree import Tree, join, part, to_tree
from l2o_engine.training.trainer import TrainerState

FORMAT = 2
"""What is written. Format 1, in which min_log stood by itself, is read."""

_VECTORS = ("weights", "moment1", "moment2")
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


def write(folder: Path, checkpoint: Checkpoint, layout: Layout | None, *, keep: bool) -> Path:
    """Write a checkpoint and return its path.

    One that was asked for (``keep``) has a name of its own, so that :func:`prune` leaves it.

    Parameters
    ----------
    folder
        The run's checkpoints folder.
    checkpoint
        The state.
    layout
        Names the parts of the learners' vectors; None where nothing is learned.
    keep
        Whether it was asked for.
    """
    trees = {f"seed{seed}": _tree_of(state, layout) for seed, state in checkpoint.trainers.items()}
    tensors, trainers = part(trees)
    document = json.dumps(
        {
            "format": FORMAT,
            "iteration": checkpoint.iteration,
            "elapsed_seconds": checkpoint.elapsed_seconds,
            "metrics_bytes": checkpoint.metrics_bytes,
            "trainers": trainers,
        }
    )
    metadata = {"l2o": document, "sha256": _digest(document, tensors)}
    folder.mkdir(exist_ok=True)
    path = folder / f"{checkpoint.iteration:012d}{_KEPT if keep else ''}.safetensors"
    write_atomically(path, save(tensors, metadata))
    return path


def read(path: Path, layout: Layout | None, dtype: str) -> Checkpoint:
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
        if document["format"] not in (1, FORMAT):
            raise CheckpointError(f"{path.name} is of format {document['format']}, this version reads 1 and {FORMAT}")
        trees = (
            _trees_of_format_1(document["trainers"], tensors, layout)
            if document["format"] == 1
            else join(tensors, document["trainers"])
        )
        trainers = {int(name.removeprefix("seed")): _state_of(tree, layout) for name, tree in trees.items()}
        return Checkpoint(document["iteration"], document["elapsed_seconds"], document["metrics_bytes"], trainers)
    except (OSError, SafetensorError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path.name} cannot be read: {error}") from error


def _tree_of(state: TrainerState, layout: Layout | None) -> Tree:
    tree: Tree = to_tree(state)
    if state.learner is not None and layout is not None:
        tree["learner"] |= {name: layout.split(getattr(state.learner, name)) for name in _VECTORS}
    return tree


def _state_of(tree: Tree, layout: Layout | None) -> TrainerState:
    learner = None
    if tree["learner"] is not None:
        if layout is None:
            raise ValueError("it holds a network, and the run has none")
        vectors = {name: layout.join(tree["learner"][name]) for name in _VECTORS}
        powers = Powers(**tree["learner"]["powers"])
        learner = Learner(**tree["learner"] | vectors | {"powers": powers})
    return TrainerState(**tree | {"learner": learner, "episode": Episode(**tree["episode"])})


def _trees_of_format_1(
    trainers: Mapping[str, Any], tensors: Mapping[str, Floats], layout: Layout | None
) -> dict[str, Tree]:
    trees = {}
    for seed, trainer in trainers.items():
        learner = trainer["learner"]
        if learner is not None:
            names = layout.shapes if layout else ()
            learner |= {kind: {name: tensors[f"seed{seed}.{kind}.{name}"] for name in names} for kind in _VECTORS}
            learner["powers"] = dict(zip(Powers._fields, learner["powers"], strict=True))
            min_log = learner.pop("min_log")
            learner["numbers"] = {} if min_log is None else {"min_log": min_log}
        trees[f"seed{seed}"] = trainer | {"learner": learner, "episode": to_tree(Episode())}
    return trees


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


def _digest(document: str, tensors: Mapping[str, Floats]) -> str:
    digest = hashlib.sha256(document.encode())
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].tobytes())
    return digest.hexdigest()
