"""Reproducing experiments over seeds: which, what is done and what is left, verdicts, what a stop and a fault do."""

import re
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from math import nan
from pathlib import Path
from typing import Any

import pytest

from l2o_engine.backends.choose import Choice, choose
from l2o_engine.live.session import Session
from l2o_engine.live.sizes import TooLargeError
from l2o_engine.meta.experiment import Experiment
from l2o_engine.presets.files import load, override
from l2o_engine.presets.schema import Preset
from l2o_engine.presets.shipped import find, shipped_names
from l2o_engine.records.events import Stop
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.folder import Run
from l2o_engine.studies.reproduction import (
    GROUPS,
    Job,
    Reproduction,
    ReproductionError,
    Result,
    experiments_of,
    process_pool,
    run_job,
    wall_seconds,
    whose_data_is_there,
)
from l2o_engine.studies.sweep.jobs import is_done, take_in_turn
from l2o_engine.studies.sweep.workers import PoolProcess
from tests.engine.made import made_run
from tests.engine.tiny import run, tiny_preset

ONE = tiny_preset("name=one", "title=the first")
TWO = tiny_preset("name=two", "objective.kind=end", "run.iterations=20")


def drive(reproduction: Reproduction, executor: Executor | None = None) -> Reproduction:
    """Let threads do all jobs."""
    with executor or ThreadPoolExecutor(2) as pool:
        reproduction.start(pool)
        while reproduction.is_going_on:
            reproduction.wait(1)
    return reproduction


def reproduce(runs_dir: Path, *experiments: Preset, seeds: int = 2, executor: Executor | None = None) -> Reproduction:
    return drive(Reproduction(experiments, seeds=seeds, runs_dir=runs_dir), executor)


def test_what_the_machine_has_no_room_for_is_refused_before_a_folder_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    reproduce(tmp_path, ONE, seeds=1)
    monkeypatch.setattr("l2o_engine.live.sizes.available_memory", lambda: (1000, "this job or container"))
    with pytest.raises(TooLargeError, match="two would need"):
        Reproduction([ONE, TWO], seeds=1, runs_dir=tmp_path)
    assert Reproduction([ONE], seeds=1, runs_dir=tmp_path)  # what is done only has to be read


def job_of(runs_dir: Path, preset: Preset, seed: int = 0) -> Job:
    (job,) = [job for job in Reproduction([preset], seeds=seed + 1, runs_dir=runs_dir).jobs if job.seed == seed]
    return job


def starts(runs_dir: Path) -> dict[str, int]:
    """Return how often each run was begun or gone on with."""
    folders = sorted((runs_dir / "reproduction").glob("*/run.json"))
    return {
        record.parent.name: sum(event["event"] == "start" for event in Run(record.parent).events())
        for record in folders
    }


def metrics(runs_dir: Path, name: str) -> bytes:
    return (runs_dir / "reproduction" / name / "metrics.csv").read_bytes()


def interrupt(job: Job, after: int) -> None:
    """Begin a job's run and stop it at an iteration."""
    driven = take_in_turn(job)
    assert driven is not None
    session = Session(driven, chunk=1)
    for event in session.events():
        if type(event).__name__ == "NewRows" and Run(job.folder).latest_checkpoint() is not None:
            session.mailbox.put(Stop("a test"))
    assert after <= Run(job.folder).record().iteration < job.iterations


def statuses(reproduction: Reproduction) -> dict[str, str]:
    return {outcome.job.folder.name: outcome.status for outcome in reproduction.outcomes}


class Queue(Executor):
    """An executor that does nothing until it is told to."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Future[Any], Callable[..., Any], tuple[Any, ...]]] = []

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.waiting.append((future, fn, args))
        return future

    def do_one(self) -> str:
        """Do the oldest call, unless it was cancelled; return the function's name."""
        future, fn, args = self.waiting.pop(0)
        if future.set_running_or_notify_cancel():
            future.set_result(fn(*args))
        return fn.__name__


# Which experiments.


def test_every_shipped_experiment_is_in_one_group_and_the_baselines_are_in_none() -> None:
    parts = [[preset.name for preset in experiments_of(group)] for group in GROUPS[:-1]]
    everything = [preset.name for preset in experiments_of("all")]
    trained = [name for name in shipped_names() if load(find(name)).learns]
    assert sorted(name for part in parts for name in part) == trained
    assert dict(zip(GROUPS, map(len, parts), strict=False)) == {
        "episode1": 6,
        "episode2": 6,
        "episode3": 6,
        "deepmind": 16,
        "beyond": 6,
    }
    hours = [preset.name for preset in experiments_of("deepmind")]  # each
    assert everything == [name for part in parts for name in part if name not in hours]


