"""Rivals at their best: the published figures, the edge of a grid, exploits, what is not finite."""

from dataclasses import replace
from math import inf, nan
from typing import Any

import numpy as np
import pytest

import l2o_engine as l2o
from l2o_engine.optimizers.adam import Adam
from l2o_engine.optimizers.base import OPTIMIZERS, HandDesigned, run
from l2o_engine.optimizers.momentum import Momentum
from l2o_engine.optimizers.rmsprop import RmsProp
from l2o_engine.optimizers.sgd import Sgd
from l2o_engine.optimizers.tuned import tuned_by
from l2o_engine.optimizers.vsgd import VSgd
from l2o_engine.studies import tuning
from l2o_engine.studies.tuning import RIVALS, Found, Problem, Progress, Reached, check_room, tune, tune_rivals
from l2o_engine.support.errors import UserError
from l2o_engine.tasks.mixture import Mixture
from l2o_engine.tasks.quadratic import Quadratic
from l2o_engine.training.streams import Streams, generator_of
from tests.engine.averages import Averages

SMALL = Problem(Quadratic(), draws=60, dtype="float64")


def found_by(problem: Problem, *rivals: str, **options: Any) -> list[Found]:
    return list(tune_rivals(problem, rivals, **options))


# The table of FIDELITY, "Episode 3": 5,000 draws, float64, each rival at the best learning rate of this grid.

PUBLISHED = {
    ("sgd", "end"): (0.355, -12.21, 0.908),
    ("momentum", "end"): (0.018, -1.78, 4.01),
    ("nesterov", "end"): (0.28, -7.18, 0.919),
    ("rmsprop", "end"): (4.5, -37.97, 4213.0),
    ("adam", "end"): (0.05, -2.11, 4.23),
    ("sgd", "sum"): (0.398, -11.75, 0.996),
    ("momentum", "sum"): (0.112, -1.69, 3.48),
    ("nesterov", "sum"): (0.28, -7.18, 0.919),
    ("rmsprop", "sum"): (0.045, -15.70, 0.971),
    ("adam", "sum"): (0.22, -1.74, 2.31),
}


@pytest.fixture(scope="module")
def at_best_rates() -> list[Found]:
    problem = Problem(Quadratic(), draws=5000, dtype="float64")
    return found_by(problem, "sgd", "momentum", "nesterov", "rmsprop", "adam", rate_only=True)


@pytest.mark.parametrize(("rival", "metric"), PUBLISHED)
def test_the_published_figures_come_out(at_best_rates: list[Found], rival: str, metric: str) -> None:
    rate, end, total = PUBLISHED[rival, metric]
    best = next(one for one in at_best_rates if (one.rival, one.metric) == (rival, metric))
    assert best.optimizer.settings["learning_rate"] == pytest.approx(rate, rel=0.13)  # or its neighbour on the grid
    assert best.figures["sum_mean"] == pytest.approx(total, rel=0.05, abs=0.3)
    assert best.figures["non_finite"] == 0
    figures = best.figures
    if (rival, metric) == ("rmsprop", "sum"):  # 0.0447 and 0.0501 differ by 0.2 % in what they are chosen by
        there = replace(best.optimizer, learning_rate=0.0447)  # type: ignore[type-var]
        figures = l2o.evaluate([there], Quadratic(), problems=5000, dtype="float64")[0].figures
        assert best.figures["sum_median"] <= figures["sum_median"] + 1e-3
    assert figures["end_log10_mean"] == pytest.approx(end, abs=0.3)


def test_rmsprop_s_giant_step_is_an_exploit_and_what_is_none_comes_behind_it(at_best_rates: list[Found]) -> None:
    assert [one.rival for one in at_best_rates if one.is_exploit] == ["rmsprop"]
    exploit, honest = [one for one in at_best_rates if (one.rival, one.metric) == ("rmsprop", "end")]
    assert exploit.is_exploit
    assert -37 < honest.figures["end_log10_mean"] < -18
    task = Quadratic().draw(generator_of(Streams(0).tuning), 5000, 1, steps=20, dtype="float64")
    assert honest.reached.sum < 20 * np.median(task.loss(task.start)) < exploit.reached.sum


