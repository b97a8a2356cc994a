"""Checkpoints: written, read back, and told from what is damaged."""

import json
from collections.abc import Callable
from dataclasses import astuple, replace
from hashlib import sha256
from math import nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from safetensors import safe_open
from safetensors.numpy import save_file

from l2o_engine.meta.experiment import DTypeName, Experiment
from l2o_engine.meta.learner import Learner
from l2o_engine.meta.meta_adam import Powers
from l2o_engine.meta.truncation import Episode
from l2o_engine.optimizers.learned.inputs.identity import Identity
from l2o_engine.optimizers.learned.inputs.log import Log
from l2o_engine.optimizers.learned.learned_optimizer import LearnedOptimizer
from l2o_engine.optimizers.learned.networks.lstm import LSTM
from l2o_engine.runs import checkpoints
from l2o_engine.runs.checkpoints import Checkpoint, CheckpointError, Kind
from l2o_engine.support.tensor_file import digest_of
from l2o_engine.support.tree import to_tree
from l2o_engine.tasks.quadratic import Quadratic
from l2o_engine.training.trainer import TrainerState

EXPERIMENT = Experiment(Quadratic(), LearnedOptimizer(LSTM(layers=2, hidden=3), Log(min_log=-5.0)))
LAYOUT = EXPERIMENT.trained.layout


def a_learner(seed: int, dtype: DTypeName = "float32", **changes: Any) -> Learner:
    generator = np.random.default_rng(seed)
    weights, moment1, moment2 = generator.normal(size=(3, LAYOUT.size)).astype(dtype)
    moment1[0], moment2[0] = np.finfo(dtype).smallest_subnormal, np.finfo(dtype).max
    learner = Learner(
        weights, moment1, moment2, Powers(0.9**seed, float(np.float32(0.999))), numbers={"min_log": -1 / 3}
    )
    return replace(learner, **changes)


def a_state(seed: int, learner: Learner | None) -> TrainerState:
    return TrainerState(done=41, draws=dict(np.random.PCG64(seed).state), learner=learner)


def a_checkpoint(iteration: int = 40, dtype: DTypeName = "float32") -> Checkpoint:
    trainers = {seed: a_state(seed, a_learner(seed, dtype)) for seed in (7, 8)}
    return Checkpoint(iteration, elapsed_seconds=1.25, metrics_bytes=12_345, trainers=trainers)


def assert_same_state(one: TrainerState, other: TrainerState) -> None:
    assert one.done == other.done
    assert one.draws == other.draws
    assert (one.learner is None) == (other.learner is None)
    if one.learner and other.learner:
        for ours, theirs in zip(astuple(one.learner), astuple(other.learner), strict=True):
            if isinstance(ours, dict):
                assert ours.keys() == theirs.keys()
                ours, theirs = list(ours.values()), list(theirs.values())  # noqa: PLW2901 (NaN is no equal of itself)
            assert_array_equal(ours, theirs)
            assert np.asarray(ours).dtype == np.asarray(theirs).dtype
    assert one.episodes.keys() == other.episodes.keys()
    for ours, theirs in zip(one.episodes.values(), other.episodes.values(), strict=True):
        assert replace(ours, carried={}) == replace(theirs, carried={})
        assert ours.carried.keys() == theirs.carried.keys()
        for name, values in ours.carried.items():
            assert_array_equal(values, theirs.carried[name])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_state_is_read_back_bit_for_bit(dtype: DTypeName, tmp_path: Path) -> None:
    written = a_checkpoint(dtype=dtype)
    read = checkpoints.read(checkpoints.write(tmp_path, written, LAYOUT), replace(EXPERIMENT, dtype=dtype))
    assert astuple(replace(read, trainers={})) == astuple(replace(written, trainers={}))
    assert list(read.trainers) == list(written.trainers)
    for seed, state in written.trainers.items():
        assert_same_state(read.trainers[seed], state)


@pytest.mark.parametrize(
    "learner",
    [
        a_learner(1, non_finite_in_a_row=3),
        a_learner(1, diverged=True),
        a_learner(1, numbers={"min_log": nan}),
        replace(a_learner(1), weights=np.full(LAYOUT.size, np.nan, np.float32)),
    ],
    ids=["spoilt ones in a row", "diverged", "min_log lost", "NaN weights"],
)
def test_every_kind_of_state_is_read_back(learner: Learner, tmp_path: Path) -> None:
    written = Checkpoint(5, 0.0, 0, {0: a_state(0, learner)})
    read = checkpoints.read(checkpoints.write(tmp_path, written, LAYOUT, Kind.KEPT), EXPERIMENT)
    assert_same_state(read.trainers[0], written.trainers[0])


