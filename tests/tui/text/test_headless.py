"""A run without a screen: the table, the JSON lines, resuming; stdout holds data and stderr everything else."""

import csv
import json
import os
from errno import ENOSPC
from pathlib import Path
from typing import Any

import pytest

from l2o_engine.presets.files import load
from l2o_engine.presets.shipped import find
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.folder import Run
from tests.tui.conftest import COMMAND, TINY, Result, Running, call, files_below, spawn

START = {"event", "run_dir", "preset", "seed", "backend", "iterations"}
PROGRESS = {
    "event",
    "iteration",
    "sum_error",
    "optim_result",
    "average_log_result",
    "iterations_per_second",
    "elapsed_seconds",
    "non_finite",
}
CHECKPOINT = {"event", "iteration", "path"}
END = {"event", "status", "iteration", "average_log_result", "elapsed_seconds"}
DIAGNOSIS = {"event", "iteration", "gradient_norm", "epsilon_share", "trend", "findings"}
FINDING = {"event", "iteration", "code", "message", "remedy"}
CONTRACT = {
    "start": START,
    "progress": PROGRESS,
    "diagnosis": DIAGNOSIS,
    "finding": FINDING,
    "checkpoint": CHECKPOINT,
    "end": END,
}
BASELINES = (
    *("run", "baselines", "--set=report.every=10"),
    *("--set=run.checkpoint_every=20", "--set=run.checkpoint_seconds=0"),
)


@pytest.fixture(scope="module")
def json_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """A run of 45 meta-iterations, with a report every 10 and a checkpoint every 20, as JSON lines."""
    folder = tmp_path_factory.mktemp("json") / "run"
    options = ("--iterations=45", "--seed=3", "--set=run.checkpoint_every=20", "--run-dir", folder)
    return folder, spawn("run", "log30", "--no-ui", "--json", *TINY, *options)


@pytest.fixture(scope="module")
def table_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Result]:
    """The same run as a table."""
    folder = tmp_path_factory.mktemp("table") / "run"
    notebook = "--set=notebook.name=kept"  # which a smaller network would lose otherwise
    options = ("--iterations=45", "--seed=3", "--set=run.checkpoint_every=20", notebook, "--run-dir", folder)
    return folder, spawn("run", "log30", "--no-ui", *TINY, *options)


def _metrics(folder: Path) -> list[dict[str, str]]:
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


# The table


def test_the_table_has_the_notebooks_columns_and_a_row_every_so_often(table_run: tuple[Path, Result]) -> None:
    _, result = table_run
    heading, *rows = result.out.splitlines()
    assert result.code == 0
    assert heading.split("│")[0].split() == ["it", "sum_error", "optim_result", "average_log_result", "non_finite"]
    assert "notebook" in heading.split("│")[1]
    assert [row.split()[0] for row in rows] == ["0", "10", "20", "30", "40", "45"]  # the last one, too


def test_the_table_shows_the_notebooks_row_beside_ours(table_run: tuple[Path, Result]) -> None:
    preset = load(find("log30"))
    assert preset.notebook is not None
    published = preset.notebook.rows[0]
    row = table_run[1].out.splitlines()[1]
    assert row.split("│")[1].split() == [f"{published.optim_result:.2E}", f"{published.average_log_result:.2f}"]


def test_the_table_prints_what_the_metrics_hold(table_run: tuple[Path, Result]) -> None:
    folder, result = table_run
    metrics = _metrics(folder)
    assert len(metrics) == 46  # 0 … 45
    for line in result.out.splitlines()[1:]:
        iteration, sum_error, optim_result, average, non_finite = line.split("│")[0].split()
        row, window = metrics[int(iteration)], metrics[max(int(iteration) - 9, 0) : int(iteration) + 1]
        assert sum_error == f"{float(row['sum_loss']):.2f}"
        assert optim_result == f"{float(row['end_loss']):.2E}"
        assert float(average) == pytest.approx(sum(float(r["end_log10"]) for r in window) / len(window), abs=0.0051)
        assert non_finite == "0"


