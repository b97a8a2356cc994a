"""Sweeps: what is varied, what is done and what is left, halving, what a stop and a fault do, what is ranked first."""

import json
from collections.abc import Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from math import inf, nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from l2o_engine.live.session import Session
from l2o_engine.presets.files import override
from l2o_engine.presets.schema import Preset
from l2o_engine.presets.tables import to_dict, to_toml
from l2o_engine.records.events import Stop
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.folder import Run
from l2o_engine.runs.lock import Listener
from l2o_engine.runs.record import Record, read_record_once
from l2o_engine.studies.sweep import (
    STOP_FILE,
    STUDY_FILE,
    Halving,
    SettingResult,
    Study,
    StudySettings,
    Sweep,
    SweepError,
    overs_of,
    parse_over,
    presets_of,
    read_settings,
    read_state,
    read_study,
    stop_study,
    study_of,
)
from l2o_engine.studies.sweep.halving import kept_after, median_with_losses
from l2o_engine.studies.sweep.over import MOST_JOBS, combinations, drawn, latin_hypercube
from l2o_engine.studies.sweep.seeds import run_seed
from l2o_engine.studies.sweep.study import StoredJob, digest_of, slug_of
from tests.engine.made import made_run
from tests.engine.tiny import run, tiny_preset

ONE = tiny_preset("name=one")
RATES = "meta.learning_rate=1e-3,3e-3"


def study(*overs: str, preset: Preset = ONE, name: str = "study", **settings: Any) -> Study:
    return study_of(StudySettings(name=name, **settings), [preset], [parse_over(over) for over in overs])


def drive(sweep: Sweep, executor: Executor | None = None) -> Sweep:
    """Let threads do all runs."""
    sweep.begin()
    with executor or ThreadPoolExecutor(2) as pool:
        sweep.start(pool)
        while sweep.is_going_on and not sweep.is_broken:
            sweep.wait(1)
    sweep.close()
    return sweep


def starts(folder: Path) -> dict[str, int]:
    """Return how often each run of a study was begun or gone on with."""
    records = sorted(folder.glob("*/run.json"))
    return {
        record.parent.name: sum(event["event"] == "start" for event in Run(record.parent).events())
        for record in records
    }


def statuses(sweep: Sweep) -> dict[str, str]:
    return {outcome.job.folder.name: outcome.status for outcome in sweep.outcomes}


class Queue(Executor):
    """An executor that does nothing until it is told to."""

    def __init__(self) -> None:
        self.waiting: list[tuple[Future[Any], Any, tuple[Any, ...]]] = []

    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        self.waiting.append((future, fn, args))
        return future

    def do_one(self) -> None:
        future, fn, args = self.waiting.pop(0)
        if future.set_running_or_notify_cancel():
            future.set_result(fn(*args))


# What is varied.


def test_values_are_split_at_commas_that_stand_in_no_brackets_or_quotes() -> None:
    over = parse_over("""problem.scale=[0.5,1.5], [1,2],"a,b",{kind="log",min_log=-5}""")
    assert over.values == ("[0.5,1.5]", "[1,2]", '"a,b"', '{kind="log",min_log=-5}')
    assert parse_over("run.device=cpu,cuda:1").values == ("cpu", "cuda:1")


def test_every_combination_is_run_once_whatever_a_value_is_typed_as() -> None:
    found = study("meta.learning_rate=1e-3,0.001,3e-3", "network.hidden=3,4").variations
    assert [dict(one.settings) for one in found] == [
        {"meta.learning_rate": rate, "network.hidden": hidden} for rate in (1e-3, 3e-3) for hidden in (3, 4)
    ]
    assert found[0].slug == "one_lr1e-3_hidden3"
    assert found[1].preset == override(ONE, ["meta.learning_rate=1e-3", "network.hidden=4"])


