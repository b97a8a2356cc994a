"""A network whose images are split anew for every task: some its gradients are of, by the others it is judged."""

from dataclasses import dataclass

import numpy as np

from l2o_engine.support.arrays import Doubles, Integers
from l2o_engine.tasks.around import Around
from l2o_engine.tasks.base import Array, Arrays, Task
from l2o_engine.tasks.network.network import INDEX, Network


@dataclass(frozen=True)
class Split(Around):
    """A network that is trained on some of the images, and judged on the others.

    So an optimizer is trained by what its steps do for images that they were not made for, and learns not to overfit:
    the validation loss as meta-loss of Metz et al. 2019, "Understanding and correcting pathologies in the training of
    learned optimizers". Its tasks are the network's own, with minibatches of either kind.

    Attributes
    ----------
    inner
        The network.
    share
        Of the images to train on, those that judge: they stand one behind the other, from a place on that is drawn.
    """

    inner: Network
    share: float
    kind: str = "split"

    @property
    def graph_numbers(self) -> int:
        """How many numbers autograd keeps of both losses."""
        return 2 * self.inner.graph_numbers

    def numbers_drawn(self, steps: int) -> int:
        """Return how many numbers a task is made of: the network's, as many images again, and a place."""
        return self.inner.numbers_drawn(steps) + steps * self.inner.batch + 1

    def draw(self, generator: np.random.Generator, n: int, batch: int, *, steps: int, dtype: str) -> Task:
        """Draw tasks; each takes :meth:`numbers_drawn` from the generator."""
        own = self.inner.numbers_drawn(steps)
        uniform = generator.random((n, batch, self.numbers_drawn(steps)))
        images = len(self.inner.images.train)
        judging = max(1, round(self.share * images))
        first = (uniform[..., -1:] * images).astype(np.int64)

        def places(drawn: Doubles, among: int, from_: Integers) -> Integers:
            chosen: Integers = (from_ + (drawn * among).astype(np.int64)) % images
            return chosen.reshape(n, batch, steps, self.inner.batch)

        seen = places(uniform[..., self.size : own], images - judging, first + judging)
        judged = places(uniform[..., own:-1], judging, first)
        start = self.inner.start_of(uniform[..., : self.size])
        return Task(self.inner, start.astype(dtype), {}, {INDEX: seen}, {INDEX: judged})

    def loss(self, x: Array, parameters: Arrays, minibatch: Arrays | None = None) -> Array:
        """Return the loss [...] at the points x [..., size], of a minibatch of either kind."""
        return self.inner.loss(x, parameters, minibatch)

    def loss_and_gradient(self, x: Array, parameters: Arrays, minibatch: Arrays | None = None) -> tuple[Array, Array]:
        """Return the loss [...] and its gradient [..., size] at the points x, of a minibatch of either kind."""
        return self.inner.loss_and_gradient(x, parameters, minibatch)

    def gradient(self, x: Array, parameters: Arrays, minibatch: Arrays | None = None) -> Array:
        """Return the gradient [..., size] of the loss at the points x."""
        return self.inner.gradient(x, parameters, minibatch)
