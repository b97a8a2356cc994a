"""Comparing runs: figures checked by hand, grouping, labels, and what must not matter."""

from itertools import permutations
from math import nan
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from l2o_engine.runs import levels
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.folder import Run
from l2o_engine.runs.record import RunError
from l2o_engine.studies.comparison import (
    CURVE_POINTS,
    Group,
    baseline_levels,
    compare,
    learned_in_truncations,
    summarise,
    took_off,
)
from tests.engine import tiny
from tests.engine.made import add_look, made_run
from tests.engine.tiny import tiny_baselines, tiny_preset

WINDOWS = ("report.every=4", "report.rolling_window=2")
NOTEBOOK = "notebook={name='printed', rows=[{it=0, average_log_result=0.2}, {it=10, average_log_result=-8.0}]}"


def labels(runs: list[Run]) -> list[str]:
    return [group.label for group in compare(runs)]


# Figures.


def test_a_replicate_s_figures_by_hand(tmp_path: Path) -> None:
    sums: list[float] = [6, 5, 4, 3, 2, nan]
    run = made_run(tmp_path / "run", tiny_preset(*WINDOWS), [[0.0, -1, -2, -3, -4, -6]], [sums])
    (replicate,) = summarise(run)
    assert replicate.iteration == 5
    assert replicate.initial == -0.5  # of the first two
    assert replicate.final == (-2 - 3 - 4 - 6) / 4
    assert replicate.sum_loss == (4 + 3 + 2) / 3
    assert replicate.took_off
    assert_array_equal(replicate.curve.rolling, [0, -0.5, -1.5, -2.5, -3.5, -5])


def test_a_group_s_figures_by_hand(tmp_path: Path) -> None:
    preset = tiny_preset("run.seeds=4", *WINDOWS)
    results: list[list[float]] = [
        [0, -1, -2, -2, -2, -2],
        [0, 0, -4, -4, -4, -4],
        [0, 0, -1, -8, -8, -7],
        [0, 0, nan, nan, nan, nan],
    ]
    (group,) = compare([made_run(tmp_path / "run", preset, results)])
    assert group.seeds == (0, 1, 2, 3)
    # Finals are -2, -4, -6; the fourth seed is lost.
    final = group.final
    assert (final.median, final.lower, final.upper) == (-4, -5, -3)
    assert (final.least, final.greatest, final.count, final.lost) == (-6, -2, 3, 1)
    assert group.took_off == 3
    assert group.non_finite == 4
    curve = group.curve
    assert_array_equal(curve.iteration, range(6))
    assert_array_equal(curve.replicates, [4, 4, 4, 3, 3, 3])
    # Rolling means over two: the lost seed's window still holds one finite result at 2.
    assert_array_equal(curve.median, [0, 0, np.median([-1.5, -2, -0.5, 0]), -4, -4, -4])
    assert_array_equal(curve.lower[3:], [np.quantile([-2, -4, -4.5], 0.25), -6, -5.75])
    assert_array_equal(curve.low, [0, -1, -4, -8, -8, -7])
    assert_array_equal(curve.high, [0, 0, -1, -2, -2, -2])


def test_a_group_whose_replicates_are_all_lost_has_no_figure_and_no_warning(tmp_path: Path) -> None:
    (group,) = compare([made_run(tmp_path / "run", tiny_preset(*WINDOWS), [[nan] * 6], [[nan] * 6])])
    assert np.isnan(group.final.median)
    assert (group.final.count, group.final.lost, group.took_off, group.non_finite) == (0, 1, 0, 6)
    assert np.isnan(group.curve.median).all()


@pytest.mark.parametrize(
    ("final", "initial", "published", "expected"),
    [
        (-1.4, -0.4, None, True),  # a factor of ten
        (-1.39, -0.4, None, False),
        (-11.385, -0.4, -22.77, True),  # half of the notebook's orders of magnitude
        (-11.38, -0.4, -22.77, False),
        (-1.0, -0.4, -0.33, False),  # the notebook's did not learn; a factor of ten is still asked for
        (-1.5, -0.4, -0.33, True),
        (nan, -0.4, None, False),
        (nan, -0.4, -22.77, False),
        (-12.0, nan, -22.77, True),  # only the notebook to go by
        (-12.0, nan, None, False),  # nothing to go by
    ],
)
def test_what_has_taken_off(final: float, initial: float, published: float | None, *, expected: bool) -> None:
    assert took_off(final, initial, published) is expected