def test_an_episode_goes_from_the_notebooks_worst_result_to_its_best() -> None:
    for group in ("episode1", "episode2"):
        presets = experiments_of(group)
        finals = [preset.notebook.final for preset in presets if preset.notebook]
        assert finals == sorted(finals, key=lambda final: -(final or 0))
        assert all(preset.notebook and f"episode{preset.notebook.episode}" == group for preset in presets)
    assert experiments_of("episode1")[-1].name == "log30"


def test_some_experiments_of_a_group_can_be_chosen_in_any_order() -> None:
    chosen = experiments_of("episode1", ["log30", "simple_sum", "log30"])
    assert [preset.name for preset in chosen] == ["simple_sum", "log30"]


def test_what_an_experiment_begins_with_is_reproduced_too() -> None:
    chosen = [preset.name for preset in experiments_of("deepmind", ["lopt_digits_slow"])]
    assert chosen == ["lopt_fashion_7x7", "lopt_digits", "lopt_digits_slow"]


def test_experiments_whose_data_is_not_there_are_told_apart_by_what_they_lack(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("L2O_DATA_DIR", str(tmp_path))
    there, lacking = whose_data_is_there(experiments_of("deepmind"))
    assert "dm_quadratic" in {preset.name for preset in there}
    (mnist,) = (names for why, names in lacking.items() if why.startswith('the data set "mnist" is not there'))
    assert mnist == ["dm_mnist", "rnnprop_mnist", "dm_mnist_curriculum"]
    begun = tiny_preset("name=begun", 'start={preset="dm_mnist"}')
    _, lacking = whose_data_is_there([begun, load(find("dm_mnist")), ONE])
    assert list(lacking.values()) == [["begun", "dm_mnist"]]
    assert not {preset.name for preset in there} & {name for names in lacking.values() for name in names}


@pytest.mark.parametrize(
    ("group", "only", "said"),
    [
        ("episode11", (), 'did you mean "episode1"? Choose one of'),
        ("everything", (), r"everything\"\. Choose one of episode1, episode2, episode3, deepmind, beyond, all"),
        ("episode1", ("log3",), 'did you mean "log30"?'),
        ("episode1", ("zzz",), "it has"),
        ("episode1", ("log30", "logdiv_sum_log"), "it is in episode2"),
        ("all", ("baselines",), 'no experiment "baselines" in all'),
    ],
)
def test_a_wrong_name_is_told_with_a_hint(group: str, only: Sequence[str], said: str) -> None:
    with pytest.raises(ReproductionError, match=said.replace("?", r"\?")):
        experiments_of(group, only)


# What is done, what is left.


def test_jobs_are_ordinary_runs_with_the_results_of_ordinary_runs(tmp_path: Path) -> None:
    reproduction = reproduce(tmp_path, ONE, TWO)
    assert starts(tmp_path) == {"one-s0": 1, "one-s1": 1, "two-s0": 1, "two-s1": 1}
    for preset in (ONE, TWO):
        for seed in (0, 1):
            run(tmp_path / "alone" / f"{preset.name}{seed}", override(preset, [f"run.seed={seed}"]))
            alone = (tmp_path / "alone" / f"{preset.name}{seed}" / "metrics.csv").read_bytes()
            assert metrics(tmp_path, f"{preset.name}-s{seed}") == alone
    for result in reproduction.results():
        finals = [Run(replicate.run.folder).record().average_log_result for replicate in result.replicates]
        assert [replicate.lane.seed for replicate in result.replicates] == [0, 1]
        assert [replicate.final for replicate in result.replicates] == pytest.approx(finals)


# What begins with what another has come to.


FIRST = tiny_preset("name=first", "run.iterations=20")
THEN = tiny_preset("name=then", 'start={preset="first", checkpoint="newest"}', "meta.learning_rate=1e-4")


def test_an_experiment_begins_with_the_run_of_its_seed_as_soon_as_that_is_over(tmp_path: Path) -> None:
    reproduction = reproduce(tmp_path, THEN, FIRST)
    assert statuses(reproduction) == dict.fromkeys(["first-s0", "first-s1", "then-s0", "then-s1"], "done")
    for seed in (0, 1):
        before, after = (Run(tmp_path / "reproduction" / f"{name}-s{seed}") for name in ("first", "then"))
        start = after.preset().start
        assert start is not None
        assert (start.preset, start.run, start.seed, start.iteration) == ("first", before.name, seed, 20)
        assert start.digest == before.exported(checkpoint="newest").digest
    assert starts(tmp_path) == {"first-s0": 1, "first-s1": 1, "then-s0": 1, "then-s1": 1}
    again = reproduce(tmp_path, FIRST, THEN)
    assert all(outcome.before for outcome in again.outcomes)
    assert [standing.iterations for standing in again.standings()] == [40, 60]


def test_one_that_is_interrupted_goes_on_from_its_checkpoint_and_not_from_the_run_before(tmp_path: Path) -> None:
    reproduce(tmp_path / "whole", FIRST, THEN, seeds=1)
    reproduce(tmp_path, FIRST, seeds=1)
    (job,) = [job for job in Reproduction([FIRST, THEN], seeds=1, runs_dir=tmp_path).jobs if job.begins_with]
    interrupt(job, after=10)
    reproduce(tmp_path, FIRST, THEN, seeds=1)
    assert starts(tmp_path) == {"first-s0": 1, "then-s0": 2}
    assert metrics(tmp_path, "then-s0") == metrics(tmp_path / "whole", "then-s0")


def test_where_the_run_before_fails_it_is_told_and_where_it_is_stopped_nothing_is_begun(tmp_path: Path) -> None:
    folder = tmp_path / "reproduction" / "first-s0"
    folder.mkdir(parents=True)
    (folder / "thesis.tex").touch()
    reproduction = reproduce(tmp_path, FIRST, THEN)
    expected = {"first-s0": "failed", "then-s0": "failed", "first-s1": "done", "then-s1": "done"}
    assert statuses(reproduction) == expected
    (told,) = [outcome.message for outcome in reproduction.outcomes if outcome.job.folder.name == "then-s0"]
    assert told == "first, which it begins with, has no result"
    stopped = Reproduction([FIRST, THEN], seeds=1, runs_dir=tmp_path / "stopped")
    stopped.start(Queue())
    stopped.stop()
    while stopped.is_going_on:
        stopped.wait(0.1)
    assert statuses(stopped) == dict.fromkeys(["first-s0", "then-s0"], "interrupted")


def test_where_the_run_before_has_failed_while_its_kernel_was_compiled_it_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "reproduction" / "first-s0"
    folder.mkdir(parents=True)
    (folder / "thesis.tex").touch()
    monkeypatch.setattr(Reproduction, "_admitted", lambda _, job: "its own" if job.preset.name == "then" else "")
    reproduction, queue = Reproduction([FIRST, THEN], seeds=1, runs_dir=tmp_path), Queue()
    reproduction.start(queue)
    queue.waiting.reverse()
    assert queue.do_one() == "run_job"
    reproduction.wait(1)
    assert statuses(reproduction) == {"first-s0": "failed"}
    assert queue.do_one() == "prepare"
    reproduction.wait(1)
    assert statuses(reproduction) == {"first-s0": "failed", "then-s0": "failed"}
    assert not reproduction.is_going_on


def test_what_it_begins_with_has_to_be_among_the_experiments(tmp_path: Path) -> None:
    with pytest.raises(ReproductionError, match="then begins with a run of first, which is not to be trained"):
        Reproduction([THEN], seeds=1, runs_dir=tmp_path)


def test_another_run_before_it_is_another_experiment(tmp_path: Path) -> None:
    reproduce(tmp_path, FIRST, THEN, seeds=1)
    other = override(THEN, ['start.checkpoint="best"'])
    with pytest.raises(ReproductionError, match=r'start.checkpoint is "newest" there, "best" here'):
        Reproduction([FIRST, other], seeds=1, runs_dir=tmp_path)


def test_the_pool_of_processes_does_the_same(tmp_path: Path) -> None:
    in_processes = reproduce(tmp_path / "processes", ONE, executor=process_pool(2))
    in_threads = reproduce(tmp_path / "threads", ONE)
    assert [r.final for r in in_processes.results()] == [r.final for r in in_threads.results()]
    for seed in (0, 1):
        assert metrics(tmp_path / "processes", f"one-s{seed}") == metrics(tmp_path / "threads", f"one-s{seed}")
    pids = {Run(outcome.job.folder).record().pid for outcome in in_processes.outcomes}
    assert pids.isdisjoint({Run(outcome.job.folder).record().pid for outcome in in_threads.outcomes})


def test_what_is_done_is_not_done_again(tmp_path: Path) -> None:
    first = reproduce(tmp_path, ONE)
    again = reproduce(tmp_path, ONE, seeds=3)
    assert starts(tmp_path) == {"one-s0": 1, "one-s1": 1, "one-s2": 1}
    assert {o.job.folder.name: o.before for o in again.outcomes} == {"one-s0": True, "one-s1": True, "one-s2": False}
    finals = [[replicate.final for replicate in r.results()[0].replicates] for r in (first, again)]
    assert finals[1][:2] == finals[0]


def test_an_interrupted_run_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    interrupt(job_of(tmp_path / "stopped", ONE), after=10)
    reproduce(tmp_path / "stopped", ONE)
    reproduce(tmp_path / "whole", ONE)
    assert starts(tmp_path / "stopped") == {"one-s0": 2, "one-s1": 1}
    assert metrics(tmp_path / "stopped", "one-s0") == metrics(tmp_path / "whole", "one-s0")


def test_a_folder_that_a_killed_process_was_just_making_is_made_again(tmp_path: Path) -> None:
    job = job_of(tmp_path, ONE)
    DrivenRun.create(job.preset, job.folder).close()
    (job.folder / "run.json").rename(job.folder / ".run.json.12.tmp")  # the last that is written,
    (job.folder / "events.jsonl").unlink()  # before this is made
    assert statuses(reproduce(tmp_path, ONE)) == {"one-s0": "done", "one-s1": "done"}


def test_a_folder_with_something_else_is_left_alone_and_the_others_go_on(tmp_path: Path) -> None:
    job = job_of(tmp_path, ONE)
    job.folder.mkdir(parents=True)
    (job.folder / "thesis.tex").touch()
    reproduction = reproduce(tmp_path, ONE)
    assert statuses(reproduction) == {"one-s0": "failed", "one-s1": "done"}
    assert [path.name for path in job.folder.iterdir()] == ["thesis.tex"]
    (result,) = reproduction.results()
    assert ["is not empty" in outcome.message for outcome in result.failed] == [True]
    assert (result.seeds, result.final.count) == (1, 1)


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("meta.epsilon=1e-12", r"meta.epsilon is 1e-08 there, 1e-12 here"),
        ("run.iterations=40", r"run.iterations is 30 there, 40 here"),
        ("inputs={kind='log', min_log=-5}", r"inputs"),
        ("baseline=[]", r"baseline"),
    ],
)
def test_a_folder_with_another_experiment_is_refused_before_anything_starts(
    setting: str, said: str, tmp_path: Path
) -> None:
    reproduce(tmp_path, ONE, seeds=1)
    before = metrics(tmp_path, "one-s0")
    with pytest.raises(ReproductionError, match=f"other settings .*{said}.*--runs-dir"):
        Reproduction([override(ONE, [setting]), TWO], seeds=2, runs_dir=tmp_path)
    assert starts(tmp_path) == {"one-s0": 1}
    assert metrics(tmp_path, "one-s0") == before


