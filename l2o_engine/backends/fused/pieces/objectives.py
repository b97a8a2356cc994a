"""The objectives, each with its gradient, of one problem's losses.

value(losses) -> number
gradient(losses, weights)                       fills d value / d loss
"""

import math

from l2o_engine.backends.fused.pieces.base import Functions, Piece, inline
from l2o_engine.backends.fused.spec import Spec


def sum_of_losses(spec: Spec, real: type) -> Functions:
    """Make Σ losses."""
    return _sum(real, is_mean=False)


def mean_of_losses(spec: Spec, real: type) -> Functions:
    """Make the mean of the losses."""
    return _sum(real, is_mean=True)


def _sum(real: type, *, is_mean: bool) -> Functions:
    zero, one = real(0), real(1)

    @inline
    def value(losses):
        total = zero
        for t in range(losses.size):
            total += losses[t]
        return total / real(losses.size) if is_mean else total

    @inline
    def gradient(losses, weights):
        for t in range(losses.size):
            weights[t] = one / real(losses.size) if is_mean else one

    return {"value": value, "gradient": gradient}


def last_loss(spec: Spec, real: type) -> Functions:
    """Make the last loss."""
    zero, one = real(0), real(1)

    @inline
    def value(losses):
        return losses[losses.size - 1]

    @inline
    def gradient(losses, weights):
        for t in range(losses.size):
            weights[t] = zero
        weights[losses.size - 1] = one

    return {"value": value, "gradient": gradient}


def log_of_last_loss(spec: Spec, real: type) -> Functions:
    """Make log(last loss + residual)."""
    zero, one, residual = real(0), real(1), real(spec.objective_residual)

    @inline
    def value(losses):
        return math.log(losses[losses.size - 1] + residual)

    @inline
    def gradient(losses, weights):
        for t in range(losses.size):
            weights[t] = zero
        weights[losses.size - 1] = one / (losses[losses.size - 1] + residual)

    return {"value": value, "gradient": gradient}


def sum_of_logs(spec: Spec, real: type) -> Functions:
    """Make Σ log(loss + residual) + sum_weight·Σ loss."""
    zero, one, residual, share = real(0), real(1), real(spec.objective_residual), real(spec.sum_weight)
    with_sum = spec.sum_weight > 0

    @inline
    def value(losses):
        total = zero
        for t in range(losses.size):
            total += math.log(losses[t] + residual)
            if with_sum:
                total += share * losses[t]
        return total

    @inline
    def gradient(losses, weights):
        for t in range(losses.size):
            weights[t] = one / (losses[t] + residual)
            if with_sum:
                weights[t] += share

    return {"value": value, "gradient": gradient}


OBJECTIVES: dict[str, Piece] = {
    "sum": sum_of_losses,
    "mean": mean_of_losses,
    "end": last_loss,
    "end_log": log_of_last_loss,
    "sum_log": sum_of_logs,
}
