"""Sessions: whole runs, however they are cut, stopped, killed and continued."""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import astuple
from errno import ENOSPC
from io import FileIO
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from l2o_engine.live import pipeline, reporter
from l2o_engine.live import session as sessions
from l2o_engine.live.session import Session, SessionError
from l2o_engine.presets.files import override
from l2o_engine.presets.schema import Preset
from l2o_engine.presets.tables import to_toml
from l2o_engine.records import rows as rows_module
from l2o_engine.records.events import (
    Checkpointed,
    Command,
    Curves,
    Ended,
    Event,
    Extend,
    Extended,
    GoOn,
    NewRows,
    Notice,
    Pause,
    Progress,
    SaveCheckpoint,
    ShowDraws,
    Started,
    StatusChanged,
    Stop,
)
from l2o_engine.records.rows import Rows
from l2o_engine.runs import checkpoints
from l2o_engine.runs.checkpoints import Checkpoint
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.folder import Run
from l2o_engine.runs.levels import measure
from l2o_engine.runs.record import RunError
from l2o_engine.training.trainer import Trainer
from tests.engine.kernels import compile_kernels
from tests.engine.made import change_record
from tests.engine.tiny import INPUTS, OBJECTIVES, of_kind, resume, run, start, tiny_baselines, tiny_preset

ADAPTIVE = tiny_preset(INPUTS["ratio and adaptive log"])
REPLICATES = tiny_preset("run.seeds=3", INPUTS["adaptive log"])
EXPERIMENTS = {
    "adaptive, seed 0": ADAPTIVE,
    "adaptive, seed 1": tiny_preset("run.seed=1", INPUTS["ratio and adaptive log"]),
    "adaptive, seed 2, float64": tiny_preset("run.seed=2", "run.dtype=float64", INPUTS["adaptive log"]),
    "a batch of three": tiny_preset("meta.batch=3"),
    "replicates": REPLICATES,
    "baselines": tiny_baselines(),
    "baselines, replicates": tiny_baselines("run.seeds=2"),
}
every_experiment = pytest.mark.parametrize("preset", EXPERIMENTS.values(), ids=EXPERIMENTS)

# Of its six replicates some overflow, at different meta-iterations, and some do not.
OVERFLOWING = tiny_preset(
    "problem.scale=[0.5, 4e18]", "meta.non_finite=stop", "run.seeds=6", "run.iterations=12", "report.every=4"
)


def metrics(folder: Path) -> bytes:
    return (folder / "metrics.csv").read_bytes()


def final_checkpoint(folder: Path) -> Checkpoint:
    run = Run(folder)
    path = run.latest_checkpoint()
    assert path is not None
    return checkpoints.read(path, run.preset().experiment)


def assert_same_outcome(one: Path, other: Path) -> None:
    """Check that two runs have the same rows, byte for byte, and ended in the same state, bit for bit."""
    assert metrics(one) == metrics(other)
    ours, theirs = final_checkpoint(one), final_checkpoint(other)
    assert ours.iteration == theirs.iteration
    assert ours.metrics_bytes == theirs.metrics_bytes == len(metrics(one))
    for seed, state in ours.trainers.items():
        assert (state.done, state.draws) == (theirs.trainers[seed].done, theirs.trainers[seed].draws)
        learners = state.learner, theirs.trainers[seed].learner
        assert (learners[0] is None) == (learners[1] is None)
        if learners[0] and learners[1]:
            for value, same in zip(astuple(learners[0]), astuple(learners[1]), strict=True):
                assert_array_equal(value, same)


def drive(session: Session, react: Callable[[Event], Command | None]) -> list[Event]:
    """Drive a session to its end, putting what ``react`` answers to an event into the mailbox."""
    events = []
    for event in session.events():
        events.append(event)
        command = react(event)
        if command is not None:
            session.mailbox.put(command)
    return events


def at(iteration: int, *commands: Command) -> Callable[[Event], Command | None]:
    """Answer the rows of a meta-iteration, and the events after it, with one command each."""
    waiting = list(commands)

    def react(event: Event) -> Command | None:
        reached = isinstance(event, NewRows) and event.rows.iteration[-1] >= iteration
        return waiting.pop(0) if waiting and (reached or len(waiting) < len(commands)) else None

    return react


def stop_at(folder: Path, preset: Preset, iteration: int, chunk: int = 1) -> list[Event]:
    return drive(start(folder, preset, chunk=chunk), at(iteration, Stop("enough")))


def reported(folder: Path) -> list[tuple[Any, ...]]:
    """Return a run's progress rows without what depends on the clock."""
    clocks = ("iterations_per_second", "elapsed_seconds")
    rows = [{name: value for name, value in vars(row).items() if name not in clocks} for row in Run(folder).progress()]
    return [tuple(None if value != value else value for value in row.values()) for row in rows]  # noqa: PLR0124 (NaN)


