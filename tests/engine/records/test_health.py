"""Diagnoses: recorded runs replayed, measurements by hand, and what must not change them."""

import json
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2o_engine.meta.learner import Learner, Results, Trace
from l2o_engine.meta.meta_adam import Powers
from l2o_engine.presets.files import load
from l2o_engine.presets.schema import Preset
from l2o_engine.presets.shipped import find, shipped_names
from l2o_engine.records.codec import as_json
from l2o_engine.records.events import Diagnosed, Ended, Found
from l2o_engine.records.health import (
    EARLY_LOOKS,
    Diagnosis,
    Diagnostician,
    Vitals,
    epsilon_share,
    examine,
    next_look,
    percent,
    trend_of,
)
from l2o_engine.records.health.vitals import casting_shares
from l2o_engine.records.rows import rows_of
from l2o_engine.runs.folder import Run
from l2o_engine.support.arrays import Floats
from l2o_engine.training.trainer import Chunk, Lane
from tests.engine import tiny
from tests.engine.told import vitals_from_json

RECORDED = Path(__file__).parents[2] / "data" / "vitals"
LANE = Lane(0, "RNN")

HEALTHY = Vitals(
    iteration=5000,
    rows=5000,
    average_log_result=-9.0,
    gradient_norm=100.0,
    clipped=1.0,
    epsilon_share=0.001,
    root=0.01,
    non_finite=0,
    zeros=0,
    numbers={"min_log": -15.0},
    saturated=0.1,
    flipped=0.05,
    update_ratio=0.7,
    distance_ratio=1e-5,
    loss_ratio=1e-10,
)


def shipped(name: str, *settings: str) -> Preset:
    return load(find(name), settings)


def replay(recording: str, preset: str) -> list[Diagnosis]:
    """Judge what a real run measured, as `run --json` printed it."""
    lines = (RECORDED / f"{recording}.jsonl").read_text().splitlines()
    diagnostician = Diagnostician(shipped(preset).experiment, shipped(preset).report.every)
    return [diagnostician.judge(vitals_from_json(json.loads(line))[1]) for line in lines]


def codes_by_look(diagnoses: list[Diagnosis]) -> dict[int, list[str]]:
    return {d.vitals.iteration: [finding.code for finding in d.findings] for d in diagnoses}


# Recorded runs.


def test_log43_end_log_is_told_that_epsilon_swallows_its_steps() -> None:
    diagnoses = replay("log43_end_log", "log43_end_log")
    assert codes_by_look(diagnoses) == {500: ["epsilon"], 1000: ["epsilon"], 2000: ["epsilon"]}
    assert [len(diagnosis.new) for diagnosis in diagnoses] == [1, 0, 0]  # told once
    (finding,) = diagnoses[0].findings
    assert finding.message == (
        "the meta-gradient is 1e-14 (7e-18 a weight, by √v), Adam's ε is 1e-8: 99.999999 % of the step is lost"
    )
    assert 'meta.gradient = "unit"' in finding.remedy
    assert "presets/log43_unit.toml" in finding.remedy


def test_log30_is_told_of_epsilon_until_it_moves_and_of_nothing_after_its_take_off() -> None:
    diagnoses = replay("log30_late", "log30")  # a seed that takes off after 70,000
    codes = codes_by_look(diagnoses)
    assert [codes[look] for look in EARLY_LOOKS] == [["epsilon"]] * 3
    assert {code for look in codes if 5000 <= look < 70_000 for code in codes[look]} == {"plateau"}
    assert not any(codes[look] for look in codes if look >= 70_000)
    assert [d.vitals.iteration for d in diagnoses if d.trend == "taking off"] == [75_000, 80_000, 85_000, 90_000]


@pytest.mark.parametrize(
    ("recording", "preset"),
    [
        ("log30", "log30"),
        ("simple_sum", "simple_sum"),
        ("simple_end", "simple_end"),
        ("log15_end", "log15_end"),
        ("log15_end_log", "log15_end_log"),
        ("div_end", "div_end"),  # ε takes 0.97 of its steps from 65,000 on, and it goes on falling
        ("div_sum_log", "div_sum_log"),
        ("logdiv_sum_log", "logdiv_sum_log"),  # most of its losses are 0 at the end
    ],
)
def test_runs_that_learn_are_told_nothing(recording: str, preset: str) -> None:
    diagnoses = replay(recording, preset)
    assert len(diagnoses) > 10
    assert not any(codes_by_look(diagnoses).values())


