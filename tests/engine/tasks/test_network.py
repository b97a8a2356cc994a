"""Networks as optimizees: what they compute, how their weights lie, what is drawn, and over which images."""

from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from l2o_engine.optimizers.adam import Adam
from l2o_engine.optimizers.base import repeated, run, side_by_side
from l2o_engine.optimizers.vsgd import VSgd
from l2o_engine.tasks.base import Task, TaskFamily
from l2o_engine.tasks.data import DataSet, Part
from l2o_engine.tasks.distributions import Normal, Uniform
from l2o_engine.tasks.network import Network, network
from l2o_engine.tasks.network.architectures import Activation, Architecture, Convolutional, Perceptron
from l2o_engine.training.evaluation import drawn_at_once, evaluate

GOLDEN = Path(__file__).parents[2] / "data" / "golden_deepmind" / "mlp_losses.npz"
NETWORK = Network(sizes=(3,), batch=4)
CONV = Network(architecture="conv", batch=4)


def drawn(family: TaskFamily, seed: int = 0, n: int = 2, steps: int = 2, dtype: str = "float64") -> Task:
    return family.draw(np.random.default_rng(seed), n, 1, steps=steps, dtype=dtype)


# Golden values.


@pytest.fixture
def golden(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Give a network the images of the golden file, which are numbers in [0, 1]."""
    values = dict(np.load(GOLDEN))
    part = Part(values["images"], values["labels"])
    monkeypatch.setattr(network, "load", lambda name, pool: DataSet(name, (1, 8, 8), 1, part, part, {}))
    return values


@pytest.mark.parametrize(("dtype", "tolerance"), [("float64", 1e-13), ("float32", 1e-6)])
def test_losses_are_deepmind_s(golden: dict[str, Any], dtype: str, tolerance: float) -> None:
    """At x0, and at the points between the truncations: the last loss before each and the first one behind it."""
    family = Network(sizes=(8,), batch=16)
    batches, losses = golden["batches"], golden["losses"]
    points = [golden["x0"], *golden["x_after"][:4], *golden["x_after"]]
    places = [*batches[:, 0], *batches[:, 20]]
    expected = [*losses[:, 0], *losses[:, 20]]
    found = family.loss(np.array(points, dtype), {}, {"index": np.array(places)})
    np.testing.assert_allclose(found, expected, rtol=tolerance)


def test_the_gradient_is_that_of_back_propagation(golden: dict[str, Any]) -> None:
    """The chain rule written out for one hidden layer, in NumPy."""
    x, index = golden["x_after"][0], golden["batches"][1, 0]
    w0, b0, w1, b1 = np.split(x, [512, 520, 600])
    inputs, labels = golden["images"][index], golden["labels"][index]
    hidden = 1 / (1 + np.exp(-(inputs @ w0.reshape(64, 8) + b0)))
    outputs = np.exp(hidden @ w1.reshape(8, 10) + b1)
    missed = (outputs / outputs.sum(1, keepdims=True) - np.eye(10)[labels]) / 16
    inside = missed @ w1.reshape(8, 10).T * hidden * (1 - hidden)
    expected = [inputs.T @ inside, inside.sum(0), hidden.T @ missed, missed.sum(0)]
    found = Network(sizes=(8,), batch=16).gradient(x, {}, {"index": index})
    np.testing.assert_allclose(found, np.concatenate([part.ravel() for part in expected]), rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("activation", get_args(Activation))
@pytest.mark.parametrize("sizes", [(), (5,), (5, 4, 3)], ids=str)
def test_back_propagation_by_hand_is_autograd_s(activation: Activation, sizes: tuple[int, ...]) -> None:
    """Of several networks at once, each with weights large enough for its units to be on both sides of a bend."""
    generator = torch.Generator().manual_seed(0)
    perceptron = Perceptron(6, sizes, activation)
    points = torch.randn(3, perceptron.size, dtype=torch.float64, generator=generator)
    images = torch.rand(3, 7, 6, dtype=torch.float64, generator=generator)
    labels = torch.randint(0, 10, (3, 7), generator=generator)
    losses, gradients = perceptron.losses_and_gradients(points, images, labels)
    expected = Architecture.losses_and_gradients(perceptron, points, images, labels)
    np.testing.assert_allclose(losses, expected[0], rtol=1e-12)
    np.testing.assert_allclose(gradients, expected[1], rtol=1e-11, atol=1e-13)


def test_the_convolutions_have_second_derivatives() -> None:
    """Beside differences of gradients; autograd has none of a batch normalisation without a scale."""
    conv, generator = Convolutional((1, 4, 4)), torch.Generator().manual_seed(0)
    points = 0.3 * torch.randn(1, conv.size, dtype=torch.float64, generator=generator)
    direction = torch.randn(points.shape, dtype=torch.float64, generator=generator)
    images = torch.rand(1, 5, 16, dtype=torch.float64, generator=generator)
    labels = torch.randint(0, 10, (1, 5), generator=generator)
    at = points.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(conv.losses(at, images, labels).sum(), at, create_graph=True)
    (found,) = torch.autograd.grad((gradient * direction).sum(), at)
    after, before = (conv.losses_and_gradients(points + step * direction, images, labels)[1] for step in (1e-6, -1e-6))
    np.testing.assert_allclose(found, (after - before) / 2e-6, atol=1e-6 * float(found.abs().max()))


# Weights.


def test_sizes_are_deepmind_s() -> None:
    assert Network(data="mnist").size == 15_910
    assert Network(data="cifar10", architecture="conv").size == 22_682
    assert Network(sizes=(), data="digits").size == 650


def test_a_network_of_pooled_images_is_smaller_and_computes_with_them() -> None:
    small, whole = Network(pool=2), Network()
    assert Network(data="mnist", pool=2).size == 14 * 14 * 20 + 20 + 210
    assert small.size == 16 * 20 + 20 + 210
    task = drawn(small, n=1)
    np.testing.assert_array_equal(task.minibatches["index"].shape, drawn(whole, n=1).minibatches["index"].shape)
    index = task.minibatches["index"][0, 0, 0]
    logits = small.network.logits(
        small.network.weights_of(torch.tensor(task.start[0])), torch.tensor(small.images.train.images[index] / 16)[None]
    )
    labels = torch.tensor(whole.images.train.labels[index]).long()
    expected = torch.nn.functional.cross_entropy(logits[0], labels)
    assert task.loss(task.start, task.minibatch(0))[0, 0] == pytest.approx(float(expected), rel=1e-12)


@pytest.mark.parametrize("family", [Network(), Network(sizes=(4, 3), data="mnist"), CONV], ids=str)
def test_groups_are_all_coordinates_in_order(family: Network) -> None:
    stop = 0
    for group in family.groups.values():
        assert group.place.start == stop
        assert group.place.stop - group.place.start == np.prod(group.shape)
        stop = group.place.stop
    assert stop == family.size


def test_groups_are_named_and_parted_as_deepmind_s() -> None:
    assert list(Network(sizes=(20,)).groups) == ["layer0.weights", "layer0.bias", "layer1.weights", "layer1.bias"]
    assert Network().groups["layer1.weights"].place == slice(1300, 1500)
    assert {group.part for group in Network().groups.values()} == {"fc"}
    kernels = [name for name, group in CONV.groups.items() if group.part == "conv"]
    assert kernels == ["conv0.weights", "conv1.weights", "conv2.weights"]


def reference(values: dict[str, Any], pixels: torch.Tensor) -> torch.Tensor:
    """Return DeepMind's logits of images [n, 1, rows, columns], of torch.nn's own layers and functions."""
    from torch.nn import functional

    for k in range(3):
        kernel = values[f"conv{k}.weights"].permute(3, 2, 0, 1)
        pixels = functional.conv2d(pixels, kernel, values[f"conv{k}.bias"], padding="same")
        norm = torch.nn.BatchNorm2d(16, eps=1e-3, affine=False, dtype=torch.float64)
        pixels = functional.relu(norm(pixels) + values[f"conv{k}.offset"][:, None, None])
        pixels = torch.nn.MaxPool2d(2)(pixels)
    units = functional.linear(pixels.flatten(1), values["layer0.weights"].T, values["layer0.bias"])
    units = torch.nn.BatchNorm1d(32, eps=1e-3, affine=False, dtype=torch.float64)(units)
    units = functional.relu(units + values["layer0.offset"])
    return functional.linear(units, values["layer1.weights"].T, values["layer1.bias"])


def test_a_convolutional_network_is_that_of_torch_nn() -> None:
    """Loss and gradient of two networks at once, each beside one of torch.nn."""
    family = Network(architecture="conv", batch=6, start=Normal((0.0, 0.3)))
    task = drawn(family)
    minibatch = task.minibatch(0)
    assert minibatch is not None
    losses, slopes = task.loss(task.start, minibatch), task.gradient(task.start, minibatch)
    part = family.images.train
    for which in range(2):
        x = torch.tensor(task.start[which, 0], requires_grad=True)
        values = {name: x[group.place].reshape(group.shape) for name, group in family.groups.items()}
        index = minibatch["index"][which, 0]
        logits = reference(values, torch.tensor(part.images[index] / 16).reshape(6, 1, 8, 8))
        loss = torch.nn.functional.cross_entropy(logits, torch.tensor(part.labels[index]).long())
        (expected,) = torch.autograd.grad(loss, x)
        assert losses[which, 0] == pytest.approx(loss.item(), rel=1e-12)
        np.testing.assert_allclose(slopes[which, 0], expected.numpy(), rtol=1e-8, atol=1e-12)


def test_pixels_meet_the_units_row_by_row_with_their_channels_last() -> None:
    """Of 32 × 32 pixels 4 × 4 are left: which of the 256 inputs of the units is which."""
    family = Network(architecture="conv", data="cifar10")
    weights = {name: torch.zeros(1, *group.shape, dtype=torch.float64) for name, group in family.groups.items()}
    for layer in range(3):
        weights[f"conv{layer}.weights"][0, 2, 2, 0, 3] = 1.0  # the red channel goes on as the fourth one
        weights[f"conv{layer}.offset"] += 1.0
    weights["conv1.weights"][0, 2, 2] = weights["conv2.weights"][0, 2, 2] = torch.eye(16)
    weights["layer0.weights"][0, (1 * 4 + 2) * 16 + 3, 0] = 1.0  # second row, third column, fourth channel
    weights["layer1.weights"][0, 0, 0] = 1.0
    pixels = torch.zeros(1, 2, 3, 32, 32, dtype=torch.float64)
    pixels[0, 1, 0, 8:16, 16:24] = 1.0
    logits = family.network.logits(weights, pixels.reshape(1, 2, -1))
    assert logits[0, 1, 0] > 0.5
    assert abs(logits[0, 0, 0]) < 1e-12
    pixels = pixels.transpose(3, 4).contiguous()
    assert (family.network.logits(weights, pixels.reshape(1, 2, -1))[..., 0].abs() < 1e-12).all()


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("family", [NETWORK, CONV], ids=["mlp", "conv"])
def test_several_networks_at_once_are_each_by_itself(family: Network, dtype: str) -> None:
    """As arrays, of which a part is computed at once, and as tensors; with leading axes of the points alone."""
    task = drawn(family, n=3, dtype=dtype)
    minibatch = task.minibatch(1)
    assert minibatch is not None
    several = np.stack([task.start, 2 * task.start])
    few = 64 * float(np.finfo(dtype).eps)
    losses, slopes = task.loss(several, minibatch), task.gradient(several, minibatch)
    assert losses.dtype == slopes.dtype == dtype
    assert losses.shape == (2, 3, 1)
    tensors = torch.from_numpy(several)
    index = {"index": torch.from_numpy(minibatch["index"])}
    np.testing.assert_allclose(losses, family.loss(tensors, {}, index).numpy(), rtol=few)
    for k in range(3):
        alone = {"index": minibatch["index"][k, 0]}
        np.testing.assert_allclose(losses[1, k, 0], family.loss(several[1, k, 0], {}, alone), rtol=few)
        expected = family.gradient(several[1, k, 0], {}, alone)
        np.testing.assert_allclose(slopes[1, k, 0], expected, rtol=few, atol=few * float(np.abs(expected).max()))


def test_parts_change_no_number(monkeypatch: pytest.MonkeyPatch) -> None:
    task = drawn(NETWORK, n=5)
    whole = task.loss(task.start, task.minibatch(0)), task.gradient(task.start, task.minibatch(0))
    monkeypatch.setattr(network, "_AT_ONCE", 2 * NETWORK.graph_numbers)
    np.testing.assert_allclose(task.loss(task.start, task.minibatch(0)), whole[0], rtol=1e-14)
    np.testing.assert_allclose(task.gradient(task.start, task.minibatch(0)), whole[1], rtol=1e-12, atol=1e-16)


# Draws.


@given(seed=st.integers(0, 2**32), n=st.integers(1, 3), batch=st.integers(1, 2))
def test_convolutional_draws_of_n_are_n_draws(seed: int, n: int, batch: int) -> None:
    family = Network(architecture="conv", batch=2, start=Uniform((-1.0, 1.0)))
    generator = np.random.default_rng(seed)
    singly = Task.joined([family.draw(generator, 1, batch, steps=2, dtype="float32") for _ in range(n)])
    at_once = family.draw(np.random.default_rng(seed), n, batch, steps=2, dtype="float32")
    np.testing.assert_array_equal(at_once.start, singly.start)
    np.testing.assert_array_equal(at_once.minibatches["index"], singly.minibatches["index"])


def test_images_are_drawn_anew_for_every_loss_with_replacement_and_all_alike() -> None:
    task = drawn(Network(sizes=(), batch=100), n=50, steps=40)
    index = task.minibatches["index"]
    assert index.shape == (50, 1, 40, 100)
    assert index.dtype == np.int64
    counts = np.bincount(index.ravel(), minlength=1347)
    assert len(counts) == 1347  # and none beyond
    assert abs(counts / counts.mean() - 1).max() < 0.5
    assert any(len(set(one)) < 100 for one in index[0, 0])
    assert not np.array_equal(index[0, 0, 0], index[0, 0, 1])


def test_weights_and_biases_start_as_they_are_drawn_and_offsets_at_0() -> None:
    task = drawn(Network(architecture="conv", start=Normal((0.0, 0.01))), n=1)
    for group in CONV.groups.values():
        own = task.start[..., group.place]
        assert (own == 0).all() if group.is_offset else own.std() == pytest.approx(0.01, rel=0.5)


def test_images_are_in_no_task_and_no_comparison() -> None:
    """What a checkpoint or a chunk holds is which images; equal settings are the same family."""
    assert sum(values.nbytes for values in drawn(NETWORK).minibatches.values()) == 2 * 2 * 4 * 8
    assert {NETWORK, Network(sizes=(3,), batch=4)} == {NETWORK}


# Split: some of the images for gradients, others for what these are judged by.


def test_a_split_task_s_gradients_and_losses_are_of_different_images() -> None:
    task = drawn(Network(sizes=(), batch=100).split(0.25), n=20, steps=40)
    assert task.family == Network(sizes=(), batch=100)
    judging = set[int]()
    for seen, judged in zip(task.minibatches["index"], task.judged["index"], strict=True):
        assert seen.shape == judged.shape == (1, 40, 100)
        assert not set(seen.ravel()) & set(judged.ravel())
        assert 300 < len(set(judged.ravel())) <= 337  # a quarter of 1,347
        assert 900 < len(set(seen.ravel())) <= 1010
        judging |= set(judged.ravel())
    assert judging == set(range(1347))  # others in every task


def test_a_split_task_starts_and_is_cut_and_joined_as_others_are() -> None:
    family = NETWORK.split(0.5)
    at_once, generator = drawn(family, n=3), np.random.default_rng(0)
    singly = Task.joined([family.draw(generator, 1, 1, steps=2, dtype="float64") for _ in range(3)])
    for one, other in ((at_once.minibatches, singly.minibatches), (at_once.judged, singly.judged)):
        np.testing.assert_array_equal(one["index"], other["index"])
    np.testing.assert_array_equal(at_once.start, singly.start)
    judging = at_once[1:].judging(1)
    assert judging is not None
    np.testing.assert_array_equal(judging["index"], at_once.judged["index"][1:, :, 1])
    assert drawn(NETWORK).judging(0) is None


# Optimizers on it.


def test_adam_learns_and_so_does_the_held_out_loss() -> None:
    family = Network(sizes=(8,), batch=64)
    task = drawn(family, n=1, steps=60, dtype="float32")
    losses = run(Adam(learning_rate=0.05), task, 60)
    assert losses[0, 0, 0] == pytest.approx(np.log(10), rel=0.01)
    assert losses[0, 0, -1] < 1
    assert family.held_out_loss(task.start)[0, 0] == pytest.approx(np.log(10), rel=0.01)


@pytest.mark.parametrize("family", [NETWORK, CONV], ids=["mlp", "conv"])
def test_the_held_out_loss_is_of_every_test_image_once(family: Network) -> None:
    task = drawn(family, n=2)
    losses = family.held_out_loss(task.start)
    assert losses.shape == (2, 1)
    test = family.images.test
    assert len(test) == 450
    minibatches = np.array_split(np.arange(450), 450 // 4)
    assert len({len(places) for places in minibatches} - {4, 5}) == 0
    expected = np.zeros(2)
    for places in minibatches:
        pixels = torch.tensor(np.broadcast_to(test.images[places] / 16, (2, len(places), 64)))
        logits = family.network.logits(family.network.weights_of(torch.tensor(task.start[:, 0])), pixels)
        each = torch.log_softmax(logits, -1)[:, torch.arange(len(places)), torch.tensor(test.labels[places]).long()]
        expected -= each.sum(-1).numpy()
    np.testing.assert_allclose(losses[:, 0], expected / 450, rtol=1e-12)


def test_rules_side_by_side_vsgd_and_evaluate_take_it() -> None:
    task = drawn(NETWORK, n=2, steps=3)
    rules = [Adam(learning_rate=rate) for rate in (0.01, 0.1)]
    together = run(side_by_side(rules, task.start), repeated(task, 2), 3)
    np.testing.assert_allclose(together[1], run(rules[1], task, 3), rtol=1e-12)
    assert np.isfinite(run(VSgd(), task, 3)).all()
    (judged,) = evaluate([Adam()], NETWORK, problems=3, steps=3)
    assert np.isfinite(judged.losses).all()


def test_tasks_drawn_at_once_are_bounded_by_weights_and_by_images() -> None:
    assert drawn_at_once(Network(data="mnist"), 100) == 2
    assert drawn_at_once(Network(sizes=(), batch=10_000), 100) * 10_000 * 100 <= 4_000_000


# What is refused.


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"sizes": [0]}, "greater than or equal to 1"),
        ({"sizes": [1] * 65}, "65 hidden layers: 64 at most"),
        ({"sizes": [10_000, 10_000]}, "would have 100,7"),
        ({"architecture": "conv", "sizes": [30]}, "mean nothing"),
        ({"architecture": "conv", "activation": "relu"}, "mean nothing"),
        ({"architecture": "conv", "batch": 1}, "at least 2"),
        ({"data": "imagenet"}, "digits"),
        ({"batch": 0}, "greater than or equal to 1"),
        ({"pool": 3}, "pool = 3 does not divide images of 8 × 8 pixels"),
        ({"data": "mnist", "pool": 0}, "greater than or equal to 1"),
    ],
)
def test_settings_that_make_no_network_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Network(**settings)


def test_a_loss_without_a_minibatch_is_refused() -> None:
    with pytest.raises(ValueError, match="minibatch"):
        NETWORK.loss(drawn(NETWORK).start, {})
