"""Lists of runs: what they tell, that nothing is read twice, studies, and which runs are meant."""

import json
import os
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from l2o_engine.presets.changed import shipped_settings
from l2o_engine.presets.files import load, override
from l2o_engine.presets.shipped import find
from l2o_engine.runs import listing
from l2o_engine.runs.about import About
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.listing import Listed, Study, Surveyor
from l2o_engine.runs.record import Record, RunError, document_of, read_record_once
from l2o_engine.runs.selection import Order, Selection, folded, sorted_by
from l2o_engine.support.errors import UserError
from tests.engine.made import change_record
from tests.engine.tiny import tiny_preset


def made(folder: Path, *settings: str, about: About | None = None, **record: object) -> None:
    """Make a run of log30 that is over."""
    driven = DrivenRun.create(override(load(find("log30")), settings), folder, about=about or About())
    driven.update(status="finished", **record)
    driven.close()
    change_record(folder, created=f"2026-01-01T00:00:{len(list(folder.parent.iterdir())):02}")


def settle(folder: Path) -> None:
    """Make a folder's runs seem to have been written long ago."""
    for path in folder.rglob("run.json"):
        os.utime(path, (1_000_000_000, 1_000_000_000))


@pytest.fixture
def runs_dir(tmp_path: Path) -> Path:
    folder = tmp_path / "runs"
    made(folder / "plain", average_log_result=-20.0)
    made(folder / "eps", "meta.epsilon=1e-12", "run.seed=3", average_log_result=-23.5)
    made(folder / "wide", "network.hidden=32", about=About("wider", "does it help?", ("size", "try")))
    for place in ("sweep-1/a-s0", "sweep-1/a-s1", "deep/one/b-s0"):
        made(folder / place, average_log_result=-10.0)
    (folder / "no run" / "at all").mkdir(parents=True)
    (folder / "broken").mkdir()
    (folder / "broken" / "run.json").write_text("{")
    settle(folder)
    return folder


def test_runs_studies_and_what_cannot_be_read_are_told_apart_the_newest_first(runs_dir: Path) -> None:
    survey = Surveyor(runs_dir).look()
    assert [run.name for run in survey.runs] == ["wide", "eps", "plain"]
    assert [(study.name, study.counts, study.best) for study in survey.studies] == [
        ("sweep-1", {"finished": 2}, -10.0),
        ("deep", {"finished": 1}, -10.0),
    ]
    assert [one.name for one in survey.unreadable] == ["broken"]
    assert [run.name for run in survey.all_runs if run.study] == ["sweep-1/a-s1", "sweep-1/a-s0", "deep/one/b-s0"]


def test_labels_say_preset_what_was_changed_and_seed(runs_dir: Path) -> None:
    labels = {run.name: run.label for run in Surveyor(runs_dir).look().runs}
    assert labels == {"plain": "log30 s0", "eps": "log30 ε1e-12 s3", "wide": "log30 hidden=32 s0"}