def test_an_exploding_run_is_called_so_from_the_first_look_on() -> None:
    diagnoses = replay("exploding", "simple_sum")  # its learning rate was 1
    assert all(codes == ["exploding"] for codes in codes_by_look(diagnoses).values())
    assert {diagnosis.trend for diagnosis in diagnoses} == {"diverging"}
    assert "35 times as far from the optimum" in diagnoses[0].findings[0].message


@pytest.mark.parametrize("name", ["log43_unit", "log60_unit"])
def test_unit_gradients_wait_on_a_plateau_and_are_silent_after_it(name: str) -> None:
    codes = codes_by_look(replay(name, name))
    assert {code for found in codes.values() for code in found} == {"plateau"}
    assert not any(codes[look] for look in codes if look > 20_000)


@pytest.mark.parametrize("recording", sorted(path.stem for path in RECORDED.glob("*.jsonl")))
def test_a_recording_gives_what_was_found_when_it_was_made(recording: str) -> None:
    preset = {"log30_late": "log30", "exploding": "simple_sum"}.get(recording, recording)
    lines = [json.loads(line) for line in (RECORDED / f"{recording}.jsonl").read_text().splitlines()]
    assert [
        as_json(Diagnosed(LANE, d))[0] | {"seed": line["seed"]}
        for d, line in zip(replay(recording, preset), lines, strict=True)
    ] == [{"loss_ratio": None} | line for line in lines]  # it is measured since


# Findings, one by one.


STUCK = replace(HEALTHY, distance_ratio=0.8, update_ratio=1e-6)


def codes_of(preset: Preset, vitals: Vitals | None = None, **changes: Any) -> list[str]:
    return [finding.code for finding in examine(preset.experiment, [replace(vitals or STUCK, **changes)])]


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"epsilon_share": 0.95}, "epsilon"),
        ({"distance_ratio": 1.6}, "exploding"),
        ({"distance_ratio": 1e99}, "exploding"),
        ({"non_finite": 150}, "non_finite"),
        ({"flipped": 0.6}, "flipped"),
        ({"saturated": 0.8}, "saturated"),
    ],
)
def test_each_cause_has_its_finding_and_a_healthy_run_has_none(changes: dict[str, Any], code: str) -> None:
    preset = shipped("log15_end_log")
    assert codes_of(preset) == codes_of(preset, HEALTHY) == []
    assert codes_of(preset, **changes) == [code]


@pytest.mark.parametrize(
    ("changes", "codes"),
    [
        ({"epsilon_share": 0.97}, []),
        ({"non_finite": 150}, []),
        ({"saturated": 0.8}, []),
        ({"flipped": 0.6}, ["flipped"]),  # which is how far it can get
    ],
)
def test_what_has_learned_may_go_on_so(changes: dict[str, Any], codes: list[str]) -> None:
    assert codes_of(shipped("log15_end_log"), HEALTHY, **changes) == codes


@pytest.mark.parametrize(
    ("threshold", "name"),
    [(0.9, "epsilon_share"), (1.5, "distance_ratio"), (0.5, "flipped"), (0.75, "saturated")],
)
def test_the_thresholds_are_where_they_are_said_to_be(threshold: float, name: str) -> None:
    preset = shipped("log15_end_log")
    at, above = ({name: threshold * factor} for factor in (1, 1.001))
    assert codes_of(preset, None, **at) == []
    assert len(codes_of(preset, None, **above)) == 1


def test_a_network_has_learned_when_it_leaves_less_than_a_twentieth_of_the_distance() -> None:
    preset = shipped("log15_end_log")
    assert codes_of(preset, epsilon_share=0.99, distance_ratio=0.05) == ["epsilon"]
    assert codes_of(preset, epsilon_share=0.99, distance_ratio=0.0499) == []


@pytest.mark.parametrize("name", shipped_names())
def test_what_cannot_be_measured_is_no_finding(name: str) -> None:
    measured = [field.name for field in fields(Vitals) if field.type is float]
    assert len(measured) == 10
    nothing: dict[str, Any] = dict.fromkeys(measured, np.nan)
    assert codes_of(shipped(name), None, **nothing) == []


def test_gradients_spoilt_by_losses_of_zero_are_no_finding() -> None:
    assert codes_of(shipped("logdiv_sum_log"), non_finite=4000, zeros=4500) == []


