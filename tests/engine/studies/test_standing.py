"""A study that is watched and steered from elsewhere: how its jobs stand, pausing, going on, stopping."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from math import inf, isnan, nan
from pathlib import Path
from socket import gethostname
from time import sleep
from typing import Any

import pytest

from l2o_engine.presets.schema import Preset
from l2o_engine.presets.tables import to_dict
from l2o_engine.records.events import GoOn, Pause, Stop
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.folder import Run
from l2o_engine.studies.sweep import (
    PAUSE_FILE,
    STATE_FILE,
    JobStanding,
    StudyStanding,
    StudyWatcher,
    Sweep,
    go_on_with_study,
    pause_study,
    read_state,
    standing,
    stop_study,
)
from l2o_engine.studies.sweep.seeds import run_seed
from tests.engine.studies.test_sweep import RATES, Queue, drive, study
from tests.engine.tiny import run, tiny_preset


@pytest.fixture
def sweep(tmp_path: Path) -> Sweep:
    """A study of two settings with two seeds, begun, of which nothing is trained."""
    begun = Sweep(study(RATES, seeds=2), runs_dir=tmp_path)
    begun.begin()
    return begun


def states(sweep: Sweep) -> list[str]:
    return [job.state for job in StudyWatcher(sweep.folder).look().jobs]


# Steering.


def test_a_run_that_is_under_way_is_told_to_pause_and_to_go_on(sweep: Sweep) -> None:
    driven = DrivenRun.create(sweep.jobs[0].preset, sweep.jobs[0].folder)
    driven.update(status="running")
    for tell, asked in ((pause_study, Pause), (go_on_with_study, GoOn), (stop_study, Stop)):
        assert tell(sweep.folder) == 1
        while (found := driven.inbox.take()) is None:  # it does not look all the time
            sleep(0.01)
        assert isinstance(found, asked)
    driven.close()


def test_a_run_that_has_not_trained_yet_is_not_said_to_be_under_way(sweep: Sweep) -> None:
    driven = DrivenRun.create(sweep.jobs[0].preset, sweep.jobs[0].folder)
    driven.update(status="running")
    found = StudyWatcher(sweep.folder).look()
    assert (found.jobs[0].state, found.jobs[0].has_run, found.status) == ("starts", True, "running")
    driven.update(status="running", iteration=5, elapsed_seconds=0.5)
    assert states(sweep)[0] == "running"
    driven.close()


def test_a_job_of_a_paused_study_waits_for_its_turn_and_nothing_is_lost(sweep: Sweep) -> None:
    pause_study(sweep.folder)
    job = sweep.jobs[0]
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(run_seed, to_dict(job.preset), str(job.folder))
        with pytest.raises(TimeoutError):
            waiting.result(1.0)
        assert not job.folder.exists()
        assert StudyWatcher(sweep.folder).look().status == "paused"
        go_on_with_study(sweep.folder)
        assert waiting.result()["status"] == "done"


def test_a_run_that_begins_as_the_study_is_paused_waits_too(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between its look at the sign and its run.json, by which who pauses it would find it."""
    job, create = sweep.jobs[0], DrivenRun.create

    def create_late(preset: Preset, folder: Path, **rest: Any) -> DrivenRun:
        assert pause_study(sweep.folder) == 0
        return create(preset, folder, **rest)

    monkeypatch.setattr(DrivenRun, "create", create_late)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(run_seed, to_dict(job.preset), str(job.folder))
        while not (job.folder / "run.json").is_file() or Run(job.folder).record().status != "paused":
            assert not waiting.done()
        assert Run(job.folder).record().iteration <= 0
        go_on_with_study(sweep.folder)
        assert waiting.result()["status"] == "done"


def test_a_paused_study_can_be_stopped_and_begins_unpaused(sweep: Sweep, tmp_path: Path) -> None:
    pause_study(sweep.folder)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(run_seed, to_dict(sweep.jobs[0].preset), str(sweep.jobs[0].folder))
        stop_study(sweep.folder)
        assert waiting.result()["status"] == "interrupted"
    again = drive(Sweep(study(RATES, seeds=2), runs_dir=tmp_path))
    assert not (again.folder / PAUSE_FILE).exists()
    assert set(states(again)) == {"finished"}


# How it stands.


