"""What every backend promises, on experiments of three hidden units."""

from collections.abc import Callable
from dataclasses import astuple, replace

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from l2o_engine.backends.choose import BackendError, choose
from l2o_engine.backends.fused.backend import FusedBackend
from l2o_engine.backends.reference import TorchBackend
from l2o_engine.meta.experiment import Experiment
from l2o_engine.meta.learner import Backend, Learner
from l2o_engine.presets.schema import Preset
from l2o_engine.support.arrays import Doubles
from l2o_engine.tasks.base import Task
from tests.engine.tiny import INPUTS, OBJECTIVES, arrays_of, draw, new_learner, tiny_preset

MakeBackend = Callable[[Experiment], Backend]
BACKENDS: list[MakeBackend] = [TorchBackend]

every_backend = pytest.mark.parametrize("make", BACKENDS, ids=lambda make: make.name)
every_inputs = pytest.mark.parametrize("inputs", INPUTS)
every_objective = pytest.mark.parametrize("objective", OBJECTIVES)


def assert_same_learner(one: Learner, other: Learner) -> None:
    for ours, theirs in zip(astuple(one), astuple(other), strict=True):
        assert_array_equal(ours, theirs)


def good_and_bad(preset: Preset, pattern: str) -> Task:
    """Return one batch a letter: "." for an ordinary problem, "x" for one whose gradient overflows."""
    problems = draw(preset, len(pattern))
    huge = {"float32": 1e30, "float64": 1e200}[preset.run.dtype]
    bad = np.array([letter == "x" for letter in pattern])[:, None, None]
    scale = np.where(bad, huge, problems.parameters["scale"]).astype(preset.run.dtype)
    return replace(problems, parameters={"scale": scale})


# Chunks.


@every_backend
@every_objective
@every_inputs
def test_n_at_once_equal_n_one_at_a_time_bit_for_bit(make: MakeBackend, inputs: str, objective: str) -> None:
    preset = tiny_preset(INPUTS[inputs], OBJECTIVES[objective])
    backend, problems = make(preset.experiment), draw(preset, 5)
    start = new_learner(preset, backend)
    together, results = backend.train(start, problems)
    learner, singly = start, []
    for k in range(5):
        learner, one = backend.train(learner, problems[k : k + 1])
        singly.append(one)
    assert_same_learner(learner, together)
    for name, values in arrays_of(results).items():
        assert_array_equal(values, np.concatenate([arrays_of(one)[name] for one in singly]), name)
    assert not np.array_equal(together.weights, start.weights)


@every_backend
@pytest.mark.parametrize("policy", ["zero", "skip", "stop"])
def test_n_at_once_equal_n_one_at_a_time_with_overflows_too(make: MakeBackend, policy: str) -> None:
    preset = tiny_preset(f"meta.non_finite={policy}", "meta.max_non_finite=2")
    backend, problems = make(preset.experiment), good_and_bad(preset, ".x.xx.xxx..")
    together, results = backend.train(new_learner(preset, backend), problems)
    learner, rows = new_learner(preset, backend), 0
    for k in range(len(problems)):
        learner, one = backend.train(learner, problems[k : k + 1])
        rows += len(one)
    assert_same_learner(learner, together)
    assert rows == len(results) == {"zero": 9, "skip": 9, "stop": 2}[policy]


@every_backend
def test_training_leaves_the_learner_it_was_given_alone(make: MakeBackend) -> None:
    preset = tiny_preset()
    backend = make(preset.experiment)
    learner = new_learner(preset, backend)
    before = Learner(learner.weights.copy(), learner.moment1.copy(), learner.moment2.copy(), learner.powers)
    backend.train(learner, draw(preset, 3))
    assert_same_learner(learner, before)


