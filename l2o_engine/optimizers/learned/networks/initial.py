"""What initial weights are drawn from.

Numbers are drawn one parameter after the other, in the order of the network's layout, and within one row by row; each
takes one uniform number. Parameters that begin as 0 take none.
"""

from math import prod, sqrt

import numpy as np

from l2o_engine.optimizers.learned.layout import Shape
from l2o_engine.support.arrays import Doubles
from l2o_engine.tasks.distributions import standard_normal

_BELOW = 0.022750131948179195  # the probability that a standard normal number is below -2


def glorot_uniform(generator: np.random.Generator, shape: Shape) -> Doubles:
    """Return a kernel's weights, flat: uniform within ±√(6/(inputs + outputs)) (Glorot & Bengio 2010)."""
    limit = sqrt(6 / sum(shape))
    return generator.uniform(-limit, limit, prod(shape))


def truncated_normal(generator: np.random.Generator, shape: Shape, deviation: float) -> Doubles:
    """Return weights, flat: normal with this standard deviation, those beyond two of it drawn anew.

    By the inverse of the distribution function of what is left, so that each takes one uniform number.
    """
    return deviation * standard_normal(_BELOW + (1 - 2 * _BELOW) * generator.random(prod(shape)))