def test_the_table_alone_is_on_stdout_and_the_rest_on_stderr(table_run: tuple[Path, Result]) -> None:
    folder, result = table_run
    assert len(result.out.splitlines()) == 7
    for text in ("log30", "seed 3", "torch", str(folder), "to beat", "SGD", "RMSProp", "finished at 45"):
        assert text in result.err


def test_a_setting_that_makes_another_experiment_takes_the_notebooks_column_away(workplace: Path) -> None:
    for setting, shows in (("inputs.min_log=-10", False), ("report.every=10", True)):
        heading = call("run", "log30", "--no-ui", "--set", setting, "--iterations=1").out.splitlines()[0]
        assert ("notebook" in heading) == shows


def test_rows_of_the_notebook_between_ours_are_printed_too(workplace: Path) -> None:
    rows = ", ".join(f"{{it = {it}, average_log_result = -1.0}}" for it in (0, 4, 10, 40))
    Path("mine.toml").write_text(f'name = "mine"\n[notebook]\nname = "n"\nrows = [{rows}]\n')
    result = call("run", "mine.toml", "--no-ui", *TINY, "--set=notebook.episode=1", "--iterations=20")
    lines = result.out.splitlines()[1:]
    assert [(line.split()[0], bool(line.split("│")[1].strip())) for line in lines] == [
        ("0", True),
        ("4", True),
        ("10", True),
        ("20", False),
    ]


def test_without_a_terminal_run_is_the_same_table_and_one_more_line_on_stderr(workplace: Path) -> None:
    silent, told = call(*BASELINES, "--no-ui", "--iterations=20"), spawn(*BASELINES, "--iterations=20")
    assert told.code == 0
    assert told.out == silent.out
    assert len(told.err.splitlines()) == len(silent.err.splitlines()) + 1
    assert "no terminal" in told.err.splitlines()[0]


def test_the_baselines_preset_reproduces_the_notebooks_levels(workplace: Path) -> None:
    result = call("run", "baselines", "--no-ui")
    averages = {row.split()[1]: float(row.split()[4]) for row in result.out.splitlines()[-2:]}
    assert averages["SGD"] == pytest.approx(-3.70, abs=0.2)
    assert averages["RMSProp"] == pytest.approx(-18.2, abs=0.5)


# JSON lines


def test_every_line_of_json_is_an_object_with_the_contracts_keys(json_run: tuple[Path, Result]) -> None:
    _, result = json_run
    assert (result.code, result.err) == (0, "")
    assert {document["event"] for document in result.documents} == set(CONTRACT)
    for document in result.documents:
        assert CONTRACT[document["event"]] <= document.keys()


def test_the_json_lines_tell_the_run_in_order(json_run: tuple[Path, Result]) -> None:
    folder, result = json_run
    start, *_, end = result.documents
    assert {key: start[key] for key in START} == {
        "event": "start",
        "run_dir": str(folder),
        "preset": "log30",
        "seed": 3,
        "backend": "torch",
        "iterations": 45,
    }
    assert [document["iteration"] for document in result.events("progress")] == [0, 10, 20, 30, 40, 45]
    assert [document["iteration"] for document in result.events("checkpoint")] == [20, 40, 45]
    assert all(Path(document["path"]).is_file() for document in result.events("checkpoint"))
    assert (end["event"], end["status"], end["iteration"]) == ("end", "finished", 45)


def test_the_recorded_events_are_the_printed_ones_with_their_times(json_run: tuple[Path, Result]) -> None:
    folder, result = json_run
    recorded = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    assert all(document.pop("time") for document in recorded)
    assert recorded == result.documents


def test_json_and_the_table_tell_the_same_run(json_run: tuple[Path, Result], table_run: tuple[Path, Result]) -> None:
    assert (json_run[0] / "metrics.csv").read_bytes() == (table_run[0] / "metrics.csv").read_bytes()
    for document, line in zip(json_run[1].events("progress"), table_run[1].out.splitlines()[1:], strict=True):
        assert f"{document['optim_result']:.2E}" == line.split()[2]


