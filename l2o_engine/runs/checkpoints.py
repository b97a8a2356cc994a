"""Checkpoints: a run's whole state in one safetensors file, and how the newest good one is found again.

The state is saved as a tree with names (:mod:`l2o_engine.support.tree`): its arrays are tensors, a network's by the
names of its parameters; everything else (generator states, Adam's powers, adaptive numbers, how long the metrics file
was) is JSON in the file's metadata, with a digest of the whole. No pickle is ever loaded.

What a checkpoint is kept for is in its name (:class:`Kind`), so rotation needs to know nothing else.
"""

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from safetensors import SafetensorError
from safetensors.numpy import load, save

from l2o_engine.meta.experiment import Experiment
from l2o_engine.meta.imitation import Moments
from l2o_engine.meta.learner import Learner
from l2o_engine.meta.meta_adam import Powers
from l2o_engine.meta.truncation import Episode, Outcome
from l2o_engine.meta.validation import Standing
from l2o_engine.optimizers.learned.inputs.base import MOST_REMEMBERED
from l2o_engine.optimizers.learned.layout import Layout
from l2o_engine.support.arrays import Floats
from l2o_engine.support.files import make_folder, names_in, open_to_read, remove, rename, write_atomically
from l2o_engine.support.tensor_file import digest_of, header_of
from l2o_engine.support.tree import Tree, join, part, to_tree
from l2o_engine.training.episodes import check_episodes
from l2o_engine.training.trainer import TrainerState

FORMAT = 3
"""What is written. Formats 1, in which min_log stood by itself, and 2, without half-done episodes, are read."""

_MOMENTS = ("moment1", "moment2")
_VECTORS = ("weights", *_MOMENTS)
_MOST_VECTORS = len(_VECTORS) + 1 + len(_MOMENTS)  # with the best weights of a validation, and an imitation's
_MOST_SEEDS = 1024
# Bytes beside the numbers, at most: in all, a seed's (its generator, its counts), a tensor's (name, shape, place).
_ALL_BESIDE, _SEED_BESIDE, _TENSOR_BESIDE = 65_536, 4_096, 512
_MOST_COORDINATES = 1_000_000  # of a problem that is code, which is not run to read what was saved
_PIECE = 2**20  # bytes that are read at once of what need not be held


class Kind(StrEnum):
    """What a checkpoint is kept for: the end of its name.

    Of the regular ones the newest few are kept, of those whose results were not finite too: so these never rotate the
    last finite one out. The best, by the report's figure, stays until there is a better one and is regular then. One
    that was asked for stays for ever. The latest, written between two regular ones, until the next of any kind.
    """

    REGULAR = ""
    NON_FINITE = "-nonfinite"
    BEST = "-best"
    KEPT = "-kept"
    LATEST = "-latest"


