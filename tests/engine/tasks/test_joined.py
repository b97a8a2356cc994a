"""Tasks made of others: ensembles, random scaling, and what a training adds to its problem."""

import numpy as np
import pytest

from l2o_engine.backends.choose import BackendError, choose
from l2o_engine.meta.experiment import Experiment
from l2o_engine.meta.truncation import Truncation
from l2o_engine.optimizers.learned.learned_optimizer import LearnedOptimizer
from l2o_engine.optimizers.learned.networks.by_group import ByGroup, Member
from l2o_engine.optimizers.learned.networks.linear import Linear
from l2o_engine.presets.files import check
from l2o_engine.presets.identity import differing, resumed_settings
from l2o_engine.presets.messages import PresetError
from l2o_engine.presets.tables import to_dict, to_toml
from l2o_engine.tasks.base import Task, TaskFamily
from l2o_engine.tasks.distributions import Normal
from l2o_engine.tasks.joined import Augmentation, Ensemble, Scaled
from l2o_engine.tasks.lasso import Lasso
from l2o_engine.tasks.least_squares import LeastSquares
from l2o_engine.tasks.network import Network
from l2o_engine.tasks.quadratic import Quadratic
from l2o_engine.tasks.square import Square
from l2o_engine.training.trainer import MetaTrainer

SIMPLE = Quadratic(dims=1, scale=(1.0, 1.0), start=(1.0, 1.0))
RNNPROP_S = Augmentation(scaling=3.0, companion=20)


def drawn(family: TaskFamily, n: int = 1, batch: int = 1) -> Task:
    return family.draw(np.random.default_rng(1), n, batch, steps=2, dtype="float64")


# Ensembles.


def test_an_ensemble_is_the_weighted_sum_of_what_its_problems_draw_alone() -> None:
    first, second = Quadratic(noise=0.5), Lasso(dims=3)
    generator = np.random.default_rng(1)
    one, two = (family.draw(generator, 1, 2, steps=2, dtype="float64") for family in (first, second))
    task = drawn(Ensemble(of=(first, second), weights=(1.0, 0.1)), batch=2)
    np.testing.assert_array_equal(task.start, np.concatenate([one.start, two.start], -1))
    np.testing.assert_allclose(task.loss(task.start), one.loss(one.start) + 0.1 * two.loss(two.start), rtol=1e-15)
    slopes = one.gradient(one.start, one.minibatch(1)), 0.1 * two.gradient(two.start)
    np.testing.assert_allclose(
        task.gradient(task.start, task.minibatch(1)), np.concatenate(slopes, -1), rtol=1e-15, atol=0
    )


def test_deepmind_s_simple_problem_and_the_one_with_a_network_for_each_coordinate() -> None:
    simple = drawn(SIMPLE, n=3)
    assert (simple.start == 1).all()
    assert (simple.loss(np.full_like(simple.start, 0.5)) == 0.25).all()
    multi = Ensemble(of=(SIMPLE, SIMPLE))
    assert {name: (group.place, group.part) for name, group in multi.groups.items()} == {
        "0": (slice(0, 1), "0"),
        "1": (slice(1, 2), "1"),
    }
    members = tuple(Member(name, (name[-1],), Linear()) for name in ("cw0", "cw1"))
    learned = LearnedOptimizer(ByGroup(of=members))
    weights = np.array([-0.1, 0.0, 0.0, -0.25])  # a rate for the first coordinate, an offset for the second
    optimizer = learned.with_weights(weights).on(multi)
    task = drawn(multi)
    update, _ = optimizer.update(task.gradient(task.start), optimizer.init(task.start))
    np.testing.assert_allclose(update[0, 0], [-0.2, -0.25])


def test_deepmind_s_quadratic_is_128_problems_in_one_task() -> None:
    """And divided by 10, the paper's axis, as an ensemble of one."""
    family = LeastSquares(problems=128, matrix=Normal((0.0, 1.0)), target=Normal((0.0, 1.0)))
    task, tenth = drawn(family), drawn(Ensemble(of=(family,), weights=(0.1,)))
    assert family.size == 1280
    assert task.loss(np.zeros_like(task.start))[0, 0] == pytest.approx((task.parameters["target"] ** 2).sum() / 128)
    np.testing.assert_allclose(tenth.loss(task.start), task.loss(task.start) / 10)
    assert 8 < task.loss(task.start)[0, 0] < 12  # 10 numbers of variance 1


