"""What a kernel of rows is compiled for, and what the backend costs in memory."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from l2o_engine.backends.compiled.shape import Shape
from l2o_engine.backends.coordinatewise.crew import Crew
from l2o_engine.meta.experiment import Experiment
from l2o_engine.optimizers.learned.networks.lstm import LSTM

_KEPT = 9  # numbers that are kept of a row and step besides the inputs: x, gradients, outputs, updates, their slopes
_STATES = 3  # of every row that the kernel holds
_SUMMED = 256  # bytes of the rows whose gradient is added up first, in float64: a quarter of it where vectors are short
_LINE = 128  # bytes, at most, of a line: one number of each row of a block
_KEPT_LINES = 8  # that the way back keeps of a unit and step while it is at a block
_GATES = 4  # of a unit
_MOST_GATES = 2**28  # bytes of the gates of an unroll that are kept


@dataclass(frozen=True)
class RowsSpec(Shape):
    """What is compiled in; all else, sizes and settings of the network, are arguments.

    Attributes
    ----------
    dtype
        "float32" or "float64".
    """

    dtype: str
    kernel: ClassVar[str] = "l2o_engine.backends.coordinatewise.kernel.entries"


def gates_bytes(network: LSTM, rows: int, steps: int, dtype: str) -> int:
    """Return how much memory the activated gates of an unroll take."""
    return rows * steps * _GATES * network.units * np.dtype(dtype).itemsize


def keeps_gates(network: LSTM, rows: int, steps: int, dtype: str) -> bool:
    """Return whether the gates of an unroll are kept for the way back: where not, they are computed again."""
    return gates_bytes(network, rows, steps, dtype) <= _MOST_GATES


def workspace_bytes(experiment: Experiment) -> int:
    """Return about how much memory one meta-iteration takes, the learner and what the optimizee computes apart."""
    item, learned = np.dtype(experiment.dtype).itemsize, experiment.trained
    rows, steps = experiment.meta.batch * experiment.trained_on.size, experiment.truncation.losses
    a_row = steps * (_KEPT + 2 * learned.inputs.width) + 2 * _STATES * learned.network.units
    network, kept = learned.network, 0
    if isinstance(network, LSTM) and keeps_gates(network, rows, steps - 1, experiment.dtype):
        kept = gates_bytes(network, rows, steps - 1, experiment.dtype)
    back = Crew().size * _LINE * steps * _KEPT_LINES * network.units if isinstance(network, LSTM) else 0
    return kept + back + rows * a_row * item + -(-rows * item // _SUMMED) * learned.layout.size * 8
