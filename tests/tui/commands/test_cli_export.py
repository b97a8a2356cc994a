"""``l2o-tui export``: where it writes to, what it refuses, and what it imports."""

import json
import os
import sys
from pathlib import Path

import pexpect
import pytest
from pyarrow import parquet

from l2o_engine.runs.metrics_file import HEADER
from tests.tui.conftest import COMMAND, Result, Running, call, files_below, spawn


@pytest.fixture(scope="module")
def runs_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A runs folder with a finished run "first" of 5,001 draws, seeds 0 and 1, two optimizers."""
    folder = tmp_path_factory.mktemp("exported") / "runs"
    options = ("--quiet", "--iterations=5000", "--seeds=2", "--run-dir", folder / "first")
    assert call("run", "baselines", *options).code == 0
    return folder


@pytest.fixture(autouse=True)
def _runs(runs_dir: Path, workplace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("L2O_RUNS_DIR", str(runs_dir))


@pytest.fixture
def metrics(runs_dir: Path) -> bytes:
    return (runs_dir / "first" / "metrics.csv").read_bytes()


def _shell(script: str, *args: str | Path) -> Result:
    return spawn("-c", script, "sh", *COMMAND, *args, command=["bash"])


def _assert_refused(result: Result, *says: str) -> None:
    assert (result.code, result.out) == (2, ""), result.err
    assert "Traceback" not in result.err
    for text in says:
        assert text in result.err


def test_the_help_names_the_formats_and_every_option() -> None:
    result = call("export", "--help")
    assert result.code == 0
    words = set(result.out.replace("<csv|json|optimizer|parquet|tensorboard>", "formats").split())
    assert {"formats", "--format", "--output", "--every", "--force", "--runs-dir"} <= words
    assert "  export " in call("--help").out


@pytest.mark.parametrize("output", [(), ("--output", "-")])
def test_csv_goes_to_stdout_unchanged(output: tuple[str, ...], metrics: bytes) -> None:
    result = spawn("export", "first", "--format", "csv", *output)
    assert (result.code, result.err) == (0, "")
    assert result.out.encode() == metrics


def test_parquet_goes_through_a_pipe_and_to_no_terminal(workplace: Path) -> None:
    result = _shell('"$@" | cat > out.parquet; exit ${PIPESTATUS[0]}', "export", "first", "--format", "parquet")
    assert (result.code, result.err) == (0, "")
    assert parquet.read_table("out.parquet").num_rows == 5001 * 4
    terminal = pexpect.spawn(COMMAND[0], [*COMMAND[1:], "export", "first", "--format", "parquet"], encoding="utf-8")
    terminal.expect("name a file: --output FILE")
    terminal.expect(pexpect.EOF)
    assert terminal.wait() == 2


def test_json_goes_to_stdout_as_one_document() -> None:
    result = spawn("export", "last", "--format", "json", "--every", "2500")
    assert (result.code, result.err) == (0, "")
    metrics = json.loads(result.out)["metrics"]
    assert metrics["iteration"] == [iteration for iteration in (0, 2500, 5000) for _ in range(4)]
    assert metrics["optimizer"] == ["SGD", "RMSProp"] * 6
    assert metrics["seed"] == [0, 0, 1, 1] * 3


def test_an_output_is_a_file_or_a_folder_and_nothing_is_printed(metrics: bytes, workplace: Path) -> None:
    outputs = {"csv": "out.csv", "json": "out.json", "parquet": "out.parquet", "tensorboard": "logs/first"}
    for args in outputs.items():
        result = call("export", "first", "--format", args[0], "--output", args[1])
        assert (result.code, result.out, result.err) == (0, "", "")
    assert Path("out.csv").read_bytes() == metrics
    assert len(json.loads(Path("out.json").read_text())["metrics"]["seed"]) == 5001 * 4
    assert parquet.read_table("out.parquet").num_rows == 5001 * 4
    lanes = {path.name for path in (workplace / "logs" / "first").iterdir()}
    assert lanes == {"seed0-SGD", "seed0-RMSProp", "seed1-SGD", "seed1-RMSProp"}
    assert not [path for path in files_below(workplace) if path.endswith(".tmp")]


@pytest.mark.parametrize("file_format", ["csv", "json", "parquet", "tensorboard"])
def test_what_is_there_is_replaced_only_by_force(file_format: str, workplace: Path) -> None:
    export = ("export", "first", "--every=1000", "--format", file_format, "--output", "out")
    assert call(*export).code == 0
    before = {path: path.read_bytes() for path in workplace.rglob("*") if path.is_file()}
    _assert_refused(call(*export), "out", "--force")
    assert call(*export, "--force").code == 0
    assert {path: path.read_bytes() for path in workplace.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize(
    ("args", "says"),
    [
        pytest.param(("first", "--format", "xml"), ["--format", "xml", "tensorboard"], id="unknown format"),
        pytest.param(("first",), ["--format", "csv", "json", "tensorboard"], id="no format"),
        pytest.param(("nope", "--format", "csv"), ["no run", '"nope"'], id="no such run"),
        pytest.param(("firts", "--format", "csv"), ['did you mean "first"?'], id="a run misspelt"),
        pytest.param(("first", "--format", "csv", "--every", "0"), ["--every"], id="every 0th"),
        pytest.param(("first", "--format", "tensorboard"), ["folder", "--output"], id="no folder"),
        pytest.param(("first", "--format", "tensorboard", "--output", "-"), ["--output"], id="events on stdout"),
        pytest.param(("first", "--format", "csv", "--output", "."), [". is a folder"], id="a folder for a file"),
        pytest.param(("first", "--format", "json", "--decimal", ","), ["--decimal"], id="JSON with commas"),
        pytest.param(("first", "--format", "csv", "--decimal", ";"), ["--decimal"], id="no decimal mark"),
        pytest.param(("first", "--format", "csv", "--output", "no/out"), ["no/out", "No such"], id="no such folder"),
        pytest.param(
            ("first", "--format", "csv", "--output", "no/out", "--runs-dir", "elsewhere"),
            ['no run "first" in elsewhere'],
            id="no such runs folder",
        ),
    ],
)
def test_a_wrong_argument_is_refused_and_leaves_nothing(
    args: tuple[str, ...], says: list[str], workplace: Path
) -> None:
    _assert_refused(call("export", *args), *says)
    assert files_below(workplace) == []


def test_a_reader_that_has_seen_enough_is_no_failure() -> None:
    result = _shell('"$@" | head -1; exit ${PIPESTATUS[0]}', "export", "first", "--format", "csv")
    assert (result.code, result.out, result.err) == (0, HEADER, "")


def test_a_spreadsheet_with_decimal_commas_reads_the_same_numbers(metrics: bytes) -> None:
    result = call("export", "first", "--format", "csv", "--decimal", ",", "--every", "1000", "--output", "out.csv")
    assert (result.code, result.out, result.err) == (0, "", "")
    assert call("export", "first", "--format", "csv", "--every", "1000", "--output", "points.csv").code == 0
    heading, *rows = [line.split(";") for line in Path("out.csv").read_text().splitlines()]
    assert ",".join(heading) == metrics.decode().splitlines()[0]
    assert all("." not in cell for row in rows for cell in row)
    points = [line.split(",") for line in Path("points.csv").read_text().splitlines()[1:]]
    assert [[cell.replace(",", ".") for cell in row] for row in rows] == points
    assert call("export", "first", "--format", "csv", "--decimal", ".", "--output", "same.csv").code == 0
    assert Path("same.csv").read_bytes() == metrics


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs Linux's /dev/full")  # noqa: PTH110
def test_a_full_disk_under_stdout_is_a_failure_with_a_message() -> None:
    result = _shell('"$@" > /dev/full', "export", "first", "--format", "json")
    assert (result.code, result.err) == (1, "l2o-tui: stdout: No space left on device\n")


def test_a_closed_stdout_is_a_failure_with_a_message() -> None:
    result = _shell('"$@" >&-', "export", "first", "--format", "csv")
    assert (result.code, result.err) == (1, "l2o-tui: stdout: Bad file descriptor\n")


def test_a_pipe_of_the_shell_is_an_output(metrics: bytes) -> None:
    result = _shell('"$@" --output >(wc -c) | cat', "export", "first", "--format", "csv")
    assert (result.out.strip(), result.err) == (str(len(metrics)), "")


def test_a_full_disk_under_the_output_is_a_failure_that_leaves_nothing(workplace: Path) -> None:
    for file_format in ("csv", "json", "parquet", "tensorboard"):
        result = _shell('ulimit -f 8; "$@"', "export", "first", "--format", file_format, "--output", "out")
        assert result.code == 1
        assert result.err == "l2o-tui: cannot write out: File too large\n"
    assert files_below(workplace) == []


def test_a_run_that_another_process_drives_is_exported(driven_run: tuple[Path, Running], workplace: Path) -> None:
    folder, _ = driven_run
    assert call("export", folder, "--format", "csv", "--output", "out.csv").code == 0
    rows = Path("out.csv").read_bytes()
    assert rows.endswith(b",RNN,0\n")
    assert (folder / "metrics.csv").read_bytes().startswith(rows)
    assert call("export", folder, "--format", "tensorboard", "--output", "events").code == 0
    assert call("export", folder, "--format", "json", "--output", "out.json").code == 0
    document = json.loads(Path("out.json").read_text())
    assert document["run"]["status"] == "running"
    assert len(document["metrics"]["end_loss"]) >= rows.count(b"\n") - 1


@pytest.mark.parametrize(
    ("file_format", "needed"), [("csv", ""), ("parquet", "pandas pyarrow"), ("tensorboard", "tensorboard")]
)
def test_nothing_is_imported_that_an_export_does_not_need(file_format: str, needed: str) -> None:
    probe = (
        "import sys\nfrom l2o_tui.cli import main\ntry:\n    main()\nexcept SystemExit as stopped:\n"
        "    assert not stopped.code\n"
        "names = {'torch', 'tensorflow', 'tensorboard', 'textual', 'matplotlib', 'numba'}\n"
        "names |= {'pandas', 'polars', 'pyarrow'}  # pyarrow looks for pandas\n"
        "print(*sorted(names & set(sys.modules)))\n"
    )
    args = ("export", "first", "--every=1000", "--format", file_format, "--output", "out")
    result = spawn(*args, command=[sys.executable, "-c", probe])
    assert (result.out, result.err) == (f"{needed}\n", "")