def test_another_backend_is_another_experiment(tmp_path: Path) -> None:
    reproduce(tmp_path, ONE, seeds=1)
    with pytest.raises(ReproductionError, match=r'run\.backend is "torch" there, "auto" here'):
        Reproduction([ONE], seeds=1, runs_dir=tmp_path, backend="auto")


def test_titles_notebook_rows_and_checkpoints_make_no_other_experiment(tmp_path: Path) -> None:
    reproduce(tmp_path, ONE, seeds=1)
    settings = ["title=changed", "run.keep_checkpoints=7", "run.checkpoint_every=15"]
    settings += ["notebook={name='N', rows=[{it=30, average_log_result=-1.0}]}"]
    assert [o.before for o in reproduce(tmp_path, override(ONE, settings), seeds=1).outcomes] == [True]


def test_a_run_that_cannot_be_read_is_refused_with_its_folder(tmp_path: Path) -> None:
    reproduce(tmp_path, ONE, seeds=1)
    (tmp_path / "reproduction" / "one-s0" / "run.json").write_text("{")
    with pytest.raises(ReproductionError, match=r"one-s0/run.json cannot be read.* Delete .*one-s0, or"):
        Reproduction([ONE], seeds=1, runs_dir=tmp_path)


def test_a_done_run_that_has_lost_rows_has_no_result(tmp_path: Path) -> None:
    reproduce(tmp_path, ONE)
    path = tmp_path / "reproduction" / "one-s0" / "metrics.csv"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    reproduction = reproduce(tmp_path, ONE)
    assert statuses(reproduction) == {"one-s0": "failed", "one-s1": "done"}
    (message,) = [outcome.message for outcome in reproduction.outcomes if outcome.status == "failed"]
    assert re.search(r"metrics\.csv ends at \d+ of 30: delete .*one-s0, and", message)


