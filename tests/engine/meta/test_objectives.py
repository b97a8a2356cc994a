"""From the losses of an unroll to one number."""

from math import inf, log
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from l2o_engine.meta.objectives import OBJECTIVES, Objective
from l2o_engine.meta.objectives.end_log import EndLog
from l2o_engine.meta.objectives.sum_log import SumLog
from l2o_engine.support.arrays import Doubles

LOSSES = arrays(np.float64, st.tuples(st.integers(2, 6), st.integers(1, 4)), elements=st.floats(1e-30, 1e6))


def value_of(objective: Objective, losses: Doubles) -> float:
    return float(objective(torch.from_numpy(losses)))


@given(LOSSES, st.sampled_from([0.0, 1e-38, 0.5]))
def test_objectives_are_their_formulas_averaged_over_the_batch(losses: Doubles, residual: float) -> None:
    logs = np.log(losses + residual)
    expected = {
        "sum": losses.sum(axis=0).mean(),
        "mean": losses.mean(axis=0).mean(),
        "end": losses[-1].mean(),
        "end_log": logs[-1].mean(),
        "sum_log": logs.sum(axis=0).mean(),
    }
    assert set(expected) == set(OBJECTIVES.kinds)  # a new kind has its formula here
    for kind, made in OBJECTIVES.kinds.items():
        cls: Any = made
        assert value_of(cls(residual=residual), losses) == pytest.approx(expected[kind], rel=1e-9, abs=1e-9), kind


def test_the_sum_may_be_added_to_the_logarithms() -> None:
    losses = np.array([[1.0, 2.0], [0.1, 0.0]])
    expected = np.log(losses + 1e-3).sum(axis=0) + 0.5 * losses.sum(axis=0)
    assert value_of(SumLog(residual=1e-3, sum_weight=0.5), losses) == pytest.approx(expected.mean())


def test_the_log_is_natural() -> None:
    assert value_of(EndLog(), np.array([[1.0], [10.0]])) == pytest.approx(log(10))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_residual_makes_an_exact_zero_finite(dtype: str) -> None:
    losses = torch.zeros(2, 1, dtype=getattr(torch, dtype))
    assert EndLog()(losses).item() == -inf
    with_residual = EndLog(residual=1e-38)(losses).item()
    assert with_residual == pytest.approx(log(1e-38), rel=1e-6)
