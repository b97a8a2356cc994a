"""Health of truncated training: spikes of the meta-gradient, gates that are shut, the optimizee's layers."""

from dataclasses import replace
from math import isnan, nan
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from l2o_engine.backends.reference import TorchBackend
from l2o_engine.meta.experiment import Experiment
from l2o_engine.meta.learner import Learner, Trace
from l2o_engine.meta.truncation import Truncation
from l2o_engine.optimizers.learned.inputs.log_and_sign import LogAndSign
from l2o_engine.optimizers.learned.learned_optimizer import LearnedOptimizer
from l2o_engine.optimizers.learned.networks.by_group import ByGroup, Member
from l2o_engine.optimizers.learned.networks.lstm import LSTM
from l2o_engine.optimizers.learned.networks.mlp import MLP
from l2o_engine.records.codec import as_json
from l2o_engine.records.events import Diagnosed
from l2o_engine.records.health import Finding, TruncatedVitals, Vitals, examine
from l2o_engine.records.health.thresholds import CLOSED
from l2o_engine.records.health.truncated import truncated_vitals
from l2o_engine.training.trainer import MetaTrainer
from tests.engine import tiny
from tests.engine.grouped import Grouped
from tests.engine.records.test_health import HEALTHY, shipped

EPISODE = Truncation(4, of=12)


FAMILY = Grouped(dims=6)
ONE = LSTM(layers=2, hidden=3, input_projection="none")
TWO = ByGroup(of=(Member("conv", ("conv",), ONE), Member("fc", ("*",), MLP(1, 4))))


def trained(network: Any, *, scale: float, advanced: int) -> tuple[Experiment, Learner, Trace]:
    """Return what has done some meta-iterations that change next to nothing, with weights of some scale."""
    meta = replace(tiny.tiny_preset().experiment.meta, learning_rate=1e-30)
    learned = LearnedOptimizer(network, LogAndSign())
    experiment = Experiment(FAMILY, learned, truncation=EPISODE, meta=meta, dtype="float64")
    trainer = MetaTrainer(experiment, 3, TorchBackend(experiment))
    state = trainer.state()
    assert state.learner is not None
    drawn = np.random.default_rng(0).normal(0, scale, state.learner.weights.shape)
    trainer.load_state(replace(state, learner=replace(state.learner, weights=drawn)))
    (chunk,) = trainer.advance(advanced)
    assert trainer.state().learner is not None
    assert chunk.results.trace is not None
    return experiment, trainer.state().learner, chunk.results.trace  # type: ignore[return-value]  # asserted above


def measured(experiment: Experiment, learner: Learner, trace: Trace, norms: Any = (1.0,)) -> TruncatedVitals:
    norms = np.array(norms, np.float64)
    return truncated_vitals(experiment, learner, norms, [trace], [norms[-len(trace) :]], 64)


# Gates.


def shares_of_the_episode(network: LSTM, learner: Learner, where: slice, inputs: Any) -> dict[str, float]:
    """Return what the gates' shares are in the last truncation, of a network that goes through all of its episode."""
    weights = {name: torch.from_numpy(one) for name, one in network.layout(2).split(learner.weights[where]).items()}
    state, gates = network.start(inputs.shape[1], like=torch.from_numpy(inputs)), list[Any]()
    for seen in torch.from_numpy(inputs):
        gates.append(network.gates(weights, seen, state))
        _, state = network.step(weights, seen, state)
    last = {name: np.stack([each[name].numpy() for each in gates[-4:]]) for name in gates[0]}
    return {name: float(((one < CLOSED) | (one > 1 - CLOSED)).mean()) for name, one in last.items()}


@pytest.mark.parametrize("advanced", [1, 2, 3, 5])
def test_gates_are_those_of_the_truncation_with_the_state_that_was_carried_into_it(advanced: int) -> None:
    experiment, learner, trace = trained(ONE, scale=2.0, advanced=advanced)
    truncations = 1 + (advanced - 1) % 3  # of the episode
    inputs = trace.inputs[-truncations:, 0].reshape(4 * truncations, 6, 2)
    expected = shares_of_the_episode(ONE, learner, slice(None), inputs)
    assert measured(experiment, learner, trace).gates == pytest.approx(expected, abs=1e-12)
    assert 0.1 < np.mean(list(expected.values())) < 0.9
    if truncations > 1:  # else the state is 0
        assert measured(experiment, learner, replace(trace, carried=None)).gates != pytest.approx(expected, abs=1e-3)


