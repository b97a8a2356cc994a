"""Validation and curriculum: what is kept, what is restored, when it is over; the same in chunks of any size."""

from dataclasses import replace
from itertools import pairwise
from math import inf, isnan, nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from l2o_engine.backends.reference import TorchBackend
from l2o_engine.meta.learner import Learner
from l2o_engine.meta.meta_adam import Powers
from l2o_engine.meta.validation import Curriculum, Standing, Validation, validated
from l2o_engine.presets.files import check, override
from l2o_engine.presets.messages import PresetError
from l2o_engine.presets.schema import Preset
from l2o_engine.records.events import Ended, Validated
from l2o_engine.runs import checkpoints
from l2o_engine.runs.folder import Run
from l2o_engine.training.streams import Streams, generator_of
from l2o_engine.training.trainer import MetaTrainer, TrainerState
from l2o_engine.training.validating import Validating, Verdict
from tests.engine.tiny import of_kind, resume, run, tiny_preset

STEPS = Curriculum(stages=(200, 500), least=3)


def learner(number: float) -> Learner:
    weights = np.full(2, number)
    return Learner(weights, weights, weights, Powers(), {"min_log": number})


def validations(figures: list[float], rules: Validation, curriculum: Curriculum | None = None) -> list[Any]:
    """Return the outcomes of validations with these figures, of networks numbered from 0 on; and the last standing."""
    standing, outcomes = Standing(), list[Any]()
    for number, figure in enumerate(figures):
        standing, outcome = validated(standing, figure, learner(number), rules, curriculum)
        if outcome == "next":  # and the next stage's length is measured, at which all is 10 worse
            standing = standing.kept(standing.best + 10, standing.restored(learner(number)))
        outcomes.append(outcome)
    return [*outcomes, standing]


# The rule.


def test_the_best_network_is_kept_and_the_meta_optimizer_goes_on_as_it_is() -> None:
    *outcomes, standing = validations([1.0, 2.0, 0.5, 0.5, nan, inf], Validation())
    assert outcomes == ["better", "", "better", "", "", ""]
    assert (standing.best, standing.in_vain, standing.better, standing.stopped) == (0.5, 3, 2, False)
    restored = standing.restored(learner(9))
    assert (restored.weights[0], restored.numbers, restored.moment1[0]) == (2.0, {"min_log": 2.0}, 9.0)


def test_patience_ends_it_after_so_many_in_a_row_in_vain() -> None:
    *outcomes, standing = validations([1.0, 2.0, 0.5, 3.0, 3.0], Validation(patience=2))
    assert outcomes == ["better", "", "better", "", "stop"]
    assert standing.stopped
    assert (standing.weights[0], standing.figure) == (2.0, 0.5)


def test_the_first_network_is_the_best_even_where_its_losses_are_not_finite() -> None:
    assert validations([inf, inf], Validation())[:2] == ["better", ""]


@pytest.mark.parametrize(
    ("figures", "expected", "stage"),
    [
        ([3.0, 4.0, 2.0, 3.0], ["better", "", "better", "next"], 1),  # the third was better: the fourth ends the stage
        ([3.0, 4.0, 5.0], ["better", "", "next"], 1),  # not before there were three
        ([3.0, 4.0, 5.0, 14.0, 14.0, 14.0], ["better", "", "next", "", "", "stop"], 1),  # nothing better than 3 + 10
        ([3.0, 4.0, 5.0, 12.0, 13.0, 13.0, 22.5, 1.0, 1.0], [*["better", "", "next"] * 2, "", "better", "stop"], 2),
        ([3.0, 4.0, 5.0, 12.0, 13.0, 13.0, 21.0, 22.0, 22.0], [*["better", "", "next"] * 2, "better", "", "stop"], 2),
    ],
)
def test_a_stage_ends_where_nothing_is_better_and_the_last_one_ends_the_training(
    figures: list[float], expected: list[str], stage: int
) -> None:
    *outcomes, standing = validations(figures, Validation(), STEPS)
    assert outcomes == expected
    assert standing.stage == stage
    assert standing.stopped == (expected[-1] == "stop")


# A trainer.

VALIDATED = tiny_preset("validation.every=3", "validation.tasks=4", "meta.learning_rate=0.05")
STOPPING = tiny_preset("validation.every=2", "validation.tasks=4", "validation.patience=1", "meta.learning_rate=0.5")
CURRICULUM = tiny_preset(
    *("unroll.steps=4", "unroll.truncation=2", "meta.batch=2", "unroll.staggered=true"),
    *("curriculum.stages=[6, 8]", "curriculum.least=2", "validation.every=2", "validation.tasks=4"),
    "meta.learning_rate=0.02",
)


def a_trainer(preset: Preset, seed: int = 0) -> MetaTrainer:
    return MetaTrainer(preset.experiment, seed, "torch")


def validating(preset: Preset) -> Validating:
    return Validating(preset.experiment, 0, TorchBackend(preset.experiment))