def test_a_done_run_whose_rows_are_damaged_is_to_be_deleted(tmp_path: Path) -> None:
    reproduce(tmp_path, ONE, seeds=1)
    with (tmp_path / "reproduction" / "one-s0" / "metrics.csv").open("a") as file:
        file.write("x\n")
    (outcome,) = reproduce(tmp_path, ONE, seeds=1).outcomes
    assert outcome.status == "failed"
    assert re.search(r"metrics\.csv cannot be read: line 33 .*: delete .*one-s0, and", outcome.message)


def test_the_backend_that_was_used_counts_not_how_it_was_asked_for(tmp_path: Path) -> None:
    automatic = override(ONE, ["run.backend=auto"])
    reproduce(tmp_path, automatic, seeds=1)
    used = Run(tmp_path / "reproduction" / "one-s0").record().backend
    again = Reproduction([automatic], seeds=1, runs_dir=tmp_path, backend=used)
    assert [outcome.before for outcome in drive(again).outcomes] == [True]


def test_done_runs_count_before_they_are_read(tmp_path: Path) -> None:
    reproduce(tmp_path, ONE, seeds=2)
    (standing,) = Reproduction([ONE], seeds=3, runs_dir=tmp_path).standings()
    assert (standing.runs, standing.iterations) == (2, 60)


