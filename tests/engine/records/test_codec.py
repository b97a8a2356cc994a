"""Events as scripts see them, and what is read of lines again: those of today, of before, and of who knows when."""

import json
from dataclasses import replace
from math import inf, isnan, nan
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from l2o_engine.presets.schema import Preset
from l2o_engine.records.codec import as_json, finite
from l2o_engine.records.events import (
    Checkpointed,
    Described,
    Diagnosed,
    Ended,
    Event,
    Extended,
    Imitated,
    LaneResult,
    NewRows,
    Notice,
    Preparing,
    Progress,
    Started,
    StatusChanged,
    Validated,
)
from l2o_engine.records.health import Diagnosis, Finding, TruncatedVitals
from l2o_engine.runs.folder import Run
from l2o_engine.training.imitating import Likeness
from l2o_engine.training.trainer import Lane
from l2o_engine.training.validating import Verdict
from tests.engine.tiny import run, tiny_baselines, tiny_preset
from tests.engine.told import event_from_json, progress_from_json, vitals_from_json

LANES = (Lane(3, "RNN"), Lane(4, "RNN"))
PROGRESS = Progress(
    lane=LANES[0],
    iteration=5000,
    sum_error=1.5,
    optim_result=nan,
    average_log_result=-inf,
    average_sum_log_result=-0.25,
    numbers={},
    iterations_per_second=100.5,
    elapsed_seconds=49.75,
    non_finite=2,
)

PROGRESS_READ = replace(PROGRESS, average_log_result=nan)  # null says only that it is not finite


def test_a_progress_line_has_the_keys_that_are_promised_and_null_for_what_is_not_finite() -> None:
    assert as_json(PROGRESS) == [
        {
            "event": "progress",
            "iteration": 5000,
            "sum_error": 1.5,
            "optim_result": None,
            "average_log_result": None,
            "average_sum_log_result": -0.25,
            "min_log": None,
            "iterations_per_second": 100.5,
            "elapsed_seconds": 49.75,
            "non_finite": 2,
            "optimizer": "RNN",
            "seed": 3,
        }
    ]


def test_progress_is_read_back_from_its_line() -> None:
    document = json.loads(json.dumps(as_json(PROGRESS)[0]))
    assert as_json(progress_from_json(document)) == as_json(PROGRESS)
    with pytest.raises(ValueError, match="iteration"):
        progress_from_json({"event": "progress"})


def test_a_checkpoint_is_told_for_every_seed() -> None:
    lines = as_json(Checkpointed(5000, "runs/x/checkpoints/y", (3, 4), requested=True))
    assert [line["seed"] for line in lines] == [3, 4]
    assert lines[0].items() >= {"event": "checkpoint", "iteration": 5000, "path": "runs/x/checkpoints/y"}.items()


def test_the_end_is_told_for_every_lane_where_it_ended() -> None:
    results = (LaneResult(LANES[0], 100, -3.5), LaneResult(LANES[1], 60, nan))
    lines = as_json(Ended("diverged", 100, 12.5, results, "seed 4 diverged"))
    assert lines == [
        {
            "event": "end",
            "status": "diverged",
            "iteration": iteration,
            "average_log_result": average,
            "elapsed_seconds": 12.5,
            "message": "seed 4 diverged",
            "optimizer": "RNN",
            "seed": seed,
        }
        for seed, iteration, average in ((3, 100, -3.5), (4, 60, None))
    ]


@pytest.mark.parametrize(
    ("event", "line"),
    [
        (StatusChanged("paused", 7), {"event": "status", "status": "paused", "iteration": 7}),
        (
            StatusChanged("paused", 7, "no space"),
            {"event": "status", "status": "paused", "iteration": 7, "message": "no space"},
        ),
        (Extended(200), {"event": "extended", "iterations": 200}),
        (
            Described("a name", "of\ntwo lines", ("a", "b")),
            {"event": "described", "given_name": "a name", "note": "of\ntwo lines", "tags": ["a", "b"]},
        ),
        (Notice("look"), {"event": "notice", "message": "look"}),
    ],
)
def test_what_happens_to_the_whole_run_is_one_line(event: Event, line: dict[str, object]) -> None:
    assert as_json(event) == [line]
    assert event_from_json([line]) == event


def test_an_imitation_is_a_line_and_read_back_from_it() -> None:
    event = Imitated(LANES[1], Likeness(499, 5, 0.5, 0.25))
    (line,) = as_json(event)
    assert line == {
        "event": "imitation",
        "iteration": 499,
        "truncations": 5,
        "first": 0.5,
        "last": 0.25,
        "optimizer": "RNN",
        "seed": 4,
    }
    assert event_from_json([line]) == event


