"""Weights by DeepMind's names: as an optimizer that moves as theirs does, and what is no such weights."""

import io
import os
import pickle
import tracemalloc
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.lib import format as npy
from numpy.testing import assert_allclose, assert_array_equal

from l2o_engine.optimizers.base import course
from l2o_engine.optimizers.learned.deepmind_weights import WeightsError, from_deepmind
from l2o_engine.optimizers.learned.exported import Exported
from l2o_engine.optimizers.learned.inputs import Identity, Inputs, LogAndSign, RnnProp
from l2o_engine.optimizers.learned.networks import LSTM
from l2o_engine.presets.exported import converted, preset_of_exported
from l2o_engine.presets.files import load
from l2o_engine.presets.shipped import find
from l2o_engine.support.npz import NpzError, read_npz
from l2o_engine.tasks.base import Task, TaskFamily
from l2o_engine.tasks.least_squares import LeastSquares
from tests.engine.backends.test_golden_deepmind import FOLDER, Mlp

_NAMES = {
    "input_projection.kernel": "input_projection/w",
    "input_projection.bias": "input_projection/b",
    "lstm0.kernel": "lstm_1/w_gates",
    "lstm0.bias": "lstm_1/b_gates",
    "lstm1.kernel": "lstm_2/w_gates",
    "lstm1.bias": "lstm_2/b_gates",
    "output_projection.kernel": "linear/w",
    "output_projection.bias": "linear/b",
}


def golden(name: str) -> dict[str, Any]:
    with np.load(FOLDER / f"{name}.npz", allow_pickle=False) as file:
        return dict(file)


def theirs(arrays: Mapping[str, Any]) -> dict[str, Any]:
    """Return a golden file's weights by DeepMind's names."""
    return {_NAMES[name.removeprefix("weights.")]: arrays[name] for name in arrays if name.startswith("weights.")}


def some_weights(layers: int = 2, hidden: int = 20, width: int = 2) -> dict[str, Any]:
    generator, found = np.random.default_rng(0), dict[str, Any]()
    for layer in range(1, layers + 1):
        found[f"lstm_{layer}/w_gates"] = generator.normal(size=(width + hidden, 4 * hidden)).astype("f4")
        found[f"lstm_{layer}/b_gates"] = generator.normal(size=4 * hidden).astype("f4")
        width = hidden
    return found | {"linear/w": generator.normal(size=(hidden, 1)).astype("f4"), "linear/b": np.ones(1, "f4")}


def one_truncation(optimizer: Exported, family: TaskFamily, arrays: Mapping[str, Any], task: Mapping[str, Any]) -> None:
    """Let an optimizer loose over the first truncation of a golden file, and compare losses and points."""
    parameters = {name: values[None] for name, values in task.items()}
    minibatches = {"index": arrays["data.batches"][0][None]} if "data.batches" in arrays else {}
    drawn = Task(family, arrays["x0"][None], parameters, minibatches)
    losses, x = course(optimizer.optimizer, drawn, 21)
    tolerance = 1e-9 if arrays["x0"].dtype == np.float64 else 2e-4
    assert_allclose(losses[0], arrays["losses"][0], rtol=tolerance)
    assert_allclose(x[0], arrays["x_after"][0], rtol=tolerance, atol=tolerance / 10)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(
    ("name", "inputs", "scale"),
    [("deepmind_mlp", LogAndSign(k=5.0), 0.01), ("rnnprop_mlp", RnnProp(), 1.0)],
)
def test_the_weights_of_a_network_s_optimizer_give_their_losses(
    name: str, inputs: Inputs, scale: float, dtype: str
) -> None:
    arrays = golden(f"{name}.s0.{dtype}")
    optimizer = from_deepmind(theirs(arrays), inputs=inputs, output_scale=scale)
    one_truncation(optimizer, Mlp(), arrays, {"images": arrays["data.images"], "labels": arrays["data.labels"]})
    assert str(optimizer.weights.dtype) == dtype


