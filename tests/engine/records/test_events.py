"""Events as scripts see them."""

import json
from math import inf, nan
from pathlib import Path

import pytest

from l2o_engine.presets.schema import Preset
from l2o_engine.records.events import (
    Checkpointed,
    Ended,
    Event,
    Extended,
    LaneResult,
    NewRows,
    Notice,
    Preparing,
    Progress,
    StatusChanged,
    as_json,
    finite,
    progress_from_json,
)
from l2o_engine.training.trainer import Lane
from tests.engine.tiny import run, tiny_baselines, tiny_preset

LANES = (Lane(3, "RNN"), Lane(4, "RNN"))
PROGRESS = Progress(
    lane=LANES[0],
    iteration=5000,
    sum_error=1.5,
    optim_result=nan,
    average_log_result=-inf,
    average_sum_log_result=-0.25,
    min_log=nan,
    iterations_per_second=100.5,
    elapsed_seconds=49.75,
    non_finite=2,
)


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
    with pytest.raises(KeyError):
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
        (Extended(200), {"event": "extended", "iterations": 200}),
        (Notice("look"), {"event": "notice", "message": "look"}),
    ],
)
def test_what_happens_to_the_whole_run_is_one_line(event: Event, line: dict[str, object]) -> None:
    assert as_json(event) == [line]


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
    events = run(tmp_path / "run", preset)
    lines = [line for event in events for line in as_json(event)]
    assert {line["event"] for line in lines} - {"diagnosis", "finding"} == {"start", "progress", "checkpoint", "end"}
    assert all("seed" in line for line in lines)
    json.dumps(lines, allow_nan=False)
    assert [event for event in events if isinstance(event, NewRows)]
