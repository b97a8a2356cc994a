"""Optimizers judged on tasks that nothing was trained on."""

import numpy as np
import pytest

from l2o_engine.backends.reference import TorchBackend
from l2o_engine.optimizers.base import course, run
from l2o_engine.optimizers.rmsprop import RmsProp
from l2o_engine.optimizers.sgd import Sgd
from l2o_engine.support.arrays import Floats
from l2o_engine.support.processes import EndedError
from l2o_engine.tasks.quadratic import Quadratic
from l2o_engine.training import evaluation
from l2o_engine.training.evaluation import Baselines, base_curves, evaluate
from l2o_engine.training.streams import Streams, generator_of
from l2o_engine.training.trainer import MetaTrainer
from tests.engine.averages import Averages
from tests.engine.tiny import tiny_baselines, tiny_preset


def test_all_optimizers_see_the_same_tasks_and_a_learned_one_is_one_of_them() -> None:
    experiment = tiny_preset().experiment
    trainer = MetaTrainer(experiment, 0, TorchBackend(experiment))
    results = evaluate([trainer.optimizer(), Sgd(), RmsProp()], experiment.task, problems=20, steps=6)
    assert [result.name for result in results] == ["RNN", "SGD", "RMSProp"]
    for result in results:
        assert result.losses.shape == (20, 6)
        np.testing.assert_array_equal(result.losses[:, 0], results[0].losses[:, 0])
        assert (result.losses[:, 1:] != result.losses[:, :1]).all()


class HeldOut(Averages):
    """Its held-out loss is what a test can tell from any other: of the points alone."""

    has_held_out = True

    def held_out_loss(self, x: Floats) -> Floats:
        held_out: Floats = (x**2).sum((-1, -2))
        return held_out


def test_the_loss_over_held_out_data_is_looked_at_along_the_way() -> None:
    looks = tuple(range(0, 21, 2))
    task = HeldOut().draw(np.random.default_rng(0), 1, 1, steps=21, dtype="float64")
    seen: dict[int, Floats] = {}
    losses, _ = course(Sgd(), task, 21, seen=lambda step, x: seen.update({step: x[:, 0].copy()}))
    found = base_curves([Sgd(), RmsProp()], task, 21)
    assert set(found.losses) == set(found.held_out) == {"SGD", "RMSProp"}
    np.testing.assert_array_equal(found.losses["SGD"], losses[:, 0])
    assert found.looks == looks
    expected = [(seen[step] ** 2).sum((-1, -2)) for step in looks]
    np.testing.assert_array_equal(found.held_out["SGD"], np.stack(expected, axis=-1))
    one = found.of_one()
    assert (one.losses["SGD"].shape, one.held_out["SGD"].shape) == ((21,), (len(looks),))


@pytest.mark.parametrize("family", [Averages(), HeldOut()])
def test_of_several_tasks_or_where_there_is_no_held_out_data_it_is_not_looked_at(
    family: Averages, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation, "_COORDINATES", 2 * family.size)  # two at once
    task = family.draw(np.random.default_rng(0), 5, 1, steps=4, dtype="float64")
    found = base_curves([RmsProp()], task, 4)
    assert (found.held_out, found.looks) == ({}, ())
    np.testing.assert_array_equal(found.losses["RMSProp"], run(RmsProp(), task, 4)[:, 0])


def test_the_tasks_are_none_that_the_seed_trains_on_or_measures_levels_with() -> None:
    experiment, task = tiny_preset().experiment, Quadratic()
    (judged,) = evaluate([Sgd()], task, problems=50, steps=2, seed=3)
    trained = MetaTrainer(experiment, 3, TorchBackend(experiment)).advance(50)[0].results.losses[..., 0]
    levels = task.draw(generator_of(Streams(3).levels), 50, 1, steps=2, dtype="float32")
    for others in (trained, levels.loss(levels.start)):
        assert not set(judged.losses[:, 0]) & set(others.astype(np.float64).ravel())


def test_drawing_in_parts_gives_the_same_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = evaluate([Sgd()], Quadratic(), problems=11, steps=4)[0]
    monkeypatch.setattr(evaluation, "_MOST_NUMBERS", 3 * 2 * 4)
    parts = evaluate([Sgd()], Quadratic(), problems=11, steps=4)[0]
    np.testing.assert_array_equal(whole.losses, parts.losses)


@pytest.mark.parametrize("wrong", [{"problems": 0}, {"steps": 0}])
def test_without_a_problem_or_a_step_there_is_nothing_to_evaluate(wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="at least one"):
        evaluate([Sgd()], Quadratic(), problems=wrong.get("problems", 1), steps=wrong.get("steps", 1))


def test_levels_are_over_as_many_draws_as_are_asked_for() -> None:
    experiment = tiny_preset().experiment
    few, many = (Baselines(experiment, 0, draws).levels["SGD"] for draws in (5, 4000))
    again = Baselines(experiment, 0, 5).levels["SGD"]
    assert few == again != many


def test_tasks_are_of_the_dtype_of_the_weights() -> None:
    experiments = [tiny_preset(f"run.dtype={dtype}").experiment for dtype in ("float32", "float64")]
    single, double = (MetaTrainer(one, 0, TorchBackend(one)).optimizer() for one in experiments)
    (found,) = evaluate([double], Quadratic(), problems=3, steps=3)
    assert np.isfinite(found.losses).all()
    with pytest.raises(ValueError, match="float32 and float64 cannot run on the same"):
        evaluate([single, double], Quadratic(), problems=3, steps=3)
    with pytest.raises(ValueError, match="of float64 cannot run on float32"):
        evaluate([double], Quadratic(), problems=3, steps=3, dtype="float32")


def test_no_task_is_no_curve() -> None:
    with pytest.raises(ValueError, match="no task"):
        Baselines(tiny_preset().experiment, 0).curve_tasks([])


def test_levels_are_the_same_to_the_last_bit_however_many_draws_are_made_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    experiment = tiny_baselines("problem.dims=3", "problem.scale=[0.5, 1e19]").experiment
    whole = Baselines(experiment, 4, 100).measured
    for at_once in (1, 7, 99):
        monkeypatch.setattr(evaluation, "_MOST_NUMBERS", at_once * 3 * experiment.steps)
        assert repr(Baselines(experiment, 4, 100).measured) == repr(whole)  # NaN too


def test_who_waits_for_the_levels_is_called_between_the_steps_and_may_end_it() -> None:
    calls: list[int] = []

    def between() -> None:
        calls.append(1)
        if len(calls) == 3:
            raise EndedError

    with pytest.raises(EndedError):
        Baselines(tiny_baselines().experiment, 0, 1).measure(between)