@every_backend
def test_no_problems_are_no_results(make: MakeBackend) -> None:
    preset = tiny_preset("meta.batch=2")
    backend = make(preset.experiment)
    learner = new_learner(preset, backend)
    after, results = backend.train(learner, draw(preset, 0))
    assert_same_learner(after, learner)
    assert len(results) == 0
    assert results.losses.shape == (0, 2, 4)


# The meta-gradient.


@every_backend
@every_objective
@every_inputs
def test_the_meta_gradient_is_the_slope_of_the_objective(make: MakeBackend, inputs: str, objective: str) -> None:
    preset = tiny_preset(INPUTS[inputs], OBJECTIVES[objective], "run.dtype=float64", "meta.batch=2")
    backend, problems = make(preset.experiment), draw(preset, 1)
    learner = new_learner(preset, backend, seed=1)
    direction = np.random.default_rng(2).normal(size=learner.weights.size)

    def objective_at(distance: float) -> float:
        moved = replace(learner, weights=learner.weights + distance * direction)
        return backend.meta_gradient(moved, problems).objective

    slope = (objective_at(1e-6) - objective_at(-1e-6)) / 2e-6
    found = backend.meta_gradient(learner, problems)
    assert float(found.gradient @ direction) == pytest.approx(slope, rel=1e-5)
    assert found.norm == pytest.approx(float(np.linalg.norm(found.gradient)))


@every_backend
@every_inputs
def test_without_second_derivatives_only_the_meta_gradient_differs(make: MakeBackend, inputs: str) -> None:
    second, first = (
        tiny_preset(INPUTS[inputs], f"unroll.second_derivatives={on}", "run.dtype=float64") for on in ("true", "false")
    )
    problems = draw(second, 1)
    learner = new_learner(second, make(second.experiment))
    with_them, without = (make(preset.experiment).meta_gradient(learner, problems) for preset in (second, first))
    assert_array_equal(with_them.losses, without.losses)
    assert with_them.objective == without.objective
    assert np.linalg.norm(with_them.gradient - without.gradient) > 1e-4 * with_them.norm


@every_backend
def test_a_batch_s_meta_gradient_is_the_mean_of_its_problems_(make: MakeBackend) -> None:
    preset = tiny_preset("meta.batch=3", "run.dtype=float64")
    backend, problems = make(preset.experiment), draw(preset, 1)
    learner = new_learner(preset, backend)
    together = backend.meta_gradient(learner, problems)
    alone = [
        backend.meta_gradient(learner, problems.with_arrays(lambda values, k=k: values[:, k : k + 1]))  # type: ignore[misc]
        for k in range(3)
    ]
    np.testing.assert_allclose(together.gradient, np.mean([one.gradient for one in alone], axis=0), atol=1e-14)
    np.testing.assert_allclose(together.losses, np.concatenate([one.losses for one in alone]), rtol=1e-14)


@every_backend
@every_inputs
def test_results_hold_what_the_meta_gradient_says(make: MakeBackend, inputs: str) -> None:
    preset = tiny_preset(INPUTS[inputs])
    backend, problems = make(preset.experiment), draw(preset, 1)
    learner = new_learner(preset, backend)
    found = backend.meta_gradient(learner, problems)
    _, results = backend.train(learner, problems)
    assert_array_equal(results.losses[0], found.losses)
    assert_array_equal(results.objective, [found.objective])
    assert_array_equal(results.gradient_norm, [found.norm])
    assert {name: used.tolist() for name, used in results.numbers.items()} == {
        name: [number] for name, number in learner.numbers.items()
    }
    assert not results.non_finite.any()


# Evaluation.