def test_the_time_by_the_clock_counts_what_overlaps_once_and_leaves_pauses_out(tmp_path: Path) -> None:
    began = datetime(2026, 1, 1, tzinfo=UTC)
    spans = [(0, 10), (5, 12), (6, 7), (100, 101)]
    under_way = tuple((began + timedelta(seconds=a), began + timedelta(seconds=b)) for a, b in spans)
    result = replace(result_of(tmp_path, [-5.0]), under_way=under_way)
    assert wall_seconds([result]) == 13


def test_a_worker_that_did_not_hear_the_stop_is_told_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    class Other:
        def terminate(self) -> None:
            told.append("a process of the host program")

    class Worker(PoolProcess):
        def __init__(self) -> None:
            pass

        def terminate(self) -> None:
            told.append("stop")

    monkeypatch.setattr("multiprocessing.active_children", lambda: [Other(), Worker()])
    reproduction = Reproduction([ONE], seeds=1, runs_dir=tmp_path)
    queue = Queue()
    reproduction.start(queue)
    reproduction.stop()
    before = len(told)
    reproduction.wait(0)
    assert len(told) > before
    assert set(told) == {"stop"}


def test_a_runs_dir_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ReproductionError, match="cannot make"):
        reproduce(tmp_path / "file" / "runs", ONE)


def test_a_diverged_run_is_a_result_a_lost_seed_and_not_done_again(tmp_path: Path) -> None:
    diverging = tiny_preset("name=lost", "problem.scale=[1e30, 1e30]", "meta.non_finite=stop")
    for _ in range(2):
        (result,) = reproduce(tmp_path, diverging).results()
        assert (result.lost, result.seeds, result.replicates, result.group) == ((0, 1), 2, (), None)
        assert (result.final.count, result.final.lost) == (0, 2)
    assert starts(tmp_path) == {"lost-s0": 1, "lost-s1": 1}


def test_a_job_that_fails_unexpectedly_is_told_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(Session):
        def __init__(self, run: DrivenRun, **options: Any) -> None:
            if run.current.run.seed == 1:
                run.close()
                raise ZeroDivisionError("of a test")
            super().__init__(run, **options)

    monkeypatch.setattr("l2o_engine.studies.sweep.jobs.Session", Failing)
    reproduction = reproduce(tmp_path, ONE, seeds=3)
    assert statuses(reproduction) == {"one-s0": "done", "one-s1": "failed", "one-s2": "done"}
    (result,) = reproduction.results()
    assert [outcome.message for outcome in result.failed] == ["ZeroDivisionError: of a test"]
    monkeypatch.undo()
    assert set(statuses(reproduce(tmp_path, ONE, seeds=3)).values()) == {"done"}  # tried again