@pytest.mark.parametrize(
    ("final", "mean", "expected"),
    [
        (-1.2, -0.7, True),
        (0.36, 0.36, False),
        (0.31, 0.36, True),
        (0.32, 0.36, False),
        (1.4, 0.9, False),
        (nan, 0.3, False),
    ],
)
def test_who_has_learned_in_truncations(final: float, mean: float, *, expected: bool) -> None:
    assert learned_in_truncations(final, mean) is expected


def test_in_truncations_it_counts_what_an_episode_gains_and_not_what_the_run_has(tmp_path: Path) -> None:
    preset = tiny_preset("unroll.steps=12", "unroll.truncation=4", *WINDOWS)
    run = made_run(tmp_path / "run", preset, [[0.0, 0, -4.1, -4.1, -4.1, -4.1]])  # whose means are its ends
    assert not compare([run])[0].took_off


def test_the_notebook_s_last_row_is_what_a_replicate_has_to_come_near(tmp_path: Path) -> None:
    results = [[0.0, 0, -3.9, -3.9, -3.9, -3.9], [0.0, 0, -4.1, -4.1, -4.1, -4.1]]
    preset = tiny_preset("run.seeds=2", NOTEBOOK, *WINDOWS)
    (group,) = compare([made_run(tmp_path / "run", preset, results)])
    assert group.published_final == -8
    assert [replicate.took_off for replicate in group.replicates] == [False, True]


@pytest.mark.parametrize(
    ("settings", "results", "early"),
    [
        (["run.iterations=3"], [0.0, 0, -3.9, -3.9], True),  # the notebook's went on to 10
        (["run.iterations=3"], [0.0, 0, -4.1, -4.1], False),  # has taken off
        (["run.iterations=3"], [0.0, nan, nan, nan], False),  # is lost
        (["run.iterations=10"], [0.0, 0] + [-3.9] * 9, False),
    ],
)
def test_who_has_not_come_as_far_as_the_notebook_has_not_taken_off_yet(
    settings: list[str], results: list[float], *, early: bool, tmp_path: Path
) -> None:
    small = ("report.every=2", "report.rolling_window=1")
    (group,) = compare([made_run(tmp_path / "run", tiny_preset(NOTEBOOK, *small, *settings), [results])])
    assert group.not_yet == early


# Curves of different lengths.


