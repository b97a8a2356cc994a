"""A run's folder: what is in it, who drives it, and how it is found."""

import csv
import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from l2o_engine.presets.schema import load
from l2o_engine.records.rows import HEADER
from l2o_engine.runs.catalogue import find_run, list_runs, new_folder
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.folder import Run, lanes_of
from l2o_engine.runs.record import RunError
from l2o_engine.training.trainer import Lane
from tests.engine.tiny import TRANSFORMS, resume, run, tiny_baselines, tiny_preset


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a run of 30 meta-iterations, with a checkpoint and a report every 10."""
    folder = tmp_path_factory.mktemp("runs") / "finished"
    run(folder, tiny_preset("run.seed=4", TRANSFORMS["log"]))
    return Run(folder)


def change_record(folder: Path, **changes: Any) -> None:
    path = folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


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
    assert preset == finished.preset() == tiny_preset("run.seed=4", TRANSFORMS["log"])
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


# Making and driving.


def test_a_run_is_never_overwritten(finished: Run) -> None:
    before = {path: path.read_bytes() for path in finished.folder.rglob("*") if path.is_file()}
    with pytest.raises(RunError, match="already holds a run"):
        DrivenRun.create(tiny_preset(), finished.folder)
    assert {path: path.read_bytes() for path in finished.folder.rglob("*") if path.is_file()} == before


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("chapter 1")
    with pytest.raises(RunError, match="is not empty"):
        DrivenRun.create(tiny_preset(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_folder_that_cannot_be_made_is_the_user_s_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="cannot make the run's folder"):
        DrivenRun.create(tiny_preset(), tmp_path / "file" / "run")


def test_a_run_has_one_driver(tmp_path: Path) -> None:
    driven = DrivenRun.create(tiny_preset(), tmp_path / "run")
    try:
        assert driven.status() == "running"
        assert driven.is_driven()
        with pytest.raises(RunError, match=f"is being driven by process {os.getpid()}"):
            DrivenRun.take(tmp_path / "run")
    finally:
        driven.close()
    assert not driven.is_driven()
    DrivenRun.take(tmp_path / "run").close()


def test_another_process_cannot_drive_a_driven_run(tmp_path: Path) -> None:
    driven = DrivenRun.create(tiny_preset(), tmp_path / "run")
    try:
        command = [sys.executable, "-m", "l2o_tui", "resume", str(tmp_path / "run"), "--no-ui"]
        second = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    finally:
        driven.close()
    assert second.returncode == 2
    assert f"is being driven by process {os.getpid()}" in second.stderr
    assert "Traceback" not in second.stderr


def test_a_run_on_another_host_is_not_taken_while_it_is_active(tmp_path: Path) -> None:
    DrivenRun.create(tiny_preset(), tmp_path / "run").close()
    change_record(tmp_path / "run", host="node17", pid=99)
    assert Run(tmp_path / "run").status() == "running"
    with pytest.raises(RunError, match="process 99 on node17"):
        DrivenRun.take(tmp_path / "run")
    change_record(tmp_path / "run", status="interrupted")
    DrivenRun.take(tmp_path / "run").close()
    assert Run(tmp_path / "run").record().host == socket.gethostname()


def test_a_run_whose_process_is_gone_reads_as_interrupted(tmp_path: Path) -> None:
    driven = DrivenRun.create(tiny_preset(), tmp_path / "run")
    driven.close()
    assert driven.record().status == "running"
    assert driven.status() == "interrupted"


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


# Mending.


def test_a_torn_last_line_of_events_does_not_spoil_the_next(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run(folder, tiny_preset())
    events = Run(folder).events_path
    events.write_bytes(events.read_bytes()[:-20])
    known = len(list(Run(folder).events()))
    resume(folder, iterations=40)
    lines = events.read_text().splitlines()
    broken = [line for line in lines if not line.endswith("}")]
    assert len(broken) == 1
    assert [event["event"] for event in Run(folder).events()][known] == "start"
    assert [row.iteration for row in Run(folder).progress()] == [0, 10, 20, 30, 40]


@pytest.mark.parametrize("extra", ["31,1.0,1.0,0.0,0.0,1.0,,0,RNN,0\n", "31,1.0,1.", "\x00\x00\x00"])
def test_rows_beyond_the_checkpoint_are_cut_off(extra: str, tmp_path: Path) -> None:
    uninterrupted, mended = tmp_path / "uninterrupted", tmp_path / "mended"
    run(uninterrupted, tiny_preset("run.iterations=40"))
    run(mended, tiny_preset())
    with (mended / "metrics.csv").open("a") as file:
        file.write(extra)
    resume(mended, iterations=40)
    assert (mended / "metrics.csv").read_bytes() == (uninterrupted / "metrics.csv").read_bytes()


# Finding.


def test_a_new_run_s_folder_is_never_taken(tmp_path: Path) -> None:
    first = new_folder(tmp_path, tiny_preset("run.seed=3"))
    second = new_folder(tmp_path, tiny_preset("run.seed=3"))
    assert first.name.startswith("tiny-s3-")
    assert first != second
    assert not any(first.iterdir())
    assert not any(second.iterdir())


def test_runs_are_found_by_path_name_beginning_and_as_the_last(tmp_path: Path) -> None:
    for name in ("alpha-1", "alpha-2", "beta-1"):
        DrivenRun.create(tiny_preset(), tmp_path / name).close()
        change_record(tmp_path / name, created=f"2020-01-01T00:00:0{len(list_runs(tmp_path))}")
    (tmp_path / "no run").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "run.json").write_text("{")
    assert [found.name for found in list_runs(tmp_path)] == ["alpha-1", "alpha-2", "beta-1"]
    assert find_run(str(tmp_path / "alpha-2"), Path("elsewhere")).name == "alpha-2"
    assert find_run("alpha-2", tmp_path).name == "alpha-2"
    assert find_run("be", tmp_path).name == "beta-1"
    assert find_run("last", tmp_path).name == "beta-1"
    with pytest.raises(RunError, match="may be any of alpha-1, alpha-2"):
        find_run("alpha", tmp_path)
    with pytest.raises(RunError, match='did you mean "beta-1"'):
        find_run("bete-1", tmp_path)


def test_there_is_no_last_run_in_an_empty_folder(tmp_path: Path) -> None:
    with pytest.raises(RunError, match='there is no run "last"'):
        find_run("last", tmp_path)
