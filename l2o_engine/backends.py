"""Backends: what computes meta-iterations.

``torch`` is the reference and takes every preset. ``fused`` is the name kept for a compiled kernel. Both see the same
draws and mean the same by them; :func:`make_backend` picks one and says why.
"""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from l2o_engine.adam import Powers
from l2o_engine.arrays import Doubles, Flags, Floats
from l2o_engine.preset import Preset, PresetError
from l2o_engine.problems import Problems


@dataclass(frozen=True)
class Learner:
    """What meta-training changes: the weights and all that the meta-optimizer remembers.

    Attributes
    ----------
    weights
        [size], of the run's dtype; :class:`~l2o_engine.network.Network` names its parts.
    moment1, moment2
        [size], Adam's m and v.
    powers
        Adam's running powers of β1 and β2.
    min_log
        The transform's min_log; NaN where it has none.
    non_finite_in_a_row
        How many meta-iterations up to now, without a gap, met a NaN or an infinity.
    diverged
        Whether the run is beyond its non-finite policy; such a learner does not go on.
    """

    weights: Floats
    moment1: Floats
    moment2: Floats
    powers: Powers
    min_log: float
    non_finite_in_a_row: int = 0
    diverged: bool = False


@dataclass(frozen=True)
class Results:
    """What n meta-iterations gave; fewer than asked where the learner diverged on the way.

    Attributes
    ----------
    losses
        [n, batch, steps], of the run's dtype.
    objective
        [n], float64.
    gradient_norm
        [n], float64: the meta-gradient's global norm before clipping; accumulated in float64, so that a small or large
        float32 gradient neither vanishes nor overflows by being squared.
    non_finite
        [n]: whether a loss or the meta-gradient held a NaN or an infinity.
    min_log
        [n], float64: the min_log that each meta-iteration used; NaN where there is none.
    """

    losses: Floats
    objective: Doubles
    gradient_norm: Doubles
    non_finite: Flags
    min_log: Doubles

    def __len__(self) -> int:
        return len(self.losses)


@dataclass(frozen=True)
class MetaGradient:
    """One meta-gradient, before clipping: losses [batch, steps], objective, norm, and the flat gradient [size]."""

    losses: Floats
    objective: float
    norm: float
    gradient: Floats


class Backend(Protocol):
    """Computes meta-iterations of one preset. Holds no state of the run: all of it is in the :class:`Learner`."""

    @property
    def name(self) -> str:
        """Its name, as in ``--backend``."""
        ...

    def train(self, learner: Learner, problems: Problems) -> tuple[Learner, Results]:
        """Do one meta-iteration for each batch of problems.

        n meta-iterations in one call give the same numbers, to the last bit, as n calls of one.
        """
        ...

    def meta_gradient(self, learner: Learner, problems: Problems) -> MetaGradient:
        """Return the meta-gradient of a single batch of problems (``len(problems) == 1``); nothing is changed."""
        ...

    def evaluate(self, learner: Learner, problems: Problems) -> Floats:
        """Return the losses [n, batch, steps] of the learned optimizer as it is now; nothing is changed."""
        ...


@dataclass(frozen=True)
class Choice:
    """A backend, and why it was chosen where the user left that open."""

    backend: Backend
    reason: str


def check_backend(asked: str) -> None:
    """Raise PresetError if a backend asked for by name cannot be had."""
    if asked == "fused":
        raise PresetError('backend "fused" is not in this version yet; use "auto" or "torch"')


def make_backend(preset: Preset, asked: str) -> Choice:
    """Return the backend for a preset.

    Parameters
    ----------
    preset
        The experiment.
    asked
        "auto", "fused" or "torch".

    Raises
    ------
    PresetError
        If the backend asked for by name cannot take the preset.
    """
    check_backend(asked)
    from l2o_engine.unroll import TorchBackend  # imports torch, which takes a second: only once it is needed

    reason = "asked for" if asked == "torch" else "the reference is the only backend of this version"
    return Choice(TorchBackend(preset), reason)


def empty_results(preset: Preset) -> Results:
    """Return the results of no meta-iterations."""
    shape = (0, preset.meta.batch, preset.unroll.steps)
    none = np.zeros(0)
    return Results(np.zeros(shape, preset.run.dtype), none, none, np.zeros(0, bool), none)
