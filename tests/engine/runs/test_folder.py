"""A run's folder: what is in it, and how it is read."""

import csv
import json
import os
import socket
from pathlib import Path

import pytest

from l2o_engine.presets.files import load
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.folder import Run, lanes_of
from l2o_engine.runs.metrics_file import HEADER
from l2o_engine.runs.record import RunError
from l2o_engine.training.trainer import Lane
from tests.engine.made import change_record
from tests.engine.tiny import INPUTS, run, tiny_baselines, tiny_preset


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a run of 30 meta-iterations, with a checkpoint and a report every 10."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    run(folder, tiny_preset("run.seed=4", INPUTS["log"]))
    return Run(folder)


# What a folder holds.


def test_a_run_leaves_the_files_that_are_promised(finished: Run) -> None:
    names = {path.name for path in finished.folder.iterdir()}
    assert names >= {"preset.toml", "run.json", "metrics.csv", "events.jsonl", "checkpoints"}
    assert not [name for name in names if name.endswith(".tmp")]


def test_run_json_has_the_keys_that_are_promised(finished: Run) -> None:
    record = json.loads(finished.record_path.read_text())
    promised = {
        "format": 1,
        "status": "finished",
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "preset": "tiny",
        "seed": 4,
        "backend": "torch",
        "iteration": 30,
        "iterations": 30,
    }
    assert {key: record[key] for key in promised} == promised
    assert {"python", "numpy", "torch"} <= set(record["versions"])


def test_preset_toml_gives_the_same_run_again(finished: Run, tmp_path: Path) -> None:
    preset = load(finished.folder / "preset.toml")
    assert preset == finished.preset() == tiny_preset("run.seed=4", INPUTS["log"])
    run(tmp_path / "again", preset)
    assert (tmp_path / "again" / "metrics.csv").read_bytes() == finished.metrics_path.read_bytes()


def test_metrics_csv_has_a_row_for_every_meta_iteration(finished: Run) -> None:
    with finished.metrics_path.open(newline="") as file:
        assert file.readline() == HEADER
        file.seek(0)
        rows = list(csv.DictReader(file))
    assert [int(row["iteration"]) for row in rows] == list(range(31))
    assert all(float(row["end_loss"]) > 0 for row in rows)
    assert {(row["optimizer"], row["seed"], row["min_log"], row["non_finite"]) for row in rows} == {
        ("RNN", "4", "-5", "0")
    }


def test_events_jsonl_tells_what_happened_with_its_time(finished: Run) -> None:
    events = list(finished.events())
    assert all("time" in event for event in events)
    assert [event["event"] for event in events if event["event"] not in ("checkpoint", "finding")] == [
        "start",
        *["progress"] * 4,
        "diagnosis",
        "end",
    ]
    by_name = {event["event"]: event for event in events}
    assert (
        by_name["start"].items()
        >= {
            "run_dir": str(finished.folder),
            "preset": "tiny",
            "seed": 4,
            "backend": "torch",
            "iterations": 30,
        }.items()
    )
    for name, keys in (
        (
            "progress",
            "iteration sum_error optim_result average_log_result iterations_per_second elapsed_seconds non_finite",
        ),
        ("checkpoint", "iteration path"),
        ("end", "status iteration average_log_result elapsed_seconds"),
    ):
        assert set(keys.split()) <= set(by_name[name]), name
    assert by_name["end"]["status"] == "finished"
    assert [event["iteration"] for event in events if event["event"] == "progress"] == [0, 10, 20, 30]


def test_the_checkpoints_are_the_newest_few(finished: Run) -> None:
    paths = sorted(finished.checkpoints_path.iterdir())
    assert [int(path.stem) for path in paths] == [10, 20, 30]
    assert finished.latest_checkpoint() == paths[-1]


def test_progress_is_read_back_in_order_and_once(finished: Run) -> None:
    assert [(row.iteration, row.lane) for row in finished.progress()] == [
        (iteration, Lane(4, "RNN")) for iteration in (0, 10, 20, 30)
    ]


def test_rows_are_read_back(finished: Run) -> None:
    assert [k for rows in finished.rows() for k in rows.iteration.tolist()] == list(range(31))


def test_lanes_are_ordered_by_seed_then_as_the_baselines_are() -> None:
    assert lanes_of(tiny_preset("run.seeds=2", "run.seed=3")) == (Lane(3, "RNN"), Lane(4, "RNN"))
    assert lanes_of(tiny_baselines("run.seeds=2")) == (
        Lane(0, "SGD"),
        Lane(0, "RMSProp"),
        Lane(1, "SGD"),
        Lane(1, "RMSProp"),
    )


# What it cannot be.


def test_what_is_no_run_is_the_user_s_error(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="holds no run"):
        Run(tmp_path)
    with pytest.raises(RunError, match="holds no run"):
        DrivenRun.take(tmp_path / "nowhere")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 1}', "\xff"])
def test_a_broken_run_json_is_the_user_s_error(content: str, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(content, encoding="latin-1")
    with pytest.raises(RunError, match=r"run\.json cannot be read"):
        Run(tmp_path)


def test_a_later_format_is_named(tmp_path: Path) -> None:
    DrivenRun.create(tiny_preset(), tmp_path / "run").close()
    change_record(tmp_path / "run", format=2)
    with pytest.raises(RunError, match="format 2"):
        Run(tmp_path / "run")
