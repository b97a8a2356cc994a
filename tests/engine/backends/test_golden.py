"""The backends meet the values that the notebook's own TensorFlow formulas gave.

Another folder of such files is tested with the environment variable L2O_GOLDEN_DIR.
"""

import os
from collections.abc import Callable
from math import nan
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from l2o_engine.backends.fused.backend import FusedBackend
from l2o_engine.backends.reference import TorchBackend
from l2o_engine.meta.experiment import Experiment
from l2o_engine.meta.learner import Backend, Learner
from l2o_engine.meta.meta_adam import Powers
from l2o_engine.tasks.base import Task
from tests.engine.golden_experiments import golden_preset
from tests.engine.kernels import compile_kernels

pytestmark = pytest.mark.timeout(600)  # the first time, kernels are compiled

FOLDER = Path(os.environ.get("L2O_GOLDEN_DIR") or Path(__file__).parents[2] / "data" / "golden")
FILES = sorted(FOLDER.glob("*.npz"))
TOLERANCE = {"float64": 1e-9, "float32": 1e-4}
BACKENDS: list[Callable[[Experiment], Backend]] = [TorchBackend, FusedBackend]


@pytest.fixture(scope="module", autouse=True)
def _kernels() -> None:
    """Compile what is needed side by side; each takes some seconds, once."""
    experiments = {(name, dtype) for name, _seed, dtype in (path.stem.split(".") for path in FILES)}
    compile_kernels(golden_preset(name, dtype) for name, dtype in sorted(experiments))


def test_there_are_golden_files() -> None:
    assert FILES, f"there is no *.npz in {FOLDER}"


def test_an_unknown_experiment_is_an_error() -> None:
    with pytest.raises(LookupError, match='golden experiment "log99_end"'):
        golden_preset("log99_end", "float32")


@pytest.mark.parametrize("make_backend", BACKENDS, ids=["torch", "fused"])
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_backend_meets_the_golden_values(path: Path, make_backend: Callable[[Experiment], Backend]) -> None:
    experiment, _seed, dtype = path.stem.split(".")
    of_file = golden_preset(experiment, dtype).experiment
    learned = of_file.trained
    layout = learned.layout
    with np.load(path) as file:
        golden = dict(file)
    weights = layout.join({name: golden.pop(f"weights.{name}") for name in layout.shapes})
    assert weights.dtype == dtype
    learner = Learner(
        weights=weights,
        moment1=np.zeros_like(weights),
        moment2=np.zeros_like(weights),
        powers=Powers(),
        numbers=learned.inputs.numbers,
    )
    task = Task(of_file.task, golden.pop("x0")[:, None], {"scale": golden.pop("scale")[:, None]})

    backend = make_backend(of_file)
    first = backend.meta_gradient(learner, task[:1])
    after, results = backend.train(learner, task)
    computed: dict[str, NDArray[np.floating]] = {
        "losses": results.losses[:, 0],
        "objective": results.objective,
        "grad_norm": results.gradient_norm,
    }
    computed |= {f"grad0.{name}": values for name, values in layout.split(first.gradient).items()}
    computed |= {f"weights_after5.{name}": values for name, values in layout.split(after.weights).items()}

    assert set(computed) == set(golden)
    deviations = {name: _deviation(values, golden[name]) for name, values in computed.items()}
    too_far = {name: deviation for name, deviation in deviations.items() if not deviation <= TOLERANCE[dtype]}
    assert not too_far


def _deviation(computed: NDArray[np.floating], golden: NDArray[np.floating]) -> float:
    """Return the greatest difference relative to the golden array's largest entry; NaN where shapes differ."""
    if computed.shape != golden.shape:
        return nan
    largest = np.abs(golden).max()
    difference = np.abs(computed.astype(np.float64) - golden).max()
    return float(difference / largest) if largest else float(difference)