def test_a_lost_network_is_not_told_to_lower_epsilon() -> None:
    """Its meta-gradients count as 0, and v falls below any ε."""
    measured: dict[str, Any] = {"epsilon_share": 0.99, "gradient_norm": 0.0, "rows": 5000}
    assert codes_of(shipped("log30_unit"), non_finite=5000, **measured) == ["non_finite"]
    assert codes_of(shipped("log30_unit"), non_finite=2000, **measured) == ["non_finite", "epsilon"]


def test_a_remedy_that_the_preset_has_taken_already_is_not_offered() -> None:
    (clipped,) = examine(shipped("log43_end_log").experiment, [replace(STUCK, epsilon_share=0.99)])
    (unit,) = examine(shipped("log43_unit").experiment, [replace(STUCK, epsilon_share=0.99)])
    (large,) = examine(shipped("log30", "meta.epsilon=1").experiment, [replace(STUCK, epsilon_share=0.99)])
    assert 'meta.gradient = "unit"' not in large.remedy  # of norm 1 is 0.012 a weight
    assert 'meta.gradient = "unit"' in clipped.remedy
    assert 'meta.gradient = "unit"' not in unit.remedy
    assert "meta.epsilon" in unit.remedy


@pytest.mark.parametrize(
    ("preset", "vitals", "words"),
    [
        ("log30", {"update_ratio": 1e-9}, 'meta.gradient = "unit"'),
        ("log30_unit", {"update_ratio": 1e-9}, "another run.seed"),
        ("log30_unit --set meta.learning_rate=1e-9", {"update_ratio": 1e-9}, "raise meta.learning_rate (it is 1e-09)"),
        ("log30_unit --set meta.learning_rate=0.03", {"update_ratio": 0.1}, "lower meta.learning_rate (it is 0.03)"),
        (
            "log30 --set inputs.min_log=-2",
            {"update_ratio": 0.9, "numbers": {"min_log": -2.0}},
            "lower inputs.min_log (it is -2)",
        ),
    ],
)
def test_a_plateau_is_traced_to_what_is_set(preset: str, vitals: dict[str, float], words: str) -> None:
    name, *settings = preset.split(" --set ")
    (finding,) = examine(
        shipped(name, *settings).experiment, looks(-0.34, -0.33, -0.35, -0.34, distance_ratio=0.9, **vitals)
    )
    assert words in finding.remedy


def test_a_network_that_gets_as_near_as_it_can_in_two_steps_is_on_no_plateau() -> None:
    vitals = {"distance_ratio": 0.3, "update_ratio": 0.7}
    assert examine(shipped("simple_sum", "unroll.steps=2").experiment, looks(-0.9, -0.91, -0.9, -0.9, **vitals)) == []


def looks(*averages: float, **changes: Any) -> list[Vitals]:
    return [
        replace(HEALTHY, iteration=5000 * (place + 1), average_log_result=average, **changes)
        for place, average in enumerate(averages)
    ]


def test_a_plateau_needs_three_still_looks_far_from_the_optimum() -> None:
    preset = shipped("log30")
    still = looks(-0.34, -0.33, -0.35, -0.34, distance_ratio=0.9)
    (finding,) = examine(preset.experiment, still)
    assert finding.code == "plateau"
    assert "since meta-iteration 5,000" in finding.message
    assert examine(preset.experiment, still[:3]) == []
    assert examine(preset.experiment, looks(-22.34, -22.33, -22.35, -22.34)) == []  # still, and where it should be
    assert examine(preset.experiment, looks(-0.34, -0.73, -1.35, -1.74, distance_ratio=0.9)) == []
    caused = [*still[:3], replace(still[3], epsilon_share=1.0)]
    assert [finding.code for finding in examine(preset.experiment, caused)] == ["epsilon"]  # the cause, not its effect


@pytest.mark.parametrize(
    ("averages", "trend"),
    [
        ((-0.3,), "starting"),
        ((-0.30, -0.33), "flat"),
        ((-0.30, -0.33, -0.31, -0.36), "flat"),
        ((-0.3, -0.5, -0.7, -0.9), "falling"),
        ((-0.9, -2.8), "falling"),
        ((-7.7, -6.0), "rising"),
        ((-7.7, float("nan")), "starting"),
    ],
)
def test_trends(averages: tuple[float, ...], trend: str) -> None:
    assert trend_of(looks(*averages)) == trend