@pytest.mark.parametrize(
    ("overs", "settings", "said"),
    [
        (("meta.learning_rate",), {}, "write it as table.key=a,b,c"),
        (("meta.learning_rate=1e-3,,2e-3",), {}, "a value is missing"),
        (("meta.learning_rate=1e-3:1e-4:log",), {"draw": "random", "points": 2}, "the first below the second"),
        ((f"run.iterations=1:{'9' * 400}",), {"draw": "random", "points": 2}, "the first below the second"),
        (("meta.learning_rate=-1:1:log",), {"draw": "random", "points": 2}, "above 0"),
        (("meta.learning_rate=1e-4:1e-3",), {}, r"is a range: say how many points"),
        (("meta.learning_rate=1", "meta.learning_rate=2"), {}, "varied twice"),
        (("run.seed=1,2",), {}, "--seeds N"),
        ((), {"draw": "latin", "points": 3}, "points are drawn of something"),
        (("meta.learning_rate=1,2",), {"draw": "latin"}, "needs points"),
        (("meta.learning_rat=1,2",), {}, '--over meta.learning_rat=1: .*did you mean "learning_rate"'),
        (("network.hidden=0,2",), {}, "--over network.hidden=0: must be at least 1"),
    ],
)
def test_what_cannot_be_varied_is_said(overs: Sequence[str], settings: dict[str, Any], said: str) -> None:
    with pytest.raises(SweepError, match=said):
        _ = study(*overs, **settings).variations


def test_too_many_runs_are_refused_before_they_are_made() -> None:
    over = parse_over("meta.learning_rate=0:1")
    with pytest.raises(SweepError, match="at most"):
        drawn([over], MOST_JOBS + 1, seed=0, is_latin=True)
    with pytest.raises(SweepError, match="a study has 100,000 at most"):
        _ = study("meta.learning_rate=0.1:1", draw="random", points=200, seeds=1000).variations


@given(st.integers(1, 40), st.integers(1, 4), st.integers(0, 2**32))
def test_a_latin_hypercube_has_one_point_in_every_part_of_every_dimension(number: int, dims: int, seed: int) -> None:
    points = latin_hypercube(np.random.default_rng(seed), number, dims)
    assert points.shape == (number, dims)
    assert np.all((points >= 0) & (points < 1))
    assert np.all(np.sort(np.floor(points * number), axis=0) == np.arange(number)[:, None])


@given(
    st.floats(1e-9, 1e3), st.floats(1.01, 1e6), st.booleans(), st.floats(0, 1, exclude_max=True)
)  # fmt: skip
def test_what_is_drawn_lies_within_its_bounds(low: float, factor: float, is_log: bool, share: float) -> None:
    over = parse_over(f"a.b={low!r}:{low * factor!r}{':log' if is_log else ''}")
    assert over.range is not None
    assert low <= over.range.at(share) <= low * factor
    whole = parse_over(f"a.b=3:9{':log' if is_log else ''}").range
    assert whole is not None
    assert whole.at(share) in range(3, 10)
    assert (whole.at(0.0), whole.at(np.nextafter(1.0, 0))) == (3, 9)


def test_the_first_random_points_are_the_same_however_many_there_are() -> None:
    overs = [parse_over("meta.learning_rate=1e-5:1e-2:log"), parse_over("network.hidden=10,20,40")]
    few, many = (drawn(overs, number, seed=3, is_latin=False) for number in (5, 50))
    assert many[:5] == few
    assert {point[1] for point in many} == {f"network.hidden={n}" for n in (10, 20, 40)}


def test_combinations_are_in_the_order_of_the_values() -> None:
    assert combinations([parse_over("a=1,2"), parse_over("b=x,y")]) == [
        ("a=1", "b=x"), ("a=1", "b=y"), ("a=2", "b=x"), ("a=2", "b=y"),
    ]  # fmt: skip
    assert combinations([]) == [()]


def test_a_folders_name_is_safe_and_says_what_is_in_it() -> None:
    hostile = slug_of("one", {"a.b": "../../x\x1b[31m y", "c.d": [1, 2]})
    assert hostile.isascii()
    assert hostile.isprintable()
    assert "/" not in hostile
    assert " " not in hostile
    other = slug_of("one", {"a.b": "../../x\x1b[31m z", "c.d": [1, 2]})
    assert other != hostile
    assert slug_of("one", {"x.kind": "log", "y.scale": 1, "z.scale": 2}) == "one_x-kind-log_y-scale1_z-scale2"
    assert len(slug_of("n", {"a.b": "x" * 500})) < 120


# The study's file.


