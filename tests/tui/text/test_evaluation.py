"""The tables of what optimizers reach on held-out draws."""

from pathlib import Path

import numpy as np
import pytest
from rich.cells import cell_len

from l2o_engine.optimizers.rmsprop import RmsProp
from l2o_engine.optimizers.sgd import Sgd
from l2o_engine.runs.folder import Run
from l2o_engine.studies.evaluation import Judged, Network, Problem, Ranking, Source, rankings_of
from l2o_engine.training.figures import Evaluated
from l2o_tui.text.evaluation import notes_on, ranking_lines
from tests.engine import tiny
from tests.engine.made import made_run

PRESET = tiny.tiny_preset("run.seeds=2")
PROBLEM = Problem("tiny", PRESET.problem, 3, (), "float32")
START = [1.0, 0.5]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return made_run(tmp_path / "run", PRESET, [[0.0] * 3] * 2)


def judged(losses: list[float], network: Network | None = None, rival: Sgd | RmsProp | None = None) -> Judged:
    """Return what came of draws that end with these losses."""
    found = Evaluated("x", np.array([[*START, last] for last in losses]))
    name = rival.name if rival else "RNN"
    curve, zeros = np.zeros((3, 3)), np.zeros(3)
    return Judged(
        PROBLEM, name, network, rival, len(losses), found.figures, found.intervals, curve, zeros, zeros, "torch"
    )


def network_of(run: Run, seed: int, *, diverged: bool = False) -> Network:
    weights = np.zeros(PRESET.experiment.trained.layout.size, np.float32)
    optimizer = PRESET.experiment.trained.with_weights(weights)
    return Network(Source(run.name, run.folder, run.preset()), seed, optimizer, 20, True, diverged)


@pytest.fixture
def ranking(run: Run) -> Ranking:
    found = [
        judged([1e-4] * 100, network_of(run, 0)),
        judged([1e-8] * 99 + [np.inf], network_of(run, 1, diverged=True)),
        judged([2.0] * 40 + [1e-3] * 60, rival=Sgd()),
        judged([1e-30] * 98 + [np.nan] * 2, rival=RmsProp()),
    ]
    (ranking,) = rankings_of(found)
    return ranking


def test_every_figure_has_its_place_and_who_loses_draws_is_last(ranking: Ranking) -> None:
    lines = ranking_lines(ranking, seed=4)
    assert lines[0] == "tiny: 3 steps, 100 held-out draws of seed 4"
    rows = [line.split() for line in lines]
    assert rows[2] == ["RNN,", "2", "seeds", "-6.00", "-8.00…-4.00", "-6.00", "-6.0…-6.0", "0.5%", "0.5%", "1"]
    assert [rows[3][0], rows[3][1], rows[3][-3:]] == ["SGD", "-1.68", ["40%", "0", "2"]]
    assert rows[4] == ["RMSProp", "-30.00", "-30.00…-30.00", "-30.00", "-30.0…-30.0", "2.0%", "2.0%", "3"]
    assert " ".join(rows[6]) == "Σ, updates Σ mean 95 % Σ median to 1e-3 to 1e-6 to 1e-12 #"
    assert " ".join(rows[7]) == "RNN, 2 seeds 1.50 1.50…1.50 1.50 2 (100%) 2 (50%) – 1"
    assert " ".join(rows[9]) == "RMSProp 1.50 1.50…1.50 1.50 2 (98%) 2 (98%) 2 (98%) 3"


@pytest.mark.parametrize("width", [80, 72, 66])
def test_a_table_that_is_too_wide_has_shorter_names(run: Run, width: int) -> None:
    names = ["Nesterov-of-long-name-1", "Nesterov-of-long-name-2"]
    (ranking,) = rankings_of([judged([1e-4] * 10, rival=Sgd(name=name)) for name in names])
    lines = ranking_lines(ranking, seed=0, width=width)
    assert max(map(cell_len, lines)) <= width
    assert all(any(line.split()[0].endswith(name[-3:]) for line in lines) for name in names)


def test_a_checkpoint_a_diverging_seed_and_lost_draws_are_named(ranking: Ranking) -> None:
    assert notes_on([ranking]) == [
        "run: of its best checkpoint, at 20",
        "seed 1 of run had diverged in training",
        "seed 1 of run: 1 of 100 draws of tiny, 3 steps, are lost: they end with no finite loss, or a millionfold",
        "the networks are computed by torch",
    ]