def test_every_job_is_told_of_from_the_queue_to_its_end(sweep: Sweep) -> None:
    watcher, queue = StudyWatcher(sweep.folder), Queue()
    before = watcher.look()
    assert [job.state for job in before.jobs] == ["waits"] * 4
    assert (before.status, before.share, before.best, before.seconds_left) == ("running", 0.0, None, inf)
    assert [job.iterations for job in before.jobs] == [30] * 4
    driven = DrivenRun.create(sweep.jobs[3].preset, sweep.jobs[3].folder)
    driven.update(status="running", iteration=15, elapsed_seconds=1.0)
    during = watcher.look()
    assert (during.jobs[3].state, during.jobs[3].share, during.seconds_left) == ("running", 0.5, 105 / 15)
    driven.close()
    driven.folder.joinpath("run.json").unlink()  # as if it had never been, for the sweep to do it
    for path in sorted(driven.folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    sweep.start(queue)
    for _ in range(3):
        queue.do_one()
    sweep.wait(0)
    sweep.close()
    after = watcher.look()
    assert [job.state for job in after.jobs] == ["finished", "finished", "finished", "waits"]
    assert (after.status, after.driver, after.counts()) == ("interrupted", "", {"finished": 3, "waits": 1})
    results = {result.variation.slug: result for result in sweep.results()}
    for job, one in zip(after.jobs[:3], sweep.jobs[:3], strict=True):
        assert job.final == results[one.of].finals[one.seed]
        assert job.folder == one.folder
    assert [one.finals for one in after.settings] == [result.finals for result in sweep.results()]
    assert [one.settings for one in after.settings] == [result.settings for result in sweep.results()]
    assert after.best == min(after.jobs[:3], key=lambda job: job.final)


def test_a_run_that_is_being_made_is_no_trouble_and_one_that_is_damaged_is(sweep: Sweep) -> None:
    made, damaged = (job.folder for job in sweep.jobs[:2])
    for folder in (made, damaged):
        folder.mkdir()
        (folder / ".lock").touch()
        (folder / "metrics.csv").touch()
    assert StudyWatcher(sweep.folder).look().unreadable == 0
    (damaged / "run.json").write_text("{")
    assert StudyWatcher(sweep.folder).look().unreadable == 1


def test_who_works_on_it_is_believed_while_it_lives(sweep: Sweep, monkeypatch: pytest.MonkeyPatch) -> None:
    watcher = StudyWatcher(sweep.folder)
    assert watcher.look().driver.endswith(f"on {gethostname()}")
    document = json.loads((sweep.folder / STATE_FILE).read_text())

    def write(**changes: object) -> None:
        (sweep.folder / STATE_FILE).write_text(json.dumps(document | changes))

    write(pid=2**22 + 1)  # more than Linux gives
    assert (watcher.look().status, watcher.look().driver) == ("interrupted", "")
    write(pid=1, host="elsewhere")
    assert watcher.look().driver == "process 1 on elsewhere"
    monkeypatch.setattr(standing, "SILENT_SECONDS", 0.0)
    assert watcher.look().status == "interrupted"


def test_what_halving_gives_up_and_what_fails_is_told(tmp_path: Path) -> None:
    halved = drive(Sweep(study("meta.learning_rate=1e-4,1e-3,3e-2", halving=True), runs_dir=tmp_path))
    found = StudyWatcher(halved.folder).look()
    assert found.counts() == {"given up": 2, "finished": 1}
    assert [one.given_up for one in found.settings] == [False, True, True]
    assert (found.share, found.status) == (1.0, "finished")
    failing = Sweep(study(RATES, name="failing"), runs_dir=tmp_path)
    failing.begin()
    failing.jobs[0].folder.mkdir()
    (failing.jobs[0].folder / "mine").touch()
    drive(failing)
    one, other = StudyWatcher(failing.folder).look().jobs
    assert (one.state, other.state, one.has_run, other.has_run) == ("failed", "finished", False, True)
    assert "is not empty" in one.message


def test_a_folder_of_runs_that_no_sweep_has_made_is_a_study_of_what_was_changed(tmp_path: Path) -> None:
    for seed in range(2):
        run(tmp_path / f"rate-s{seed}", tiny_preset(f"run.seed={seed}", "meta.learning_rate=0.01"))
        run(tmp_path / f"plain-s{seed}", tiny_preset(f"run.seed={seed}"))
    for record in tmp_path.glob("rate-*/run.json"):
        changed = {"meta.learning_rate": [0.001, 0.01]}
        record.write_text(json.dumps(json.loads(record.read_text()) | {"changed": changed}))
    found = StudyWatcher(tmp_path).look()
    assert (found.is_sweep, found.status, len(found.jobs)) == (False, "finished", 4)
    assert sorted((one.settings["meta.learning_rate"], len(one.finals)) for one in found.settings) == [
        (0.001, 2),
        (0.01, 2),
    ]


def test_state_files_of_before_are_read(sweep: Sweep) -> None:
    document = json.loads((sweep.folder / STATE_FILE).read_text())
    for name in ("given_up", "failures"):
        del document[name]
    for job in document["jobs"]:
        del job["iterations"]
    (sweep.folder / STATE_FILE).write_text(json.dumps(document))
    assert read_state(sweep.folder) is not None
    assert states(sweep) == ["waits"] * 4


def test_runs_under_way_count_only_where_it_is_asked_for() -> None:
    jobs = [
        JobStanding(Path("a"), "p", {"k": 1}, 0, "finished", 10, 10, -3.0),
        JobStanding(Path("b"), "p", {"k": 1}, 1, "diverged", 5, 10, nan),
        JobStanding(Path("c"), "p", {"k": 2}, 0, "running", 5, 10, -9.0, 1.0),
        JobStanding(Path("d"), "p", {"k": 2}, 1, "failed", 5, 10, -8.0, 1.0),
    ]
    found = StudyStanding("s", Path("s"), "running", tuple(jobs))
    by_value = {one.settings["k"]: one for one in found.settings}
    assert isnan(by_value[1].finals[1])
    assert by_value[1].final.count == 1
    assert by_value[2].finals == {}
    so_far = {one.settings["k"]: one for one in found.settings_so_far}
    assert so_far[2].finals == {0: -9.0}
    assert found.settings_so_far[0].settings["k"] == 2
    assert found.best == jobs[0]
    assert replace(found, jobs=()).share == 0.0