def test_a_take_off_begins_where_nothing_was_learned_yet() -> None:
    before, after = looks(-5.0, -11.0)
    assert trend_of([replace(before, distance_ratio=0.7), after]) == "taking off"
    assert trend_of([before, after]) == "falling"
    assert trend_of([replace(before, distance_ratio=0.7), replace(after, distance_ratio=0.6)]) == "falling"
    assert trend_of([before, replace(after, distance_ratio=2.0)]) == "diverging"


def test_a_trend_is_of_a_quarter_of_the_run_however_often_it_is_looked_at() -> None:
    slowly = [replace(HEALTHY, iteration=500 * k, average_log_result=-0.02 * k) for k in range(1, 201)]
    assert trend_of(slowly) == "falling"  # 0.02 a look, and a decade in the last quarter


@pytest.mark.parametrize(
    ("share", "written"),
    [(0.0, "0 %"), (0.42, "42 %"), (0.95, "95 %"), (0.9999, "99.99 %"), (0.9999991, "99.99991 %"), (1.0, "100 %")],
)
def test_percentages_tell_almost_all_from_all(share: float, written: str) -> None:
    assert percent(share) == written


# Without a known optimum.

NOWHERE = replace(STUCK, distance_ratio=np.nan, update_ratio=np.nan, loss_ratio=0.64)


def test_what_is_left_is_told_by_the_loss_where_no_distance_is_known() -> None:
    assert STUCK.remaining == STUCK.distance_ratio
    assert NOWHERE.remaining == pytest.approx(0.8)  # a loss goes with the square of the distance
    assert np.isnan(replace(NOWHERE, loss_ratio=np.nan).remaining)


def test_the_thresholds_hold_for_the_loss_s_root() -> None:
    preset = shipped("log15_end_log")
    assert codes_of(preset, NOWHERE) == codes_of(preset, NOWHERE, loss_ratio=1.5**2) == []
    assert codes_of(preset, NOWHERE, loss_ratio=1.51**2) == ["exploding"]
    assert codes_of(preset, NOWHERE, epsilon_share=0.99, loss_ratio=0.051**2) == ["epsilon"]
    assert codes_of(preset, NOWHERE, epsilon_share=0.99, loss_ratio=0.049**2) == []
    assert trend_of([replace(NOWHERE, loss_ratio=4.0)]) == "diverging"
    before, after = looks(-5.0, -11.0, distance_ratio=np.nan)
    assert trend_of([replace(before, loss_ratio=0.49), after]) == "taking off"


@pytest.mark.parametrize(("ratio", "words"), [(40.0, "40 times"), (1e99, "infinitely many times")])
def test_an_explosion_is_told_of_the_loss_where_no_distance_is_known(ratio: float, words: str) -> None:
    (finding,) = examine(shipped("simple_sum").experiment, [replace(NOWHERE, loss_ratio=ratio, average_log_result=2.0)])
    assert finding.message == (
        f"the updates carry x away: the last loss is {words} the first (mean log10 of the last loss 2.00)"
    )


def test_a_plateau_is_told_of_the_loss_where_no_distance_is_known() -> None:
    still = looks(-0.34, -0.33, -0.35, -0.34, distance_ratio=np.nan, update_ratio=np.nan, loss_ratio=0.64)
    (finding,) = examine(shipped("log30").experiment, still)
    assert finding.message == (
        "the mean log10 of the last loss has stayed at -0.34 since meta-iteration 5,000: the last loss is 64 % of "
        "the first"
    )
    assert "distance" not in finding.message + finding.remedy


def test_with_an_optimum_the_loss_says_nothing() -> None:
    preset = shipped("log15_end_log")
    for ratio in (0.0, 1e9):
        assert codes_of(preset, loss_ratio=ratio) == codes_of(preset, HEALTHY, loss_ratio=ratio) == []
    without, large = (
        examine(shipped("log30").experiment, looks(-0.34, -0.33, -0.35, -0.34, distance_ratio=0.9, loss_ratio=ratio))
        for ratio in (np.nan, 1e9)
    )
    assert without == large


# Episodes in truncations.


