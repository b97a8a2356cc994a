"""Imitation: what a network learns of a teacher, when, and that nothing else changes by it."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from l2o_engine.backends.imitation import imitate
from l2o_engine.meta.experiment import Experiment
from l2o_engine.meta.imitation import Imitation, Moments
from l2o_engine.meta.learner import Learner
from l2o_engine.meta.meta_adam import MetaAdam
from l2o_engine.meta.truncation import Truncation
from l2o_engine.optimizers.adam import Adam
from l2o_engine.optimizers.learned.inputs.momenta import Momenta
from l2o_engine.optimizers.learned.learned_optimizer import LearnedOptimizer
from l2o_engine.optimizers.learned.networks.linear import Linear
from l2o_engine.optimizers.learned.networks.mlp import MLP
from l2o_engine.optimizers.momentum import Momentum
from l2o_engine.optimizers.sgd import Sgd
from l2o_engine.presets.files import check, override
from l2o_engine.presets.messages import PresetError
from l2o_engine.presets.schema import Preset
from l2o_engine.records.events import Imitated
from l2o_engine.runs.folder import Run
from l2o_engine.tasks.quadratic import Quadratic
from l2o_engine.training.imitating import Imitating, Likeness, lessons
from l2o_engine.training.trainer import MetaTrainer, TrainerState
from tests.engine.tiny import of_kind, resume, run, tiny_preset

LINEAR = Experiment(
    Quadratic(), LearnedOptimizer(Linear()), truncation=Truncation(4, of=12), meta=MetaAdam(batch=2), dtype="float64"
)
TEACHER = Imitation(probability=(1.0,), learning_rate=0.05, teacher=Sgd(0.1))


def beginning(experiment: Experiment) -> tuple[Learner, Moments]:
    learner = MetaTrainer(experiment, backend="torch").state().learner
    assert learner is not None
    zero = np.zeros_like(learner.weights)
    return learner, Moments(zero, zero)


def a_task(steps: int = 12) -> Any:
    return Quadratic().draw(np.random.default_rng(0), 1, 2, steps=steps, dtype="float64")[0]


# What is learned.


def test_one_truncation_is_one_step_of_adam_along_half_the_mean_squared_difference() -> None:
    learner, moments = beginning(LINEAR)
    learner = replace(learner, weights=np.array([0.3, -0.2]))
    task = a_task()
    taught = list(lessons(Sgd(0.1), task, 4))
    assert all(np.allclose(update, -0.1 * gradient) for gradient, update in taught)
    after, found, losses = imitate(LINEAR, TEACHER, learner, moments, task.start, taught)
    slope = np.zeros(2)
    for gradient, update in taught:
        missed = 0.3 * gradient - 0.2 - update
        slope += [(missed * gradient).mean(), missed.mean()]
    adam = replace(MetaAdam(), learning_rate=0.05)
    powers = adam.advance(moments.powers)
    mean, square = (1 - adam.constants.beta1) * slope, (1 - adam.constants.beta2) * slope**2
    differences = [((0.3 * gradient - 0.2 - update) ** 2).mean() for gradient, update in taught]
    assert losses == [pytest.approx(0.5 * sum(differences))]
    expected = learner.weights - adam.rate(powers) * mean / (np.sqrt(square) + adam.constants.epsilon)
    np.testing.assert_allclose(after.weights, expected, rtol=1e-12)
    np.testing.assert_allclose(found.moment1, mean, rtol=1e-12)
    assert found.powers == powers
    for name in ("moment1", "moment2", "powers", "numbers"):
        assert_array_equal(getattr(after, name), getattr(learner, name))


def test_gradient_descent_is_learned_by_who_can_do_it() -> None:
    learner, moments = beginning(LINEAR)
    imitating, likenesses = Imitating(replace(LINEAR, imitation=TEACHER), 0), list[Likeness]()
    for done in range(60):
        learner, moments, likeness = imitating.before_episode(learner, moments, done=done, stage=0)
        likenesses += [likeness] if likeness else []
    assert learner.weights == pytest.approx([-0.1, 0.0], abs=1e-3)
    assert {likeness.truncations for likeness in likenesses} == {3}
    assert likenesses[-1].last < 1e-3 * likenesses[0].first  # none is as unlike as the first


def test_what_is_remembered_of_x_goes_where_the_teacher_goes() -> None:
    learned = LearnedOptimizer(MLP(hidden=4), Momenta())
    weights = learned.initialise(np.random.default_rng(0), "float64")
    experiment = replace(LINEAR, learned=learned)
    optimizer = learned.with_weights(weights).on(experiment.task)
    task = a_task()
    x, state = optimizer.resumed(optimizer.beginning(task.start))
    (first, *_), taken = lessons(Sgd(0.1), task, 1), x.new_ones(x.shape)
    own, moved = optimizer.update(torch.from_numpy(first[0]), state, taken=taken)
    assert_array_equal(moved.memory["x"], task.start + 1)
    assert (own != taken).all()


def test_a_teacher_that_diverges_teaches_what_was_finite_and_one_that_looks_is_let() -> None:
    task = a_task(2000)
    taught = list(lessons(Sgd(1e6), task, 2000))
    assert 0 < len(taught) < 2000
    assert all(np.isfinite(part).all() for lesson in taught for part in lesson)
    learner, moments = beginning(LINEAR)
    after, _, losses = imitate(LINEAR, TEACHER, learner, moments, task.start, taught)
    assert np.isfinite(after.weights).all()
    assert 0 < len(losses) <= len(taught) / 4
    assert np.isfinite(losses).all()
    assert len(list(lessons(Momentum(0.01, nesterov=True), task, 5))) == 5


# When.


def test_it_comes_with_its_probability_and_for_each_stage_with_its_own() -> None:
    learner, moments = beginning(LINEAR)
    rules = replace(TEACHER, probability=(0.0, 0.3, 1.0))
    experiment = replace(LINEAR, imitation=rules)
    curricular = check(
        {"name": "a", "unroll": {"steps": 4, "truncation": 2}, "curriculum": {"stages": [6, 8, 10]}, "imitation": {}}
    ).experiment
    assert [rules.probability_of(stage, 1_000) for stage in range(4)] == [0.0, 0.3, 1.0, 1.0]
    imitating = Imitating(replace(experiment, curriculum=curricular.curriculum, validation=curricular.validation,
                                  truncation=curricular.truncation), 0)  # fmt: skip
    shares = []
    for stage in range(4):
        came = [
            imitating.before_episode(learner, moments, done=done, stage=stage)[0] is not learner for done in range(60)
        ]
        shares.append(sum(came) / 60)
    assert shares == [0.0, pytest.approx(0.3, abs=0.12), 1.0, 1.0]


def test_it_comes_no_more_from_a_meta_iteration_on() -> None:
    learner, moments = beginning(LINEAR)
    imitating = Imitating(replace(LINEAR, imitation=replace(TEACHER, until=5)), 0)
    came = [imitating.before_episode(learner, moments, done=done, stage=0)[2] is not None for done in range(8)]
    assert came == [True] * 5 + [False] * 3


# A trainer, and a run.

WHOLE = tiny_preset("imitation.probability=0.5")
TRUNCATED = tiny_preset(
    *("unroll.steps=4", "unroll.truncation=2", "meta.batch=2", "unroll.staggered=true", "validation.every=2"),
    *("validation.tasks=2", "imitation.probability=[0.5, 1]", "curriculum.stages=[6]"),
)


def a_trainer(preset: Preset) -> MetaTrainer:
    return MetaTrainer(preset.experiment, 0, "torch")


def assert_same(one: TrainerState, other: TrainerState) -> None:
    assert (one.done, one.draws) == (other.done, other.draws)
    assert one.learner is not None
    assert other.learner is not None
    assert one.moments is not None
    assert other.moments is not None
    assert_array_equal(one.learner.weights, other.learner.weights)
    assert_array_equal(one.moments.moment1, other.moments.moment1)
    assert one.moments.powers == other.moments.powers


def test_the_training_s_draws_are_as_without() -> None:
    plain = tiny_preset()
    (without,), (beside,), (never,) = (
        a_trainer(preset).advance(8) for preset in (plain, WHOLE, tiny_preset("imitation.probability=0"))
    )
    assert_array_equal(without.results.losses, never.results.losses)
    assert_array_equal(without.results.losses[:, :, 0], beside.results.losses[:, :, 0])
    assert (without.results.losses[:, :, -1] != beside.results.losses[:, :, -1]).any()


@pytest.mark.parametrize("preset", [WHOLE, TRUNCATED], ids=["whole episodes", "truncations"])
def test_n_at_once_equal_n_one_at_a_time_and_a_loaded_state_goes_on(preset: Preset) -> None:
    together, singly, loaded = (a_trainer(preset) for _ in range(3))
    (chunk,) = together.advance(9)
    parts = []
    for k in range(9):
        parts += singly.advance(1)
        if k == 4:
            loaded.load_state(singly.state())
    assert_array_equal(chunk.results.losses, np.concatenate([part.results.losses for part in parts]))
    assert_same(together.state(), singly.state())
    loaded.advance(4)
    assert_same(together.state(), loaded.state())
    moments = together.state().moments
    assert moments is not None
    assert moments.powers.beta1 < 1  # there was one


@pytest.mark.parametrize("preset", [WHOLE, TRUNCATED], ids=["whole episodes", "truncations"])
def test_resumed_equals_uninterrupted(preset: Preset, tmp_path: Path) -> None:
    run(tmp_path / "whole", override(preset, ["run.iterations=12"]))
    run(tmp_path / "part", override(preset, ["run.iterations=5"]))
    resume(tmp_path / "part", iterations=12)
    states = [Run(tmp_path / name).checkpoint().trainers[0] for name in ("whole", "part")]
    assert states[0].done == 13
    assert_same(*states)


@pytest.mark.parametrize("preset", [WHOLE, TRUNCATED], ids=["whole episodes", "truncations"])
def test_a_run_tells_its_imitations_each_once_whatever_the_chunks(preset: Preset, tmp_path: Path) -> None:
    told = of_kind(run(tmp_path / "whole", preset), Imitated)
    assert len(told) > 1
    (chunk,) = a_trainer(preset).advance(31)
    assert tuple(event.likeness for event in told) == chunk.likenesses
    assert of_kind(run(tmp_path / "parts", preset, chunk=7), Imitated) == told
    names = [json.loads(line)["event"] for line in (tmp_path / "whole" / "events.jsonl").read_text().splitlines()]
    assert names.count("imitation") == len(told)
    cut = of_kind(run(tmp_path / "part", override(preset, ["run.iterations=5"])), Imitated)
    assert [*cut, *of_kind(resume(tmp_path / "part", iterations=30), Imitated)] == told


# In a preset.


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"probability": 1.5}, "[imitation] probability"),
        ({"probability": []}, "[imitation] probability: must have at least 1 entries"),
        ({"teacher": {"kind": "adamm"}}, '"adamm"'),
        ({"teacher": {"kind": "adam", "rate": 1}}, "[imitation] teacher rate: unknown key"),
    ],
)
def test_what_is_wrong_is_said(table: dict[str, object], said: str) -> None:
    with pytest.raises(PresetError) as caught:
        check({"name": "a", "imitation": table})
    assert said in str(caught.value)


def test_the_teacher_is_the_one_of_the_paper_unless_another_is_given() -> None:
    assert Imitation().teacher == Adam(0.01)
    assert check({"name": "a", "imitation": {"teacher": {"kind": "sgd"}}}).experiment.imitation == Imitation(
        teacher=Sgd()
    )
