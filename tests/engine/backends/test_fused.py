"""The kernel against the reference, on random presets; what it does with numbers that are not finite."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from torch import Tensor, set_flush_denormal

from l2o_engine.backends.fused.backend import FusedBackend, why_not
from l2o_engine.backends.reference import TorchBackend
from l2o_engine.meta.learner import Backend, Learner, Results
from l2o_engine.optimizers.learned.inputs.base import Encoded, Inputs, Memory, Numbers
from l2o_engine.optimizers.learned.learned_optimizer import LearnedOptimizer
from l2o_engine.presets.files import override
from l2o_engine.presets.schema import Preset
from l2o_engine.support.arrays import Doubles, Flags
from l2o_engine.tasks.base import Task
from l2o_engine.tasks.mixture import MEMBER
from l2o_engine.tasks.quadratic import Quadratic
from l2o_engine.training.trainer import MetaTrainer
from tests.engine.kernels import compile_kernels
from tests.engine.tiny import INPUTS, OBJECTIVES, PROBLEMS, draw, new_learner, tiny_preset

pytestmark = pytest.mark.timeout(600)  # the first time, kernels are compiled

STABLE = 1e-9
# The two sum in another order, many units in the last place in all; the reference is moved by one. So where that alone
# moves it by a hundredth of the bound, the comparison says nothing about the kernel.
MARGIN = 100
# A kernel takes seconds to compile, and inputs and objectives are pieces of it apart: all objectives come, and all
# kinds of inputs, with one objective each; in `make fuzz`, where nobody waits, with two.
EXAMPLES = 12 if os.environ.get("L2O_HYPOTHESIS") == "fuzz" else 6


FURTHER_OBJECTIVES = (
    'objective = {kind = "mean"}',
    'objective = {kind = "sum_log", residual = 1e-3, sum_weight = 2.0}',
)


def random_shapes() -> list[Preset]:
    """Return presets of random shape: all kinds of inputs and of problems, each inputs with two objectives in turn."""
    generator = np.random.default_rng(20261122)
    found = []
    objectives, problems = [*OBJECTIVES.values(), *FURTHER_OBJECTIVES], list(PROBLEMS.values())
    for turn, inputs in enumerate(INPUTS.values()):
        for objective in (objectives[turn], objectives[(turn + 1) % len(objectives)]):
            problem, layers = problems[turn], generator.integers(1, 4)
            found.append(
                tiny_preset(
                    inputs,
                    objective,
                    problem,
                    f"network.layers={layers}",
                    f"network.hidden={generator.integers(1, 33)}",
                    f"meta.batch={generator.choice([1, 1, 2, 5])}",
                    f"unroll.second_derivatives={str(turn > 0).lower()}",
                    'run.dtype="float64"',
                )
            )
    return found[:: len(found) // EXAMPLES]


@pytest.fixture(scope="module")
def shapes() -> list[Preset]:
    presets = random_shapes()
    compile_kernels(presets)
    return presets


def nudged(learner: Learner, problems: Task) -> tuple[Learner, Task]:
    """Return the inputs moved by one unit in the last place."""
    parameters = {name: np.nextafter(values, np.inf) for name, values in problems.parameters.items()}
    parameters |= {name: values for name, values in problems.parameters.items() if name == MEMBER}
    moved = replace(problems, start=np.nextafter(problems.start, np.inf), parameters=parameters)
    return replace(learner, weights=np.nextafter(learner.weights, np.inf)), moved


def distance(one: Any, other: Any) -> Doubles:
    """Return |one - other| relative to the larger of their largest entries, by the first axis."""
    if not len(one):
        return np.zeros(0)
    one, other = (np.asarray(a, float).reshape(len(a), -1) for a in (one, other))
    size = np.maximum(np.abs(one).max(axis=1), np.abs(other).max(axis=1))
    with np.errstate(invalid="ignore"):
        found: Doubles = np.abs(one - other).max(axis=1) / np.where(size > 0, size, 1.0)
    return found


def stable_part(reference: Results, moved: Results) -> Flags:
    """Return for which meta-iterations, from the first on, the reference is as stable as the comparison is tight."""
    traced, traced_moved = (
        vars(reference.trace),
        vars(moved.trace),
    )  # of all of them, for they are fewer than the ring holds
    pairs = [(reference.losses, moved.losses), (reference.gradient_norm, moved.gradient_norm)]
    pairs += [(values, traced_moved[name]) for name, values in traced.items() if values is not None]
    worst = np.maximum.reduce([distance(one, other) for one, other in pairs])
    found: Flags = np.logical_and.accumulate(worst < STABLE / MARGIN)
    return found


def settings_that_need_no_kernel() -> st.SearchStrategy[list[str]]:
    return st.tuples(
        st.integers(2, 40).map("unroll.steps={}".format),
        st.sampled_from(["clip", "unit", "none"]).map("meta.gradient={}".format),
        st.sampled_from([1e-3, 3e-4]).map("meta.learning_rate={}".format),
        st.sampled_from([1e-8, 1e-16]).map("meta.epsilon={}".format),
    ).map(list)


@pytest.mark.parametrize("shape", range(EXAMPLES))
@settings(max_examples=3, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(settings_that_need_no_kernel(), st.integers(0, 1000))
def test_the_kernel_and_the_reference_agree_wherever_the_reference_is_stable(
    shapes: list[Preset], shape: int, others: list[str], seed: int
) -> None:
    preset = override(shapes[shape], others)
    learner, problems = new_learner(preset, TorchBackend(preset.experiment), seed), draw(preset, 20, seed)
    torch, fused = TorchBackend(preset.experiment), FusedBackend(preset.experiment)

    reference = torch.meta_gradient(learner, problems[:1])
    moved = torch.meta_gradient(*_first(nudged(learner, problems)))
    ours = fused.meta_gradient(learner, problems[:1])
    if distance([reference.gradient], [moved.gradient])[0] < STABLE / MARGIN:
        assert distance([reference.gradient], [ours.gradient])[0] < STABLE
        assert distance(reference.losses, ours.losses).max() < STABLE
        assert ours.objective == pytest.approx(reference.objective, rel=STABLE, abs=STABLE)

    _, expected = torch.train(learner, problems)
    _, elsewhere = torch.train(*nudged(learner, problems))
    after, found = fused.train(learner, problems)
    n = int(stable_part(expected, elsewhere).sum())
    assert distance(expected.losses[:n], found.losses[:n]).max(initial=0) < STABLE
    assert distance(expected.gradient_norm[:n], found.gradient_norm[:n]).max(initial=0) < STABLE
    assert_array_equal(expected.non_finite[:n], found.non_finite[:n])
    assert found.numbers.keys() == expected.numbers.keys()
    for name, used in found.numbers.items():
        np.testing.assert_allclose(used[:n], expected.numbers[name][:n], rtol=STABLE)
    for name, values in vars(expected.trace).items():
        if values is None:  # the distance to an optimum that is not known
            assert getattr(found.trace, name) is None
            continue
        assert distance(values[:n], getattr(found.trace, name)[:n]).max(initial=0) < STABLE
    assert len(found) == len(expected) or n < len(expected)
    assert after.weights.shape == learner.weights.shape


def _first(inputs: tuple[Learner, Task]) -> tuple[Learner, Task]:
    return inputs[0], inputs[1][:1]


# Chunks, policies, numbers that are not finite.


def spoilt(problems: Task) -> Task:
    """Return the problems with some that overflow, some that are infinite and some that are not numbers."""
    start = problems.start.copy()
    start[[3, 10, 11, 12]] = 1e30
    start[[5, 20]] = np.inf
    start[[6, 25], :, 0] = np.nan
    return replace(problems, start=start)


def both(preset: Preset) -> Iterable[Backend]:
    compile_kernels([preset])
    return TorchBackend(preset.experiment), FusedBackend(preset.experiment)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_n_at_once_are_n_one_at_a_time_to_the_last_bit(dtype: str, shapes: list[Preset]) -> None:
    # In float64 the last of the random shapes, which has these inputs too.
    preset = tiny_preset(INPUTS["ratio and adaptive log"], OBJECTIVES["sum_log"]) if dtype == "float32" else shapes[-1]
    assert preset.experiment.dtype == dtype
    assert preset.experiment.trained.inputs.adapts
    _, fused = both(preset)
    learner, problems = new_learner(preset, TorchBackend(preset.experiment)), draw(preset, 40)
    together, results = fused.train(learner, problems)
    alone, rows = learner, []
    for k in range(40):
        alone, one = fused.train(alone, problems[k : k + 1])
        rows.append(one)
    for name in ("weights", "moment1", "moment2"):
        assert_array_equal(getattr(together, name), getattr(alone, name))
    assert (together.numbers, together.powers) == (alone.numbers, alone.powers)
    assert_array_equal(results.losses, np.concatenate([row.losses for row in rows]))
    assert_array_equal(results.gradient_norm, np.concatenate([row.gradient_norm for row in rows]))


@pytest.mark.parametrize("mode", ["clip", "unit", "none"])
@pytest.mark.parametrize("policy", ["zero", "skip", "stop", "max"])
def test_a_planted_overflow_is_seen_counted_and_handled_as_the_reference_does(policy: str, mode: str) -> None:
    limit = ["meta.non_finite=skip", "meta.max_non_finite=2"] if policy == "max" else [f"meta.non_finite={policy}"]
    preset = tiny_preset(*limit, f"meta.gradient={mode}", "problem.dims=2")
    torch, fused = both(preset)
    learner, problems = new_learner(preset, TorchBackend(preset.experiment)), spoilt(draw(preset, 30))
    expected_after, expected = torch.train(learner, problems)
    after, found = fused.train(learner, problems)
    assert expected.non_finite.any()
    assert not expected.non_finite.all()
    assert_array_equal(found.non_finite, expected.non_finite)
    assert after.diverged == expected_after.diverged
    assert after.non_finite_in_a_row == expected_after.non_finite_in_a_row
    assert after.powers == expected_after.powers
    assert_array_equal(np.isfinite(found.losses), np.isfinite(expected.losses))
    assert np.isfinite(after.weights).all() == np.isfinite(expected_after.weights).all()


def test_nan_weights_diverge_and_a_diverged_learner_does_nothing() -> None:
    preset = tiny_preset()
    _, fused = both(preset)
    learner = new_learner(preset, TorchBackend(preset.experiment))
    spoilt = replace(learner, weights=np.where(np.arange(len(learner.weights)) == 7, np.nan, learner.weights))
    after, results = fused.train(spoilt, draw(preset, 5))
    assert after.diverged
    assert len(results) == 1
    again, nothing = fused.train(after, draw(preset, 5))
    assert again.diverged
    assert len(nothing) == 0


def test_a_meta_gradient_of_norm_1e_33_still_becomes_a_unit_step() -> None:
    preset = tiny_preset('inputs = {kind = "log", min_log = -75.0}', OBJECTIVES["end_log"], "meta.gradient=unit")
    _, fused = both(preset)
    learner = new_learner(preset, TorchBackend(preset.experiment))
    after, results = fused.train(learner, draw(preset, 1))
    assert 0 < results.gradient_norm[0] < 1e-20
    assert np.linalg.norm(after.moment1.astype(float)) == pytest.approx(0.1, rel=1e-3)


def test_evaluating_changes_nothing_and_gives_the_losses_that_training_records() -> None:
    preset = tiny_preset()
    _, fused = both(preset)
    learner, problems = new_learner(preset, TorchBackend(preset.experiment)), draw(preset, 3)
    before = learner.weights.copy()
    losses = fused.evaluate(learner, problems)
    assert_array_equal(learner.weights, before)
    assert_array_equal(losses[0], fused.train(learner, problems)[1].losses[0])


@pytest.mark.parametrize("shape", range(EXAMPLES))
def test_going_forward_only_gives_the_losses_of_the_whole_way_to_the_last_bit(shapes: list[Preset], shape: int) -> None:
    assert_forward_is_the_first_half(shapes[shape])


@pytest.mark.parametrize(
    "settings",
    [(INPUTS["ratio and adaptive log"], OBJECTIVES["sum_log"]), ("meta.batch=3", "problem.dims=2")],
    ids=["ratio_log", "batches"],
)
def test_so_it_does_in_float32(settings: tuple[str, ...]) -> None:
    assert_forward_is_the_first_half(tiny_preset(*settings))


def assert_forward_is_the_first_half(preset: Preset) -> None:
    """Compare ``evaluate`` with ``meta_gradient``: a learner as it starts, a wild one, and one that holds a NaN."""
    _, fused = both(preset)
    learner, problems = new_learner(preset, TorchBackend(preset.experiment)), spoilt(draw(preset, 30))
    wild = replace(learner, weights=learner.weights * 30)
    broken = replace(learner, weights=np.where(np.arange(len(learner.weights)) == 7, np.nan, learner.weights))
    for one in (learner, wild, broken):
        expected = np.stack([fused.meta_gradient(one, problems[k : k + 1]).losses for k in range(len(problems))])
        assert not np.isfinite(expected).all()
        assert_array_equal(fused.evaluate(one, problems), expected)
    assert fused.evaluate(learner, problems[:0]).shape == (0, preset.meta.batch, preset.unroll.steps)


@pytest.mark.parametrize("batch", [1, 2, 5])
def test_problems_are_looked_at_in_batches_of_any_size(batch: int) -> None:
    preset = tiny_preset("meta.batch=3", "problem.dims=2")
    torch, fused = both(preset)
    learner, problems = new_learner(preset, torch), draw(override(preset, [f"meta.batch={batch}"]), 4)
    losses = fused.evaluate(learner, problems)
    assert losses.shape == (4, batch, 4)
    np.testing.assert_allclose(losses, torch.evaluate(learner, problems), rtol=1e-5)
    with pytest.raises(ValueError, match=r"of shape .*, not \(3, 2\)"):  # rather than read beyond their end
        fused.train(learner, problems)
    other = draw(override(preset, [f"meta.batch={batch}", "problem.dims=1"]), 4)
    with pytest.raises(ValueError, match=r"of shape .*, not \(3, 2\)"):
        fused.evaluate(learner, other)


def test_a_diverged_learner_may_still_be_looked_at() -> None:
    preset = tiny_preset()
    torch, fused = both(preset)
    learner, problems = replace(new_learner(preset, torch), diverged=True), draw(preset, 2)
    np.testing.assert_allclose(fused.evaluate(learner, problems), torch.evaluate(learner, problems), rtol=1e-5)


def test_weights_that_may_not_be_written_are_looked_at() -> None:
    preset = tiny_preset()
    _, fused = both(preset)
    learner, problems = new_learner(preset, TorchBackend(preset.experiment)), draw(preset, 2)
    read_only = learner.weights.copy()
    read_only.flags.writeable = False
    assert_array_equal(fused.evaluate(replace(learner, weights=read_only), problems), fused.evaluate(learner, problems))


# What is found is safe.


def test_where_the_gradient_is_0_an_optimizer_that_is_judged_stays_and_training_does_not() -> None:
    preset = tiny_preset("unroll.steps=100")
    learner, problems = new_learner(preset, TorchBackend(preset.experiment)), draw(preset, 1)
    # Without weights the network says its last bias: from 1 to 0, and, unless it stays, on to -1.
    weights = np.zeros_like(learner.weights)
    weights[-1] = -1
    learner = replace(learner, weights=weights)
    problems = replace(problems, start=np.ones_like(problems.start))
    for backend in both(preset):
        losses = backend.evaluate(learner, problems)
        assert losses[0, 0, 0] > 0
        assert_array_equal(losses[0, 0, 1:], 0)
        trained = backend.meta_gradient(learner, problems).losses
        assert_array_equal(trained[0, :2], losses[0, 0, :2])
        assert_array_equal(trained[0, 2], trained[0, 0])


def test_ratios_of_a_coordinate_that_has_arrived_are_numbers_even_where_subnormal_ones_are_flushed() -> None:
    preset = tiny_preset(INPUTS["ratio and adaptive log"], OBJECTIVES["sum_log"], "unroll.steps=100")
    learner, problems = new_learner(preset, TorchBackend(preset.experiment)), draw(preset, 4)
    start = problems.start.copy()
    start[::2, :, 0] = 0  # one coordinate, or
    start[1] = 0  # both
    problems = replace(problems, start=start)
    for backend in both(preset):
        expected = backend.evaluate(learner, problems)
        assert np.isfinite(expected).all()
        assert_array_equal(expected[1], 0)
        if set_flush_denormal(True):
            try:
                flushed = backend.evaluate(learner, problems)
                trained = backend.meta_gradient(learner, problems[1:2]).losses
            finally:
                set_flush_denormal(False)
            assert np.isnan(trained[:, 1:]).all()  # the residual of 1e-38 is 0 then
            assert np.isfinite(flushed).all()
            assert_array_equal(flushed[1], 0)


# What the kernel refuses.


@dataclass(frozen=True)
class _TwoNumbers(Inputs):
    """Inputs that give two numbers a coordinate."""

    kind: str = "two_numbers"
    width: ClassVar[int] = 2

    def encode(self, gradient: Tensor, memory: Memory, numbers: Numbers) -> Encoded:
        raise NotImplementedError


@dataclass(frozen=True)
class _OtherInputs(_TwoNumbers):
    """Inputs that the kernel has no piece for."""

    kind: str = "other"
    width: ClassVar[int] = 1


@dataclass(frozen=True)
class _Decaying(_OtherInputs):
    """Inputs with an adaptive number of their own."""

    kind: str = "log"

    @property
    def numbers(self) -> dict[str, float]:
        return {"decay": 0.5}


@dataclass(frozen=True)
class _OtherLog(_OtherInputs):
    """Inputs that are made of a kind that the kernel has, and see something else."""

    kind: str = "identity"


@pytest.mark.parametrize(
    ("inputs", "why"),
    [
        (_Decaying(), 'the kernel moves no adaptive number "decay"'),
        (_OtherLog(), "the kernel does not know the inputs _OtherLog"),
        (_TwoNumbers(), "the kernel takes one number a coordinate, these inputs give 2"),
        (_OtherInputs(), 'the kernel has no inputs "other"'),
    ],
    ids=["decaying", "derived", "wide", "other"],
)
def test_inputs_that_the_kernel_cannot_take_are_refused_with_the_reason(inputs: Inputs, why: str) -> None:
    experiment = tiny_preset().experiment
    assert not why_not(experiment)
    assert why_not(replace(experiment, learned=LearnedOptimizer(experiment.trained.network, inputs))) == why


class _Shifted(Quadratic):
    """A task that is made of one that the kernel has, and costs something else."""

    def loss(self, x: Any, parameters: Mapping[str, Any], minibatch: Mapping[str, Any] | None = None) -> Any:
        return super().loss(x, parameters) + 100


def test_a_task_that_is_made_of_one_of_the_kernel_s_is_not_taken_for_it() -> None:
    experiment = replace(tiny_preset().experiment, task=_Shifted())
    assert why_not(experiment) == "the kernel does not know the task _Shifted"
    trainer = MetaTrainer(experiment)
    assert trainer.backend.name == "torch"
    assert trainer.reason.startswith("not fused: the kernel does not know the task _Shifted; not coordinatewise: ")
    assert (trainer.advance(2)[0].results.losses > 100).all()