def test_a_validation_is_a_line_and_read_back_from_it() -> None:
    event = Validated(LANES[1], Verdict(499, 200, -0.5, -1.25, "next", 1, 200))
    (line,) = as_json(event)
    assert line == {
        "event": "validation",
        "iteration": 499,
        "steps": 200,
        "figure": -0.5,
        "best": -1.25,
        "outcome": "next",
        "stage": 1,
        "episode": 200,
        "optimizer": "RNN",
        "seed": 4,
    }
    assert event_from_json([json.loads(json.dumps(line))]) == event
    (lost,) = as_json(replace(event, verdict=replace(event.verdict, figure=inf)))
    assert lost["figure"] is None


def test_what_only_a_screen_needs_is_no_line() -> None:
    assert as_json(Preparing("loading")) == []


@pytest.mark.parametrize("value", [nan, inf, -inf])
def test_what_is_not_finite_is_none(value: float) -> None:
    assert finite(value) is None
    assert finite(0.5) == 0.5
    assert finite("nan") == "nan"


@pytest.mark.parametrize(
    "preset",
    [tiny_preset("run.seeds=2"), tiny_baselines(), tiny_preset("problem.scale=[1e30, 1e30]")],
    ids=["replicates", "baselines", "overflows"],
)
def test_every_line_of_a_run_is_strict_json_with_its_seed(preset: Preset, tmp_path: Path) -> None:
    # A notice has no seed; one may say that this machine is slow.
    events = [event for event in run(tmp_path / "run", preset) if not isinstance(event, Notice)]
    lines = [line for event in events for line in as_json(event)]
    assert {line["event"] for line in lines} - {"diagnosis", "finding"} == {"start", "progress", "checkpoint", "end"}
    assert all("seed" in line for line in lines)
    json.dumps(lines, allow_nan=False)
    assert [event for event in events if isinstance(event, NewRows)]


# Recorded lines: the code before this codec wrote tests/data/events.jsonl.

RECORDED = [
    (line, json.loads(line)) for line in (Path(__file__).parents[2] / "data" / "events.jsonl").read_text().splitlines()
]


def grouped(lines: list[tuple[str, dict[str, Any]]]) -> list[list[tuple[str, dict[str, Any]]]]:
    """Return the lines by the event they are of: one a seed or lane, for some."""
    groups: list[list[tuple[str, dict[str, Any]]]] = []
    for line, document in lines:
        name, before = document["event"], groups[-1][-1][1] if groups else {}
        same = ("event", "iteration") if name == "checkpoint" else ("event", "elapsed_seconds")
        goes_on = name in ("checkpoint", "end") and all(before.get(key) == document[key] for key in same)
        if goes_on:
            groups[-1].append((line, document))
        else:
            groups.append([(line, document)])
    return groups


def written(time: str, document: dict[str, Any]) -> str:
    return json.dumps({"time": time} | document)


def test_recorded_events_are_read_and_written_byte_for_byte() -> None:
    made_again = [group for group in grouped(RECORDED) if group[0][1]["event"] not in ("start", "diagnosis")]
    assert {group[0][1]["event"] for group in made_again} == {
        *("progress", "finding", "checkpoint", "end", "status", "extended", "notice")
    }
    for group in made_again:
        documents = [document for _, document in group]
        told = as_json(event_from_json(documents))
        assert [written(documents[0]["time"], document) for document in told] == [line for line, _ in group]


def test_recorded_diagnoses_are_read_and_written_byte_for_byte() -> None:
    diagnoses = [(line, document) for line, document in RECORDED if document["event"] == "diagnosis"]
    assert len({document["min_log"] for _, document in diagnoses}) > 1
    for line, document in diagnoses:
        lane, vitals = vitals_from_json(document)
        found = tuple(Finding(code, "", "") for code in document["findings"])
        (told,) = as_json(Diagnosed(lane, Diagnosis(vitals, document["trend"], found, ())))
        assert told.pop("loss_ratio") is None  # it is measured since
        assert written(document["time"], told) == line


def test_a_recorded_start_is_written_as_it_was() -> None:
    starts = [(line, document) for line, document in RECORDED if document["event"] == "start"]
    assert any("resumed_from" in document for _, document in starts)
    assert any("resumed_from" not in document for _, document in starts)
    for line, document in starts:
        event = Started(
            run_dir=document["run_dir"],
            preset=document["preset"],
            seeds=(document["seed"],),
            lanes=LANES,
            backend=document["backend"],
            reason=document["backend_reason"],
            iteration=document.get("resumed_from", -1),
            iterations=document["iterations"],
            levels=document["baselines"],
        )
        (told,) = as_json(event)
        assert written(document["time"], told) == line
    (told,) = as_json(replace(event, levels={"SGD": nan, "RMSProp": -1.0}))
    assert told["baselines"] == {"SGD": None, "RMSProp": -1.0}


