"""What a session waits for before it trains can be given up: it stops at once, and the run is as it was."""

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from threading import Event as Flag
from threading import Timer
from typing import Any, NoReturn

import pytest

from l2o_engine.backends import choose as backends
from l2o_engine.live import preparing
from l2o_engine.live.session import Session
from l2o_engine.optimizers.base import run as run_optimizer
from l2o_engine.records.events import Ended, Event, NewRows, Notice, Pause, Started, StatusChanged, Stop
from l2o_engine.runs.commands import send
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.folder import Run
from l2o_engine.support.processes import EndedError
from l2o_engine.training import evaluation
from tests.engine.tiny import of_kind, resume, run, start, tiny_preset

PRESET = tiny_preset()


def compiling_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every session wait for a kernel until it gives up."""
    given_up = Flag()

    def load() -> NoReturn:
        assert given_up.wait(60)
        raise EndedError("given up")

    choice = replace(backends.choose(PRESET.experiment, "torch"), load=load, give_up=given_up.set)
    monkeypatch.setattr(preparing, "choose", lambda *_: choice)


def events_until_told(session: Session, tell: Callable[[], object]) -> list[Event]:
    timer = Timer(0.2, tell)
    timer.start()
    events = list(session.events())
    timer.join()
    return events


def wait_until_taken(commands: Path) -> None:
    """Wait until the session has looked into the folder, and taken what lies there."""
    deadline = time.monotonic() + 60
    while any(commands.iterdir()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_stop_while_the_kernel_is_compiled_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiling_for_ever(monkeypatch)
    session = start(tmp_path / "run", PRESET)
    events = events_until_told(session, lambda: session.mailbox.put(Stop("SIGINT")))
    (ended,) = of_kind(events, Ended)
    assert (ended.status, ended.iteration, ended.message) == ("interrupted", 0, "SIGINT")
    assert of_kind(events, Started) == []
    record = Run(tmp_path / "run").record()
    assert (record.status, record.message) == ("interrupted", "SIGINT")
    monkeypatch.undo()
    assert of_kind(resume(tmp_path / "run"), Ended)[-1].status == "finished"
    run(tmp_path / "undisturbed", PRESET)
    assert (tmp_path / "run/metrics.csv").read_bytes() == (tmp_path / "undisturbed/metrics.csv").read_bytes()


def test_so_is_one_from_another_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiling_for_ever(monkeypatch)
    session = start(tmp_path / "run", PRESET)
    events = events_until_told(session, lambda: send(tmp_path / "run/commands", Stop()))
    assert of_kind(events, Ended)[-1].status == "interrupted"
    assert not Run(tmp_path / "run").is_driven()


def test_a_run_that_is_gone_on_with_stays_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run(tmp_path / "run", PRESET)
    before = Run(tmp_path / "run").record()
    compiling_for_ever(monkeypatch)
    driven = DrivenRun.take(tmp_path / "run")
    driven.set_iterations(60)
    session = Session(driven)
    (ended,) = of_kind(events_until_told(session, lambda: session.mailbox.put(Stop())), Ended)
    assert ended.iteration == 30
    after = Run(tmp_path / "run").record()
    assert (after.status, after.iteration, after.elapsed_seconds) == ("finished", 30, before.elapsed_seconds)
    monkeypatch.undo()
    assert of_kind(resume(tmp_path / "run", iterations=60), Ended)[-1].iteration == 60


def test_a_stop_while_the_levels_are_measured_is_heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measured: list[int] = []

    def slowly(*arguments: Any) -> Any:
        measured.append(1)
        time.sleep(0.05)
        return run_optimizer(*arguments)

    monkeypatch.setattr(evaluation, "run", slowly)
    monkeypatch.setattr(evaluation, "_MOST_NUMBERS", 1)  # a draw at a time
    session = start(tmp_path / "run", tiny_preset("report.baseline_draws=1000"))
    events = events_until_told(session, lambda: session.mailbox.put(Stop()))
    assert of_kind(events, Ended)[-1].status == "interrupted"
    assert of_kind(events, NewRows) == []
    assert 1 < len(measured) < 100
    assert Run(tmp_path / "run").record().levels is None


def test_other_commands_wait_for_their_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    is_asked = Flag()

    def load() -> Any:
        assert is_asked.wait(60)
        wait_until_taken(tmp_path / "run/commands")
        return choice.load()

    choice = backends.choose(PRESET.experiment, "torch")
    monkeypatch.setattr(preparing, "choose", lambda *_: replace(choice, load=load))
    session = start(tmp_path / "run", PRESET)

    def ask() -> None:
        send(tmp_path / "run/commands", Pause())
        is_asked.set()

    Timer(0.1, ask).start()
    statuses = []
    for event in session.events():
        if isinstance(event, StatusChanged):
            statuses.append(event.status)
            session.mailbox.put(Stop())
    assert statuses == ["paused"]


def test_what_is_no_command_is_said_once_it_has_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def load() -> Any:
        (tmp_path / "run/commands" / f"{1:020d}-{0:032x}.json").write_text("nonsense")
        wait_until_taken(tmp_path / "run/commands")
        return choice.load()

    choice = backends.choose(PRESET.experiment, "torch")
    monkeypatch.setattr(preparing, "choose", lambda *_: replace(choice, load=load))
    (notice,) = of_kind(run(tmp_path / "run", PRESET), Notice)
    assert "it is no command" in notice.message


def test_what_is_to_be_said_of_the_preparation_is_recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    choice = replace(backends.choose(PRESET.experiment, "torch"), notice="the kernel was compiled for this run only")
    monkeypatch.setattr(preparing, "choose", lambda *_: choice)
    events = run(tmp_path / "run", PRESET)
    assert [event.message for event in of_kind(events, Notice)] == ["the kernel was compiled for this run only"]
    assert [one["message"] for one in Run(tmp_path / "run").events() if one["event"] == "notice"] == [choice.notice]