@pytest.mark.parametrize(
    ("ratio", "code", "words"),
    [
        (0.38, "", ""),  # far from 0, as losses of minibatches are, and flat: it has learned
        (0.89, "", ""),
        (1.0, "plateau", "the last loss is 100 % of the mean of its episode"),
        (3.1, "exploding", "the last loss is 3.1 times the mean of its episode"),
    ],
)
def test_in_truncations_what_is_left_is_of_the_episode(ratio: float, code: str, words: str) -> None:
    still = looks(-1.1, -1.0, -1.1, -1.1, distance_ratio=np.nan, update_ratio=np.nan, loss_ratio=ratio)
    findings = examine(shipped("dm_digits").experiment, still)
    assert [finding.code for finding in findings] == ([code] if code else [])
    assert all(words in finding.message for finding in findings)


def test_a_session_measures_what_an_episode_has_left(tmp_path: Path) -> None:
    preset = tiny.tiny_preset("unroll.steps=12", "unroll.truncation=4")
    (told,) = tiny.of_kind(tiny.run(tmp_path / "run", preset, chunk=7), Diagnosed)
    metrics = Run(tmp_path / "run").metrics()
    apart = metrics["end_log10"] - metrics["mean_log10"]
    assert told.diagnosis.vitals.loss_ratio == pytest.approx(10 ** np.median(apart[np.isfinite(apart)]))
    assert not told.diagnosis.vitals.has_distance  # a truncation's would say little


# Measurements.


def learner_of(moment1: list[float], moment2: list[float]) -> Learner:
    m, v = np.array(moment1, np.float32), np.array(moment2, np.float32)
    return Learner(np.zeros_like(m), m, v, Powers(), numbers={"min_log": -3.0})


def test_the_share_that_epsilon_swallows() -> None:
    learner = learner_of([1.0, -1.0, 0.0], [1e-16, 9e-16, 0.0])  # √v: 1e-8 and 3e-8; the third has no gradient
    assert epsilon_share(learner, 1e-8) == pytest.approx((1 / 2 + 1 / 4) / 2)
    assert epsilon_share(learner_of([1e-30], [0.0]), 1e-8) == 1.0  # √v has underflowed
    assert np.isnan(epsilon_share(learner_of([0.0], [0.0]), 1e-8))


@given(st.lists(st.floats(1e-20, 1e3), min_size=1, max_size=20), st.floats(1e-12, 1.0))
def test_more_epsilon_swallows_more(moment2: list[float], epsilon: float) -> None:
    learner = learner_of([1.0] * len(moment2), moment2)
    assert 0 < epsilon_share(learner, epsilon) <= epsilon_share(learner, 10 * epsilon) <= 1


def trace_of(distance: Any, gradient: Any, inputs: Any, updates: Any) -> Trace:
    """Return a trace of one meta-iteration, one problem, one coordinate."""

    def shaped(values: Any) -> Floats:
        return np.array(values, np.float64).reshape(1, 1, -1, 1)

    return Trace(shaped(distance), shaped(gradient), shaped(inputs), shaped(updates))


def look_at(trace: Trace, norms: list[float], losses: list[Any], *settings: str) -> Vitals:
    preset = tiny.tiny_preset('inputs = {kind = "log", min_log = -3.0}', "problem.dims=1", *settings)
    n = len(norms)
    all_losses = np.broadcast_to(np.array(losses, float).reshape(n, 1, -1), (n, 1, 4))
    results = Results(
        all_losses, np.zeros(n), np.array(norms), ~np.isfinite(norms), {"min_log": np.full(n, -3.0)}, trace
    )
    diagnostician = Diagnostician(preset.experiment, preset.report.every)
    diagnostician.add(rows_of([Chunk(LANE, 0, results)], [LANE]), results)
    return diagnostician.look(learner_of([1.0], [1.0])).vitals


def test_what_a_look_measures() -> None:
    trace = trace_of([8, 4, 1, 2], [1, -1, 0.5], [0.5, -1.5, -0.2], [-4, -3, 1])
    vitals = look_at(trace, [0.5, 3.0, np.nan, 2.0], [1.0, 0.1, np.inf, 0.0])
    assert (vitals.iteration, vitals.rows, vitals.non_finite, vitals.zeros) == (3, 4, 1, 1)
    assert vitals.average_log_result == pytest.approx((0 - 1 - 38) / 3)
    assert vitals.gradient_norm == 2.0
    assert vitals.clipped == pytest.approx(2 / 3)
    assert vitals.numbers == {"min_log": -3.0}
    assert vitals.saturated == pytest.approx(1 / 3)
    assert vitals.flipped == 1.0  # of the last one: 0.5 was cast to -0.2
    assert vitals.update_ratio == pytest.approx(3 / 4)  # of 1/2, 3/4, 1
    assert vitals.distance_ratio == pytest.approx(1 / 4)
    assert np.isnan(vitals.loss_ratio)  # of the one that is traced, the last: 0 of 0


