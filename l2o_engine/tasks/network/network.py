"""A network that learns to classify images: the optimizee of DeepMind's, RNNprop's and many later experiments."""

from collections.abc import Callable, Mapping
from functools import cached_property
from math import prod
from typing import TYPE_CHECKING, Annotated, Literal

import numpy as np
from pydantic import BeforeValidator, Field

from l2o_engine.support.arrays import Doubles, Floats, Integers
from l2o_engine.support.settings import Whole, list_to_tuple, settings
from l2o_engine.tasks.base import TASKS, Array, Arrays, Task, TaskFamily
from l2o_engine.tasks.data import SETS, DataSet, Part, load, pooled_shape
from l2o_engine.tasks.distributions import Distribution, Normal
from l2o_engine.tasks.network.architectures import Activation, Architecture, Convolutional, Group, Perceptron

if TYPE_CHECKING:
    from torch import Tensor

MOST_WEIGHTS = 1_000_000
"""Coordinates of a network, at most."""

MOST_LAYERS = 64
"""Hidden layers of an "mlp", at most."""

INDEX = "index"
"""What the places of a minibatch's images are called, among a task's minibatches."""

_AT_ONCE = 8_000_000  # numbers that networks computed at once may take
_SIZES, _ACTIVATION = (20,), "sigmoid"


