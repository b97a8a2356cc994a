"""Watching through the folder: the same as the session told, whenever one comes, and nothing is touched by looking."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event as Flag
from threading import Thread
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from l2o_engine.backends.choose import Choice, choose
from l2o_engine.live import base_losses
from l2o_engine.live import watcher as watching
from l2o_engine.live.session import Session, SessionError
from l2o_engine.live.watcher import Watcher
from l2o_engine.presets.schema import Preset
from l2o_engine.records import rows as rows_module
from l2o_engine.records.codec import as_json
from l2o_engine.records.events import (
    Checkpointed,
    Command,
    Curves,
    Diagnosed,
    Ended,
    Event,
    Extend,
    Extended,
    Found,
    GoOn,
    Leave,
    NewRows,
    Notice,
    Pause,
    Preparing,
    Progress,
    SaveCheckpoint,
    ShowDraws,
    Started,
    StatusChanged,
    Stop,
)
from l2o_engine.records.rows import Rows
from l2o_engine.runs import checkpoints, tail
from l2o_engine.runs.commands import send
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.folder import Run
from l2o_engine.runs.levels import measure
from tests.engine.made import ago, change_record
from tests.engine.tiny import INPUTS, of_kind, resume, run, start, tiny_baselines, tiny_preset
from tests.engine.told import event_from_json
from tests.tui.conftest import ENDLESS, TINY, Running

REPLICATES = tiny_preset("run.seeds=2", "run.iterations=200", "run.checkpoint_every=50", INPUTS["adaptive log"])
STUCK = tiny_preset("meta.epsilon=1e6", "run.iterations=60")  # it does not learn, and is told so


@pytest.fixture(autouse=True)
def _polls_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "POLL_SECONDS", 0.01)


def watch(watcher: Watcher, is_last: Callable[[Event], bool]) -> list[Event]:
    """Return what the watcher tells, up to an event."""
    return until(watcher.events(), is_last)


def until(told: Iterator[Event], is_last: Callable[[Event], bool]) -> list[Event]:
    """Go on with a watcher that is telling, up to an event."""
    seen = []
    for event in told:
        seen.append(event)
        if is_last(event):
            return seen
    raise AssertionError(f"the watcher ended after {seen}")


def is_kind(kind: type[Event]) -> Callable[[Event], bool]:
    return lambda event: isinstance(event, kind)


def has_status(status: str) -> Callable[[Event], bool]:
    return lambda event: isinstance(event, StatusChanged) and event.status == status


def joined(events: list[Event]) -> Rows:
    return rows_module.joined([event.rows for event in of_kind(events, NewRows)])


def assert_same_rows(told: list[Event], folder: Path) -> None:
    ours, theirs = joined(told), rows_module.joined(list(Run(folder).rows()))
    for name, values in (vars(ours) | ours.numbers).items():
        if name != "numbers":
            assert_array_equal(values, (vars(theirs) | theirs.numbers)[name], name)


def assert_same_story(told: list[Event], session: list[Event]) -> None:
    """Check that a watcher told what the session told. NaN is told as NaN, which repr() shows."""
    ours, theirs = joined(told), joined(session)
    for name in ("iteration", "lane", "end_log10", "mean_log10", "non_finite"):
        assert_array_equal(getattr(ours, name), getattr(theirs, name), name)
    for kind in (Progress, Diagnosed, Found, Checkpointed, Extended, Ended):
        assert list(map(repr, of_kind(told, kind))) == list(map(repr, of_kind(session, kind))), kind


def driven_in_thread(events: Iterator[Event], told: list[Event]) -> Thread:
    """Drive the rest of a session in a thread."""
    thread = Thread(target=lambda: told.extend(events))
    thread.start()
    return thread


@contextmanager
def running_elsewhere(folder: Path) -> Iterator[Running]:
    """A run in a process of its own, once it trains. Quiet: a pipe that nobody reads would fill and stop it."""
    running = Running("run", "log30", "--quiet", *TINY, f"--iterations={ENDLESS}", "--run-dir", folder)
    try:
        assert running.process.stdout
        assert running.process.stdout.readline().strip() == str(folder)
        watch(Watcher(Run(folder)), is_kind(Progress))
        yield running
    finally:
        running.end()


# The same as the session told.


@pytest.mark.parametrize("preset", [REPLICATES, STUCK, tiny_baselines()], ids=["replicates", "stuck", "baselines"])
def test_of_a_finished_run_everything_is_told(preset: Preset, tmp_path: Path) -> None:
    session = run(tmp_path / "run", preset)
    told = watch(Watcher(Run(tmp_path / "run")), is_kind(Ended))
    started, theirs = told[0], of_kind(session, Started)[0]
    assert isinstance(started, Started)
    assert started == Started(**vars(theirs) | {"iteration": preset.run.iterations})
    assert started.levels == {name: level.end_log10 for name, level in measure(preset, preset.run.seed).items()}
    assert told[1] == StatusChanged("finished", preset.run.iterations)
    assert_same_rows(told, tmp_path / "run")
    assert_same_story(told, session)
    if preset is STUCK:
        assert of_kind(told, Found)


@pytest.mark.parametrize("begins_at", [-1, 0, 120])
def test_a_run_is_told_from_its_start_whenever_one_comes(begins_at: int, tmp_path: Path) -> None:
    session = start(tmp_path / "run", REPLICATES, chunk=7)
    events = session.events()
    driven: list[Event] = []
    while begins_at >= 0 and not (
        driven and isinstance(driven[-1], NewRows) and joined(driven).iteration[-1] >= begins_at
    ):
        driven.append(next(events))
    told_by_watcher = Watcher(Run(tmp_path / "run")).events()
    told = [next(told_by_watcher)]
    assert isinstance(told[0], Preparing if begins_at < 0 else Started)
    thread = driven_in_thread(events, driven)
    told += until(told_by_watcher, is_kind(Ended))
    thread.join()
    assert_same_rows(told, tmp_path / "run")
    assert_same_story(told, driven)
    assert len(of_kind(told, Started)) == 1
    assert not of_kind(told, StatusChanged)


def test_two_watch_at_once_and_either_may_steer(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    paused_at = []
    with running_elsewhere(folder) as running:
        one, other = Watcher(Run(folder)), Watcher(Run(folder))
        seen: list[Event] = []
        thread = Thread(target=lambda: seen.extend(watch(one, is_kind(Ended))))
        thread.start()
        other.mailbox.put(Pause())
        seen_too = []
        for event in other.events():
            seen_too.append(event)
            if has_status("paused")(event):
                assert isinstance(event, StatusChanged)
                paused_at.append(event.iteration)
                for command in (SaveCheckpoint(), Extend(event.iteration + 50), GoOn()):
                    one.mailbox.put(command)
            if isinstance(event, Ended):
                break
        thread.join()
        running.wait()
    for told in (seen, seen_too):
        assert_same_rows(told, folder)
        assert [event.iterations for event in of_kind(told, Extended)] == [paused_at[0] + 50]
        assert [event.iteration for event in of_kind(told, Checkpointed) if event.requested] == paused_at
        assert of_kind(told, Ended)[0].status == "finished"
    assert_same_story(seen, seen_too)


def test_leaving_does_not_end_the_run_and_stopping_does(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    with running_elsewhere(folder) as running:
        for command in (Leave(), Stop()):
            watcher = Watcher(Run(folder))
            told = []
            for event in watcher.events():
                told.append(event)
                if isinstance(event, Progress) and len(of_kind(told, Progress)) == 1:
                    watcher.mailbox.put(command)
                if isinstance(event, Ended):
                    break
            assert bool(of_kind(told, Ended)) == isinstance(command, Stop)
            assert Run(folder).status() == ("interrupted" if isinstance(command, Stop) else "running")
        assert f"stopped by process {os.getpid()}" in of_kind(told, Ended)[0].message
        result = running.wait()
    assert result.code == 1


# Runs that were killed, stopped, resumed.


def test_of_a_run_that_was_killed_and_resumed_the_rest_is_told_anew(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    settings = ("--set=run.checkpoint_every=40", "--set=run.keep_checkpoints=1000000", "--chunk=1")
    running = Running("run", "log30", "--json", *TINY, *settings, f"--iterations={ENDLESS}", "--run-dir", folder)
    try:
        running.next_document("checkpoint")
        events = Watcher(Run(folder)).events()
        told = until(events, is_kind(NewRows))
        running.next_document("checkpoint")
    finally:
        running.process.kill()
        running.end()
    told += until(events, has_status("interrupted"))
    assert_same_rows(told, folder)
    # All checkpoints but the oldest are gone: what lies beyond it is cut off and done again.
    newer = sorted((folder / "checkpoints").iterdir())[1:]
    assert newer
    for path in newer:
        path.unlink()
    total = int(joined(told).iteration[-1]) + 100
    resumed = resume(folder, iterations=total)
    assert of_kind(resumed, Started)[0].iteration == 40
    again = until(events, is_kind(Ended))
    assert isinstance(again[0], Started)
    assert (again[0].iteration, again[0].iterations) == (total, total)
    assert_same_rows(again, folder)
    # A report every ten, and one at the end, wherever the kill has let that be.
    assert [row.iteration for row in of_kind(again, Progress)] == [*range(0, total, 10), total]
    assert list(map(repr, of_kind(again, Progress))) == list(map(repr, Run(folder).progress()))
    # Who comes late is told the same.
    late = watch(Watcher(Run(folder)), is_kind(Ended))
    for kind in (Progress, Diagnosed, Found, Checkpointed, Ended):
        assert list(map(repr, of_kind(late, kind))) == list(map(repr, of_kind(again, kind))), kind


def test_a_run_that_was_killed_is_told_as_interrupted(tmp_path: Path) -> None:
    events = start(tmp_path / "run", tiny_preset(), chunk=1).events()
    for event in events:
        if isinstance(event, NewRows) and event.rows.iteration[-1] == 17:
            break
    events.close()  # type: ignore[attr-defined]
    told = Watcher(Run(tmp_path / "run")).events()
    first = [next(told), next(told)]
    assert isinstance(first[0], Started)
    assert first[1] == StatusChanged("interrupted", 17)
    assert_same_rows(until(told, is_kind(Checkpointed)), tmp_path / "run")


def test_who_waits_at_an_interrupted_run_sees_it_go_on(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    session = start(folder, tiny_preset(), chunk=1)
    events = []
    for event in session.events():
        events.append(event)
        if isinstance(event, NewRows) and event.rows.iteration[-1] == 17:
            session.mailbox.put(Stop())
    told = Watcher(Run(folder)).events()
    before = until(told, is_kind(Ended))
    assert of_kind(before, Ended) == of_kind(events, Ended)
    resume(folder, iterations=40)
    after = until(told, is_kind(Ended))
    assert isinstance(after[0], Started)
    assert after[0].iterations == 40
    assert_same_rows(after, folder)
    assert [row.iteration for row in of_kind(after, Progress)] == [0, 10, 20, 30, 40]
    assert [event.status for event in of_kind(after, Ended)] == ["finished"]
    assert not of_kind(after, Extended)


def test_of_a_paused_run_it_is_told_that_it_is_paused(tmp_path: Path) -> None:
    session = start(tmp_path / "run", tiny_preset(), start_paused=True)
    events = session.events()
    until(events, has_status("paused"))
    watcher = Watcher(Run(tmp_path / "run"))
    told = watcher.events()
    assert isinstance(next(told), Started)
    assert next(told) == StatusChanged("paused", -1)
    thread = driven_in_thread(events, [])
    watcher.mailbox.put(GoOn())
    seen = until(told, is_kind(Ended))
    thread.join()
    assert [event.status for event in of_kind(seen, StatusChanged)] == ["running"]


# Files as they may be.


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("watched") / "run"
    run(folder, tiny_preset())
    return folder


@pytest.fixture
def copy(finished: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(finished, tmp_path / "copy"))


def state_of(folder: Path) -> dict[Path, tuple[Any, ...]]:
    paths = [folder, *folder.rglob("*")]
    return {path: (path.stat().st_mtime_ns, path.stat().st_ino, path.stat().st_size) for path in paths}


def test_looking_writes_nothing(copy: Path) -> None:
    for path in (copy, *copy.rglob("*")):
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = state_of(copy)
    assert of_kind(watch(Watcher(Run(copy), curves=True), is_kind(Curves)), Ended)
    assert state_of(copy) == before
    for path in (copy, *copy.rglob("*")):
        path.chmod(0o755)


def test_a_torn_last_line_is_told_once_it_is_whole(copy: Path) -> None:
    metrics = copy / "metrics.csv"
    whole = metrics.read_bytes()
    metrics.write_bytes(whole[:-10])
    with (copy / "events.jsonl").open("ab") as file:
        file.write(b'{"event": "notice", "mess')
    told = Watcher(Run(copy)).events()
    assert_array_equal(joined(until(told, is_kind(Ended))).iteration, range(30))
    metrics.write_bytes(whole)
    with (copy / "events.jsonl").open("ab") as file:
        file.write(b'age": "whole"}\n')
    rows, notice = next(told), next(told)
    assert isinstance(rows, NewRows)
    assert_array_equal(rows.rows.iteration, [30])
    assert notice == Notice("whole")


def test_a_file_that_shrinks_is_told_anew(copy: Path) -> None:
    told = Watcher(Run(copy)).events()
    until(told, is_kind(Ended))
    lines = (copy / "metrics.csv").read_bytes().splitlines(keepends=True)
    (copy / "metrics.csv").write_bytes(b"".join(lines[:11]))
    again = until(told, is_kind(NewRows))
    assert isinstance(again[0], Started)
    assert_array_equal(joined(again).iteration, range(10))


@pytest.mark.parametrize("block", [200, 1000])
def test_a_long_file_is_told_in_blocks(block: int, copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tail, "_BLOCK", block)
    told = watch(Watcher(Run(copy)), is_kind(Ended))
    assert len(of_kind(told, NewRows)) > 1
    assert_same_rows(told, copy)


def test_what_cannot_be_read_is_passed_over(copy: Path) -> None:
    with (copy / "events.jsonl").open("ab") as file:
        file.write(b'\xff\n[]\n{}\n{"event": "surprise"}\n{"event": "progress"}\n{"event": "notice", "message": "x"}\n')
    with (copy / "metrics.csv").open("ab") as file:
        file.write(b"31,?\n")
    told = watch(Watcher(Run(copy)), is_kind(Ended))
    assert of_kind(told, Notice)[-1] == Notice("x")
    assert [row.iteration for row in of_kind(told, Progress)] == [0, 10, 20, 30]


def test_a_folder_that_goes_away_ends_the_watching_with_a_message(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "_PATIENCE", 0.05)
    told = Watcher(Run(copy)).events()
    until(told, is_kind(Ended))
    shutil.rmtree(copy)
    with pytest.raises(SessionError, match="cannot be watched any more"):
        next(told)


# Asking.


@pytest.mark.parametrize("command", [Pause(), GoOn(), SaveCheckpoint(), Extend(50), Stop()])
def test_where_nobody_drives_nobody_is_asked(command: Command, copy: Path) -> None:
    watcher = Watcher(Run(copy))
    told = watcher.events()
    until(told, is_kind(Ended))
    watcher.mailbox.put(command)
    notice = next(told)
    assert isinstance(notice, Notice)
    assert "no process drives copy" in notice.message
    assert not list((copy / "commands").iterdir())


def test_a_command_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    driven = DrivenRun.create(tiny_preset(), tmp_path / "run")
    try:
        (tmp_path / "run" / "commands").rmdir()
        (tmp_path / "run" / "commands").write_text("in the way")
        watcher = Watcher(Run(tmp_path / "run"))
        told = watcher.events()
        next(told)
        watcher.mailbox.put(Pause())
        notice = next(told)
    finally:
        driven.close()
    assert isinstance(notice, Notice)
    assert "cannot ask run" in notice.message
    assert "commands" in notice.message


# Base losses.


@pytest.mark.parametrize(
    ("make", "names"), [(tiny_preset, ["SGD", "RMSProp", "RNN"]), (tiny_baselines, ["SGD", "RMSProp"])]
)
def test_the_base_losses_are_those_of_the_session(
    make: Callable[..., Preset], names: list[str], tmp_path: Path
) -> None:
    session = start(tmp_path / "run", make("run.backend=torch"), interactive=True)
    answers: dict[int, Command] = {0: ShowDraws(1), 1: Stop()}
    theirs = []
    for event in session.events():  # which says the same again after some seconds
        if isinstance(event, Curves) and event.iteration == 30 and event.draw in answers:
            theirs.append(event)
            session.mailbox.put(answers.pop(event.draw))
    watcher = Watcher(Run(tmp_path / "run"), curves=True)
    told = watcher.events()
    until(told, is_kind(Ended))
    ours = [next(told)]
    watcher.mailbox.put(ShowDraws(1))
    ours.append(next(told))
    for event, same in zip(ours, theirs, strict=True):
        assert isinstance(event, Curves)
        assert (event.draw, event.iteration, list(event.losses)) == (same.draw, same.iteration, names)
        for name, losses in event.losses.items():
            np.testing.assert_allclose(losses, same.losses[name], rtol=1e-4)


def test_without_a_checkpoint_there_are_no_base_losses_yet(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    DrivenRun.create(tiny_preset(), folder).close()
    watcher = Watcher(Run(folder))
    told = watcher.events()
    until(told, has_status("interrupted"))
    watcher.mailbox.put(ShowDraws(1))
    assert next(told) == Notice("the base losses come with the first checkpoint")
    resume(folder)
    curves = until(told, is_kind(Curves))[-1]
    assert isinstance(curves, Curves)
    assert (curves.draw, curves.iteration) == (1, 30)


def test_a_checkpoint_that_the_run_removes_meanwhile_gives_way_to_the_next(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = checkpoints.read

    def removed_first(path: Path, *args: Any) -> checkpoints.Checkpoint:
        if checkpoints.iteration_of(path) == 30:
            path.unlink()
        return read(path, *args)

    monkeypatch.setattr(checkpoints, "read", removed_first)
    told = watch(Watcher(Run(copy), curves=True), is_kind(Curves))
    assert [event.iteration for event in of_kind(told, Curves)] == [20]
    assert not of_kind(told, Notice)


def test_what_the_run_does_is_told_while_the_base_losses_are_being_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_loaded = Flag()

    def loads_for_long(*args: Any) -> Choice:
        assert is_loaded.wait(60)
        return choose(*args)

    monkeypatch.setattr(base_losses, "choose", loads_for_long)
    folder = tmp_path / "run"
    run(folder, tiny_preset("run.iterations=10"))
    told = Watcher(Run(folder), curves=True).events()
    until(told, is_kind(Ended))
    resume(folder, iterations=30)
    assert not of_kind(until(told, is_kind(Ended)), Curves)
    is_loaded.set()
    assert [event.iteration for event in of_kind(until(told, is_kind(Curves)), Curves)] == [30]


def test_for_a_look_nobody_compiles_a_kernel(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("L2O_CACHE_DIR", str(tmp_path / "empty"))
    told = watch(Watcher(Run(copy), curves=True), is_kind(Curves))
    assert not of_kind(told, Notice)
    assert not (tmp_path / "empty").exists()


def test_a_backend_that_cannot_be_had_does_not_end_the_watching(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(*_: object) -> None:
        raise ImportError("there is no torch")

    monkeypatch.setattr(base_losses, "choose", nothing)
    watcher = Watcher(Run(copy))
    told = watcher.events()
    until(told, is_kind(Ended))
    for _ in range(2):
        watcher.mailbox.put(ShowDraws(1))
        assert next(told) == Notice("there are no base losses: there is no torch")


# Other hosts.


def test_a_driver_on_another_host_is_heard_whatever_its_clock_says(copy: Path) -> None:
    change_record(copy, status="running", host="node17", updated=ago(3600), driver=None)
    os.utime(copy / "run.json", (0, 0))
    watcher = Watcher(Run(copy))
    told = watcher.events()
    assert isinstance(next(told), Started)
    assert next(told) == StatusChanged("interrupted", 30)
    until(told, has_status("interrupted"))  # again, for the folder also tells of an end
    change_record(copy, updated=ago(3599))
    with (copy / "metrics.csv").open("ab") as file:
        file.write(b"31,1.0,1.0,0.0,0.0,1.0,,0,RNN,0\n")
    assert isinstance(next(told), NewRows)
    watcher.mailbox.put(Pause())
    with (copy / "metrics.csv").open("ab") as file:
        file.write(b"32,1.0,1.0,0.0,0.0,1.0,,0,RNN,0\n")
    assert isinstance(next(told), NewRows)
    assert len(list((copy / "commands").iterdir())) == 1


# Events from their lines.


def test_events_are_read_back_from_their_lines(tmp_path: Path) -> None:
    events = run(tmp_path / "run", STUCK)
    events += [Notice("look"), Extended(70), StatusChanged("paused", 7)]
    for event in events:
        documents = as_json(event)
        if documents and not isinstance(event, Started | Diagnosed):
            assert repr(event_from_json(documents)) == repr(event)
    with pytest.raises(ValueError, match="surprise"):
        event_from_json([{"event": "surprise"}])


def test_a_command_of_a_viewer_reaches_a_session_in_another_thread(tmp_path: Path) -> None:
    session = Session(DrivenRun.create(tiny_preset(), tmp_path / "run"), start_paused=True)
    driven: list[Event] = []
    thread = driven_in_thread(session.events(), driven)
    watcher = Watcher(Run(tmp_path / "run"))
    told = watcher.events()
    until(told, has_status("paused"))
    send(tmp_path / "run" / "commands", Extend(20))
    until(told, is_kind(Extended))
    watcher.mailbox.put(GoOn())
    until(told, is_kind(Ended))
    thread.join()
    assert_array_equal(joined(driven).iteration, range(21))
