"""Who of a study's workers computes: turns, of processes and of Dask's threads; how many processes there are."""

import threading
from concurrent.futures import Future
from pathlib import Path
from threading import Semaphore, Thread
from time import sleep

import numpy as np
import pytest

from l2o_engine.live.session import Session
from l2o_engine.records.events import Ended, NewRows, Started, Stop
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.folder import Run
from l2o_engine.studies.comparison import Summing, summarise
from l2o_engine.studies.sweep import StudySettings, Sweep, parse_over, processes_for, study_of
from l2o_engine.studies.sweep.cluster import WorkerTurns
from tests.engine.tiny import tiny_preset

ONE = tiny_preset("name=one")


# A session's turn.


def test_a_session_trains_in_its_turn_alone_and_writes_behind_it(tmp_path: Path) -> None:
    turns = Semaphore(0)
    told: list[bool] = []
    driven = DrivenRun.create(ONE, tmp_path / "run")
    session = Session(driven, turns=turns)

    def drive() -> None:
        rows = (event for event in session.events() if isinstance(event, NewRows))
        told.extend(turns.acquire(blocking=False) for _ in rows)

    thread = Thread(target=drive)
    thread.start()
    sleep(0.2)
    assert told == []
    assert Run(tmp_path / "run").is_driven()
    turns.release()
    thread.join()
    assert told  # it has trained,
    assert not any(told)  # and nobody could meanwhile
    assert turns.acquire(blocking=False)
    assert not turns.acquire(blocking=False)  # it was given back once


def test_who_waits_for_a_turn_hears_that_it_is_to_stop_and_takes_none(tmp_path: Path) -> None:
    turns = Semaphore(0)
    session = Session(DrivenRun.create(ONE, tmp_path / "run"), turns=turns)
    session.mailbox.put(Stop("a test"))
    *_, last = session.events()
    assert isinstance(last, Ended)
    assert (last.status, last.message) == ("interrupted", "a test")
    assert not turns.acquire(blocking=False)
    run = Run(tmp_path / "run")
    assert (run.record().status, run.is_driven()) == ("interrupted", False)


def test_a_session_that_fails_gives_its_turn_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = Semaphore(1)
    session = Session(DrivenRun.create(ONE, tmp_path / "run"), turns=turns)
    monkeypatch.setattr(session._pipeline, "collect", lambda: 1 / 0)
    with pytest.raises(Exception, match="ZeroDivisionError"):
        list(session.events())
    assert turns.acquire(blocking=False)


# What was heard of a run, in place of what would be read.


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_run_that_was_heard_sums_up_to_the_figures_of_its_files(dtype: str, tmp_path: Path) -> None:
    preset = tiny_preset("run.iterations=60", "report.every=7", "report.rolling_window=5", f"run.dtype={dtype}")
    summing = Summing(preset)
    for event in Session(DrivenRun.create(preset, tmp_path / "run")).events():
        summing.hear(event)
    assert summing.is_whole
    run = Run(tmp_path / "run")
    (heard,), (read,) = summing.replicates(run), summarise(run)
    for name in ("iteration", "initial", "final", "sum_loss", "non_finite", "took_off", "is_early"):
        assert getattr(heard, name) == getattr(read, name), name
    for name, values in vars(read.curve).items():  # whose rolling means are summed up in other pieces
        np.testing.assert_allclose(getattr(heard.curve, name), values, rtol=1e-13)


def test_what_was_gone_on_with_is_not_heard_whole() -> None:
    summing = Summing(ONE)
    started = {"run_dir": "", "preset": "one", "seeds": (0,), "lanes": (), "backend": "", "reason": "", "device": ""}
    summing.hear(Started(**started, iteration=10, iterations=30, levels={}, versions={}))  # type: ignore[arg-type] # made
    assert not summing.is_whole


# How many, and in which order.


def test_a_slow_disk_takes_more_processes_and_many_cores_no_burden() -> None:
    assert [processes_for(workers, 0.01) for workers in (1, 2, 64)] == [2, 4, 128]
    assert [processes_for(workers, 0.5) for workers in (1, 2, 8, 64)] == [8, 16, 32, 128]


def test_long_runs_are_begun_first(tmp_path: Path) -> None:
    begun: list[Path] = []

    class Recording:
        def submit(self, function: object, tables: object, folder: str, *others: object) -> object:
            begun.append(Path(folder))
            return Future[object]()

    overs = [parse_over("network.hidden=2,8,4"), parse_over("run.iterations=30,60")]
    sweep = Sweep(study_of(StudySettings(name="study"), [ONE], overs), runs_dir=tmp_path, is_local=False)
    sweep.begin()
    sweep.start(Recording())  # type: ignore[arg-type] # what it is asked for
    presets = {job.folder: job.preset for job in sweep.jobs}
    work = [presets[folder].run.iterations * presets[folder].experiment.trained.layout.size for folder in begun]
    assert len(work) == 6
    assert work == sorted(work, reverse=True)


# Dask's threads.


class Slots:
    """A Dask worker's threads: how many jobs have let go of theirs."""

    def __init__(self, threads: int = 1) -> None:
        self.left: list[str] = []
        self.turns = WorkerTurns(threads, lambda: self.left.append(threading.current_thread().name))

    def job(self, name: str, *, train: float, begin: float = 0.0) -> None:
        """Do a job in a thread of its own, to its end."""

        def work() -> None:
            self.turns.begin()
            sleep(begin)
            assert self.turns.acquire(True, 1.0)
            self.at_turn = list(self.left)
            sleep(train)
            self.turns.release()
            self.turns.end()

        thread = Thread(target=work, name=name)
        thread.start()
        thread.join()


def test_a_job_lets_go_of_its_thread_when_it_has_trained_and_the_next_short_one_when_it_begins_to() -> None:
    slots = Slots()
    slots.job("first", train=0.01)
    assert slots.at_turn == []  # nobody knows how long it takes
    assert slots.left == ["first"]
    slots.job("second", train=0.01)
    assert slots.at_turn == ["first", "second"]
    assert slots.left == ["first", "second"]  # once


def test_where_runs_are_long_none_waits_behind_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("l2o_engine.studies.sweep.cluster._SHORT_SECONDS", 0.001)
    slots = Slots()
    for name in ("first", "second"):
        slots.job(name, train=0.02)
        assert name not in slots.at_turn
    assert slots.left == ["first", "second"]


def test_where_it_takes_long_to_begin_more_are_begun() -> None:
    slots = Slots()
    slots.job("first", begin=0.1, train=0.03)
    waiting = [Thread(target=slots.turns.begin, name=str(place)) for place in range(6)]
    for thread in waiting:
        thread.start()
        thread.join()
    assert slots.left[0] == "first"
    assert 2 <= len(slots.left) - 1 <= 5  # some four are begun for one that trains; the last of them keeps its thread


def test_one_trains_at_a_time() -> None:
    slots = Slots()
    assert slots.turns._computing.acquire(blocking=False)
    slots.turns.begin()
    assert not slots.turns.acquire(True, 0.01)
    slots.turns._computing.release()
    assert slots.turns.acquire(True, 0.01)
    slots.turns.release()
    slots.turns.end()
