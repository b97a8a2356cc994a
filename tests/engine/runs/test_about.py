"""What people call a run: what they may say, and that it is kept whoever drives the run."""

import json
from pathlib import Path
from typing import Any

import pytest

from l2o_engine.records.events import Describe, Described, Notice
from l2o_engine.runs.about import MOST_NOTE, MOST_TAGS, About, AboutError
from l2o_engine.runs.commands import Inbox, send
from l2o_engine.runs.describe import about_of, describe
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.folder import Run
from l2o_engine.runs.rebuild import mend_record
from l2o_engine.runs.record import RunError
from tests.engine.made import change_record
from tests.engine.tiny import start, tiny_preset


def test_what_is_said_of_a_new_run_is_in_its_record(tmp_path: Path) -> None:
    DrivenRun.create(tiny_preset(), tmp_path / "one", about=About("a name", "of\ntwo lines", ("a", "b", "a"))).close()
    record = Run(tmp_path / "one").record()
    assert (record.given_name, record.note, record.tags) == ("a name", "of\ntwo lines", ("a", "b"))


@pytest.mark.parametrize(
    "said",
    [
        {"name": "x" * 101},
        {"name": "two\nlines"},
        {"name": "\x1b[31m"},
        {"name": "\u202ebackwards"},
        {"note": "x" * (MOST_NOTE + 1)},
        {"note": "bell\x07"},
        {"tags": ("two words",)},
        {"tags": ("a,b",)},
        {"tags": ("",)},
        {"tags": tuple(map(str, range(MOST_TAGS + 1)))},
    ],
)
def test_what_no_run_is_called(said: dict[str, Any]) -> None:
    with pytest.raises(AboutError):
        About(**said)


@pytest.mark.parametrize(
    "stored", [{"given_name": "x" * 101}, {"note": "x" * 1001}, {"tags": ["x" * 41]}, {"tags": ["x"] * 17}, {"tags": 3}]
)
def test_a_record_that_says_more_is_refused(stored: dict[str, object], tmp_path: Path) -> None:
    DrivenRun.create(tiny_preset(), tmp_path / "one").close()
    change_record(tmp_path / "one", **stored)
    with pytest.raises(RunError):
        Run(tmp_path / "one")


def test_a_run_that_nobody_drives_is_described_in_its_record_and_nothing_else_of_it_changes(tmp_path: Path) -> None:
    DrivenRun.create(tiny_preset(), tmp_path / "one", about=About(tags=("a", "b"))).close()
    path = tmp_path / "one" / "run.json"
    before = json.loads(path.read_text())
    assert describe(tmp_path / "one", lambda about: About("new", "a note").with_tags([*about.tags, "c"], ["a"]))
    after = json.loads(path.read_text())
    assert {name for name in after if after[name] != before[name]} == {"given_name", "note", "tags"}
    assert about_of(Run(tmp_path / "one").record()) == About("new", "a note", ("a", "b", "c"))
    with pytest.raises(AboutError):
        describe(tmp_path / "one", lambda _: About("x" * 1000))
    assert json.loads(path.read_text()) == after


def test_who_drives_a_run_is_asked_and_keeps_it(tmp_path: Path) -> None:
    session = start(tmp_path / "one", tiny_preset())
    events = session.events()
    next(events)
    assert not describe(tmp_path / "one", lambda about: About("while it runs", "", ("ß", "→")), patience=0)
    assert Described("while it runs", "", ("ß", "→")) in list(events)
    assert about_of(Run(tmp_path / "one").record()) == About("while it runs", "", ("ß", "→"))
    (tmp_path / "one" / "run.json").write_text("half")
    mend_record(tmp_path / "one")
    assert about_of(Run(tmp_path / "one").record()) == About("while it runs", "", ("ß", "→"))


def test_a_long_note_of_any_script_goes_through_the_folder_and_nonsense_does_not(tmp_path: Path) -> None:
    (tmp_path / "commands").mkdir()
    inbox = Inbox(tmp_path / "commands")
    wish = Describe("𝔘" * 100, "𝔘" * MOST_NOTE, tuple(f"{'𝔘' * 38}{n:02}" for n in range(MOST_TAGS)))
    send(tmp_path / "commands", wish)
    assert inbox.take() == wish
    path = send(tmp_path / "commands", wish)
    path.write_text(json.dumps({"command": "describe", "given_name": "\x1b[31m", "note": "", "tags": []}))
    while (told := inbox.take()) is None:  # a look is due now and then
        pass
    assert isinstance(told, Notice)
    assert not path.exists()


@pytest.mark.parametrize(
    "said", [(), (About(),), (About("a name", "of\ntwo lines", ("a", "b")), About("b", "", ("c",)))]
)
def test_what_people_call_a_run_outlives_its_record(said: tuple[About, ...], tmp_path: Path) -> None:
    about = About("given at first", tags=("x",))
    DrivenRun.create(tiny_preset(), tmp_path / "one", about=about).close()
    for about in said:
        assert describe(tmp_path / "one", lambda _, about=about: about)  # type: ignore[misc]
    (tmp_path / "one" / "run.json").write_text("half")
    mend_record(tmp_path / "one")
    assert about_of(Run(tmp_path / "one").record()) == about


def test_what_nobody_could_have_said_is_not_taken_from_the_events(tmp_path: Path) -> None:
    DrivenRun.create(tiny_preset(), tmp_path / "one", about=About("ours")).close()
    with (tmp_path / "one" / "events.jsonl").open("a") as file:
        for name, tags in (("\x1b[31m", []), ("x" * 101, []), ("fine", ["two words"]), ("fine", ["x"] * 17)):
            file.write(json.dumps({"event": "described", "given_name": name, "note": "", "tags": tags}) + "\n")
        file.write('{"event": "described", "given_name": "half')  # of a process that was killed
    (tmp_path / "one" / "run.json").write_text("half")
    mend_record(tmp_path / "one")
    assert about_of(Run(tmp_path / "one").record()) == About("ours")
    assert describe(tmp_path / "one", lambda about: about.with_tags(["late"]))
    (tmp_path / "one" / "run.json").write_text("half")
    mend_record(tmp_path / "one")
    assert about_of(Run(tmp_path / "one").record()) == About("ours", tags=("late",))


def test_a_run_of_which_nothing_is_said_records_no_such_event(tmp_path: Path) -> None:
    DrivenRun.create(tiny_preset(), tmp_path / "one").close()
    assert (tmp_path / "one" / "events.jsonl").read_bytes() == b""