@pytest.mark.parametrize("lengths", [(2000, 700, 1300), (3 * CURVE_POINTS, 1), (CURVE_POINTS, CURVE_POINTS + 1)])
def test_curves_of_any_length_meet_at_common_iterations(lengths: tuple[int, ...], tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    results = [generator.normal(-5, 2, length).round(6) for length in lengths]
    runs = [
        made_run(tmp_path / str(seed), tiny_preset(f"run.seed={seed}", "report.rolling_window=3"), [list(values)])
        for seed, values in enumerate(results)
    ]
    (group,) = compare(runs)
    curve = group.curve
    assert curve.iteration[-1] == max(lengths) - 1
    assert len(curve.iteration) <= CURVE_POINTS + 1
    for point, iteration in enumerate(curve.iteration):
        rolling = [
            values[max(iteration - 2, 0) : iteration + 1].mean() for values in results if len(values) > iteration
        ]
        assert curve.replicates[point] == len(rolling)
        assert_allclose(curve.median[point], np.median(rolling), atol=1e-9)
    everything = np.concatenate(results)
    assert (np.nanmin(curve.low), np.nanmax(curve.high)) == (everything.min(), everything.max())


# Groups.


def test_what_says_how_to_run_an_experiment_does_not_make_it_another(tmp_path: Path) -> None:
    presets = [
        tiny_preset(),
        tiny_preset("run.seed=5", "run.seeds=2"),
        tiny_preset("run.seed=9", "run.iterations=7", "run.backend=auto"),
        tiny_preset("run.seed=10", "run.checkpoint_every=3", "run.keep_checkpoints=9"),
        tiny_preset("run.seed=11", "name=copy", "title=A copy"),
        tiny_preset("run.seed=12", NOTEBOOK),
        tiny_preset("run.seed=13", "report.every=7", "report.rolling_window=3", "report.baseline_draws=5"),
    ]
    runs = [
        made_run(tmp_path / str(place), preset, [[-1.0] * 3] * preset.run.seeds) for place, preset in enumerate(presets)
    ]
    (group,) = compare(runs)
    assert group.seeds == (0, 5, 6, 9, 10, 11, 12, 13)
    assert group.label == "copy, tiny"
    assert group.published_final == -8


def test_groups_of_one_name_are_told_apart_by_what_differs(tmp_path: Path) -> None:
    one = made_run(tmp_path / "a", tiny_preset(), [[-1.0]])
    two = made_run(tmp_path / "b", tiny_preset("meta.epsilon=1e-16"), [[-1.0]])
    three = made_run(tmp_path / "c", tiny_preset("meta.epsilon=1e-16", "run.dtype=float64"), [[-1.0]])
    assert labels([one]) == ["tiny"]
    assert labels([one, two]) == ["ε 1e-8", "ε 1e-16"]
    assert labels([one, two, three])[2] == "ε 1e-16, dtype float64"


def test_a_name_that_not_all_share_is_said(tmp_path: Path) -> None:
    runs = [
        made_run(tmp_path / "a", tiny_preset("meta.learning_rate=1e-4"), [[-1.0]]),
        made_run(tmp_path / "b", tiny_preset("meta.learning_rate=0.003"), [[-1.0]]),
        made_run(tmp_path / "c", tiny_preset("name=other", "network.hidden=3"), [[-1.0]]),
    ]
    assert labels(runs) == ["tiny lr 1e-4", "tiny lr 3e-3", "other"]


def test_reports_make_no_other_experiment_and_all_replicates_of_one_are_summed_up_alike(tmp_path: Path) -> None:
    results = [0.0, -1, -2, -3, -4, -6]
    of_seed = {
        seed: made_run(tmp_path / f"{seed}", tiny_preset(f"run.seed={seed}", *report), [results])
        for seed, report in enumerate([WINDOWS, WINDOWS, ("report.every=2", "report.rolling_window=3")])
    }
    (group,) = compare(of_seed.values())
    assert group.seeds == (0, 1, 2)
    assert [one.final for one in group.replicates] == [(-2 - 3 - 4 - 6) / 4] * 3
    assert [one.initial for one in group.replicates] == [-0.5] * 3
    assert group.preset.report.every == 4  # what most of them say
    (group,) = compare([of_seed[0], of_seed[2]])
    assert [one.final for one in group.replicates] == [-5, -5]  # of two, what is nearer to the end
    assert summarise(of_seed[2])[0].final == -5


def test_a_setting_that_only_one_has_tells_them_apart(tmp_path: Path) -> None:
    one = made_run(tmp_path / "a", tiny_preset(), [[-1.0]])
    two = made_run(tmp_path / "b", tiny_preset("inputs={kind='ratio'}"), [[-1.0]])
    first, second = labels([one, two])
    assert (first, second) == ("inputs identity", "inputs ratio")


def test_where_much_differs_the_run_s_name_says_it(tmp_path: Path) -> None:
    many = ("meta.epsilon=1e-16", "meta.beta1=0.5", "network.hidden=4", "run.dtype=float64", "objective.kind=end")
    one = made_run(tmp_path / "first", tiny_preset(), [[-1.0]])
    two = made_run(tmp_path / "second", tiny_preset(*many), [[-1.0]])
    assert labels([one, two]) == ["first", "second"]
    same_name = made_run(tmp_path / "elsewhere" / "first", tiny_preset(*many), [[-1.0]])
    assert len(set(labels([one, same_name]))) == 2


def test_every_hand_designed_optimizer_is_a_group_of_its_own(tmp_path: Path) -> None:
    run = made_run(tmp_path / "run", tiny_baselines("run.seeds=2"), [[-1.0], [-2.0], [-3.0], [-4.0]])
    sgd, rmsprop = compare([run])
    assert (sgd.label, rmsprop.label) == ("SGD", "RMSProp")
    assert [replicate.final for replicate in sgd.replicates] == [-1, -3]
    assert [replicate.final for replicate in rmsprop.replicates] == [-2, -4]
    assert not sgd.learns
    assert sgd.took_off == 0


def test_a_run_given_twice_counts_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = made_run(tmp_path / "run", tiny_preset(), [[-1.0]])
    monkeypatch.chdir(tmp_path)
    (group,) = compare([run, Run(Path("run"))])
    assert len(group.replicates) == 1


def figures(groups: list[Group]) -> set[object]:
    return {
        (group.label, group.seeds, group.final, group.sum_loss, group.took_off, group.curve.median.tobytes())
        for group in groups
    }


def test_the_order_of_the_runs_does_not_matter(tmp_path: Path) -> None:
    settings = [("run.seed=3",), ("run.seed=1",), ("meta.epsilon=1e-16",), ("run.seed=1", "run.iterations=9")]
    generator = np.random.default_rng(1)
    runs = [
        made_run(tmp_path / str(place), tiny_preset(*of), [list(generator.normal(-3, 1, 20 + place))])
        for place, of in enumerate(settings)
    ]
    expected = figures(compare(runs))
    assert len(expected) == 2
    for order in permutations(runs):
        assert figures(compare(order)) == expected


# Real runs, unfinished ones, damaged ones.


def test_a_real_run_s_final_is_what_its_session_reported(tmp_path: Path) -> None:
    events = tiny.run(tmp_path / "run", tiny_preset("run.seeds=2"))
    (group,) = compare([Run(tmp_path / "run")])
    reported = events[-1].results  # type: ignore[union-attr]
    assert [replicate.final for replicate in group.replicates] == [result.average_log_result for result in reported]
    assert [replicate.iteration for replicate in group.replicates] == [30, 30]


def test_a_run_that_is_being_written_is_read_up_to_its_last_whole_line(tmp_path: Path) -> None:
    run = made_run(tmp_path / "run", tiny_preset(), [[-1.0, -2.0, -3.0]])
    run.metrics_path.write_bytes(run.metrics_path.read_bytes()[:-4])
    assert summarise(run)[0].iteration == 1


def test_a_run_without_results_cannot_be_compared(tmp_path: Path) -> None:
    DrivenRun.create(tiny_preset(), tmp_path / "new").close()
    with pytest.raises(RunError, match="new has no result yet"):
        compare([Run(tmp_path / "new")])


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("nonsense\n", r'line 3 \("nonsense"\) has 1 cells, not 10'),
        ("1,1,1,0,0,0,,0,RNN,7\n", r"line 3 .* is of RNN, seed 7, which the preset does not have"),
        ("1,x,1,0,0,0,,0,RNN,0\n", r"line 3 .* holds something that is not a number"),
    ],
)
def test_what_is_wrong_with_a_damaged_run_is_said(line: str, said: str, tmp_path: Path) -> None:
    run = made_run(tmp_path / "run", tiny_preset(), [[-1.0]])
    with run.metrics_path.open("a") as file:
        file.write(line)
    with pytest.raises(RunError, match=r"metrics\.csv cannot be read: " + said):
        compare([run])