@pytest.mark.parametrize(
    ("losses", "ratio"),
    [
        ([8.0, 1, 1, 2.0], 0.25),
        ([8.0, 1, 1, 0.0], 0.0),
        ([8.0, 1, 1, -1.0], 0.0),  # nothing is left of a loss that goes below 0
        ([1.0, 1, 1, np.inf], 1e99),
        ([1.0, 1, 1, np.nan], np.nan),
        ([0.0, 1, 1, 1.0], np.nan),
        ([-2.0, 1, 1, -4.0], np.nan),
    ],
)
def test_the_last_loss_over_the_first(losses: list[float], ratio: float) -> None:
    trace = trace_of([8, 4, 1, 2], [1, -1, 0.5], [0.5, -1.5, -0.2], [-4, -3, 1])
    before = [1.0, 1.0, 1.0, 7.0]  # a meta-iteration that is not traced
    np.testing.assert_equal(look_at(trace, [1.0, 1.0], [before, losses]).loss_ratio, ratio)


def test_without_an_optimum_all_else_is_measured() -> None:
    trace = trace_of([8, 4, 1, 2], [1, -1, 0.5], [0.5, -1.5, -0.2], [-4, -3, 1])
    known = look_at(trace, [1.0], [[8.0, 1, 1, 2.0]])
    unknown = look_at(replace(trace, distance=None), [1.0], [[8.0, 1, 1, 2.0]])
    assert len(replace(trace, distance=None)) == len(trace) == 1
    assert np.isnan([unknown.distance_ratio, unknown.update_ratio]).all()
    assert replace(unknown, distance_ratio=0.25, update_ratio=0.75) == known
    assert (known.remaining, unknown.remaining) == (0.25, 0.5)


def test_a_session_measures_how_much_of_the_loss_is_left(tmp_path: Path) -> None:
    told = tiny.of_kind(tiny.run(tmp_path / "run", tiny.tiny_preset("run.seeds=2"), chunk=7), Diagnosed)
    ratios = [event.diagnosis.vitals.loss_ratio for event in told]
    assert len(ratios) == 2
    assert np.isfinite(ratios).all()
    recorded = [vitals.loss_ratio for _, vitals in Run(tmp_path / "run").vitals()]
    assert recorded == ratios
    whole = tiny.of_kind(tiny.run(tmp_path / "whole", tiny.tiny_preset("run.seeds=2")), Diagnosed)
    assert [event.diagnosis.vitals.loss_ratio for event in whole] == ratios


def test_what_does_not_apply_is_not_a_number() -> None:
    trace = trace_of([8, 4, 1, 2], [1, -1, 0.5], [0.5, -1.5, -0.2], [-4, -3, 1])
    vitals = look_at(trace, [1.0], [1.0], 'meta.gradient="unit"', 'inputs={kind="identity"}')
    assert np.isnan([vitals.clipped, vitals.saturated, vitals.flipped]).all()


def test_a_trace_of_numbers_that_are_not_finite_is_measured_where_it_can_be() -> None:
    trace = trace_of([8, np.inf, np.nan, np.nan], [1, np.inf, np.nan], [0.5, np.nan, np.nan], [np.inf, np.nan, np.nan])
    vitals = look_at(trace, [1.0], [np.inf])
    assert vitals.update_ratio == 1e99  # JSON has no infinity
    assert np.isnan(vitals.distance_ratio)
    assert np.isnan(vitals.flipped)
    assert vitals.saturated == 0.0


# Looks.


@given(st.integers(0, 10**6), st.integers(1, 10**5))
def test_the_next_look_is_early_or_where_a_report_is(iteration: int, every: int) -> None:
    look = next_look(iteration, every)
    assert max(iteration, 1) <= look <= iteration + every + 500
    assert look in EARLY_LOOKS or look % every == 0
    following = next_look(look + 1, every)
    assert following - look >= 500 or {look, following} & set(EARLY_LOOKS)


def diagnosed(events: list[Any]) -> list[Any]:
    return [event for event in events if isinstance(event, Diagnosed | Found)]


