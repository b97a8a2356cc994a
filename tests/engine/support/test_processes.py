"""A child of ours imports what its parent did, and nothing from the folder that it works in."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from l2o_engine.support import processes
from l2o_engine.support.processes import Child, EndedError, environment, import_path, python_command
from tests.engine.littered import litter

ROOT = str(Path(processes.__file__).parents[2])


@pytest.fixture
def littered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with files that are called like modules."""
    return litter(tmp_path, monkeypatch)


def imported_by_a_child() -> list[str]:
    """Return where a child of ours imports from."""
    command = [
        *python_command("timeit")[:2],
        "-c",
        "import random, token, sys, l2o_engine, l2o_tui; print(*sys.path, sep='\\n')",
    ]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_a_child_imports_nothing_from_the_working_folder(littered: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for entry in ("", str(littered)):  # as `python -c` and `python -m` put it in front
        monkeypatch.setattr(sys, "path", [entry, *sys.path])
        assert str(littered) not in import_path()
        assert str(littered) not in imported_by_a_child()


def test_an_empty_entry_of_pythonpath_does_not_name_the_working_folder(
    littered: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", f":{ROOT}")  # what `PYTHONPATH=$PYTHONPATH:…` gives where there was none
    monkeypatch.setattr(sys, "path", [str(littered), *sys.path])
    assert str(littered) not in imported_by_a_child()


def test_what_pythonpath_names_is_kept_even_if_it_is_the_working_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", ".")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert import_path()[0] == str(tmp_path)


def test_a_child_imports_from_where_its_parent_does_in_that_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "path", ["first", *sys.path, str(tmp_path / "last")])
    monkeypatch.chdir(tmp_path)
    expected = list(dict.fromkeys(import_path()))
    found = imported_by_a_child()
    assert found[: len(expected)] == expected
    assert found[0] == str(tmp_path / "first")
    assert ROOT in found


def test_our_own_packages_are_found_where_they_were_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)  # as with `python -m l2o_tui` in a clone that is not installed
    monkeypatch.delenv("PYTHONPATH", raising=False)
    monkeypatch.setattr(sys, "path", [ROOT, *sys.path])
    assert import_path()[0] == ROOT


def test_the_environment_is_changed_for_others_only_as_long_as_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", "mine")
    monkeypatch.delenv("PYTHONSAFEPATH", raising=False)
    with processes.environment_for_children():
        assert os.environ["PYTHONSAFEPATH"] == "1"
        assert os.environ["PYTHONPATH"] == environment()["PYTHONPATH"]
    assert os.environ["PYTHONPATH"] == "mine"
    assert "PYTHONSAFEPATH" not in os.environ


def test_a_child_is_ended_from_another_thread(tmp_path: Path) -> None:
    child = Child()
    threading.Timer(0.2, child.end).start()
    with pytest.raises(EndedError):
        child.run(["sleep", "60"], environment=os.environ, folder=tmp_path)
    with pytest.raises(EndedError):  # and none is started any more
        child.run(["true"], environment=os.environ, folder=tmp_path)


def test_what_a_child_says_is_returned(tmp_path: Path) -> None:
    done = Child().run(["sh", "-c", "pwd; echo no >&2; exit 3"], environment=os.environ, folder=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (3, f"{tmp_path}\n".encode(), b"no\n")