def test_runs_without_figures_are_told_and_the_others_compared(tmp_path: Path) -> None:
    good, torn, lost = (made_run(tmp_path / name, tiny_preset(), [[-1.0, -2.0]]) for name in ("good", "torn", "lost"))
    with torn.metrics_path.open("a") as file:
        file.write("nonsense\n")
    (lost.folder / "preset.toml").write_text("half")
    told: list[RunError] = []
    (group,) = compare([lost, torn, good], told.append)
    assert [replicate.run.name for replicate in group.replicates] == ["good"]
    assert [place for error in told for place in ("lost", "torn") if place in str(error)] == ["lost", "torn"]
    with pytest.raises(RunError) as raised:
        compare([lost, torn], lambda _: None)
    assert len(raised.value.lines) == 2


def test_a_damaged_run_is_named(tmp_path: Path) -> None:
    run = made_run(tmp_path / "run", tiny_preset(), [[-1.0]])
    with run.metrics_path.open("a") as file:
        file.write("nonsense\n")
    with pytest.raises(RunError, match=r"metrics\.csv cannot be read"):
        compare([run])


# Levels.


def test_a_baseline_that_groups_share_has_one_level(tmp_path: Path) -> None:
    one = made_run(tmp_path / "a", tiny_preset("run.seed=7"), [[-1.0]])
    two = made_run(tmp_path / "b", tiny_preset("run.seed=3", "meta.epsilon=1e-16"), [[-1.0]])
    found = {named.name: named.level for named in baseline_levels(compare([one, two]))}
    assert found == levels.measure(tiny_preset(), 3)