def test_the_written_file_is_the_same_study_and_the_same_runs(tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "draw": "latin",
        "points": 5,
        "draw_seed": 7,
        "seeds": 3,
        "halving": True,
        "halving_from": 20,
    }
    ours = study("meta.learning_rate=1e-4:1e-2:log", "network.hidden=3,4", "objective.kind=sum,end", **settings)
    (tmp_path / STUDY_FILE).write_text(ours.to_toml())
    theirs = read_study(tmp_path)
    assert theirs.halving == Halving(20)
    assert [(one.slug, one.preset, one.settings) for one in theirs.variations] == [
        (one.slug, one.preset, one.settings) for one in ours.variations
    ]
    assert [job.folder for job in theirs.jobs(tmp_path)] == [job.folder for job in ours.jobs(tmp_path)]


def test_a_file_by_hand_names_presets_and_files_beside_it(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(to_toml(ONE))
    path = tmp_path / "rates.toml"
    path.write_text(
        'presets = ["mine.toml", "simple_sum"]\nseeds = 2\nset = ["run.iterations=50"]\n'
        '[over]\n"meta.learning_rate" = [1e-3, 3e-3]\n'
    )
    settings = read_settings(path)
    found = study_of(settings, presets_of(settings, path), overs_of(settings, str(path)))
    assert found.name == "one-simple_sum-over-learning_rate"
    assert [one.slug for one in found.variations] == [
        f"{name}_lr{rate}" for name in ("one", "simple_sum") for rate in ("1e-3", "3e-3")
    ]
    assert {one.preset.run.iterations for one in found.variations} == {50}
    assert len(found.jobs(tmp_path)) == 8


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("presets = [", "is not valid TOML"),
        ("preset = []\nseds = 3", "seds: unknown key"),
        ("presets = 3", "presets: must be a list"),
        ("presets = ['one']\nseeds = 0", "seeds: must be at least 1"),
        ("presets = ['log30', 'log30']", "two of the presets are called"),
        ("[over]\n'meta.learning_rate' = []", "a value is missing"),
        ("seeds = 3\nover = {}", "a study needs a preset"),
        ("presets = ['baselines']", "baselines trains nothing"),
    ],
)
def test_what_is_wrong_with_a_file_is_said(text: str, said: str, tmp_path: Path) -> None:
    (tmp_path / STUDY_FILE).write_text(text)
    with pytest.raises(SweepError, match=said):
        read_study(tmp_path)


# What is done, what is left.


def test_runs_are_ordinary_runs_with_the_results_of_ordinary_runs(tmp_path: Path) -> None:
    sweep = drive(Sweep(study(RATES, seeds=2), runs_dir=tmp_path))
    assert set(starts(sweep.folder).values()) == {1}
    assert len(starts(sweep.folder)) == 4
    for variation in sweep.study.variations:
        for seed in (0, 1):
            alone = tmp_path / "alone" / f"{variation.slug}{seed}"
            run(alone, override(variation.preset, [f"run.seed={seed}"]))
            ours = sweep.folder / f"{variation.slug}-s{seed}" / "metrics.csv"
            assert ours.read_bytes() == (alone / "metrics.csv").read_bytes()
    for result in sweep.results():
        finals = [Run(outcome.job.folder).record().average_log_result for outcome in result.outcomes]
        assert list(result.finals.values()) == pytest.approx(finals)
    state = read_state(sweep.folder)
    assert state is not None
    assert (state.status, state.done, len(state.jobs)) == ("finished", 4, 4)


def test_what_is_done_is_not_done_again_and_a_study_may_grow(tmp_path: Path) -> None:
    drive(Sweep(study(RATES), runs_dir=tmp_path))
    more = drive(Sweep(study("meta.learning_rate=1e-3,3e-3,1e-2", seeds=2), runs_dir=tmp_path))
    assert set(starts(more.folder).values()) == {1}
    assert sum(outcome.before for outcome in more.outcomes) == 2
    assert len(more.outcomes) == 6


