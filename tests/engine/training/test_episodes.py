"""Episodes that go on over several meta-iterations: what is carried, when they begin, and what they came to."""

from dataclasses import replace
from math import isnan, nan
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose, assert_array_equal
from pydantic import ValidationError

from l2o_engine.backends.reference import TorchBackend
from l2o_engine.meta.truncation import Truncation
from l2o_engine.optimizers.base import run
from l2o_engine.presets.messages import PresetError
from l2o_engine.records.rows import rows_of
from l2o_engine.support.arrays import LOG_FLOOR
from l2o_engine.training.trainer import MetaTrainer
from tests.engine.tiny import tiny_preset

EPISODE = ("unroll.steps=12", "unroll.truncation=4")


def trainer_of(*settings: str, seed: int = 0) -> MetaTrainer:
    experiment = tiny_preset(*settings).experiment
    return MetaTrainer(experiment, seed, TorchBackend(experiment))


def rows(trainer: MetaTrainer, n: int) -> Any:
    return rows_of(trainer.advance(n), trainer.lanes)


# What is carried.


def test_an_optimizer_that_is_not_trained_runs_an_episode_as_it_would_in_one_piece() -> None:
    """With a learning rate of next to nothing, three truncations are what ``run`` does in one go."""
    trainer = trainer_of(*EPISODE, "meta.learning_rate=1e-30", "meta.precision=float64", "run.dtype=float64")
    optimizer, losses = replace(trainer.optimizer(), stays=False), trainer.advance(3)[0].results.losses
    task = trainer._experiment.task.draw(np.random.Generator(_beginning()), 1, 1, steps=15, dtype="float64")
    whole = run(optimizer, task, 13)[0, 0]
    assert_allclose(losses[:, 0], [whole[0:5], whole[4:9], whole[8:13]], rtol=1e-12)


def _beginning() -> np.random.PCG64:
    trainer = trainer_of(*EPISODE)
    bits = np.random.PCG64()
    bits.state = trainer.state().draws  # type: ignore[assignment]  # NumPy's stubs have a stricter one
    return bits


def test_nothing_is_carried_into_the_next_episode() -> None:
    """An episode behind another one, of a trainer that learns nothing, is as one that begins a run."""
    still = trainer_of(*EPISODE, "meta.learning_rate=1e-30", "meta.precision=float64")
    still.advance(3)
    between = still.state()
    second = still.advance(3)[0].results.losses
    fresh = trainer_of(*EPISODE, "meta.learning_rate=1e-30", "meta.precision=float64")
    fresh.load_state(replace(fresh.state(), draws=between.draws))
    assert_array_equal(fresh.advance(3)[0].results.losses, second)


# When they begin and end, and what they came to.


def test_charts_and_tables_have_what_the_episode_came_to_that_ended_last() -> None:
    trainer = trainer_of(*EPISODE, "run.dtype=float64")
    chunk = trainer.advance(7)[0]
    table, losses = rows_of([chunk], trainer.lanes), chunk.results.losses[:, 0]
    one, two = (
        np.concatenate([losses[k, :-1] for k in part] + [losses[part[-1], -1:]]) for part in ((0, 1, 2), (3, 4, 5))
    )
    assert len(one) == 13
    assert_allclose(table.end_loss, [nan, nan, one[-1], one[-1], one[-1], two[-1], two[-1]])
    assert_allclose(table.sum_loss, [nan, nan, *[one.sum()] * 3, *[two.sum()] * 2])
    mean = np.log10(one + LOG_FLOOR).mean()
    assert_allclose(table.mean_log10[:3], [nan, nan, mean], atol=1e-6)
    assert_allclose(table.end_log10[2], np.log10(one[-1] + LOG_FLOOR), atol=1e-6)
    assert not table.non_finite.any()


