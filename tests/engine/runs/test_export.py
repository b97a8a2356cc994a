"""A run's metrics in another tool's format, read back with that tool; and outputs that cannot be written."""

import csv
import errno
import json
import os
import resource
import shutil
import sys
import threading
import tracemalloc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.testing import assert_array_equal

from l2o_engine.presets.tables import to_dict, to_toml
from l2o_engine.records import frames
from l2o_engine.records.codec import as_json
from l2o_engine.runs import metrics_file
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.export import ExportError, FileFormat, export_file, export_tensorboard, write_metrics
from l2o_engine.runs.folder import Run
from l2o_engine.runs.metrics_file import HEADER
from l2o_engine.runs.record import RunError
from l2o_engine.support.errors import Failure, UserError
from tests.engine.tiny import INPUTS, run, tiny_baselines, tiny_preset

TAGS = {
    "loss/end": "end_loss",
    "loss/sum": "sum_loss",
    "log10/end": "end_log10",
    "log10/mean": "mean_log10",
    "meta/gradient_norm": "gradient_norm",
    "meta/min_log": "min_log",
    "meta/non_finite": "non_finite",
}
FILES: tuple[FileFormat, ...] = ("csv", "json", "parquet")
REPORTS = {"report/average_log_result", "report/average_sum_log_result"}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a run of 31 meta-iterations and one lane."""
    folder = tmp_path_factory.mktemp("runs") / "trained"
    run(folder, tiny_preset("run.seed=4", INPUTS["log"]))
    return Run(folder)


@pytest.fixture(scope="module")
def replicates(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a run of 31 meta-iterations with the seeds 0 and 1."""
    folder = tmp_path_factory.mktemp("runs") / "replicates"
    run(folder, tiny_preset("run.seeds=2"))
    return Run(folder)


