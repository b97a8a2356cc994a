"""One policy for overflow, NaN, exact zeros and denormal numbers, on both backends."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from l2o_engine.backends.choose import choose
from l2o_engine.meta.learner import Backend
from l2o_engine.presets.files import override
from l2o_engine.presets.schema import Preset
from l2o_engine.tasks.base import Task
from tests.engine.kernels import compile_kernels
from tests.engine.tiny import INPUTS, OBJECTIVES, new_learner, tiny_preset

# The kernel that the sessions' tests compile.
PRESET = tiny_preset(INPUTS["adaptive log"], OBJECTIVES["end_log"], "run.backend=fused", "run.iterations=60")
POLICIES = ("zero", "skip", "stop")
GREATEST = float(np.finfo(np.float32).max)
TINIEST = float(np.finfo(np.float32).smallest_subnormal)
# Near the end of float32 the backends differ by what they multiply first (docs/architecture.md).
GREATEST_SCALE = 1e18


@pytest.fixture(scope="module")
def backends() -> dict[str, dict[str, Backend]]:
    compile_kernels([PRESET])
    return {
        policy: {name: choose(_with(policy).experiment, name).load()[0] for name in ("torch", "fused")}
        for policy in POLICIES
    }


def _with(policy: str) -> Preset:
    return override(PRESET, [f"meta.non_finite={policy}"])


def numbers(greatest: float) -> st.SearchStrategy[float]:
    """Return numbers of every size that a float32 holds, up to a greatest, and those that are special."""
    special = st.sampled_from([0.0, -0.0, TINIEST, -TINIEST, 1e-38, greatest, -greatest, 1.0])
    exponents = st.floats(-44, np.log10(greatest))
    signs = st.sampled_from([-1.0, 1.0])
    return special | st.builds(lambda sign, exponent: sign * 10.0**exponent, signs, exponents)


@st.composite
def tasks(draw: st.DrawFn, scales: float, starts: float) -> Task:
    """Draw batches of one problem of two coordinates each."""
    n = draw(st.integers(1, 4))
    scale = [draw(numbers(scales)) for _ in range(2 * n)]
    start = [draw(numbers(starts)) for _ in range(2 * n)]
    shape = (n, 1, 2)
    family = PRESET.experiment.task
    return Task(
        family, np.array(start, np.float32).reshape(shape), {"scale": np.array(scale, np.float32).reshape(shape)}
    )


@settings(max_examples=40)
@given(tasks(GREATEST, GREATEST), st.sampled_from(POLICIES))
def test_what_is_spoilt_is_flagged_and_does_what_the_policy_says(
    backends: dict[str, dict[str, Backend]], task: Task, policy: str
) -> None:
    for backend in backends[policy].values():
        before = new_learner(PRESET, backend)
        with np.errstate(all="ignore"):
            after, results = backend.train(before, task)
        spoilt = ~(np.isfinite(results.losses).all(axis=(1, 2)) & np.isfinite(results.gradient_norm))
        assert (results.non_finite == spoilt).all()
        assert len(results) == (spoilt.argmax() + 1 if policy == "stop" and spoilt.any() else len(task))
        assert after.diverged == (not np.isfinite(after.weights).all() or (policy == "stop" and bool(spoilt.any())))
        assert all(np.isfinite(value) for value in after.numbers.values())
        if policy == "skip" and spoilt.all():
            assert (after.weights == before.weights).all()
            assert (after.moment2 == before.moment2).all()
        in_a_row = int(np.argmin(spoilt[::-1])) if not spoilt.all() else len(spoilt)
        assert after.non_finite_in_a_row == in_a_row


@settings(max_examples=40)
@given(tasks(GREATEST_SCALE, 1e17))
def test_both_backends_flag_the_same_meta_iterations(backends: dict[str, dict[str, Backend]], task: Task) -> None:
    flags = []
    for backend in backends["skip"].values():
        with np.errstate(all="ignore"):
            flags.append(backend.train(new_learner(PRESET, backend), task)[1].non_finite.tolist())
    assert flags[0] == flags[1]