def test_what_has_no_network_or_no_numbers_is_read_back(tmp_path: Path) -> None:
    nothing_learned = Checkpoint(5, 0.0, 0, {0: a_state(0, None)})
    path = checkpoints.write(tmp_path, nothing_learned, None, Kind.KEPT)
    read = checkpoints.read(path, replace(EXPERIMENT, learned=None))
    assert_same_state(read.trainers[0], nothing_learned.trainers[0])
    without = Checkpoint(6, 0.0, 0, {0: a_state(0, a_learner(1, numbers={}))})
    path = checkpoints.write(tmp_path, without, LAYOUT, Kind.KEPT)
    plain = replace(EXPERIMENT, learned=LearnedOptimizer(EXPERIMENT.trained.network, Identity()))
    assert_same_state(checkpoints.read(path, plain).trainers[0], without.trainers[0])


def test_a_generator_goes_on_where_it_was(tmp_path: Path) -> None:
    generator = np.random.PCG64(3)
    np.random.Generator(generator).random(5)
    written = Checkpoint(5, 0.0, 0, {0: TrainerState(6, dict(generator.state), None)})
    path = checkpoints.write(tmp_path, written, None)
    read = checkpoints.read(path, replace(EXPERIMENT, learned=None))
    other = np.random.PCG64(0)
    other.state = read.trainers[0].draws  # type: ignore[assignment]
    assert_array_equal(np.random.Generator(other).random(9), np.random.Generator(generator).random(9))


def test_nothing_temporary_is_left(tmp_path: Path) -> None:
    path = checkpoints.write(tmp_path / "checkpoints", a_checkpoint(), LAYOUT)
    assert list((tmp_path / "checkpoints").iterdir()) == [path]


# What is damaged.


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def lose_the_last_byte(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def flip_a_bit_of_a_weight(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)


def change_the_metadata(path: Path) -> None:
    data = path.read_bytes()
    assert data.count(b"12345") == 1
    path.write_bytes(data.replace(b"12345", b"12346"))


def replace_by_text(path: Path) -> None:
    path.write_text("not a checkpoint")


def replace_by_tensors_of_another_program(path: Path) -> None:
    save_file({"weights": np.zeros(3)}, path)


def replace_by_other_metadata(path: Path) -> None:
    save_file({"weights": np.zeros(3)}, path, {"l2o": "[]", "sha256": "0"})


def replace_by_a_pickle(path: Path) -> None:
    path.write_bytes(b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00}\x94.")


def remove(path: Path) -> None:
    path.unlink()


def replace_by_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES = [
    truncate,
    lose_the_last_byte,
    empty,
    flip_a_bit_of_a_weight,
    change_the_metadata,
    replace_by_text,
    replace_by_tensors_of_another_program,
    replace_by_other_metadata,
    replace_by_a_pickle,
    remove,
    replace_by_a_folder,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_or_foreign_file_is_no_checkpoint(damage: Callable[[Path], None], tmp_path: Path) -> None:
    path = checkpoints.write(tmp_path, a_checkpoint(), LAYOUT)
    assert checkpoints.is_whole(path)
    damage(path)
    assert not checkpoints.is_whole(path)
    with pytest.raises(CheckpointError, match=path.name):
        checkpoints.read(path, EXPERIMENT)


def test_tensors_that_lie_over_one_another_are_not_read_again_and_again(tmp_path: Path) -> None:
    header = {f"{number}": {"dtype": "U8", "shape": [9], "data_offsets": [0, 9]} for number in range(9)}
    digest = sha256(b"{}" + b"".join(name.encode() + b"123456789" for name in header)).hexdigest()
    text = json.dumps(header | {"__metadata__": {"l2o": "{}", "sha256": digest}}).encode()
    path = tmp_path / "000000000040.safetensors"
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"123456789")
    assert not checkpoints.is_whole(path)


@pytest.mark.parametrize("network", [LSTM(2, 4), LSTM(3, 3)], ids=["wider", "deeper"])
def test_a_checkpoint_of_another_network_is_refused(network: LSTM, tmp_path: Path) -> None:
    path = checkpoints.write(tmp_path, a_checkpoint(), LAYOUT)
    with pytest.raises(CheckpointError, match=path.name):
        checkpoints.read(path, replace(EXPERIMENT, learned=LearnedOptimizer(network, Log(min_log=-5.0))))


def test_a_checkpoint_of_another_dtype_is_refused(tmp_path: Path) -> None:
    path = checkpoints.write(tmp_path, a_checkpoint(), LAYOUT)
    with pytest.raises(CheckpointError, match="other numbers than float64"):
        checkpoints.read(path, replace(EXPERIMENT, dtype="float64"))


def test_a_later_format_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoints, "FORMAT", 4)
    path = checkpoints.write(tmp_path, a_checkpoint(), LAYOUT)
    monkeypatch.undo()
    with pytest.raises(CheckpointError, match="format 4"):
        checkpoints.read(path, EXPERIMENT)