# Scaling.


def test_scaling_changes_the_coordinates_and_no_loss_at_the_start() -> None:
    inner = drawn(Quadratic(), n=1, batch=2)
    task = drawn(Scaled(Quadratic(), 3.0), n=1, batch=2)
    factor = task.parameters["factor"]
    np.testing.assert_array_equal(task.start, inner.start / factor)
    np.testing.assert_allclose(task.loss(task.start), inner.loss(inner.start), rtol=1e-14)
    np.testing.assert_allclose(task.gradient(task.start), factor * inner.gradient(inner.start), rtol=1e-13)


def test_factors_are_log_uniform_and_every_coordinate_s_own() -> None:
    task = drawn(Scaled(Quadratic(), 2.0), n=1, batch=20_000)
    logs = np.log(task.parameters["factor"][0])
    counts, _ = np.histogram(logs, bins=10, range=(-2.0, 2.0))
    assert counts.sum() == logs.size
    assert np.allclose(counts, logs.size / 10, rtol=0.1)
    assert abs(np.corrcoef(logs.T)[0, 1]) < 0.03


# What RNNprop adds.


def test_the_companion_is_rnnprop_s_square() -> None:
    task = drawn(Square())
    target = task.parameters["target"]
    assert (np.abs(target) < 1).all()
    assert (task.start == 0).all()
    x = target + np.linspace(0, 6, 20)
    assert task.loss(x)[0, 0] == pytest.approx(np.minimum(np.linspace(0, 6, 20) ** 2, 10).mean())
    assert (task.gradient(x)[0, 0][np.linspace(0, 6, 20) ** 2 > 10] == 0).all()


def test_an_augmentation_of_nothing_is_the_problem() -> None:
    assert Augmentation().of(SIMPLE) is SIMPLE
    assert Experiment(SIMPLE).trained_on is SIMPLE


def test_rnnprop_s_training_has_the_companion_behind_the_network_s_weights() -> None:
    family, network = RNNPROP_S.of(Network(data="mnist")), Network(data="mnist")
    assert family.size == 15_930
    assert list(family.groups) == [*network.groups, "companion"]
    assert family.groups["companion"].place == slice(15_910, 15_930)
    without = ByGroup(of=(Member("all", ("fc",), Linear()),))
    with pytest.raises(ValueError, match='no network moves the group "companion"'):
        Experiment(network, LearnedOptimizer(without), augmentation=RNNPROP_S)
    alone = ByGroup(of=(Member("all", ("fc",), Linear()), Member("beside", ("companion",), Linear())))
    with pytest.raises(ValueError, match='the network "beside" has nothing to move'):  # where it is judged
        Experiment(network, LearnedOptimizer(alone), augmentation=RNNPROP_S)
    both = ByGroup(of=(Member("all", ("fc", "companion"), Linear()),))
    Experiment(network, LearnedOptimizer(both), augmentation=RNNPROP_S)


def test_a_network_s_minibatches_and_weights_are_its_own_beside_a_companion() -> None:
    network = Network(sizes=(3,), batch=4)
    task, alone = (drawn(family, batch=2) for family in (Augmentation(companion=2).of(network), network))
    np.testing.assert_array_equal(task.minibatches["problem.index"], alone.minibatches["index"])
    minibatch, x = task.minibatch(1), task.start
    companion = (task.parameters["companion.factor"] * x[..., -2:] - task.parameters["companion.target"]) ** 2
    expected = alone.loss(x[..., :-2], alone.minibatch(1)) + companion.mean(-1)
    np.testing.assert_allclose(task.loss(x, minibatch), expected, rtol=1e-14)
    np.testing.assert_array_equal(
        task.gradient(x, minibatch)[..., :-2], alone.gradient(x[..., :-2], alone.minibatch(1))
    )


