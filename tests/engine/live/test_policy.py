"""Which checkpoints a run leaves, when its network counts as lost, and what may be changed between two sessions."""

import json
from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from l2o_engine.live import reporter as reporters
from l2o_engine.live import saving
from l2o_engine.live import session as sessions
from l2o_engine.live.session import Session
from l2o_engine.presets.schema import Preset
from l2o_engine.presets.tables import to_toml
from l2o_engine.records.codec import as_json
from l2o_engine.records.events import Changed, Checkpointed, Ended, NewRows, Notice, Progress, Started
from l2o_engine.runs import checkpoints
from l2o_engine.runs.checkpoints import Kind
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.folder import Run
from l2o_engine.runs.rebuild import mend_record
from l2o_engine.runs.record import RunError, versions, what_changed
from tests.engine.made import change_record
from tests.engine.tiny import of_kind, resume, run, start, tiny_baselines, tiny_preset
from tests.engine.told import event_from_json

# Every meta-iteration overflows from the first on, and changes nothing.
LOST = tiny_preset("problem.scale=[1e30, 1e30]", "run.iterations=100")


def names(folder: Path) -> list[str]:
    """Return the checkpoints of a run, the oldest first, without the zeros in front."""
    paths = checkpoints.newest_first(folder / "checkpoints")
    return [path.name.removesuffix(".safetensors").lstrip("0") for path in reversed(paths)]


# Lost networks.


@pytest.fixture
def _lost_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporters, "LOST", 20)


lost_soon = pytest.mark.usefixtures("_lost_soon")


@lost_soon
@pytest.mark.parametrize("chunk", [1, 7, 50])
@pytest.mark.parametrize("policy", ["zero", "skip"])
def test_a_network_that_gives_nothing_finite_any_more_is_lost(policy: str, chunk: int, tmp_path: Path) -> None:
    preset = LOST.model_copy(update={"meta": tiny_preset(f"meta.non_finite={policy}", "meta.learning_rate=0.03").meta})
    ended = run(tmp_path / "run", preset, chunk=chunk)[-1]
    assert isinstance(ended, Ended)
    assert (ended.status, ended.iteration) == ("diverged", 20)
    assert "no loss has been finite" in ended.message
    assert "meta.learning_rate (it is 0.03)" in ended.message
    assert Run(tmp_path / "run").record().message == ended.message
    again = resume(tmp_path / "run")[-1]
    assert isinstance(again, Ended)
    assert again.status == "diverged"


@lost_soon
def test_a_lane_that_is_lost_ends_and_the_others_go_on(tmp_path: Path) -> None:
    preset = tiny_preset("problem.scale=[1e30, 1e30]", "run.seeds=2", "run.iterations=100")
    lost = np.array([], int)
    session = start(tmp_path / "run", preset, chunk=3)
    take_in = session._reporter._take_in

    def with_one_finite(rows: Any, chunks: Any = ()) -> None:
        take_in(rows, chunks)
        session._reporter._last_finite[1] = int(rows.iteration[-1])

    session._reporter._take_in = with_one_finite  # type: ignore[method-assign]
    ended = list(session.events())[-1]
    assert isinstance(ended, Ended)
    assert [result.iteration for result in ended.results] == [20, 100]
    assert "seed 0 diverged" in ended.message
    assert not lost.size


@lost_soon
def test_losses_that_reach_zero_and_spoil_the_gradient_are_no_such_sign(tmp_path: Path) -> None:
    session = start(tmp_path / "run", LOST, chunk=3)
    take_in = session._reporter._take_in

    def finite(rows: Any, chunks: Any = ()) -> None:
        rows.end_loss[:] = 0
        take_in(rows, chunks)

    session._reporter._take_in = finite  # type: ignore[method-assign]
    assert of_kind(list(session.events()), Ended)[-1].status == "finished"


@lost_soon
def test_resumed_a_lost_network_ends_where_it_would_have(tmp_path: Path) -> None:
    for event in (told := start(tmp_path / "run", LOST, chunk=1).events()):
        if isinstance(event, NewRows) and event.rows.iteration[-1] == 15:
            break
    told.close()  # type: ignore[attr-defined]
    events = resume(tmp_path / "run", chunk=4)
    assert of_kind(events, Started)[0].iteration == 10
    ended = of_kind(events, Ended)[-1]
    assert (ended.status, ended.iteration) == ("diverged", 20)


