"""`l2o-tui paths`: what is looked for where, who says so, and what is there."""

import json
from pathlib import Path
from typing import Any

import pytest

from l2o_engine.backends.compiled.place import cache_folder
from l2o_engine.tasks.data.sets import SETS
from l2o_tui.state.place import preferences_path
from tests.tui.conftest import call


def told(*options: str | Path) -> dict[str, dict[str, Any]]:
    result = call("paths", "--json", *options)
    assert (result.code, result.err) == (0, "")
    return {place["name"]: place for place in json.loads(result.out)}


@pytest.fixture
def _elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("L2O_RUNS_DIR", "L2O_DATA_DIR", "L2O_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("_elsewhere")
def test_places_are_where_the_rest_of_the_program_looks(tmp_path: Path) -> None:
    found = told()
    assert set(found) == {"runs", "presets", "kernels", "preferences", "data", *(f"data/{name}" for name in SETS)}
    assert (found["runs"]["path"], found["runs"]["said_by"]) == (str(tmp_path / "runs"), "default")
    assert (found["runs"]["exists"], found["runs"]["bytes"]) == (False, None)
    assert found["kernels"]["path"] == str(cache_folder())
    assert (found["preferences"]["path"], found["preferences"]["said_by"]) == (
        str(preferences_path()),
        "XDG_CONFIG_HOME",
    )
    assert found["preferences"]["path"].startswith(str(tmp_path / "config"))
    assert found["data/mnist"]["path"] == str(tmp_path / "data" / "mnist")
    assert found["presets"]["exists"]


@pytest.mark.usefixtures("_elsewhere")
def test_an_option_comes_before_the_environment_and_both_are_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RUNS", "DATA", "CACHE"):
        monkeypatch.setenv(f"L2O_{name}_DIR", str(tmp_path / name))
    (tmp_path / "DATA" / "mnist").mkdir(parents=True)
    (tmp_path / "DATA" / "mnist" / "some").write_bytes(b"123")
    (tmp_path / "CACHE" / "kernels").mkdir(parents=True)
    (tmp_path / "CACHE" / "kernels" / "one.l2o").write_bytes(b"12")
    found = told()
    assert [found[name]["said_by"] for name in ("runs", "data", "kernels")] == [
        f"L2O_{name}_DIR" for name in ("RUNS", "DATA", "CACHE")
    ]
    assert found["kernels"]["bytes"] == 2
    assert (found["data/mnist"]["bytes"], found["data/mnist"]["said_by"]) == (3, "L2O_DATA_DIR")
    found = told("--runs-dir", tmp_path / "other", "--data-dir", tmp_path / "none")
    assert [found[name]["said_by"] for name in ("runs", "data")] == ["--runs-dir", "--data-dir"]
    assert (found["data/mnist"]["path"], found["data/mnist"]["exists"]) == (str(tmp_path / "none" / "mnist"), False)


@pytest.mark.usefixtures("_elsewhere")
def test_the_table_says_the_same_in_a_line_each(tmp_path: Path) -> None:
    (tmp_path / "runs" / "one").mkdir(parents=True)
    (tmp_path / "runs" / "\x1b[31m").mkdir()
    result = call("paths")
    assert (result.code, result.err) == (0, "")
    heading, runs, *rest = result.out.splitlines()
    assert heading.split() == ["what", "there", "said", "by", "holds", "where"]
    assert runs.split() == ["runs", "yes", "default", "2", "folders", str(tmp_path / "runs")]
    assert len(rest) == len(told()) - 1