def test_parallel_episodes_begin_one_after_the_other_and_are_averaged_over() -> None:
    trainer = trainer_of(*EPISODE, "meta.batch=3", "unroll.staggered=true", "run.dtype=float64")
    lengths, ended = [], []
    for _ in range(3):
        chunk = trainer.advance(1)[0]
        episodes = trainer.state().episodes
        lengths.append([episodes[name].length for name in "012"])
        ended.append(int(np.sum([episode.before is not None for episode in episodes.values()])))
    assert lengths[0] == [12, 8, 0]  # the third was one truncation long, and has ended
    assert ended == [1, 2, 3]
    end = np.mean([episode.before.end_loss for episode in episodes.values() if episode.before])
    assert rows_of([chunk], trainer.lanes).end_loss[0] == pytest.approx(end)


def test_horizons_are_log_uniform_in_whole_truncations() -> None:
    reach = Truncation(20, of=1000, shortest=100)
    lengths = np.array([reach.length_of(u) for u in np.linspace(0, 1, 20_001)[:-1]])
    assert set(lengths % 20) == {0}
    assert (lengths.min(), lengths.max()) == (100, 1000)
    below = (lengths < 320).mean()  # log(320/100) / log(1020/100)
    assert below == pytest.approx(0.5008, abs=1e-3)


def test_an_episode_that_is_lost_ends_and_another_begins() -> None:
    trainer = trainer_of(*EPISODE, "problem.scale=[1e30, 1e30]", "meta.non_finite=skip")
    table = rows(trainer, 2)
    assert table.non_finite.all()
    episode = trainer.state().episodes["0"]
    assert (episode.step, episode.length) == (0, 0)
    assert episode.before is not None
    assert not np.isfinite(table.end_loss).any()
    assert isnan(table.end_loss[0]) or np.isinf(table.end_loss[0])


# What is saved.


def test_a_state_of_other_episodes_is_refused() -> None:
    saved = trainer_of(*EPISODE)
    saved.advance(1)
    state = saved.state()
    half_done = state.episodes["0"]
    others = {
        "whole episodes": trainer_of(),
        "batch": trainer_of(*EPISODE, "meta.batch=2"),
        "inputs": trainer_of(*EPISODE, 'inputs = {kind = "rnnprop"}'),
        "dims": trainer_of(*EPISODE, "problem.dims=3"),
    }
    for name, other in others.items():
        with pytest.raises(ValueError, match="this state is of"):
            other.load_state(state)
        assert other.state().done == 0, name
    for step, length in ((3, 12), (12, 12), (4, 13), (4, 16), (-4, 12)):
        episodes = {"0": replace(half_done, step=step, length=length)}
        with pytest.raises(ValueError, match="this state is of"):
            trainer_of(*EPISODE).load_state(replace(state, episodes=episodes))


# Settings.


@given(steps=st.integers(2, 50), of=st.integers(2, 200))
def test_an_episode_is_whole_truncations(steps: int, of: int) -> None:
    if of % steps:
        with pytest.raises(ValidationError):
            Truncation(steps, of=of)
        return
    reach = Truncation(steps, of=of)
    assert reach.is_whole == (steps == of)
    assert (reach.losses, reach.episode_losses) == ((steps, of) if reach.is_whole else (steps + 1, of + 1))
    assert reach.drawn_losses(of) == of // steps * reach.losses


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (("unroll.steps=100", "unroll.truncation=30"), ": steps, 100, is not a multiple of it"),
        (("unroll.shortest=2",), ": has no meaning where a truncation is the whole episode"),
        (("unroll.staggered=true",), ": has no meaning"),
        (("unroll.closing_loss=false",), ": has no meaning"),
        ((*EPISODE, "unroll.shortest=6"), ": must be truncations of 4 steps, 12 at most"),
        ((*EPISODE, "unroll.shortest=16"), ": must be truncations of 4 steps, 12 at most"),
    ],
)
def test_what_is_wrong_is_said(settings: tuple[str, ...], said: str) -> None:
    with pytest.raises(PresetError, match=said):
        tiny_preset(*settings)


def test_the_kernel_says_that_it_takes_whole_episodes() -> None:
    trainer = MetaTrainer(tiny_preset(*EPISODE).experiment)
    assert trainer.backend.name == "torch"
    assert trainer.reason.startswith("not fused: the kernel unrolls whole episodes; not coordinatewise: ")