# In the hands of others.


def test_a_run_that_another_process_drives_is_waited_for(tmp_path: Path) -> None:
    job = job_of(tmp_path, ONE)
    theirs = Session(DrivenRun.create(job.preset, job.folder))
    with ThreadPoolExecutor(1) as executor:
        ours = executor.submit(run_job, job)
        for _ in theirs.events():
            assert not ours.done() or is_done(job)  # the folder says that it is over before the last events do
        outcome = ours.result()
    assert (outcome.status, starts(tmp_path)) == ("done", {"one-s0": 1})


def test_a_run_that_another_process_drives_and_that_stands_still_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("l2o_engine.studies.sweep.jobs._PATIENCE", 0.0)
    job = job_of(tmp_path, ONE)
    theirs = DrivenRun.create(job.preset, job.folder)
    try:
        outcome = run_job(job)
    finally:
        theirs.close()
    assert outcome.status == "failed"
    assert "one-s0 is being driven by process" in outcome.message


def test_a_run_that_another_process_stops_is_reported_and_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Stopped(Session):
        def __init__(self, run: DrivenRun, **options: Any) -> None:
            super().__init__(run, **options)
            self.mailbox.put(Stop("a test"))

    monkeypatch.setattr("l2o_engine.studies.sweep.jobs.Session", Stopped)
    outcome = run_job(job_of(tmp_path, ONE))
    assert (outcome.status, outcome.message) == ("failed", "another process stopped it")
    monkeypatch.undo()
    assert statuses(reproduce(tmp_path, ONE, seeds=1)) == {"one-s0": "done"}


# Kernels.


NAMED = {
    name: tiny_preset(f"name={name}", f"meta.learning_rate={rate}e-4")
    for rate, name in enumerate(("a1", "a2", "b1", "ready"), 1)
}


