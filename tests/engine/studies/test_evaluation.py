"""Judging the networks of runs beside their rivals on held-out draws."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from l2o_engine.backends import forward
from l2o_engine.backends.choose import BackendError
from l2o_engine.live.sizes import TooLargeError
from l2o_engine.presets.files import load, override
from l2o_engine.presets.shipped import find
from l2o_engine.runs import checkpoints
from l2o_engine.runs.checkpoints import Kind
from l2o_engine.runs.folder import Run
from l2o_engine.runs.record import RunError
from l2o_engine.studies.evaluation import (
    EvaluationError,
    Judged,
    judge,
    judging,
    matches_on,
    networks_of,
    other_problems,
    own_matches,
    rankings_of,
)
from l2o_engine.studies.evaluation.judging import DRAWS, draws_on
from l2o_engine.studies.evaluation.matches import problem_of
from l2o_engine.training.evaluation import evaluate
from tests.engine.tiny import run, tiny_baselines, tiny_preset

PRESET = tiny_preset("run.seeds=2")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("evaluation") / "trained"
    run(folder, PRESET)
    make_best(folder, 20)
    return Run(folder)


def make_best(folder: Path, iteration: int) -> None:
    """Let a checkpoint be the best one: a run of 30 meta-iterations has no report that counts."""
    path = folder / "checkpoints" / f"{iteration:012d}"
    path.with_suffix(".safetensors").rename(f"{path}{Kind.BEST}.safetensors")


def judged(trained: Run, *horizons: int, **options: Any) -> list[Judged]:
    matches = own_matches(networks_of(trained), (), horizons)
    settings: dict[str, Any] = {"draws": 50, "asked": "torch"} | options
    return list(judge(matches, **settings))


def test_all_are_judged_on_the_held_out_draws_as_the_library_judges_them(trained: Run) -> None:
    found = judged(trained)
    assert [(one.name, one.network.seed if one.network else None) for one in found] == [
        ("RNN", 0),
        ("RNN", 1),
        ("SGD", None),
        ("RMSProp", None),
    ]
    experiment = PRESET.experiment
    optimizers = [one.network.optimizer if one.network else one.rival for one in found]
    expected = evaluate([one for one in optimizers if one], experiment.task, problems=50, steps=4, seed=0)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.figures == pytest.approx(dict(theirs.figures), nan_ok=True)
        logs = np.log10(theirs.losses + 1e-38)
        np.testing.assert_allclose(ours.curve, np.quantile(logs, (0.25, 0.5, 0.75), axis=0), rtol=1e-6)
        assert_array_equal(ours.solved, (theirs.losses <= 1e-6).mean(axis=0))
    assert [one.computed_by for one in found] == ["torch", "torch", "numpy", "numpy"]


def test_in_parts_of_any_size_it_is_the_same_and_told_how_far_it_is(
    trained: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = judged(trained)
    told: list[float] = []
    monkeypatch.setitem(judging._OPERATIONS, "torch", 3 * 4 * 2 * PRESET.experiment.trained.layout.size)
    for one, other in zip(whole, judged(trained, told=told.append), strict=True):
        assert one.figures == pytest.approx(dict(other.figures), nan_ok=True, rel=1e-5)
    assert len(told) == 2 * 17 + 2
    assert told == sorted(told)
    assert told[-1] == pytest.approx(1)


def test_who_waits_may_end_it(trained: Run) -> None:
    def end(share: float) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        judged(trained, told=end)


def test_an_episode_in_truncations_has_its_closing_loss_beside_its_steps() -> None:
    whole = tiny_preset("unroll.steps=6")
    parts = tiny_preset("unroll.steps=6", "unroll.truncation=2")
    counted = [(problem.horizon, problem.steps) for problem in (problem_of(whole), problem_of(parts))]
    assert counted == [(6, 6), (6, 7)]
    longer = [problem_of(preset, steps=10) for preset in (whole, parts)]
    assert [(problem.horizon, problem.steps) for problem in longer] == [(10, 10), (10, 11)]


def test_longer_horizons_and_other_problems_are_judged_on_too(trained: Run) -> None:
    short, long = judged(trained, 4)[:2], judged(trained, 4, 9)[4:6]
    for one, other in zip(short, long, strict=True):
        np.testing.assert_allclose(one.curve, other.curve[:, :4], rtol=1e-4)
    networks = networks_of(trained)
    (match,) = matches_on([PRESET], networks, ["problem.dims=7", "problem.scale=[2, 3]"], [5])
    assert match.problem.name == "tiny (dims=7, scale=[2, 3])"
    assert (match.problem.task.size, match.problem.steps) == (7, 5)
    found = list(judge([match], draws=5, asked="torch", with_rivals=False))
    assert [one.curve.shape for one in found] == [(3, 5)] * 2
    for steps in (1, 10_001):
        with pytest.raises(EvaluationError, match="a horizon has 2 to 10,000 steps"):
            own_matches(networks, (), [steps])
    with pytest.raises(EvaluationError, match="only the problem can be changed"):
        own_matches(networks, ["run.seed=2"], ())


def test_other_problems_come_in_the_order_in_which_they_are_told_and_functions_behind() -> None:
    names = [one.name for one in other_problems(load(find("log30")))]
    assert names[:6] == ["rotated2", "rotated10", "rosenbrock", "rastrigin", "mixture", "generalist"]
    assert names[-3:] == ["rosenbrock_hard", "matyas", "michalewicz"]


def test_runs_of_one_problem_are_judged_together_and_ranked_on_both_counts(trained: Run, tmp_path: Path) -> None:
    other = override(PRESET, ["name=other", "run.seeds=1", "inputs={kind='log', min_log=-5.0}"])
    run(tmp_path / "other", other)
    (match,) = own_matches([*networks_of(trained), *networks_of(Run(tmp_path / "other"))], (), ())
    assert match.problem.name == "tiny, other"
    (ranking,) = rankings_of(judge([match], draws=50, asked="torch"))
    assert {one.label: len(one.judged) for one in ranking.contenders} == {"tiny": 2, "other": 1, "SGD": 1, "RMSProp": 1}
    for ranks, figure in ((ranking.by_end, "end_log10_mean"), (ranking.by_sum, "sum_median")):
        values = [one.figure(figure) for one in ranking.contenders]
        assert sorted(ranks) == [1, 2, 3, 4]
        assert sorted(values) == [values[ranks.index(rank)] for rank in (1, 2, 3, 4)]
    assert ranking.by_end == (1, 2, 3, 4)


def with_figures(judged: Sequence[Judged], *changes: dict[str, float]) -> list[Judged]:
    return [replace(one, figures={**one.figures, **change}) for one, change in zip(judged, changes, strict=True)]


def test_who_loses_draws_comes_last_however_good_the_rest_is_and_seeds_count_by_their_median(trained: Run) -> None:
    changes = (
        {"end_log10_mean": -30.0, "lost": 1},
        {"end_log10_mean": -20.0, "lost": 1},
        {"end_log10_mean": -3.0, "lost": 0},
        {"end_log10_mean": float("nan"), "lost": 50},
    )
    (ranking,) = rankings_of(with_figures(judged(trained), *changes))
    assert [one.label for one in ranking.contenders] == ["SGD", "RNN", "RMSProp"]
    rnn = ranking.contenders[1]
    assert (rnn.figure("end_log10_mean"), rnn.range("end_log10_mean")) == (-25, (-30, -20))
    assert [one.loses for one in ranking.contenders] == [False, True, True]


def test_the_best_checkpoint_is_judged_unless_the_newest_is_asked_for(trained: Run) -> None:
    newest = networks_of(trained, newest=True)
    assert {(one.iteration, one.is_best) for one in newest} == {(30, False)}
    best = trained.best_checkpoint()
    chosen = networks_of(trained)
    assert best is not None
    assert {(one.iteration, one.is_best) for one in chosen} == {(20, True)}
    state = checkpoints.read(best, PRESET.experiment).trainers[1].learner
    assert state is not None
    assert_array_equal(chosen[1].optimizer.weights, state.weights)


def test_a_damaged_best_checkpoint_leaves_the_newest_and_without_any_there_is_one_message(tmp_path: Path) -> None:
    run(tmp_path / "run", tiny_preset())
    there = Run(tmp_path / "run")
    make_best(there.folder, 20)
    best = there.best_checkpoint()
    assert best is not None
    best.write_bytes(b"damaged")
    assert [(one.iteration, one.is_best) for one in networks_of(there)] == [(30, False)]
    for path in checkpoints.newest_first(there.checkpoints_path):
        path.write_bytes(b"damaged")
    with pytest.raises(RunError, match="the weights of run cannot be read"):
        networks_of(there)
    run(tmp_path / "baselines", tiny_baselines())
    with pytest.raises(RunError, match="trains no optimizer"):
        networks_of(Run(tmp_path / "baselines"))


def test_without_a_draw_or_the_memory_nothing_is_judged(trained: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EvaluationError, match="one draw at least"):
        judged(trained, draws=0)
    monkeypatch.setattr(judging, "available_memory", lambda: (10_000, "this machine"))
    with pytest.raises(TooLargeError, match=r"50 draws of 9 steps .* this machine has 10 kB free"):
        judged(trained, 4, 9)


def test_a_problem_that_the_kernel_does_not_have_is_torchs(trained: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forward, "why_not_forward", lambda name, experiment: "it is odd")
    assert judged(trained, asked="auto")[0].computed_by == "torch"
    with pytest.raises(BackendError, match="it is odd"):
        judged(trained, asked="fused")


def test_what_was_trained_by_a_curriculum_is_judged_like_any_other(tmp_path: Path) -> None:
    settings = ("unroll.steps=4", "unroll.truncation=2", "curriculum.stages=[6, 8]", "validation.every=2")
    preset = tiny_preset(*settings, "validation.tasks=2", "run.iterations=8")
    run(tmp_path / "run", preset)
    (match,) = own_matches(networks_of(Run(tmp_path / "run")), (), ())
    found = list(judge([match], draws=3, asked="torch", with_rivals=False))
    assert [one.curve.shape for one in found] == [(3, 5)]


@pytest.mark.parametrize(
    ("preset", "draws"),
    [("log30", DRAWS), ("dm_quadratic", DRAWS), ("dm_digits", 56), ("dm_fashion_mnist", 20), ("dm_cifar10", 20)],
)
def test_how_many_draws_where_nobody_says(preset: str, draws: int) -> None:
    assert draws_on(problem_of(load(find(preset), []))) == draws