# Which checkpoints there are.


def test_checkpoints_after_the_last_finite_result_do_not_rotate_those_before_out(tmp_path: Path) -> None:
    session = start(tmp_path / "run", tiny_preset("run.keep_checkpoints=1", "run.iterations=60"), chunk=1)
    take_in = session._reporter._take_in

    def lost_from_25_on(rows: Any, chunks: Any = ()) -> None:
        rows.end_loss[rows.iteration >= 25] = np.nan
        take_in(rows, chunks)

    session._reporter._take_in = lost_from_25_on  # type: ignore[method-assign]
    list(session.events())
    assert names(tmp_path / "run") == ["20", "60-nonfinite"]


@lost_soon
@pytest.mark.usefixtures("_judged_often")
def test_a_run_that_is_lost_says_where_it_was_best(tmp_path: Path) -> None:
    session = start(tmp_path / "run", tiny_preset("run.keep_checkpoints=1", "run.iterations=200"), chunk=1)
    take_in = session._reporter._take_in

    def lost_from_25_on(rows: Any, chunks: Any = ()) -> None:
        rows.end_loss[rows.iteration >= 25] = np.nan
        take_in(rows, chunks)
        for seed, state in session._pipeline.states.items():
            if state.learner and rows.iteration[-1] >= 45:
                learner = replace(state.learner, non_finite_in_a_row=20)
                session._pipeline.states[seed] = replace(state, learner=learner)

    session._reporter._take_in = lost_from_25_on  # type: ignore[method-assign]
    ended = list(session.events())[-1]
    assert isinstance(ended, Ended)
    best = Run(tmp_path / "run").best_checkpoint()
    assert best is not None
    assert f"the best checkpoint before is {best.name}" in ended.message
    assert ended.iteration == 60
    assert checkpoints.iteration_of(best) <= 20


@pytest.fixture
def _judged_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporters, "looks_apart", lambda every: every)


judged_often = pytest.mark.usefixtures("_judged_often")
JUDGED = tiny_preset("run.iterations=120", "run.keep_checkpoints=1", "meta.learning_rate=0.05")


def least(folder: Path) -> tuple[int, float]:
    """Return the meta-iteration of the lowest figure that a run has reported, and the figure."""
    figures = {row.iteration: row.average_log_result for row in Run(folder).progress() if row.iteration}
    return min(figures.items(), key=lambda pair: pair[1])


@judged_often
@pytest.mark.parametrize("chunk", [1, 1000])
def test_the_best_by_the_report_is_never_rotated_out(chunk: int, tmp_path: Path) -> None:
    run(tmp_path / "run", JUDGED, chunk=chunk)
    (best,) = (path for path in (tmp_path / "run" / "checkpoints").iterdir() if "best" in path.name)
    saved = checkpoints.read(best, JUDGED.experiment)
    assert (saved.iteration, saved.average_log_result) == least(tmp_path / "run")
    assert saved.trainers[0].done == saved.iteration + 1
    assert len(names(tmp_path / "run")) <= 2


@judged_often
def test_the_best_is_the_best_of_all_sessions(tmp_path: Path) -> None:
    run(tmp_path / "run", JUDGED)
    resume(tmp_path / "run", iterations=160)
    (best,) = (path for path in (tmp_path / "run" / "checkpoints").iterdir() if "best" in path.name)
    assert checkpoints.iteration_of(best) == least(tmp_path / "run")[0]


@judged_often
def test_the_best_of_several_seeds_is_that_of_their_mean(tmp_path: Path) -> None:
    run(tmp_path / "run", tiny_preset("run.seeds=3", "run.iterations=60"))
    sums: dict[int, float] = {}
    for row in Run(tmp_path / "run").progress():
        sums[row.iteration] = sums.get(row.iteration, 0.0) + row.average_log_result / 3
    del sums[0]
    (best,) = (path for path in (tmp_path / "run" / "checkpoints").iterdir() if "best" in path.name)
    assert checkpoints.iteration_of(best) == min(sums, key=lambda iteration: sums[iteration])