# What is whole, says its digest, and is none of ours: a stranger's, or a later version's.

FOREIGN: dict[str, Callable[[dict[str, Any]], None]] = {
    "an iteration in words": lambda document: document.update(iteration="x"),
    "an iteration before the first": lambda document: document.update(iteration=-2),
    "a negative length": lambda document: document.update(metrics_bytes=-5),
    "an endless time": lambda document: document.update(elapsed_seconds=float("inf")),
    "no trainers": lambda document: document.update(trainers=[]),
    "a count in words": lambda document: document["trainers"]["seed7"].update(done="a"),
    "no network": lambda document: document["trainers"]["seed7"].update(learner=None),
    "no numbers": lambda document: document["trainers"]["seed7"]["learner"].update(numbers={}),
    "other numbers": lambda document: document["trainers"]["seed7"]["learner"].update(numbers={"decay": 1.0}),
    "powers in words": lambda document: document["trainers"]["seed7"]["learner"]["powers"].update(beta1="0.9"),
    "a further part": lambda document: document["trainers"]["seed7"]["learner"].update(secret=1),
    "another generator": lambda document: document["trainers"]["seed7"]["draws"].update(bit_generator="MT19937"),
    "a generator beyond 128 bits": lambda document: document["trainers"]["seed7"]["draws"]["state"].update(
        state=2**128
    ),
    "an episode of a run of whole ones": lambda document: document["trainers"]["seed7"].update(
        episodes={"0": to_tree(Episode())}
    ),
    "no seed": lambda document: document["trainers"].update(x=document["trainers"].pop("seed7")),
}