_NAME = re.compile(rf"(?P<iteration>[0-9]{{12,13}})(?P<kind>{'|'.join(Kind)})\.safetensors")
_TEMPORARY = re.compile(rf"\.{_NAME.pattern}\.[0-9]+\.tmp")


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
    metrics_sha256
        Its SHA-256 then; None where it was not known, as in checkpoints of an older version.
    settings
        "table.key" → value of what is trained, see :func:`~l2o_engine.presets.identity.resumed_settings`; None in those
        of an older version.
    average_log_result
        The report's figure, or that of a validation, over all seeds, where it was the best so far.
    stage
        The stage of a curriculum that this figure is of.
    """

    iteration: int
    elapsed_seconds: float
    metrics_bytes: int
    trainers: Mapping[int, TrainerState]
    metrics_sha256: str | None = None
    settings: Mapping[str, Any] | None = None
    average_log_result: float | None = None
    stage: int = 0


def write(folder: Path, checkpoint: Checkpoint, layout: Layout | None, kind: Kind = Kind.REGULAR) -> Path:
    """Write a checkpoint and return its path.

    Parameters
    ----------
    folder
        The run's checkpoints folder.
    checkpoint
        The state.
    layout
        Names the parts of the learners' vectors; None where nothing is learned.
    kind
        What it is kept for.
    """
    trees = {f"seed{seed}": _tree_of(state, layout) for seed, state in checkpoint.trainers.items()}
    tensors, trainers = part(trees)
    document = json.dumps(
        {
            "format": FORMAT,
            "iteration": checkpoint.iteration,
            "elapsed_seconds": checkpoint.elapsed_seconds,
            "metrics_bytes": checkpoint.metrics_bytes,
            "metrics_sha256": checkpoint.metrics_sha256,
            "trainers": trainers,
            "settings": checkpoint.settings,
            "average_log_result": checkpoint.average_log_result,
            "stage": checkpoint.stage,
        }
    )
    metadata = {"l2o": document, "sha256": digest_of(document, tensors)}
    path, content = folder / _named(checkpoint.iteration, kind), save(tensors, metadata)
    try:
        write_atomically(path, content, folder.parent)
    except FileNotFoundError:  # somebody has removed the folder
        make_folder(folder, folder.parent)
        write_atomically(path, content, folder.parent)
    return path


def read(path: Path, experiment: Experiment, seeds: int = _MOST_SEEDS) -> Checkpoint:
    """Read a checkpoint back.

    Parameters
    ----------
    path
        The file, in a run's checkpoints folder.
    experiment
        What it is of.
    seeds
        How many replicates it may hold. A file that is larger than theirs can be is not read at all.

    Raises
    ------
    CheckpointError
        If the file is damaged, of another format, or of another experiment: network, adaptive numbers, dtype.
    """
    try:
        content = _read_bounded(path, _most_bytes(experiment, seeds))
        tensors, metadata = load(content), header_of(content).metadata
        if metadata["sha256"] != digest_of(metadata["l2o"], tensors):
            raise CheckpointError(f"{path.name} is damaged: its digest does not fit")
        if any(values.dtype != experiment.dtype for values in tensors.values()):
            raise CheckpointError(f"{path.name} holds other numbers than {experiment.dtype}")
        document = json.loads(metadata["l2o"])
        if document["format"] not in (1, 2, FORMAT):
            raise CheckpointError(f"{path.name} is of format {document['format']}, this version reads 1 to {FORMAT}")
        head = Head.model_validate(document)
        trees = (
            _trees_of_format_1(head.trainers, tensors, experiment.layout)
            if document["format"] == 1
            else join(tensors, head.trainers)
        )
        if document["format"] < FORMAT:
            trees = {name: _without_episode(tree) for name, tree in trees.items()}
        trainers = {int(name.removeprefix("seed")): _state_of(tree, experiment) for name, tree in trees.items()}
        return Checkpoint(
            head.iteration,
            head.elapsed_seconds,
            head.metrics_bytes,
            trainers,
            head.metrics_sha256,
            head.settings,
            head.average_log_result,
            head.stage,
        )
    except OSError as error:
        raise CheckpointError(f"{path.name} cannot be read: {error.strerror or error}") from error
    except (SafetensorError, KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path.name} cannot be read: {error}") from error


def head_of(path: Path) -> "Head":
    """Return what a checkpoint says of itself, without its state; that it is not damaged is not checked.

    Raises
    ------
    CheckpointError
        If the file cannot be read, or claims a header that is longer than one can be.
    """
    try:
        with open_to_read(path, path.parents[1]) as file:
            return Head.model_validate_json(header_of(file).metadata["l2o"])
    except OSError as error:
        raise CheckpointError(f"{path.name} cannot be read: {error.strerror or error}") from error
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(f"{path.name} cannot be read: {error}") from error


def is_whole(path: Path) -> bool:
    """Return whether a checkpoint is as it was written, whatever experiment it is of.

    It is read piece by piece, for nothing says yet how large it may be: no more is held than a header can be.
    """
    try:
        with open_to_read(path, path.parents[1]) as file:
            header = header_of(file)
            tensors, metadata = header.tensors, header.metadata
            if sum(place.bytes for place in tensors.values()) != file.seek(0, os.SEEK_END) - header.end:
                return False  # pieces that overlap could be read for ever
            digest = hashlib.sha256(metadata["l2o"].encode())
            for name in sorted(tensors):
                left = tensors[name].bytes
                digest.update(name.encode())
                file.seek(header.end + tensors[name].first)
                while left and (piece := file.read(min(left, _PIECE))):
                    digest.update(piece)
                    left -= len(piece)
            return digest.hexdigest() == metadata["sha256"]
    except (OSError, KeyError, ValueError, TypeError, AttributeError, RecursionError):
        return False


def _most_bytes(experiment: Experiment, seeds: int) -> int:
    """Return how large a checkpoint of an experiment with so many replicates is at most."""
    layout = experiment.layout
    size, tensors = (layout.size, len(layout.shapes)) if layout else (0, 0)
    a_seed = _MOST_VECTORS * (8 * size + tensors * _TENSOR_BESIDE) + _SEED_BESIDE
    if experiment.learned is not None and not experiment.truncation.is_whole:
        family = experiment.trained_on
        learned, coordinates = experiment.learned, family.size if family.is_known else _MOST_COORDINATES
        numbers = 1 + 2 * learned.network.units + MOST_REMEMBERED * len(learned.inputs.remembers)
        a_seed += experiment.meta.batch * (8 * coordinates * numbers + (tensors + 8) * _TENSOR_BESIDE + _SEED_BESIDE)
    return _ALL_BESIDE + seeds * a_seed


def _read_bounded(path: Path, most: int) -> bytes:
    with open_to_read(path, path.parents[1]) as file:
        size = os.fstat(file.fileno()).st_size
        if size > most:
            raise CheckpointError(f"{path.name} has {size:,} bytes; one of this run has {most:,} at most")
        return file.read(most)


class _Part(BaseModel):
    """A part of what a checkpoint says in JSON: checked, for whoever wrote it."""

    model_config = ConfigDict(strict=True, extra="forbid")


class Head(BaseModel):
    """What a checkpoint says of itself, beside the state."""

    model_config = ConfigDict(strict=True, extra="ignore")
    iteration: int = Field(ge=-1)
    elapsed_seconds: float = Field(ge=0, allow_inf_nan=False)
    metrics_bytes: int = Field(ge=0)
    metrics_sha256: str | None = None
    trainers: dict[str, Any]
    settings: dict[str, Any] | None = None
    average_log_result: float | None = Field(None, allow_inf_nan=False)
    stage: int = Field(0, ge=0)


class _GeneratorState(_Part):
    state: int = Field(ge=0, lt=2**128)
    inc: int = Field(ge=0, lt=2**128)


class _Draws(_Part):
    bit_generator: Literal["PCG64"]
    state: _GeneratorState
    has_uint32: Literal[0, 1]
    uinteger: int = Field(ge=0, lt=2**32)


class _Nothing(_Part):
    """Of an episode that has not begun."""


class _Powers(_Part):
    beta1: float
    beta2: float


class _Learner(_Part):
    weights: dict[str, Any]
    moment1: dict[str, Any]
    moment2: dict[str, Any]
    powers: _Powers
    numbers: dict[str, float]
    non_finite_in_a_row: int = Field(ge=0)
    diverged: bool


class _Outcome(_Part):
    end_loss: float
    sum_loss: float
    end_log10: float
    mean_log10: float


class _Episode(_Part):
    step: int = Field(ge=0)
    length: int = Field(ge=0)
    draws: _Draws | _Nothing
    carried: dict[str, Any]
    sum_loss: float
    sum_log10: float
    before: _Outcome | None


class _Standing(_Part):
    stage: int = Field(ge=0)
    since: int = Field(ge=0)
    validations: int = Field(ge=0)
    better: int = Field(ge=0)
    in_vain: int = Field(ge=0)
    figure: float
    best: float
    weights: dict[str, Any]
    numbers: dict[str, float]
    stopped: bool


class _Moments(_Part):
    moment1: dict[str, Any]
    moment2: dict[str, Any]
    powers: _Powers


class _State(_Part):
    done: int = Field(ge=0)
    draws: _Draws
    learner: _Learner | None
    episodes: dict[str, _Episode]
    standing: _Standing | None = None
    moments: _Moments | None = None


def _tree_of(state: TrainerState, layout: Layout | None) -> Tree:
    tree: Tree = to_tree(state)
    if state.learner is not None and layout is not None:
        tree["learner"] |= {name: layout.split(getattr(state.learner, name)) for name in _VECTORS}
    if state.standing is not None and layout is not None:
        best = state.standing.weights
        tree["standing"]["weights"] = layout.split(best) if best.size else {}
    if state.moments is not None and layout is not None:
        tree["moments"] |= {name: layout.split(getattr(state.moments, name)) for name in _MOMENTS}
    return tree


def _state_of(tree: Tree, experiment: Experiment) -> TrainerState:
    _State.model_validate(tree)
    if (tree["learner"] is None) != (experiment.learned is None):
        raise ValueError("it holds a network and the run trains none, or the other way round")
    learner = None
    if experiment.learned is not None:
        found, layout = tree["learner"], experiment.learned.layout
        if set(found["numbers"]) != set(experiment.learned.inputs.numbers):
            raise ValueError("it is of other inputs")
        vectors = {name: layout.join(found[name]) for name in _VECTORS}
        learner = Learner(**found | vectors | {"powers": Powers(**found["powers"])})
    episodes = {name: _episode_of(one) for name, one in tree["episodes"].items()}
    check_episodes(experiment, episodes)
    standing = _standing_of(tree.get("standing"), experiment)
    moments = _moments_of(tree.get("moments"), experiment)
    return TrainerState(tree["done"], tree["draws"], learner, episodes, standing, moments)


def _moments_of(tree: Tree | None, experiment: Experiment) -> Moments | None:
    layout = experiment.layout
    if tree is None or layout is None:
        return None
    vectors = {name: layout.join(tree[name]) for name in _MOMENTS}
    return Moments(**vectors, powers=Powers(**tree["powers"]))


def _episode_of(tree: Tree) -> Episode:
    before = tree["before"]
    return Episode(**tree | {"before": None if before is None else Outcome(**before)})


def _without_episode(tree: Tree) -> Tree:
    """Return a state as this version has it, of one of format 2, whose episodes were all at their beginning."""
    return {name: part for name, part in tree.items() if name != "episode"} | {"episodes": {}}


def _standing_of(tree: Tree | None, experiment: Experiment) -> Standing | None:
    layout = experiment.layout
    if tree is None or layout is None:
        return None
    if tree["stage"] >= len(experiment.horizons):
        raise ValueError("it is of a stage that the curriculum does not have")
    if tree["weights"] and set(tree["numbers"]) != set(experiment.trained.inputs.numbers):
        raise ValueError("it is of other inputs")
    weights = layout.join(tree["weights"]) if tree["weights"] else np.zeros(0, experiment.dtype)
    return Standing(**tree | {"weights": weights})


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
        trees[f"seed{seed}"] = trainer | {"learner": learner}
    return trees


def newest_first(folder: Path) -> list[Path]:
    """Return the checkpoint files of a folder, the newest first, by their names; none of a folder that is a link."""
    paths = [folder / name for name in _names_in(folder) if _NAME.fullmatch(name)]
    return sorted(paths, key=_age, reverse=True)


def _age(path: Path) -> tuple[int, bool, str]:
    return iteration_of(path), kind_of(path) is not Kind.LATEST, path.name


def foreign_in(folder: Path) -> list[str]:
    """Return the names in a checkpoints folder that are none of ours, sorted."""
    return sorted(name for name in _names_in(folder) if not (_NAME.fullmatch(name) or _TEMPORARY.fullmatch(name)))


def iteration_of(path: Path) -> int:
    """Return the iteration that a checkpoint's name gives, -2 for a file that is not named like one."""
    found = _NAME.fullmatch(path.name)
    return int(found["iteration"]) if found else -2