@judged_often
def test_hand_designed_optimizers_have_no_best(tmp_path: Path) -> None:
    run(tmp_path / "run", tiny_baselines())
    assert names(tmp_path / "run") == ["10", "20", "30"]


# By the clock.


def ticking(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let so many seconds pass with every look at the clock."""
    ticks = count()
    monkeypatch.setattr(saving, "monotonic", lambda: next(ticks) * seconds)


def test_a_fast_run_leaves_out_checkpoints_that_come_too_soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saving, "monotonic", lambda: 0.0)
    preset = tiny_preset("run.iterations=100", "run.checkpoint_every=1", "run.checkpoint_seconds=1")
    events = run(tmp_path / "run", preset)
    assert [event.iteration for event in of_kind(events, Checkpointed)] == [100]
    run(tmp_path / "all", tiny_preset("run.iterations=100", "run.checkpoint_every=1"))
    assert (tmp_path / "run" / "metrics.csv").read_bytes() == (tmp_path / "all" / "metrics.csv").read_bytes()


def test_a_slow_run_is_saved_between_two_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ticking(monkeypatch, 0.3)
    seen = []
    preset = tiny_preset("run.iterations=25", "run.checkpoint_every=20", "run.checkpoint_seconds=0.5")
    told = start(tmp_path / "run", preset, chunk=1).events()
    for event in told:
        if isinstance(event, NewRows):
            seen.append(names(tmp_path / "run"))
        if isinstance(event, NewRows) and event.rows.iteration[-1] == 19:
            break
    told.close()  # type: ignore[attr-defined]
    assert all(len(there) <= 1 for there in seen)
    (latest,) = names(tmp_path / "run")
    assert latest.endswith("-latest")
    events = resume(tmp_path / "run")
    assert of_kind(events, Started)[0].iteration == int(latest.removesuffix("-latest"))
    assert not any("latest" in name for name in names(tmp_path / "run"))
    run(tmp_path / "at once", preset)
    assert (tmp_path / "run" / "metrics.csv").read_bytes() == (tmp_path / "at once" / "metrics.csv").read_bytes()


def test_a_slow_disk_gets_fewer_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(saving, "monotonic", lambda: clock[0])
    save = DrivenRun.save

    def slowly(self: DrivenRun, *args: Any) -> Path:
        clock[0] += 2.0
        return save(self, *args)

    monkeypatch.setattr(DrivenRun, "save", slowly)
    told = start(
        tmp_path / "run",
        tiny_preset("run.checkpoint_seconds=1", "run.checkpoint_every=1", "run.iterations=99"),
        chunk=1,
    ).events()
    saved = []
    for event in told:
        clock[0] += isinstance(event, NewRows)
        if isinstance(event, Checkpointed):
            saved.append(event.iteration)
    assert saved[1] - saved[0] == pytest.approx(40, abs=1)


# Reports within chunks.


def test_reports_that_are_close_do_not_cut_the_chunks(tmp_path: Path) -> None:
    preset = tiny_preset("report.every=1", "run.iterations=40", "run.checkpoint_every=100")
    events = run(tmp_path / "run", preset, chunk=20)
    assert len(of_kind(events, NewRows)) <= 4
    progress = of_kind(events, Progress)
    assert [row.iteration for row in progress] == list(range(41))
    seconds = [row.elapsed_seconds for row in progress]
    assert seconds == sorted(seconds)
    assert all(row.iterations_per_second > 0 for row in progress)


# What may be changed.


def edit(folder: Path, *settings: str) -> Preset:
    preset = tiny_preset(*settings)
    (folder / "preset.toml").write_text(to_toml(preset))
    return preset


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    run(tmp_path / "run", tiny_preset())
    return tmp_path / "run"


EDITS: dict[str, tuple[str, list[Any]]] = {
    "meta.learning_rate=0.01": ("meta.learning_rate", [3e-4, 0.01]),
    "problem.dims=3": ("problem.dims", [2, 3]),
    "unroll.steps=5": ("unroll.steps", [4, 5]),
    "meta.batch=2": ("meta.batch", [1, 2]),
}


@pytest.mark.parametrize("edited", EDITS)
def test_a_preset_that_was_edited_is_refused_and_nothing_is_touched(edited: str, folder: Path) -> None:
    edit(folder, edited)
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    name, (then, now) = EDITS[edited]
    with pytest.raises(RunError, match=rf"edited.*{name} {then:g} → {now:g}.*--accept-changes"):
        DrivenRun.take(folder)
    assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before
    assert Run(folder).status() == "finished"


def test_a_change_that_is_accepted_is_recorded(folder: Path) -> None:
    edit(folder, "meta.learning_rate=0.01", "run.iterations=40")
    events = list(Session(DrivenRun.take(folder, accept_changes=True)).events())
    (changed,) = of_kind(events, Changed)
    assert (changed.iteration, changed.settings) == (30, {"meta.learning_rate": [3e-4, 0.01]})
    assert event_from_json(as_json(changed)) == changed
    recorded = [document for document in Run(folder).events() if document["event"] == "changed"]
    assert [document["settings"] for document in recorded] == [changed.settings]
    (kept,) = Run(folder).record().changes
    assert (kept.iteration, kept.settings) == (changed.iteration, changed.settings)
    resume(folder, iterations=50)  # it is the run's experiment from now on
    assert len(Run(folder).record().changes) == 1
    (folder / "run.json").write_text("half")
    mend_record(folder)
    assert [change.settings for change in Run(folder).record().changes] == [changed.settings]


def test_an_accepted_change_is_not_asked_for_again_before_the_next_checkpoint(folder: Path) -> None:
    edit(folder, "meta.learning_rate=0.01", "run.iterations=40")
    DrivenRun.take(folder, accept_changes=True).close()
    DrivenRun.take(folder).close()
    edit(folder, "meta.learning_rate=0.02", "run.iterations=40")
    with pytest.raises(RunError, match=r"0\.0003 → 0\.02"):
        DrivenRun.take(folder)


def test_a_checkpoint_that_is_damaged_where_it_gives_the_settings_tells_of_no_edit(folder: Path) -> None:
    newest, before, *_ = checkpoints.newest_first(folder / "checkpoints")
    whole = newest.read_bytes()
    newest.write_bytes(whole.replace(b'meta.learning_rate\\": 0.0003', b'meta.learning_rate\\": 0.0002', 1))
    assert newest.read_bytes() != whole
    driven = DrivenRun.take(folder)
    found, notices = driven.restore()
    driven.close()
    assert found is not None
    assert found.iteration == checkpoints.iteration_of(before)
    assert any(newest.name in notice and "digest" in notice for notice in notices)
    edit(folder, "meta.learning_rate=0.01")
    with pytest.raises(RunError, match=r"edited.*0\.0003 → 0\.01"):  # as the one before it has it
        DrivenRun.take(folder)


@pytest.mark.parametrize("edited", ["network.hidden=4", "run.seed=1", "run.seeds=2", "run.dtype=float64"])
def test_what_no_checkpoint_could_go_on_with_is_not_accepted(edited: str, folder: Path) -> None:
    edit(folder, edited)
    before = (folder / "run.json").read_bytes()
    with pytest.raises(RunError, match=edited.partition("=")[0]):
        DrivenRun.take(folder, accept_changes=True)
    assert (folder / "run.json").read_bytes() == before


@pytest.mark.parametrize(
    "edited",
    ["report.every=7", "run.keep_checkpoints=1", "title=better", "report.baseline_draws=9", "run.iterations=44"],
)
def test_how_a_run_is_told_and_saved_may_change_at_any_time(edited: str, folder: Path) -> None:
    edit(folder, edited)
    DrivenRun.take(folder).close()
    assert not Run(folder).record().changes


def test_a_checkpoint_of_before_settings_were_kept_is_gone_on_from(folder: Path) -> None:
    for path in checkpoints.newest_first(folder / "checkpoints"):
        saved = checkpoints.read(path, tiny_preset().experiment)
        path.unlink()
        old = checkpoints.Checkpoint(saved.iteration, saved.elapsed_seconds, saved.metrics_bytes, saved.trainers)
        checkpoints.write(folder / "checkpoints", old, tiny_preset().experiment.layout)
    edit(folder, "meta.learning_rate=0.01", "run.iterations=40")
    assert of_kind(resume(folder), Ended)[-1].status == "finished"


@judged_often
def test_every_checkpoint_vouches_for_the_rows_that_were_there_at_its_meta_iteration(tmp_path: Path) -> None:
    """The best one is written later than it was made, when there are more rows."""
    run(tmp_path / "run", tiny_preset("run.iterations=60", "run.checkpoint_every=25", "report.every=10"), chunk=5)
    folder, experiment = tmp_path / "run", tiny_preset().experiment
    found = [checkpoints.read(path, experiment) for path in checkpoints.newest_first(folder / "checkpoints")]
    rows = (folder / "metrics.csv").read_bytes()
    assert {checkpoints.kind_of(path) for path in checkpoints.newest_first(folder / "checkpoints")} >= {Kind.BEST}
    for one in found:
        Run(folder).check_metrics(one)
        assert one.metrics_sha256 == sha256(rows[: one.metrics_bytes]).hexdigest()


@judged_often
def test_a_run_is_not_finished_before_its_last_checkpoint_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that is killed between the best one and the last one must be gone on from."""
    save, statuses = DrivenRun.save, []

    def noted(driven: DrivenRun, checkpoint: checkpoints.Checkpoint, kind: Kind) -> Path:
        statuses.append(Run(driven.folder).record().status)
        return save(driven, checkpoint, kind)

    monkeypatch.setattr(DrivenRun, "save", noted)
    run(tmp_path / "run", tiny_preset("run.checkpoint_seconds=1000", "report.every=10", "run.iterations=35"))
    assert len(statuses) > 1
    assert set(statuses) == {"running"}
    assert Run(tmp_path / "run").status() == "finished"


# On another machine.


def test_another_cpu_or_compiler_is_told(folder: Path) -> None:
    there = Run(folder).record().versions
    assert {"cpu", "numba", "llvmlite", "numpy", "torch"} <= set(there)
    change_record(folder, versions=there | {"cpu": "An Old CPU", "numba": "0.1", "platform": "elsewhere"})
    (notice,) = of_kind(resume(folder, iterations=40), Notice)
    assert "cpu An Old CPU →" in notice.message
    assert "numba 0.1 →" in notice.message
    assert "platform" not in notice.message
    starts = [document for document in Run(folder).events() if document["event"] == "start"]
    assert [document["versions"]["cpu"] for document in starts] == [there["cpu"]] * 2


def test_versions_that_were_not_recorded_are_not_compared() -> None:
    assert what_changed({"python": "3.11"}, versions()) == ""


@pytest.mark.parametrize("make", [tiny_preset, tiny_baselines])
def test_what_must_stay_is_in_every_checkpoint(make: Callable[..., Preset], tmp_path: Path) -> None:
    run(tmp_path / "run", make())
    for path in checkpoints.newest_first(tmp_path / "run" / "checkpoints"):
        settings = checkpoints.head_of(path).settings
        assert settings is not None
        assert settings["run.seed"] == 0
        assert json.loads(json.dumps(settings)) == settings


# What slows a run.


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        (("report.every=1", "run.checkpoint_every=1000"), "report.every"),
        (("report.every=1000", "run.checkpoint_every=1"), "run.checkpoint_every"),
        (("report.every=1000", "run.checkpoint_every=1", "run.checkpoint_seconds=1"), ""),
    ],
)
def test_a_setting_that_slows_the_training_is_named_once(
    settings: tuple[str, ...], named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sessions, "_MEASURED_SECONDS", 0.0)
    monkeypatch.setattr(sessions, "_BUSY", 1e9)  # as if the kernel had waited nearly always
    notices = of_kind(run(tmp_path / "run", tiny_preset(*settings), chunk=5), Notice)
    assert [named in notice.message for notice in notices] == ([True] if named else [])


def test_a_kernel_that_is_busy_is_not_slowed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sessions, "_MEASURED_SECONDS", 0.0)
    monkeypatch.setattr(sessions, "_BUSY", 0.0)
    assert not of_kind(run(tmp_path / "run", tiny_preset("report.every=1")), Notice)