@TASKS.register
@settings
class Network(TaskFamily):
    """A network's weights; the loss is the mean cross-entropy of a minibatch's images (Andrychowicz et al. 2016).

    Every base step has a minibatch of its own, drawn with replacement from the images to train on.

    Attributes
    ----------
    architecture
        "mlp": fully connected layers. "conv": DeepMind's network for CIFAR-10, three convolutions of 5 × 5 with 16
        channels, each with batch normalisation, ReLU and pooling, then 32 units.
    sizes
        Units of each hidden layer of an "mlp".
    activation
        Of an "mlp"'s hidden units.
    data
        The data set.
    pool
        Each square of so many × so many pixels becomes one, their mean; 1: images as they are. On small images a
        network has few weights, and an optimizer for large ones is begun in a fraction of the time.
    batch
        Images of a minibatch.
    start
        What each weight and each bias is drawn from; offsets of a batch normalisation start at 0.

    Raises
    ------
    ValueError
        If there would be too many layers or weights, or a setting means nothing with the architecture or the images.
    """

    architecture: Literal["mlp", "conv"] = "mlp"
    sizes: Annotated[tuple[Annotated[Whole, Field(ge=1)], ...], BeforeValidator(list_to_tuple)] = _SIZES
    activation: Activation = "sigmoid"
    data: Literal["digits", "fashion-mnist", "mnist", "mnist-5k", "cifar10"] = "digits"
    pool: Annotated[Whole, Field(ge=1, le=4)] = 1
    batch: Annotated[Whole, Field(ge=1, le=10_000)] = 128
    start: Distribution = Normal((0.0, 0.01))
    kind: Literal["network"] = "network"

    def __post_init__(self) -> None:
        if self.architecture == "conv" and (self.sizes, self.activation) != (_SIZES, _ACTIVATION):
            raise ValueError('sizes and activation mean nothing with architecture = "conv"')
        if self.architecture == "conv" and self.batch == 1:
            raise ValueError('batch must be at least 2 with architecture = "conv": one image has no variance')
        if any(side % self.pool for side in SETS[self.data].shape[1:]):
            rows, columns = SETS[self.data].shape[1:]
            raise ValueError(f"pool = {self.pool} does not divide images of {rows} × {columns} pixels")
        if len(self.sizes) > MOST_LAYERS:
            raise ValueError(f"the network would have {len(self.sizes):,} hidden layers: {MOST_LAYERS} at most")
        if self.size > MOST_WEIGHTS:
            raise ValueError(f"the network would have {self.size:,} weights: {MOST_WEIGHTS:,} at most")

    @cached_property
    def network(self) -> Architecture:
        """What it computes."""
        shape = pooled_shape(SETS[self.data].shape, self.pool)
        if self.architecture == "conv":
            return Convolutional(shape)
        return Perceptron(prod(shape), self.sizes, self.activation)

    @property
    def groups(self) -> Mapping[str, Group]:
        """Name → group of weights, in the order of the coordinates: "layer0.weights", "layer0.bias", … ."""
        return self.network.groups

    @property
    def shape(self) -> tuple[int, ...]:
        """[weights]: group behind group."""
        return (self.network.size,)

    @property
    def images(self) -> DataSet:
        """The images, read once a process.

        Raises
        ------
        DataError
            If they are not there or cannot be read.
        """
        return load(self.data, self.pool)

    @property
    def sources(self) -> Mapping[str, str]:
        """File name → SHA-256 of the files that the images are read from."""
        return self.images.digests

    @property
    def graph_numbers(self) -> int:
        """How many numbers autograd keeps of a loss."""
        return self.batch * self.network.numbers

    def numbers_drawn(self, steps: int) -> int:
        """Return how many uniform numbers a task takes: one a weight, and one an image of every minibatch."""
        return self.size + steps * self.batch

    def draw(self, generator: np.random.Generator, n: int, batch: int, *, steps: int, dtype: str) -> Task:
        """Draw tasks; each takes :meth:`numbers_drawn` from the generator.

        The places of its minibatches' images are "index", int64 [n, batch, steps, images].
        """
        uniform = generator.random((n, batch, self.numbers_drawn(steps)))
        start = self.start_of(uniform[..., : self.size])
        index = (uniform[..., self.size :] * len(self.images.train)).astype(np.int64)
        return Task(self, start.astype(dtype), {}, {INDEX: index.reshape(n, batch, steps, self.batch)})

    def start_of(self, uniform: Doubles) -> Doubles:
        """Return where a task starts, made of uniform numbers [..., size]."""
        start = self.start.of(uniform)
        for group in self.groups.values():
            if group.is_offset:
                start[..., group.place] = 0.0
        return start

    def split(self, share: float) -> TaskFamily:
        """Return the same tasks with a share of the images for their losses alone."""
        from l2o_engine.tasks.network.split import Split

        return Split(self, share)

    def loss(self, x: Array, parameters: Arrays, minibatch: Arrays | None = None) -> Array:
        """Return the loss [...] at the points x [..., size], of the images at "index" [..., images].

        Raises
        ------
        ValueError
            If there is no minibatch.
        """
        index, part = _index_of(minibatch), self.images.train
        return self._losses(x, index, part) if isinstance(x, np.ndarray) else self._loss(x, index, part)

    def gradient(self, x: Array, parameters: Arrays, minibatch: Arrays | None = None) -> Array:
        """Return the gradient [..., size] of the loss at the points x."""
        return self.loss_and_gradient(x, parameters, minibatch)[1]

    def loss_and_gradient(self, x: Array, parameters: Arrays, minibatch: Arrays | None = None) -> tuple[Array, Array]:
        """Return the loss [...] and its gradient [..., size] at the points x, without a graph."""
        index, part = _index_of(minibatch), self.images.train
        if not isinstance(x, np.ndarray):
            return self._loss_and_gradient(x, index, part)

        def both(points: "Tensor", places: "Tensor") -> tuple["Tensor", ...]:
            return self._loss_and_gradient(points, places, part)

        loss, gradient = self._in_parts(both, x, index)
        return loss, gradient

    @property
    def has_held_out(self) -> bool:
        """Yes: the test images."""
        return True

    def held_out_loss(self, x: Floats) -> Floats:
        """Return the loss [...] at the points x [..., size] over all images that nothing is trained on.

        They are gone through in minibatches of about the size that training has, for batch normalisation goes by
        the mean and variance of these.
        """
        test = self.images.test
        total = np.zeros(x.shape[:-1])
        for places in np.array_split(np.arange(len(test)), max(1, len(test) // self.batch)):
            total += self._losses(x, places, test).astype(np.float64) * len(places)
        return (total / len(test)).astype(x.dtype)

    def _losses(self, x: Floats, index: Integers, part: Part) -> Floats:
        """Return the loss [...] at the points x [..., size], of the images at index [..., images] of a part."""
        import torch

        def alone(points: "Tensor", places: "Tensor") -> tuple["Tensor", ...]:
            with torch.no_grad():
                return (self._loss(points, places, part),)

        (losses,) = self._in_parts(alone, x, index)
        return losses

    def _loss(self, x: "Tensor", index: "Tensor", part: Part) -> "Tensor":
        """Return the loss [...] at the points x [..., size], of the images at index [..., images] of a part."""
        points, images, labels, leading = self._batches(x, index, part)
        return self.network.losses(points, images, labels).reshape(leading)

    def _loss_and_gradient(self, x: "Tensor", index: "Tensor", part: Part) -> tuple["Tensor", "Tensor"]:
        """Return the loss, as :meth:`_loss`, and its gradient [..., size]."""
        points, images, labels, leading = self._batches(x.detach(), index, part)
        losses, gradients = self.network.losses_and_gradients(points, images, labels)
        return losses.reshape(leading), gradients.reshape(*leading, self.size)

    def _batches(
        self, x: "Tensor", index: "Tensor", part: Part
    ) -> tuple["Tensor", "Tensor", "Tensor", tuple[int, ...]]:
        """Return points [networks, size], each one's images [networks, n, pixels] and labels, and the leading axes."""
        leading = np.broadcast_shapes(tuple(x.shape[:-1]), tuple(index.shape[:-1]))
        points = x.expand(*leading, -1).reshape(-1, self.size)
        places = index.expand(*leading, -1).reshape(len(points), -1)
        all_images, all_labels = part.on(x.device)
        # Row by row; an index would pick the pixels one by one.
        images = all_images.index_select(0, places.flatten()).to(x.dtype).div_(self.images.white)
        return points, images.view(*places.shape, -1), all_labels[places].long(), leading

    def _in_parts(
        self, of: "Callable[[Tensor, Tensor], tuple[Tensor, ...]]", x: Floats, index: Integers
    ) -> tuple[Floats, ...]:
        """Return what a function says of points x [..., size] and images at index [..., images], [..., anything] each.

        It is asked of so many points at once that what is computed stays bounded.
        """
        import torch

        leading = np.broadcast_shapes(x.shape[:-1], index.shape[:-1])
        points = np.broadcast_to(x, (*leading, self.size)).reshape(-1, self.size)
        places = np.broadcast_to(index, (*leading, index.shape[-1])).reshape(len(points), -1)
        at_once, found = max(1, _AT_ONCE // self.graph_numbers), []
        for first in range(0, len(points), at_once):
            some = slice(first, first + at_once)
            found.append([value.numpy() for value in of(torch.tensor(points[some]), torch.tensor(places[some]))])
        each = (np.concatenate(values) for values in zip(*found, strict=True))
        return tuple(values.reshape((*leading, *values.shape[1:])) for values in each)


def _index_of(minibatch: Arrays | None) -> Array:
    if minibatch is None:
        raise ValueError("a network's loss is of a minibatch's images")
    return minibatch[INDEX]
