"""The levels to beat: measured once in a run's life, told as a wait, kept in run.json, and read from there."""

import json
from collections.abc import Callable, Iterator
from math import nan
from pathlib import Path
from threading import Event as Flag
from typing import Any

import pytest

from l2o_engine.live import preparing
from l2o_engine.live.watcher import Watcher
from l2o_engine.presets.files import override
from l2o_engine.presets.schema import Preset
from l2o_engine.presets.tables import to_toml
from l2o_engine.records.events import Event, Preparing, Started
from l2o_engine.runs import levels
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.folder import Run
from l2o_engine.runs.record import RunError
from l2o_engine.studies.comparison import baseline_levels, compare
from l2o_engine.training.evaluation import Baselines, Level
from tests.engine.made import change_record
from tests.engine.tiny import of_kind, resume, run, tiny_baselines, tiny_preset

pytestmark = pytest.mark.usefixtures("_every_measurement_is_long")

MANY = tiny_preset("report.baseline_draws=1000", "run.seed=3")
MEASURING = Preparing("measuring what the baselines reach over 1,000 draws")


@pytest.fixture
def _every_measurement_is_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(levels, "SHORT_NUMBERS", 0)


@pytest.fixture
def _is_measured_already(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every measurement from here on fail the test."""

    def measure(*_: object) -> None:
        raise AssertionError("the levels were measured again")

    monkeypatch.setattr(Baselines, "measure", measure)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("levels") / "run"
    run(folder, MANY)
    return folder


def started(events: Iterator[Event]) -> list[Event]:
    """Return what is told up to the start."""
    seen = []
    for event in events:
        seen.append(event)
        if isinstance(event, Started):
            return seen
    raise AssertionError(seen)


def as_of_an_older_version(folder: Path) -> None:
    document = json.loads((folder / "run.json").read_text())
    del document["levels"]
    (folder / "run.json").write_text(json.dumps(document))


# Kept.


@pytest.mark.parametrize("preset", [MANY, tiny_baselines("report.baseline_draws=1000")], ids=["RNN", "baselines"])
def test_a_new_run_measures_them_says_so_and_keeps_them(preset: Preset, tmp_path: Path) -> None:
    told = run(tmp_path / "run", preset)
    assert of_kind(told, Preparing)[-1] == MEASURING
    measured = levels.measure(preset, preset.run.seed)
    assert of_kind(told, Started)[0].levels == {name: level.end_log10 for name, level in measured.items()}
    kept = json.loads((tmp_path / "run" / "run.json").read_text())["levels"]
    assert kept.pop("settings")
    assert kept == {"seed": preset.run.seed, "baselines": {name: vars(level) for name, level in measured.items()}}
    assert levels.stored(Run(tmp_path / "run").record(), preset, preset.run.seed) == measured


def test_a_measurement_that_takes_but_a_moment_is_not_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    assert MEASURING not in run(tmp_path / "run", MANY)
    assert Run(tmp_path / "run").record().levels is not None
    long = override(MANY, ["report.baseline_draws=1_000_000"])
    assert [event.message for event in levels.measuring(long)] == [
        "measuring what the baselines reach over 1,000,000 draws"
    ]


def test_a_level_that_is_not_finite_is_kept_as_null(tmp_path: Path) -> None:
    driven = DrivenRun.create(tiny_preset(), tmp_path / "run")
    measured = {"SGD": Level(nan, nan, 2.5), "RMSProp": Level(-3.25, 7.0, 2.5)}
    driven.update(levels=levels.to_store(measured, tiny_preset(), 0))
    driven.close()
    document = json.loads((tmp_path / "run" / "run.json").read_text())
    assert document["levels"]["baselines"]["SGD"] == {"end_log10": None, "sum_loss": None, "first_loss": 2.5}
    kept = levels.stored(Run(tmp_path / "run").record(), tiny_preset(), 0)
    assert kept is not None
    assert repr(kept) == repr(measured)


def test_where_there_is_nothing_to_beat_nothing_is_measured(tmp_path: Path) -> None:
    told = run(tmp_path / "run", tiny_preset("baseline=[]"))
    assert of_kind(told, Started)[0].levels == {}
    assert len(of_kind(told, Preparing)) == 1  # of the backend


def test_a_long_measurement_gives_signs_of_life(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who watches from another host takes a run.json that stays the same for a minute for a dead driver."""
    measure, update = levels.measure, DrivenRun.update
    is_alive = Flag()
    written: list[dict[str, Any]] = []

    def slowly(preset: Preset, seed: int, between: Callable[[], None]) -> levels.Levels:
        written.clear()
        is_alive.clear()
        assert is_alive.wait(60)
        return measure(preset, seed, between)

    def noted(driven: DrivenRun, **changes: Any) -> None:
        update(driven, **changes)
        written.append(changes)
        if len(written) == 3:
            is_alive.set()

    monkeypatch.setattr(levels, "measure", slowly)
    monkeypatch.setattr(preparing, "SIGN_SECONDS", 0.01)
    monkeypatch.setattr(DrivenRun, "update", noted)
    told = run(tmp_path / "run", MANY)
    assert told.index(MEASURING) < told.index(of_kind(told, Started)[0])
    assert written[:3] == [{}, {}, {}]


# Read again.


@pytest.mark.usefixtures("_is_measured_already")
def test_who_resumes_attaches_or_compares_measures_nothing(finished: Path) -> None:
    there = {name: level.end_log10 for name, level in levels.of_runs([Run(finished)], MANY, 3).items()}
    assert set(there) == {"SGD", "RMSProp"}
    seen = started(Watcher(Run(finished)).events())
    assert not of_kind(seen, Preparing)
    told = resume(finished, iterations=40)
    assert MEASURING not in told
    for events in (seen, told):
        assert of_kind(events, Started)[0].levels == there
    assert {named.name: named.level.end_log10 for named in baseline_levels(compare([Run(finished)]))} == there


@pytest.mark.usefixtures("_is_measured_already")
def test_a_baseline_that_two_experiments_share_is_looked_for_once(finished: Path, tmp_path: Path) -> None:
    """The other one keeps levels of another seed."""
    driven = DrivenRun.create(override(MANY, ["meta.epsilon=1e-16", "run.seed=5"]), tmp_path / "other")
    driven.close()
    with (tmp_path / "other" / "metrics.csv").open("a") as file:
        file.write("0,1.0,1.0,0.0,0.0,1.0,,0,RNN,5\n")
    groups = compare([Run(finished), Run(tmp_path / "other")])
    assert len(groups) == 2
    assert [named.name for named in baseline_levels(groups)] == ["SGD", "RMSProp"]


# Not these.


def test_levels_of_another_seed_are_measured(finished: Path) -> None:
    assert levels.stored(Run(finished).record(), MANY, 4) is None
    assert levels.of_runs([Run(finished)], MANY, 4) == levels.measure(MANY, 4)
    reached = {named.name: named.level for named in baseline_levels(compare([Run(finished)]), seed=4)}
    assert reached == levels.measure(MANY, 4)


@pytest.mark.parametrize(
    "setting", ["baseline.0.learning_rate=0.3", "unroll.steps=5", "problem.dims=3", "report.baseline_draws=900"]
)
def test_levels_of_other_settings_are_measured(setting: str, finished: Path) -> None:
    other = override(MANY, [setting])
    assert levels.of_runs([Run(finished)], other, 3) == levels.measure(other, 3)
    assert levels.of_runs([Run(finished)], other, 3) != levels.of_runs([Run(finished)], MANY, 3)


def test_a_run_that_is_gone_has_its_levels_measured(tmp_path: Path) -> None:
    driven = DrivenRun.create(MANY, tmp_path / "run")
    driven.close()
    there = Run(tmp_path / "run")
    (tmp_path / "run" / "run.json").unlink()
    assert levels.of_runs([there], MANY, 3) == levels.measure(MANY, 3)


def test_baselines_that_were_renamed_by_hand_are_measured(finished: Path) -> None:
    renamed = override(MANY, ["baseline.0.name=Descent"])
    assert levels.stored(Run(finished).record(), renamed, 3) is None


def test_a_run_of_an_older_version_is_measured_by_who_resumes_it_and_then_keeps_them(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run(folder, MANY)
    at_first = Run(folder).record().levels
    as_of_an_older_version(folder)
    assert Run(folder).record().levels is None
    assert MEASURING in resume(folder, iterations=40)
    assert Run(folder).record().levels == at_first is not None
    assert MEASURING not in resume(folder, iterations=50)


def test_a_run_of_an_older_version_is_measured_by_who_watches_it_and_stays_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run(folder, MANY)
    as_of_an_older_version(folder)
    before = (folder / "run.json").read_bytes()
    seen = started(Watcher(Run(folder)).events())
    assert seen[0] == MEASURING
    assert of_kind(seen, Started)[0].levels == Baselines(MANY.experiment, 3, MANY.report.baseline_draws).levels
    assert (folder / "run.json").read_bytes() == before


def test_a_preset_changed_by_hand_is_not_given_the_levels_of_others(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    run(folder, MANY)
    fewer = override(MANY, ['baseline=[{name="SGD", kind="sgd"}]'])
    (folder / "preset.toml").write_text(to_toml(fewer))
    seen = started(Watcher(Run(folder)).events())
    assert set(of_kind(seen, Started)[0].levels) == {"SGD"}
    assert MEASURING in seen


def test_levels_that_cannot_be_read_are_the_user_s_error(tmp_path: Path) -> None:
    DrivenRun.create(MANY, tmp_path / "run").close()
    change_record(tmp_path / "run", levels={"seed": 3, "settings": "", "baselines": {"SGD": {"end_log10": "low"}}})
    with pytest.raises(RunError, match=r"run\.json cannot be read: levels\.baselines\.SGD"):
        Run(tmp_path / "run")


def test_levels_of_a_preset_that_was_changed_by_hand_are_measured_again(finished: Path) -> None:
    record = Run(finished).record()
    assert levels.stored(record, MANY, 3) is not None
    for setting in ("baseline.0.learning_rate=0.3", "unroll.steps=5", "report.baseline_draws=999", "run.dtype=float64"):
        assert levels.stored(record, override(MANY, [setting]), 3) is None