# The same table on the rotated problem, in 2 and in 10 dimensions.

ROTATED = [
    (2, Sgd(0.355), -12.47, 0.894),
    (2, Sgd(0.398), -11.94, 0.980),
    (2, Momentum(0.018), -1.79, 3.96),
    (2, Momentum(0.112), -1.74, 3.44),
    (2, Momentum(0.28, nesterov=True), -7.26, 0.906),
    (2, RmsProp(5.6), -20.19, 7356.0),
    (2, RmsProp(0.045), -12.46, 0.993),
    (2, Adam(0.05), -2.09, 4.17),
    (2, Adam(0.22), -1.80, 2.30),
    (10, Sgd(0.355), -6.08, 4.46),
    (10, RmsProp(0.05), -4.79, 5.30),
    (10, Momentum(0.28, nesterov=True), -4.20, 4.52),
]


@pytest.mark.parametrize("dims", [2, 10])
def test_the_published_settings_reach_the_published_figures_on_rotated_problems(dims: int) -> None:
    rows = [row for row in ROTATED if row[0] == dims]
    family = Quadratic(dims=dims, rotation="uniform")
    judged = l2o.evaluate([row[1] for row in rows], family, problems=5000, dtype="float64")
    for (_, _, end, total), reached in zip(rows, judged, strict=True):
        assert reached.end_log10_mean == pytest.approx(end, abs=0.3)
        assert reached.sum_mean == pytest.approx(total, rel=0.05, abs=0.3)


