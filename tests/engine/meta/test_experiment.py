"""Experiments: what cannot be is told when one is made, in a script as in a preset."""

from typing import Any

import pytest

from l2o_engine.meta.experiment import Experiment
from l2o_engine.meta.objectives.end_log import EndLog
from l2o_engine.meta.truncation import Truncation
from l2o_engine.optimizers.learned.inputs.ratio import Ratio
from l2o_engine.optimizers.learned.learned_optimizer import LEARNED, LearnedOptimizer
from l2o_engine.optimizers.rmsprop import RmsProp
from l2o_engine.optimizers.sgd import Sgd
from l2o_engine.tasks.quadratic import Quadratic


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"baselines": (Sgd(0.1), Sgd(0.2))}, "name of its own"),
        ({"baselines": (Sgd(name=LEARNED),)}, "that is the network"),
        ({"dtype": "float16"}, "not 'float16'"),
        ({"objective": EndLog(residual=1e-50)}, "objective.residual would be 0 in float32"),
        ({"learned": LearnedOptimizer(inputs=Ratio(1e-50))}, "inputs.ratio_residual would be 0 in float32"),
        ({"baselines": (Sgd(), RmsProp(epsilon=1e-50))}, "baseline.1.epsilon would be 0 in float32"),
    ],
    ids=["one name twice", "the network's name", "dtype", "objective", "inputs", "baseline"],
)
def test_what_cannot_be_is_told(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        Experiment(Quadratic(), **wrong)


def test_what_float64_holds_is_taken_in_float64() -> None:
    assert Experiment(Quadratic(), objective=EndLog(residual=1e-50), dtype="float64").dtype == "float64"


def test_a_truncation_is_the_whole_episode_unless_it_is_told_otherwise() -> None:
    assert (Truncation().steps, Truncation(7).episode, Truncation(7, of=7).episode) == (20, 7, 7)
    with pytest.raises(ValueError, match="an episode of 100 steps is not made of truncations of 30"):
        Truncation(30, of=100)
    for wrong in (1, 20.5, "20"):
        with pytest.raises(ValueError, match="Truncation"):
            Truncation(wrong)  # type: ignore[arg-type]


def test_an_experiment_that_trains_nothing_has_nothing_to_lay_out() -> None:
    assert Experiment(Quadratic(), None).layout is None
