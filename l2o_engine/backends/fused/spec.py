"""What a kernel is compiled for, as far as an experiment decides it, and what one costs in memory."""

from dataclasses import dataclass

import numpy as np

from l2o_engine.presets.schema import LogTransform, Preset, RatioLogTransform, RatioTransform

# Codes for settings that the kernel takes at run time.
GRADIENT_MODES = {"none": 0, "clip": 1, "unit": 2}
POLICIES = {"zero": 0, "skip": 1, "stop": 2}


@dataclass(frozen=True)
class Spec:
    """What is compiled in. All else (steps, learning rate, min_log, policies, …) is an argument of the kernel."""

    dims: int
    batch: int
    hidden: int
    layers: int
    dtype: str
    forget_bias: float
    second_derivatives: bool
    problem: str
    transform: str
    adaptive: bool
    residual: str | float
    ratio_residual: float
    objective: str
    objective_residual: float

    @property
    def rows(self) -> int:
        """Coordinates of all problems of a batch: the network's batch."""
        return self.dims * self.batch


def spec_of(preset: Preset) -> Spec:
    """Return what a kernel for this preset must be compiled for."""
    transform = preset.transform
    casting = transform if isinstance(transform, LogTransform | RatioLogTransform) else None
    ratio = transform if isinstance(transform, RatioTransform | RatioLogTransform) else None
    return Spec(
        dims=preset.problem.dims,
        batch=preset.meta.batch,
        hidden=preset.network.hidden,
        layers=preset.network.layers,
        dtype=preset.run.dtype,
        forget_bias=preset.network.forget_bias,
        second_derivatives=preset.unroll.second_derivatives,
        problem=preset.problem.kind,
        transform=transform.kind,
        adaptive=casting.adaptive if casting else False,
        residual=casting.residual if casting else 0.0,
        ratio_residual=ratio.ratio_residual if ratio else 0.0,
        objective=preset.objective.kind,
        objective_residual=preset.objective.residual,
    )


def workspace_bytes(spec: Spec, steps: int) -> int:
    """Return about how much memory one call of the kernel takes beside its arguments."""
    itemsize = np.dtype(spec.dtype).itemsize
    pitch = -(-spec.hidden // 16) * 16
    tapes, weights = (steps + 1) * spec.rows * 7 * pitch, 3 * 8 * pitch**2
    return itemsize * spec.layers * (tapes + weights)