def test_a_diagnosis_that_was_recorded_before_all_was_measured_is_read() -> None:
    document = next(document for _, document in RECORDED if document["event"] == "diagnosis")
    lane, vitals = vitals_from_json({name: value for name, value in document.items() if name != "root"})
    assert isnan(vitals.root)
    assert isnan(vitals.loss_ratio)
    assert (lane, vitals.distance_ratio) == (Lane(document["seed"], document["optimizer"]), document["distance_ratio"])


def test_what_was_measured_of_truncations_is_read_as_it_was_written() -> None:
    _, document = next(entry for entry in RECORDED if entry[1]["event"] == "diagnosis")
    lane, vitals = vitals_from_json(document)
    assert vitals.truncated is None
    truncated = TruncatedVitals(35.0, 0.25, nan, {"lstm0.input": 0.5}, {"layer0.bias": nan, "w": 2.0}, {"w": 0.5})
    (told,) = as_json(Diagnosed(lane, Diagnosis(replace(vitals, truncated=truncated), "flat", (), ())))
    assert told["truncated"]["layer_rates"] == {"layer0.bias": None, "w": 2.0}
    assert told["truncated"]["spike_step"] is None
    assert repr(vitals_from_json(json.loads(json.dumps(told)))[1].truncated) == repr(truncated)  # where NaN is NaN
    with pytest.raises(ValidationError):
        vitals_from_json(told | {"truncated": told["truncated"] | {"gates": {"lstm0.input": "open"}}})


# Adaptive numbers.


def test_adaptive_numbers_lie_flat_beside_min_log() -> None:
    (document,) = as_json(replace(PROGRESS, numbers={"min_log": -3.0, "decay": 0.5, "gain": nan}))
    beside = list(document)[list(document).index("min_log") :]
    assert beside[:4] == ["min_log", "decay", "gain", "numbers"]
    assert (document["min_log"], document["decay"], document["gain"]) == (-3.0, 0.5, None)
    back = progress_from_json(json.loads(json.dumps(document))).numbers
    assert list(back) == ["min_log", "decay", "gain"]
    assert isnan(back["gain"])
    (document,) = as_json(replace(PROGRESS, numbers={"decay": 0.5}))
    assert document["min_log"] is None
    assert progress_from_json(document).numbers == {"decay": 0.5}


def test_a_number_cannot_take_another_key_s_place() -> None:
    with pytest.raises(ValueError, match="seed"):
        as_json(replace(PROGRESS, numbers={"seed": 3.0}))


# Lines of other versions, and damaged ones.


def test_a_key_that_a_later_version_adds_is_ignored() -> None:
    (document,) = as_json(PROGRESS)
    assert repr(progress_from_json(document | {"joules": 3.0, "notes": ["x"]})) == repr(PROGRESS_READ)


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=4,
)


@given(st.sampled_from([document for _, document in RECORDED]), st.data())
def test_reading_what_is_damaged_raises_nothing_else(document: dict[str, Any], data: st.DataObject) -> None:
    keys = data.draw(st.lists(st.sampled_from([*document, "numbers"]), max_size=3))
    damaged = document | {key: data.draw(ANYTHING) for key in keys}
    for key in data.draw(st.lists(st.sampled_from(list(damaged)), max_size=2)):
        damaged.pop(key, None)
    for read in (event_from_json_alone, progress_from_json, vitals_from_json):
        try:
            read(damaged)
        except (ValueError, KeyError, TypeError):
            continue


def event_from_json_alone(document: dict[str, Any]) -> Event:
    return event_from_json([document])


@pytest.mark.parametrize(
    "documents",
    [
        [],
        [[]],
        [None],
        [{}],
        [{"event": "surprise"}],
        [{"event": "end"}],
        [{"event": "status", "status": "asleep", "iteration": 3}],
        [as_json(Notice("x"))[0], as_json(Notice("y"))[0]],
        [as_json(Checkpointed(1, "x", (0,), requested=False))[0], as_json(Notice("y"))[0]],
    ],
)
def test_what_is_no_event_is_refused(documents: Any) -> None:
    with pytest.raises((ValueError, KeyError, TypeError)):
        event_from_json(documents)


def test_a_run_s_damaged_lines_are_passed_over(tmp_path: Path) -> None:
    run(tmp_path / "run", tiny_preset())
    told = Run(tmp_path / "run")
    progress, vitals = told.progress(), told.vitals()
    assert progress
    assert vitals
    with told.events_path.open("a") as file:
        file.write('{"event": "progress"}\n{"event": "progress", "iteration": "x", "seed": 0, "optimizer": "RNN"}\n')
        file.write('{"event": "diagnosis", "iteration": 7, "seed": 0, "optimizer": "RNN"}\n[]\n{"event": "pro')
    assert repr(told.progress()) == repr(progress)
    assert repr(told.vitals()) == repr(vitals)