def test_a_half_done_run_goes_on_from_its_checkpoint(tmp_path: Path) -> None:
    (job, *_) = Sweep(study(RATES), runs_dir=tmp_path).jobs
    session = Session(DrivenRun.create(job.preset, job.folder), chunk=1)
    for _event in session.events():
        if Run(job.folder).latest_checkpoint() is not None:
            session.mailbox.put(Stop("a test"))
    assert 0 < Run(job.folder).record().iteration < job.iterations
    (job.folder.parent / STUDY_FILE).write_text(study(RATES).to_toml())
    sweep = drive(Sweep(study(RATES), runs_dir=tmp_path))
    assert starts(sweep.folder)[job.folder.name] == 2
    run(tmp_path / "alone", job.preset)
    assert (job.folder / "metrics.csv").read_bytes() == (tmp_path / "alone" / "metrics.csv").read_bytes()


def test_other_settings_in_a_folder_are_refused_before_anything_starts(tmp_path: Path) -> None:
    drive(Sweep(study(RATES), runs_dir=tmp_path))
    with pytest.raises(
        SweepError, match=r"other settings \(network\.hidden is 3 there, 4 here\).*choose another --name"
    ):
        Sweep(study(RATES, preset=override(ONE, ["network.hidden=4"])), runs_dir=tmp_path).begin()


def test_a_folder_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "study").mkdir()
    (tmp_path / "study" / "thesis.tex").touch()
    with pytest.raises(SweepError, match="something else than a study"):
        Sweep(study(RATES), runs_dir=tmp_path).begin()
    assert [path.name for path in (tmp_path / "study").iterdir()] == ["thesis.tex"]


def test_one_run_that_fails_does_not_stop_the_others(tmp_path: Path) -> None:
    sweep = Sweep(study(RATES), runs_dir=tmp_path)
    sweep.begin()
    blocked = sweep.jobs[0].folder
    blocked.mkdir()
    (blocked / "mine").touch()
    drive(sweep)
    assert sorted(statuses(sweep).values()) == ["done", "failed"]
    (failed,) = [result for result in sweep.results() if result.status == "failed"]
    assert "is not empty" in failed.failed[0].message
    state = read_state(sweep.folder)
    assert state is not None
    assert state.status == "failed"


def test_a_run_that_another_process_drives_is_left_to_it_and_read_when_it_is_over(tmp_path: Path) -> None:
    sweep = Sweep(study(RATES), runs_dir=tmp_path)
    sweep.begin()
    theirs = Session(DrivenRun.create(sweep.jobs[0].preset, sweep.jobs[0].folder))
    events = theirs.events()
    next(events)
    with ThreadPoolExecutor(2) as pool:
        sweep.start(pool)
        while len(sweep.outcomes) < 2:
            sweep.wait(0.1)
        assert sorted(statuses(sweep).values()) == ["done", "elsewhere"]
        assert sweep.elsewhere == 1
        for _ in events:
            pass
        while sweep.is_going_on:
            sweep.wait(0.1)
    assert set(statuses(sweep).values()) == {"done"}
    assert set(starts(sweep.folder).values()) == {1}


