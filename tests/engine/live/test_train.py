"""A run's metrics as columns, and its learned optimizer, for a notebook."""

import sys
from pathlib import Path

import numpy as np
import pytest

from l2o_engine.backends.choose import BackendError
from l2o_engine.live.train import train
from l2o_engine.presets.messages import PresetError
from l2o_engine.presets.tables import to_toml
from l2o_engine.records.events import Ended, Event
from l2o_engine.runs.about import AboutError
from l2o_engine.runs.catalogue import load_run
from l2o_engine.runs.export import export_file
from l2o_engine.runs.folder import Run
from l2o_engine.runs.metrics_file import HEADER
from l2o_engine.runs.record import RunError
from l2o_engine.support.errors import UserError
from tests.engine.tiny import INPUTS, run, tiny_baselines, tiny_preset


@pytest.fixture(scope="module")
def replicates(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("metrics") / "run"
    run(folder, tiny_preset("run.seed=3", "run.seeds=2", INPUTS["adaptive log"]))
    return Run(folder)


def test_columns_are_those_of_the_file(replicates: Run) -> None:
    metrics = replicates.metrics()
    assert set(metrics) == set(HEADER.strip().split(","))
    assert metrics.names == tuple(metrics)
    assert len(metrics["iteration"]) == 62
    assert "62 rows" in repr(metrics)
    first = (replicates.folder / "metrics.csv").read_text().splitlines()[1].split(",")
    for name, cell in zip(HEADER.strip().split(","), first, strict=True):
        column = metrics[name]
        assert str(column[0]) == cell if name == "optimizer" else float(column[0]) == float(cell)
    assert metrics["seed"].tolist() == [3, 4] * 31
    own = metrics.of_seed(4)
    assert own["iteration"].tolist() == list(range(31))
    assert set(own["seed"]) == {4}


@pytest.fixture(scope="module")
def rivals(tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("rivals") / "run"
    run(folder, tiny_baselines())
    return Run(folder)


@pytest.fixture(params=["replicates", "rivals"])
def either(request: pytest.FixtureRequest) -> Run:
    found: Run = request.getfixturevalue(request.param)
    return found


def test_they_are_a_data_frame_of_pandas(replicates: Run) -> None:
    frame = replicates.metrics().to_pandas()
    assert frame.shape == (62, 10)
    assert frame.groupby("seed")["end_log10"].mean().index.tolist() == [3, 4]


def test_they_are_an_arrow_table_whose_numbers_are_not_copied(either: Run) -> None:
    metrics = either.metrics()
    table = metrics.to_arrow()
    assert table.column_names == HEADER.strip().split(",")
    for name in ("iteration", "end_loss", "mean_log10", "seed"):
        assert table[name].chunk(0).buffers()[1].address == metrics[name].ctypes.data
    assert table["optimizer"].to_pylist() == metrics["optimizer"].tolist()
    assert table["non_finite"].to_pylist() == metrics["non_finite"].tolist()
    measured = either.preset().learns
    assert {name for name in table.column_names if table[name].null_count} == (
        set() if measured else {"gradient_norm", "min_log"}
    )


def test_they_are_a_data_frame_of_polars(either: Run) -> None:
    frame, metrics = either.metrics().to_polars(), either.metrics()
    assert frame.height == 62
    assert frame["optimizer"].to_list() == metrics["optimizer"].tolist()
    np.testing.assert_array_equal(frame["end_log10"].to_numpy(), metrics["end_log10"])


def test_they_are_written_as_the_export_is(either: Run, tmp_path: Path) -> None:
    either.metrics().to_parquet(tmp_path / "mine.parquet")
    export_file(either, "parquet", tmp_path / "theirs.parquet")
    assert (tmp_path / "mine.parquet").read_bytes() == (tmp_path / "theirs.parquet").read_bytes()
    with pytest.raises(UserError, match=r"cannot write .*nowhere"):
        either.metrics().to_parquet(tmp_path / "nowhere" / "mine.parquet")


@pytest.mark.parametrize(
    ("missing", "call"), [("pandas", "to_pandas"), ("polars", "to_polars"), ("pyarrow", "to_arrow")]
)
def test_what_is_not_installed_is_named_with_what_installs_it(
    missing: str, call: str, replicates: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=rf"{missing}, which is not installed: pip install 'l2o-tui\[frames\]'"):
        getattr(replicates.metrics(), call)()


def test_a_run_gives_the_optimizer_that_it_has_learned(replicates: Run) -> None:
    learner = replicates.checkpoint().trainers[4].learner
    assert learner is not None
    optimizer = replicates.optimizer(4)
    np.testing.assert_array_equal(optimizer.weights, learner.weights)
    assert optimizer.numbers == learner.numbers != replicates.preset().inputs.numbers
    np.testing.assert_array_equal(
        replicates.optimizer().weights,
        replicates.optimizer(3).weights,
    )


def test_what_has_no_optimizer_says_so(replicates: Run, tmp_path: Path) -> None:
    with pytest.raises(RunError, match="has no seed 5; its seeds are 3, 4"):
        replicates.optimizer(5)
    run(tmp_path / "baselines", tiny_baselines())
    with pytest.raises(RunError, match="trains no optimizer"):
        Run(tmp_path / "baselines").optimizer()


def test_a_run_without_a_row_or_a_checkpoint_says_so(tmp_path: Path) -> None:
    run(tmp_path / "run", tiny_preset())
    (tmp_path / "run" / "metrics.csv").write_text(HEADER)
    with pytest.raises(RunError, match="no result yet"):
        Run(tmp_path / "run").metrics()
    for path in (tmp_path / "run" / "checkpoints").iterdir():
        path.unlink()
    with pytest.raises(RunError, match="has no optimizer yet: run has no checkpoint"):
        Run(tmp_path / "run").optimizer()


# Training from a script.


def test_train_is_a_run_with_its_folder_that_is_found_again(tmp_path: Path) -> None:
    told: list[Event] = []
    found = train(
        tiny_preset(), seed=7, iterations=12, set={"meta.epsilon": 1e-12}, runs_dir=tmp_path, on_event=told.append
    )
    assert isinstance(told[-1], Ended)
    preset = found.preset()
    assert (found.status(), preset.run.seed, preset.run.iterations) == ("finished", 7, 12)
    assert preset.meta.epsilon == 1e-12
    assert load_run("last", runs_dir=tmp_path).folder == found.folder
    assert load_run(found.folder).folder == found.folder


def test_train_takes_a_name_and_an_exact_folder(tmp_path: Path) -> None:
    tiny = {"network.hidden": 2, "unroll.steps": 3, "report.every": 5}
    found = train("log30", iterations=5, backend="torch", set=tiny, run_dir=tmp_path / "mine")
    assert found.folder == tmp_path / "mine"
    assert found.record().backend == "torch"


@pytest.mark.parametrize(("wrong", "words"), [({"meta.epsilonn": 1.0}, "did you mean"), ({"run.seed": -1}, "at least")])
def test_what_is_wrong_is_told_before_anything_is_made(wrong: dict[str, object], words: str, tmp_path: Path) -> None:
    with pytest.raises(PresetError, match=words):
        train("log30", set=wrong, runs_dir=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()


def test_a_run_is_called_what_is_said_of_it_and_told_against_what_it_was_made_of(tmp_path: Path) -> None:
    own = tiny_preset()
    changes = {"meta.epsilon": 1e-12}
    run = train(own, set=changes, runs_dir=tmp_path, iterations=3, name="mine", note="why", tags=("a", "b"))
    record = run.record()
    assert (record.given_name, record.note, record.tags) == ("mine", "why", ("a", "b"))
    assert record.changed == {"meta.epsilon": [own.meta.epsilon, 1e-12]}
    (tmp_path / "own.toml").write_text(to_toml(own))
    again = train(tmp_path / "own.toml", set=changes, runs_dir=tmp_path, iterations=3, tags="one").record()
    assert (again.changed, again.origin, again.tags) == (record.changed, record.origin, ("one",))
    there = sorted(tmp_path.iterdir())
    with pytest.raises(AboutError, match="one word"):
        train(own, runs_dir=tmp_path, tags=["two words"])
    assert sorted(tmp_path.iterdir()) == there


def test_a_backend_that_cannot_be_had_is_told_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match="one number a coordinate"):
        train("log30", backend="fused", set={"inputs": {"kind": "log_and_sign"}}, runs_dir=tmp_path / "runs")
    assert not (tmp_path / "runs").exists()
