"""A Dask cluster: what is said of its workers, what is refused, and runs on a real one, whose worker is killed."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest

from l2o_engine.live.session import Session
from l2o_engine.presets.tables import to_dict
from l2o_engine.records.events import Stop
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.folder import Run
from l2o_engine.runs.record import versions
from l2o_engine.studies.sweep import (
    DaskExecutor,
    LostSchedulerError,
    StudySettings,
    Sweep,
    SweepError,
    WorkerSeen,
    check_memory,
    check_workers,
    dask_executor,
    parse_over,
    study_of,
    told_of,
)
from l2o_engine.studies.sweep.seeds import run_seed
from l2o_engine.support.processes import environment
from tests.engine.made import ago, change_record
from tests.engine.tiny import tiny_preset

ONE = tiny_preset("name=one")
HERE = WorkerSeen("tcp://a:1", "node1", versions(), threads=1, memory=2**31, threads_of_numbers="1", sees=True)
OTHER = replace(HERE, name="tcp://b:1", host="node2", versions=versions() | {"cpu": "Another CPU", "torch": "1.0"})


def sweep_of(runs_dir: Path, name: str = "study", *, is_local: bool = False, **settings: Any) -> Sweep:
    over = [parse_over("meta.learning_rate=1e-3,3e-3")]
    preset = tiny_preset("name=one", *settings.pop("set", ()))
    study = study_of(StudySettings(name=name, **settings), [preset], over)
    return Sweep(study, runs_dir=runs_dir, is_local=is_local)


# What is said of workers.


def test_workers_that_are_all_as_here_are_counted_and_no_more() -> None:
    assert told_of([HERE, replace(HERE, name="tcp://a:2", threads=3)]) == ["2 workers on 1 host, 4 runs at a time"]
    assert "no workers yet" in told_of([])[0]


def test_other_cpus_versions_and_threads_are_told_with_their_hosts() -> None:
    counted, different, busy = told_of([HERE, OTHER, replace(HERE, host="node3", threads_of_numbers="")])
    assert counted == "3 workers on 3 hosts, 3 runs at a time"
    assert "last bits" in different
    assert "→ Another CPU" in different
    assert "→ 1.0 (node2)" in different
    assert busy.startswith("OMP_NUM_THREADS is not 1 on node3")


def test_a_worker_that_cannot_do_a_run_is_refused() -> None:
    study = Path("/shared/study")
    check_workers([HERE, OTHER], [], study)
    with pytest.raises(SweepError, match="node2 does not see /shared/study"):
        check_workers([HERE, replace(OTHER, sees=False)], [], study)
    with pytest.raises(SweepError, match=r"No module named.*\n.*install the same l2o-tui"):
        check_workers([HERE], ["worker x cannot do a run: ModuleNotFoundError: No module named 'l2o_engine'"], study)


def test_a_worker_that_comes_later_and_does_not_see_the_folder_makes_none(tmp_path: Path) -> None:
    job = sweep_of(tmp_path).jobs[0]  # which has not begun: there is no folder
    answer = run_seed(to_dict(job.preset), str(job.folder))
    assert answer["status"] == "failed"
    assert f"does not see {job.folder.parent}" in answer["message"]
    assert list(tmp_path.iterdir()) == []


def test_runs_that_no_worker_has_the_memory_for_are_refused() -> None:
    check_memory([HERE], [ONE])
    check_memory([], [ONE])
    check_memory([replace(HERE, memory=10), HERE], [ONE])
    with pytest.raises(SweepError, match=r"one would need about .* the workers have 5 bytes a thread"):
        check_memory([replace(HERE, memory=10, threads=2)], [ONE])


def test_what_is_no_scheduler_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("distributed")
    monkeypatch.setattr("l2o_engine.studies.sweep.cluster.CONNECT_SECONDS", 0.3)
    with (
        pytest.raises(SweepError, match=r"there is no Dask scheduler at tcp://127\.0\.0\.1:1 "),
        dask_executor("tcp://127.0.0.1:1"),
    ):
        pass


# Workers that die.


def test_a_run_whose_worker_has_died_on_another_host_is_taken_after_a_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("l2o_engine.runs.lock.WATCH_SECONDS", 0.5)
    sweep = sweep_of(tmp_path)
    sweep.begin()
    job = sweep.jobs[0]
    session = Session(DrivenRun.create(job.preset, job.folder), chunk=1)
    for _ in session.events():
        if Run(job.folder).latest_checkpoint() is not None:
            session.mailbox.put(Stop("a test"))
    change_record(job.folder, status="running", host="node7", pid=1, driver=None, updated=ago(3))
    answer = run_seed(to_dict(job.preset), str(job.folder))
    assert (answer["status"], answer["before"]) == ("done", False)
    assert sum(event["event"] == "start" for event in Run(job.folder).events()) == 2


def test_a_run_that_lives_on_another_host_is_left_to_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("l2o_engine.runs.driven.is_beating", lambda read: True)
    sweep = sweep_of(tmp_path)
    sweep.begin()
    job = sweep.jobs[0]
    DrivenRun.create(job.preset, job.folder).close()
    change_record(job.folder, status="running", host="node7", pid=1, driver=None)
    answer = run_seed(to_dict(job.preset), str(job.folder))
    assert answer["status"] == "elsewhere"
    assert "process 1 on node7" in answer["message"]


KilledWorker = type("KilledWorker", (Exception,), {})  # as Dask calls it, where workers died one after the other


def test_where_workers_die_a_run_is_tried_again_while_it_comes_further(tmp_path: Path) -> None:
    class Dying(ThreadPoolExecutor):
        deaths = 0

        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            folder = Path(args[1])
            if folder != unlucky.folder or Dying.deaths == 5:
                return super().submit(fn, *args, **kwargs)
            Dying.deaths += 1
            if not folder.exists():
                DrivenRun.create(unlucky.preset, folder).close()
            change_record(folder, iteration=Dying.deaths, status="interrupted")  # it has come a little further
            future: Future[Any] = Future()
            future.set_exception(KilledWorker("a test"))
            return future

    sweep = sweep_of(tmp_path)
    sweep.begin()
    unlucky = sweep.jobs[0]
    with Dying(1) as pool:
        sweep.start(pool)
        while sweep.is_going_on:
            sweep.wait(0.1)
    assert Dying.deaths == 5
    assert {outcome.status for outcome in sweep.outcomes} == {"failed", "done"}  # its checkpoints are not there
    stuck = sweep_of(tmp_path, "stuck")
    stuck.begin()
    unlucky, Dying.deaths = stuck.jobs[0], -1000
    with Dying(1) as pool:
        stuck.start(pool)
        while stuck.is_going_on:
            stuck.wait(0.1)
            if stuck.jobs[0].folder.exists() and Dying.deaths > -1000:
                change_record(stuck.jobs[0].folder, iteration=0)
    assert next(one for one in stuck.outcomes if one.job.folder == unlucky.folder).message.startswith("a worker")


# A scheduler that is lost, or too busy to answer.


class Losing(Executor):
    """What Dask is while its scheduler is lost: what was given to it is cancelled, and nothing more is taken."""

    def __init__(self) -> None:
        self.given: list[Future[Any]] = []
        self.is_lost = False

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        if self.is_lost:
            raise LostSchedulerError("a test")
        self.given.append(Future())
        return self.given[-1]


def test_a_scheduler_that_is_lost_again_and_again_is_no_runs_fault(tmp_path: Path) -> None:
    sweep = sweep_of(tmp_path, seeds=2)
    sweep.begin()
    for job in sweep.jobs[:2]:  # which come no further in between
        DrivenRun.create(job.preset, job.folder).close()
        change_record(job.folder, status="interrupted")
    for number in range(5):
        executor = Losing()
        if number:
            sweep.go_on_with(executor)
        else:
            sweep.start(executor)
        assert len(executor.given) == 4
        executor.is_lost = True
        for future in executor.given:
            future.cancel()
        assert sweep.wait(0) == []
        assert sweep.is_broken
    with ThreadPoolExecutor(1) as pool:
        sweep.go_on_with(pool)
        while sweep.is_going_on:
            sweep.wait(0.1)
    assert [outcome.status for outcome in sweep.outcomes] == ["done"] * 4


def test_a_scheduler_that_does_not_answer_is_lost_and_is_left_without_a_word(tmp_path: Path) -> None:
    class Busy:
        status = "running"

        def get_executor(self, **_: Any) -> "Busy":
            return self

        def _late(self, **_: Any) -> None:
            raise TimeoutError("timed out after 10 s.")

        scheduler_info = shutdown = close = _late

    executor = DaskExecutor(Busy())
    with pytest.raises(LostSchedulerError, match="does not answer"):
        executor.workers(tmp_path)
    executor.shutdown()


# A real cluster on loopback.


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[Path, list[subprocess.Popen[bytes]]]]:
    """A scheduler's file, and two workers without nannies: one that is killed stays dead."""
    pytest.importorskip("distributed")
    file = tmp_path / "scheduler.json"
    options = ("--no-dashboard", "--scheduler-file", str(file))
    started = [_started("distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--port", "0", *options)]
    workers = [_worker(tmp_path, file) for _ in range(2)]
    try:
        yield file, workers
    finally:
        for process in [*started, *workers]:
            process.kill()
            process.wait()


