"""The backend for many coordinates against the reference, on random experiments; threads, chunks, what it refuses."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.testing import assert_array_equal
from torch import Tensor

from l2o_engine.backends.choose import BackendError, choose
from l2o_engine.backends.compiled.compile import get_kernel
from l2o_engine.backends.coordinatewise import spec
from l2o_engine.backends.coordinatewise.admission import to_compile, why_not
from l2o_engine.backends.coordinatewise.backend import CoordinatewiseBackend
from l2o_engine.backends.coordinatewise.encoding import encoding_of
from l2o_engine.backends.coordinatewise.gradients import Gradients
from l2o_engine.backends.coordinatewise.networks import Networks
from l2o_engine.backends.coordinatewise.recording import CompiledRecording
from l2o_engine.backends.coordinatewise.team import Team
from l2o_engine.backends.course import torch_threads
from l2o_engine.backends.forward import choose_forward
from l2o_engine.backends.reference import TorchBackend
from l2o_engine.meta.experiment import Experiment
from l2o_engine.meta.learner import Learner, Trace
from l2o_engine.meta.meta_adam import Powers
from l2o_engine.meta.truncation import Carried, Truncation
from l2o_engine.optimizers.base import run
from l2o_engine.optimizers.learned.inputs.identity import Identity
from l2o_engine.optimizers.learned.inputs.log_and_sign import LogAndSign
from l2o_engine.optimizers.learned.learned_optimizer import LearnedOptimizer
from l2o_engine.optimizers.learned.networks.by_group import ByGroup, Member
from l2o_engine.optimizers.learned.networks.linear import Linear
from l2o_engine.optimizers.learned.networks.lstm import LSTM
from l2o_engine.optimizers.learned.networks.mlp import MLP
from l2o_engine.presets.files import load, override
from l2o_engine.presets.schema import Preset
from l2o_engine.presets.shipped import find
from l2o_engine.runs.folder import Run
from l2o_engine.support.arrays import Floats
from l2o_engine.support.processes import Child
from l2o_engine.tasks.base import Task
from l2o_engine.tasks.data import DataSet, Part
from l2o_engine.tasks.network import Network, network
from l2o_engine.tasks.quadratic import Quadratic
from l2o_engine.training.trainer import MetaTrainer, TrainerState
from tests.engine.averages import Averages
from tests.engine.tiny import INPUTS, OBJECTIVES, PROBLEMS, draw, new_learner, resume, tiny_preset
from tests.engine.tiny import run as run_preset

pytestmark = pytest.mark.timeout(600)  # the first time, the kernel is compiled

FIRST_ORDER = "unroll.second_derivatives=false"
ALL_INPUTS = [
    *INPUTS.values(),
    'inputs = {kind = "clamp", max = 0.5}',
    'inputs = {kind = "log_and_sign"}',
    'inputs = {kind = "rnnprop"}',
    'inputs = {kind = "momenta"}',
]
STABLE = 1e-10
# The two sum in another order; so where one unit in the last place of the start moves the reference by a hundredth of
# the bound, the comparison says nothing.
MARGIN = 100


def lstms() -> st.SearchStrategy[str]:
    """Draw an LSTM of any options."""
    return st.builds(
        'network = {{kind = "lstm", layers = {}, hidden = {}, input_projection = "{}", output_scale = {}, '
        'output_bound = "{}", forget_bias = {}}}'.format,
        st.integers(1, 3),
        st.integers(1, 12),
        st.sampled_from(["linear", "elu", "none"]),
        st.sampled_from([1.0, 0.1]),
        st.sampled_from(["none", "tanh"]),
        st.sampled_from([1.0, 0.5]),
    )


def networks() -> st.SearchStrategy[str]:
    stateless = ['network = {kind = "mlp", hidden = 4, step_mult = 0.1}', 'network = {kind = "linear"}']
    return st.one_of(lstms(), lstms(), lstms(), st.sampled_from(stateless))


def presets() -> st.SearchStrategy[Preset]:
    """Draw an experiment: whole episodes, or truncations of them."""
    return st.builds(
        lambda network, inputs, problem, objective, batch, unroll: tiny_preset(
            network, inputs, problem, objective, f"meta.batch={batch}", *unroll, 'run.dtype="float64"', FIRST_ORDER
        ),
        networks(),
        st.sampled_from(ALL_INPUTS),
        st.sampled_from([*PROBLEMS.values(), "problem.dims=37"]),
        st.sampled_from([*OBJECTIVES.values(), 'objective = {kind = "mean"}']),
        st.integers(1, 3),
        st.sampled_from([["unroll.steps=5"], ["unroll.steps=8", "unroll.truncation=4"]]),
    )


def shaken(preset: Preset, seed: int) -> Learner:
    """Return a learner whose weights are none that it begins with: zeros would hide derivatives."""
    learner = new_learner(preset, TorchBackend(preset.experiment))
    shift = np.random.default_rng(seed).normal(size=learner.weights.shape) * 0.2
    return replace(learner, weights=(learner.weights + shift).astype(preset.run.dtype))


def nudged(task: Task) -> Task:
    return replace(task, start=np.nextafter(task.start, np.inf))


def carried_of(experiment: Experiment, learner: Learner, task: Task) -> Carried | None:
    """Return what is carried into the first truncation of one batch of tasks; None for whole episodes."""
    if experiment.truncation.is_whole:
        return None
    return experiment.trained.with_weights(learner.weights).on(experiment.task).beginning(task.start[0])


def distance(one: Floats, other: Floats) -> float:
    """Return the greatest difference relative to the greater of their largest entries."""
    size = max(np.abs(one).max(initial=0), np.abs(other).max(initial=0))
    return float(np.abs(one - other).max(initial=0) / size) if size else 0.0


@settings(max_examples=25)
@given(presets(), st.integers(0, 1000))
def test_its_meta_gradient_and_losses_are_the_reference_s_wherever_that_is_stable(preset: Preset, seed: int) -> None:
    experiment, learner = preset.experiment, shaken(preset, seed)
    assert not why_not(experiment)
    task = draw(preset, 1, seed)
    now = slice(experiment.truncation.losses)
    task = replace(task, minibatches={name: values[:, :, now] for name, values in task.minibatches.items()})
    reference, ours = (make(experiment) for make in (TorchBackend, CoordinatewiseBackend))
    expected = reference.meta_gradient(learner, task, carried_of(experiment, learner, task))
    moved = reference.meta_gradient(learner, nudged(task), carried_of(experiment, learner, nudged(task)))
    if not np.isfinite(expected.gradient).all() or distance(expected.gradient, moved.gradient) > STABLE / MARGIN:
        return
    if distance(expected.losses, moved.losses) > STABLE / MARGIN:
        return
    found = ours.meta_gradient(learner, task, carried_of(experiment, learner, task))
    assert distance(found.losses, expected.losses) < STABLE
    assert distance(found.gradient, expected.gradient) < STABLE
    assert found.objective == pytest.approx(expected.objective, rel=STABLE)
    assert found.norm == pytest.approx(expected.norm, rel=STABLE)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("inputs", ALL_INPUTS)
def test_a_training_is_the_reference_s_within_rounding(inputs: str, dtype: str) -> None:
    preset = tiny_preset(
        inputs, 'network = {kind = "lstm", hidden = 5}', "meta.batch=2", f'run.dtype="{dtype}"', FIRST_ORDER
    )
    learner, task = new_learner(preset, TorchBackend(preset.experiment)), draw(preset, 5)
    (one, expected), (other, found) = (
        make(preset.experiment).train(learner, task) for make in (TorchBackend, CoordinatewiseBackend)
    )
    bound = {"float32": 1e-4, "float64": 1e-10}[dtype]
    assert distance(other.weights, one.weights) < bound
    assert distance(found.losses, expected.losses) < bound
    assert found.numbers.keys() == expected.numbers.keys()
    for name, values in found.numbers.items():
        np.testing.assert_allclose(values, expected.numbers[name], rtol=bound)
    assert found.trace is not None
    assert expected.trace is not None
    for name in ("gradient", "inputs", "updates"):
        ours, theirs = getattr(found.trace, name), getattr(expected.trace, name)
        assert ours.shape == theirs.shape
        assert distance(ours, theirs) < 10 * bound


@pytest.fixture
def family(monkeypatch: pytest.MonkeyPatch) -> Network:
    """A network of 237 weights on twenty images that nobody has drawn."""
    generator = np.random.default_rng(0)
    part = Part(generator.integers(0, 17, (20, 64)).astype(np.uint8), (np.arange(20) % 10).astype(np.uint8))
    monkeypatch.setattr(network, "load", lambda name, pool: DataSet(name, (1, 8, 8), 16, part, part, {}))
    return Network(sizes=(3,), batch=4)


def test_networks_by_group_each_have_their_gradient(family: Network) -> None:
    by_group = ByGroup(
        of=(
            Member("kernel", ("layer0.weights",), LSTM(1, 3, input_projection="none", output_scale=0.1)),
            Member("rest", ("*.weights",), MLP(1, 3, step_mult=0.5)),
            Member("biases", ("*.bias",), LSTM(2, 2)),
        )
    )
    learned = LearnedOptimizer(by_group, LogAndSign())
    experiment = Experiment(family, learned, truncation=Truncation(5, of=10), second_derivatives=False, dtype="float64")
    weights = np.random.default_rng(1).normal(size=learned.layout.size) * 0.3
    learner = Learner(weights, np.zeros_like(weights), np.zeros_like(weights), Powers())
    task = family.draw(np.random.default_rng(2), 1, 1, steps=6, dtype="float64")
    carried = carried_of(experiment, learner, task)
    assert carried is not None
    expected = TorchBackend(experiment).meta_gradient(learner, task, carried)
    found = CoordinatewiseBackend(experiment).meta_gradient(learner, task, carried)
    assert distance(found.gradient, expected.gradient) < STABLE
    for name, values in learned.layout.split(expected.gradient).items():
        assert np.abs(values).max() > 0, name
    on = CoordinatewiseBackend(experiment).truncated(learner, task, carried).carried
    reference_on = TorchBackend(experiment).truncated(learner, task, carried).carried
    assert on.keys() == reference_on.keys()
    for name, values in on.items():
        np.testing.assert_allclose(values, reference_on[name], rtol=1e-9, atol=1e-12)


@pytest.mark.usefixtures("family")
def test_the_conv_net_of_dm_cifar10_and_its_two_optimizers_are_differentiated_as_the_reference_does() -> None:
    learned = load(find("dm_cifar10")).experiment.trained
    convolutions = Network(architecture="conv", batch=3)
    experiment = Experiment(
        convolutions, learned, truncation=Truncation(3, of=6), second_derivatives=False, dtype="float64"
    )
    weights = np.random.default_rng(3).normal(size=learned.layout.size) * 0.3
    learner = Learner(weights, np.zeros_like(weights), np.zeros_like(weights), Powers())
    task = convolutions.draw(np.random.default_rng(4), 1, 1, steps=4, dtype="float64")
    carried = carried_of(experiment, learner, task)
    expected = TorchBackend(experiment).meta_gradient(learner, task, carried)
    found = CoordinatewiseBackend(experiment).meta_gradient(learner, task, carried)
    assert distance(found.losses, expected.losses) < STABLE
    for name, values in learned.layout.split(expected.gradient).items():
        assert np.abs(values).max() > 0, name
        assert distance(learned.layout.split(found.gradient)[name], values) < 1e-8, name


# Threads, chunks, small numbers.


DEEPMINDS = (
    'network = {kind = "lstm", hidden = 5, input_projection = "none", output_scale = 0.1}',
    'inputs = {kind = "log_and_sign"}',
    "problem.dims=700",
    "unroll.steps=8",
    "unroll.truncation=4",
    FIRST_ORDER,
)


def trained(preset: Preset, threads: int, chunks: tuple[int, ...]) -> tuple[TrainerState, list[Floats]]:
    """Return the state after so many meta-iterations, in chunks of so many, and the losses on the way."""
    trainer = MetaTrainer(preset.experiment, 0, CoordinatewiseBackend(preset.experiment, threads=threads))
    losses = [chunk.results.losses for n in chunks for chunk in trainer.advance(n)]
    return trainer.state(), losses


def assert_same(one: tuple[TrainerState, list[Floats]], other: tuple[TrainerState, list[Floats]]) -> None:
    (state, losses), (other_state, other_losses) = one, other
    assert state.learner is not None
    assert other_state.learner is not None
    for name in ("weights", "moment1", "moment2"):
        assert_array_equal(getattr(state.learner, name), getattr(other_state.learner, name))
    assert_array_equal(np.concatenate(losses), np.concatenate(other_losses))
    for place, episode in state.episodes.items():
        for name, values in episode.carried.items():
            assert_array_equal(values, other_state.episodes[place].carried[name], name)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_results_depend_neither_on_the_number_of_threads_nor_on_chunks(dtype: str) -> None:
    preset = tiny_preset(*DEEPMINDS, f'run.dtype="{dtype}"')
    one = trained(preset, 1, (5,))
    assert_same(one, trained(preset, 2, (5,)))
    assert_same(one, trained(preset, 3, (1, 1, 2, 1)))


@pytest.mark.usefixtures("family")
@pytest.mark.parametrize("judged", [(), ("augmentation.unseen=0.4",)], ids=["by what they see", "by unseen images"])
def test_threads_share_networks_on_images_and_their_number_makes_no_difference(judged: tuple[str, ...]) -> None:
    """Two networks, each of several blocks of images, and of several parts of rows of its weights."""
    problem = 'problem={kind="network", sizes=[66, 3], batch=70}'
    preset = tiny_preset(problem, *DEEPMINDS[:2], *DEEPMINDS[3:], "meta.batch=2", *judged)
    one = trained(preset, 1, (3,))
    assert_same(one, trained(preset, 2, (3,)))
    assert_same(one, trained(preset, 3, (1, 2)))


@pytest.mark.usefixtures("family")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(
    "reach",
    [
        ("unroll.truncation=4",),
        ("unroll.truncation=3",),
        ("unroll.truncation=6",),
        ("unroll.truncation=4", "unroll.closing_loss=false"),
    ],
    ids=["even", "odd", "longer than is asked for at once", "whose last loss does not count"],
)
def test_an_unroll_that_is_taken_at_once_is_to_the_last_bit_the_one_step_by_step(
    dtype: str, reach: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two networks, whose rows are no whole vectors, in mid-episode too; and so is what is told of it."""
    preset = tiny_preset(
        *('problem={kind="network", sizes=[66, 3], batch=70}', "meta.batch=2", f'run.dtype="{dtype}"'),
        'objective={kind="sum_log", residual=1e-6}',
        *(*DEEPMINDS[:2], "unroll.steps=12", *reach, "unroll.shortest=12", FIRST_ORDER),
    )

    def stepped(*arguments: Any) -> None:
        raise AssertionError("a step was taken by itself")

    def traced() -> tuple[tuple[TrainerState, list[Floats]], list[Trace]]:
        trainer = MetaTrainer(preset.experiment, 0, CoordinatewiseBackend(preset.experiment, threads=2))
        results = [chunk.results for n in (2, 3) for chunk in trainer.advance(n)]
        return (trainer.state(), [one.losses for one in results]), [one.trace for one in results if one.trace]

    with monkeypatch.context() as patched:
        patched.setattr(CompiledRecording, "step", stepped)
        at_once, told = traced()
    monkeypatch.setattr(CompiledRecording, "gives_updates", False)
    monkeypatch.delattr(CompiledRecording, "unroll")
    by_step, told_by_step = traced()
    assert any(episode.carried for episode in at_once[0].episodes.values())
    assert_same(at_once, by_step)
    assert told
    for one, other in zip(told, told_by_step, strict=True):
        for name in ("gradient", "inputs", "updates"):
            assert_array_equal(getattr(one, name), getattr(other, name), name)