def test_what_has_not_been_written_since_is_not_read_again(runs_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    surveyor = Surveyor(runs_dir)
    first = surveyor.look()
    read: list[Path] = []

    def noted(path: Path) -> Record:
        read.append(path)
        return read_record_once(path)

    monkeypatch.setattr(listing, "read_record_once", noted)
    assert surveyor.look() == first
    assert [path.parent.name for path in read] == ["broken"]  # which nobody could keep
    change_record(runs_dir / "eps", average_log_result=-24.0)
    read.clear()
    (eps,) = (run for run in surveyor.look().runs if run.name == "eps")
    assert eps.average_log_result == -24.0
    assert [path.parent.name for path in read if path.parent.name != "broken"] == ["eps"]


def test_a_run_that_is_driven_is_read_every_time_and_one_whose_process_is_gone_is_interrupted(tmp_path: Path) -> None:
    driven = DrivenRun.create(tiny_preset(), tmp_path / "one")
    surveyor = Surveyor(tmp_path)
    settle(tmp_path)
    assert [(run.status, run.is_driven) for run in surveyor.look().runs] == [("running", True)]
    driven.close()
    settle(tmp_path)
    assert [(run.status, run.is_driven) for run in surveyor.look().runs] == [("interrupted", False)]


def test_a_run_of_an_older_version_is_listed_and_its_settings_come_from_its_preset(runs_dir: Path) -> None:
    path = runs_dir / "eps" / "run.json"
    old = json.loads(path.read_text())
    for name in ("given_name", "note", "tags", "changed", "origin"):
        del old[name]
    path.write_text(json.dumps(old))
    runs = Surveyor(runs_dir).look().runs
    assert [(run.name, run.label) for run in runs if run.name == "eps"] == [("eps", "log30 s3")]
    assert names(runs, where=("meta.epsilon=1e-12",)) == ["eps"]


def test_links_in_a_study_are_not_followed(runs_dir: Path) -> None:
    (runs_dir / "sweep-1" / "loop").symlink_to("..", target_is_directory=True)
    assert Surveyor(runs_dir).look().studies[0].counts == {"finished": 2}


# Which are meant.


def names(runs: list[Listed], **asked: tuple[str, ...]) -> list[str]:
    return [run.name for run in Selection(**asked).of(runs)]


def test_a_shipped_preset_is_looked_up_once_for_all_its_runs(runs_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked_up: list[str] = []

    def counted(name: str) -> dict[str, Any] | None:
        looked_up.append(name)
        return shipped_settings(name)

    monkeypatch.setattr("l2o_engine.runs.selection.shipped_settings", counted)
    runs = Surveyor(runs_dir).look().all_runs
    assert len(names(runs, where=("meta.batch=1", "network.layers=2"))) == 6
    assert looked_up == ["log30"]


def test_what_a_record_says_as_plain_values_is_what_its_fields_say(runs_dir: Path) -> None:
    for path in runs_dir.rglob("run.json"):
        with suppress(RunError):  # one of them is damaged
            record = read_record_once(path)
            assert json.dumps(document_of(record)) == json.dumps(asdict(record))


def test_runs_are_chosen_by_setting_tag_and_state(runs_dir: Path) -> None:
    runs = Surveyor(runs_dir).look().runs
    assert names(runs) == ["wide", "eps", "plain"]
    assert names(runs, where=("meta.epsilon=1e-12",)) == ["eps"]
    assert names(runs, where=("meta.epsilon = 1e-8", "network.hidden=32")) == ["wide"]
    assert names(runs, where=("transform.kind=log",)) == [
        "wide",
        "eps",
        "plain",
    ]  # a table's former name, a plain string
    assert names(runs, where=("run.seed=3",)) == ["eps"]
    assert names(runs, where=("run.checkpoint_every=5000",)) == ["wide", "eps", "plain"]
    assert names(runs, tags=("size", "try")) == ["wide"]
    assert names(runs, tags=("size", "other")) == []
    assert names(runs, states=("failed", "interrupted")) == []
    assert names(runs, states=("finished",)) == ["wide", "eps", "plain"]


def test_most_settings_are_known_without_reading_a_preset(runs_dir: Path) -> None:
    runs = Surveyor(runs_dir).look().runs
    for run in runs:
        (run.folder / "preset.toml").unlink()
    assert names(runs, where=("meta.epsilon=1e-12",)) == ["eps"]
    assert names(runs, where=("meta.batch=1", "network.hidden=20")) == ["eps", "plain"]


@pytest.mark.parametrize(
    ("condition", "said"),
    [("meta.epsilonn=1", 'did you mean "meta.epsilon"'), ("meta.epsilon", "write it as"), ("=3", "write it as")],
)
def test_a_condition_that_is_none_is_said(condition: str, said: str, runs_dir: Path) -> None:
    with pytest.raises(UserError, match=said):
        names(Surveyor(runs_dir).look().runs, where=(condition,))


def test_orders(runs_dir: Path) -> None:
    runs = Surveyor(runs_dir).look().runs
    assert [run.name for run in sorted_by(runs, "result")] == ["eps", "plain", "wide"]  # which has no result
    assert [run.name for run in sorted_by(runs, "oldest")] == ["plain", "eps", "wide"]
    assert [run.name for run in sorted_by(runs, "name")] == ["eps", "plain", "wide"]  # "wider"
    assert [run.name for run in sorted_by(runs, "preset")] == ["wide", "eps", "plain"]


def test_a_study_is_where_the_first_of_its_runs_would_be(tmp_path: Path) -> None:
    for name, created, result in (
        ("old", 1, -1.0),
        ("study/one", 2, -9.0),
        ("between", 3, -5.0),
        ("study/two", 4, None),
        ("new", 5, -2.0),
    ):
        folder = tmp_path / name
        folder.parent.mkdir(exist_ok=True)
        DrivenRun.create(tiny_preset(), folder).close()
        change_record(folder, created=f"2026-01-0{created}T00:00:00+00:00", average_log_result=result)
    survey = Surveyor(tmp_path).look()
    empty = Study(tmp_path / "empty", (), 1)

    def order(by: Order) -> list[str]:
        return [line.name for line in folded(survey.runs, [*survey.studies, empty], by)]

    assert order("newest") == ["new", "study", "between", "old", "empty"]
    assert order("oldest") == ["old", "study", "between", "new", "empty"]
    assert order("result") == ["study", "between", "new", "old", "empty"]
    assert order("name") == ["between", "new", "old", "study", "empty"]