def assert_same(one: TrainerState, other: TrainerState) -> None:
    assert one.learner is not None
    assert other.learner is not None
    assert one.standing is not None
    assert other.standing is not None
    assert (one.done, one.draws) == (other.done, other.draws)
    assert_array_equal(one.learner.weights, other.learner.weights)
    for name, ours in vars(one.standing).items():
        assert_array_equal(ours, vars(other.standing)[name], name)


def test_training_is_as_without_validation_and_judged_on_the_same_tasks_each_time() -> None:
    without = tiny_preset("meta.learning_rate=0.05")
    plain, looked_at = a_trainer(without), a_trainer(VALIDATED)
    (chunk,), (expected,) = looked_at.advance(10), plain.advance(10)
    assert_array_equal(chunk.results.losses, expected.results.losses)
    assert [verdict.iteration for verdict in chunk.verdicts] == [2, 5, 8]
    standing = looked_at.state().standing
    assert standing is not None
    assert (standing.since, standing.validations) == (1, 3)
    best = min(chunk.verdicts, key=lambda verdict: verdict.figure)
    assert standing.best == best.figure
    again = a_trainer(without)
    again.advance(best.iteration + 1)
    state = again.state()
    assert state.learner is not None
    assert_array_equal(standing.weights, state.learner.weights)
    assert validating(VALIDATED).figure(state.learner, 4) == best.figure


@pytest.mark.parametrize("preset", [VALIDATED, STOPPING, CURRICULUM], ids=["going on", "stopping", "stage by stage"])
def test_n_at_once_equal_n_one_at_a_time_and_a_loaded_state_goes_on(preset: Preset) -> None:
    together, singly, loaded = (a_trainer(preset) for _ in range(3))
    (chunk,) = together.advance(11)
    parts = []
    for k in range(11):
        parts += singly.advance(1)
        if k == 4:
            loaded.load_state(singly.state())
    assert_array_equal(chunk.results.losses, np.concatenate([part.results.losses for part in parts]))
    assert chunk.verdicts == sum((part.verdicts for part in parts), ())
    assert_same(together.state(), singly.state())
    loaded.advance(6)
    assert_same(together.state(), loaded.state())


def test_a_training_that_has_stopped_has_its_best_network_and_does_nothing_more() -> None:
    trainer = a_trainer(STOPPING)
    (chunk,) = trainer.advance(100)
    state = trainer.state()
    assert state.is_over
    assert not state.diverged
    assert state.learner is not None
    assert chunk.verdicts[-1].outcome == "stop"
    assert len(chunk.results) == state.done == chunk.verdicts[-1].iteration + 1 < 100
    assert validating(STOPPING).figure(state.learner, 4) == chunk.verdicts[-1].best
    (nothing,) = trainer.advance(5)
    assert (len(nothing.results), nothing.verdicts, trainer.state().done) == (0, (), state.done)