@pytest.mark.usefixtures("family")
def test_networks_by_group_take_turns_and_the_number_of_threads_makes_no_difference() -> None:
    """More rows than one thread takes at a time, of two networks, whose threads come back after each step."""
    lstm = 'network={kind="lstm", hidden=3, input_projection="none"}'
    preset = tiny_preset(
        f'network={{kind="by_group", of=[{{name="first", groups=["layer0.*"], {lstm}}}, '
        f'{{name="rest", groups=["*"], {lstm}}}]}}',
        'problem={kind="network", sizes=[9], batch=8}',
        *(*DEEPMINDS[1:2], *DEEPMINDS[3:]),
    )
    one = trained(preset, 1, (3,))
    assert_same(one, trained(preset, 2, (3,)))
    assert_same(one, trained(preset, 3, (1, 2)))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_many_networks_of_few_weights_share_a_chunk_of_rows(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(0)
    part = Part(generator.integers(0, 17, (20, 4)).astype(np.uint8), (np.arange(20) % 10).astype(np.uint8))
    monkeypatch.setattr(network, "load", lambda name, pool: DataSet(name, (1, 2, 2), 16, part, part, {}))
    problem = 'problem={kind="network", sizes=[2], pool=4, batch=5}'  # 40 weights each
    preset = tiny_preset(problem, *DEEPMINDS[:2], *DEEPMINDS[3:], "meta.batch=7", f'run.dtype="{dtype}"')
    learner, task = shaken(preset, 0), draw(preset, 1)
    carried = carried_of(preset.experiment, learner, task)
    expected, found = (
        make(preset.experiment).meta_gradient(learner, task, carried) for make in (TorchBackend, CoordinatewiseBackend)
    )
    assert distance(found.gradient, expected.gradient) < (1e-4 if dtype == "float32" else STABLE)


@pytest.mark.usefixtures("family")
@pytest.mark.parametrize(
    ("judged", "kind", "name", "call"),
    [(("augmentation.unseen=0.4",), Gradients, "of", 3), ((), Team, "_do", 2)],
    ids=["of steps by themselves", "of all at once"],
)
def test_after_an_error_in_the_midst_of_an_unroll_the_next_one_is_as_it_would_have_been(
    judged: tuple[str, ...], kind: type[Any], name: str, call: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    problem = 'problem={kind="network", sizes=[66], batch=70}'
    preset = tiny_preset(problem, *DEEPMINDS[:2], *DEEPMINDS[3:], *judged)
    expected = trained(preset, 1, (2,))
    backend, steps = CoordinatewiseBackend(preset.experiment, threads=2), []

    def stop(self: Any, *arguments: Any) -> Any:
        steps.append(self)
        if len(steps) == call:
            raise KeyboardInterrupt
        return step(self, *arguments)

    step = getattr(kind, name)
    with monkeypatch.context() as patched:
        patched.setattr(kind, name, stop)
        with pytest.raises(KeyboardInterrupt):
            MetaTrainer(preset.experiment, 0, backend).advance(2)
    trainer = MetaTrainer(preset.experiment, 0, backend)
    losses = [chunk.results.losses for chunk in trainer.advance(2)]
    assert_same(expected, (trainer.state(), losses))


@pytest.mark.usefixtures("family")
def test_in_mid_episode_resumed_equals_uninterrupted(tmp_path: Path) -> None:
    """From a folder, with minibatches, staggered parallel episodes, and images that are left to judge by."""
    preset = tiny_preset(
        *('problem={kind="network", sizes=[9], batch=8}', *DEEPMINDS[:2], "unroll.steps=20", "unroll.truncation=4"),
        *("unroll.shortest=8", "unroll.staggered=true", FIRST_ORDER, "meta.batch=2", "augmentation.unseen=0.4"),
    )
    run_preset(tmp_path / "whole", override(preset, ["run.iterations=11", 'run.backend="coordinatewise"']))
    run_preset(tmp_path / "part", override(preset, ["run.iterations=6", 'run.backend="coordinatewise"']))
    resume(tmp_path / "part", iterations=11)
    whole, part = (Run(tmp_path / name).checkpoint().trainers[0] for name in ("whole", "part"))
    assert any(episode.carried for episode in whole.episodes.values())
    assert_same((whole, [np.zeros(0)]), (part, [np.zeros(0)]))
    rows = [(tmp_path / name / "metrics.csv").read_bytes() for name in ("whole", "part")]
    assert rows[0] == rows[1]


def test_a_step_more_than_there_is_room_for_is_an_error() -> None:
    learned = LearnedOptimizer(LSTM(1, 2), Identity())
    optimizer = learned.with_weights(np.zeros(learned.layout.size), stays=False)
    _, recordings = Networks(learned, "float64", None, 2).record(optimizer, Quadratic(dims=5), steps=2)
    (recording,) = recordings.values()
    seen = torch.zeros(5, 1, dtype=torch.float64)
    state = recording.start(5, seen)
    for _ in range(2):
        _, state = recording.step({}, seen, state)
    with pytest.raises(IndexError):
        recording.step({}, seen, state)


def test_an_unroll_with_images_for_other_steps_than_it_has_is_an_error() -> None:
    """The kernel would look for those that are missing behind the others."""
    learned = LearnedOptimizer(LSTM(2, 2), LogAndSign())
    optimizer = learned.with_weights(np.zeros(learned.layout.size), stays=False)
    _, recordings = Networks(learned, "float64", None, 2).record(optimizer, Network(sizes=(3,), batch=4), steps=2)
    (recording,) = recordings.values()
    assert isinstance(recording, CompiledRecording)
    recording.start(237, torch.zeros(1, 237, dtype=torch.float64))
    with pytest.raises(ValueError, match="images for 2 losses, where 2 steps have 3"):
        recording.unroll(np.zeros((1, 237)), np.zeros((2, 1, 4), np.int64), np.zeros(3))
    with pytest.raises(ValueError, match="474 rows of 2 inputs, where there are 237 of 2"):
        recording.unroll(np.zeros((2, 237)), np.zeros((3, 2, 4), np.int64), np.zeros(3))


@pytest.mark.parametrize("of_one", [False, True], ids=["one network", "one by group"])
@pytest.mark.parametrize("projection", ["none", "linear", "elu"])
def test_of_perceptrons_its_meta_gradient_and_what_it_carries_on_are_the_reference_s(
    family: Network, projection: Any, *, of_one: bool
) -> None:
    """With more images than it has losses for, the others are left alone."""
    network: Any = LSTM(1, 3, input_projection=projection, initialiser="sonnet", output_scale=0.1)
    if of_one:
        network = ByGroup(of=(Member("all", ("*",), network),))
    experiment = Experiment(
        family,
        LearnedOptimizer(network, LogAndSign()),
        truncation=Truncation(5, of=10),
        second_derivatives=False,
        dtype="float64",
    )
    trained, expected = (MetaTrainer(experiment, 0, kind(experiment)) for kind in (CoordinatewiseBackend, TorchBackend))
    for _ in range(2):  # the second begins with what the first has carried on
        one, other = (trainer.advance(1)[0].results for trainer in (trained, expected))
        np.testing.assert_allclose(one.losses, other.losses, rtol=1e-12)
        np.testing.assert_allclose(one.gradient_norm, other.gradient_norm, rtol=1e-8)
    task = family.draw(np.random.default_rng(0), 1, 1, steps=9, dtype="float64")
    learner = trained.state().learner
    assert learner is not None
    found, wanted = (kind(experiment).meta_gradient(learner, task) for kind in (CoordinatewiseBackend, TorchBackend))
    np.testing.assert_allclose(found.gradient, wanted.gradient, rtol=1e-6, atol=1e-9 * found.norm)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_is_the_same_whether_gates_are_kept_or_computed_again(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    preset = tiny_preset(*DEEPMINDS, f'run.dtype="{dtype}"')
    kept = trained(preset, 2, (5,))
    kept_bytes = spec.workspace_bytes(preset.experiment)
    monkeypatch.setattr(spec, "_MOST_GATES", 0)
    assert_same(kept, trained(preset, 2, (5,)))
    assert spec.workspace_bytes(preset.experiment) < kept_bytes


def test_two_trainings_at_once_on_the_same_threads_give_what_each_gives_alone() -> None:
    preset = tiny_preset(*DEEPMINDS)
    backend = CoordinatewiseBackend(preset.experiment, threads=2)

    def train(seed: int) -> tuple[TrainerState, list[Floats]]:
        trainer = MetaTrainer(preset.experiment, seed, backend)
        losses = [chunk.results.losses for chunk in trainer.advance(5)]
        return trainer.state(), losses

    alone = [train(seed) for seed in range(4)]
    with ThreadPoolExecutor(4) as pool:
        for one, other in zip(alone, pool.map(train, range(4)), strict=True):
            assert_same(one, other)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("hidden", [1, 7, 8, 15, 16, 20, 33])  # fewer than a vector has lanes, as many, and more
@pytest.mark.parametrize("rows", [1, 32, 67])
def test_a_state_that_is_put_into_lines_comes_out_as_it_was(hidden: int, rows: int, dtype: str) -> None:
    learned, generator = LearnedOptimizer(LSTM(2, hidden), Identity()), np.random.default_rng(0)
    weights = learned.initialise(generator, dtype)
    _, recordings = Networks(learned, dtype, None, 1).record(learned.with_weights(weights, stays=False), Quadratic(), 2)
    (recording,) = recordings.values()
    names = [f"lstm{layer}.{part}" for layer in range(2) for part in ("hidden", "cell")]
    given = {name: torch.from_numpy(generator.normal(size=(rows, hidden)).astype(dtype)) for name in names}
    found = recording.named(recording.of_named(given))
    assert found.keys() == given.keys()
    for name, values in given.items():
        assert_array_equal(found[name], values, name)


@pytest.mark.parametrize("shape", [(66, 20), (68, 20), (67, 19), (67, 24), (67,)])
def test_a_state_of_other_rows_or_units_is_an_error(shape: tuple[int, ...]) -> None:
    learned = LearnedOptimizer(LSTM(1, 20), Identity())
    weights = learned.initialise(np.random.default_rng(0), "float32")
    _, recordings = Networks(learned, "float32", None, 1).record(
        learned.with_weights(weights, stays=False), Quadratic()
    )
    (recording,) = recordings.values()
    with pytest.raises(ValueError, match=r"lstm0.cell is .* rows and units are \(67, 20\)"):
        recording.of_named({"lstm0.hidden": torch.zeros(67, 20), "lstm0.cell": torch.zeros(shape)})


def test_derivatives_by_losses_of_other_networks_than_an_unroll_was_of_are_an_error() -> None:
    learned = LearnedOptimizer(LSTM(1, 4), LogAndSign())
    weights = learned.initialise(np.random.default_rng(0), "float32")
    _, recordings = Networks(learned, "float32", None, 1).record(
        learned.with_weights(weights, stays=False), Quadratic(dims=5), 3
    )
    (recording,) = recordings.values()
    assert isinstance(recording, CompiledRecording)
    recording.start(5, torch.zeros(5))
    with pytest.raises(ValueError, match="derivatives by losses of 1 networks"):
        recording.gradient_by_losses(np.zeros((4, 1), "float32"))


@pytest.mark.parametrize("hidden", [1, 3])
def test_what_is_carried_is_no_part_of_the_memory_that_is_used_again(hidden: int) -> None:
    """Two trainers of one backend, in turn, and one that goes on from what was kept: as one that is alone."""
    network = LSTM(layers=1, hidden=hidden)
    experiment = Experiment(
        Quadratic(), LearnedOptimizer(network), truncation=Truncation(4, of=16), second_derivatives=False
    )
    backend = CoordinatewiseBackend(experiment, threads=1)
    first, second, alone = (MetaTrainer(experiment, seed, backend) for seed in (0, 1, 0))
    states, found = [], []
    for _ in range(3):
        (chunk,) = first.advance(1)
        found.append(chunk.results.losses)
        states.append(first.state())
        second.advance(1)
    expected = np.concatenate([alone.advance(1)[0].results.losses for _ in range(3)])
    assert_array_equal(np.concatenate(found), expected)
    second.load_state(states[0])
    assert_array_equal(second.advance(2)[0].results.losses, expected[1:])


def test_memory_of_as_many_blocks_and_other_rows_is_not_used_again() -> None:
    preset = tiny_preset(FIRST_ORDER, "meta.batch=3", "network.layers=1")
    used, fresh = (CoordinatewiseBackend(preset.experiment, threads=1) for _ in range(2))
    learner, generator = shaken(preset, 0), np.random.default_rng(0)
    several, one = (preset.problem.draw(generator, 1, n, steps=4, dtype=preset.run.dtype) for n in (3, 1))
    used.meta_gradient(learner, several)
    assert_array_equal(used.meta_gradient(learner, one).gradient, fresh.meta_gradient(learner, one).gradient)


@dataclass(frozen=True)
class Counting(Averages):
    """Averages that notes how many threads torch takes for its loss."""

    seen: ClassVar[set[int]] = set()

    def loss(self, x: Any, parameters: Mapping[str, Any], minibatch: Mapping[str, Any] | None = None) -> Any:
        self.seen.add(torch.get_num_threads())
        return super().loss(x, parameters, minibatch)


@pytest.mark.parametrize("make", [CoordinatewiseBackend, TorchBackend])
def test_torch_takes_as_many_threads_as_the_experiment_says_and_the_caller_s_are_left(make: Any) -> None:
    preset = tiny_preset(FIRST_ORDER, "network.layers=1")
    experiment = replace(preset.experiment, task=Counting(), torch_threads=3)
    task = Counting().draw(np.random.default_rng(0), 1, 1, steps=4, dtype="float32")
    before, backend, learner = torch.get_num_threads(), make(experiment), shaken(preset, 0)
    for act in (backend.train, backend.evaluate, backend.meta_gradient):
        Counting.seen.clear()
        act(learner, task)
        assert Counting.seen == {3}
    assert torch.get_num_threads() == before


def test_several_who_ask_for_threads_of_torch_at_once_leave_what_there_was() -> None:
    before = torch.get_num_threads()
    one, other = torch_threads(before + 1), torch_threads(before + 2)
    one.__enter__()
    other.__enter__()
    assert torch.get_num_threads() == before + 2
    one.__exit__(None, None, None)
    assert torch.get_num_threads() == before + 2
    other.__exit__(None, None, None)
    assert torch.get_num_threads() == before


def test_derivatives_too_small_for_the_float_type_are_0_and_the_others_what_they_are() -> None:
    """Where an optimizee is saturated; and the thread's own mode is left as it was."""
    preset = tiny_preset(*DEEPMINDS[:2], "problem.dims=64", FIRST_ORDER)
    learner, task = shaken(preset, 0), draw(preset, 1)
    scale = np.where(np.arange(64) % 2, 1e-17, 1.0).astype("float32")
    task = replace(task, parameters={"scale": task.parameters["scale"] * scale})
    expected = TorchBackend(preset.experiment).meta_gradient(learner, task)
    found = CoordinatewiseBackend(preset.experiment, threads=1).meta_gradient(learner, task)
    assert distance(found.gradient, expected.gradient) < 1e-5
    assert np.float32(1e-39) * np.float32(0.5) > 0
    tiny = replace(task, parameters={"scale": task.parameters["scale"] * np.float32(1e-16)})
    assert 0 < CoordinatewiseBackend(preset.experiment).meta_gradient(learner, tiny).norm < 1e-20


@pytest.mark.parametrize("size", [3e-18, 1e-19])
@pytest.mark.parametrize("factor", [0.1, -0.1, 30])
def test_derivatives_that_are_all_near_the_smallest_number_are_scaled_and_none_is_lost(
    factor: float, size: float
) -> None:
    """At the smaller size the optimizee's own gradients are subnormal already."""
    overrides = (*DEEPMINDS[:2], "problem.dims=300", FIRST_ORDER, f"network.output_scale={factor}")
    preset, exact = tiny_preset(*overrides), tiny_preset(*overrides, 'run.dtype="float64"')
    learner, task = shaken(preset, 0), draw(preset, 1)
    task = replace(task, parameters={"scale": task.parameters["scale"] * np.float32(size)})
    widened = replace(learner, weights=learner.weights.astype(np.float64))
    expected = TorchBackend(exact.experiment).meta_gradient(widened, task.with_arrays(np.float64))
    found = CoordinatewiseBackend(preset.experiment).meta_gradient(learner, task)
    assert 0 < np.abs(expected.gradient).max() < 1e-29
    assert distance(found.gradient, expected.gradient) < 1e-4


def test_what_is_not_finite_is_flagged_as_the_reference_flags_it() -> None:
    preset = tiny_preset(*DEEPMINDS[:2], FIRST_ORDER, "meta.non_finite=skip", "meta.max_non_finite=2")
    learner, task = new_learner(preset, TorchBackend(preset.experiment)), draw(preset, 12)
    start = task.start.copy()
    start[[2, 3, 7, 8, 9]] = np.inf
    task = replace(task, start=start)
    (one, expected), (other, found) = (
        make(preset.experiment).train(learner, task) for make in (TorchBackend, CoordinatewiseBackend)
    )
    assert_array_equal(found.non_finite, expected.non_finite)
    assert (len(found), other.diverged, other.powers) == (10, True, one.powers)


def test_infinities_of_both_signs_in_several_chunks_are_flagged_and_nothing_is_warned_of() -> None:
    preset = tiny_preset(*DEEPMINDS[:2], "problem.dims=700", FIRST_ORDER)
    learner, task = new_learner(preset, TorchBackend(preset.experiment)), draw(preset, 1)
    scale = np.where(np.arange(700) < 350, 1e25, 1.0).astype("float32")
    start = np.where(np.arange(700) % 2, -1e10, 1e10).astype("float32")
    task = replace(task, start=task.start * 0 + start, parameters={"scale": task.parameters["scale"] * scale})
    _, results = CoordinatewiseBackend(preset.experiment).train(learner, task)
    assert results.non_finite.all()


def test_it_travels_to_another_process_as_its_experiment() -> None:
    preset = tiny_preset(*DEEPMINDS)
    backend = CoordinatewiseBackend(preset.experiment, threads=2)
    make, arguments = backend.__reduce__()
    there = make(*arguments)
    one, other = (MetaTrainer(preset.experiment, 0, each).advance(2)[0].results for each in (backend, there))
    assert_array_equal(one.losses, other.losses)


def test_it_goes_forward_and_evaluates_as_the_reference_does() -> None:
    preset = tiny_preset(*DEEPMINDS[:2], "meta.batch=2", 'run.dtype="float64"', FIRST_ORDER)
    experiment, learner, task = preset.experiment, shaken(preset, 3), draw(preset, 3)
    start = task.start.copy()
    start[0] = 0  # what is found is safe
    task = replace(task, start=start)
    expected = TorchBackend(experiment).evaluate(learner, task)
    np.testing.assert_allclose(CoordinatewiseBackend(experiment).evaluate(learner, task), expected, rtol=1e-9)
    further = TorchBackend(experiment).evaluate(learner, task, 9)
    assert further.shape[-1] == 9
    np.testing.assert_allclose(CoordinatewiseBackend(experiment).evaluate(learner, task, 9), further, rtol=1e-9)
    forward = choose_forward(experiment)
    assert forward.name == "coordinatewise"
    optimizer = experiment.trained.with_weights(learner.weights)
    losses = forward.losses(optimizer, task, 30)
    np.testing.assert_allclose(losses, run(optimizer, task, 30), rtol=1e-9)
    assert_array_equal(losses[0], 0)


def test_it_takes_a_training_through_its_tricks_as_the_reference_does() -> None:
    preset = tiny_preset(
        *(*DEEPMINDS[:2], FIRST_ORDER, 'run.dtype="float64"', "unroll.steps=4", "unroll.truncation=2", "meta.batch=2"),
        *("augmentation.scaling=1", "augmentation.companion=3", "imitation.probability=0.5", "curriculum.stages=[6]"),
        *("curriculum.least=2", "validation.every=2", "validation.tasks=2", "meta.learning_rate=0.02"),
    )
    (one,), (other,) = (MetaTrainer(preset.experiment, 0, make(preset.experiment)).advance(20)
                        for make in (TorchBackend, CoordinatewiseBackend))  # fmt: skip
    np.testing.assert_allclose(other.results.losses, one.results.losses, rtol=1e-7)
    assert [verdict.outcome for verdict in other.verdicts] == [verdict.outcome for verdict in one.verdicts]
    for ours, expected in zip(other.verdicts, one.verdicts, strict=True):
        assert ours.figure == pytest.approx(expected.figure, rel=1e-7)


@pytest.mark.usefixtures("family")
@pytest.mark.parametrize("tricks", [(), ("augmentation.scaling=1", "augmentation.companion=3")], ids=["alone", "all"])
@pytest.mark.parametrize("second", [False, True], ids=["first order", "second order"])
def test_losses_of_unseen_images_are_what_it_learns_by(tricks: tuple[str, ...], *, second: bool) -> None:
    """The meta-gradient of the reference beside differences of the losses; of the other beside the reference's."""
    preset = tiny_preset(
        *('problem={kind="network", sizes=[2], batch=8, start={normal=0.5}}', 'run.dtype="float64"', "unroll.steps=6"),
        *(
            "unroll.truncation=3",
            f"unroll.second_derivatives={str(second).lower()}",
            "augmentation.unseen=0.4",
            *tricks,
        ),
    )
    experiment, learner = preset.experiment, shaken(preset, 3)
    task = experiment.trained_on.draw(np.random.default_rng(3), 1, 1, steps=4, dtype="float64")
    optimizer = experiment.trained.with_weights(learner.weights).on(experiment.trained_on)
    carried = optimizer.beginning(task.start[0])
    reference = TorchBackend(experiment)
    found = reference.meta_gradient(learner, task, carried)
    blind = reference.meta_gradient(learner, replace(task, judged={}), carried)
    assert distance(found.gradient, blind.gradient) > 1e-3
    if not second:
        ours = CoordinatewiseBackend(experiment).meta_gradient(learner, task, carried)
        np.testing.assert_allclose(ours.losses, found.losses, rtol=1e-12)
        assert distance(ours.gradient, found.gradient) < STABLE
        return
    direction = np.random.default_rng(0).normal(size=len(learner.weights))
    after, before = (
        reference.meta_gradient(replace(learner, weights=learner.weights + way * direction), task, carried).objective
        for way in (1e-6, -1e-6)
    )
    assert found.gradient @ direction == pytest.approx((after - before) / 2e-6, rel=1e-5)


# What it takes.


def test_auto_takes_it_where_the_kernel_cannot_and_says_why() -> None:
    experiment = tiny_preset(*DEEPMINDS).experiment
    choice = choose(experiment, "auto")
    assert choice.name == "coordinatewise"
    assert choice.reason == 'not fused: the kernel has no input projection "none"'
    assert choose(experiment, "coordinatewise").reason == "asked for"
    backend, _ = choice.load()
    assert (backend.name, backend.is_parallel) == ("coordinatewise", False)


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (("unroll.second_derivatives=true",), "it takes first-order meta-gradients only"),
    ],
)
def test_what_it_cannot_take_is_refused_with_the_reason(settings: tuple[str, ...], why: str) -> None:
    experiment = tiny_preset(FIRST_ORDER, *settings).experiment
    with pytest.raises(BackendError, match=f'^backend "coordinatewise" cannot run this experiment: {why}'):
        choose(experiment, "coordinatewise")


class _Doubled(LSTM):
    """A network that is made of one that the kernel has, and computes something else."""

    def scaled(self, outputs: Tensor) -> Tensor:
        return super().scaled(outputs) * 2


def test_a_network_that_is_made_of_a_known_one_is_not_taken_for_it() -> None:
    experiment = replace(tiny_preset(FIRST_ORDER).experiment, learned=LearnedOptimizer(_Doubled(1, 3), Identity()))
    assert why_not(experiment) == 'it has no network "lstm"'


def test_all_networks_of_a_float_type_share_a_kernel_that_a_stateless_one_does_not_need(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("L2O_CACHE_DIR", str(tmp_path))
    one, other = (tiny_preset(FIRST_ORDER, f"network.hidden={hidden}").experiment for hidden in (3, 9))
    assert to_compile(one) == to_compile(other) != ""
    assert to_compile(replace(one, dtype="float64")) not in ("", to_compile(one))
    stateless = replace(one, learned=LearnedOptimizer(Linear(), Identity()))
    assert to_compile(stateless) == ""
    monkeypatch.setattr(Child, "run", lambda *_, **__: pytest.fail("nothing is to be compiled"))
    assert choose(stateless, "coordinatewise").preparation == "loading the kernel"
    choose(stateless, "coordinatewise").load()


# What it computes with.


@pytest.mark.parametrize(("dtype", "bound"), [("float32", 2e-6), ("float64", 5e-15)])
def test_gates_are_what_they_should_be_however_far_out(dtype: str, bound: float) -> None:
    """One unit all of whose gates are its input: its cell is σ(u)·tanh(u), its output σ(u)·tanh(cell)."""
    cell = LSTM(1, 1, forget_bias=0.0, input_projection="none")
    learned = LearnedOptimizer(cell, Identity())
    weights = learned.layout.join(
        {
            "lstm0.kernel": np.array([[1.0] * 4, [0.0] * 4]),
            "lstm0.bias": np.zeros(4),
            "output_projection.kernel": np.ones((1, 1)),
            "output_projection.bias": np.zeros(1),
        }
    ).astype(dtype)
    inputs = np.concatenate([np.linspace(-30, 30, 4001), np.geomspace(1e-20, 1, 50), -np.geomspace(1e-20, 1, 50)])
    inputs = inputs.astype(dtype)
    optimizer, recordings = Networks(learned, dtype, None, 1).record(
        learned.with_weights(weights, stays=False), Quadratic(dims=len(inputs))
    )
    (recording,) = recordings.values()
    beyond = np.array([np.nan, np.inf, -np.inf, 1e30, -1e30, 200, -200], dtype)
    seen = torch.from_numpy(np.concatenate([inputs, beyond]))[:, None]
    outputs, state = recording.step({}, seen, recording.start(len(seen), seen))
    exact = inputs.astype(np.longdouble)
    sigmoid = 1 / (1 + np.exp(-exact))
    np.testing.assert_allclose(recording.named(state)["lstm0.cell"][: len(inputs), 0], sigmoid * np.tanh(exact), bound)
    expected = sigmoid * np.tanh(sigmoid * np.tanh(exact))
    np.testing.assert_allclose(outputs[: len(inputs)], expected, bound)
    far = outputs[len(inputs) :].numpy()
    assert np.isnan(far[0])
    np.testing.assert_allclose(far[[1, 3, 5]], np.tanh(1), 1e-6)
    np.testing.assert_allclose(far[[2, 4, 6]], 0, atol=1e-30)
    assert optimizer.stepping is recording


@pytest.mark.parametrize(("dtype", "bound"), [("float32", 3e-7), ("float64", 1e-15)])
def test_logarithms_and_signs_are_those_of_the_inputs_whatever_the_gradient(dtype: str, bound: float) -> None:
    inputs = LogAndSign(k=7.0)
    encode = encoding_of(inputs, get_kernel(spec.RowsSpec(dtype)), dtype)
    assert encode is not None
    sizes = np.concatenate([np.geomspace(1e-30, 1e30, 1002), 1 + np.linspace(-1e-3, 1e-3, 100), [0.0, np.inf, np.nan]])
    gradients = torch.from_numpy(np.concatenate([sizes, -sizes]).astype(dtype)).view(2, -1)
    found, expected = encode(gradients, {}, {}), inputs.encode(gradients, {}, {})
    assert found.inputs.shape == (*gradients.shape, 2)
    for ours, theirs, name in zip(found.inputs.unbind(-1), expected.inputs.unbind(-1), ("log", "sign"), strict=True):
        np.testing.assert_allclose(ours, theirs, bound, bound / 7, err_msg=name)
    assert found.reference is expected.reference is gradients
    assert found.signal is expected.signal is gradients
    assert found.memory == expected.memory == {}