def test_the_record_has_the_contracts_keys(json_run: tuple[Path, Result]) -> None:
    record = json.loads((json_run[0] / "run.json").read_text())
    keys = ("format", "status", "pid", "host", "preset", "seed", "backend", "iteration", "iterations", "versions")
    assert set(keys) <= record.keys()
    assert (record["status"], record["seed"], record["iteration"], record["iterations"]) == ("finished", 3, 45, 45)


def test_a_finished_run_leaves_the_contracts_files(json_run: tuple[Path, Result]) -> None:
    files = set(files_below(json_run[0]))
    assert {"preset.toml", "run.json", "metrics.csv", "events.jsonl", "checkpoints"} <= files
    assert (json_run[0] / "metrics.csv").read_text().startswith("iteration,end_loss,sum_loss,")
    assert {Path(name).suffix for name in files if name.startswith("checkpoints/")} == {".safetensors"}


def _reject(name: str) -> Any:
    raise AssertionError(f"{name} is no JSON")


def test_non_finite_numbers_are_null_and_counted(workplace: Path) -> None:
    result = call("run", "log30", "--json", *TINY, "--iterations=20", "--set=problem.start=[1e30, 1e30]")
    for line in result.out.splitlines():
        json.loads(line, parse_constant=_reject)
    assert result.code == 0  # the notebook's policy: a spoilt meta-gradient counts as 0
    for document in result.events("progress"):
        assert document["sum_error"] is None
        assert document["optim_result"] is None
        assert document["average_log_result"] is None
    assert [document["non_finite"] for document in result.events("progress")] == [1, 10, 10]


def test_a_run_that_diverges_beyond_its_policy_exits_with_3(workplace: Path) -> None:
    options = ("--iterations=20", "--set=problem.start=[1e30, 1e30]", "--set=meta.non_finite=stop")
    result = call("run", "log30", "--json", *TINY, *options)
    assert result.code == 3
    assert result.documents[-1]["status"] == "diverged"
    assert "meta.non_finite" in result.documents[-1]["message"]
    assert call("runs").out.split("\n")[1].split()[1] == "diverged"


def test_with_seeds_every_line_tells_its_seed(workplace: Path) -> None:
    result = call("run", "log30", "--json", *TINY, "--iterations=10", "--seed=5", "--seeds=3")
    for name in CONTRACT:
        seeds = [document["seed"] for document in result.events(name)]
        assert set(seeds) == {5, 6, 7} or (name == "finding" and set(seeds) <= {5, 6, 7}), name
    assert [document["seed"] for document in result.events("progress")] == [5, 6, 7, 5, 6, 7]


def test_a_replicate_is_the_run_of_its_seed_alone(workplace: Path) -> None:
    assert call("run", "log30", "--quiet", *TINY, "--iterations=10", "--seeds=2", "--run-dir=both").code == 0
    assert call("run", "log30", "--quiet", *TINY, "--iterations=10", "--seed=1", "--run-dir=alone").code == 0
    assert [row for row in _metrics(Path("both")) if row["seed"] == "1"] == _metrics(Path("alone"))


def test_quiet_prints_the_folder_and_nothing_else(workplace: Path) -> None:
    result = call("run", "log30", "--quiet", *TINY, "--iterations=10")
    assert (result.code, result.err) == (0, "")
    assert (workplace / result.out.removesuffix("\n") / "run.json").is_file()


@pytest.mark.parametrize("chunk", ["1", "7", "1000"])
def test_the_size_of_a_chunk_changes_no_result(chunk: str, json_run: tuple[Path, Result], workplace: Path) -> None:
    options = ("--iterations=45", "--seed=3", "--chunk", chunk, "--run-dir=mine")
    assert call("run", "log30", "--quiet", *TINY, *options).code == 0
    assert Path("mine/metrics.csv").read_bytes() == (json_run[0] / "metrics.csv").read_bytes()