def test_looks_do_not_depend_on_chunks_or_on_a_resume(tmp_path: Path) -> None:
    settings = ("run.seeds=2", "report.every=600", "run.checkpoint_every=600", "run.backend=fused")  # in seconds
    preset = tiny.tiny_preset(*settings, "run.iterations=1200")
    whole = diagnosed(tiny.run(tmp_path / "whole", preset))
    assert [event.diagnosis.vitals.iteration for event in whole if isinstance(event, Diagnosed)] == [
        look for look in (500, 600, 1000, 1200) for _ in range(2)
    ]
    assert repr(diagnosed(tiny.run(tmp_path / "chunks", preset, chunk=7))) == repr(whole)  # where NaN is NaN

    half = diagnosed(tiny.run(tmp_path / "half", tiny.tiny_preset(*settings, "run.iterations=600")))
    rest = diagnosed(tiny.resume(tmp_path / "half", iterations=1200))
    assert len(half) + len(rest) == len(whole)
    # The meta-gradient's norm is read back from metrics.csv; nothing else here comes from a file.
    assert [as_json(event) for event in half + rest] == [as_json(event) for event in whole]


def test_a_run_without_a_network_is_not_looked_at(tmp_path: Path) -> None:
    assert diagnosed(tiny.run(tmp_path / "run", tiny.tiny_baselines())) == []


def test_a_run_that_is_too_short_for_a_look_has_one_at_its_end(tmp_path: Path) -> None:
    (look,) = [
        event for event in diagnosed(tiny.run(tmp_path / "run", tiny.tiny_preset())) if isinstance(event, Diagnosed)
    ]
    assert (look.diagnosis.vitals.iteration, look.diagnosis.vitals.rows) == (30, 31)


def test_a_lane_that_diverges_is_looked_at_then_and_no_more(tmp_path: Path) -> None:
    # Of these two seeds one meets an overflow before the first look, the other one does not.
    preset = tiny.tiny_preset("problem.start=[1e18, 1.6e19]", "meta.non_finite=stop", "run.seeds=2", "run.iterations=5")
    events = tiny.run(tmp_path / "run", preset)
    done = {result.lane: result.iteration for result in tiny.of_kind(events, Ended)[0].results}
    assert sorted(done.values())[0] < 5 == sorted(done.values())[1]
    looks = [(event.lane, event.diagnosis.vitals.iteration) for event in tiny.of_kind(events, Diagnosed)]
    assert sorted(looks) == sorted(done.items())
    (found,) = [event for event in tiny.of_kind(events, Found) if done[event.lane] < 5]
    assert (found.finding.code, found.iteration) == ("non_finite", done[found.lane])


def test_a_plateau_is_said_to_have_begun_where_it_began() -> None:
    history = looks(-3.1, -1.2, *[-0.33] * 12, distance_ratio=0.9)
    for end in (9, 14):
        (finding,) = examine(shipped("log30").experiment, history[:end])
        assert "stayed at -0.33 since meta-iteration 15,000:" in finding.message


def test_of_several_numbers_a_coordinate_the_first_tells_whether_its_sign_was_turned() -> None:
    gradient = np.array([[[[1.0, -1.0, 2.0]]]])  # one meta-iteration, task and step; three coordinates
    inputs = np.array([[[[0.5, 9.0, 0.5, 9.0, -0.5, 9.0]]]])  # two numbers each, side by side
    trace = Trace(None, gradient, inputs, gradient)
    shares = casting_shares([trace], 1)
    assert shares["flipped"] == pytest.approx(2 / 3)
    assert shares["saturated"] == pytest.approx(1 / 2)


def test_nothing_is_said_of_a_min_log_that_the_inputs_have_not() -> None:
    history = looks(-0.34, -0.33, -0.35, -0.34, distance_ratio=0.9, flipped=1.0, saturated=1.0, numbers={"decay": 0.5})
    said = [finding.message + finding.remedy for finding in examine(shipped("log30").experiment, history)]
    assert not [text for text in said if "min_log" in text or "nan" in text]


def test_vitals_that_cannot_be_judged_spoil_none_behind_them() -> None:
    diagnostician = Diagnostician(shipped("log30").experiment, 5000)
    (good,) = looks(-0.3)
    with pytest.raises(ValueError, match="math domain"):
        diagnostician.judge(replace(good, distance_ratio=np.nan, loss_ratio=-1.0))
    assert diagnostician.judge(good).trend == "starting"
