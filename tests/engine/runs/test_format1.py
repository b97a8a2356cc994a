"""A run that an earlier version left, with a checkpoint of format 1 and a preset that says [transform]."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open

from l2o_engine.backends.reference import TorchBackend
from l2o_engine.live.watcher import Watcher
from l2o_engine.records.events import Diagnosed, Ended, Leave, NewRows, Progress, Started
from l2o_engine.records.rows import rows_of
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.folder import Run, lanes_of
from l2o_engine.runs.metrics_file import RowFormat
from l2o_engine.studies.comparison import compare
from l2o_engine.training.trainer import make_trainer
from tests.engine.tiny import of_kind, resume
from tests.tui.conftest import call

KEPT = Path(__file__).parents[2] / "data" / "runs" / "format1"
"""logdiv_sum_log of three hidden units, two seeds, 40 meta-iterations, by the version of commit bfd0504."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(KEPT, tmp_path / "format1"))


def test_its_checkpoint_is_read_to_the_last_bit(folder: Path) -> None:
    run = Run(folder)
    path = run.latest_checkpoint()
    assert path is not None
    with safe_open(path, framework="np") as file:
        document = json.loads(file.metadata()["l2o"])
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    assert document["format"] == 1
    layout = run.preset().experiment.layout
    assert layout is not None
    for seed, state in run.checkpoint().trainers.items():
        written, learner = document["trainers"][str(seed)], state.learner
        assert learner is not None
        assert (state.done, state.draws) == (written["done"], written["draws"])
        assert list(learner.powers) == written["learner"]["powers"]
        assert learner.numbers == {"min_log": written["learner"]["min_log"]}
        assert state.episodes == {}
        for kind in ("weights", "moment1", "moment2"):
            for name, values in layout.split(getattr(learner, kind)).items():
                np.testing.assert_array_equal(values, tensors[f"seed{seed}.{kind}.{name}"])


def test_it_goes_on_as_its_trainers_would_have(folder: Path) -> None:
    """Row by row: what was there stays byte for byte, and what is added is what the loaded states give."""
    preset, before = Run(folder).preset(), (folder / "metrics.csv").read_bytes()
    trainers = [make_trainer(preset.experiment, TorchBackend(preset.experiment), seed) for seed in preset.seeds]
    for seed, trainer in zip(preset.seeds, trainers, strict=True):
        trainer.load_state(Run(folder).checkpoint().trainers[seed])
    rows = rows_of([chunk for trainer in trainers for chunk in trainer.advance(20)], lanes_of(preset))
    resume(folder, iterations=60)
    expected = RowFormat(lanes_of(preset), "float32", learned=True, numbers=["min_log"]).format(rows)
    assert (folder / "metrics.csv").read_bytes() == before + expected
    assert Run(folder).checkpoint().iteration == 60
    with safe_open(str(Run(folder).latest_checkpoint()), framework="np") as file:
        assert json.loads(file.metadata()["l2o"])["format"] == 3


def test_it_is_watched_from_its_first_row_on(folder: Path) -> None:
    watcher = Watcher(Run(folder))
    told = []
    for event in watcher.events():
        told.append(event)
        if isinstance(event, Ended):
            watcher.mailbox.put(Leave())
    assert len(of_kind(told, Started)) == 1
    assert sum(len(event.rows) for event in of_kind(told, NewRows)) == 82
    assert [(progress.lane.seed, progress.iteration) for progress in of_kind(told, Progress)] == [
        (seed, iteration) for iteration in (0, 20, 40) for seed in (0, 1)
    ]
    assert all(np.isnan(event.diagnosis.vitals.loss_ratio) for event in of_kind(told, Diagnosed))


def test_it_is_shown_and_compared_beside_one_of_today(folder: Path, tmp_path: Path) -> None:
    shown = call("show", folder)
    assert shown.code == 0
    assert 'kind = "ratio_log"' in shown.out
    preset = Run(folder).preset()
    today = DrivenRun.create(preset, tmp_path / "today")
    trainers = [make_trainer(preset.experiment, TorchBackend(preset.experiment), seed) for seed in preset.seeds]
    chunks = [chunk for trainer in trainers for chunk in trainer.advance(41)]
    today.append_rows(rows_of(chunks, lanes_of(preset)))
    today.close()
    (group,) = compare([Run(folder), Run(tmp_path / "today")])  # one experiment
    assert group.seeds == (0, 0, 1, 1)