def test_unseen_images_are_there_behind_scaling_and_beside_a_companion() -> None:
    network = Network(sizes=(3,), batch=4)
    task = drawn(Augmentation(scaling=1.0, companion=2, unseen=0.3).of(network), batch=2)
    seen, judged = task.minibatches["problem.index"], task.judged["problem.index"]
    assert seen.shape == judged.shape == (1, 2, 2, 4)
    for one, other in zip(seen[0], judged[0], strict=True):
        assert not set(one.ravel()) & set(other.ravel())
    scaled = task.parameters["problem.factor"] * task.start[..., :-2]
    companion = (task.parameters["companion.factor"] * task.start[..., -2:] - task.parameters["companion.target"]) ** 2
    expected = network.loss(scaled, {}, {"index": judged[:, :, 1]}) + companion.mean(-1)
    np.testing.assert_allclose(task.loss(task.start, task.judging(1)), expected, rtol=1e-14)


def test_training_is_on_the_augmented_problem_and_looks_are_at_the_problem() -> None:
    plain = Experiment(SIMPLE, LearnedOptimizer(Linear()), truncation=Truncation(3), dtype="float64")
    augmented = Experiment(
        SIMPLE, LearnedOptimizer(Linear()), truncation=Truncation(3), dtype="float64", augmentation=RNNPROP_S
    )
    trainer = MetaTrainer(augmented, backend="torch")
    (chunk,) = trainer.advance(4)
    assert (chunk.results.losses[:, 0, 0] > 1).all()  # 1 of the problem, and its companion's
    assert chunk.results.trace is not None
    assert chunk.results.trace.gradient.shape == (4, 1, 2, 21)
    before = MetaTrainer(plain, backend="torch")
    state = before.state()
    np.testing.assert_array_equal(trainer.curves(0, state)["RNN"], before.curves(0, state)["RNN"])
    again = MetaTrainer(augmented, backend="torch")
    singly = [again.advance(1)[0].results.losses for _ in range(4)]
    np.testing.assert_array_equal(np.concatenate(singly), chunk.results.losses)


def test_the_kernel_says_why_not() -> None:
    with pytest.raises(BackendError, match="the kernel augments no problem"):
        choose(Experiment(Quadratic(), augmentation=RNNPROP_S), "fused")
    with pytest.raises(BackendError, match='the kernel has no problem "ensemble"'):
        choose(Experiment(Ensemble(of=(SIMPLE,))), "fused")


# In a preset.


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ({"augmentation": {"scaling": -1.0}}, "[augmentation] scaling: must be at least 0 (got -1.0)"),
        ({"augmentation": {"scaling": 21.0}}, "[augmentation] scaling: must be at most 20 (got 21.0)"),
        ({"augmentation": {"companion": 20.5}}, "[augmentation] companion: must be a whole number"),
        ({"augmentation": {"unseen": 1.0}}, "[augmentation] unseen: must be at most 0.9 (got 1.0)"),
        ({"augmentation": {"unseen": 0.2}}, '"quadratic" has no data to be split'),
        ({"augmentation": {"scalling": 3.0}}, 'unknown key; did you mean "scaling"'),
        ({"kind": "baselines", "augmentation": {"scaling": 3.0}}, "[augmentation] has no meaning"),
        ({"problem": {"kind": "ensemble", "of": []}}, "[problem] of: must have at least 1 entries"),
        (
            {"problem": {"kind": "ensemble", "of": [{"kind": "quadratic"}], "weights": [1.0, 2.0]}},
            "there are 1 problems and 2 weights",
        ),
        (
            {"problem": {"kind": "ensemble", "of": [{"kind": "ensemble", "of": [{"kind": "quadratic"}]}]}},
            "[problem] of entry 0 kind: must be one of",
        ),
    ],
)
def test_what_is_wrong_is_said(tables: dict[str, object], said: str) -> None:
    with pytest.raises(PresetError) as caught:
        check({"name": "a", **tables})
    assert said in str(caught.value)


def test_a_mixture_may_be_of_an_ensemble() -> None:
    mixture = {"kind": "mixture", "of": [{"kind": "quadratic"}]}
    preset = check({"name": "a", "problem": {"kind": "ensemble", "of": [mixture, {"kind": "square", "dims": 3}]}})
    assert preset.experiment.task.size == 5


def test_an_augmentation_makes_another_experiment() -> None:
    plain, augmented = check({"name": "a"}), check({"name": "a", "augmentation": {"scaling": 3.0}})
    assert differing(resumed_settings(plain), resumed_settings(augmented)) == {"augmentation": [False, True]}
    assert "augmentation" not in to_toml(plain)
    assert check(to_dict(augmented)) == augmented