def kind_of(path: Path) -> Kind | None:
    """Return what a checkpoint is kept for, by its name; None for a file that is not named like one."""
    found = _NAME.fullmatch(path.name)
    return Kind(found["kind"]) if found else None


def _named(iteration: int, kind: Kind) -> str:
    return f"{iteration:012d}{kind}.safetensors"


def prune(folder: Path, keep: int, newest: int) -> None:
    """Remove the checkpoints that are kept no longer; see :class:`Kind`.

    Parameters
    ----------
    folder
        The run's checkpoints folder.
    keep
        How many of the newest regular ones are kept, and of those whose results were not finite.
    newest
        The meta-iteration of the newest good one. What lies beyond it could not be gone on from, and is left as it is
        until the run has come so far again: it must not rotate good ones out.
    """
    there = [path for path in newest_first(folder) if iteration_of(path) <= newest]
    of_kind = {kind: [path for path in there if kind_of(path) is kind] for kind in Kind}
    regular, lost = of_kind[Kind.REGULAR], of_kind[Kind.NON_FINITE]
    healthy = max(map(iteration_of, regular + of_kind[Kind.BEST]), default=-1)
    outdated = [path for path in lost if iteration_of(path) < healthy]
    interim = [path for path in of_kind[Kind.LATEST] if path != there[0]]
    for path in {*regular[keep:], *lost[keep:], *outdated, *interim}:
        remove(path, folder.parent)


def retire_best(folder: Path, best: Path) -> None:
    """Let the best ones of before, but this one, be regular ones from now on."""
    for path in newest_first(folder):
        if kind_of(path) is Kind.BEST and iteration_of(path) < iteration_of(best):
            rename(path, _named(iteration_of(path), Kind.REGULAR), folder.parent)


def remove_temporaries(folder: Path) -> None:
    """Remove what a killed process was writing."""
    for name in filter(_TEMPORARY.fullmatch, _names_in(folder)):
        remove(folder / name, folder.parent)


def _names_in(folder: Path) -> list[str]:
    try:
        return names_in(folder, folder.parent)
    except OSError:
        return []
