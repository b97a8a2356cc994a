"""Trainers: all of a run's state in one value, and the same numbers in chunks of any size."""

from dataclasses import astuple, replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from l2o_engine.backends.reference import TorchBackend
from l2o_engine.presets.schema import Preset
from l2o_engine.training.evaluation import Baselines
from l2o_engine.training.trainer import Chunk, Lane, MetaTrainer, Trainer, TrainerState, make_trainer
from tests.engine.tiny import INPUTS, PROBLEMS, arrays_of, tiny_baselines, tiny_preset

TRUNCATED = ("unroll.steps=12", "unroll.truncation=4")
PARALLEL = ("meta.batch=3", "unroll.shortest=4", "unroll.staggered=true")
PRESETS = {
    **{f"RNN, {name}": tiny_preset(setting) for name, setting in INPUTS.items()},
    "RNN, batch": tiny_preset("meta.batch=3"),
    "RNN, truncated": tiny_preset(*TRUNCATED, "problem.noise=0.1"),
    "RNN, parallel": tiny_preset(*TRUNCATED, *PARALLEL, 'inputs = {kind = "rnnprop"}', PROBLEMS["mixture"]),
    "MLP, parallel": tiny_preset(*TRUNCATED, *PARALLEL, 'inputs = {kind = "momenta"}', 'network = {kind = "mlp"}'),
    "baselines": tiny_baselines(),
}
every_preset = pytest.mark.parametrize("preset", PRESETS.values(), ids=PRESETS)


def a_trainer(preset: Preset, seed: int = 0) -> Trainer:
    experiment = preset.experiment
    return make_trainer(experiment, TorchBackend(experiment) if experiment.learned else None, seed)


def assert_same_state(one: TrainerState, other: TrainerState) -> None:
    assert (one.done, one.draws, one.episodes.keys()) == (other.done, other.draws, other.episodes.keys())
    for ours, theirs in zip(one.episodes.values(), other.episodes.values(), strict=True):
        assert repr(replace(ours, carried={})) == repr(replace(theirs, carried={}))  # NaN is no equal of itself
        assert ours.carried.keys() == theirs.carried.keys()
        for name, values in ours.carried.items():
            assert_array_equal(values, theirs.carried[name], name)
    assert (one.learner is None) == (other.learner is None)
    if one.learner and other.learner:
        for ours, theirs in zip(astuple(one.learner), astuple(other.learner), strict=True):
            assert_array_equal(ours, theirs)


def assert_same_chunks(one: list[Chunk], others: list[list[Chunk]]) -> None:
    for index, chunk in enumerate(one):
        parts = [other[index] for other in others]
        assert {part.lane for part in parts} == {chunk.lane}
        assert parts[0].first == chunk.first
        for name, values in arrays_of(chunk.results).items():
            assert_array_equal(values, np.concatenate([arrays_of(part.results)[name] for part in parts]), name)


@every_preset
def test_n_at_once_equal_n_one_at_a_time(preset: Preset) -> None:
    together, singly = a_trainer(preset), a_trainer(preset)
    assert_same_chunks(together.advance(6), [singly.advance(1) for _ in range(6)])
    assert_same_state(together.state(), singly.state())
    assert together.state().done == 6


@every_preset
def test_a_trainer_that_loads_a_state_goes_on_as_the_saved_one(preset: Preset) -> None:
    saved = a_trainer(preset, seed=3)
    saved.advance(4)
    loaded = a_trainer(preset, seed=8)
    loaded.load_state(saved.state())
    for ours, theirs in zip(saved.advance(3), loaded.advance(3), strict=True):
        assert ours.first == theirs.first == 4
        assert_array_equal(ours.results.losses, theirs.results.losses)
    assert_same_state(saved.state(), loaded.state())


@every_preset
def test_a_state_once_taken_does_not_change(preset: Preset) -> None:
    trainer, again = a_trainer(preset), a_trainer(preset)
    trainer.advance(2)
    state = trainer.state()
    trainer.advance(3)
    again.advance(2)
    assert_same_state(state, again.state())


def test_a_trainer_that_diverges_has_drawn_no_more_than_it_did() -> None:
    preset = tiny_preset("problem.scale=[1e30, 1e30]", "meta.non_finite=skip", "meta.max_non_finite=2")
    together, singly = a_trainer(preset), a_trainer(preset)
    together.advance(10)
    while not singly.state().diverged:
        singly.advance(1)
    assert together.state().diverged
    assert together.state().done == singly.state().done == 3
    assert_same_state(together.state(), singly.state())