def test_the_weights_of_the_quadratic_s_optimizer_give_their_losses() -> None:
    arrays = golden("deepmind_quadratic.s0.float64")
    optimizer = from_deepmind(theirs(arrays), inputs=Identity(), output_scale=0.1)
    family = LeastSquares(dims=10, problems=8)
    one_truncation(optimizer, family, arrays, {"matrix": arrays["data.W"], "target": arrays["data.y"]})


def test_modules_may_be_tables_and_names_have_dots() -> None:
    flat = some_weights()
    nested: dict[str, dict[str, Any]] = {}
    for name, values in flat.items():
        module, _, inner = name.partition("/")
        nested.setdefault(module, {})[inner] = values.tolist()
    dotted = {name.replace("/", "."): values for name, values in flat.items()}
    digests = {from_deepmind(arrays, inputs=LogAndSign()).digest for arrays in (flat, dotted)}
    assert len(digests) == 1
    of_lists = from_deepmind(nested, inputs=LogAndSign())
    assert_array_equal(of_lists.weights, from_deepmind(flat, inputs=LogAndSign()).weights)


def test_what_is_not_given_is_made_of_the_shapes() -> None:
    optimizer = from_deepmind(some_weights(layers=1, hidden=3), inputs=LogAndSign(), output_scale=0.01)
    expected = LSTM(layers=1, hidden=3, input_projection="none", initialiser="sonnet", output_scale=0.01)
    assert optimizer.learned.network == expected
    assert (optimizer.origin.steps, optimizer.origin.iteration, optimizer.tables) == (100, -1, {})


def test_rnnprop_s_projection_may_have_no_bias() -> None:
    arrays = some_weights(width=20) | {"input_projection/w": np.ones((2, 20), "f4")}
    optimizer = from_deepmind(arrays, inputs=RnnProp())
    network = optimizer.learned.network
    assert isinstance(network, LSTM)
    assert network.input_projection == "elu"
    assert not optimizer.learned.layout.split(optimizer.weights)["input_projection.bias"].any()


def without(name: str) -> dict[str, Any]:
    return {other: values for other, values in some_weights().items() if other != name}


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({}, "there are none"),
        (without("lstm_1/b_gates"), 'no "lstm_1/b_gates"'),
        (without("lstm_1/w_gates"), '"lstm_1/w_gates" is missing'),
        (without("lstm_2/w_gates"), '"lstm_2/w_gates" is missing'),
        (without("linear/b"), '"linear/b" is missing'),
        (some_weights() | {"lstm_9\x1b/x": np.zeros(3)}, r"the network has not: \"lstm_9\\x1b/x\""),
        (some_weights(width=3), r"\"lstm_1/w_gates\" is \[23, 80\], where the network has \[22, 80\]"),
        (some_weights() | {"linear/w": np.ones(20)}, r"\"linear/w\" is \[20\]"),
        (some_weights() | {"linear/b": np.full(1, np.nan)}, '"linear/b" holds what is not finite'),
        (some_weights() | {"linear/b": np.array(["x"])}, "and not numbers"),
        (some_weights() | {"linear/b": np.array([None])}, "and not numbers"),
        (some_weights() | {"lstm_1/b_gates": np.ones(7)}, "of 4 numbers a unit"),
        (some_weights(layers=17, hidden=1), "no network of ours"),
    ],
)
def test_what_is_no_such_weights_is_one_message(arrays: dict[str, Any], said: str) -> None:
    with pytest.raises(WeightsError, match=said) as refused:
        from_deepmind(arrays, inputs=LogAndSign())
    assert len(refused.value.lines) == 1


# From a file.


def npz(folder: Path, arrays: Mapping[str, Any]) -> Path:
    path = folder / "weights.npz"
    np.savez(path, **arrays)
    return path


