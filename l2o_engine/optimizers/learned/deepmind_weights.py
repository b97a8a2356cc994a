"""Weights of DeepMind's learning-to-learn, and of what is made of it, as an optimizer of ours.

Its networks are Sonnet 1's: LSTMs of one matrix each for [input, hidden] and gates i, j, f, o, which is the layout of
ours; they are told apart by their names alone. VITA-Group's trained models have the same names
(google-deepmind/learning-to-learn, networks.py; VITA-Group/L2O-Training-Techniques). Their files are pickles, which are
not read here: whoever trusts one makes plain arrays of it, ``numpy.savez(file, **{"lstm_1/w_gates": …, …})``.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from l2o_engine.optimizers.learned.exported import Exported, Origin
from l2o_engine.optimizers.learned.inputs.base import Inputs
from l2o_engine.optimizers.learned.inputs.rnnprop import RnnProp
from l2o_engine.optimizers.learned.layout import Layout
from l2o_engine.optimizers.learned.learned_optimizer import LearnedOptimizer
from l2o_engine.optimizers.learned.networks.lstm import LSTM
from l2o_engine.support.arrays import Floats
from l2o_engine.support.errors import UserError
from l2o_engine.support.wording import quote, some_of

EPISODE = 100
"""Base steps of an episode of DeepMind's experiments."""

_THEIRS = {"input_projection": "input_projection", "output_projection": "linear"}
_NO_BIAS = "input_projection/b"  # which may be left out, for 0


class WeightsError(UserError):
    """Arrays that are no such weights. The message is meant for the user."""


def from_deepmind(
    arrays: Mapping[str, Any],
    *,
    inputs: Inputs,
    output_scale: float = 1.0,
    network: LSTM | None = None,
    origin: Origin | None = None,
    tables: Mapping[str, Any] | None = None,
) -> Exported:
    """Return the optimizer that arrays of weights are.

    Parameters
    ----------
    arrays
        By module and name, "lstm_1" → {"w_gates": …}, or "lstm_1/w_gates" → …: of each layer ``lstm_k`` "w_gates"
        [inputs + hidden, 4·hidden] and "b_gates" [4·hidden]; of ``linear`` "w" [hidden, 1] and "b" [1]; of RNNprop's
        ``input_projection`` "w" [2, hidden] and "b" [hidden].
    inputs
        What the network sees: ``LogAndSign(k=5)`` is DeepMind's for networks, ``RnnProp()`` RNNprop's.
    output_scale
        What its output was multiplied with: 0.01 in DeepMind's code for networks, 0.1 in the paper.
    network
        The network, where more of it is known; else it is made of the arrays' shapes, with DeepMind's forget bias of 1.
    origin, tables
        Where it comes from; see :class:`~l2o_engine.optimizers.learned.exported.Exported`. If not given, nobody knows,
        and its episodes had :data:`EPISODE` steps.

    Raises
    ------
    WeightsError
        If an array is missing, too many, of another shape or not of finite numbers.
    """
    named = _flat(arrays)
    network = network or _network_of(named, inputs, output_scale)
    learned = LearnedOptimizer(network, inputs)
    weights = _weights(named, learned.layout)
    return Exported(
        learned,
        weights,
        inputs.numbers,
        origin or Origin(run="weights given as arrays", preset="", problem="", seed=0, iteration=-1, steps=EPISODE),
        tables or {},
    )


def _flat(arrays: Mapping[str, Any]) -> dict[str, Floats]:
    """Return "module/name" → array."""
    return {name: _numbers(name, values) for name, values in _named(arrays)}


def _named(arrays: Mapping[str, Any]) -> Iterator[tuple[str, ArrayLike]]:
    for name, values in arrays.items():
        if isinstance(values, Mapping):
            for inner, own in values.items():
                yield f"{name}/{inner}", own
        else:
            yield name.replace(".", "/"), values


def _numbers(name: str, values: ArrayLike) -> Floats:
    found = np.asarray(values)
    if found.dtype.kind not in "fiu":
        raise WeightsError(f"{quote(name)} holds {found.dtype}, and not numbers")
    if not np.isfinite(found).all():
        raise WeightsError(f"{quote(name)} holds what is not finite")
    return found


def _network_of(named: Mapping[str, Floats], inputs: Inputs, output_scale: float) -> LSTM:
    layers = sum(name.endswith("/b_gates") for name in named)
    gates = named.get("lstm_1/b_gates")
    if gates is None or gates.ndim != 1 or not gates.size or gates.size % 4:
        raise WeightsError(f'there is no "lstm_1/b_gates" of 4 numbers a unit; there are {_names(named)}')
    projected: Literal["linear", "elu", "none"]
    projected = "none" if "input_projection/w" not in named else "elu" if isinstance(inputs, RnnProp) else "linear"
    try:
        return LSTM(
            layers=layers,
            hidden=gates.size // 4,
            input_projection=projected,
            initialiser="sonnet" if projected == "none" else "rnnprop",
            output_scale=output_scale,
        )
    except ValueError as error:
        raise WeightsError(f"{layers:,} layers of {gates.size // 4:,} units are no network of ours") from error


def _weights(named: Mapping[str, Floats], layout: Layout) -> Floats:
    """Return the flat vector."""
    theirs = {ours: _their_name(ours) for ours in layout.shapes}
    there = dict(named)
    for ours, name in theirs.items():
        if name == _NO_BIAS and name not in there:
            there[name] = np.zeros(layout.shapes[ours])
        if name not in there:
            raise WeightsError(f"{quote(name)} is missing; there are {_names(named)}")
        if there[name].shape != layout.shapes[ours]:
            said = list(there[name].shape), list(layout.shapes[ours])
            raise WeightsError(f"{quote(name)} is {said[0]}, where the network has {said[1]}")
    if foreign := sorted(there.keys() - set(theirs.values())):
        raise WeightsError(f"there are arrays that the network has not: {some_of(foreign)}")
    dtype = "float64" if any(values.dtype == np.float64 for values in named.values()) else "float32"
    return layout.join({ours: there[name].astype(dtype) for ours, name in theirs.items()})


def _their_name(ours: str) -> str:
    """Return what a parameter is called there: "lstm0.kernel" is "lstm_1/w_gates"."""
    module, _, part = ours.partition(".")
    if module.startswith("lstm"):
        return f"lstm_{int(module.removeprefix('lstm')) + 1}/{'w_gates' if part == 'kernel' else 'b_gates'}"
    return f"{_THEIRS[module]}/{'w' if part == 'kernel' else 'b'}"


def _names(named: Mapping[str, Any]) -> str:
    return some_of(sorted(named)) or "none"
