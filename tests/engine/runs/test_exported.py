"""A run's trained optimizer, as it leaves the run: which network it is, and what it says of where it comes from."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from l2o_engine.meta.experiment import Experiment
from l2o_engine.meta.truncation import Truncation
from l2o_engine.optimizers.learned.exported import Exported
from l2o_engine.optimizers.learned.learned_optimizer import LearnedOptimizer
from l2o_engine.optimizers.learned.networks import Linear
from l2o_engine.presets.schema import Preset
from l2o_engine.runs import checkpoints
from l2o_engine.runs.exported import choice_of, measured
from l2o_engine.runs.folder import Run
from l2o_engine.runs.record import RunError
from l2o_engine.support.arrays import Floats
from l2o_engine.training.seen import UnmeasuredError, seen_by
from l2o_engine.training.streams import Streams, generator_of
from tests.engine.grouped import Grouped
from tests.engine.tiny import run, tiny_baselines, tiny_preset

PLAIN = tiny_preset("run.seeds=2", "meta.learning_rate=0.05", "run.iterations=15", "run.checkpoint_every=5")
VALIDATED = tiny_preset(
    *("run.seeds=2", "validation.every=3", "validation.tasks=4", "meta.learning_rate=0.5", "run.iterations=14")
)
CURRICULUM = tiny_preset(
    *("unroll.steps=4", "unroll.truncation=2", "meta.batch=2", "run.iterations=60"),
    *("curriculum.stages=[6, 8]", "curriculum.least=2", "validation.every=2", "validation.tasks=4"),
    "meta.learning_rate=0.02",
)


def made(folder: Path, preset: Preset) -> Run:
    run(folder, preset)
    return Run(folder)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Run:
    ours = made(tmp_path_factory.mktemp("plain") / "plain-s0", PLAIN)
    (best,) = [path for path in checkpoints.newest_first(ours.checkpoints_path) if checkpoints.iteration_of(path) == 10]
    best.rename(best.with_stem(f"{best.stem}-best"))  # so short a run has no report that would say it
    return ours


@pytest.fixture(scope="module")
def validated(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return made(tmp_path_factory.mktemp("validated") / "validated-s0", VALIDATED)


def weights_at(ours: Run, path: Path, seed: int) -> Floats:
    preset = ours.preset()
    learner = checkpoints.read(path, preset.experiment, 2).trainers[seed].learner
    assert learner is not None
    return learner.weights


@pytest.mark.parametrize("seed", [0, 1])
def test_the_best_checkpoint_s_network_is_exported_by_default(plain: Run, seed: int) -> None:
    best, found = plain.best_checkpoint(), plain.exported(seed)
    assert best is not None
    assert_array_equal(found.weights, weights_at(plain, best, seed))
    assert found.origin.iteration == checkpoints.iteration_of(best)
    assert found.digest == plain.exported(seed, "best").digest
    assert found.digest != plain.exported(1 - seed).digest


def test_any_checkpoint_may_be_chosen(plain: Run) -> None:
    newest = plain.latest_checkpoint()
    assert newest is not None
    assert_array_equal(plain.exported(1, "newest").weights, weights_at(plain, newest, 1))
    for path in checkpoints.newest_first(plain.checkpoints_path):
        found = plain.exported(0, checkpoints.iteration_of(path))
        assert_array_equal(found.weights, weights_at(plain, path, 0))
        assert found.origin.iteration == checkpoints.iteration_of(path)


def test_it_says_where_it_comes_from(plain: Run) -> None:
    origin = plain.exported(1).origin
    assert (origin.run, origin.preset, origin.problem, origin.seed) == ("plain-s0", "tiny", "quadratic", 1)
    assert (origin.steps, origin.seen) == (4, None)
    assert origin.versions == plain.record().versions
    assert plain.exported(1).learned == PLAIN.experiment.trained


def test_what_is_not_there_is_one_message(plain: Run, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no seed 7; its seeds are 0, 1"):
        plain.exported(7)
    with pytest.raises(RunError, match=r"no checkpoint of meta-iteration 3; there are 15, "):
        plain.exported(checkpoint=3)
    with pytest.raises(RunError, match="trains no optimizer"):
        made(tmp_path / "baselines", tiny_baselines()).exported()
    for wrong in ("beste", "-1", "", "1e3", "9" * 20):
        with pytest.raises(RunError, match="a checkpoint is"):
            choice_of(wrong)
    assert [choice_of(text) for text in ("best", "newest", "007")] == ["best", "newest", 7]


def test_of_a_validated_run_each_replicate_has_its_own_best(validated: Run) -> None:
    trainers = validated.checkpoint().trainers
    for seed in (0, 1):
        found, standing = validated.exported(seed), trainers[seed].standing
        assert standing is not None
        assert_array_equal(found.weights, standing.weights)
        figures = {one.verdict.iteration: one.verdict.figure for one in validated.validated() if one.lane.seed == seed}
        assert found.origin.iteration == min(figures, key=lambda iteration: figures[iteration])
    newest, best = validated.exported(0, "newest"), validated.exported(0)
    assert newest.digest != best.digest  # at this rate it does not end with the best


def test_the_best_network_of_a_curriculum_says_how_long_its_episodes_were(tmp_path: Path) -> None:
    ours = made(tmp_path / "curriculum", CURRICULUM)
    state = ours.checkpoint().trainers[0]
    assert state.standing is not None
    assert state.standing.stage > 0
    horizons = (4, 6, 8)
    assert ours.exported(checkpoint="newest").origin.steps == horizons[state.standing.stage]
    trained = state.standing.stage if state.standing.better else state.standing.stage - 1
    assert ours.exported().origin.steps == horizons[trained]


def test_it_goes_through_a_file(plain: Run, tmp_path: Path) -> None:
    ours = plain.exported(measure=True)
    ours.save(tmp_path / "mine")
    found = Exported.load(tmp_path / "mine")
    assert (found.digest, found.origin, found.tables) == (ours.digest, ours.origin, ours.tables)


# What it has seen.


def still(experiment: Experiment) -> LearnedOptimizer:
    """Return an optimizer that does not move: with weights of 0."""
    return LearnedOptimizer(Linear(), experiment.trained.inputs)


@pytest.mark.parametrize("truncation", [Truncation(5), Truncation(2, of=4)], ids=["whole", "in parts"])
def test_what_is_seen_are_the_losses_and_each_tensor_s_gradients_of_held_out_tasks(truncation: Truncation) -> None:
    experiment = Experiment(Grouped(dims=6), truncation=truncation)
    experiment = replace(experiment, learned=still(experiment))
    optimizer = experiment.trained.with_weights(np.zeros(2, "float32"))
    steps = truncation.episode
    found = seen_by(optimizer, experiment, steps, seed=3)
    losses = experiment.steps
    task = experiment.task.draw(generator_of(Streams(3).held_out), 8, 1, steps=losses, dtype="float32")
    gradient = task.gradient(task.start).reshape(8, 6).astype(float)
    tensors = [gradient[:, where] for where in (slice(0, 2), slice(2, 3), slice(3, 6))]
    sizes = np.concatenate([np.sqrt((one**2).mean(axis=1)) for one in tensors])
    assert found.loss == pytest.approx(np.percentile(np.repeat(task.loss(task.start), losses), (5, 95)))
    assert found.gradient_rms == pytest.approx(np.percentile(np.repeat(sizes, losses - 1), (5, 95)))


def test_a_gradient_of_0_counts_for_nothing_and_a_lost_network_has_seen_nothing() -> None:
    flat = tiny_preset("problem.scale=[0.0, 0.0]").experiment
    weights = flat.trained.initialise(np.random.default_rng(0), "float32")
    with pytest.raises(UnmeasuredError, match="no gradient is a number"):
        seen_by(flat.trained.with_weights(weights), flat, 4, 0)


def test_what_would_take_minutes_is_not_measured(plain: Run) -> None:
    large = tiny_preset("network.hidden=200", "problem.dims=2000", "unroll.steps=500").experiment
    weights = np.zeros(large.trained.layout.size, "float32")
    with pytest.raises(UnmeasuredError, match="takes more than"):
        seen_by(large.trained.with_weights(weights), large, 500, 0)
    ours = plain.exported()
    assert measured(plain, replace(ours, origin=replace(ours.origin, steps=10**9)))[1].startswith("an episode of")