@pytest.fixture
def prepared(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Experiments "a…" and "b…" need a kernel each that is not there yet; returns what was loaded in preparation."""
    loaded: list[str] = []

    def fake(experiment: Experiment, asked: str) -> Choice:
        choice = choose(experiment, asked)
        name = next(name for name, preset in NAMED.items() if preset.experiment == experiment)

        def load():  # type: ignore[no-untyped-def]
            loaded.append(name)
            return choice.load()

        return replace(choice, to_compile=name[0] if name[0] in "ab" else "", load=load)

    for module in ("course", "jobs"):
        monkeypatch.setattr(f"l2o_engine.studies.sweep.{module}.choose", fake)
    return loaded


def test_a_kernel_is_prepared_once_before_the_jobs_that_share_it(tmp_path: Path, prepared: list[str]) -> None:
    reproduction = Reproduction(list(NAMED.values()), seeds=2, runs_dir=tmp_path)
    queue = Queue()
    reproduction.start(queue)
    calls = []
    while reproduction.is_going_on:
        calls.append(queue.do_one())
        reproduction.wait(0)
    assert calls == ["prepare"] * 2 + ["run_job"] * 8
    assert prepared == ["a1", "b1"]
    assert set(statuses(reproduction).values()) == {"done"}


def test_what_is_done_needs_no_kernel(tmp_path: Path, prepared: list[str]) -> None:
    reproduce(tmp_path, NAMED["a1"])
    assert prepared.pop() == "a1"
    reproduce(tmp_path, NAMED["a1"])
    assert prepared == []


# Stopping, and how far it is.


def test_a_stop_begins_nothing_more(tmp_path: Path) -> None:
    reproduction = Reproduction([ONE, TWO], seeds=2, runs_dir=tmp_path)
    queue = Queue()
    reproduction.start(queue)
    queue.do_one()
    assert len(reproduction.wait(0)) == 1
    reproduction.stop()
    while queue.waiting:
        queue.do_one()
    reproduction.wait(0)
    assert not reproduction.is_going_on
    assert statuses(reproduction) == {"one-s0": "done"} | dict.fromkeys(("one-s1", "two-s0", "two-s1"), "interrupted")
    assert reproduction.results() == []  # of no experiment is the result whole
    assert starts(tmp_path) == {"one-s0": 1}


def test_the_standings_count_what_the_folders_hold(tmp_path: Path) -> None:
    interrupt(job_of(tmp_path, ONE), after=10)
    reproduction = Reproduction([ONE, TWO], seeds=2, runs_dir=tmp_path)
    done = Run(job_of(tmp_path, ONE).folder).record().iteration
    one, two = reproduction.standings()
    assert (one.name, one.runs, one.all_runs, one.iterations, one.all_iterations) == ("one", 0, 2, done, 60)
    assert (two.iterations, two.all_iterations) == (0, 40)
    one, two = drive(reproduction).standings()
    assert (one.runs, one.iterations, two.runs, two.iterations) == (2, 60, 2, 40)


def test_the_longest_jobs_come_first(tmp_path: Path) -> None:
    jobs = Reproduction([TWO, ONE], seeds=2, runs_dir=tmp_path).jobs
    assert [job.folder.name for job in jobs] == ["one-s0", "one-s1", "two-s0", "two-s1"]
    assert all(job.folder.is_absolute() for job in jobs)


# Verdicts.


def notebook(final: float, tolerance: float | None) -> list[str]:
    said = f", tolerance={tolerance}" if tolerance else ""
    return [f"notebook={{name='N', episode=1{said}, rows=[{{it=30, average_log_result={final}}}]}}"]


def result_of(tmp_path: Path, finals: Sequence[float], *settings: str) -> Result:
    """Return the result of an experiment whose seeds fall to these finals."""
    preset = tiny_preset("name=made", *settings)
    for seed, final in enumerate(finals):
        job = job_of(tmp_path, preset, seed)
        made_run(job.folder, job.preset, [[0.0] * 20 + [final] * 11], [[1.0] * 20 + [2.0 + seed] * 11])
    (result,) = reproduce(tmp_path, preset, seeds=len(finals)).results()
    return result


def test_a_result_is_summed_up_as_by_hand(tmp_path: Path) -> None:
    result = result_of(tmp_path, [-6.0, -0.25, nan, -7.0], *notebook(-6.5, 0.6))
    assert (result.seeds, result.lost, result.stuck) == (4, (2,), 1)
    assert (result.final.median, result.final.least, result.final.greatest) == (-6.0, -7.0, -0.25)
    assert (result.final.count, result.final.lost) == (3, 1)
    assert result.sum_loss.median == 3.0  # of 2, 3 and 5
    assert result.difference == 0.5
    assert result.is_reproduced


@pytest.mark.parametrize(
    ("final", "tolerance", "expected"),
    [(-6.25, 0.25, True), (-5.75, 0.25, True), (-6.5, 0.25, False), (-5.5, 0.25, False), (-6.0, None, None)],
)
def test_the_verdict_is_by_the_medians_distance(
    final: float, tolerance: float | None, expected: bool | None, tmp_path: Path
) -> None:
    result = result_of(tmp_path, [-5.0, -6.0, -7.0], *notebook(final, tolerance))
    assert (result.is_reproduced, result.difference) == (expected, -6.0 - final)


def test_without_a_reference_there_is_no_verdict(tmp_path: Path) -> None:
    result = result_of(tmp_path, [-5.0])
    assert (result.published, result.difference, result.is_reproduced) == (None, None, None)


def test_an_experiment_all_of_whose_seeds_are_lost_is_not_reproduced(tmp_path: Path) -> None:
    result = result_of(tmp_path, [nan, nan], *notebook(-6.0, 10.0))
    assert (result.lost, result.is_reproduced, result.difference) == ((0, 1), False, None)


def test_an_experiment_all_of_whose_runs_failed_has_no_verdict(tmp_path: Path) -> None:
    preset = tiny_preset("name=made", *notebook(-6.0, 10.0))
    job = job_of(tmp_path, preset)
    job.folder.mkdir(parents=True)
    (job.folder / "thesis.tex").touch()
    (result,) = reproduce(tmp_path, preset, seeds=1).results()
    assert (result.seeds, result.is_reproduced, len(result.failed)) == (0, None, 1)


def test_a_done_run_is_recognised_by_its_status_and_its_iteration(tmp_path: Path) -> None:
    job = job_of(tmp_path, ONE)
    assert not is_done(job)
    driven = DrivenRun.create(job.preset, job.folder)
    expected = {("finished", 30): True, ("finished", 29): False, ("running", 30): False, ("diverged", 3): True}
    for (status, iteration), done in expected.items():
        driven.update(status=status, iteration=iteration)
        assert is_done(job) == done
    driven.close()
