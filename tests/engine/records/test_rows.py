"""Metrics: what is written, and that it is read back."""

from collections.abc import Sequence
from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from l2o_engine.meta.learner import Results
from l2o_engine.records.rows import HEADER, ReportWindow, RowFormat, Rows, read_rows, rows_of
from l2o_engine.training.trainer import Chunk, Lane
from tests.engine.tiny import tiny_baselines

LANES = (Lane(0, "RNN"), Lane(1, "RNN"), Lane(2, "RNN"))
READ = (
    "iteration",
    "lane",
    "end_loss",
    "sum_loss",
    "end_log10",
    "mean_log10",
    "gradient_norm",
    "min_log",
    "non_finite",
)


def results_of(losses: Sequence[Sequence[float]], dtype: str = "float64") -> Results:
    """Return the results of one meta-iteration a row, each of one problem with these losses."""
    array = np.array(losses, dtype=dtype).reshape(len(losses), 1, -1)
    count = np.arange(float(len(losses)))
    return Results(array, count, count + 0.5, ~np.isfinite(array).all(axis=(1, 2)), -count)


def cut(results: Results, first: int, last: int) -> Results:
    arrays = {item.name: getattr(results, item.name) for item in fields(Results) if item.name != "trace"}
    return Results(**{name: values[first:last] for name, values in arrays.items()})


def some_results(seed: int, n: int, dtype: str = "float64") -> Results:
    generator = np.random.default_rng(seed)
    losses = 10.0 ** generator.uniform(-37, 30, (n, 4))
    losses[generator.random((n, 4)) < 0.1] = np.nan
    losses[generator.random((n, 4)) < 0.1] = np.inf
    losses[generator.random((n, 4)) < 0.1] = 0
    return results_of(losses, dtype)  # type: ignore[arg-type]


def write(path: Path, rows: Rows, lanes: Sequence[Lane] = LANES, dtype: str = "float64") -> None:
    formatted = RowFormat(lanes, dtype, learned=True, has_min_log=True).format(rows)
    path.write_bytes(HEADER.encode() + formatted)


def read(path: Path, lanes: Sequence[Lane] = LANES) -> Rows:
    parts = list(read_rows(path, lanes))
    return Rows(**{name: np.concatenate([getattr(part, name) for part in parts]) for name in vars(parts[0])})


# What the columns are.


def test_a_row_holds_the_last_loss_the_sum_and_the_logarithms() -> None:
    rows = rows_of([Chunk(LANES[0], 7, results_of([[1.0, 10.0, 1000.0], [1.0, 1.0, 0.0]]))], LANES)
    assert_array_equal(rows.iteration, [7, 8])
    assert_array_equal(rows.end_loss, [1000.0, 0.0])
    assert_array_equal(rows.sum_loss, [1011.0, 2.0])
    assert_array_equal(rows.end_log10, [3.0, -38.0])
    assert_array_equal(rows.mean_log10, [1.333333, -12.666667])
    assert_array_equal(rows.non_finite, [False, False])


def test_a_batch_s_row_is_the_mean_over_its_problems() -> None:
    losses = np.array([[[1.0, 100.0], [3.0, 10_000.0]]])
    one = np.zeros(1)
    rows = rows_of([Chunk(LANES[0], 0, Results(losses, one, one, np.zeros(1, bool), one))], LANES)
    assert_array_equal(rows.end_loss, [5050.0])
    assert_array_equal(rows.sum_loss, [5052.0])
    assert_array_equal(rows.end_log10, [3.0])


def test_a_line_is_what_the_header_says() -> None:
    rows = rows_of([Chunk(LANES[1], 3, results_of([[0.5, 0.25]]))], LANES)
    line = RowFormat(LANES, "float64", learned=True, has_min_log=True).format(rows).decode()
    cells = dict(zip(HEADER.strip().split(","), line.strip().split(","), strict=True))
    assert cells == {
        "iteration": "3",
        "end_loss": "0.25",
        "sum_loss": "0.75",
        "end_log10": "-0.602060",
        "mean_log10": "-0.451545",
        "gradient_norm": "0.5",
        "min_log": "-0",
        "non_finite": "0",
        "optimizer": "RNN",
        "seed": "1",
    }


def test_a_column_without_meaning_is_empty() -> None:
    rows = rows_of([Chunk(LANES[0], 0, results_of([[0.5, 0.25]]))], LANES)
    line = RowFormat(LANES, "float64", learned=False, has_min_log=False).format(rows).decode()
    assert line == "0,0.25,0.75,-0.602060,-0.451545,,,0,RNN,0\n"


def test_no_rows_are_no_bytes() -> None:
    rows = rows_of([Chunk(LANES[0], 0, cut(some_results(0, 3), 0, 0))], LANES)
    assert RowFormat(LANES, "float64", learned=True, has_min_log=True).format(rows) == b""