@every_backend
@every_inputs
@pytest.mark.parametrize("batch", [1, 3])
def test_evaluation_gives_the_losses_that_training_records_and_changes_nothing(
    make: MakeBackend, inputs: str, batch: int
) -> None:
    preset = tiny_preset(INPUTS[inputs], f"meta.batch={batch}")
    backend, problems = make(preset.experiment), draw(preset, 3)
    learner, _ = backend.train(new_learner(preset, backend), draw(preset, 3, seed=1))
    before = learner.weights.copy(), learner.moment1.copy(), learner.moment2.copy()
    evaluated = backend.evaluate(learner, problems)
    assert evaluated.shape == (3, batch, 4)
    for k in range(3):
        _, results = backend.train(learner, problems[k : k + 1])
        assert_array_equal(results.losses, evaluated[k : k + 1])
    assert_array_equal(np.array(before), np.array([learner.weights, learner.moment1, learner.moment2]))


# What is done to the meta-gradient. Adam's m after the first step is (1 - β1) times what Adam saw.


def seen_by_adam(make: MakeBackend, *settings: str) -> tuple[Doubles, Doubles]:
    """Return the meta-gradient that Adam saw at the first step, and the raw one."""
    preset = tiny_preset(*settings)
    backend = make(preset.experiment)
    learner, problems = new_learner(preset, backend), draw(preset, 1)
    raw = backend.meta_gradient(learner, problems).gradient.astype(np.float64)
    after, _ = backend.train(learner, problems)
    return after.moment1.astype(np.float64) / (1 - float(np.float32(0.9))), raw


def norm(vector: Doubles) -> float:
    return float(np.linalg.norm(vector))


SHORT, LONG, TINY = "problem.scale=[0.1, 0.2]", "problem.scale=[2.0, 3.0]", "problem.scale=[1e-16, 2e-16]"


@every_backend
def test_clip_shortens_a_long_meta_gradient_to_the_norm_asked_for(make: MakeBackend) -> None:
    seen, raw = seen_by_adam(make, LONG, "meta.clip_norm=0.5")
    assert norm(raw) > 1
    assert norm(seen) == pytest.approx(0.5, rel=1e-5)
    np.testing.assert_allclose(seen, raw / norm(raw) / 2, rtol=1e-4, atol=1e-7)


@every_backend
@pytest.mark.parametrize("scale", [SHORT, TINY])
def test_clip_leaves_a_short_meta_gradient_as_it_is(make: MakeBackend, scale: str) -> None:
    seen, raw = seen_by_adam(make, scale)
    assert norm(raw) < 1
    np.testing.assert_allclose(seen, raw, rtol=1e-5)


@every_backend
@pytest.mark.parametrize("scale", [SHORT, LONG])
def test_none_leaves_every_meta_gradient_as_it_is(make: MakeBackend, scale: str) -> None:
    seen, raw = seen_by_adam(make, scale, "meta.gradient=none")
    np.testing.assert_allclose(seen, raw, rtol=1e-5)


@every_backend
@pytest.mark.parametrize("scale", [SHORT, LONG, TINY])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_unit_gives_adam_a_meta_gradient_of_norm_1(make: MakeBackend, scale: str, dtype: str) -> None:
    seen, raw = seen_by_adam(make, scale, "meta.gradient=unit", f"run.dtype={dtype}")
    assert norm(seen) == pytest.approx(1, rel=1e-5)
    np.testing.assert_allclose(seen, raw / norm(raw), rtol=1e-3, atol=1e-6)
    if scale == TINY:
        assert 0 < norm(raw) < 1e-30


@every_backend
def test_unit_does_so_even_where_float32_has_no_number_for_one_over_the_norm(make: MakeBackend) -> None:
    seen, raw = seen_by_adam(make, "problem.scale=[5e-21, 1e-20]", "meta.gradient=unit")
    assert 0 < norm(raw) < 1 / float(np.finfo(np.float32).max)
    assert norm(seen) == pytest.approx(1, rel=1e-5)


@every_backend
def test_unit_leaves_a_meta_gradient_of_zero_at_zero(make: MakeBackend) -> None:
    seen, raw = seen_by_adam(make, "problem.scale=[0.0, 0.0]", "meta.gradient=unit")
    assert not raw.any()
    assert not seen.any()


# NaN and infinities.