def test_a_file_s_weights_are_the_optimizer_of_a_preset(tmp_path: Path) -> None:
    preset = load(find("dm_mnist"))
    found = converted(npz(tmp_path, some_weights()), preset)
    assert found.learned == preset.experiment.trained
    assert (found.origin.run, found.origin.preset, found.origin.steps) == ("weights", "dm_mnist", 100)
    assert preset_of_exported(found, "x") == preset
    assert_array_equal(found.weights, from_deepmind(some_weights(), inputs=LogAndSign()).weights)
    double = {name: values.astype(float) for name, values in some_weights().items()}
    assert converted(npz(tmp_path, double), preset).digest == found.digest  # of the dtype that the preset computes in
    found.save(tmp_path / "mine")
    assert Exported.load(tmp_path / "mine").digest == found.digest


def test_weights_of_another_preset_are_refused_by_file_and_name(tmp_path: Path) -> None:
    path = npz(tmp_path, some_weights())
    with pytest.raises(
        WeightsError, match=r"weights.npz: as weights of dm_quadratic: \"lstm_1/w_gates\" is \[22, 80\]"
    ):
        converted(path, load(find("dm_quadratic")))
    with pytest.raises(WeightsError, match="dm_simple trains no LSTM"):
        converted(path, load(find("dm_simple")))


def zipped(*members: tuple[str, bytes]) -> bytes:
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return made.getvalue()


def array_file(shape: tuple[int, ...], data: bytes, descr: str = "<f4") -> bytes:
    made = io.BytesIO()
    npy.write_array_header_1_0(made, {"descr": descr, "fortran_order": False, "shape": shape})
    return made.getvalue() + data


def an_object() -> bytes:
    made = io.BytesIO()
    np.save(made, np.array([{"a": 1}], object), allow_pickle=True)
    return made.getvalue()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "no .npz file"),
        (pickle.dumps([1.0]), "no .npz file"),
        (zipped(("a.npy", b"nothing")), "no .npz file"),
        (zipped(("a.npy", an_object())), "holds object, and not numbers"),
        (zipped(("a.npy", array_file((10**12,), b"1234"))), "its shape takes"),
        (zipped(("a.npy", array_file((1,), b"12345678"))), "its shape takes"),
        (zipped(("a.npy", array_file((-1, -1), b"1234"))), "its shape takes"),
        (zipped(("a.npy", array_file((1,), b"1234", "<U1"))), "not numbers"),
        (zipped(("a.npy", array_file((2**18,), bytes(2**20)))), "more than"),
        (zipped(*((f"{k}.npy", array_file((0,), b"")) for k in range(1001))), "more than"),
        (zipped(("a.npy", array_file((1,), b"1234")))[:-30], "no .npz file"),
    ],
)
def test_a_hostile_file_of_arrays_is_refused_and_takes_no_memory(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "theirs.npz"
    path.write_bytes(content)
    tracemalloc.start()
    try:
        with pytest.raises(NpzError, match=said):
            read_npz(path, 1_000_000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3_000_000


def test_a_file_that_is_too_long_and_what_is_no_file_are_refused(tmp_path: Path) -> None:
    path = npz(tmp_path, {"a": np.zeros(3)})
    with pytest.raises(NpzError, match="longer than"):
        read_npz(path, 100)
    os.mkfifo(tmp_path / "pipe")
    for name in ("pipe", "nothing", ""):
        with pytest.raises(WeightsError, match="cannot be read"):
            converted(tmp_path / name, load(find("dm_mnist")))


def test_arrays_are_read_as_numpy_wrote_them(tmp_path: Path) -> None:
    arrays = {"a": np.arange(6.0).reshape(2, 3), "b": np.asfortranarray(np.arange(6, dtype=">i2").reshape(2, 3))}
    found = read_npz(npz(tmp_path, arrays), 10_000)
    for name, values in arrays.items():
        assert_array_equal(found[name], values)