# Order and chunks.


def test_rows_are_ordered_by_iteration_then_as_the_lanes_are() -> None:
    chunks = [Chunk(lane, 5, some_results(lane.seed, 4)) for lane in reversed(LANES)]
    rows = rows_of(chunks, LANES)
    assert_array_equal(rows.iteration, np.repeat([5, 6, 7, 8], 3))
    assert_array_equal(rows.lane, [0, 1, 2] * 4)
    for chunk in chunks:
        alone = rows_of([chunk], LANES)
        for name, values in vars(rows.of_lane(LANES.index(chunk.lane))).items():
            assert_array_equal(values, getattr(alone, name), name)


def test_a_lane_that_ended_early_leaves_the_others_in_order() -> None:
    chunks = [Chunk(LANES[0], 0, some_results(0, 2)), Chunk(LANES[1], 0, some_results(1, 4))]
    rows = rows_of(chunks, LANES)
    assert_array_equal(rows.iteration, [0, 0, 1, 1, 2, 3])
    assert_array_equal(rows.lane, [0, 1, 0, 1, 1, 1])


@given(st.integers(0, 100), st.lists(st.integers(0, 12), max_size=4), st.sampled_from(["float32", "float64"]))
def test_the_bytes_do_not_depend_on_the_chunks(seed: int, cuts: list[int], dtype: str) -> None:
    whole = [some_results(seed + lane.seed, 12, dtype) for lane in LANES]
    form = RowFormat(LANES, dtype, learned=True, has_min_log=True)

    def written(bounds: list[int]) -> bytes:
        pieces = []
        for first, last in pairwise(bounds):
            chunks = [Chunk(lane, first, cut(r, first, last)) for lane, r in zip(LANES, whole, strict=True)]
            pieces.append(form.format(rows_of(chunks, LANES)))
        return b"".join(pieces)

    assert written([0, *sorted(cuts), 12]) == written([0, 12])


# Reading back.


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_rows_are_read_back_as_they_were_written(dtype: str, tmp_path: Path) -> None:
    chunks = [Chunk(lane, 0, some_results(lane.seed, 200, dtype)) for lane in LANES]
    rows = rows_of(chunks, LANES)
    write(tmp_path / "metrics.csv", rows, dtype=dtype)
    back = read(tmp_path / "metrics.csv")
    for name in set(READ) - {"end_loss", "sum_loss"}:
        assert_array_equal(getattr(back, name), getattr(rows, name), name)
    assert_array_equal(back.end_loss.astype(dtype), rows.end_loss.astype(dtype))
    np.testing.assert_allclose(back.sum_loss, rows.sum_loss, rtol=1e-15 if dtype == "float64" else 1e-8)


@given(values=st.lists(st.floats(0, width=32) | st.just(np.nan), min_size=1, max_size=20))
def test_a_float32_loss_survives_its_nine_digits(values: list[float]) -> None:
    assert_exact(values, "float32")


@given(values=st.lists(st.floats(0) | st.just(np.nan), min_size=1, max_size=20))
def test_a_float64_loss_survives_its_seventeen_digits(values: list[float]) -> None:
    assert_exact(values, "float64")


def assert_exact(values: list[float], dtype: str) -> None:
    none = np.zeros(len(values))
    rows = rows_of([Chunk(LANES[0], 0, results_of([[0.0]] * len(values)))], LANES)
    rows = replace(rows, end_loss=np.array(values, dtype).astype(np.float64), gradient_norm=none, min_log=none)
    lines = RowFormat(LANES, dtype, learned=True, has_min_log=True).format(rows).decode().splitlines()
    cells = np.array([line.split(",")[1] for line in lines]).astype(dtype)
    assert_array_equal(cells, np.array(values, dtype))


@given(st.lists(st.floats(-400, 400), min_size=1, max_size=20))
def test_a_rounded_logarithm_is_read_back_exactly(values: list[float]) -> None:
    rounded = np.array(values).round(6)
    assert_array_equal([float(f"{value:.6f}") for value in rounded], rounded)


def test_a_long_file_is_read_without_losing_a_row(tmp_path: Path) -> None:
    n = 100_050  # beyond two of the blocks that it is read in
    rows = rows_of([Chunk(LANES[0], 0, results_of(np.ones((n, 1))))], LANES)  # type: ignore[arg-type]
    write(tmp_path / "metrics.csv", rows)
    assert_array_equal(read(tmp_path / "metrics.csv").iteration, np.arange(n))


def test_a_line_that_is_still_being_written_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    write(path, rows_of([Chunk(LANES[0], 0, some_results(0, 5))], LANES))
    path.write_bytes(path.read_bytes()[:-3])
    assert_array_equal(read(path).iteration, [0, 1, 2, 3])


