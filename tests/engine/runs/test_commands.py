"""Commands as files: what is written is obeyed, once, in order; what is no command harms nothing."""

import json
import os
import socket
from collections.abc import Callable
from math import inf
from pathlib import Path

import pytest

from l2o_engine.live import session as sessions
from l2o_engine.live.session import Session
from l2o_engine.records.events import (
    Checkpointed,
    Command,
    Ended,
    Event,
    Extend,
    Extended,
    GoOn,
    Leave,
    NewRows,
    Notice,
    Pause,
    SaveCheckpoint,
    ShowDraws,
    StatusChanged,
    Stop,
)
from l2o_engine.runs import commands
from l2o_engine.runs.checkpoints import Kind, kind_of
from l2o_engine.runs.commands import Inbox, send
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.folder import Run
from l2o_engine.support import files
from tests.engine.tiny import of_kind, run, start, tiny_preset
from tests.tui.conftest import ENDLESS, TINY, Running, call

BY_US = f"stopped by process {os.getpid()} on {socket.gethostname()}"
SHARE = commands._SHARE
COMMANDS: list[Command] = [Pause(), SaveCheckpoint(), Extend(70), GoOn(), Stop(BY_US)]


@pytest.fixture
def inbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Inbox:
    """Return an inbox that looks whenever it is asked."""
    monkeypatch.setattr(commands, "_SHARE", inf)
    return Inbox(tmp_path / "commands")