def joined(events: list[Event]) -> Rows:
    return rows_module.joined([event.rows for event in of_kind(events, NewRows)])


# To the end.


@every_experiment
def test_a_run_goes_to_its_end(preset: Preset, tmp_path: Path) -> None:
    events = run(tmp_path / "run", preset)
    started, ended = of_kind(events, Started), events[-1]
    assert len(started) == 1
    assert started[0].iteration == -1
    assert started[0].levels == {name: level.end_log10 for name, level in measure(preset, preset.run.seed).items()}
    assert isinstance(ended, Ended)
    assert (ended.status, ended.iteration) == ("finished", 30)
    assert [(result.lane, result.iteration) for result in ended.results] == [(lane, 30) for lane in started[0].lanes]
    for index in range(len(started[0].lanes)):
        assert_array_equal(joined(events).of_lane(index).iteration, range(31))
    record = Run(tmp_path / "run").record()
    assert (record.status, record.iteration) == ("finished", 30)


def test_reports_hold_the_last_row_and_the_averages_since_the_one_before(tmp_path: Path) -> None:
    events = run(tmp_path / "run", REPLICATES)
    progress = of_kind(events, Progress)
    assert [(row.iteration, row.lane.seed) for row in progress] == [
        (k, seed) for k in (0, 10, 20, 30) for seed in range(3)
    ]
    for row in progress:
        rows = joined(events).of_lane(row.lane.seed)
        last = slice(max(row.iteration - 9, 0), row.iteration + 1)
        assert row.optim_result == rows.end_loss[row.iteration]
        assert row.sum_error == rows.sum_loss[row.iteration]
        assert row.numbers == {"min_log": rows.numbers["min_log"][row.iteration]}
        assert row.average_log_result == pytest.approx(rows.end_log10[last].mean())
        assert row.average_sum_log_result == pytest.approx(rows.mean_log10[last].mean())
        assert row.non_finite == 0


def test_the_rows_told_are_the_rows_written(tmp_path: Path) -> None:
    told = joined(run(tmp_path / "run", REPLICATES))
    written = list(Run(tmp_path / "run").rows())
    assert len(written) == 1
    for name in ("iteration", "lane", "end_log10", "mean_log10", "non_finite"):
        assert_array_equal(getattr(told, name), getattr(written[0], name), name)


# The same numbers, however they come about.


@every_experiment
def test_the_same_seed_gives_the_same_run(preset: Preset, tmp_path: Path) -> None:
    for name in ("one", "other"):
        run(tmp_path / name, preset)
    assert_same_outcome(tmp_path / "one", tmp_path / "other")


def test_another_seed_gives_another_run(tmp_path: Path) -> None:
    run(tmp_path / "one", tiny_preset("run.seed=1"))
    run(tmp_path / "other", tiny_preset("run.seed=2"))
    losses = [np.concatenate([rows.end_loss for rows in Run(tmp_path / name).rows()]) for name in ("one", "other")]
    assert not (losses[0] == losses[1]).any()


@pytest.mark.parametrize("chunk", [1, 3, 7, 1000])
@pytest.mark.parametrize("preset", [REPLICATES, EXPERIMENTS["baselines"], OVERFLOWING], ids=["RNN", "baselines", "inf"])
def test_the_chunk_s_size_changes_nothing(preset: Preset, chunk: int, tmp_path: Path) -> None:
    run(tmp_path / "adapted", preset)
    run(tmp_path / "fixed", preset, chunk=chunk)
    assert_same_outcome(tmp_path / "adapted", tmp_path / "fixed")
    assert reported(tmp_path / "adapted") == reported(tmp_path / "fixed")


@pytest.mark.parametrize("make", [tiny_preset, tiny_baselines], ids=["RNN", "baselines"])
def test_a_replicate_equals_the_run_of_its_seed(make: Callable[..., Preset], tmp_path: Path) -> None:
    run(tmp_path / "all", make("run.seed=5", "run.seeds=3"))
    header, *lines = metrics(tmp_path / "all").decode().splitlines()
    for seed in (5, 6, 7):
        run(tmp_path / f"{seed}", make(f"run.seed={seed}"))
        own = [line for line in lines if line.endswith(f",{seed}")]
        assert metrics(tmp_path / f"{seed}").decode().splitlines() == [header, *own]


@pytest.mark.parametrize(
    "executor",
    [lambda: ThreadPoolExecutor(2), lambda: ProcessPoolExecutor(2, mp_context=get_context("spawn"))],
    ids=["threads", "processes"],
)
def test_replicates_side_by_side_equal_replicates_in_turn(
    executor: Callable[[], AbstractContextManager[Executor]], tmp_path: Path
) -> None:
    run(tmp_path / "in turn", REPLICATES)
    with executor() as pool:
        run(tmp_path / "side by side", REPLICATES, chunk=7, executor=pool)
    assert_same_outcome(tmp_path / "in turn", tmp_path / "side by side")