def test_each_network_by_group_has_its_own_gates_on_its_own_coordinates() -> None:
    experiment, learner, trace = trained(TWO, scale=2.0, advanced=2)
    own = trace.inputs[-2:, 0].reshape(8, 6, 2)[:, [0, 1, 3, 4, 5]]
    expected = shares_of_the_episode(ONE, learner, slice(0, ONE.layout(2).size), np.ascontiguousarray(own))
    found = measured(experiment, learner, trace).gates
    assert found == pytest.approx({f"conv.{name}": share for name, share in expected.items()}, abs=1e-12)


def test_small_weights_shut_no_gate_and_large_ones_shut_nearly_all() -> None:
    small, large = (measured(*trained(ONE, scale=scale, advanced=2)).gates.values() for scale in (0.1, 1000.0))
    assert max(small) == 0
    assert min(large) > 0.9


def test_what_was_carried_is_kept_of_the_last_meta_iteration_only_whatever_the_chunks() -> None:
    experiment = tiny.tiny_preset("unroll.steps=12", "unroll.truncation=4").experiment
    whole, parts = (MetaTrainer(experiment, 0, TorchBackend(experiment)) for _ in range(2))
    (one,) = whole.advance(5)
    several = [parts.advance(n)[0] for n in (3, 2)]
    ends = [chunk.results.trace.carried for chunk in (one, several[1]) if chunk.results.trace]
    assert set(ends[0]) == set(ends[1]) >= {"x", "network.lstm0.hidden"}  # type: ignore[arg-type]
    for name, values in ends[0].items():  # type: ignore[union-attr]
        np.testing.assert_array_equal(values, ends[1][name], name)  # type: ignore[index]


# Layers.


def trace_of(gradient: Any, updates: Any) -> Trace:
    """Return a trace of as many meta-iterations as there are [steps, 6]."""
    gradient, updates = (np.array(values, np.float64)[:, None] for values in (gradient, updates))
    return Trace(None, gradient, np.repeat(gradient, 2, axis=-1), updates)


def test_the_layers_rates_are_medians_over_coordinates_and_steps_of_the_last_truncation() -> None:
    experiment, learner, _ = trained(MLP(1, 2), scale=0.1, advanced=1)
    before = np.full((2, 6), 7.0)
    gradient = [[1, -2, 0, 1, 1, 1], [2, 4, 0, np.inf, 1, 1]]
    updates = [[0.1, 0.4, 0.5, -1, 2, 3], [0.6, 1.6, 0.7, 1, 5, np.nan]]
    found = measured(experiment, learner, trace_of([before, gradient], [before, updates]))
    assert found.layer_rates == pytest.approx(
        {"conv0.weights": 0.25, "conv0.bias": nan, "conv1.weights": 2.0}, nan_ok=True
    )
    assert found.layer_updates == pytest.approx({"conv0.weights": 0.5, "conv0.bias": 0.6, "conv1.weights": 2.0})
    assert found.gates == {}  # an MLP has none


# Spikes.


def test_spikes_are_counted_and_the_longest_traced_one_says_where_the_gradient_was_longest() -> None:
    experiment, learner, _ = trained(MLP(1, 2), scale=0.1, advanced=1)
    gradient = np.ones((2, 4, 6))
    gradient[0, 2, 5] = 9.0  # in the third step of the last meta-iteration but one
    gradient[1, 1, 5] = 9.0
    trace = trace_of(gradient, gradient)
    found = measured(experiment, learner, trace, [1.0] * 7 + [101.0, 200.0, 2.0])
    assert (found.gradient_peak, found.gradient_spikes, found.spike_step) == (200.0, 0.2, 3.0)
    calm = measured(experiment, learner, trace, [1.0] * 7 + [101.0, 99.0, 2.0])
    assert (calm.gradient_peak, calm.gradient_spikes) == (101.0, 0.1)
    assert isnan(calm.spike_step)  # that one was not traced


@pytest.mark.parametrize("norms", [[], [0.0, 0.0, 5.0]])
def test_without_a_median_there_are_no_spikes(norms: list[float]) -> None:
    experiment, learner, trace = trained(MLP(1, 2), scale=0.1, advanced=1)
    found = truncated_vitals(experiment, learner, np.array(norms), [trace], [np.array([nan])], 64)
    assert isnan(found.gradient_peak)
    assert isnan(found.gradient_spikes)


# Findings.

CALM = TruncatedVitals(9.0, 0.0, nan, {}, {}, {})
TRUNCATED = replace(HEALTHY, distance_ratio=nan, update_ratio=nan, loss_ratio=0.4, gradient_norm=42.0, truncated=CALM)


def found_in(vitals: Vitals, *settings: str, **changes: Any) -> list[Finding]:
    return examine(shipped("dm_quadratic", *settings).experiment, [replace(vitals, truncated=replace(CALM, **changes))])


