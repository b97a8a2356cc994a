"""What the networks compute: a multi-layer perceptron, and DeepMind's convolutional network.

An architecture says of which groups a flat vector of weights is made, and computes logits. All of it is for several
networks at once, each with images of its own: arrays begin with the axis of the networks.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from math import prod
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from l2o_engine.tasks.data.base import CLASSES

if TYPE_CHECKING:
    from torch import Tensor

Activation: TypeAlias = Literal["sigmoid", "relu", "tanh", "elu"]
Weights: TypeAlias = "Mapping[str, Tensor]"


@dataclass(frozen=True)
class Group:
    """Weights that belong together, among a network's coordinates.

    Attributes
    ----------
    name
        "layer0.weights", say.
    place
        Which coordinates they are.
    shape
        Of what they make, in C order.
    part
        "conv" for the kernels of convolutions, "fc" for everything else: DeepMind lets an optimizer of its own loose on
        each.
    is_offset
        Whether they are what a batch normalisation adds: these start at 0, whatever the others are drawn from.
    """

    name: str
    place: slice
    shape: tuple[int, ...]
    part: Literal["conv", "fc"]
    is_offset: bool = False


class Architecture(ABC):
    """A network, without its weights."""

    @cached_property
    def groups(self) -> dict[str, Group]:
        """Name → group, in the order of the coordinates."""
        found, start = {}, 0
        for name, shape in self._shapes():
            stop = start + prod(shape)
            is_kernel = len(shape) == 4
            part: Literal["conv", "fc"] = "conv" if is_kernel else "fc"
            found[name] = Group(name, slice(start, stop), shape, part, name.endswith(".offset"))
            start = stop
        return found

    @property
    def size(self) -> int:
        """Number of weights."""
        return sum(prod(group.shape) for group in self.groups.values())

    def weights_of(self, x: "Tensor") -> Weights:
        """Return the weights, name → [networks, *shape], that points [networks, size] are."""
        each = x.split_with_sizes([group.place.stop - group.place.start for group in self.groups.values()], dim=1)
        return {
            name: values.view(-1, *group.shape) for (name, group), values in zip(self.groups.items(), each, strict=True)
        }

    def losses(self, points: "Tensor", images: "Tensor", labels: "Tensor") -> "Tensor":
        """Return each network's mean cross-entropy.

        Parameters
        ----------
        points
            [networks, size]: their weights.
        images, labels
            [networks, n, pixels] in [0, 1], and [networks, n], int64.

        Returns
        -------
        Tensor
            [networks], of the points' dtype.
        """
        from torch.nn.functional import cross_entropy

        logits = self.logits(self.weights_of(points), images)
        losses = cross_entropy(logits.flatten(0, 1), labels.flatten(), reduction="none")
        return losses.reshape(labels.shape).mean(-1)

    def losses_and_gradients(self, points: "Tensor", images: "Tensor", labels: "Tensor") -> tuple["Tensor", "Tensor"]:
        """Return each network's mean cross-entropy [networks], and its gradient [networks, size], without a graph."""
        from torch import autograd, enable_grad

        with enable_grad():
            points = points.detach().requires_grad_()
            losses = self.losses(points, images, labels)
            (gradients,) = autograd.grad(losses.sum(), points)
        return losses.detach(), gradients

    @property
    @abstractmethod
    def numbers(self) -> int:
        """About how many numbers a network computes of an image and keeps for the gradient."""

    @abstractmethod
    def _shapes(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        """Yield name and shape of every group, in order."""

    @abstractmethod
    def logits(self, weights: Weights, images: "Tensor") -> "Tensor":
        """Return the logits [networks, n, classes] of images [networks, n, pixels] in [0, 1]."""


@dataclass(frozen=True)
class Perceptron(Architecture):
    """Fully connected layers, the hidden ones with an activation.

    Attributes
    ----------
    pixels
        Numbers of an image.
    sizes
        Of the hidden layers.
    activation
        Of each hidden unit.
    """

    pixels: int
    sizes: tuple[int, ...]
    activation: Activation

    @property
    def numbers(self) -> int:
        """The image, and twice each unit."""
        return self.pixels + 2 * sum((*self.sizes, CLASSES))

    @property
    def widths(self) -> tuple[int, ...]:
        """Pixels, units, classes."""
        return (self.pixels, *self.sizes, CLASSES)

    def _shapes(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        for layer, (before, width) in enumerate(pairwise(self.widths)):
            yield f"layer{layer}.weights", (before, width)
            yield f"layer{layer}.bias", (width,)

    def logits(self, weights: Weights, images: "Tensor") -> "Tensor":
        """Return the logits [networks, n, classes]."""
        for layer in range(len(self.sizes)):
            images = _activated(self.activation, _linear(weights, f"layer{layer}", images))
        return _linear(weights, f"layer{len(self.sizes)}", images)

    def losses_and_gradients(self, points: "Tensor", images: "Tensor", labels: "Tensor") -> tuple["Tensor", "Tensor"]:
        """Return each network's mean cross-entropy, and its gradient; see :class:`Architecture`.

        Back-propagation by hand: for a network this small, autograd's own work takes as long as the arithmetic.
        """
        import torch

        with torch.no_grad():
            weights, last = self.weights_of(points), len(self.sizes)
            inputs = [images]
            for layer in range(last):
                inputs.append(_activated(self.activation, _linear(weights, f"layer{layer}", inputs[-1])))
            log_p = _linear(weights, f"layer{last}", inputs[-1]).log_softmax(-1)
            right = labels[..., None]
            losses = -log_p.gather(-1, right)[..., 0].mean(-1)
            slopes = log_p.exp_()  # of Σ losses by the logits: p, and one less for the right class, over n
            slopes.scatter_add_(-1, right, slopes.new_full((), -1.0).expand(right.shape)).div_(labels.shape[-1])
            gradients = torch.empty_like(points)
            into = self.weights_of(gradients)
            for layer in range(last, -1, -1):
                torch.sum(slopes, 1, out=into[f"layer{layer}.bias"])
                torch.bmm(inputs[layer].transpose(1, 2), slopes, out=into[f"layer{layer}.weights"])
                if layer:
                    slopes = torch.bmm(slopes, weights[f"layer{layer}.weights"].transpose(1, 2))
                    slopes *= _derivative(self.activation, inputs[layer])
        return losses, gradients


@dataclass(frozen=True)
class Convolutional(Architecture):
    """DeepMind's network for CIFAR-10 (learning-to-learn, problems.py, ``cifar10``).

    Three times a convolution of 5 × 5 with 16 channels, stride 1 and as many pixels out as in, batch normalisation,
    ReLU, and the greatest of each 2 × 2 pixels; then 32 units with batch normalisation and ReLU, and the classes. Batch
    normalisation is Sonnet 1's: by mean and variance of the minibatch, ε = 1e-3, an offset and no scale. Kernels are
    [rows, columns, channels in, channels out] and pixels lie row, column, channel where they meet the units, as in
    TensorFlow.

    Attributes
    ----------
    shape
        Of an image: channels, rows, columns.
    """

    shape: tuple[int, int, int]

    @property
    def numbers(self) -> int:
        """Each image before and after its kernel, its normalisation, its ReLU."""
        channels, rows, columns = self.shape
        total = channels * rows * columns
        for _ in range(_CONVOLUTIONS):
            total += 4 * _CHANNELS * rows * columns
            rows, columns = _halved(rows), _halved(columns)
        return total + _CHANNELS * rows * columns + 4 * _UNITS + 2 * CLASSES

    def _shapes(self) -> Iterator[tuple[str, tuple[int, ...]]]:
        channels, rows, columns = self.shape
        for layer in range(_CONVOLUTIONS):
            yield f"conv{layer}.weights", (_KERNEL, _KERNEL, channels, _CHANNELS)
            yield f"conv{layer}.bias", (_CHANNELS,)
            yield f"conv{layer}.offset", (_CHANNELS,)
            channels, rows, columns = _CHANNELS, _halved(rows), _halved(columns)
        yield "layer0.weights", (channels * rows * columns, _UNITS)
        yield "layer0.bias", (_UNITS,)
        yield "layer0.offset", (_UNITS,)
        yield "layer1.weights", (_UNITS, CLASSES)
        yield "layer1.bias", (CLASSES,)

    def logits(self, weights: Weights, images: "Tensor") -> "Tensor":
        """Return the logits [networks, n, classes]; n is above 1, for one image has no variance."""
        from torch.nn.functional import conv2d, max_pool2d, relu

        networks, n, _ = images.shape
        # One convolution whose channels are in groups, a network each.
        hidden = images.reshape(networks, n, *self.shape).transpose(0, 1).flatten(1, 2)
        for layer in range(_CONVOLUTIONS):
            kernel = weights[f"conv{layer}.weights"].permute(0, 4, 3, 1, 2).flatten(0, 1)
            bias, offset = (weights[f"conv{layer}.{name}"].flatten() for name in ("bias", "offset"))
            hidden = conv2d(hidden, kernel, bias, padding=_KERNEL // 2, groups=networks)
            hidden = max_pool2d(relu(_normalised(hidden, offset)), 2, ceil_mode=True)
        rows, columns = hidden.shape[2:]
        hidden = hidden.reshape(n, networks, _CHANNELS, rows, columns).permute(1, 0, 3, 4, 2).flatten(2)
        hidden = _linear(weights, "layer0", hidden).transpose(0, 1).flatten(1, 2)
        hidden = relu(_normalised(hidden, weights["layer0.offset"].flatten()))
        return _linear(weights, "layer1", hidden.reshape(n, networks, _UNITS).transpose(0, 1))


_CONVOLUTIONS, _CHANNELS, _KERNEL, _UNITS = 3, 16, 5, 32
_NORMAL_EPSILON = 1e-3


def _halved(pixels: int) -> int:
    """Return how many pairs of pixels there are, the last of which may be a single one (TensorFlow's SAME)."""
    return -(-pixels // 2)


def _linear(weights: Weights, layer: str, values: "Tensor") -> "Tensor":
    """Return values [networks, n, inputs] through a layer, [networks, n, outputs]."""
    import torch

    return torch.baddbmm(weights[f"{layer}.bias"][:, None, :], values, weights[f"{layer}.weights"])


def _normalised(values: "Tensor", offset: "Tensor") -> "Tensor":
    """Return values [n, channels, …] with mean 0 and variance 1 in each channel, and its offset added."""
    import torch
    from torch.nn.functional import batch_norm

    # A scale of ones: without one, torch has no second derivatives.
    scale = torch.ones_like(offset)
    return batch_norm(values, None, None, scale, offset, training=True, eps=_NORMAL_EPSILON)


def _derivative(name: Activation, activated: "Tensor") -> "Tensor":
    """Return the derivative of an activation, given what it has become."""
    match name:
        case "sigmoid":
            return activated * (1 - activated)
        case "tanh":
            return 1 - activated.square()
        case "relu":
            return (activated > 0).to(activated.dtype)
        case "elu":
            return (activated + 1).clamp(max=1)


def _activated(name: Activation, values: "Tensor") -> "Tensor":
    from torch.nn import functional

    function: Any = getattr(functional, name)
    activated: Tensor = function(values)
    return activated