@pytest.mark.soak
@pytest.mark.parametrize("dims", [2, 10])
def test_tuning_finds_the_published_settings_on_rotated_problems(dims: int) -> None:
    problem = Problem(Quadratic(dims=dims, rotation="uniform"), draws=10_000 // dims, dtype="float64")
    found = found_by(problem, "sgd", "momentum", "nesterov", "rmsprop", "adam", rate_only=True)
    rates = {(one.optimizer.name, one.optimizer.settings["learning_rate"]) for one in found}
    for _, rule, *_ in (row for row in ROTATED if row[0] == dims):
        rate = rule.settings["learning_rate"]
        assert any(name == rule.name and other == pytest.approx(rate, rel=0.13) for name, other in rates)


# The search.


def test_the_grid_is_of_the_ratio_that_it_is_said_to_be_and_of_three_digits() -> None:
    rates = [tuning._rate(place) for place in range(tuning._FIRST, tuning._LAST + 1)]
    assert (rates[0], rates[-1]) == (1e-4, 10.0)
    ratios = np.divide(rates[1:], rates[:-1])
    np.testing.assert_allclose(ratios, 10**0.05, rtol=0.01)
    assert all(float(f"{rate:.3g}") == rate for rate in rates)


def test_other_settings_are_searched_each_with_its_own_learning_rate() -> None:
    alone, every = found_by(SMALL, "adam", metrics=["end"])
    assert (alone.searched, alone.is_all) == (("learning_rate",), False)
    assert (every.searched, every.is_all) == (("learning_rate", "beta1", "beta2"), True)
    assert alone.optimizer.settings["beta1"] == 0.9
    assert every.optimizer.settings["beta1"] < 0.9
    assert every.reached.end < alone.reached.end - 3
    assert every.figures["end_log10_mean"] < alone.figures["end_log10_mean"] - 3


def test_a_rule_without_a_learning_rate_is_tried_in_all_combinations() -> None:
    default, best = found_by(SMALL, "vsgd", metrics=["end"])
    assert (default.searched, best.searched) == ((), ("variant", "samples", "slow_start"))
    assert default.optimizer == replace(VSgd(), tuned=default.optimizer.tuned)  # type: ignore[attr-defined]
    assert (best.optimizer.settings["samples"], best.optimizer.settings["variant"]) == (
        1,
        "l",
    )  # Newton's method, along the axes
    assert best.figures["end_log10_mean"] == -38


@pytest.mark.parametrize(("first", "last"), [(0, 5), (-60, -50)])
def test_a_grid_whose_edge_is_the_best_is_widened(first: int, last: int, monkeypatch: pytest.MonkeyPatch) -> None:
    problem = replace(SMALL, draws=500)
    (whole,) = found_by(problem, "sgd", metrics=["sum"])
    monkeypatch.setattr(tuning, "_FIRST", first)
    monkeypatch.setattr(tuning, "_LAST", last)
    (widened,) = found_by(problem, "sgd", metrics=["sum"])
    assert widened.optimizer.settings == whole.optimizer.settings
    assert not widened.at_bound


@pytest.mark.parametrize(("bound", "edge"), [("_LEAST", 0), ("_GREATEST", -40)])
def test_widening_ends_at_a_bound_which_is_said(bound: str, edge: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "_FIRST", edge)
    monkeypatch.setattr(tuning, "_LAST", edge)
    monkeypatch.setattr(tuning, bound, edge)
    (found,) = found_by(SMALL, "sgd", metrics=["end"])
    assert found.optimizer.settings["learning_rate"] == tuning._rate(edge)
    assert found.at_bound


def test_what_is_done_in_parts_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rules: list[HandDesigned] = [RmsProp(rate) for rate in (1e-3, 0.1, 4.5, 1e9)]
    whole = tuning._reached_by(rules, SMALL)
    monkeypatch.setattr(tuning, "_NUMBERS_AT_ONCE", 30)
    monkeypatch.setattr(tuning, "_MOST_NUMBERS", 2 * SMALL.draws)
    assert tuning._reached_by(rules, SMALL) == whole


def test_what_was_reached_is_what_the_rules_reach_on_the_stream_s_tasks() -> None:
    rules: list[HandDesigned] = [RmsProp(0.1), RmsProp(4.5)]
    task = SMALL.draw(generator_of(Streams(0).tuning), SMALL.draws)
    for rule, reached in zip(rules, tuning._reached_by(rules, SMALL), strict=True):
        losses = run(rule, task, SMALL.steps)[:, 0]
        assert reached.end == pytest.approx(np.log10(losses[:, -1] + 1e-38).mean())
        assert reached.sum == pytest.approx(np.median(losses.sum(-1)))
        assert reached.lost == 0
        assert reached.is_exploit == (rule.learning_rate == 4.5)  # type: ignore[attr-defined]


def test_the_further_stream_leaves_those_before_it_and_judges_by_others() -> None:
    streams, before = Streams(7), np.random.SeedSequence(7).spawn(5)
    ours = (streams.weights, streams.draws, streams.curves, streams.levels, streams.held_out)
    assert [one.spawn_key for one in ours] == [one.spawn_key for one in before]
    starts = [SMALL.draw(generator_of(one), 50).start for one in (streams.tuning, *ours)]
    assert not any(set(starts[0].ravel()) & set(others.ravel()) for others in starts[1:])


# What is better.


def test_a_setting_that_loses_fewer_tasks_is_better_and_then_the_lower_figure() -> None:
    best_first = [
        Reached(-3.0, 9.0, 0, False),
        Reached(-2.0, 7.0, 0, False),
        Reached(nan, 8.0, 0, False),
        Reached(-30.0, 1.0, 1, False),
        Reached(nan, inf, 60, False),
    ]
    by_end = sorted([best_first[place] for place in (3, 1, 4, 0, 2)], key=lambda one: one.rank("end"))
    assert repr(by_end) == repr(best_first)
    assert [one.sum for one in sorted(best_first, key=lambda one: one.rank("sum"))] == [7.0, 8.0, 9.0, 1.0, inf]


def test_an_exploit_costs_more_than_standing_still_and_ends_no_higher() -> None:
    first = np.full(5, 2.0)
    none, half = np.zeros(5), np.array([1.0, 1.0, 3.0, 3.0, 3.0])
    for last, total, expected in (
        (none, np.full(5, 41.0), True),
        (none, np.full(5, 40.0), False),
        (none, np.array([50.0, 50.0, 39.0, 39.0, 39.0]), False),
        (half, np.full(5, 41.0), False),
    ):
        assert tuning._reached(first, last, total, steps=20).is_exploit == expected


def test_a_diverging_rule_is_no_exploit_and_its_lost_tasks_are_counted() -> None:
    (reached,) = tuning._reached_by([Sgd(1e30)], replace(SMALL, dtype="float32"))
    assert reached == Reached(reached.end, inf, SMALL.draws, False)
    assert np.isnan(reached.end)


def test_a_task_is_lost_whose_last_loss_is_not_finite_or_a_million_times_where_tasks_begin() -> None:
    first, last = np.array([1e-9, 2.0, 2.0, 2.0, nan]), np.array([1.0, 1.9e6, 2.1e6, 1e30, nan])
    assert tuning._reached(first, last, first + last, steps=2).lost == 3
    assert tuning._reached(np.zeros(3), np.zeros(3), np.zeros(3), steps=2).lost == 0


def test_what_diverges_on_some_tasks_is_not_the_best_though_most_would_not_mind() -> None:
    family = Mixture(of=(Quadratic(), Quadratic(scale=(3.0, 3.0))), weights=(4.0, 1.0))
    (found,) = found_by(Problem(family, draws=200), "sgd", metrics=["sum"])
    growth = abs(1 - found.optimizer.settings["learning_rate"] * 2 * 3.0**2)  # a step of the steep ones
    assert growth ** (2 * 19) < 1e6
    (steep_or_not,) = tuning._reached_by([Sgd(0.4)], Problem(family, draws=200))
    assert (steep_or_not.sum, steep_or_not.lost > 0) < (found.reached.sum, True)


def test_where_no_loss_has_a_logarithm_the_sum_still_tells() -> None:
    reached = tuning._reached(np.full(3, -1.0), np.full(3, -2.0), np.full(3, -30.0), steps=20)
    assert np.isnan(reached.end)
    assert (reached.sum, reached.lost, reached.is_exploit) == (-30.0, 0, False)


# Any task, any rule; the library.


@pytest.mark.parametrize("rival", RIVALS)
def test_what_knows_no_gradient_and_has_minibatches_is_tuned_on(rival: str) -> None:
    problem = Problem(Averages(power=4, away=3.0), steps=5, draws=4)
    for found in found_by(problem, rival, metrics=["sum"], rate_only=True):
        assert found.figures["sum_median"] < 5 * 6 * 0.5 * 3**4
        assert found.figures["non_finite"] == 0


def test_every_optimizer_is_a_rival() -> None:
    assert {type(rival) for rival in RIVALS.values()} == set(OPTIMIZERS)


def test_progress_ends_where_it_was_expected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[Progress] = []
    found_by(replace(SMALL, draws=3), "sgd", "momentum", metrics=["end"], tell=told.append)
    grids = len(Momentum.searched["momentum"])
    assert told == [
        Progress("sgd", 0, 1),
        Progress("sgd", 1, 1),
        *(Progress("momentum", done, grids) for done in range(grids + 1)),
    ]


def test_the_library_s_tune_takes_a_class_or_an_optimizer_and_gives_no_exploit() -> None:
    best = l2o.tune(RmsProp, Quadratic(), draws=60)
    assert isinstance(best, RmsProp)
    assert best.learning_rate < 1
    assert tuned_by(best, Quadratic(), 20) == "end"
    named = tune(Momentum(nesterov=True, name="NAG"), Quadratic(), metric="sum", draws=20, steps=10)
    assert (named.name, named.nesterov) == ("NAG", True)
    assert tuned_by(named, Quadratic(), 10) == "sum"


@pytest.mark.parametrize("wrong", [{"draws": 0}, {"draws": 10**9}, {"steps": 1}, {"metric": "best"}, {"dtype": "int8"}])
def test_what_cannot_be_tuned_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"tuning needs|the metric is|the dtype is"):
        tune(Sgd, Quadratic(), **wrong)


def test_what_there_is_no_memory_for_is_refused_before_it_is_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "available_memory", lambda: (10**6, "ulimit -v"))
    check_room(SMALL)
    with pytest.raises(UserError, match=r"would take about 3\.2 MB of memory; ulimit -v has 1\.0 MB free"):
        check_room(replace(SMALL, draws=5000))