def _started(module: str, *arguments: str) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", module, *arguments]
    return subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _worker(folder: Path, file: Path) -> "subprocess.Popen[bytes]":
    options = ("--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", str(folder / "dask"))
    return _started("distributed.cli.dask_worker", "--scheduler-file", str(file), *options)


def _wait_for(what: Any) -> None:
    deadline = monotonic() + 60
    while not what():
        assert monotonic() < deadline
        sleep(0.05)


LONG = ("run.iterations=1500", "report.every=500")


@pytest.mark.soak
def test_a_worker_that_is_killed_costs_what_was_done_since_its_checkpoint_and_no_result(
    tmp_path: Path, cluster: tuple[Path, list[subprocess.Popen[bytes]]]
) -> None:
    file, workers = cluster
    _wait_for(file.exists)
    here = sweep_of(tmp_path / "here", is_local=True, seeds=2, set=LONG)
    here.begin()
    with ThreadPoolExecutor(1) as pool:
        here.start(pool)
        while here.is_going_on:
            here.wait(1)
    there = sweep_of(tmp_path / "there", seeds=2, set=LONG)
    there.begin()

    def under_way() -> list[int]:
        records = [Run(path.parent) for path in there.folder.glob("*/run.json")]
        return [run.record().pid for run in records if run.is_driven() and run.latest_checkpoint() is not None]

    with dask_executor(str(file)) as executor:
        _wait_for(lambda: len(executor.workers(there.folder)[0]) == 2)
        seen, wrong = executor.workers(there.folder)
        check_workers(seen, wrong, there.folder)
        assert {one.threads for one in seen} == {1}
        there.start(executor)
        _wait_for(under_way)
        victim = under_way()[0]
        assert victim in [worker.pid for worker in workers]
        os.kill(victim, signal.SIGKILL)
        workers.append(_worker(tmp_path, file))  # another comes
        while there.is_going_on:
            there.wait(1)
    assert {outcome.status for outcome in there.outcomes} == {"done"}
    names = [job.folder.name for job in there.jobs]
    assert len(names) == 4
    for name in names:
        assert (there.folder / name / "metrics.csv").read_bytes() == (here.folder / name / "metrics.csv").read_bytes()
    starts = [sum(event["event"] == "start" for event in Run(there.folder / name).events()) for name in names]
    assert sorted(starts) == [1, 1, 1, 2]


@pytest.mark.soak
def test_a_study_on_a_cluster_is_stopped_by_its_folder(
    tmp_path: Path, cluster: tuple[Path, list[subprocess.Popen[bytes]]]
) -> None:
    file, _ = cluster
    _wait_for(file.exists)
    sweep = sweep_of(tmp_path, set=("run.iterations=1000000",))
    sweep.begin()
    with dask_executor(str(file)) as executor:
        _wait_for(lambda: len(executor.workers(sweep.folder)[0]) == 2)
        sweep.start(executor)
        _wait_for(lambda: len(list(sweep.folder.glob("*/checkpoints/*.safetensors"))) >= 2)
        sweep.stop()
        while sweep.is_going_on:
            sweep.wait(0.5)
    assert {outcome.status for outcome in sweep.outcomes} == {"interrupted"}
    runs = [Run(job.folder) for job in sweep.jobs]
    assert [(run.record().status, run.is_driven()) for run in runs] == [("interrupted", False)] * 2
