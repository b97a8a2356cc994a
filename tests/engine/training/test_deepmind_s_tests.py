"""DeepMind's own acceptance tests, A1 and A2: x² from x = 1, by gradient descent whose rate and offset are learned.

google-deepmind/learning-to-learn, meta_test.py. Values by hand and by an independent computation.
"""

import pytest

from l2o_engine.meta.experiment import Experiment
from l2o_engine.meta.meta_adam import MetaAdam
from l2o_engine.meta.truncation import Truncation
from l2o_engine.optimizers.learned.learned_optimizer import LearnedOptimizer
from l2o_engine.optimizers.learned.networks.linear import Linear
from l2o_engine.tasks.quadratic import Quadratic
from l2o_engine.training.trainer import Chunk, MetaTrainer

SIMPLE = Quadratic(dims=1, scale=(1.0, 1.0), start=(1.0, 1.0))


def trained(truncation: Truncation, episodes: int, *, second_derivatives: bool = False) -> tuple[Chunk, MetaTrainer]:
    """Return the last truncation of so many episodes, and who has trained them."""
    experiment = Experiment(
        SIMPLE,
        LearnedOptimizer(Linear()),
        truncation=truncation,
        meta=MetaAdam(0.01, gradient="none"),
        second_derivatives=second_derivatives,
        dtype="float64",
    )
    trainer = MetaTrainer(experiment, backend="torch")
    *_, (chunk,) = (trainer.advance(1) for _ in range(episodes * truncation.episode // truncation.steps))
    return chunk, trainer


def test_a1_two_truncations_of_five_steps() -> None:
    """Adam's first step makes both weights -0.01, so x ← x - 0.02·x - 0.01 five times, from where it had stayed: 1."""
    chunk, trainer = trained(Truncation(5, of=10), 1)
    x = chunk.results.losses[0, 0] ** 0.5
    expected = 1.0
    for step in range(6):
        assert x[step] == pytest.approx(expected, abs=1e-7)
        expected = 0.98 * expected - 0.01
    assert x[-1] == pytest.approx(0.8558812, abs=1e-7)
    assert chunk.results.outcomes is not None
    assert chunk.results.outcomes.end_loss[-1] == pytest.approx(0.7325327, abs=1e-7)
    assert trainer.state().done == 2


@pytest.mark.parametrize(
    ("second_derivatives", "cost"), [(False, 1.7e-9), pytest.param(True, 2.9e-7, marks=pytest.mark.soak)]
)
def test_a2_five_hundred_episodes(second_derivatives: bool, cost: float) -> None:
    chunk, trainer = trained(Truncation(20, of=100), 500, second_derivatives=second_derivatives)
    assert chunk.results.outcomes is not None
    end_loss = chunk.results.outcomes.end_loss[-1]
    assert end_loss < 1e-5  # DeepMind's own bound
    assert end_loss == pytest.approx(cost, rel=0.05)
    if not second_derivatives:
        learner = trainer.state().learner
        assert learner is not None
        assert learner.weights == pytest.approx([-0.480, -3.4e-5], rel=0.02)
