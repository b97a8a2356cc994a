"""A trained optimizer that leaves its run: what it is, and what is known of how it was trained.

Whoever uses one elsewhere asks the same two things of it: is it the same one (:attr:`Exported.digest`), and is it used
as it was trained (:class:`Origin`: over how many steps, at which losses, with gradients of which magnitude).
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from l2o_engine.optimizers.learned.inputs.base import Numbers
from l2o_engine.optimizers.learned.learned_optimizer import LearnedOptimizer, TrainedOptimizer
from l2o_engine.support.arrays import Floats
from l2o_engine.support.settings import table_of


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
    tables
        The preset that trained it, as plain tables with every default, but for those of network and inputs; empty
        where that is not known.
    """

    learned: LearnedOptimizer
    weights: Floats
    numbers: Numbers
    origin: Origin
    tables: Mapping[str, Any] = field(default_factory=dict)

    @property
    def optimizer(self) -> TrainedOptimizer:
        """It as an optimizer with (init, update)."""
        return self.learned.with_weights(self.weights, self.numbers)

    @cached_property
    def digest(self) -> str:
        """SHA-256, in hexadecimal, of what decides its updates: settings, numbers, and weights with their dtype.

        Settings at their default are left out, so it is the same whether or not a default is written, and stays the
        same when a later version knows more settings.
        """
        pieces = {"network": self.learned.network, "inputs": self.learned.inputs}
        said: dict[str, Any] = {name: table_of(piece, with_defaults=False) for name, piece in pieces.items()}
        said |= {"numbers": {name: float(value) for name, value in self.numbers.items()}}
        text = json.dumps(said | {"dtype": str(self.weights.dtype)}, sort_keys=True, separators=(",", ":"))
        digest = hashlib.sha256(text.encode() + b"\0")
        digest.update(np.ascontiguousarray(self.weights, self.weights.dtype.newbyteorder("<")).data)
        return digest.hexdigest()

    def save(self, path: str | Path) -> None:
        """Write it as one file, whole; one that is there is replaced. See docs/optimizer-file.md.

        Raises
        ------
        OptimizerFileError
            If it cannot be written, or weights are not finite: a lost network is of use to nobody.
        """
        from l2o_engine.optimizers.learned import exported_file

        exported_file.write(self, Path(path))

    @staticmethod
    def load(path: str | Path) -> "Exported":
        """Read a file that :meth:`save` or ``l2o-tui export --format optimizer`` wrote; nothing in it is executed.

        Raises
        ------
        OptimizerFileError
            If it is no such file, or damaged; the message names it and says why.
        """
        from l2o_engine.optimizers.learned import exported_file

        return exported_file.read(Path(path))