# Stopping and going on.


@every_experiment
@pytest.mark.parametrize("stopped_at", [0, 13, 20, 28])
def test_a_run_that_was_stopped_and_resumed_equals_an_uninterrupted_one(
    preset: Preset, stopped_at: int, tmp_path: Path
) -> None:
    run(tmp_path / "uninterrupted", preset)
    stopped = stop_at(tmp_path / "stopped", preset, stopped_at)[-1]
    assert isinstance(stopped, Ended)
    # One more chunk, of one, was in flight when the command came.
    ended_at = stopped_at + 1
    assert (stopped.status, stopped.iteration, stopped.message) == ("interrupted", ended_at, "enough")
    assert Run(tmp_path / "stopped").record().status == "interrupted"
    events = resume(tmp_path / "stopped", chunk=4)
    assert of_kind(events, Started)[0].iteration == ended_at
    assert_same_outcome(tmp_path / "uninterrupted", tmp_path / "stopped")
    assert reported(tmp_path / "uninterrupted") == reported(tmp_path / "stopped")


def test_a_run_may_be_stopped_many_times(tmp_path: Path) -> None:
    run(tmp_path / "uninterrupted", ADAPTIVE)
    stop_at(tmp_path / "stopped", ADAPTIVE, 3)
    for iteration in (4, 11, 12, 25):
        drive(Session(DrivenRun.take(tmp_path / "stopped"), chunk=1), at(iteration, Stop()))
    resume(tmp_path / "stopped")
    assert_same_outcome(tmp_path / "uninterrupted", tmp_path / "stopped")
    assert reported(tmp_path / "uninterrupted") == reported(tmp_path / "stopped")


@every_experiment
def test_a_finished_run_that_is_continued_equals_one_of_that_length(preset: Preset, tmp_path: Path) -> None:
    longer = preset.model_copy(update={"run": preset.run.model_copy(update={"iterations": 47})})
    run(tmp_path / "at once", longer)
    run(tmp_path / "continued", preset)
    events = resume(tmp_path / "continued", iterations=47)
    assert of_kind(events, Started)[0].iterations == 47
    assert_same_outcome(tmp_path / "at once", tmp_path / "continued")
    assert Run(tmp_path / "continued").preset() == longer
    assert Run(tmp_path / "continued").record().iterations == 47


def test_a_front_end_that_goes_away_leaves_a_run_that_can_be_resumed(tmp_path: Path) -> None:
    run(tmp_path / "uninterrupted", ADAPTIVE)
    events: Iterator[Event] = start(tmp_path / "left", ADAPTIVE, chunk=1).events()
    for event in events:
        if isinstance(event, NewRows) and event.rows.iteration[-1] == 17:
            break
    events.close()  # type: ignore[attr-defined]
    assert Run(tmp_path / "left").status() == "interrupted"
    assert of_kind(resume(tmp_path / "left"), Started)[0].iteration == 10
    assert_same_outcome(tmp_path / "uninterrupted", tmp_path / "left")