def test_of_many_runs_some_are_looked_at_each_time_and_the_others_are_as_they_were(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = Sweep(study(RATES, seeds=4), runs_dir=tmp_path)  # 8 runs, of which the first 6 are under way
    sweep.begin()
    driven = [DrivenRun.create(job.preset, job.folder) for job in sweep.jobs[:6]]
    for place, one in enumerate(driven):
        one.update(status="running", iteration=place)
    queue = Queue()
    sweep.start(queue)
    looks: list[Path] = []

    def counted(path: Path) -> Record:
        looks.append(path.parent)
        return read_record_once(path)

    monkeypatch.setattr("l2o_engine.studies.sweep.sweep.read_record_once", counted)
    monkeypatch.setattr("l2o_engine.studies.sweep.sweep._LOOKS", 3)
    monkeypatch.setattr("l2o_engine.studies.sweep.sweep._MOMENT", 60.0)
    shown = [[at for _, at in sweep.under_way()] for _ in range(3)]
    assert shown == [[0, 1, 2], [0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5]]
    assert looks == [sweep.jobs[place % 8].folder for place in range(9)]
    driven[0].update(iteration=9)
    driven[1].update(status="interrupted")
    assert [at for _, at in sweep.under_way()] == [0, 2, 3, 4, 5]  # the first has just had its turn
    monkeypatch.setattr("l2o_engine.studies.sweep.sweep._MOMENT", 0.0)  # a file system that takes its time
    assert len(list(sweep.under_way())) == 5
    assert len(looks) == 13
    for one in driven:
        one.close()
    while queue.waiting:
        queue.do_one()
    assert len(sweep.wait(0)) == 8
    assert list(sweep.under_way()) == []


def test_many_runs_in_other_hands_are_looked_at_in_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("l2o_engine.studies.sweep.sweep._LOOKS", 2)
    monkeypatch.setattr("l2o_engine.studies.sweep.sweep._LOOK_SECONDS", 0.0)
    sweep = Sweep(study(RATES, seeds=3), runs_dir=tmp_path)
    sweep.begin()
    theirs = [DrivenRun.create(job.preset, job.folder) for job in sweep.jobs]
    for one in theirs:
        one.update(status="running")
    queue = Queue()
    sweep.start(queue)
    while queue.waiting:
        queue.do_one()
    assert {outcome.status for outcome in sweep.wait(0)} == {"elsewhere"}
    theirs[-1].close()  # the last one is free
    looks: list[Listener] = []
    is_driven = Listener.is_driven

    def counted(listener: Listener) -> bool:
        looks.append(listener)
        return is_driven(listener)

    monkeypatch.setattr(Listener, "is_driven", counted)
    for number in range(1, 4):
        assert not sweep.wait(0)
        assert len(looks) == 2 * number
    assert len(set(looks)) == 6
    assert sweep.elsewhere == 5
    queue.do_one()
    assert [outcome.status for outcome in sweep.wait(0)] == ["done"]
    for one in theirs[:-1]:
        one.close()


def test_what_study_json_says_of_the_runs_is_made_once_and_read_back_whole(tmp_path: Path) -> None:
    sweep = Sweep(study(RATES, "network.hidden=3,4", seeds=2), runs_dir=tmp_path)
    sweep.begin()
    begun = read_state(sweep.folder)
    assert begun is not None
    assert [one.folder for one in begun.jobs] == [job.folder.name for job in sweep.jobs]
    assert begun.jobs[1] == StoredJob(
        "one_lr1e-3_hidden4-s0",
        "one",
        {"meta.learning_rate": 1e-3, "network.hidden": 4},
        0,
        digest_of(sweep.jobs[1].preset),
        30,
    )
    sweep.close(status="interrupted")
    ended = read_state(sweep.folder)
    assert ended is not None
    assert replace(ended, status="running", updated=begun.updated) == begun


def test_when_a_pool_breaks_another_goes_on_and_a_run_that_breaks_each_is_given_up(tmp_path: Path) -> None:
    class Breaking(ThreadPoolExecutor):
        def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
            future: Future[Any] = Future()
            folder = Path(args[1])
            if folder == bad.folder:
                if not folder.exists():
                    DrivenRun.create(bad.preset, folder).close()
                future.set_exception(BrokenProcessPool("a test"))
                return future
            return super().submit(fn, *args, **kwargs)

    sweep = Sweep(study(RATES), runs_dir=tmp_path)
    sweep.begin()
    bad = sweep.jobs[0]
    pools = 0
    sweep.start(Breaking(1))
    while sweep.is_going_on:
        sweep.wait(0.1)
        if sweep.is_broken:
            pools += 1
            assert pools < 10
            sweep.go_on_with(Breaking(1))
    assert pools >= 2
    assert sorted(statuses(sweep).values()) == ["done", "failed"]
    assert "ended abruptly" in next(one.message for one in sweep.outcomes if one.status == "failed")


# Stopping.


def test_a_stop_begins_nothing_more_and_the_same_study_goes_on(tmp_path: Path) -> None:
    sweep = Sweep(study(RATES, seeds=2), runs_dir=tmp_path)
    sweep.begin()
    queue = Queue()
    sweep.start(queue)
    queue.do_one()
    assert len(sweep.wait(0)) == 1
    sweep.stop()
    while queue.waiting:
        queue.do_one()
    sweep.wait(0)
    assert not sweep.is_going_on
    sweep.close()
    assert sorted(statuses(sweep).values()) == ["done", "interrupted", "interrupted", "interrupted"]
    assert len(starts(sweep.folder)) == 1
    assert {result.status for result in sweep.results()} == {"unfinished"}
    assert not (sweep.folder / STOP_FILE).exists()  # others that work on it go on
    again = drive(Sweep(study(RATES, seeds=2), runs_dir=tmp_path))
    assert set(statuses(again).values()) == {"done"}
    assert set(starts(sweep.folder).values()) == {1}


def test_from_elsewhere_a_study_is_stopped_by_its_folder(tmp_path: Path) -> None:
    sweep = Sweep(study(RATES), runs_dir=tmp_path)
    sweep.begin()
    driven = DrivenRun.create(sweep.jobs[0].preset, sweep.jobs[0].folder)
    driven.update(status="running")
    assert stop_study(sweep.folder) == 1
    asked = driven.inbox.take()
    assert isinstance(asked, Stop)
    driven.close()
    answer = run_seed(to_dict(sweep.jobs[1].preset), str(sweep.jobs[1].folder))
    assert answer["status"] == "interrupted"
    assert not sweep.jobs[1].folder.exists()
    queue = Queue()
    sweep.start(queue)
    sweep.wait(0)
    assert sweep.is_stopped
    sweep.close()
    assert (sweep.folder / STOP_FILE).exists()
    Sweep(study(RATES), runs_dir=tmp_path).begin()
    assert not (sweep.folder / STOP_FILE).exists()
    with pytest.raises(SweepError, match="holds no study"):
        stop_study(tmp_path)


def test_where_all_jobs_have_heard_of_a_stop_first_the_study_is_not_finished(tmp_path: Path) -> None:
    sweep = Sweep(study(RATES), runs_dir=tmp_path)
    sweep.begin()
    queue = Queue()
    sweep.start(queue)
    sweep.wait(0)  # which looks for a stop, and not again for a moment
    assert stop_study(sweep.folder) == 0
    for _ in sweep.jobs:
        queue.do_one()
    sweep.wait(0)
    assert (sweep.is_going_on, sweep.is_stopped) == (False, False)
    sweep.close()
    state = read_state(sweep.folder)
    assert state is not None
    assert state.status == "interrupted"


def test_a_study_of_what_begins_with_another_run_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    sweep = Sweep(study(RATES, preset=override(ONE, ['start={preset="log30"}'])), runs_dir=tmp_path)
    with pytest.raises(SweepError, match="begins with what another run has come to, which these runs cannot be given"):
        sweep.begin()
    assert not list(tmp_path.iterdir())


def test_a_run_that_begins_as_the_study_is_stopped_stops_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between its look at the sign and its run.json, by which who stops it would find it."""
    sweep = Sweep(study(RATES), runs_dir=tmp_path)
    sweep.begin()
    job, create = sweep.jobs[0], DrivenRun.create

    def create_late(preset: Preset, folder: Path, **rest: Any) -> DrivenRun:
        assert stop_study(sweep.folder) == 0
        return create(preset, folder, **rest)

    monkeypatch.setattr(DrivenRun, "create", create_late)
    answer = run_seed(to_dict(job.preset), str(job.folder))
    assert answer["status"] == "interrupted"
    assert Run(job.folder).record().iteration < job.iterations


# Halving.


def test_rounds_double_at_reports_and_leave_the_better_half() -> None:
    preset = override(ONE, ["run.iterations=50000", "report.every=5000"])
    assert Halving().rounds(preset, 12) == [5000, 10_000, 15_000, 25_000]
    assert Halving(20_000).rounds(preset, 12) == [20_000, 25_000]
    assert Halving().rounds(preset, 1) == []
    assert [kept_after(12, n) for n in range(5)] == [12, 6, 3, 2, 1]


@given(st.lists(st.floats(-40, 5) | st.just(nan) | st.just(inf), max_size=9))
def test_a_median_counts_what_is_lost_as_the_worst(values: list[float]) -> None:
    found, lost = median_with_losses(values), sum(not np.isfinite(value) for value in values)
    if 2 * lost >= len(values):
        assert found == inf
    else:
        assert found == np.median([value if np.isfinite(value) else 1e9 for value in values])


def test_halving_gives_up_the_worse_half_at_each_report_and_is_read_from_the_folders(tmp_path: Path) -> None:
    rates = "meta.learning_rate=1e-4,1e-3,3e-2"
    halved = drive(Sweep(study(rates, seeds=2, halving=True), runs_dir=tmp_path))
    assert halved.rounds == [10, 20]
    whole = drive(Sweep(study(rates, seeds=2, name="whole"), runs_dir=tmp_path))
    results = halved.results()
    assert [result.stopped_at for result in results] == [None, 20, 10]
    at = {result.variation.slug: result.stopped_at or 30 for result in results}
    for slug, iteration in at.items():
        for seed in (0, 1):
            ours = (halved.folder / f"{slug}-s{seed}" / "metrics.csv").read_bytes()
            assert (whole.folder / f"{slug}-s{seed}" / "metrics.csv").read_bytes().startswith(ours)
            assert ours.count(b"\n") >= iteration + 2  # the heading, and 0 to the iteration
    figures = {
        (slug, until): np.median(
            [
                row.average_log_result
                for seed in (0, 1)
                for row in Run(whole.folder / f"{slug}-s{seed}").progress()
                if row.iteration == until
            ]
        )
        for slug in at
        for until in (10, 20)
    }
    first = sorted(at, key=lambda slug: figures[slug, 10])[:2]
    assert {slug for slug in at if at[slug] > 10} == set(first)
    assert [slug for slug in at if at[slug] > 20] == [min(first, key=lambda slug: figures[slug, 20])]
    again = drive(Sweep(study(rates, seeds=2, halving=True), runs_dir=tmp_path))
    read = Sweep(study(rates, seeds=2, halving=True), runs_dir=tmp_path)
    read.read()
    for one in (again, read):
        assert [(r.variation.slug, r.stopped_at, r.finals) for r in one.results()] == [
            (r.variation.slug, r.stopped_at, r.finals) for r in results
        ]


def test_halving_wants_runs_that_report_together(tmp_path: Path) -> None:
    with pytest.raises(SweepError, match=r"run\.iterations, report\.every"):
        Sweep(study("report.every=5,10", halving=True), runs_dir=tmp_path)


# What is said of it.


def result_of(tmp_path: Path, finals: Sequence[Sequence[float]]) -> list[SettingResult]:
    """Return the results of settings whose seeds fall to these finals."""
    rates = ",".join(f"{place + 1}e-3" for place in range(len(finals)))
    sweep = Sweep(study(f"meta.learning_rate={rates}", seeds=len(finals[0])), runs_dir=tmp_path)
    sweep.begin()
    for job in sweep.jobs:
        place = [variation.slug for variation in sweep.study.variations].index(job.of)
        final = finals[place][job.seed]
        made_run(job.folder, job.preset, [[0.0] * 20 + [final] * 11], [[1.0] * 20 + [2.0] * 11])
    return drive(sweep).results()


def test_the_best_median_comes_first_and_a_lost_seed_is_the_worst(tmp_path: Path) -> None:
    results = result_of(tmp_path, [[-3.0, -4.0, -5.0], [nan, -9.0, -0.25], [nan, nan, -30.0], [-6.0, -6.0, -0.5]])
    assert [result.variation.settings["meta.learning_rate"] for result in results] == [4e-3, 1e-3, 2e-3, 3e-3]
    lost = results[2]
    assert (lost.lost, lost.stuck, lost.final.median, lost.final.count) == ([0], 1, -4.625, 2)
    assert results[3].lost == [0, 1]
    assert results[0].stuck == 1


def test_the_plain_function_takes_and_gives_what_json_can_hold(tmp_path: Path) -> None:
    sweep = Sweep(study(RATES), runs_dir=tmp_path)
    sweep.begin()
    tables = json.loads(json.dumps(to_dict(sweep.jobs[0].preset)))
    answer = run_seed(tables, str(sweep.jobs[0].folder))
    assert json.loads(json.dumps(answer)) == answer
    assert (answer["status"], answer["before"], answer["iteration"]) == ("done", False, 30)
    assert "cpu" in answer["versions"]
    assert run_seed(tables, str(sweep.jobs[0].folder)) == answer | {"before": True}
    rate = sweep.jobs[0].preset.meta.learning_rate
    assert Run(sweep.jobs[0].folder).record().changed == {"meta.learning_rate": [3e-4, rate]}  # as lists tell it
