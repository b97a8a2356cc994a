"""A run goes on only from rows that are those it wrote: what was changed in metrics.csv is found before it is cut."""

from collections.abc import Callable
from pathlib import Path
from shutil import copytree

import pytest

from l2o_engine.records.events import Notice, Started
from l2o_engine.runs.checkpoints import Kind
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.folder import Run
from l2o_engine.runs.record import RunError
from tests.engine.made import change_record
from tests.engine.runs.test_format1 import KEPT
from tests.engine.tiny import of_kind, resume, run, tiny_preset
from tests.tui.conftest import call


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a finished run of two seeds, with checkpoints at 10, 20 and 30, which nobody changes."""
    folder = tmp_path_factory.mktemp("runs") / "trained"
    run(folder, tiny_preset("run.seeds=2"))
    return folder


@pytest.fixture
def folder(trained: Path, tmp_path: Path) -> Path:
    """Return the folder of a finished run of two seeds."""
    return Path(copytree(trained, tmp_path / "one"))


def change_lines(folder: Path, change: Callable[[list[str]], list[str]]) -> bytes:
    path = folder / "metrics.csv"
    path.write_text("".join(change(path.read_text().splitlines(keepends=True))))
    return path.read_bytes()


def with_another_digit(line: str) -> str:
    first, loss, rest = line.split(",", 2)
    return ",".join([first, loss[:-1] + ("1" if loss[-1] != "1" else "2"), rest])


DAMAGES: dict[str, tuple[Callable[[list[str]], list[str]], str]] = {
    "a row is missing": (lambda lines: [lines[0], *lines[2:]], "line 3 .*comes where"),
    "the header is missing": (lambda lines: lines[1:], "its header is damaged"),
    "the header is another's": (lambda lines: [lines[0].upper(), *lines[1:]], "its header is damaged"),
    "a row is there twice": (lambda lines: [*lines[:5], lines[4], *lines[5:]], "line 6 .*comes behind"),
    "two rows have changed places": (lambda lines: [lines[0], lines[3], *lines[2:3], lines[1], *lines[4:]], "line 2 "),
    "a digit is another": (lambda lines: [*lines[:7], with_another_digit(lines[7]), *lines[8:]], "not those that"),
    "another file": (lambda lines: ["diary\n"] * 500, "its header is damaged"),
    "a seed's rows are gone": (
        lambda lines: [line for line in lines if not line.endswith(",1\n")],
        "lost rows",
    ),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_file_is_refused_and_nothing_is_cut(name: str, folder: Path) -> None:
    change, says = DAMAGES[name]
    change_lines(folder, change)
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    with pytest.raises(RunError, match=says) as failed:
        resume(folder, iterations=40)
    assert "none of the checkpoints" in str(failed.value)
    assert "to begin anew" in str(failed.value)
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


def test_damage_behind_an_older_checkpoint_costs_only_what_came_after_it(folder: Path, tmp_path: Path) -> None:
    run(tmp_path / "whole", tiny_preset("run.seeds=2", "run.iterations=40"))
    change_lines(
        folder, lambda lines: [*lines[:45], with_another_digit(lines[45]), *lines[46:]]
    )  # of meta-iteration 22
    events = resume(folder, iterations=40)
    assert of_kind(events, Started)[0].iteration == 20
    (notice,) = of_kind(events, Notice)
    assert "000000000030.safetensors does not fit metrics.csv" in notice.message
    assert (folder / "metrics.csv").read_bytes() == (tmp_path / "whole" / "metrics.csv").read_bytes()


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda lines: [lines[0], *lines[2:]], "line 3 .*comes where"),
        (lambda lines: lines[:-1], "lost rows"),
        (lambda lines: [*lines[:21], lines[23], lines[22], lines[21], *lines[24:]], "line 22 .*comes"),
        (lambda lines: [*lines[:3], *lines[1:]], "comes behind"),
        (lambda lines: [lines[0].replace("end_loss,", "loss,"), *lines[1:]], "header"),
    ],
)
def test_checkpoints_of_an_older_version_are_checked_by_the_rows(
    change: Callable[[list[str]], list[str]], says: str, tmp_path: Path
) -> None:
    folder = Path(copytree(KEPT, tmp_path / "format1"))
    change_lines(folder, change)
    with pytest.raises(RunError, match=says):
        resume(folder, iterations=60)


def test_every_checkpoint_vouches_for_the_rows_before_it(folder: Path) -> None:
    assert Run(folder).damage() == []
    resume(folder, iterations=50)
    found = Run(folder)
    checkpoint = found.checkpoint()
    assert (checkpoint.iteration, len(checkpoint.metrics_sha256 or "")) == (50, 64)
    found.check_metrics(checkpoint)
    change_lines(folder, lambda lines: [*lines[:7], with_another_digit(lines[7]), *lines[8:]])
    assert found.damage() == ["metrics.csv is damaged: its rows are not those that the run wrote"]
    commands = ("show", "compare", "export --format csv --output -")
    shown, compared, exported = (call(*command.split(), folder) for command in commands)
    assert "not those that the run wrote" in shown.out
    assert "not those that the run wrote" in compared.err
    assert "not those that the run wrote" in exported.err


def test_a_run_that_goes_back_tells_nothing_twice_and_keeps_its_digest(folder: Path) -> None:
    (folder / "checkpoints" / "model.safetensors").write_text("mine")
    driven = DrivenRun.take(folder, notices=["told before"])
    try:
        (first, told), (second, nothing) = driven.restore(), driven.restore()
        assert (len(told), nothing) == (2, [])
        assert first is not None
        assert second is not None
        driven.save(second, Kind.KEPT)
    finally:
        driven.close()
    assert Run(folder).checkpoint().metrics_sha256 == first.metrics_sha256


# Case 45.


def lose_all(folder: Path) -> None:
    for path in (folder / "checkpoints").iterdir():
        path.unlink()
    (folder / "events.jsonl").unlink()


@pytest.mark.parametrize("status", ["running", "interrupted", "finished"])
def test_a_run_that_lost_checkpoints_and_events_is_not_started_over(status: str, folder: Path) -> None:
    lose_all(folder)
    change_record(folder, status=status)
    before = (folder / "metrics.csv").read_bytes()
    with pytest.raises(RunError, match=r"the checkpoints of one are gone.*to begin anew"):
        resume(folder)
    assert (folder / "metrics.csv").read_bytes() == before


def test_a_file_that_is_not_the_run_s_is_not_cut_to_the_length_of_a_header(folder: Path) -> None:
    for path in (folder / "checkpoints").iterdir():
        path.unlink()
    events = folder / "events.jsonl"
    events.write_text("".join(line for line in events.read_text().splitlines(keepends=True) if '"start"' in line))
    change_record(folder, status="running", iteration=0)
    (folder / "metrics.csv").write_text("diary\n" * 500)
    with pytest.raises(RunError, match="does not begin with the header"):
        resume(folder)
    assert (folder / "metrics.csv").read_text() == "diary\n" * 500