# Resuming


def test_a_finished_run_continues_as_if_it_had_been_longer(json_run: tuple[Path, Result], workplace: Path) -> None:
    options = ("--seed=3", "--set=run.checkpoint_every=20", "--run-dir=mine")
    assert call("run", "log30", "--quiet", *TINY, "--iterations=25", *options).code == 0
    result = call("resume", "mine", "--iterations=45", "--json")
    assert result.code == 0
    assert (result.documents[0]["resumed_from"], result.documents[0]["iterations"]) == (25, 45)
    assert Path("mine/metrics.csv").read_bytes() == (json_run[0] / "metrics.csv").read_bytes()
    assert [document["average_log_result"] for document in result.events("progress")] == [
        document["average_log_result"] for document in json_run[1].events("progress")[-3:]
    ]
    assert json.loads(Path("mine/run.json").read_text())["iterations"] == 45


@pytest.mark.parametrize("reference", ["last", "one", "o", "runs/one"])
def test_a_run_to_resume_is_named_like_one_to_show(reference: str, workplace: Path) -> None:
    assert call(*BASELINES, "--quiet", "--iterations=20", "--run-dir=runs/one").code == 0
    result = call("resume", reference, "--iterations=30", "--quiet")
    assert (result.code, result.out.strip()) == (0, str(Path("runs/one").resolve()))


def test_a_wrong_name_is_answered_with_the_nearest_run(workplace: Path) -> None:
    assert call(*BASELINES, "--quiet", "--iterations=20", "--run-dir=runs/first").code == 0
    result = call("resume", "frist", "--no-ui")
    assert (result.code, result.out) == (2, "")
    assert 'did you mean "first"?' in result.err


@pytest.mark.parametrize("options", [(), ("--iterations=20",)], ids=["none", "same"])
def test_to_resume_a_finished_run_is_no_error_and_does_nothing(options: tuple[str, ...], workplace: Path) -> None:
    """A job that was requeued repeats its command."""
    assert call(*BASELINES, "--quiet", "--iterations=20", "--run-dir=one").code == 0
    before = {path: path.read_bytes() for path in workplace.rglob("*") if path.is_file()}
    ends = [document for document in Run(Path("one")).events() if document["event"] == "end"]
    for document in ends:
        del document["time"]
    plain, quiet, lines = (call("resume", "one", form, *options) for form in ("--no-ui", "--quiet", "--json"))
    assert (plain.out, quiet.out, lines.documents) == ("", f"{Path('one').resolve()}\n", ends)
    for result in (plain, quiet, lines):
        assert result.code == 0
        assert "one is finished at 20" in result.err
        assert "--iterations" in result.err
    assert {path: path.read_bytes() for path in workplace.rglob("*") if path.is_file()} == before


def test_who_takes_a_finished_run_for_done_is_told_what_is_damaged_of_it(workplace: Path) -> None:
    assert call(*BASELINES, "--quiet", "--iterations=20", "--run-dir=one").code == 0
    newest = Run(Path("one")).latest_checkpoint()
    assert newest is not None
    newest.write_bytes(b"half")
    result = call("resume", "one", "--quiet")
    assert result.code == 0
    assert f"the newest checkpoint is damaged: {newest.name}" in result.err


def test_fewer_iterations_than_a_run_has_done_are_refused(workplace: Path) -> None:
    assert call(*BASELINES, "--quiet", "--iterations=20", "--run-dir=one").code == 0
    result = call("resume", "one", "--no-ui", "--iterations=5")
    assert (result.code, result.out) == (2, "")
    assert "one is already at 20" in result.err


