"""A trained optimizer that leaves its run: what it is, and what is known of how it was trained.

Whoever uses one elsewhere asks the same two things of it: is it the same one (:attr:`Exported.digest`), and is it used
as it was trained (:class:`Origin`: over how many steps, at which losses, with gradients of which magnitude).
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property

import numpy as np

from l2o_engine.optimizers.learned.inputs.base import Numbers
from l2o_engine.optimizers.learned.learned_optimizer import LearnedOptimizer, TrainedOptimizer
from l2o_engine.support.arrays import Floats


@dataclass(frozen=True)
class Seen:
    """What a trained optimizer met over held-out episodes of the problem that it was trained on.

    Attributes
    ----------
    loss
        Low and high: 5 % of the losses were below, 5 % above.
    gradient_rms
        Low and high of the gradient's root mean square over a tensor's coordinates, likewise; steps at which it was 0
        left out.
    """

    loss: tuple[float, float]
    gradient_rms: tuple[float, float]


@dataclass(frozen=True)
class Origin:
    """Where a trained optimizer comes from.

    Attributes
    ----------
    run
        The name of the run that trained it.
    preset, problem
        The preset's name, and the kind of the problem that it was trained on.
    seed, iteration
        Which replicate, and after which meta-iteration; -1 before the first.
    steps
        Base steps of the longest episode that it was trained on.
    seen
        What it met there; None where that is not known.
    versions
        Program or library → version that trained it.
    """

    run: str
    preset: str
    problem: str
    seed: int
    iteration: int
    steps: int
    seen: Seen | None = None
    versions: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Exported:
    """A trained optimizer, out of its run.

    Attributes
    ----------
    learned
        Its network and its inputs.
    weights
        [size], float32 or float64.
    numbers
        The inputs' adaptive numbers.
    origin
        Where it comes from.
    """

    learned: LearnedOptimizer
    weights: Floats
    numbers: Numbers
    origin: Origin

    @property
    def optimizer(self) -> TrainedOptimizer:
        """It as an optimizer with (init, update)."""
        return self.learned.with_weights(self.weights, self.numbers)

    @cached_property
    def digest(self) -> str:
        """SHA-256, in hexadecimal, of what decides its updates: settings, numbers, and weights with their dtype."""
        settings = {"network": asdict(self.learned.network), "inputs": asdict(self.learned.inputs)}  # type: ignore[call-overload]
        said = {**settings, "numbers": dict(self.numbers), "dtype": str(self.weights.dtype)}
        text = json.dumps(said, sort_keys=True, separators=(",", ":"))
        little_endian = np.ascontiguousarray(self.weights).astype(self.weights.dtype.newbyteorder("<"))
        return hashlib.sha256(text.encode() + b"\0" + little_endian.tobytes()).hexdigest()
