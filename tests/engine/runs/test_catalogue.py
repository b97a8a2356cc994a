"""The runs of a folder: new ones beside one another, and how the one that is meant is found."""

from pathlib import Path

import pytest

from l2o_engine.runs.catalogue import delete, find_run, list_runs, look_through, new_folder
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.lock import take_lock
from l2o_engine.runs.record import RunError
from tests.engine.made import change_record
from tests.engine.tiny import tiny_preset


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


# Deleting.


@pytest.mark.parametrize("content", [b"", b"[" * 9999, b'{"format": 2}'])
def test_a_run_that_cannot_be_read_is_deleted_if_all_in_it_is_a_run_s(content: bytes, tmp_path: Path) -> None:
    DrivenRun.create(tiny_preset(), tmp_path / "one").close()
    (tmp_path / "one" / "run.json").write_bytes(content)
    (tmp_path / "one" / ".run.json.7.tmp").write_bytes(b"")
    (found,) = look_through(tmp_path).unreadable
    delete(found.folder)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_may_be_of_something_else_is_not_deleted(tmp_path: Path) -> None:
    (tmp_path / "one" / "src").mkdir(parents=True)
    (tmp_path / "one" / "run.json").write_text("{}")
    (found,) = look_through(tmp_path).unreadable
    with pytest.raises(RunError, match=r'holds what no run does: "src"\..*by hand'):
        delete(found.folder)
    assert (tmp_path / "one" / "src").is_dir()
    (tmp_path / "link").symlink_to("one")
    delete(tmp_path / "link")  # which is no more than a name
    assert [path.name for path in tmp_path.iterdir()] == ["one"]


def test_what_a_process_holds_is_not_deleted_whether_it_can_be_read_or_not(tmp_path: Path) -> None:
    driven = DrivenRun.create(tiny_preset(), tmp_path / "one")
    with pytest.raises(RunError, match="is being driven"):
        delete(driven.folder)
    (driven.folder / "run.json").write_text("")
    with pytest.raises(RunError, match="is being driven"):
        delete(driven.folder)
    driven.close()
    with take_lock(driven.folder), pytest.raises(RunError, match="is being driven"):
        delete(driven.folder)
    delete(driven.folder)
    assert not list(tmp_path.iterdir())
