"""Five truncations of DeepMind's and RNNprop's experiments meet the values of another library.

Another folder of such files is tested with the environment variable L2O_GOLDEN_DEEPMIND_DIR.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from l2o_engine.backends.coordinatewise.backend import CoordinatewiseBackend
from l2o_engine.backends.reference import TorchBackend
from l2o_engine.meta.experiment import DTypeName, Experiment
from l2o_engine.meta.learner import Learner, Truncating
from l2o_engine.meta.meta_adam import MetaAdam, Powers
from l2o_engine.meta.objectives.end import End
from l2o_engine.meta.truncation import Carried, Truncation
from l2o_engine.optimizers.learned.inputs.identity import Identity
from l2o_engine.optimizers.learned.inputs.log_and_sign import LogAndSign
from l2o_engine.optimizers.learned.inputs.rnnprop import RnnProp
from l2o_engine.optimizers.learned.learned_optimizer import LearnedOptimizer
from l2o_engine.optimizers.learned.networks.lstm import LSTM
from l2o_engine.tasks.base import Array, Task, TaskFamily
from l2o_engine.tasks.least_squares import LeastSquares

FOLDER = Path(os.environ.get("L2O_GOLDEN_DEEPMIND_DIR") or Path(__file__).parents[2] / "data" / "golden_deepmind")
Arrays = Mapping[str, NDArray[Any]]

BACKENDS: dict[str, Callable[[Experiment], Truncating]] = {
    "torch": TorchBackend,
    "coordinatewise": CoordinatewiseBackend,
}


class Mlp(TaskFamily):
    """64-8-10 with a sigmoid on images that are parameters: each task has its own."""

    kind = "golden"
    shape = (610,)

    def loss(self, x: Array, parameters: Any, minibatch: Any = None) -> Array:
        index, images, labels = minibatch["index"], parameters["images"], parameters["labels"]
        each = []
        for point, own, faces, names in zip(
            torch.as_tensor(x), index, torch.as_tensor(images), torch.as_tensor(labels), strict=True
        ):
            hidden = (faces[own] @ point[:512].view(64, 8) + point[512:520]).sigmoid()
            logits = hidden @ point[520:600].view(8, 10) + point[600:]
            each.append(torch.nn.functional.cross_entropy(logits, names[own]))
        return torch.stack(each)

    def draw(self, generator: np.random.Generator, n: int, batch: int, *, steps: int, dtype: str) -> Task:
        raise NotImplementedError


class Golden(NamedTuple):
    """What an experiment's files are of."""

    experiment: Experiment
    parameters: Mapping[str, str]  # of the task → of the file


def experiment(learned: LearnedOptimizer, task: TaskFamily, rate: float = 1e-3, **settings: Any) -> Experiment:
    reach = Truncation(20, of=100, closing_loss="objective" not in settings)
    meta = MetaAdam(learning_rate=rate, gradient="none", precision="float64")
    return Experiment(task, learned, truncation=reach, meta=meta, **{"second_derivatives": False} | settings)


def deepminds(output_scale: float) -> LSTM:
    return LSTM(input_projection="none", initialiser="sonnet", output_scale=output_scale)


QUADRATIC = LearnedOptimizer(deepminds(0.1), Identity())
PROBLEMS = LeastSquares(dims=10, problems=8)
EXPERIMENTS = {
    "deepmind_quadratic": Golden(experiment(QUADRATIC, PROBLEMS), {"matrix": "W", "target": "y"}),
    "deepmind_quadratic_second_order": Golden(
        experiment(QUADRATIC, PROBLEMS, second_derivatives=True), {"matrix": "W", "target": "y"}
    ),
    "deepmind_mlp": Golden(
        experiment(LearnedOptimizer(deepminds(0.01), LogAndSign(k=5.0)), Mlp()),
        {"images": "images", "labels": "labels"},
    ),
    "rnnprop_mlp": Golden(
        experiment(LearnedOptimizer(LSTM(input_projection="elu"), RnnProp()), Mlp(), 1e-4, objective=End()),
        {"images": "images", "labels": "labels"},
    ),
}
BOUNDS: dict[str, float] = {"float64": 1e-10, "float32": 1e-4}  # relative to an array's largest entry
# One number, a sum of 12,200 that nearly cancel: the library's own float32 is 5e-5 off its float64 there, and torch's
# 1.3e-4, of which all comes from rounding within that truncation.
CANCELLING = ("rnnprop_mlp.s0.float32.npz", "grad1.output_projection.bias", 3e-4)
FILES = sorted(path for path in FOLDER.glob("*.s*.float*.npz") if path.name.split(".")[0] in EXPERIMENTS)


def test_there_is_a_golden_file_of_every_experiment() -> None:
    assert {path.name.split(".")[0] for path in FILES} == set(EXPERIMENTS)


@pytest.mark.parametrize(
    ("backend", "path"),
    [
        pytest.param(backend, path, id=f"{backend}-{path.stem}")
        for path in FILES
        for backend in BACKENDS
        if backend == "torch" or "second_order" not in path.name  # first order alone
    ],
)
def test_five_truncations_have_the_golden_values(backend: str, path: Path) -> None:
    name, _, dtype, _ = path.name.split(".")
    described, parameters = EXPERIMENTS[name]
    with np.load(path) as file:
        golden: Arrays = dict(file)
    computed = five_truncations(BACKENDS[backend], described, parameters, golden, cast("DTypeName", dtype))
    off = {each: deviation(values, golden[each]) for each, values in computed.items()}
    file_of, array, bound = CANCELLING
    if path.name == file_of:
        assert off.pop(array) < bound
    assert off == pytest.approx(dict.fromkeys(off, 0.0), abs=BOUNDS[dtype])


def five_truncations(
    make: Callable[[Experiment], Truncating],
    described: Experiment,
    parameters: Mapping[str, str],
    golden: Arrays,
    dtype: DTypeName,
) -> Arrays:
    described = replace(described, dtype=dtype)
    learned, backend = described.trained, make(described)
    weights = learned.layout.join({name: golden[f"weights.{name}"] for name in learned.layout.shapes})
    learner = Learner(weights, np.zeros_like(weights), np.zeros_like(weights), Powers())
    own = {name: golden[f"data.{name_there}"][None, None] for name, name_there in parameters.items()}
    start = golden["x0"][None, None]
    carried: Carried = learned.with_weights(weights).on(described.task).beginning(start[0])

    losses, points, norms, found = [], [], [], dict[str, NDArray[Any]]()
    for number in range(5):
        batches = {"index": golden["data.batches"][number][None, None]} if "data.batches" in golden else {}
        task = Task(described.task, start, own, batches)
        if number < 2:
            gradient = backend.meta_gradient(learner, task, carried).gradient
            found |= {f"grad{number}.{name}": values for name, values in learned.layout.split(gradient).items()}
        learner, results, carried, _ = backend.truncated(learner, task, carried)
        losses.append(results.losses[0, 0])
        points.append(carried["x"][0])
        norms.append(results.gradient_norm[0])
    after = {f"weights_after5.{name}": values for name, values in learned.layout.split(learner.weights).items()}
    for layer in range(2):
        for part in ("hidden", "cell"):
            after[f"state_after5.{layer}.{part}"] = carried[f"network.lstm{layer}.{part}"][0]
    return found | after | {"losses": np.stack(losses), "x_after": np.stack(points), "grad_norm": np.array(norms)}


def deviation(computed: NDArray[Any], golden: NDArray[Any]) -> float:
    """Return the greatest difference relative to the golden array's largest entry."""
    assert computed.shape == golden.shape
    return float(np.abs(computed - golden).max() / np.abs(golden).max())