@pytest.fixture(scope="module")
def baselines(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Return a run of 31 draws and two optimizers, which has neither a gradient norm nor a min_log."""
    folder = tmp_path_factory.mktemp("runs") / "baselines"
    run(folder, tiny_baselines("run.seed=3", 'baseline.0.name="a/b"'))
    return Run(folder)


@pytest.fixture(params=["trained", "replicates", "baselines"])
def any_run(request: pytest.FixtureRequest) -> Run:
    found: Run = request.getfixturevalue(request.param)
    return found


def changed(source: Run, folder: Path, change: Callable[[list[str]], Sequence[str]]) -> Run:
    """Return a copy of a run whose metrics have other lines."""
    shutil.copytree(source.folder, folder)
    path = folder / "metrics.csv"
    path.write_text("".join(change(path.read_text().splitlines(keepends=True))))
    return Run(folder)


def with_cells(line: str, **cells: str) -> str:
    row = dict(zip(HEADER.strip().split(","), line.strip().split(","), strict=True)) | cells
    return ",".join(row.values()) + "\n"


def not_finite(lines: list[str]) -> list[str]:
    lines[5] = with_cells(lines[5], end_loss="nan", sum_loss="inf", end_log10="nan", mean_log10="-inf")
    lines[6] = with_cells(lines[6], gradient_norm="nan", non_finite="1")
    return lines


def exported(source: Run, file_format: FileFormat, every: int = 1) -> bytes:
    file = BytesIO()
    write_metrics(source, file_format, file, every=every)
    return file.getvalue()


def strict_json(text: bytes) -> dict[str, Any]:
    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is no JSON")

    document: dict[str, Any] = json.loads(text, parse_constant=refuse)
    return document


def rows_of(text: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(text.decode().splitlines()))


def numbered(line: str, n: int) -> list[str]:
    return [with_cells(line, iteration=str(place)) for place in range(n)]


def number(cell: str) -> float:
    return float(cell or "nan")


def files_below(folder: Path) -> dict[str, bytes]:
    paths = sorted(folder.rglob("*"))
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else b"" for path in paths}


@contextmanager
def largest_file(n: int) -> Iterator[None]:
    """Let no file grow beyond n bytes: writing fails on the way, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


# CSV.


def test_csv_is_metrics_csv_byte_for_byte(any_run: Run) -> None:
    assert exported(any_run, "csv") == any_run.metrics_path.read_bytes()


@pytest.mark.parametrize("every", [2, 7, 30, 1000])
def test_thinning_keeps_the_multiples_and_the_last(any_run: Run, every: int) -> None:
    lines = any_run.metrics_path.read_bytes().splitlines(keepends=True)
    kept = [line for line in lines[1:] if int(line.split(b",")[0]) % every == 0 or int(line.split(b",")[0]) == 30]
    assert exported(any_run, "csv", every) == b"".join([lines[0], *kept])


def test_thinning_keeps_the_last_of_a_lane_that_ended_before_the_others(replicates: Run, tmp_path: Path) -> None:
    diverged = changed(
        replicates,
        tmp_path / "run",
        lambda lines: [line for line in lines if not line.endswith(",1\n") or int(line.split(",")[0]) <= 13],
    )
    kept = [(row["iteration"], row["seed"]) for row in rows_of(exported(diverged, "csv", 10))]
    assert kept == [("0", "0"), ("0", "1"), ("10", "0"), ("10", "1"), ("13", "1"), ("20", "0"), ("30", "0")]


@pytest.mark.parametrize("file_format", ["csv", "json", "parquet"])
@pytest.mark.parametrize("every", [1, 4])
def test_the_size_of_the_blocks_changes_nothing(
    file_format: FileFormat, every: int, replicates: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = exported(replicates, file_format, every)
    for size in (1, 100, 1000):
        monkeypatch.setattr(metrics_file, "_BLOCK", size)
        assert exported(replicates, file_format, every) == whole


# JSON.


def test_json_holds_the_run_its_settings_its_progress_and_the_metrics_by_column(any_run: Run) -> None:
    document = strict_json(exported(any_run, "json"))
    assert list(document) == ["format", "run", "settings", "progress", "metrics"]
    assert document["format"] == 1
    assert document["run"] == json.loads(any_run.record_path.read_text())
    assert document["settings"] == to_dict(any_run.preset())
    assert document["progress"] == [row for event in any_run.progress() for row in as_json(event)]
    rows = rows_of(any_run.metrics_path.read_bytes())
    metrics = document["metrics"]
    assert list(metrics) == ["iteration", "optimizer", "seed", *HEADER.split(",")[1:-2]]
    assert metrics["optimizer"] == [row["optimizer"] for row in rows]
    for name in ("iteration", "seed", "non_finite"):
        assert metrics[name] == [int(row[name]) for row in rows]
    for name in TAGS.values():
        assert_array_equal(np.array(metrics[name], float), [number(row[name]) for row in rows])


def test_json_has_null_for_what_is_not_finite_and_for_what_is_not_there(trained: Run, tmp_path: Path) -> None:
    metrics = strict_json(exported(changed(trained, tmp_path / "run", not_finite), "json"))["metrics"]
    assert [metrics[name][4] for name in ("end_loss", "sum_loss", "end_log10", "mean_log10")] == [None] * 4
    assert (metrics["gradient_norm"][5], metrics["non_finite"][5]) == (None, 1)
    assert None not in metrics["end_loss"][5:]


def test_json_of_what_a_run_does_not_measure_is_null(baselines: Run) -> None:
    metrics = strict_json(exported(baselines, "json"))["metrics"]
    assert metrics["gradient_norm"] == metrics["min_log"] == [None] * 62


def with_decay(lines: list[str]) -> list[str]:
    """Add an adaptive number: half the meta-iteration."""
    where = HEADER.split(",").index("min_log") + 1
    rows = [line.split(",") for line in lines]
    values = ["decay", *(str(int(row[0]) / 2) for row in rows[1:])]
    return [",".join([*row[:where], value, *row[where:]]) for row, value in zip(rows, values, strict=True)]


def test_further_adaptive_numbers_are_exported_by_their_names(replicates: Run, tmp_path: Path) -> None:
    adapting = changed(replicates, tmp_path / "run", with_decay)
    metrics = strict_json(exported(adapting, "json"))["metrics"]
    assert metrics["decay"] == [it / 2 for it in metrics["iteration"]]
    assert list(metrics)[list(metrics).index("min_log") + 1] == "decay"
    export_tensorboard(adapting, tmp_path / "events")
    assert scalars(tmp_path / "events" / "seed1")["meta/decay"][1] == [it / 2 for it in range(31)]
    assert [rows.numbers["decay"].tolist() for rows in adapting.rows()] == [metrics["decay"]]


def test_json_thins_every_column_alike(replicates: Run) -> None:
    metrics = strict_json(exported(replicates, "json", 20))["metrics"]
    assert metrics["iteration"] == [0, 0, 20, 20, 30, 30]
    assert {len(values) for values in metrics.values()} == {6}


def test_json_of_a_killed_run_says_that_it_is_interrupted(tmp_path: Path) -> None:
    DrivenRun.create(tiny_preset(), tmp_path / "run").close()
    assert strict_json(exported(Run(tmp_path / "run"), "json"))["run"]["status"] == "interrupted"


@pytest.mark.parametrize("every", [1, 3])
def test_the_memory_that_json_needs_does_not_grow_with_the_rows(
    every: int, trained: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_file, "_BLOCK", 8192)
    peaks = []
    for n in (1000, 10_000):
        long = changed(trained, tmp_path / str(n), lambda lines, n=n: [lines[0], *numbered(lines[2], n)])  # type: ignore[misc]
        with Path(os.devnull).open("wb") as nowhere:
            write_metrics(long, "json", nowhere, every=every)  # once, for what stays
            tracemalloc.start()
            write_metrics(long, "json", nowhere, every=every)
            peaks.append(tracemalloc.get_traced_memory()[1])
            tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]


# Parquet.


def parquet(text: bytes) -> Any:
    return pq.read_table(BytesIO(text))


def test_parquet_holds_the_numbers_of_metrics_csv_in_typed_columns(any_run: Run) -> None:
    table, rows = parquet(exported(any_run, "parquet")), rows_of(any_run.metrics_path.read_bytes())
    assert table.column_names == HEADER.strip().split(",")
    types = {name: str(table.schema.field(name).type) for name in table.column_names}
    assert types.pop("optimizer") == "dictionary<values=string, indices=int32, ordered=0>"
    assert [types.pop(name) for name in ("iteration", "seed", "non_finite")] == ["int64", "int64", "bool"]
    assert set(types.values()) == {"double"}
    for name in table.column_names:
        values, cells = table[name].to_pylist(), [row[name] for row in rows]
        if name == "optimizer":
            assert values == cells
        else:
            assert values == [float(cell) if cell else None for cell in cells]


def test_parquet_says_of_which_run_it_is(any_run: Run) -> None:
    metadata = parquet(exported(any_run, "parquet")).schema.metadata
    assert metadata[b"l2o.format"] == b"1"
    assert metadata[b"l2o.preset"].decode() == to_toml(any_run.preset())
    assert json.loads(metadata[b"l2o.run"]) == json.loads(any_run.record_path.read_text())


def test_parquet_has_what_is_not_finite_as_it_is(trained: Run, tmp_path: Path) -> None:
    table = parquet(exported(changed(trained, tmp_path / "run", not_finite), "parquet"))
    found = [table[name][4].as_py() for name in ("end_loss", "sum_loss", "end_log10", "mean_log10")]
    assert_array_equal(found, [np.nan, np.inf, np.nan, -np.inf])
    assert (np.isnan(table["gradient_norm"][5].as_py()), table["non_finite"][5].as_py()) == (True, True)
    assert all(column.null_count == 0 for column in table.columns)


def test_parquet_thins_every_column_alike(replicates: Run) -> None:
    assert parquet(exported(replicates, "parquet", 20))["iteration"].to_pylist() == [0, 0, 20, 20, 30, 30]


def test_row_groups_are_full_but_for_the_last(trained: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "ROW_GROUP", 100)
    monkeypatch.setattr(metrics_file, "_BLOCK", 8192)  # some 100 rows too, which the groups' ends lie within
    long = changed(trained, tmp_path / "run", lambda lines: [lines[0], *numbered(lines[2], 1030)])
    file = pq.ParquetFile(BytesIO(exported(long, "parquet")))
    sizes = [file.metadata.row_group(group).num_rows for group in range(file.metadata.num_row_groups)]
    assert sizes == [100] * 10 + [30]
    assert file.read()["iteration"].to_pylist() == list(range(1030))


def test_the_memory_that_parquet_needs_does_not_grow_with_the_rows(
    trained: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(frames, "ROW_GROUP", 500)
    monkeypatch.setattr(metrics_file, "_BLOCK", 8192)
    peaks = []
    for n in (2000, 10_000):
        long = changed(trained, tmp_path / str(n), lambda lines, n=n: [lines[0], *numbered(lines[2], n)])  # type: ignore[misc]
        pool, before = pa.system_memory_pool(), pa.default_memory_pool()
        pa.set_memory_pool(pool := pa.proxy_memory_pool(pool))  # which counts from here on
        try:
            with Path(os.devnull).open("wb") as nowhere:
                write_metrics(long, "parquet", nowhere)
            peaks.append(pool.max_memory())
        finally:
            pa.set_memory_pool(before)
    assert 0 < peaks[1] < 1.3 * peaks[0]


def test_without_the_library_the_extra_of_parquet_is_named_and_nothing_is_made(
    trained: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(UserError, match=r"needs pyarrow, which is not installed: pip install 'l2o-tui\[frames\]'"):
        export_file(trained, "parquet", tmp_path / "out.parquet")
    assert files_below(tmp_path) == {}


# Files that are not whole.


@pytest.mark.parametrize("tail", ["31,0.5,1.", "31", "31,1.0,1.0,0.0,0.0,1.0,,0,RNN,4", "\x00\x00\x00"])
def test_a_line_that_is_still_being_written_is_left_out(tail: str, trained: Run, tmp_path: Path) -> None:
    torn = changed(trained, tmp_path / "run", lambda lines: [*lines, tail])
    assert exported(torn, "csv") == exported(trained, "csv")
    assert strict_json(exported(torn, "json"))["metrics"] == strict_json(exported(trained, "json"))["metrics"]
    export_tensorboard(torn, tmp_path / "events")
    assert scalars(tmp_path / "events")["loss/end"][0] == list(range(31))


def test_a_run_without_rows_has_empty_columns(tmp_path: Path) -> None:
    DrivenRun.create(tiny_preset(), tmp_path / "run").close()
    new = Run(tmp_path / "run")
    assert exported(new, "csv") == exported(new, "csv", 10) == HEADER.encode()
    assert set(map(str, strict_json(exported(new, "json"))["metrics"].values())) == {"[]"}
    assert (len(parquet(exported(new, "parquet"))), parquet(exported(new, "parquet")).num_columns) == (0, 10)
    export_tensorboard(new, tmp_path / "events")
    assert scalars(tmp_path / "events") == {}


class Meddler(BytesIO):
    """A file that does something to the run before it takes bytes."""

    def __init__(self, meddle: Callable[[], None]) -> None:
        super().__init__()
        self._meddle = meddle

    def write(self, data: Any) -> int:
        self._meddle()
        return super().write(data)


@pytest.mark.parametrize("file_format", ["csv", "json", "parquet"])
def test_rows_that_come_while_it_is_exported_are_left_out(
    file_format: FileFormat, trained: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_file, "_BLOCK", 500)
    growing = changed(trained, tmp_path / "run", lambda lines: lines)
    line = growing.metrics_path.read_text().splitlines(keepends=True)[-1]

    def grow() -> None:
        with growing.metrics_path.open("a") as file:
            file.write(line)

    before = exported(growing, file_format)
    file = Meddler(grow)
    write_metrics(growing, file_format, file)
    assert len(growing.metrics_path.read_text().splitlines()) > 34
    assert file.getvalue() == before


def test_a_run_that_is_cut_back_while_it_is_exported_is_an_error(
    trained: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metrics_file, "_BLOCK", 500)
    shrinking = changed(trained, tmp_path / "run", lambda lines: lines)
    with pytest.raises(RunError, match="became shorter"):
        write_metrics(shrinking, "csv", Meddler(lambda: os.truncate(shrinking.metrics_path, 600)))


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("5,0.5,nonsense,0,0,1,,0,RNN,4\n", "nonsense"),
        ("5,0.5\n", "has 2 cells, not 10"),
        ("x,0.5,1,0,0,1,,0,RNN,4\n", "x"),
        ("5,0.5,1,0,0,1,,0,RNN,4,7\n", "has 11 cells, not 10"),
        ("7,0.5,1,0,0,1,-5,0,RNN,4\n", "comes where meta-iteration 5 is missing"),
        ("4,0.5,1,0,0,1,-5,0,RNN,4\n", "comes behind meta-iteration 4"),
    ],
)
def test_a_damaged_row_is_the_user_s_error_and_nothing_is_written(
    line: str, says: str, trained: Run, tmp_path: Path
) -> None:
    damaged = changed(trained, tmp_path / "run", lambda lines: [*lines[:6], line, *lines[7:]])
    here = tmp_path / "here"
    here.mkdir()
    for file_format in FILES:
        with pytest.raises(RunError, match=rf"metrics\.csv cannot be read: .*{says}"):
            export_file(damaged, file_format, here / "run.out")
    with pytest.raises(RunError, match=rf"metrics\.csv cannot be read: .*{says}"):
        export_tensorboard(damaged, here / "a" / "b")
    assert files_below(here) == {}


def test_a_row_of_a_lane_that_the_preset_has_not_is_the_user_s_error(trained: Run, tmp_path: Path) -> None:
    strange = changed(trained, tmp_path / "run", lambda lines: [*lines, with_cells(lines[-1], seed="5")])
    with pytest.raises(RunError, match="is of RNN, seed 5, which the preset does not have"):
        export_tensorboard(strange, tmp_path / "events")
    assert not (tmp_path / "events").exists()


@pytest.mark.parametrize("header", ["", "iteration,end_loss\n", "\xff\n"])
def test_metrics_with_another_header_are_the_user_s_error(header: str, trained: Run, tmp_path: Path) -> None:
    strange = changed(trained, tmp_path / "run", lambda lines: lines)
    strange.metrics_path.write_text(header, encoding="latin-1")
    with pytest.raises(RunError, match=r"metrics\.csv cannot be read"):
        exported(strange, "csv")


def test_missing_metrics_are_the_user_s_error(trained: Run, tmp_path: Path) -> None:
    strange = changed(trained, tmp_path / "run", lambda lines: lines)
    strange.metrics_path.unlink()
    with pytest.raises(RunError, match=r"metrics\.csv cannot be read: No such file"):
        export_tensorboard(strange, tmp_path / "events")


# TensorBoard.


def accumulated(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    return EventAccumulator(str(folder), size_guidance={"scalars": 0, "tensors": 0}).Reload()


def scalars(folder: Path) -> dict[str, tuple[list[int], list[float], list[float]]]:
    """Return the steps, the values and the times of every scalar."""
    found = accumulated(folder)
    series = {tag: found.Scalars(tag) for tag in found.Tags()["scalars"]}
    return {
        tag: ([e.step for e in events], [e.value for e in events], [e.wall_time for e in events])
        for tag, events in series.items()
    }


def lane_folders(source: Run) -> dict[str, list[dict[str, str]]]:
    """Return the rows that every subfolder should hold."""
    rows = rows_of(source.metrics_path.read_bytes())
    if source.name == "trained":
        return {".": rows}
    names = {"replicates": "seed{seed}", "baselines": "seed{seed}-{optimizer}"}
    found: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        found.setdefault(names[source.name].format(**row).replace("/", "%2F"), []).append(row)
    return found


def assert_same(folder: Path, rows: list[dict[str, str]]) -> None:
    found = scalars(folder)
    assert set(found) - REPORTS == {tag for tag, name in TAGS.items() if rows[0][name]}
    for tag in set(found) - REPORTS:
        steps, values, _ = found[tag]
        assert steps == [int(row["iteration"]) for row in rows]
        assert_array_equal(np.array(values), np.array([float(row[TAGS[tag]]) for row in rows], np.float32), tag)


def test_tensorboard_reads_the_numbers_of_metrics_csv_a_subfolder_a_lane(any_run: Run, tmp_path: Path) -> None:
    export_tensorboard(any_run, tmp_path / "events")
    wanted = lane_folders(any_run)
    assert {str(path.parent.relative_to(tmp_path / "events")) for path in tmp_path.rglob("*tfevents*")} == set(wanted)
    assert len(wanted) == (1 if any_run.name == "trained" else 2)
    for name, rows in wanted.items():
        assert_same(tmp_path / "events" / name, rows)


def test_tensorboard_reads_what_is_not_finite(trained: Run, tmp_path: Path) -> None:
    export_tensorboard(changed(trained, tmp_path / "run", not_finite), tmp_path / "events")
    found = scalars(tmp_path / "events")
    assert_array_equal([found[tag][1][4] for tag in list(TAGS)[:4]], [np.nan, np.inf, np.nan, -np.inf])
    assert_array_equal([found["meta/gradient_norm"][1][5], found["meta/non_finite"][1][5]], [np.nan, 1])


def test_tensorboard_reads_the_reports_and_the_preset(any_run: Run, tmp_path: Path) -> None:
    export_tensorboard(any_run, tmp_path)
    for name, rows in lane_folders(any_run).items():
        found = scalars(tmp_path / name)
        owner = (int(rows[0]["seed"]), rows[0]["optimizer"])
        reports = [row for row in any_run.progress() if (row.lane.seed, row.lane.optimizer) == owner]
        for tag in REPORTS:
            values = [getattr(row, tag.removeprefix("report/")) for row in reports]
            assert found[tag][0] == [0, 10, 20, 30]
            assert_array_equal(np.array(found[tag][1]), np.array(values, np.float32))
        (text,) = accumulated(tmp_path / name).Tensors("preset/text_summary")
        lines = text.tensor_proto.string_val[0].decode().splitlines()
        assert "\n".join(line.removeprefix("    ") for line in lines) == to_toml(any_run.preset()).rstrip("\n")


@pytest.mark.parametrize("every", [1, 7])
def test_the_steps_of_an_event_file_never_go_back(every: int, any_run: Run, tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_file_loader import LegacyEventFileLoader

    export_tensorboard(any_run, tmp_path, every=every)
    for path in tmp_path.rglob("*tfevents*"):
        steps = [event.step for event in LegacyEventFileLoader(str(path)).Load()]
        assert steps == sorted(steps)
        assert {step for step in range(31) if step % every == 0} <= set(steps)


def test_events_are_dated_by_the_training_time(replicates: Run, tmp_path: Path) -> None:
    export_tensorboard(replicates, tmp_path)
    start = datetime.fromisoformat(replicates.record().created).timestamp()
    reports = [row for row in replicates.progress() if row.lane.seed == 1]
    _, _, times = scalars(tmp_path / "seed1")["loss/end"]
    assert times == sorted(times)
    wanted = [row.elapsed_seconds for row in reports]
    assert [times[row.iteration] - start for row in reports] == pytest.approx(wanted, abs=1e-6)  # of 2e9 s in float64
    assert times[0] < times[5] < times[10]


def test_the_same_run_gives_the_same_bytes(any_run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export_tensorboard(any_run, tmp_path / "one")
    monkeypatch.setattr(metrics_file, "_BLOCK", 700)
    export_tensorboard(any_run, tmp_path / "two")
    assert files_below(tmp_path / "one") == files_below(tmp_path / "two")


def test_without_the_library_the_extra_is_named_and_nothing_is_made(
    trained: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard.compat.proto", None)
    with pytest.raises(ExportError, match=r"pip install 'l2o-tui\[tensorboard\]'"):
        export_tensorboard(trained, tmp_path / "events")
    assert files_below(tmp_path) == {}


# Outputs.


def write_to(source: Run, file_format: str, output: Path, **options: Any) -> None:
    if file_format == "tensorboard":
        export_tensorboard(source, output, **options)
    else:
        export_file(source, cast("FileFormat", file_format), output, **options)


FORMATS = pytest.mark.parametrize("file_format", ["csv", "json", "parquet", "tensorboard"])


@FORMATS
def test_an_output_is_replaced_only_by_force(file_format: str, trained: Run, replicates: Run, tmp_path: Path) -> None:
    write_to(replicates, file_format, tmp_path / "out")
    before = files_below(tmp_path)
    with pytest.raises(ExportError, match="--force"):
        write_to(trained, file_format, tmp_path / "out")
    assert files_below(tmp_path) == before
    write_to(trained, file_format, tmp_path / "out", force=True)
    write_to(trained, file_format, tmp_path / "fresh")
    if file_format == "tensorboard":
        events = [path.parent for path in (tmp_path / "out").rglob("*") if path.is_file()]
        assert events == [tmp_path / "out"]  # those of the seeds are gone
        assert_same(tmp_path / "out", lane_folders(trained)["."])
    else:
        assert (tmp_path / "out").read_bytes() == (tmp_path / "fresh").read_bytes()


def test_force_leaves_what_is_not_of_an_export_alone(trained: Run, tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "seed3").mkdir()
    (tmp_path / "outside").mkdir()
    (tmp_path / "seed7").symlink_to("outside")
    mine = {
        "events.out.tfevents.1784000000.host.77.0",  # another program's
        "other/events.out.tfevents.1.host",
        "outside/events.out.tfevents.1784000000.l2o-tui",
        "seed3/events.out.tfevents.1784000000.host.v2",
        "seed7/events.out.tfevents.1784000000.l2o-tui",
        "thesis.tex",
    }
    old = "seed3/events.out.tfevents.1784000000.l2o-tui"
    for name in (*mine, old):
        (tmp_path / name).write_text("mine")
    export_tensorboard(trained, tmp_path, force=True)
    found = {name for name, content in files_below(tmp_path).items() if content == b"mine"}
    assert found | {"seed7/events.out.tfevents.1784000000.l2o-tui"} == mine
    assert scalars(tmp_path)["loss/end"][0] == list(range(31))


def test_a_lane_s_folder_that_is_a_link_is_refused(replicates: Run, tmp_path: Path) -> None:
    (tmp_path / "outside").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "seed1").symlink_to(tmp_path / "outside")
    with pytest.raises(ExportError, match="symbolic link"):
        export_tensorboard(replicates, tmp_path / "out", force=True)
    assert files_below(tmp_path / "outside") == {}


@FORMATS
def test_an_empty_output_is_no_reason_to_refuse(file_format: str, trained: Run, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir() if file_format == "tensorboard" else (tmp_path / "out").touch()
    write_to(trained, file_format, tmp_path / "out")
    assert sum(map(len, files_below(tmp_path).values())) > 100


@pytest.mark.parametrize("name", ["metrics.csv", "run.json", "preset.toml", "events.jsonl"])
def test_a_file_of_the_run_itself_is_not_replaced_by_force_either(name: str, trained: Run, tmp_path: Path) -> None:
    mine = changed(trained, tmp_path / "run", lambda lines: lines)
    before = files_below(mine.folder)
    with pytest.raises(ExportError, match="belongs to the run itself"):
        export_file(mine, "csv", tmp_path / "run" / ".." / "run" / name, every=10, force=True)
    assert files_below(mine.folder) == before


def test_a_link_is_followed(trained: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    (tmp_path / "link").symlink_to("file")
    export_file(trained, "csv", tmp_path / "link", force=True)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "file").read_bytes() == trained.metrics_path.read_bytes()


@pytest.mark.parametrize("file_format", ["csv", "parquet"])
def test_a_pipe_is_written_to_and_stays_a_pipe(file_format: FileFormat, trained: Run, tmp_path: Path) -> None:
    pipe, got = tmp_path / "pipe", []
    os.mkfifo(pipe)
    reader = threading.Thread(target=lambda: got.append(pipe.read_bytes()))
    reader.start()
    export_file(trained, file_format, pipe)
    reader.join()
    assert got == [exported(trained, file_format)]
    assert pipe.is_fifo()


@FORMATS
@pytest.mark.parametrize("place", ["file/out", "a" * 300, "out"])
def test_an_output_that_cannot_be_made_is_the_user_s_error(
    place: str, file_format: str, trained: Run, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("a file")
    if place == "out" and file_format == "tensorboard":
        (tmp_path / "out").touch()
    elif place == "out":
        (tmp_path / "out").mkdir()
    before = files_below(tmp_path)
    with pytest.raises(ExportError):
        write_to(trained, file_format, tmp_path / place, force=True)
    assert files_below(tmp_path) == before


def test_a_file_in_a_folder_that_is_not_there_is_the_user_s_error(trained: Run, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="No such file or directory"):
        export_file(trained, "csv", tmp_path / "nowhere" / "out")
    assert files_below(tmp_path) == {}


@FORMATS
def test_a_full_disk_leaves_nothing(file_format: str, any_run: Run, tmp_path: Path) -> None:
    with largest_file(1500), pytest.raises(Failure, match=os.strerror(errno.EFBIG)):
        write_to(any_run, file_format, tmp_path / "out")
    if file_format == "tensorboard":
        with largest_file(1500), pytest.raises(Failure):
            write_to(any_run, file_format, tmp_path / "a" / "b")
    assert files_below(tmp_path) == {}


@FORMATS
def test_a_full_disk_leaves_what_was_there(file_format: str, any_run: Run, tmp_path: Path) -> None:
    write_to(any_run, file_format, tmp_path / "out")
    before = files_below(tmp_path)
    with largest_file(1000), pytest.raises(Failure):
        write_to(any_run, file_format, tmp_path / "out", force=True, every=2)
    assert files_below(tmp_path) == before


def test_a_run_that_is_driven_is_exported(trained: Run, tmp_path: Path) -> None:
    driven = DrivenRun.create(tiny_preset(), tmp_path / "run")
    try:
        assert exported(driven, "csv") == HEADER.encode()
        assert strict_json(exported(driven, "json"))["run"]["status"] == "running"
    finally:
        driven.close()


@pytest.mark.parametrize("every", [1, 2])
def test_damaged_rows_are_not_copied(every: int, trained: Run, tmp_path: Path) -> None:
    damaged = changed(trained, tmp_path / "damaged", lambda lines: [*lines[:5], "1,2,3\n", *lines[5:]])
    with pytest.raises(RunError, match=r"line 6 .*has 3 cells"):
        exported(damaged, "csv", every)
