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

OTHERS = os.environ.get("L2O_GOLDEN_DIR")
FOLDER = Path(OTHERS or Path(__file__).parents[2] / "data" / "golden")
FILES = sorted(FOLDER.glob("*.npz"))
TOLERANCE = {"float64": 1e-9, "float32": 1e-4}
# A kernel takes six seconds to compile. In `make test` each experiment meets the kernel in one float type, and each
# float type has all kinds of inputs; a soak does the others. The reference meets all files here.
ON_THE_KERNEL = {
    "float64": {
        "simple_sum",
        "simple_sum_first_order",
        "log15_end_log",  # one kernel, like the next
        "log30_end_log",
        "log43_end_log",
        "logv_sum_log",
        "div_end",
        "logdiv_sum_log",
    },
    "float32": {"simple_end", "simple_end_log", "log15_end", "logv_end_log", "div_sum_log", "logdiv_sum_log"},
}


def named(path: Path) -> tuple[str, str]:
    """Return the experiment and the float type of a golden file."""
    experiment, _seed, dtype = path.stem.split(".")
    return experiment, dtype


HERE = [path for path in FILES if OTHERS or named(path)[0] in ON_THE_KERNEL[named(path)[1]]]
IN_A_SOAK = [path for path in FILES if path not in HERE]


@pytest.fixture(scope="module")
def _kernels() -> None:
    """Compile what is needed side by side, once."""
    compile_kernels(golden_preset(*of_file) for of_file in sorted(set(map(named, HERE))))


def test_there_are_golden_files() -> None:
    assert FILES, f"there is no *.npz in {FOLDER}"


def test_an_unknown_experiment_is_an_error() -> None:
    with pytest.raises(LookupError, match='golden experiment "log99_end"'):
        golden_preset("log99_end", "float32")


def test_every_experiment_meets_the_kernel_and_in_each_float_type_every_kind_of_inputs() -> None:
    assert {named(path)[0] for path in HERE} == {named(path)[0] for path in FILES}
    for dtype, names in ON_THE_KERNEL.items():
        kinds = {golden_preset(name, dtype).experiment.trained.inputs.kind for name in names}
        assert kinds == {"identity", "log", "ratio", "ratio_log"}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_reference_meets_the_golden_values(path: Path) -> None:
    assert not too_far(path, TorchBackend)


@pytest.mark.parametrize("path", HERE, ids=lambda path: path.stem)
@pytest.mark.usefixtures("_kernels")
def test_the_kernel_meets_the_golden_values(path: Path) -> None:
    assert not too_far(path, FusedBackend)


@pytest.mark.soak
@pytest.mark.parametrize("path", IN_A_SOAK, ids=lambda path: path.stem)
def test_the_kernel_meets_those_of_the_other_float_type(path: Path) -> None:
    assert not too_far(path, FusedBackend)


def too_far(path: Path, make_backend: Callable[[Experiment], Backend]) -> dict[str, float]:
    """Return what a backend computes too far from a golden file, and how far, relative to the largest entry."""
    experiment, dtype = named(path)
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
    return {name: deviation for name, deviation in deviations.items() if not deviation <= TOLERANCE[dtype]}


def _deviation(computed: NDArray[np.floating], golden: NDArray[np.floating]) -> float:
    """Return the greatest difference relative to the golden array's largest entry; NaN where shapes differ."""
    if computed.shape != golden.shape:
        return nan
    largest = np.abs(golden).max()
    difference = np.abs(computed.astype(np.float64) - golden).max()
    return float(difference / largest) if largest else float(difference)