@every_backend
def test_policy_zero_counts_a_spoilt_meta_gradient_as_zero(make: MakeBackend) -> None:
    preset = tiny_preset("meta.non_finite=zero")
    backend, problems = make(preset.experiment), good_and_bad(preset, ".x")
    good, _ = backend.train(new_learner(preset, backend), problems[:1])
    after, results = backend.train(good, problems[1:])
    assert_array_equal(results.non_finite, [True])
    assert after.non_finite_in_a_row == 1
    np.testing.assert_allclose(after.moment1, 0.9 * good.moment1, rtol=1e-6)
    np.testing.assert_allclose(after.moment2, 0.999 * good.moment2, rtol=1e-6)
    assert after.powers.beta1 < good.powers.beta1
    assert not np.array_equal(after.weights, good.weights)  # momentum goes on
    assert np.isfinite(after.weights).all()
    assert not after.diverged


@every_backend
@pytest.mark.parametrize(("gradient", "kept"), [("none", True), ("clip", False), ("unit", False)])
def test_policy_zero_keeps_the_finite_entries_only_where_nothing_is_scaled(
    make: MakeBackend, gradient: str, kept: bool
) -> None:
    preset = tiny_preset(f"meta.gradient={gradient}", "run.dtype=float64", "problem.scale=[1e100, 1e100]")
    backend, problems = make(preset.experiment), draw(preset, 1)
    raw = backend.meta_gradient(new_learner(preset, backend), problems)
    assert np.isinf(raw.norm)
    assert np.isfinite(raw.gradient).all()
    after, results = backend.train(new_learner(preset, backend), problems)
    assert_array_equal(results.non_finite, [True])
    np.testing.assert_allclose(after.moment1, 0.1 * raw.gradient if kept else 0 * raw.gradient, rtol=1e-6)
    assert not after.diverged


@every_backend
def test_policy_skip_takes_no_step(make: MakeBackend) -> None:
    preset = tiny_preset("meta.non_finite=skip")
    backend, problems = make(preset.experiment), good_and_bad(preset, ".x")
    good, _ = backend.train(new_learner(preset, backend), problems[:1])
    after, results = backend.train(good, problems[1:])
    assert_array_equal(results.non_finite, [True])
    assert_same_learner(after, replace(good, non_finite_in_a_row=1))


@every_backend
def test_policy_stop_ends_at_the_first_spoilt_meta_gradient(make: MakeBackend) -> None:
    preset = tiny_preset("meta.non_finite=stop")
    backend, problems = make(preset.experiment), good_and_bad(preset, "..x..")
    good, _ = backend.train(new_learner(preset, backend), problems[:2])
    after, results = backend.train(new_learner(preset, backend), problems)
    assert_array_equal(results.non_finite, [False, False, True])
    assert_same_learner(after, replace(good, non_finite_in_a_row=1, diverged=True))


@every_backend
@pytest.mark.parametrize("policy", ["zero", "skip"])
def test_more_spoilt_ones_in_a_row_than_allowed_end_the_run(make: MakeBackend, policy: str) -> None:
    preset = tiny_preset(f"meta.non_finite={policy}", "meta.max_non_finite=2")
    backend = make(preset.experiment)
    allowed, results = backend.train(new_learner(preset, backend), good_and_bad(preset, "xx.xx."))
    assert len(results) == 6
    assert not allowed.diverged
    assert allowed.non_finite_in_a_row == 0
    beyond, results = backend.train(new_learner(preset, backend), good_and_bad(preset, "xx.xxx."))
    assert len(results) == 6
    assert beyond.diverged


@every_backend
@pytest.mark.parametrize("policy", ["zero", "skip"])
def test_any_number_of_spoilt_ones_is_allowed_by_default(make: MakeBackend, policy: str) -> None:
    preset = tiny_preset(f"meta.non_finite={policy}")
    backend = make(preset.experiment)
    learner, results = backend.train(new_learner(preset, backend), good_and_bad(preset, "x" * 30))
    assert len(results) == learner.non_finite_in_a_row == 30
    assert not learner.diverged