def test_a_preset_that_was_edited_is_refused_until_the_change_is_accepted(workplace: Path) -> None:
    assert call(*BASELINES, "--quiet", "--iterations=20", "--run-dir=one").code == 0
    path = Path("one/preset.toml")
    path.write_text(path.read_text().replace("dims = 2", "dims = 3"))
    resumed = ("resume", "one", "--iterations=30", "--no-ui")
    result = call(*resumed)
    assert (result.code, result.out) == (2, "")
    assert "problem.dims 2 → 3" in result.err
    result = call(*resumed, "--accept-changes")
    assert result.code == 0
    assert "changed at 20: problem.dims 2 → 3" in result.err


def test_a_run_that_another_process_drives_cannot_be_resumed(driven_run: tuple[Path, Running]) -> None:
    folder, running = driven_run
    result = call("resume", folder, "--no-ui")
    assert (result.code, result.out) == (2, "")
    assert f"driven by process {running.pid}" in result.err


def _unfinished(folder: Path) -> None:
    """Make a finished run of 50 look as one whose process was killed."""
    assert call(*BASELINES, "--quiet", "--iterations=50", "--run-dir", folder).code == 0
    record = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(record | {"status": "running"}))
    (folder / "checkpoints" / "000000000050.safetensors").unlink()


def test_a_killed_run_is_interrupted_and_resuming_gives_the_same_metrics(workplace: Path) -> None:
    _unfinished(Path("one"))
    expected = Path("one/metrics.csv").read_bytes()
    with Path("one/metrics.csv").open("a") as file:
        file.write("51,0.1,")
    assert json.loads(call("show", "one", "--json").out)["status"] == "interrupted"
    result = call("resume", "one", "--json")
    assert result.code == 0
    assert result.documents[0]["resumed_from"] == 40
    assert Path("one/metrics.csv").read_bytes() == expected


def test_an_interrupted_run_cannot_be_given_fewer_iterations_than_it_has_done(workplace: Path) -> None:
    _unfinished(Path("one"))
    result = call("resume", "one", "--no-ui", "--iterations=15")
    assert (result.code, result.out) == (2, "")
    assert "--iterations" in result.err


def test_a_damaged_checkpoint_is_passed_over_and_told(workplace: Path) -> None:
    _unfinished(Path("one"))
    expected = Path("one/metrics.csv").read_bytes()
    Path("one/checkpoints/000000000040.safetensors").write_bytes(b"damaged")
    result = call("resume", "one", "--no-ui")
    assert result.code == 0
    assert "000000000040.safetensors" in result.err
    assert Path("one/metrics.csv").read_bytes() == expected


def test_a_run_without_any_good_checkpoint_is_refused_with_a_message(workplace: Path) -> None:
    _unfinished(Path("one"))
    for path in Path("one/checkpoints").iterdir():
        path.write_bytes(b"damaged")
    before = Path("one/metrics.csv").read_bytes()
    result = call("resume", "one", "--no-ui")
    assert (result.code, result.out) == (2, "")
    assert "none of the checkpoints of one is good" in result.err
    assert Path("one/metrics.csv").read_bytes() == before


def test_the_metrics_of_a_run_whose_checkpoints_are_gone_are_not_silently_thrown_away(workplace: Path) -> None:
    assert call(*BASELINES, "--quiet", "--iterations=50", "--run-dir=one").code == 0
    for path in Path("one/checkpoints").iterdir():
        path.unlink()
    assert "checkpoint" in call("resume", "one", "--no-ui", "--iterations=60").err