@every_preset
def test_curves_disturb_nothing(preset: Preset) -> None:
    looked_at, left_alone = a_trainer(preset), a_trainer(preset)
    for trainer in (looked_at, left_alone):
        trainer.advance(2)
        if trainer is looked_at:
            trainer.curves(0, trainer.state())
            trainer.curves(1, trainer.state())
    assert_same_state(looked_at.state(), left_alone.state())


def test_the_optimizers_of_a_chart_share_its_problem_and_draws_are_numbered() -> None:
    trainer = a_trainer(PRESETS["RNN, log"])
    first, second = trainer.curves(0, trainer.state()), trainer.curves(1, trainer.state())
    assert list(first) == ["SGD", "RMSProp", "RNN"]
    assert first["SGD"][0] == first["RMSProp"][0] == first["RNN"][0] != second["RNN"][0]
    trainer.advance(1)
    later = trainer.curves(0, trainer.state())
    assert_array_equal(later["SGD"], first["SGD"])
    assert later["RNN"][0] == first["RNN"][0]
    assert (later["RNN"][1:] != first["RNN"][1:]).any()


@every_preset
def test_many_curves_are_those_of_one_problem_each(preset: Preset) -> None:
    trainer = a_trainer(preset)
    state = trainer.state()
    together = trainer.curves_of([3, 0], state).losses
    for place, draw in enumerate((3, 0)):
        for name, losses in trainer.curves(draw, state).items():
            assert_array_equal(together[name][place], losses, name)


def test_the_baselines_of_a_seed_run_on_the_draws_that_the_network_trains_on() -> None:
    learned = a_trainer(tiny_preset(), seed=4).advance(5)
    baselines = a_trainer(tiny_baselines(), seed=4).advance(5)
    assert [chunk.lane for chunk in baselines] == [Lane(4, "SGD"), Lane(4, "RMSProp")]
    for chunk in baselines:
        assert_array_equal(chunk.results.losses[..., 0], learned[0].results.losses[..., 0])


def test_an_experiment_s_draws_do_not_depend_on_its_network() -> None:
    one, other = (a_trainer(tiny_preset(f"network.hidden={hidden}")).advance(3)[0] for hidden in (2, 5))
    assert_array_equal(one.results.losses[..., 0], other.results.losses[..., 0])


@pytest.mark.parametrize("seed", [0, 7])
def test_levels_are_the_mean_logarithms_over_draws_of_the_seed(seed: int) -> None:
    one, same, other = (Baselines(tiny_baselines().experiment, of, 5).levels for of in (seed, seed, seed + 1))
    assert one == same != other
    assert list(one) == ["SGD", "RMSProp"]


def test_levels_leave_out_what_is_not_finite() -> None:
    preset = tiny_baselines("baseline.0.learning_rate=1e30", "unroll.steps=20")
    levels = Baselines(preset.experiment, 0).levels
    assert np.isnan(levels["SGD"])
    assert np.isfinite(levels["RMSProp"])


def test_a_level_is_that_of_the_losses_by_hand() -> None:
    always = ("problem.scale=[1.0, 1.0]", "problem.start=[1.0, 1.0]", "unroll.steps=3", "run.dtype=float64")
    level = Baselines(tiny_baselines(*always).experiment, 0).measured["SGD"]
    losses = [2.0, 2 * 0.8**2, 2 * 0.8**4]  # x ← x - 0.1·2x
    assert level.end_log10 == pytest.approx(np.log10(losses[-1]))
    assert level.sum_loss == pytest.approx(sum(losses))
    assert level.first_loss == pytest.approx(2.0)


def test_meta_training_needs_a_backend_and_a_network_s_state() -> None:
    with pytest.raises(ValueError, match="backend"):
        make_trainer(tiny_preset().experiment, None, 0)
    with pytest.raises(ValueError, match="no network"):
        a_trainer(tiny_preset()).load_state(a_trainer(tiny_baselines()).state())


@pytest.mark.parametrize("setting", [INPUTS["log"], "network.hidden=4", "run.dtype=float64"])
def test_a_state_of_another_experiment_is_refused(setting: str) -> None:
    with pytest.raises(ValueError, match="another network, other inputs or another dtype"):
        a_trainer(tiny_preset()).load_state(a_trainer(tiny_preset(setting)).state())


def test_chunks_go_to_the_total_and_each_holds_something() -> None:
    experiment = tiny_preset().experiment
    trainer = MetaTrainer(experiment, 0, TorchBackend(experiment))
    assert [(chunk.first, len(chunk.results)) for chunk in trainer.chunks(5, size=2)] == [(0, 2), (2, 2), (4, 1)]
    assert list(trainer.chunks(5)) == []
    assert (trainer.backend.name, trainer.reason) == ("torch", "given")
    with pytest.raises(ValueError, match="at least one"):
        next(trainer.chunks(9, size=0))