def test_the_levels_of_a_seed_are_those_whoever_survives(tmp_path: Path) -> None:
    groups = compare([made_run(tmp_path / "a", tiny_preset("run.seed=7"), [[-1.0]])])
    assert {named.name: named.level for named in baseline_levels(groups, seed=0)} == levels.measure(tiny_preset(), 0)


def test_baselines_that_differ_are_told_apart(tmp_path: Path) -> None:
    one = made_run(tmp_path / "a", tiny_preset(), [[-1.0]])
    two = made_run(tmp_path / "b", tiny_preset("name=tuned", "baseline.0.learning_rate=0.34"), [[-1.0]])
    found = baseline_levels(compare([one, two]))
    assert [named.name for named in found] == ["SGD (tiny)", "RMSProp", "SGD (tuned)"]


def test_a_baseline_that_runs_measured_over_other_numbers_of_draws_is_there_once(tmp_path: Path) -> None:
    few = made_run(tmp_path / "few", tiny_preset("meta.epsilon=1"), [[-1.0] * 25])
    many = made_run(tmp_path / "many", tiny_preset("report.baseline_draws=50"), [[-1.0] * 25])
    both, best = baseline_levels(compare([few, many])), baseline_levels(compare([many]))
    assert [(one.name, one.level) for one in both] == [(one.name, one.level) for one in best]


def test_a_baseline_that_differs_in_no_figure_that_is_shown_is_there_once(tmp_path: Path) -> None:
    one = made_run(tmp_path / "a", tiny_preset("run.dtype=float64"), [[-1.0]])
    two = made_run(tmp_path / "b", tiny_preset(), [[-1.0]])
    found = baseline_levels(compare([one, two]))
    assert {named.name: named.level for named in found} == levels.measure(tiny_preset("run.dtype=float64"), 0)


def test_where_nothing_is_trained_the_baselines_are_the_results(tmp_path: Path) -> None:
    assert baseline_levels(compare([made_run(tmp_path / "a", tiny_baselines(), [[-1.0], [-1.0]])])) == []


@pytest.mark.parametrize(
    ("measured", "taken_off"),
    [
        ({"distance_ratio": 0.9}, True),
        ({"distance_ratio": 1.1}, False),
        ({"distance_ratio": nan, "loss_ratio": 0.9}, True),  # of a task without a known optimum
        ({"distance_ratio": nan, "loss_ratio": 1.1}, False),
        ({"distance_ratio": 0.9, "loss_ratio": 1.1}, True),
    ],
)
def test_a_network_that_carries_x_away_has_not_taken_off_wherever_it_began(
    measured: dict[str, float], *, taken_off: bool, tmp_path: Path
) -> None:
    run = made_run(tmp_path / "run", tiny_preset(*WINDOWS), [[2.0, 2, 0, 0, 0, 0]])
    add_look(run, iteration=3, distance_ratio=9.0 if taken_off else 0.0)
    add_look(run, iteration=5, **measured)  # the last look counts
    (replicate,) = summarise(run)
    assert took_off(replicate.final, replicate.initial)  # by these figures alone
    assert replicate.took_off is taken_off