def test_a_failure_while_training_exits_with_1_and_says_what(workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise OSError(ENOSPC, os.strerror(ENOSPC))

    _unfinished(Path("one"))
    monkeypatch.setattr(DrivenRun, "append_rows", fail)
    result = call("resume", "one", "--json")
    assert result.code == 1
    assert "No space left on device" in result.err
    assert json.loads(Path("one/run.json").read_text())["status"] == "failed"


def test_a_run_whose_checkpoints_are_gone_is_refused_and_stays_as_it_is(workplace: Path) -> None:
    _unfinished(Path("one"))
    for path in Path("one/checkpoints").iterdir():
        path.unlink()
    before = Path("one/run.json").read_bytes()
    result = call("resume", "one", "--json")
    assert (result.code, result.out) == (2, "")
    assert "nothing to go on from" in result.err
    assert Path("one/run.json").read_bytes() == before


def test_what_is_in_the_way_of_a_folder_is_said_before_anything_starts(workplace: Path) -> None:
    _unfinished(Path("one"))
    Path("one/checkpoints").rename("aside")
    Path("one/checkpoints").write_text("in the way")
    before = Path("one/run.json").read_bytes()
    result = call("resume", "one", "--json")
    assert (result.code, result.out) == (2, "")
    assert "one/checkpoints: Not a directory" in result.err
    assert Path("one/run.json").read_bytes() == before


# Streams that are not as usual


def _shell(script: str, *args: str) -> Result:
    return spawn("-c", script, "sh", *COMMAND, *args, command=["bash"])


def test_a_run_works_with_stdin_closed(workplace: Path) -> None:
    result = _shell('"$@" <&-', *BASELINES, "--iterations=10")
    assert "Traceback" not in result.err
    assert result.code == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's /dev/full")  # noqa: PTH110
def test_a_full_disk_under_stdout_is_a_failure_with_a_message(workplace: Path) -> None:
    result = _shell('"$@" > /dev/full', *BASELINES, "--no-ui", "--iterations=10")
    assert result.code == 1
    assert "Traceback" not in result.err
    assert "No space left" in result.err


def test_a_disk_that_fills_up_is_one_message_that_says_how_to_go_on(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(ENOSPC, "No space left on device", "metrics.csv")

    with monkeypatch.context() as patch:
        patch.setattr(DrivenRun, "append_rows", full)
        result = call("run", "log30", "--quiet", *TINY, "--iterations=10", "--run-dir", "a")
    assert result.code == 1
    assert result.err.count("\n") == 1
    assert "No space left on device" in result.err
    assert "go on with: l2o-tui resume " in result.err
    assert call("resume", "a", "--quiet").code == 0


# What is wrong is said before anything is done.


def test_a_run_whose_backend_cannot_be_had_here_is_not_touched(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (
        call("run", "log30", "--no-ui", *TINY, "--set=run.backend=fused", "--iterations=4", "--run-dir", "a").code == 0
    )
    before = {path.name: path.read_bytes() for path in Path("a").iterdir() if path.is_file()}
    monkeypatch.setattr("l2o_engine.backends.choose.find_spec", lambda name: None)
    result = call("resume", "a", "--no-ui", "--iterations=6")
    assert (result.code, result.out) == (2, "")
    assert "numba is not installed" in result.err
    assert {path.name: path.read_bytes() for path in Path("a").iterdir() if path.is_file()} == before


def test_a_run_whose_device_is_not_here_is_not_touched_and_goes_on_elsewhere(workplace: Path) -> None:
    assert call("run", "log30", "--no-ui", *TINY, "--iterations=4", "--run-dir", "a").code == 0
    preset = Path("a") / "preset.toml"
    preset.write_text(preset.read_text().replace('device = "cpu"', 'device = "cuda:9"'))
    before = {path.name: path.read_bytes() for path in Path("a").iterdir() if path.is_file()}
    result = call("resume", "a", "--no-ui", "--iterations=6")
    assert (result.code, result.out) == (2, "")
    assert 'there is no device "cuda:9" here: torch ' in result.err
    assert {path.name: path.read_bytes() for path in Path("a").iterdir() if path.is_file()} == before
    assert call("resume", "a", "--no-ui", "--iterations=6", "--device=cpu").code == 0
    assert call("show", "a").code == 0


@pytest.mark.parametrize("option", ["--runs-dir=other", "--fps=1", "--on-hangup=checkpoint"])
def test_an_option_of_the_home_screen_before_a_command_is_refused(option: str, workplace: Path) -> None:
    result = call(option, "runs")
    assert (result.code, result.out) == (2, "")
    assert f"{option.partition('=')[0]} goes behind the command: l2o-tui runs" in result.err