def test_stages_come_one_after_the_other_with_longer_episodes_and_the_best_network() -> None:
    trainer, found = a_trainer(CURRICULUM), list[Verdict]()
    while not trainer.state().is_over and trainer.done < 200:
        (chunk,) = trainer.advance(1)
        found += chunk.verdicts
        state = trainer.state()
        assert state.standing is not None
        assert state.learner is not None
        if chunk.verdicts and chunk.verdicts[-1].outcome == "next":
            assert all(not episode.length for episode in state.episodes.values())  # all begin anew
            assert_array_equal(state.learner.weights, state.standing.weights)
            assert (state.learner.moment1 != 0).any()  # and the meta-optimizer does not
            at_the_new_length = validating(CURRICULUM).figure(state.learner, 8)
            assert state.standing.best == state.standing.figure == at_the_new_length
        lengths = {episode.length for episode in state.episodes.values() if episode.length}
        assert all(length <= (4, 6, 8)[state.standing.stage] for length in lengths)
    assert [verdict.episode for verdict in found if verdict.outcome == "next"] == [6, 8]
    assert found[-1].outcome == "stop"
    begins = [0, *(k + 1 for k, verdict in enumerate(found) if verdict.outcome == "next")]
    for first, last, length, steps in zip(begins, [*begins[1:], len(found)], (4, 6, 8), (6, 8, 8), strict=True):
        of_stage = found[first:last]
        assert {verdict.steps for verdict in of_stage} == {steps}  # the next stage's
        apart = {later.iteration - earlier.iteration for earlier, later in pairwise(of_stage)}
        assert apart == {2 * length // 2}  # two episodes, in truncations of 2


def test_the_figure_is_the_mean_of_the_logarithms_or_the_logarithm_of_the_mean() -> None:
    preset = tiny_preset("validation.tasks=5", "problem.scale=[0.1, 10.0]")
    trainer, backend = a_trainer(preset), TorchBackend(preset.experiment)
    learner = trainer.state().learner
    assert learner is not None
    generator = generator_of(Streams(0).validation)
    tasks = preset.experiment.task.draw(generator, 5, 1, steps=4, dtype=preset.experiment.dtype)
    last = backend.evaluate(learner, tasks)[..., -1].astype(np.float64)
    by_end = tiny_preset("validation.tasks=5", "problem.scale=[0.1, 10.0]", "validation.metric=end")
    assert validating(preset).figure(learner, 4) == pytest.approx(np.log10(last).mean(), rel=1e-12)
    assert validating(by_end).figure(learner, 4) == pytest.approx(np.log10(last.mean()), rel=1e-12)


@pytest.mark.parametrize("metric", ["end", "end_log"])
def test_a_loss_that_is_not_finite_counts_as_the_worst(metric: str) -> None:
    preset = tiny_preset("validation.tasks=4", f"validation.metric={metric}", "problem.scale=[1e30, 1e30]")
    state = a_trainer(preset).state()
    assert state.learner is not None
    assert validating(preset).figure(state.learner, 4) == inf


def test_a_training_that_has_diverged_is_validated_no_more() -> None:
    preset = tiny_preset("validation.every=3", "problem.scale=[1e30, 1e30]", "meta.non_finite=stop")
    (chunk,) = a_trainer(preset).advance(9)
    assert (len(chunk.results), chunk.verdicts) == (1, ())
    imitating = override(preset, ["validation.every=1", "imitation.probability=1"])
    trainer = a_trainer(imitating)
    (chunk,) = trainer.advance(9)
    assert (len(chunk.results), chunk.verdicts, trainer.state().diverged) == (1, (), True)


# A run.


def test_the_best_checkpoint_goes_by_validation_and_a_stopped_run_is_finished(tmp_path: Path) -> None:
    preset = tiny_preset("validation.every=2", "validation.tasks=4", "validation.patience=2", "meta.learning_rate=0.5",
                         "run.seeds=2", "run.iterations=60")  # fmt: skip
    events = run(tmp_path / "run", preset)
    told = [event.verdict for event in of_kind(events, Validated)]
    (ended,) = of_kind(events, Ended)
    assert ended.status == "finished"
    assert ended.message == "validation found nothing better, seed 0, 1"
    assert {verdict.outcome for verdict in told} >= {"better", "stop"}
    found = Run(tmp_path / "run")
    kept, is_best = found.best_or_newest()
    assert is_best
    standings = [state.standing for state in kept.trainers.values()]
    assert all(standing is not None and not isnan(standing.figure) for standing in standings)
    figures = [standing.figure for standing in standings if standing is not None]
    assert kept.average_log_result == pytest.approx(sum(figures) / 2)
    assert found.record().has_ended_early
    again = resume(tmp_path / "run", iterations=100)
    assert of_kind(again, Ended)[0].iteration == ended.iteration


@pytest.mark.parametrize("preset", [VALIDATED, CURRICULUM], ids=["going on", "stage by stage"])
def test_resumed_equals_uninterrupted(preset: Preset, tmp_path: Path) -> None:
    events = run(tmp_path / "whole", override(preset, ["run.iterations=20"]))
    first = run(tmp_path / "part", override(preset, ["run.iterations=10"]))
    second = resume(tmp_path / "part", iterations=20)
    assert of_kind([*first, *second], Validated) == of_kind(events, Validated)
    assert Run(tmp_path / "part").validated() == of_kind(events, Validated)
    states = [Run(tmp_path / name).checkpoint().trainers[0] for name in ("whole", "part")]
    assert_same(*states)


def test_a_checkpoint_without_a_standing_is_gone_on_with_from_a_new_one(tmp_path: Path) -> None:
    run(tmp_path / "run", tiny_preset("run.iterations=10"))
    state = Run(tmp_path / "run").checkpoint().trainers[0]
    assert state.standing is None
    trainer = a_trainer(VALIDATED)
    trainer.load_state(state)
    standing = trainer.state().standing
    assert standing is not None
    assert (standing.validations, standing.weights.size) == (0, 0)


def test_a_checkpoint_of_a_stage_that_is_not_there_is_refused(tmp_path: Path) -> None:
    preset = tiny_preset("validation.every=4", "run.iterations=10")
    run(tmp_path / "run", preset)
    found = Run(tmp_path / "run")
    path, kept = found.latest_checkpoint(), found.checkpoint()
    assert path is not None
    standing = kept.trainers[0].standing
    assert standing is not None
    later = replace(kept.trainers[0], standing=replace(standing, stage=1))
    checkpoints.write(path.parent, replace(kept, trainers={0: later}), preset.experiment.layout)
    with pytest.raises(checkpoints.CheckpointError, match="a stage that the curriculum does not have"):
        found.checkpoint()


# In a preset.


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"validation": {"every": 0}}, "[validation] every: must be at least 1 (got 0)"),
        ({"curriculum": {"stages": [200, 200]}}, "[curriculum] stages: each must be longer than the one before"),
        ({"curriculum": {"stages": []}}, "[curriculum] stages: must have at least 1 entries"),
        ({"curriculum": {}}, "a curriculum needs episodes that go in truncations (unroll.truncation)"),
        ({"curriculum": {}, "validation": {"patience": 2}}, "validation.patience must be 0"),
        ({"kind": "baselines", "validation": {}}, "[validation] has no meaning"),
    ],
)
def test_what_is_wrong_is_said(tables: dict[str, object], said: str) -> None:
    with pytest.raises(PresetError) as caught:
        check({"name": "a", **tables})
    assert said in str(caught.value)