@pytest.fixture
def _looks_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a session look into the folder after every chunk: tiny runs are over before its next look."""
    for patience in ("_FOLDER_SECONDS", "_FOLDER_CHUNKS"):
        monkeypatch.setattr(sessions, patience, 0)
    monkeypatch.setattr(commands, "_SHARE", inf)


at_once = pytest.mark.usefixtures("_looks_at_once")


# Files.


def test_commands_are_taken_once_in_the_order_they_were_given(inbox: Inbox, tmp_path: Path) -> None:
    for command in COMMANDS:
        send(tmp_path / "commands", command)
    assert [inbox.take() for _ in COMMANDS] == COMMANDS
    assert inbox.take() is None
    assert not list((tmp_path / "commands").iterdir())


@pytest.mark.parametrize("command", [Leave(), ShowDraws()])
def test_what_is_for_the_viewer_is_not_sent(command: Command, inbox: Inbox, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not for the run"):
        send(tmp_path / "commands", command)
    assert not list((tmp_path / "commands").iterdir())


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b'{"command": "pau',
        b"\xff\x00",
        b"[]",
        b'"pause"',
        b"[" * 4000,
        b'{"command": "explode"}',
        b'{"command": ["pause"]}',
        b'{"command": "extend"}',
        b'{"command": "extend", "iterations": 0}',
        b'{"command": "extend", "iterations": 2.5}',
        b'{"command": "extend", "iterations": 1000000000001}',
        b'{"command": "stop"}',
        b'{"command": "stop", "host": "\\u001b[2J", "pid": 1}',
        b'{"command": "pause", "why": "' + b"x" * 20_000 + b'"}',
    ],
    ids=range(15),
)
def test_a_file_that_is_no_command_is_removed_and_named(content: bytes, inbox: Inbox, tmp_path: Path) -> None:
    name = f"{0:020d}-{0:032x}.json"
    (tmp_path / "commands" / name).write_bytes(content)
    send(tmp_path / "commands", Pause())
    notice = inbox.take()
    assert isinstance(notice, Notice)
    assert name in notice.message
    assert inbox.take() == Pause()
    assert not list((tmp_path / "commands").iterdir())


def test_what_is_no_file_is_neither_read_nor_obeyed(inbox: Inbox, tmp_path: Path) -> None:
    folder = tmp_path / "commands"
    names = [f"{place:020d}-{0:032x}.json" for place in range(3)]
    os.mkfifo(folder / names[0])  # to open it would wait for ever
    (tmp_path / "elsewhere").write_text('{"command": "pause"}')
    (folder / names[1]).symlink_to(tmp_path / "elsewhere")
    (folder / names[2]).mkdir()
    removed = f'"{names[0]}", "{names[1]}"'
    for name, what in ((removed, "are no commands"), (names[2], "cannot be removed")):
        notice = inbox.take()
        assert isinstance(notice, Notice)
        assert name in notice.message
        assert what in notice.message
    assert inbox.take() is None  # the folder that is left is told of once
    assert [path.name for path in folder.iterdir()] == [names[2]]
    assert (tmp_path / "elsewhere").exists()


def test_what_is_not_named_like_a_command_stays_and_is_told_of_once(inbox: Inbox, tmp_path: Path) -> None:
    folder = tmp_path / "commands"
    for name in ("0.json", "notes.txt", "\x1b]0;x\x07", "c", ".hidden"):
        (folder / name).write_text('{"command": "pause"}')
    notice = inbox.take()
    assert isinstance(notice, Notice)
    assert notice.message.endswith(r'left there: "\x1b]0;x\x07", "0.json", "c" and 1 more')
    assert inbox.take() is None
    send(folder, Pause())
    assert inbox.take() == Pause()
    assert len(list(folder.iterdir())) == 5


def test_a_commands_folder_that_became_a_link_is_not_looked_into(inbox: Inbox, tmp_path: Path) -> None:
    (tmp_path / "commands").rename(tmp_path / "elsewhere")
    (tmp_path / "commands").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic link"):
        send(tmp_path / "commands", Pause())
    send(tmp_path / "elsewhere", Pause())
    assert inbox.take() is None
    assert len(list((tmp_path / "elsewhere").iterdir())) == 1


def test_a_flood_of_files_takes_only_its_share_of_the_time(
    inbox: Inbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr(commands, "_SHARE", SHARE)
    monkeypatch.setattr(commands, "monotonic", lambda: now)
    junk = [f"{number:020d}-{0:032x}.json" for number in range(2, 1002)]
    asked = tmp_path / "commands" / f"{1:020d}-{0:032x}.json"  # it sorts before the junk
    send(tmp_path / "commands", Pause()).rename(asked)
    for name in junk:
        (tmp_path / "commands" / name).write_text("")
    removed = []

    def slowly(path: Path, root: Path) -> None:
        nonlocal now
        now += 0.001
        removed.append(path.name)
        files.remove(path, root)

    monkeypatch.setattr(commands, "remove", slowly)
    told = [inbox.take() for _ in range(5)]
    assert removed[0] == asked.name
    assert len(removed) == 200  # one look's
    assert [type(one) for one in told] == [Notice, Pause, *[type(None)] * 3]
    assert isinstance(told[0], Notice)
    assert f'"{junk[0]}", "{junk[1]}", "{junk[2]}" and 196 more' in told[0].message
    began = now
    while list((tmp_path / "commands").iterdir()):
        now += 0.05
        told.append(inbox.take())
    assert now - began > 40  # 0.8 s of work
    assert len([one for one in told if isinstance(one, Notice)]) <= 6


def test_a_flood_of_names_that_are_none_of_ours_is_looked_at_seldom(
    inbox: Inbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, looks = 0.0, 0
    monkeypatch.setattr(commands, "_SHARE", SHARE)
    monkeypatch.setattr(commands, "monotonic", lambda: now)

    def slowly(folder: Path, root: Path) -> list[str]:
        nonlocal now, looks
        now, looks = now + 0.1, looks + 1
        return files.names_in(folder, root)

    monkeypatch.setattr(commands, "names_in", slowly)
    (tmp_path / "commands" / "notes.txt").write_text("")
    while now < 100:
        now += 0.2
        inbox.take()
    assert looks <= 21
    assert (tmp_path / "commands" / "notes.txt").exists()


def test_a_command_that_is_still_being_written_is_left_alone(inbox: Inbox, tmp_path: Path) -> None:
    (tmp_path / "commands" / ".1.json.99.tmp").write_text('{"command": "pau')
    assert inbox.take() is None
    assert len(list((tmp_path / "commands").iterdir())) == 1


def test_a_folder_that_has_gone_holds_no_commands(inbox: Inbox, tmp_path: Path) -> None:
    (tmp_path / "commands").rmdir()
    assert inbox.take() is None


# Sessions.


def steer(folder: Path, react: Callable[[Event], Command | None], session: Session) -> list[Event]:
    """Drive a session to its end, asking by files what ``react`` answers to an event."""
    events = []
    for event in session.events():
        events.append(event)
        command = react(event)
        if command is not None:
            send(folder / "commands", command)
    return events


@at_once
def test_a_run_is_steered_by_files_and_its_numbers_stay_the_same(tmp_path: Path) -> None:
    run(tmp_path / "undisturbed", tiny_preset("run.iterations=45"))
    seen = []

    def react(event: Event) -> Command | None:
        match event:
            case NewRows() if event.rows.iteration[-1] == 13:
                return Pause()
            case StatusChanged("paused"):
                seen.append(Run(tmp_path / "steered").status())
                return SaveCheckpoint()
            case Checkpointed(requested=True):
                return Extend(45)
            case Extended():
                return GoOn()
        return None

    events = steer(tmp_path / "steered", react, start(tmp_path / "steered", tiny_preset(), chunk=1))
    assert [event.status for event in of_kind(events, StatusChanged)] == ["paused", "running"]
    assert seen == ["paused"]
    assert events[-1] == of_kind(events, Ended)[0]
    assert (of_kind(events, Ended)[0].status, of_kind(events, Ended)[0].iteration) == ("finished", 45)
    undisturbed, steered = ((tmp_path / name / "metrics.csv").read_bytes() for name in ("undisturbed", "steered"))
    assert steered == undisturbed


@at_once
def test_a_stop_says_who_asked_for_it(tmp_path: Path) -> None:
    def react(event: Event) -> Command | None:
        return Stop() if isinstance(event, NewRows) and event.rows.iteration[-1] == 5 else None

    ended = steer(tmp_path / "run", react, start(tmp_path / "run", tiny_preset(), chunk=1))[-1]
    assert isinstance(ended, Ended)
    assert (ended.status, ended.message) == ("interrupted", BY_US)
    assert Run(tmp_path / "run").record().message == BY_US


@at_once
def test_what_was_asked_before_the_session_began_is_not_obeyed(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    DrivenRun.create(tiny_preset(), folder).close()
    send(folder / "commands", Stop())
    (folder / "commands" / f"{0:020d}-{0:032x}.json").write_text("{")
    events = list(Session(DrivenRun.take(folder), chunk=1).events())
    assert of_kind(events, Ended)[0].status == "finished"
    assert not of_kind(events, Notice)
    assert not list((folder / "commands").iterdir())


@at_once
def test_a_finished_run_that_is_watched_is_continued_by_a_file(tmp_path: Path) -> None:
    def react(event: Event) -> Command | None:
        return (Extend(45) if event.iteration == 30 else Stop()) if isinstance(event, Ended) else None

    events = steer(tmp_path / "run", react, start(tmp_path / "run", tiny_preset(), interactive=True))
    assert [(event.status, event.iteration) for event in of_kind(events, Ended)] == [("finished", 30), ("finished", 45)]


@at_once
def test_a_file_that_is_no_command_is_a_notice_of_the_run(tmp_path: Path) -> None:
    def react(event: Event) -> Command | None:
        if isinstance(event, NewRows) and event.rows.iteration[-1] == 5:
            (tmp_path / "run" / "commands" / "notes.txt").write_text("do not forget the milk")
        return None

    events = steer(tmp_path / "run", react, start(tmp_path / "run", tiny_preset(), chunk=1))
    assert ["notes.txt" in notice.message for notice in of_kind(events, Notice)] == [True]
    assert "notes.txt" in (tmp_path / "run" / "events.jsonl").read_text()
    assert of_kind(events, Ended)[0].status == "finished"


def test_a_session_may_start_paused(tmp_path: Path) -> None:
    run(tmp_path / "undisturbed", tiny_preset())
    session = start(tmp_path / "run", tiny_preset(), start_paused=True)
    events = []
    for event in session.events():
        events.append(event)
        if isinstance(event, StatusChanged) and event.status == "paused":
            assert Run(tmp_path / "run").record().status == "paused"
            assert not of_kind(events, NewRows)
            session.mailbox.put(GoOn())
    assert [event.status for event in of_kind(events, StatusChanged)] == ["paused", "running"]
    assert (tmp_path / "run" / "metrics.csv").read_bytes() == (tmp_path / "undisturbed" / "metrics.csv").read_bytes()


def test_a_paused_run_shows_that_it_is_alive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "SIGN_SECONDS", 0.0)
    session = start(tmp_path / "run", tiny_preset(), start_paused=True)
    written: list[dict[str, object]] = []
    update = DrivenRun.update

    def count(self: DrivenRun, **changes: object) -> None:
        update(self, **changes)
        written.append(changes)
        if [change.get("status") for change in written].count("paused") == 5:
            session.mailbox.put(Stop())

    monkeypatch.setattr(DrivenRun, "update", count)
    assert of_kind(list(session.events()), Ended)[0].status == "interrupted"


# Processes.


def test_another_process_steers_a_run_without_a_screen(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    running = Running("run", "log30", "--json", *TINY, f"--iterations={ENDLESS}", "--run-dir", folder)
    try:
        running.next_document("progress")
        send(folder / "commands", Pause())
        paused = running.next_document("status")
        assert paused["status"] == Run(folder).status() == "paused"
        send(folder / "commands", SaveCheckpoint())
        kept = running.next_document("checkpoint")
        assert (kept["iteration"], kept["requested"], kind_of(Path(kept["path"]))) == (
            paused["iteration"],
            True,
            Kind.KEPT,
        )
        total = paused["iteration"] + 100
        for command in (Extend(total), GoOn()):
            send(folder / "commands", command)
        assert running.next_document("extended")["iterations"] == total
        assert running.next_document("status")["status"] == "running"
        result = running.wait()
    finally:
        running.end()
    assert (result.code, result.documents[-1]["status"]) == (0, "finished")
    assert call("run", "log30", "--quiet", *TINY, f"--iterations={total}", "--run-dir", tmp_path / "same").code == 0
    assert (folder / "metrics.csv").read_bytes() == (tmp_path / "same" / "metrics.csv").read_bytes()


def test_another_process_stops_a_paused_run(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    running = Running("run", "log30", "--json", *TINY, f"--iterations={ENDLESS}", "--run-dir", folder)
    try:
        running.next_document("progress")
        send(folder / "commands", Pause())
        running.next_document("status")
        send(folder / "commands", Stop())
        result = running.wait()
    finally:
        running.end()
    assert result.code == 1
    end = json.loads(result.out.splitlines()[-1])
    assert (end["status"], end["message"]) == ("interrupted", BY_US)
    assert Run(folder).status() == "interrupted"


def test_what_lies_there_while_a_run_is_prepared_is_told_once_somebody_listens(tmp_path: Path) -> None:
    session = start(tmp_path / "run", tiny_preset())
    session._run.notices.append("the lock is there again")
    (tmp_path / "run" / "commands" / "notes.txt").write_text("")
    assert not session._is_told_to_stop()
    told = [notice.message for notice in of_kind(list(session.events()), Notice)]
    assert told[0] == "the lock is there again"
    assert "notes.txt" in told[1]
