"""metrics.csv: what is written, and that it is read back."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_array_equal

from l2o_engine.records.rows import Rows, joined, rows_of
from l2o_engine.runs import metrics_file
from l2o_engine.runs.metrics_file import (
    HEADER,
    CutBackError,
    RowFormat,
    RowReader,
    ThinnedLines,
    columns_of,
    header_of,
    last_iteration,
    read_rows,
)
from l2o_engine.training.trainer import Chunk, Lane
from tests.engine import made
from tests.engine.made import cut, results_of, some_results
from tests.engine.tiny import tiny_baselines

LANES = (Lane(0, "RNN"), Lane(1, "RNN"), Lane(2, "RNN"))
NUMBERS = ("min_log",)


def write(path: Path, rows: Rows, lanes: Sequence[Lane] = LANES, dtype: str = "float64") -> None:
    formatted = RowFormat(lanes, dtype, learned=True, numbers=NUMBERS).format(rows)
    path.write_bytes(HEADER.encode() + formatted)


def read(path: Path, lanes: Sequence[Lane] = LANES) -> Rows:
    return joined(list(read_rows(path, lanes)))


# What is written.


def test_a_line_is_what_the_header_says() -> None:
    rows = rows_of([Chunk(LANES[1], 3, results_of([[0.5, 0.25]]))], LANES)
    line = RowFormat(LANES, "float64", learned=True, numbers=NUMBERS).format(rows).decode()
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
    line = RowFormat(LANES, "float64", learned=False, numbers=()).format(rows).decode()
    assert line == "0,0.25,0.75,-0.602060,-0.451545,,,0,RNN,0\n"


def test_no_rows_are_no_bytes() -> None:
    rows = rows_of([Chunk(LANES[0], 0, cut(some_results(0, 3), 0, 0))], LANES)
    assert RowFormat(LANES, "float64", learned=True, numbers=NUMBERS).format(rows) == b""


@given(st.integers(0, 100), st.lists(st.integers(0, 12), max_size=4), st.sampled_from(["float32", "float64"]))
def test_the_bytes_do_not_depend_on_the_chunks(seed: int, cuts: list[int], dtype: str) -> None:
    whole = [some_results(seed + lane.seed, 12, dtype) for lane in LANES]
    form = RowFormat(LANES, dtype, learned=True, numbers=NUMBERS)

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
    ours, theirs = made.columns_of(back), made.columns_of(rows)
    assert set(ours) == {*HEADER.strip().split(","), "lane"} - {"optimizer", "seed"}
    for name in set(ours) - {"end_loss", "sum_loss"}:
        assert_array_equal(ours[name], theirs[name], name)
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
    rows = replace(
        rows, end_loss=np.array(values, dtype).astype(np.float64), gradient_norm=none, numbers={"min_log": none}
    )
    lines = RowFormat(LANES, dtype, learned=True, numbers=NUMBERS).format(rows).decode().splitlines()
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
    lines = RowFormat(LANES, "float64", learned=learned, numbers=NUMBERS if has_min_log else ()).format(rows)
    (tmp_path / "metrics.csv").write_bytes(HEADER.encode() + lines)
    back = read(tmp_path / "metrics.csv")
    nothing = np.full(5, np.nan)
    assert_array_equal(back.gradient_norm, rows.gradient_norm if learned else nothing)
    assert list(back.numbers) == (["min_log"] if has_min_log else [])
    assert_array_equal(back.numbers.get("min_log", nothing), rows.numbers["min_log"] if has_min_log else nothing)
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
    with pytest.raises(ValueError, match=f"^line {before + 2} "):
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


# Adaptive numbers of other names.


def with_numbers(n: int) -> Rows:
    rows = rows_of([Chunk(lane, 0, some_results(lane.seed, n)) for lane in LANES], LANES)
    return replace(rows, numbers=rows.numbers | {"decay": np.arange(3.0 * n) / 7})


def test_further_numbers_are_columns_right_behind_min_log(tmp_path: Path) -> None:
    rows, form = with_numbers(3), RowFormat(LANES, "float64", learned=True, numbers=("min_log", "decay"))
    assert form.header == HEADER.replace("min_log,", "min_log,decay,")
    text = form.header + form.format(rows).decode()
    assert [len(line.split(",")) for line in text.splitlines()] == [11] * 10
    (tmp_path / "metrics.csv").write_text(text)
    back = read(tmp_path / "metrics.csv")
    assert list(back.numbers) == ["min_log", "decay"]
    assert_array_equal(back.numbers["decay"], rows.numbers["decay"])
    assert_array_equal(back.numbers["min_log"], rows.numbers["min_log"])
    assert_array_equal(back.non_finite, rows.non_finite)
    alone = RowFormat(LANES, "float64", learned=True, numbers=("decay",))
    (tmp_path / "metrics.csv").write_text(alone.header + alone.format(rows).decode())
    assert list(read(tmp_path / "metrics.csv").numbers) == ["decay"]


@pytest.mark.parametrize("cuts", [[1, 2, 5], [4], [0, 10]])
def test_lines_that_come_a_few_at_a_time_are_read_by_their_header(cuts: list[int]) -> None:
    rows, form = with_numbers(3), RowFormat(LANES, "float64", learned=True, numbers=("min_log", "decay"))
    lines = (form.header + form.format(rows).decode()).splitlines(keepends=True)
    reader = RowReader(LANES)
    parts = [reader.read(lines[first:last]) for first, last in pairwise([0, *cuts, len(lines)])]
    back = joined([part for part in parts if part is not None])
    assert_array_equal(back.iteration, rows.iteration)
    assert_array_equal(back.numbers["decay"], rows.numbers["decay"])


@pytest.mark.parametrize("name", ["seed", "a,b", "a\nb", ""])
def test_no_number_has_another_column_s_name(name: str) -> None:
    with pytest.raises(ValueError, match="not the names of columns"):
        RowFormat(LANES, "float64", learned=True, numbers=(name,))


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("", "lacks end_log10, end_loss"),
        ("iteration,end_loss\n", "lacks end_log10, gradient_norm"),
        (HEADER.replace("optimizer,seed", "seed,optimizer"), "another order"),
        (HEADER.replace("min_log,", "min_log,seed,"), "not the names of columns"),
    ],
)
def test_another_header_is_named(header: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        columns_of(header)
    assert columns_of(header_of(["decay"]))[6:8] == ["min_log", "decay"]


@given(st.data())
def test_reading_what_is_damaged_raises_nothing_else(data: st.DataObject) -> None:
    content = bytearray("".join(lines_of(6)).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        where = data.draw(st.integers(0, len(content) - 1))
        content[where : where + data.draw(st.integers(0, 9))] = data.draw(st.binary(max_size=9))
    with TemporaryDirectory() as folder:
        path = Path(folder) / "metrics.csv"
        path.write_bytes(content)
        with suppress(ValueError):
            assert (np.diff(read(path).iteration) >= 0).all()
        with suppress(ValueError):
            list(ThinnedLines(path, LANES, 2).rows())
        last_iteration(path)


# While it is written.


def test_what_follows_a_damaged_line_is_read(tmp_path: Path) -> None:
    rows = rows_of([Chunk(LANES[0], 0, some_results(0, 6))], LANES)
    write(tmp_path / "metrics.csv", rows)
    lines = (tmp_path / "metrics.csv").read_text().splitlines(keepends=True)
    reader = RowReader(LANES)
    with pytest.raises(ValueError, match=r"^line 4 "):
        reader.read([*lines[:3], "?\n"])
    again = reader.read(lines[4:])
    assert again is not None
    assert_array_equal(again.iteration, [3, 4, 5])
    with pytest.raises(ValueError, match=r"^line 8 "):
        reader.read(["!\n"])


# Rows that are not where they belong, and numbers that no run writes (case 39).


def lines_of(n: int) -> list[str]:
    """Return the lines of n meta-iterations of three lanes, the second of which ends at half of them."""
    results = [cut(some_results(lane.seed, n), 0, n if lane.seed != 1 else n // 2) for lane in LANES]
    rows = rows_of([Chunk(lane, 0, some) for lane, some in zip(LANES, results, strict=True)], LANES)
    form = RowFormat(LANES, "float64", learned=True, numbers=NUMBERS)
    return [HEADER, *form.format(rows).decode().splitlines(keepends=True)]


@pytest.mark.parametrize("block", [1, 100, 350, 2_000_000])
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda lines: [*lines[:30], *lines[31:]], r"^line 31 .*meta-iteration 9 is missing|^line 3[0-4] "),
        (lambda lines: [*lines[:10], *lines[40:]], r"^line 1[12] .*is missing"),
        (lambda lines: [*lines[:31], *lines[30:]], r"^line 32 .*behind"),
        (lambda lines: [*lines, *lines[1:]], r"^line 102 .*behind meta-iteration 39"),
        (lambda lines: [*lines[:20], lines[21], lines[20], *lines[22:]], r"^line 2[12] .*behind"),
        (lambda lines: [lines[0], *lines[4:]], r"^line 2 .*meta-iteration 0 is missing"),
        (lambda lines: [lines[0], *reversed(lines[1:])], r"^line 2 "),
        (lambda lines: lines[1:], "its header lacks"),
        (lambda lines: [lines[0].replace("end_loss,sum_loss", "sum_loss,end_loss"), *lines[1:]], "another order"),
        (lambda lines: [*lines[:9], lines[0], *lines[9:]], r"^line 10 "),
    ],
    ids=["one missing", "many missing", "one twice", "all twice", "exchanged", "no first", "reversed", "no header",
         "header changed", "header twice"],
)  # fmt: skip
def test_rows_that_are_not_where_they_belong_are_an_error(
    change: Callable[[list[str]], list[str]], says: str, block: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, lines = tmp_path / "metrics.csv", lines_of(40)
    path.write_text("".join(lines))
    assert len(read(path)) == 100
    monkeypatch.setattr(metrics_file, "_BLOCK", block)
    path.write_text("".join(change(lines)))
    with pytest.raises(ValueError, match=says):
        read(path)
    with pytest.raises(ValueError, match=says):
        list(ThinnedLines(path, LANES, 7).rows())


@pytest.mark.parametrize(
    ("name", "cell"),
    [
        ("iteration", "nan"),
        ("iteration", "1e15"),
        ("iteration", "1000000000000000"),
        ("iteration", "9" * 400),
        ("iteration", "2.5"),
        ("iteration", "-1"),
        ("iteration", "inf"),
        ("non_finite", "nan"),
        ("non_finite", "2"),
        ("end_log10", "-9223452"),
        ("mean_log10", "1e300"),
        ("end_loss", "1e"),
        ("end_loss", "[/x]"),
        ("seed", "\udcff"),
        ("optimizer", "R" * 300_000),
    ],
)
def test_a_number_that_no_run_writes_is_an_error(name: str, cell: str, tmp_path: Path) -> None:
    path, lines = tmp_path / "metrics.csv", lines_of(4)
    row = dict(zip(HEADER.strip().split(","), lines[5].strip().split(","), strict=True)) | {name: cell}
    lines[5] = ",".join(row.values()) + "\n"
    path.write_text("".join(lines), errors="surrogateescape")
    with pytest.raises(ValueError, match=r"^line 6 ") as failed:
        read(path)
    assert str(failed.value).isprintable()
    assert len(str(failed.value)) < 1000


@pytest.mark.parametrize("content", [b"x" * 3_000_000, b"\0" * 3_000_000, HEADER.encode() + b"1," * 1_500_000])
def test_a_line_without_an_end_is_not_read_to_its_end(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "metrics.csv").write_bytes(content)
    with pytest.raises(ValueError, match="a line of more than 1,000,000 bytes"):
        read(tmp_path / "metrics.csv")


def test_behind_a_damaged_header_no_number_is_believed(tmp_path: Path) -> None:
    reader, lines = RowReader(LANES), lines_of(4)
    for some in (["diary\n", lines[1]], lines[2:4], lines[4:]):
        with pytest.raises(ValueError, match="its header"):
            reader.read(some)
    assert RowReader(LANES).read([]) is None


@pytest.mark.parametrize(("tail", "last"), [("", 4), ("5,0.1", 4), ("5,0.1\n", 5), ("?\n", -1)])
def test_the_last_iteration_is_that_of_the_last_whole_line(tail: str, last: int, tmp_path: Path) -> None:
    path = tmp_path / "metrics.csv"
    assert last_iteration(path) == -1
    path.write_text(HEADER)
    assert last_iteration(path) == -1
    write(path, rows_of([Chunk(LANES[0], 0, some_results(0, 5))], LANES))
    path.write_text(path.read_text() + tail)
    assert last_iteration(path) == last


def test_a_file_that_is_cut_back_while_it_is_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_file, "_BLOCK", 500)
    path = tmp_path / "metrics.csv"
    write(path, rows_of([Chunk(LANES[0], 0, some_results(0, 500))], LANES))  # more than is read ahead
    told = read_rows(path, LANES)
    next(told)
    path.write_bytes(path.read_bytes()[:700])
    with pytest.raises(CutBackError):
        list(told)


def test_a_file_that_cannot_be_read_is_the_reader_s_trouble_not_the_writer_s(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="No such file"):
        ThinnedLines(tmp_path / "metrics.csv", LANES, 1)
