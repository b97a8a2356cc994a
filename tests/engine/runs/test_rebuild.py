"""run.json when it is damaged: the run is listed with the reason, and it is rebuilt of the rest where one goes on."""

import json
import os
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2o_engine.records.events import Ended, Notice, Started, Status
from l2o_engine.runs.catalogue import find_folder, list_runs, look_through
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.folder import Run, is_beginning
from l2o_engine.runs.rebuild import mend_record
from l2o_engine.runs.record import Record, RunError
from l2o_tui.commands.runs import summary_of
from l2o_tui.text.numbers import age
from tests.engine.made import change_record
from tests.engine.tiny import of_kind, resume, run, start, tiny_preset
from tests.tui.conftest import call


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a finished run, which nobody changes."""
    folder = tmp_path_factory.mktemp("runs") / "trained"
    run(folder, tiny_preset("run.seed=4"))
    return folder


@pytest.fixture
def runs_dir(trained: Path, tmp_path: Path) -> Path:
    """Return a runs folder with a good run and one to be damaged."""
    for name in ("good", "one"):
        copytree(trained, tmp_path / "runs" / name)
    return tmp_path / "runs"


@pytest.fixture
def folder(runs_dir: Path) -> Path:
    """Return the folder of the run that is to be damaged."""
    return runs_dir / "one"


def set_to(**changes: Any) -> Callable[[Path], None]:
    return lambda folder: change_record(folder, **changes)


def hold(text: str) -> Callable[[Path], object]:
    return lambda folder: (folder / "run.json").write_text(text)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "empty": hold(""),
    "half": hold('{"format": 1, "status": "run'),
    "no object": hold("[]"),
    "deep": hold("[" * 200_000),
    "missing": lambda folder: (folder / "run.json").unlink(),
    "the year 1": set_to(updated="0001-01-01T00:00:00+14:00", host="elsewhere", status="running"),
    "the year 9999": set_to(created="9999-12-31T23:59:59-14:00"),
    "no time": set_to(updated="yesterday"),
    "a great iteration": set_to(iteration=10**400),
    "a great process": set_to(pid=10**30, status="running"),
    "a negative process": set_to(pid=-1),
    "an endless time": set_to(elapsed_seconds=float("inf")),
    "an average that is none": set_to(average_log_result=float("nan")),
    "a seed beyond all": set_to(seed=2**63),
}


@pytest.mark.parametrize("name", DAMAGES)
def test_a_damaged_run_is_listed_with_its_reason_beside_the_others(name: str, runs_dir: Path, folder: Path) -> None:
    DAMAGES[name](folder)
    if name == "a great process":
        (folder / ".lock").unlink(missing_ok=True)
        (folder / ".lock").symlink_to(".lock")
    listing = look_through(runs_dir)
    assert [run.name for run in listing.runs] == [run.name for run in list_runs(runs_dir)] == ["good"]
    assert [found.name for found in listing.unreadable] == ["one"]
    assert listing.unreadable[0].reason
    shown = call("runs", "--runs-dir", runs_dir)
    assert shown.code == 0
    assert "good" in shown.out
    assert f"one: {listing.unreadable[0].reason}" in shown.out
    documents = json.loads(call("runs", "--runs-dir", runs_dir, "--json").out)
    assert [(document["name"], document.get("error", "")) for document in documents] == [
        ("good", ""),
        ("one", listing.unreadable[0].reason),
    ]
    assert call("show", "good", "--runs-dir", runs_dir).code == 0
    assert call("show", "one", "--runs-dir", runs_dir).code == 2


@pytest.mark.parametrize("name", DAMAGES)
def test_resume_rebuilds_what_the_rest_tells(name: str, folder: Path) -> None:
    before = Run(folder).record()
    DAMAGES[name](folder)
    (notice,) = mend_record(folder)
    assert notice.startswith("run.json was rebuilt: ")
    record = Run(folder).record()
    same = ("preset", "seed", "seeds", "backend", "backend_reason", "iteration", "iterations")
    assert {key: getattr(record, key) for key in same} == {key: getattr(before, key) for key in same}
    assert Run(folder).status() == "interrupted"
    assert mend_record(folder) == []
    events = resume(folder, iterations=40)
    assert of_kind(events, Started)[0].iteration == 30
    assert of_kind(events, Ended)[0].status == "finished"


def test_resume_says_that_it_rebuilt_and_keeps_the_damaged_one(runs_dir: Path, folder: Path) -> None:
    (folder / "run.json").write_text("half")
    result = call("resume", "one", "--runs-dir", runs_dir, "--iterations", "40", "--no-ui")
    assert result.code == 0
    assert "run.json was rebuilt: " in result.err
    assert (folder / "run.json.damaged").read_text() == "half"
    assert "run.json was rebuilt" in (folder / "events.jsonl").read_text()


def test_a_run_that_was_killed_before_its_first_checkpoint_is_rebuilt_and_starts_over(tmp_path: Path) -> None:
    session = start(tmp_path / "one", tiny_preset(), chunk=1)
    told = session.events()
    while not isinstance(next(told), Started):
        pass
    told.close()  # type: ignore[attr-defined]
    (tmp_path / "one" / "run.json").write_text("")
    notices = mend_record(tmp_path / "one")
    driven = DrivenRun.take(tmp_path / "one", notices=notices)
    assert driven.restore() == (None, notices)
    driven.close()


def test_a_run_of_a_later_version_is_left_as_it_is(folder: Path) -> None:
    change_record(folder, format=2)
    before = (folder / "run.json").read_bytes()
    with pytest.raises(RunError, match="is of format 2, this version reads 1"):
        mend_record(folder)
    assert (folder / "run.json").read_bytes() == before
    assert look_through(folder.parent).unreadable[0].reason == "is of format 2, this version reads 1"


def test_what_cannot_be_rebuilt_is_left_as_it_is(folder: Path) -> None:
    (folder / "run.json").write_text("half")
    (folder / "preset.toml").write_text("half")
    with pytest.raises(RunError, match=r"run\.json cannot be read.*it cannot be rebuilt: .*preset\.toml"):
        mend_record(folder)
    assert (folder / "run.json").read_text() == "half"


def test_a_run_in_other_hands_is_not_rebuilt(tmp_path: Path) -> None:
    driven = DrivenRun.create(tiny_preset(), tmp_path / "one")
    try:
        (tmp_path / "one" / "run.json").write_text("half")
        with pytest.raises(RunError, match="another process holds"):
            mend_record(tmp_path / "one")
    finally:
        driven.close()
    assert (tmp_path / "one" / "run.json").read_text() == "half"


ANYTHING = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | st.lists(st.integers(), max_size=2)
) | st.sampled_from([10**30, 2**63, -1, 1e308, "0001-01-01", "9999-12-31T23:59:59+14:00", "2026-01-01T00:00:00"])


@given(st.dictionaries(st.sampled_from([field.name for field in fields(Record)]), ANYTHING, max_size=3))
def test_what_is_read_of_a_record_can_be_reckoned_with(trained: Path, changes: dict[str, Any]) -> None:
    document = json.loads((trained / "run.json").read_text()) | changes
    with TemporaryDirectory() as place:
        folder = Path(place)
        (folder / "run.json").write_text(json.dumps(document))
        try:
            found = Run(folder)
        except RunError:
            return
        assert found.status() in get_args(Status)
        assert summary_of(found)["name"] == folder.name
        assert age(found.record().updated)


# Folders of which no run came (case 46).


def begin(folder: Path, *names: str) -> None:
    """Make what a process leaves that is killed while it makes a run."""
    DrivenRun.create(tiny_preset(), folder).close()
    for name in ("run.json", "events.jsonl", "commands", *names):
        path = folder / name
        path.rmdir() if path.is_dir() else path.unlink()
    (folder / f".run.json.{os.getpid()}.tmp").write_bytes(b"half")


@pytest.mark.parametrize("missing", [(), ("metrics.csv",), ("metrics.csv", "preset.toml", "checkpoints")])
def test_a_beginning_is_listed_and_the_same_command_takes_it(missing: tuple[str, ...], tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "one"
    begin(folder, *missing)
    assert is_beginning(folder)
    (found,) = look_through(tmp_path / "runs").unreadable
    assert found.reason.startswith("unfinished")
    with pytest.raises(RunError, match="is no run yet"):
        mend_record(folder)
    run(folder, tiny_preset("run.seed=9"))
    assert (Run(folder).status(), Run(folder).record().seed) == ("finished", 9)
    assert not list(folder.glob(".*.tmp"))


@pytest.mark.parametrize("name", ["thesis.tex", "checkpoints/model", "events.jsonl", ".notes.1.tmp"])
def test_what_holds_anything_else_is_not_taken(name: str, tmp_path: Path) -> None:
    begin(tmp_path / "one")
    (tmp_path / "one" / name).write_text("mine")
    with pytest.raises(RunError, match="is not empty"):
        DrivenRun.create(tiny_preset(), tmp_path / "one")
    assert (tmp_path / "one" / name).read_text() == "mine"


def test_a_preset_that_lies_alone_in_a_folder_is_the_user_s(tmp_path: Path) -> None:
    """What makes a run takes its lock first, so a folder without one is nobody's beginning."""
    (tmp_path / "preset.toml").write_text("mine")
    assert not is_beginning(tmp_path)
    with pytest.raises(RunError, match="is not empty"):
        DrivenRun.create(tiny_preset(), tmp_path)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("preset.toml", "mine")]


def test_a_beginning_with_rows_is_no_beginning(tmp_path: Path) -> None:
    begin(tmp_path / "one")
    with (tmp_path / "one" / "metrics.csv").open("a") as file:
        file.write("0,1\n")
    with pytest.raises(RunError, match="is not empty"):
        DrivenRun.create(tiny_preset(), tmp_path / "one")


def test_a_folder_of_something_else_is_no_run(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.jpg").write_bytes(b"")
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.txt").write_text("mine")
    listing = look_through(tmp_path)
    assert (listing.runs, listing.unreadable) == ([], [])


def test_a_damaged_run_is_found_by_its_name(runs_dir: Path, folder: Path) -> None:
    (folder / "run.json").write_text("")
    assert find_folder("on", runs_dir) == find_folder("one", runs_dir) == find_folder(str(folder), runs_dir) == folder
    assert find_folder("last", runs_dir) == runs_dir / "good"
    assert of_kind(resume(runs_dir / "good", iterations=31), Notice) == []