@every_backend
def test_a_diverged_learner_does_not_go_on(make: MakeBackend) -> None:
    preset = tiny_preset()
    backend = make(preset.experiment)
    diverged = replace(new_learner(preset, backend), diverged=True)
    after, results = backend.train(diverged, draw(preset, 3))
    assert len(results) == 0
    assert_same_learner(after, diverged)


@every_backend
def test_weights_that_overflow_end_the_run(make: MakeBackend) -> None:
    preset = tiny_preset("meta.learning_rate=3e38")
    backend = make(preset.experiment)
    learner, results = backend.train(new_learner(preset, backend), draw(preset, 20))
    assert learner.diverged
    assert not np.isfinite(learner.weights).all()
    assert len(results) < 20


@every_backend
def test_an_infinite_loss_counts_even_where_the_meta_gradient_is_finite(make: MakeBackend) -> None:
    preset = tiny_preset("problem.start=[1e30, 1e30]", "problem.scale=[1.0, 1.0]", INPUTS["log"])
    backend = make(preset.experiment)
    _, results = backend.train(new_learner(preset, backend), draw(preset, 1))
    assert np.isinf(results.losses).any()
    assert_array_equal(results.non_finite, [True])


@every_backend
@pytest.mark.parametrize("inputs", ["adaptive log", "ratio and adaptive log"])
def test_an_adaptive_min_log_moves_down_only_and_no_overflow_spoils_it(make: MakeBackend, inputs: str) -> None:
    preset = tiny_preset(INPUTS[inputs], "unroll.steps=12")
    backend = make(preset.experiment)
    learner, results = backend.train(new_learner(preset, backend), good_and_bad(preset, "....xx...." * 4))
    assert_array_equal(results.non_finite.nonzero()[0], [4, 5, 14, 15, 24, 25, 34, 35])
    assert results.numbers["min_log"][0] == -2.0
    moves = np.diff([*results.numbers["min_log"], learner.numbers["min_log"]])
    assert (moves <= 0).all()
    assert (moves < 0).any()


# Choosing.


def test_auto_takes_the_kernel_and_torch_is_there_for_the_asking() -> None:
    assert choose(tiny_preset().experiment, "auto").name == "fused"
    choice = choose(tiny_preset().experiment, "torch")
    assert choice.name == "torch"
    assert choice.reason == "asked for"
    assert choice.load()[0].name == "torch"


def test_a_kernel_that_cannot_be_compiled_gives_way_to_torch_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise RuntimeError("no such CPU")

    monkeypatch.setattr(FusedBackend, "__init__", refuse)
    backend, reason = choose(tiny_preset("run.backend=auto").experiment, "auto").load()
    assert backend.name == "torch"
    assert "no such CPU" in reason
    with pytest.raises(RuntimeError, match="no such CPU"):
        choose(tiny_preset().experiment, "fused").load()


TOO_LARGE = ("problem.dims=10000", "meta.batch=10000")


def test_what_the_kernel_cannot_do_falls_back_with_the_reason() -> None:
    choice = choose(tiny_preset(*TOO_LARGE).experiment, "auto")
    assert choice.name == "torch"
    assert "GiB of memory" in choice.reason


def test_a_backend_that_cannot_be_had_is_the_user_s_error() -> None:
    with pytest.raises(BackendError, match="GiB of memory"):
        choose(tiny_preset(*TOO_LARGE).experiment, "fused")


def test_a_backend_that_does_not_exist_is_named_with_those_that_do() -> None:
    with pytest.raises(BackendError, match=r'there is no backend "tourch"; did you mean "torch"\?'):
        choose(tiny_preset().experiment, "tourch")
    with pytest.raises(BackendError, match="choose auto, fused, coordinatewise or torch"):
        choose(tiny_preset().experiment, "jax")