@pytest.mark.parametrize("change", FOREIGN.values(), ids=FOREIGN)
def test_a_whole_file_that_says_what_cannot_be_is_no_checkpoint(
    change: Callable[[dict[str, Any]], None], tmp_path: Path
) -> None:
    path = checkpoints.write(tmp_path, a_checkpoint(), LAYOUT)
    with safe_open(path, framework="np") as file:
        document = json.loads(file.metadata()["l2o"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    change(document)
    text = json.dumps(document)
    save_file(tensors, path, {"l2o": text, "sha256": digest_of(text, tensors)})
    with pytest.raises(CheckpointError, match=path.name):
        checkpoints.read(path, EXPERIMENT)


def test_a_document_that_is_nested_without_end_is_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "000000000040.safetensors"
    text = "[" * 100_000
    save_file({}, path, {"l2o": text, "sha256": digest_of(text, {})})
    with pytest.raises(CheckpointError, match=path.name):
        checkpoints.read(path, EXPERIMENT)


# Which are kept.


def written(folder: Path, iteration: int, kind: Kind = Kind.REGULAR) -> Path:
    checkpoint = Checkpoint(iteration, 0.0, 0, {0: TrainerState(iteration + 1, {}, None)})
    return checkpoints.write(folder, checkpoint, LAYOUT, kind)


def left_of(folder: Path) -> set[str]:
    return {path.name.lstrip("0").removesuffix(".safetensors") for path in folder.iterdir()}


def test_pruning_keeps_the_newest_few_and_those_asked_for(tmp_path: Path) -> None:
    kept = [written(tmp_path, 20, Kind.KEPT), written(tmp_path, 30, Kind.KEPT)]
    paths = [written(tmp_path, iteration) for iteration in (5, 999, 1_000, 20, 10**12)]
    checkpoints.prune(tmp_path, 2, 10**12)
    assert set(tmp_path.iterdir()) == {*kept, paths[2], paths[4]}


def test_what_came_after_the_last_finite_result_rotates_by_itself(tmp_path: Path) -> None:
    for iteration in range(10, 60, 10):
        written(tmp_path, iteration)
        checkpoints.prune(tmp_path, 2, iteration)
    for iteration in range(60, 200, 10):
        written(tmp_path, iteration, Kind.NON_FINITE)
        checkpoints.prune(tmp_path, 2, iteration)
    assert left_of(tmp_path) == {"40", "50", "180-nonfinite", "190-nonfinite"}
    written(tmp_path, 200)
    checkpoints.prune(tmp_path, 2, 200)
    assert left_of(tmp_path) == {"50", "200"}


def test_the_best_stays_until_there_is_a_better_one_which_makes_it_a_regular_one(tmp_path: Path) -> None:
    for iteration, kind in ((10, Kind.BEST), (20, Kind.REGULAR), (30, Kind.REGULAR), (40, Kind.REGULAR)):
        written(tmp_path, iteration, kind)
        checkpoints.prune(tmp_path, 2, iteration)
    assert left_of(tmp_path) == {"10-best", "30", "40"}
    checkpoints.retire_best(tmp_path, written(tmp_path, 50, Kind.BEST))
    checkpoints.prune(tmp_path, 2, 50)
    assert left_of(tmp_path) == {"30", "40", "50-best"}


def test_the_latest_gives_way_to_the_next_of_any_kind(tmp_path: Path) -> None:
    written(tmp_path, 10)
    for iteration in (11, 12):
        written(tmp_path, iteration, Kind.LATEST)
        checkpoints.prune(tmp_path, 2, iteration)
        assert left_of(tmp_path) == {"10", f"{iteration}-latest"}
    written(tmp_path, 12)
    checkpoints.prune(tmp_path, 2, 12)
    assert left_of(tmp_path) == {"10", "12"}


def test_what_lies_ahead_of_where_the_run_went_on_rotates_nothing_out(tmp_path: Path) -> None:
    """Three damaged ones, newer than the good one: else each checkpoint of the resumed run would be removed at once."""
    good, ahead = written(tmp_path, 10), [written(tmp_path, iteration) for iteration in (40, 50, 60)]
    later = written(tmp_path, 20)
    checkpoints.prune(tmp_path, 2, 20)
    assert set(tmp_path.iterdir()) == {good, later, *ahead}


def test_the_newest_are_first(tmp_path: Path) -> None:
    kinds = {7: Kind.KEPT, 999: Kind.BEST, 10**11: Kind.LATEST}
    paths = [written(tmp_path, iteration, kinds.get(iteration, Kind.REGULAR)) for iteration in (10**12, 999, 10**11, 7)]
    assert checkpoints.newest_first(tmp_path) == [paths[0], paths[2], paths[1], paths[3]]
    assert [checkpoints.iteration_of(path) for path in paths] == [10**12, 999, 10**11, 7]
    assert [checkpoints.kind_of(path) for path in paths] == [Kind.REGULAR, Kind.BEST, Kind.LATEST, Kind.KEPT]


def test_a_file_that_is_not_named_like_a_checkpoint_is_none_and_stays(tmp_path: Path) -> None:
    foreign = [
        "mine.safetensors",
        "best-000000000007.safetensors",
        "000000000009-mine.safetensors",
        "7.safetensors",
        "000000000007.safetensors.bak",
    ]
    for name in foreign:
        (tmp_path / name).write_bytes(b"")
    for kind in Kind:
        (tmp_path / f".000000000009{kind}.safetensors.77.tmp").write_bytes(b"half")
    path = written(tmp_path, 0)
    assert checkpoints.newest_first(tmp_path) == [path]
    assert checkpoints.foreign_in(tmp_path) == sorted(foreign)
    assert [checkpoints.kind_of(tmp_path / name) for name in foreign] == [None] * len(foreign)
    checkpoints.prune(tmp_path, 0, 10)
    checkpoints.remove_temporaries(tmp_path)
    assert {left.name for left in tmp_path.iterdir()} == set(foreign)


def test_what_a_checkpoint_says_of_itself_is_read_without_its_state(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints"
    folder.mkdir()
    made = replace(a_checkpoint(), settings={"meta.learning_rate": 0.1}, average_log_result=-3.5)
    path = checkpoints.write(folder, made, LAYOUT, Kind.BEST)
    head = checkpoints.head_of(path)
    assert (head.settings, head.average_log_result) == (made.settings, made.average_log_result)
    whole = checkpoints.read(path, EXPERIMENT)
    assert (whole.settings, whole.average_log_result) == (made.settings, made.average_log_result)
    content = path.read_bytes()
    for damaged in (content[:50], (2**62).to_bytes(8, "little") + content[8:], b"", b"12"):
        path.write_bytes(damaged)
        with pytest.raises(CheckpointError, match=path.name):
            checkpoints.head_of(path)
    (tmp_path / "elsewhere").write_bytes(content)
    path.unlink()
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(CheckpointError, match="symbolic link"):
        checkpoints.head_of(path)
