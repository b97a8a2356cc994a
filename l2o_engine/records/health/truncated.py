"""What is measured of a training whose episodes go in truncations: of its meta-gradients, its gates, and its layers."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import nan

import numpy as np

from l2o_engine.meta.experiment import Experiment
from l2o_engine.meta.learner import Learner, Trace
from l2o_engine.optimizers.learned.learned_optimizer import gates_of
from l2o_engine.optimizers.learned.networks.base import Network
from l2o_engine.optimizers.learned.networks.by_group import ByGroup
from l2o_engine.records.health.thresholds import CLOSED, GREATEST, SPIKE
from l2o_engine.support.arrays import Doubles, Floats, Integers
from l2o_engine.tasks.base import TaskFamily

_SAMPLED = 256  # coordinates of which gates are computed: a share of 20 units each is then good to a percent or two


@dataclass(frozen=True)
class TruncatedVitals:
    """What was measured at one look. Shares are 0 … 1; NaN stands where there is nothing to measure.

    Attributes
    ----------
    gradient_peak, gradient_spikes
        The longest meta-gradient over their median, and which share of them is beyond ``SPIKE`` times it.
    spike_step
        Where the longest of those that were traced is such a one: at which base step of its truncation, from 1 on, the
        optimizee's gradient was longest; else NaN.
    gates
        Gate of a layer of the network → share of its values that are open or closed for good: within ``CLOSED`` of 0
        or 1, where hardly any derivative goes through.
    layer_rates, layer_updates
        Group of the optimizee's weights → the median of |update| / |gradient| over its coordinates and the steps of the
        last truncation, its effective learning rate; and the median of |update|.
    """

    gradient_peak: float
    gradient_spikes: float
    spike_step: float
    gates: Mapping[str, float]
    layer_rates: Mapping[str, float]
    layer_updates: Mapping[str, float]


def truncated_vitals(
    experiment: Experiment,
    learner: Learner,
    norms: Doubles,
    traces: Sequence[Trace],
    traced: Sequence[Doubles],
    last: int,
) -> TruncatedVitals:
    """Measure them.

    Parameters
    ----------
    experiment, learner
        What is trained, and what it has become.
    norms
        [n]: the finite norms of the look's meta-gradients.
    traces, traced
        Traces, at least one, and the norms of the meta-gradients that each is of.
    last
        How many of the traced ones count at most, the last ones.
    """
    peak, share, step = _spikes(norms, traces, traced, last)
    rates, updates = _layer_steps(experiment.trained_on, traces[-1])
    return TruncatedVitals(peak, share, step, _gate_shares(experiment, learner, traces[-1]), rates, updates)


def _spikes(
    norms: Doubles, traces: Sequence[Trace], traced: Sequence[Doubles], last: int
) -> tuple[float, float, float]:
    """Return ``gradient_peak``, ``gradient_spikes`` and ``spike_step``."""
    median = float(np.median(norms)) if norms.size else nan
    if not median > 0:
        return nan, nan, nan
    peak, share = min(float(norms.max()) / median, GREATEST), float((norms > SPIKE * median).mean())
    each = [(trace, place) for trace in traces for place in range(len(trace))][-last:]
    lengths = np.concatenate(traced)[-last:]
    lengths = np.where(np.isfinite(lengths), lengths, 0.0)
    longest = int(lengths.argmax())
    return peak, share, _steepest(*each[longest]) if lengths[longest] > SPIKE * median else nan


def _steepest(trace: Trace, at: int) -> float:
    """Return at which base step of a traced meta-iteration, from 1 on, the optimizee's gradient is longest."""
    with np.errstate(all="ignore"):
        lengths = np.linalg.norm(trace.gradient[at].astype(np.float64), axis=-1).max(axis=0)
    return float(np.where(np.isfinite(lengths), lengths, np.inf).argmax() + 1)


def _gate_shares(experiment: Experiment, learner: Learner, trace: Trace) -> dict[str, float]:
    """Return of each gate of the network, by name, which share is open or closed for good.

    They are computed anew, with the weights as they are now, for some coordinates in the last traced meta-iteration:
    from the inputs that the network saw there and the state that it then had from the truncation before.
    """
    batch, steps, _ = trace.gradient.shape[1:]
    inputs = trace.inputs[-1].reshape(batch, steps, experiment.trained_on.size, -1)
    shares: dict[str, float] = {}
    for prefix, network, where, coordinates in _networks(experiment):
        rows = batch * len(coordinates)
        task, place = np.divmod(np.linspace(0, rows - 1, min(rows, _SAMPLED)).astype(np.int64), len(coordinates))
        start = f"network.{prefix}"
        carried = {
            name.removeprefix(start): values[task, place]
            for name, values in (trace.carried or {}).items()
            if name.startswith(start)
        }
        seen = inputs[task, :, coordinates[place]].swapaxes(0, 1)  # [steps, rows, width]
        for name, gates in gates_of(network, learner.weights[where], seen, carried).items():
            finite = gates[np.isfinite(gates)]
            shut = (finite < CLOSED) | (finite > 1 - CLOSED)
            shares[f"{prefix}{name}"] = float(shut.mean()) if shut.size else nan
    return shares


def _networks(experiment: Experiment) -> Iterator[tuple[str, Network, slice, Integers]]:
    """Yield each network that there is: what stands before its names, where its weights and its coordinates are."""
    learned, family = experiment.trained, experiment.trained_on
    network, width = learned.network, learned.inputs.width
    if not isinstance(network, ByGroup):
        yield "", network, slice(0, learned.layout.size), np.arange(family.size)
        return
    start, coordinates = 0, network.on(family).coordinates
    for name, one in network.networks.items():
        stop = start + one.layout(width).size
        yield f"{name}.", one, slice(start, stop), coordinates[name]
        start = stop


def _layer_steps(family: TaskFamily, trace: Trace) -> tuple[Mapping[str, float], Mapping[str, float]]:
    """Return ``layer_rates`` and ``layer_updates``; where a gradient is 0 there is no rate, NaN if it is all over."""
    rates, sizes = dict[str, float](), dict[str, float]()
    for name, group in family.groups.items():  # one by one: they may be large
        gradient, updates = (np.abs(values[-1][..., group.place]) for values in (trace.gradient, trace.updates))
        sizes[name] = _median(updates)
        with np.errstate(all="ignore"):
            rates[name] = _median((updates / gradient)[gradient > 0])
    return rates, sizes


def _median(values: Floats) -> float:
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else nan