def test_a_run_killed_midway_and_resumed_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    preset = tiny_preset("run.iterations=600", "run.checkpoint_every=40", INPUTS["ratio and adaptive log"])
    run(tmp_path / "uninterrupted", preset)
    (tmp_path / "tiny.toml").write_text(to_toml(preset))
    killed = tmp_path / "killed"
    command = [sys.executable, "-m", "l2o_tui", "run", str(tmp_path / "tiny.toml"), "--no-ui", "--json"]
    with subprocess.Popen(
        [*command, "--run-dir", str(killed), "--chunk", "1"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if json.loads(line)["event"] == "checkpoint":
                break
        process.send_signal(signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert Run(killed).status() == "interrupted"
    assert 40 <= of_kind(resume(killed), Started)[0].iteration < 600
    assert_same_outcome(tmp_path / "uninterrupted", killed)
    assert reported(tmp_path / "uninterrupted") == reported(killed)


# Checkpoints that are not good.


def damage(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def test_a_damaged_checkpoint_is_passed_over_and_named(tmp_path: Path) -> None:
    run(tmp_path / "uninterrupted", ADAPTIVE)
    stop_at(tmp_path / "damaged", ADAPTIVE, 25)
    newest = Run(tmp_path / "damaged").latest_checkpoint()
    assert newest is not None
    damage(newest)
    events = resume(tmp_path / "damaged")
    assert of_kind(events, Started)[0].iteration == 20
    assert [newest.name in notice.message for notice in of_kind(events, Notice)] == [True]
    assert_same_outcome(tmp_path / "uninterrupted", tmp_path / "damaged")


def test_a_checkpoint_ahead_of_the_metrics_is_passed_over(tmp_path: Path) -> None:
    run(tmp_path / "uninterrupted", ADAPTIVE)
    stop_at(tmp_path / "lost", ADAPTIVE, 25)
    (tmp_path / "lost" / "metrics.csv").write_bytes(metrics(tmp_path / "lost")[:-1])
    events = resume(tmp_path / "lost")
    assert of_kind(events, Started)[0].iteration == 20
    assert "lost rows" in of_kind(events, Notice)[0].message
    assert_same_outcome(tmp_path / "uninterrupted", tmp_path / "lost")


def test_a_run_without_a_good_checkpoint_is_refused_and_stays_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    stop_at(folder, ADAPTIVE, 25)
    before = metrics(folder)
    for path in (folder / "checkpoints").iterdir():
        damage(path)
    with pytest.raises(RunError, match="none of the checkpoints"):
        resume(folder)
    assert metrics(folder) == before
    assert Run(folder).record().status == "interrupted"


def test_a_run_that_was_killed_before_its_first_checkpoint_starts_over(tmp_path: Path) -> None:
    run(tmp_path / "uninterrupted", ADAPTIVE)
    told = start(tmp_path / "run", ADAPTIVE, chunk=1).events()
    while not isinstance(event := next(told), NewRows) or event.rows.iteration[-1] < 5:
        pass
    shutil.copytree(tmp_path / "run", tmp_path / "killed")  # as it is at this moment
    list(told)
    events = resume(tmp_path / "killed")
    assert of_kind(events, Notice)[0].message == "there is no checkpoint yet: the run starts over"
    assert_same_outcome(tmp_path / "uninterrupted", tmp_path / "killed")


# Commands.


def test_a_paused_run_trains_no_further_until_told_to(tmp_path: Path) -> None:
    run(tmp_path / "uninterrupted", ADAPTIVE)
    session = start(tmp_path / "paused", ADAPTIVE, chunk=1)
    records = []

    def react(event: Event) -> Command | None:
        match event:
            case NewRows() if event.rows.iteration[-1] == 13:
                return Pause()
            case StatusChanged("paused"):
                records.append(Run(tmp_path / "paused").status())
                return GoOn()
        return None

    events = drive(session, react)
    changes = [(event.status, event.iteration) for event in of_kind(events, StatusChanged)]
    assert changes == [("paused", 14), ("running", 14)]  # one more was in flight
    assert records == ["paused"]
    assert 14 in [event.iteration for event in of_kind(events, Checkpointed)]
    assert_same_outcome(tmp_path / "uninterrupted", tmp_path / "paused")


def test_a_paused_run_can_be_stopped(tmp_path: Path) -> None:
    events = drive(start(tmp_path / "run", ADAPTIVE, chunk=1), at(13, Pause(), SaveCheckpoint(), Stop("enough")))
    ended = events[-1]
    assert isinstance(ended, Ended)
    assert (ended.status, ended.iteration) == ("interrupted", 14)  # one more was in flight
    assert [event.iteration for event in of_kind(events, Checkpointed)] == [10, 14, 14]


def test_pause_when_paused_and_go_on_when_running_do_nothing(tmp_path: Path) -> None:
    events = drive(start(tmp_path / "run", ADAPTIVE, chunk=1), at(5, GoOn(), Pause(), Pause(), GoOn(), GoOn()))
    assert [event.status for event in of_kind(events, StatusChanged)] == ["paused", "running"]


def test_a_checkpoint_that_was_asked_for_is_kept(tmp_path: Path) -> None:
    preset = tiny_preset("run.keep_checkpoints=1")
    events = drive(start(tmp_path / "run", preset, chunk=1), at(7, SaveCheckpoint()))
    requested = [event for event in of_kind(events, Checkpointed) if event.requested]
    assert [event.iteration for event in requested] == [8]  # one more was in flight
    left = sorted((tmp_path / "run" / "checkpoints").iterdir())
    assert [checkpoints.iteration_of(path) for path in left] == [8, 30]
    assert Path(requested[0].path) == left[0]


def test_checkpoints_come_at_their_interval_and_at_the_end(tmp_path: Path) -> None:
    events = run(tmp_path / "run", tiny_preset("run.checkpoint_every=8"))
    assert [event.iteration for event in of_kind(events, Checkpointed)] == [8, 16, 24, 30]
    assert not [event for event in of_kind(events, Checkpointed) if event.requested]


def test_a_running_run_can_be_extended_and_shortened(tmp_path: Path) -> None:
    for total in (21, 45):
        run(tmp_path / f"at once {total}", tiny_preset(f"run.iterations={total}"))
        folder = tmp_path / f"extended {total}"
        events = drive(start(folder, tiny_preset(), chunk=1), at(13, Extend(total)))
        assert [event.iterations for event in of_kind(events, Extended)] == [total]
        assert_same_outcome(tmp_path / f"at once {total}", folder)
        assert Run(folder).preset().run.iterations == Run(folder).record().iterations == total


def test_a_total_that_is_behind_the_run_is_refused(tmp_path: Path) -> None:
    events = drive(start(tmp_path / "run", tiny_preset(), chunk=1), at(13, Extend(13)))
    assert not of_kind(events, Extended)
    assert "cannot continue to 13" in of_kind(events, Notice)[0].message
    assert Run(tmp_path / "run").preset().run.iterations == 30


def test_after_the_end_a_watched_run_can_be_continued_and_left(tmp_path: Path) -> None:
    run(tmp_path / "at once", tiny_preset("run.iterations=45"))
    answers: list[Command] = [Extend(45), Stop()]
    events = drive(
        start(tmp_path / "run", tiny_preset(), interactive=True),
        lambda event: answers.pop(0) if isinstance(event, Ended) else None,
    )
    assert [(event.status, event.iteration) for event in of_kind(events, Ended)] == [("finished", 30), ("finished", 45)]
    assert [event.status for event in of_kind(events, StatusChanged)] == ["running"]
    assert Run(tmp_path / "run").record().status == "finished"
    assert_same_outcome(tmp_path / "at once", tmp_path / "run")


def test_a_resumed_run_tells_a_watcher_its_past(tmp_path: Path) -> None:
    stop_at(tmp_path / "run", REPLICATES, 23)
    session = Session(DrivenRun.take(tmp_path / "run"), interactive=True)
    events = drive(session, lambda event: Stop() if isinstance(event, Ended) else None)
    for lane in range(3):
        assert_array_equal(joined(events).of_lane(lane).iteration, range(31))
    assert [(row.iteration, row.lane.seed) for row in of_kind(events, Progress)] == [
        (iteration, seed) for iteration in (0, 10, 20, 30) for seed in range(3)
    ]
    # What it tells again is not recorded again, or whoever attaches later would see it twice.
    recorded = [json.loads(line) for line in (tmp_path / "run" / "events.jsonl").read_text().splitlines()]
    told = [(one["iteration"], one["seed"]) for one in recorded if one["event"] == "progress"]
    assert told == [(iteration, seed) for iteration in (0, 10, 20, 30) for seed in range(3)]


def test_what_is_trained_again_after_a_crash_is_told_to_a_watcher_once(tmp_path: Path) -> None:
    events = start(tmp_path / "run", tiny_preset("report.every=5"), chunk=1).events()
    for event in events:
        if isinstance(event, Progress) and event.iteration == 15:  # five meta-iterations beyond the checkpoint
            break
    events.close()  # type: ignore[attr-defined]
    session = Session(DrivenRun.take(tmp_path / "run"), interactive=True)
    told = drive(session, lambda event: Stop() if isinstance(event, Ended) else None)
    assert of_kind(told, Started)[0].iteration == 10
    assert [row.iteration for row in of_kind(told, Progress)] == [0, 5, 10, 15, 20, 25, 30]
    assert [row.iteration for row in Run(tmp_path / "run").progress()] == [0, 5, 10, 15, 20, 25, 30]


@pytest.mark.parametrize(
    ("make", "names"), [(tiny_preset, ["SGD", "RMSProp", "RNN"]), (tiny_baselines, ["SGD", "RMSProp"])]
)
def test_every_new_draw_shows_the_optimizers_on_another_problem(
    make: Callable[..., Preset], names: list[str], tmp_path: Path
) -> None:
    run(tmp_path / "undisturbed", make())
    curves = []
    for folder in ("one", "other"):
        events = drive(start(tmp_path / folder, make(), chunk=1), at(5, ShowDraws(1), ShowDraws(2), ShowDraws(3)))
        curves.append(of_kind(events, Curves))
        assert_same_outcome(tmp_path / "undisturbed", tmp_path / folder)
    assert [event.draw for event in curves[0]] == [1, 2, 3]
    starts = []
    for event, same in zip(*curves, strict=True):
        assert list(event.losses) == names
        for name, losses in event.losses.items():
            assert losses.shape == (4,)
            assert_array_equal(losses, same.losses[name])
        assert len({losses[0] for losses in event.losses.values()}) == 1  # all on the same problem
        starts.append(event.losses["SGD"][0])
    assert len(set(starts)) == 3


# Divergence.


def test_a_diverged_run_says_so_and_by_which_policy(tmp_path: Path) -> None:
    preset = tiny_preset("problem.scale=[1e30, 1e30]", "meta.non_finite=skip", "meta.max_non_finite=4")
    events = run(tmp_path / "run", preset)
    ended = events[-1]
    assert isinstance(ended, Ended)
    assert (ended.status, ended.iteration) == ("diverged", 4)
    assert "seed 0 diverged: more than 4 meta-iterations in a row" in ended.message
    assert "meta.max_non_finite" in ended.message
    record = Run(tmp_path / "run").record()
    assert (record.status, record.message, record.iteration) == ("diverged", ended.message, 4)
    assert_array_equal(joined(events).non_finite, [True] * 5)
    assert final_checkpoint(tmp_path / "run").iteration == 4


def test_the_other_replicates_go_on_when_one_diverges(tmp_path: Path) -> None:
    ended = run(tmp_path / "run", OVERFLOWING)[-1]
    assert isinstance(ended, Ended)
    assert ended.status == "diverged"
    last = {result.lane.seed: result.iteration for result in ended.results}
    diverged = [seed for seed, iteration in last.items() if iteration < 12]
    assert 0 < len(diverged) < 6
    assert f"seed {', '.join(map(str, diverged))} diverged" in ended.message
    rows = next(Run(tmp_path / "run").rows())
    for seed, iteration in last.items():
        assert_array_equal(rows.of_lane(seed).iteration, range(iteration + 1))
        assert_array_equal(rows.of_lane(seed).non_finite.nonzero()[0], [iteration] if seed in diverged else [])


def test_a_run_some_of_whose_replicates_diverged_is_resumed_like_any(tmp_path: Path) -> None:
    run(tmp_path / "uninterrupted", OVERFLOWING)
    stop_at(tmp_path / "stopped", OVERFLOWING, 8)
    resume(tmp_path / "stopped")
    assert_same_outcome(tmp_path / "uninterrupted", tmp_path / "stopped")


def test_a_diverged_run_stays_diverged(tmp_path: Path) -> None:
    preset = tiny_preset("problem.scale=[1e30, 1e30]", "meta.non_finite=stop")
    run(tmp_path / "run", preset)
    before = metrics(tmp_path / "run")
    ended = resume(tmp_path / "run")[-1]
    assert isinstance(ended, Ended)
    assert (ended.status, ended.iteration) == ("diverged", 0)
    assert metrics(tmp_path / "run") == before


def test_a_run_that_is_extended_after_one_replicate_diverged_goes_on_with_the_others(tmp_path: Path) -> None:
    session = start(tmp_path / "run", OVERFLOWING, interactive=True)
    waiting: list[Command] = [Extend(20), Stop()]

    def react(event: Event) -> Command | None:
        if isinstance(event, Ended) and len(waiting) == 2:
            session.mailbox.put(waiting.pop(0))
            return waiting.pop(0)
        return None

    events = drive(session, react)
    after = events[events.index(of_kind(events, Ended)[0]) + 1 :]
    assert of_kind(after, Extended)
    assert [event.status for event in of_kind(after, StatusChanged)] == ["running"]


@pytest.mark.parametrize("policy", ["zero", "skip"])
def test_a_run_full_of_overflows_goes_to_its_end_where_the_policy_allows_it(policy: str, tmp_path: Path) -> None:
    preset = tiny_preset("problem.scale=[1e30, 1e30]", f"meta.non_finite={policy}")
    events = run(tmp_path / "run", preset)
    ended = events[-1]
    assert isinstance(ended, Ended)
    assert ended.status == "finished"
    assert [row.non_finite for row in of_kind(events, Progress)] == [1, 10, 10, 10]
    assert np.isnan(of_kind(events, Progress)[-1].average_log_result)


# Failure.


def full_disk(self: DrivenRun, rows: Rows) -> None:
    raise OSError(28, "No space left on device")


def test_a_failure_names_the_last_checkpoint_and_loses_nothing_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path / "uninterrupted", ADAPTIVE)
    folder = tmp_path / "failed"

    def fill_the_disk(event: Event) -> None:
        if isinstance(event, NewRows) and event.rows.iteration[-1] == 17:
            monkeypatch.setattr(DrivenRun, "append_rows", full_disk)

    with pytest.raises(SessionError, match=r"No space left.*the last checkpoint is .*000000000010\.safetensors"):
        drive(start(folder, ADAPTIVE, chunk=1), fill_the_disk)
    record = Run(folder).record()
    assert record.status == "failed"
    assert "No space left" in record.message
    monkeypatch.undo()
    assert of_kind(resume(folder), Started)[0].iteration == 10
    assert Run(folder).record().message == ""
    assert_same_outcome(tmp_path / "uninterrupted", folder)


def test_a_failure_before_the_first_checkpoint_says_that_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(DrivenRun, "append_rows", full_disk)
    with pytest.raises(SessionError, match="there is no checkpoint yet"):
        run(tmp_path / "run", ADAPTIVE)
    assert Run(tmp_path / "run").status() == "failed"


def test_a_backend_that_cannot_be_had_fails_the_run(tmp_path: Path) -> None:
    with pytest.raises(SessionError, match="fused"):
        list(start(tmp_path / "run", tiny_preset("problem.dims=10000", "meta.batch=10000"), backend="fused").events())
    assert Run(tmp_path / "run").status() == "failed"


class FullDisk(FileIO):
    def write(self, data: object, /) -> int:
        raise OSError(ENOSPC, "No space left on device")


def test_a_full_disk_is_told_and_the_folder_let_go(tmp_path: Path) -> None:
    driven = DrivenRun.create(ADAPTIVE, tmp_path / "run")
    driven._metrics.close()
    driven._metrics = FullDisk(tmp_path / "run" / "metrics.csv", "ab")
    with pytest.raises(SessionError, match="No space left on device"):
        list(Session(driven).events())
    assert Run(tmp_path / "run").record().status == "failed"
    assert not Run(tmp_path / "run").is_driven()
    ended = [document for document in Run(tmp_path / "run").events() if document["event"] == "end"]
    assert [document["status"] for document in ended] == ["failed"]


# The same on the kernel, whose replicates run in threads without the interpreter.

FUSED = tiny_preset(INPUTS["adaptive log"], OBJECTIVES["end_log"], "run.backend=fused", "run.iterations=60")
FUSED_REPLICATES = override(FUSED, ["run.seeds=3"])


@pytest.mark.parametrize("preset", [FUSED, FUSED_REPLICATES], ids=["one seed", "replicates"])
def test_on_the_kernel_chunks_stops_and_resumes_change_nothing(preset: Preset, tmp_path: Path) -> None:
    compile_kernels([preset])
    events = run(tmp_path / "uninterrupted", preset)
    assert of_kind(events, Started)[0].backend == "fused"
    run(tmp_path / "by one", preset, chunk=1)
    assert_same_outcome(tmp_path / "uninterrupted", tmp_path / "by one")
    stop_at(tmp_path / "stopped", preset, 23, chunk=3)
    resume(tmp_path / "stopped", chunk=7)
    assert_same_outcome(tmp_path / "uninterrupted", tmp_path / "stopped")


@pytest.mark.parametrize("backend", ["torch", "fused"])
def test_a_replicate_that_diverges_under_a_watching_screen_ends_as_diverged(backend: str, tmp_path: Path) -> None:
    preset = override(OVERFLOWING, [f"run.backend={backend}"])
    compile_kernels([preset])
    session = start(tmp_path / "run", preset, interactive=True)
    events = drive(session, lambda event: Stop() if isinstance(event, Ended) else None)
    ended = of_kind(events, Ended)[-1]
    assert ended.status == "diverged"
    assert max(result.iteration for result in ended.results) == preset.run.iterations
    assert of_kind(events, Curves)


def test_a_slow_reader_does_not_shrink_the_chunks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    preset = override(FUSED, ["run.iterations=4000", "report.every=100000", "run.checkpoint_every=100000"])
    compile_kernels([preset])
    now, seconds_each = 0.0, 1 / 8192

    def advance(trainer: Trainer, n: int) -> pipeline.Advance:
        chunks = trainer.advance(n)
        return trainer.state(), chunks, n * seconds_each

    for module in (sessions, pipeline, reporter):
        monkeypatch.setattr(module, "monotonic", lambda: now)
    monkeypatch.setattr(pipeline, "advance", advance)
    lengths = []
    for event in start(tmp_path / "run", preset).events():
        if isinstance(event, NewRows):
            lengths.append(len(event.rows))
            now += 10.0
    assert max(lengths) == int(pipeline.CHUNK_SECONDS / seconds_each)
    assert len(lengths) < 25


def test_on_the_kernel_a_replicate_is_the_run_of_its_seed_alone(tmp_path: Path) -> None:
    compile_kernels([FUSED])
    together = joined(run(tmp_path / "together", FUSED_REPLICATES))
    alone = joined(run(tmp_path / "alone", override(FUSED, ["run.seed=2"])))
    assert_array_equal(together.of_lane(2).end_loss, alone.end_loss)


def test_the_kernel_travels_to_another_process(tmp_path: Path) -> None:
    compile_kernels([FUSED])
    run(tmp_path / "here", FUSED_REPLICATES)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        run(tmp_path / "there", FUSED_REPLICATES, executor=pool, chunk=20)
    assert_same_outcome(tmp_path / "here", tmp_path / "there")


def test_a_stop_behind_the_last_chunk_finds_the_run_finished(tmp_path: Path) -> None:
    ended = stop_at(tmp_path / "run", ADAPTIVE, 30)[-1]
    assert isinstance(ended, Ended)
    assert (ended.status, ended.iteration) == ("finished", 30)


def test_going_on_with_the_same_backend_keeps_the_reason_why_it_was_chosen(tmp_path: Path) -> None:
    run(tmp_path / "run", tiny_preset())
    change_record(tmp_path / "run", backend_reason="not fused: it is too large")
    driven = DrivenRun.take(tmp_path / "run")
    driven.set_iterations(40)
    (started,) = of_kind(list(Session(driven, backend="torch").events()), Started)  # as a detached run is gone on with
    assert started.reason == "not fused: it is too large"
    assert Run(tmp_path / "run").record().backend_reason == started.reason


# A disk that takes nothing more, and then something again.


class FillingDisk(FileIO):
    """Takes but half of what is written while it is full."""

    is_full = False

    def write(self, data: memoryview, /) -> int:  # type: ignore[override]
        if not self.is_full:
            return super().write(data)
        if len(data) > 1:
            return super().write(data[: len(data) // 2])
        raise OSError(ENOSPC, "No space left on device")


@pytest.mark.parametrize("full_at", [4, 17])
@pytest.mark.parametrize("file", ["_metrics", "_events"])
def test_under_a_screen_a_full_disk_pauses_the_run_and_going_on_loses_nothing(
    file: str, full_at: int, tmp_path: Path
) -> None:
    run(tmp_path / "uninterrupted", ADAPTIVE)
    driven = DrivenRun.create(ADAPTIVE, tmp_path / "run")
    path = driven.metrics_path if file == "_metrics" else driven.events_path
    getattr(driven, file).close()
    disk = FillingDisk(path, "ab")
    setattr(driven, file, disk)
    session = Session(driven, chunk=1, interactive=True)
    told, failed = [], 0
    for event in session.events():
        told.append(event)
        match event:
            case NewRows() if event.rows.iteration[-1] == full_at and not failed:
                disk.is_full = True
            case Notice() if "the disk has failed" in event.message:
                assert path.name in event.message
                assert "No space left on device" in event.message
                failed += 1
                disk.is_full = failed < 3
                session.mailbox.put(SaveCheckpoint() if failed == 1 and file == "_metrics" else GoOn())
            case Notice() if "no checkpoint is saved" in event.message:
                session.mailbox.put(GoOn())  # too early
            case Ended():
                session.mailbox.put(Stop())
    assert failed == 3
    paused = [event.message for event in of_kind(told, StatusChanged) if event.status == "paused"]
    assert paused == ["the disk has failed: No space left on device"] * 3
    assert [event.status for event in of_kind(told, Ended)] == ["finished"]
    assert of_kind(told, Started)[-1].iteration == (10 if full_at > 10 else -1)
    assert_same_outcome(tmp_path / "uninterrupted", tmp_path / "run")
    assert reported(tmp_path / "uninterrupted") == reported(tmp_path / "run")


def test_under_a_screen_a_disk_that_is_full_from_the_start_pauses_too(tmp_path: Path) -> None:
    run(tmp_path / "uninterrupted", ADAPTIVE)
    driven = DrivenRun.create(ADAPTIVE, tmp_path / "run")
    driven._events.close()
    driven._events = disk = FillingDisk(driven.events_path, "ab")
    disk.is_full = True
    session = Session(driven, interactive=True)
    told = []
    for event in session.events():
        told.append(event)
        match event:
            case Notice() if "from the start" in event.message:
                disk.is_full = False
                session.mailbox.put(GoOn())
            case Ended():
                session.mailbox.put(Stop())
    assert len(of_kind(told, Started)) == 1
    assert_same_outcome(tmp_path / "uninterrupted", tmp_path / "run")


def test_a_run_that_is_left_while_the_disk_is_full_goes_on_from_its_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(tmp_path / "uninterrupted", ADAPTIVE)
    folder = tmp_path / "run"

    def fill_then_leave(event: Event) -> Command | None:
        if isinstance(event, NewRows) and event.rows.iteration[-1] == 17:
            monkeypatch.setattr(DrivenRun, "append_rows", full_disk)
        return Stop("left") if isinstance(event, Notice) else None

    ended = drive(start(folder, ADAPTIVE, chunk=1, interactive=True), fill_then_leave)[-1]
    assert isinstance(ended, Ended)
    assert ended.status == "interrupted"
    record = Run(folder).record()
    assert (record.status, record.iteration) == ("interrupted", 10)
    monkeypatch.undo()
    assert of_kind(resume(folder), Started)[0].iteration == 10
    assert_same_outcome(tmp_path / "uninterrupted", folder)


@pytest.mark.parametrize("interactive", [False, True])
def test_a_folder_that_disappears_ends_the_session_with_one_message(interactive: bool, tmp_path: Path) -> None:
    folder = tmp_path / "run"

    def remove(event: Event) -> None:
        if isinstance(event, NewRows) and event.rows.iteration[-1] == 17:
            shutil.rmtree(folder)

    with pytest.raises(SessionError, match="is gone, removed or renamed"):
        drive(start(folder, ADAPTIVE, chunk=1, interactive=interactive), remove)
    assert not folder.exists()