def test_a_file_of_the_header_only_has_no_rows(tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    path.write_text(HEADER)
    assert list(read_rows(path, LANES)) == []


@pytest.mark.parametrize("learned", [True, False])
@pytest.mark.parametrize("has_min_log", [True, False])
def test_an_empty_column_is_read_as_nan(*, learned: bool, has_min_log: bool, tmp_path: Path) -> None:
    rows = rows_of([Chunk(LANES[0], 0, some_results(0, 5))], LANES)
    lines = RowFormat(LANES, "float64", learned=learned, has_min_log=has_min_log).format(rows)
    (tmp_path / "metrics.csv").write_bytes(HEADER.encode() + lines)
    back = read(tmp_path / "metrics.csv")
    nothing = np.full(5, np.nan)
    assert_array_equal(back.gradient_norm, rows.gradient_norm if learned else nothing)
    assert_array_equal(back.min_log, rows.min_log if has_min_log else nothing)
    assert_array_equal(back.end_log10, rows.end_log10)


@pytest.mark.parametrize(
    "line",
    [
        "3,0.5,0.5,-1.0,-1.0,1",
        "3,,0.5,-1.0,-1.0,1,-5,0,RNN,0",
        "3,0.5,0.5,x,-1.0,1,-5,0,RNN,0",
        "",
        "3,0.5,0.5,-1.0,-1.0,1,-5,0,RNN,9",
    ],
)
@pytest.mark.parametrize("before", [0, 3])
def test_a_damaged_line_is_an_error_and_not_left_out(line: str, before: int, tmp_path: Path) -> None:
    rows = rows_of([Chunk(LANES[0], 0, cut(some_results(0, 3), 0, before))], LANES)
    write(tmp_path / "metrics.csv", rows)
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write(f"{line}\n")
    with pytest.raises((ValueError, KeyError)):
        read(tmp_path / "metrics.csv")


@pytest.mark.parametrize("name", ["50%", "%d", "r#1", "ρ", "a'b", "x" * 24, "é" * 24])
def test_every_name_that_a_preset_allows_is_written_and_read_back(name: str, tmp_path: Path) -> None:
    preset = tiny_baselines(f'baseline.0.name="{name}"')
    lanes = (Lane(0, preset.baseline[0].name), Lane(0, "other"))
    write(tmp_path / "metrics.csv", rows_of([Chunk(lanes[0], 0, some_results(0, 3))], lanes), lanes)
    assert_array_equal(read(tmp_path / "metrics.csv", lanes).lane, [0, 0, 0])


def test_the_greatest_seed_is_read_back(tmp_path: Path) -> None:
    lanes = [Lane(2**63 - 1, "RNN")]
    write(tmp_path / "metrics.csv", rows_of([Chunk(lanes[0], 0, some_results(0, 3))], lanes), lanes)
    assert_array_equal(read(tmp_path / "metrics.csv", lanes).lane, [0, 0, 0])


def test_losses_near_the_end_of_float64_make_no_warning() -> None:
    rows = rows_of([Chunk(LANES[0], 0, results_of([[1e308, 1e308, np.inf]]))], LANES)
    assert_array_equal(rows.sum_loss, [np.inf])
    rows = rows_of([Chunk(LANES[0], 0, results_of([[1e308, 1e308]]))], LANES)
    assert_array_equal(rows.end_loss, [1e308])


# Reports.

LOGS = st.floats(-38, 38) | st.sampled_from([np.nan, np.inf])


@given(st.lists(st.tuples(LOGS, LOGS, st.booleans(), LOGS), min_size=1, max_size=30), st.integers(1, 12), st.data())
def test_a_report_averages_the_finite_ones_of_the_last_rows(
    values: list[tuple[float, float, bool, float]], length: int, data: st.DataObject
) -> None:
    window = ReportWindow(length)
    bounds = sorted(data.draw(st.lists(st.integers(0, len(values)), max_size=4)))
    for first, last in zip([0, *bounds], [*bounds, len(values)], strict=True):
        window.add(_log_rows(values[first:last]))
    recent = values[-length:]
    for ours, column in (
        (window.average_log_result, 0),
        (window.average_sum_log_result, 1),
        (window.average_sum_loss, 3),
    ):
        finite = [row[column] for row in recent if np.isfinite(row[column])]
        assert_array_equal(ours, np.mean(finite) if finite else np.nan)
    assert window.non_finite == sum(row[2] for row in recent)


def _log_rows(values: list[tuple[float, float, bool, float]]) -> Rows:
    columns: Any = np.array(values, dtype=float).reshape(-1, 4).T
    n = np.arange(len(values))
    nothing = np.zeros(len(values))
    return Rows(n, n, nothing, columns[3], columns[0], columns[1], nothing, nothing, columns[2] > 0)


def test_an_empty_report_is_nan() -> None:
    window = ReportWindow(5)
    assert np.isnan(window.average_log_result)
    assert window.non_finite == 0