def test_spikes_are_a_finding_whether_it_has_learned_or_not() -> None:
    spiky = {"gradient_spikes": 0.12, "gradient_peak": 2900.0, "spike_step": 17.0}
    for loss_ratio in (0.4, 1.0):
        (finding,) = found_in(replace(TRUNCATED, loss_ratio=loss_ratio), **spiky)
        assert finding.code == "spikes"
        assert "12 % of them are more than 100 times their median, 42," in finding.message
        assert "at step 17" in finding.message
        assert finding.remedy.startswith('set meta.gradient = "clip" and meta.clip_norm near 42, lower meta')
        assert "unroll.truncation (it is 20)" in finding.remedy
        assert "network.output_scale (it is 0.1)" in finding.remedy
    assert found_in(TRUNCATED, gradient_spikes=0.015) == []
    assert len(found_in(TRUNCATED, gradient_spikes=0.0151)) == 1


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        (('meta.gradient="unit"',), ""),
        (('meta.gradient="clip"', "meta.clip_norm=42"), ""),
        (('meta.gradient="clip"', "meta.clip_norm=1e6"), "lower meta.clip_norm (it is 1e+6)"),
    ],
)
def test_spikes_that_adam_does_not_see_are_none(settings: tuple[str, ...], words: str) -> None:
    findings = found_in(TRUNCATED, *settings, gradient_spikes=0.5)
    assert [finding.remedy[: len(words)] for finding in findings] == ([words] if words else [])


def test_a_layer_whose_gates_are_nearly_all_shut_is_a_finding_until_the_network_has_learned() -> None:
    def gates(share: float) -> dict[str, float]:
        open_ones = dict.fromkeys(("lstm0.input", "lstm0.forget", "lstm0.output"), 0.2)
        return open_ones | {"lstm1.input": 1.0, "lstm1.forget": 0.75, "lstm1.output": share}

    stuck = replace(TRUNCATED, loss_ratio=1.0)
    (finding,) = found_in(stuck, gates=gates(0.51))
    assert finding.code == "gates"
    assert "the gates of lstm1 are open or closed for good (input 100 %, forget 75 %, output 51 %)" in finding.message
    assert found_in(stuck, gates=gates(0.5)) == []
    assert found_in(TRUNCATED, gates=gates(1.0)) == []


def test_a_layer_that_stands_still_beside_others_is_a_finding() -> None:
    (finding,) = found_in(TRUNCATED, layer_updates={"layer0.weights": 0.9e-5, "layer1.weights": 0.01, "b": nan})
    assert finding.code == "layers"
    assert "layer0.weights of the problem does not move: its updates are 9e-6" in finding.message
    assert 'inputs.kind = "log_and_sign"' in finding.remedy
    (finding,) = found_in(
        TRUNCATED, 'inputs={kind="log_and_sign", k=5.0}', layer_updates={"a\x1b[2J": 0.9e-5, "b": 0.01}
    )
    assert "a greater inputs.k (it is 5)" in finding.remedy
    assert finding.message.startswith(r"a\x1b[2J of the problem")
    assert found_in(TRUNCATED, layer_updates={"a": 1e-5, "b": 0.01}) == []
    assert found_in(TRUNCATED, layer_updates={"a": 0.0, "b": 0.0}) == []
    assert [finding.code for finding in found_in(TRUNCATED, layer_updates={"a": 0.0, "b": 1e-9})] == ["layers"]
    assert found_in(TRUNCATED, layer_updates={"a": 0.0}) == []  # beside no other


# Sessions.


def test_a_session_measures_truncations_whatever_the_chunks(tmp_path: Path) -> None:
    preset = tiny.tiny_preset("unroll.steps=12", "unroll.truncation=4", "meta.batch=2", "unroll.staggered=true")
    told = []
    for name, chunk in (("whole", None), ("parts", 7)):
        (look,) = tiny.of_kind(tiny.run(tmp_path / name, preset, chunk=chunk), Diagnosed)
        told.append(as_json(look))
    assert told[0] == told[1]
    truncated = told[0][0]["truncated"]
    assert set(truncated["gates"]) == {"lstm0.input", "lstm0.forget", "lstm0.output"}
    assert truncated["gradient_peak"] >= 1


def test_where_an_episode_is_one_truncation_nothing_of_it_is_measured(tmp_path: Path) -> None:
    (look,) = tiny.of_kind(tiny.run(tmp_path / "run", tiny.tiny_preset()), Diagnosed)
    assert look.diagnosis.vitals.truncated is None
    assert "truncated" not in as_json(look)[0]
