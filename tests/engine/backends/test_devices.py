"""The reference on another device than the CPU, as far as a CPU can tell; which devices are taken and refused."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal

from l2o_engine.backends.choose import BackendError, choose
from l2o_engine.backends.devices import Device, DeviceError, find_device, free_on, on_device
from l2o_engine.backends.reference import TorchBackend
from l2o_engine.meta.experiment import Experiment
from l2o_engine.meta.meta_adam import MetaAdam
from l2o_engine.meta.objectives.base import OBJECTIVES, Objective
from l2o_engine.meta.truncation import Truncation
from l2o_engine.optimizers.learned.inputs.base import INPUTS, Inputs
from l2o_engine.optimizers.learned.inputs.log import Log
from l2o_engine.optimizers.learned.inputs.log_and_sign import LogAndSign
from l2o_engine.optimizers.learned.inputs.momenta import Momenta
from l2o_engine.optimizers.learned.inputs.ratio_log import RatioLog
from l2o_engine.optimizers.learned.learned_optimizer import LearnedOptimizer
from l2o_engine.optimizers.learned.networks.base import Network
from l2o_engine.optimizers.learned.networks.by_group import ByGroup, Member
from l2o_engine.optimizers.learned.networks.linear import Linear
from l2o_engine.optimizers.learned.networks.lstm import LSTM
from l2o_engine.presets.files import check
from l2o_engine.presets.messages import PresetError
from l2o_engine.tasks.base import TaskFamily
from l2o_engine.tasks.formula import Formula
from l2o_engine.tasks.network import Network as NetworkTask
from l2o_engine.tasks.quadratic import Quadratic
from l2o_engine.training.trainer import MetaTrainer
from tests.engine.digits import digits_in
from tests.engine.elsewhere import NAME, Elsewhere
from tests.engine.optimizers.test_inputs import made
from tests.engine.optimizers.test_networks import KINDS
from tests.engine.tasks.test_tasks import FAMILIES, NETWORK
from tests.engine.tiny import arrays_of

SMALL = LSTM(layers=1, hidden=3)
BY_GROUP = ByGroup(
    of=(Member("weights", ("layer0.weights",), SMALL), Member("others", ("*",), LSTM(layers=1, hidden=2))),
)
CUDA, MPS = Device("cuda:0", "A GPU"), Device("mps", "Apple's GPU")
GPUS = (CUDA, Device("cuda:1", "Another"), MPS)
QUADRATIC = Experiment(Quadratic(), LearnedOptimizer(SMALL))
FIRST_ORDER = replace(QUADRATIC, second_derivatives=False)


@pytest.fixture(autouse=True, scope="module")
def _digits(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with digits_in(tmp_path_factory.mktemp("data")):
        yield


def here(monkeypatch: pytest.MonkeyPatch, *devices: Device) -> None:
    """Have torch tell that these accelerators are here."""
    monkeypatch.setattr("l2o_engine.backends.devices._found", lambda: iter(devices))


# What is computed there.


def experiment(
    task: TaskFamily,
    inputs: Inputs,
    network: Network = SMALL,
    truncation: Truncation = Truncation(3),  # noqa: B008 (it is frozen)
    *,
    second_derivatives: bool = True,
) -> Experiment:
    learned = LearnedOptimizer(network, inputs)
    meta = MetaAdam(batch=2)
    return Experiment(
        task, learned, truncation=truncation, meta=meta, baselines=(), second_derivatives=second_derivatives
    )


def numbers_of(trainer: MetaTrainer, n: int) -> dict[str, Any]:
    """Return all that comes of some meta-iterations: results, the trace among them, the learner, what is carried."""
    (chunk,) = trainer.advance(n)
    state = trainer.state()
    assert state.learner is not None
    task = trainer.curves_of([0, 1], state)  # which the backend evaluates
    carried = {
        f"{number} {name}": values
        for number, episode in state.episodes.items()
        for name, values in episode.carried.items()
    }
    learner = {name: getattr(state.learner, name) for name in ("weights", "moment1", "moment2")}
    return {**arrays_of(chunk.results), **learner, **carried, **task.losses}


def assert_the_same_there(asked: Experiment, n: int = 2) -> None:
    """Hold what is computed elsewhere to what is computed here, bit for bit."""
    expected = numbers_of(MetaTrainer(asked, 0, "torch"), n)
    with Elsewhere() as elsewhere:
        found = numbers_of(MetaTrainer(asked, 0, TorchBackend(asked, NAME)), n)
    assert elsewhere.computed > 100
    assert found.keys() == expected.keys()
    for name, values in found.items():
        assert type(values) is np.ndarray, name
        assert_array_equal(values, expected[name], name)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.kind)
def test_every_family_is_unrolled_there(family: TaskFamily) -> None:
    assert_the_same_there(experiment(family, LogAndSign()), n=1)


@pytest.mark.parametrize("family", [*FAMILIES, Formula(loss="3*x[0] + x[1]**2")], ids=lambda family: family.kind)
def test_every_family_s_own_derivatives_are_there(family: TaskFamily) -> None:
    task = family.draw(np.random.default_rng(0), 2, 2, steps=2, dtype="float32")

    def found(where: str) -> list[Any]:
        moved = task.with_arrays(lambda values: torch.from_numpy(values).to(where))
        x = moved.start
        values = [moved.loss(x, moved.minibatch(0)), moved.gradient(x, moved.minibatch(0))]
        bent = family.hessian_product(x, x, moved.parameters)
        values += moved.loss_and_gradient(x, moved.minibatch(1)) if bent is None else [bent]
        assert all(one.device == torch.device(where) for one in values)
        return [one.cpu().numpy() for one in values]

    with Elsewhere():
        there = found(NAME)
    for ours, theirs in zip(there, found("cpu"), strict=True):
        assert_array_equal(ours, theirs)


@pytest.mark.parametrize("inputs", [made(cls) for cls in INPUTS], ids=lambda inputs: inputs.kind)
def test_every_inputs_are_seen_there_and_carried_on(inputs: Inputs) -> None:
    assert_the_same_there(experiment(Quadratic(dims=3), inputs, truncation=Truncation(2, of=4)), n=3)


@pytest.mark.parametrize("inputs", [Log(-2.0, 1e-38, adaptive=True), RatioLog(-2.0, adaptive=True)])
def test_numbers_adapt_there(inputs: Inputs) -> None:
    assert_the_same_there(experiment(Quadratic(), inputs), n=3)


@pytest.mark.parametrize("network", KINDS.values(), ids=KINDS)
def test_every_network_steps_there(network: Network) -> None:
    assert_the_same_there(experiment(Quadratic(), LogAndSign(), network))


@pytest.mark.parametrize("inputs", [LogAndSign(), Momenta()], ids=lambda inputs: inputs.kind)
def test_networks_by_group_step_there(inputs: Inputs) -> None:
    asked = experiment(NETWORK, inputs, BY_GROUP, Truncation(2, of=4), second_derivatives=False)
    assert_the_same_there(asked, n=3)


def test_deepmind_s_conv_net_with_batch_normalisation_is_there() -> None:
    asked = experiment(NetworkTask(architecture="conv", batch=2), LogAndSign(), Linear(), second_derivatives=False)
    assert_the_same_there(asked, n=1)


@pytest.mark.parametrize("objective", [cls() for cls in OBJECTIVES], ids=lambda objective: objective.kind)
def test_every_objective_is_there(objective: Objective) -> None:
    assert_the_same_there(replace(experiment(Quadratic(), LogAndSign()), objective=objective), n=1)


def test_images_are_brought_there_once() -> None:
    asked = experiment(NETWORK, LogAndSign(), second_derivatives=False)
    with Elsewhere():
        first = NETWORK.images.train.on(torch.device(NAME))
        MetaTrainer(asked, 0, TorchBackend(asked, NAME)).advance(1)
        assert NETWORK.images.train.on(torch.device(NAME))[0] is first[0]
    images, _ = NETWORK.images.train.on(torch.device("cpu"))
    assert np.shares_memory(images.numpy(), NETWORK.images.train.images)


def test_what_meets_two_devices_fails() -> None:
    with Elsewhere():
        there = torch.arange(3.0).to(NAME)
        assert there.device == torch.device(NAME)
        for wrong in (lambda: there + torch.ones(3), lambda: torch.stack([there, torch.ones(3)]), there.numpy):
            with pytest.raises(RuntimeError):
                wrong()
        assert (there.cpu() + torch.ones(3)).tolist() == [1.0, 2.0, 3.0]


# Which devices are taken.


def test_the_cpu_is_meant_unless_another_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("l2o_engine.backends.devices._found", None)  # nobody asks torch
    assert find_device("cpu", "float64") == Device("cpu")
    choice = choose(QUADRATIC, "torch")
    assert choice.device.is_cpu
    assert choose(QUADRATIC, "torch", "cpu").load()[1] == choice.load()[1] == "asked for"


@pytest.mark.parametrize(
    ("asked", "dtype", "found"),
    [
        ("cuda", "float32", "cuda:0"),
        ("cuda:1", "float64", "cuda:1"),
        ("mps", "float32", "mps"),
        ("auto", "float64", "cuda:0"),
        ("cpu", "float32", "cpu"),
    ],
)
def test_a_device_that_is_here_is_found(asked: str, dtype: str, found: str, monkeypatch: pytest.MonkeyPatch) -> None:
    here(monkeypatch, *GPUS)
    assert find_device(asked, dtype).name == found


def test_auto_is_the_first_accelerator_that_can_or_else_the_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    here(monkeypatch, MPS)
    assert [find_device("auto", dtype).name for dtype in ("float32", "float64")] == ["mps", "cpu"]
    here(monkeypatch)
    assert find_device("auto", "float32").is_cpu


@pytest.mark.parametrize(
    ("asked", "dtype", "said"),
    [
        ("cuda:2", "float32", f'there is no device "cuda:2" here: torch {torch.__version__} has "cuda:0" and "cpu"'),
        ("mps", "float32", f'there is no device "mps" here: torch {torch.__version__} has "cuda:0" and "cpu"'),
        ("mps", "float64", 'device "mps" cannot run this experiment: mps has no float64 (run.dtype)'),
        ("gpu", "float32", 'there is no device "gpu": choose "cpu", "auto", "cuda", "cuda:0", … or "mps"'),
    ],
)
def test_a_device_that_is_not_here_is_one_message(
    asked: str, dtype: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    here(monkeypatch, CUDA)
    with pytest.raises(DeviceError) as error:
        find_device(asked, dtype)
    assert str(error.value) == said


def test_a_driver_that_fails_is_one_message(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail() -> Iterator[Device]:
        yield MPS
        raise RuntimeError("CUDA driver version is insufficient\nand so on")

    monkeypatch.setattr("l2o_engine.backends.devices._found", fail)
    with pytest.raises(DeviceError, match=r"what devices are here: CUDA driver version is insufficient$"):
        find_device("auto", "float32")


def test_a_device_that_cannot_be_used_after_all_is_one_message() -> None:
    if torch.cuda.is_available():
        pytest.skip("here it can be used")
    with pytest.raises(DeviceError, match=r"^cuda:0 \(A GPU\) cannot be used: "):
        free_on(CUDA)


def test_on_another_device_torch_is_chosen_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    here(monkeypatch, CUDA)
    found = [choose(QUADRATIC, "auto", "auto"), choose(QUADRATIC, "torch", "cuda")]
    assert [(one.name, one.reason, str(one.device)) for one in found] == [
        ("torch", "only torch computes on cuda:0", "cuda:0 (A GPU)"),
        ("torch", "asked for", "cuda:0 (A GPU)"),
    ]


@pytest.mark.parametrize("backend", ["fused", "coordinatewise"])
def test_a_kernel_is_for_the_cpu(backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("l2o_engine.backends.devices._found", None)  # nobody asks torch
    with pytest.raises(BackendError) as error:
        choose(QUADRATIC, backend, "cuda")
    assert str(error.value) == f'backend "{backend}" computes on the CPU: device "cuda" is for backend "torch"'
    assert choose(FIRST_ORDER, backend, "auto").device.is_cpu


def test_a_backend_that_is_given_has_its_device() -> None:
    with pytest.raises(ValueError, match="name it, or give no device"):
        MetaTrainer(QUADRATIC, backend=TorchBackend(QUADRATIC), device="cuda")


def test_the_cpu_is_told_of_no_more_than_its_backend() -> None:
    assert on_device("torch", "cpu") == "torch"
    assert on_device("torch", str(CUDA)) == "torch on cuda:0 (A GPU)"
    assert free_on(MPS) is None  # it shares the machine's


# In a preset.


@pytest.mark.parametrize("name", ["cpu", "auto", "cuda", "cuda:0", "cuda:12", "mps"])
def test_a_preset_names_a_device(name: str) -> None:
    assert check({"name": "x", "run": {"device": name}}).run.device == name


@pytest.mark.parametrize(
    ("run", "said"),
    [
        ({"device": "gpu"}, 'preset: [run] device: must be "cpu", "auto", "cuda", "cuda:0", … or "mps" (got "gpu")'),
        (
            {"device": "cuda:"},
            'preset: [run] device: must be "cpu", "auto", "cuda", "cuda:0", … or "mps" (got "cuda:")',
        ),
        ({"device": 0}, "preset: [run] device: must be a string (got 0)"),
        ({"device": "mps", "dtype": "float64"}, "preset: [run] device: mps has no float64"),
    ],
)
def test_what_is_no_device_is_refused(run: dict[str, Any], said: str) -> None:
    with pytest.raises(PresetError) as error:
        check({"name": "x", "run": run})
    assert str(error.value) == said
