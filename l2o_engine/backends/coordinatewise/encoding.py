"""What a network sees of gradients, made by the kernel."""

from math import exp

import numpy as np
import torch
from torch import Tensor

from l2o_engine.backends.compiled.compile import Kernel
from l2o_engine.optimizers.learned.inputs.base import Encoded, Inputs, Memory, Numbers
from l2o_engine.optimizers.learned.inputs.log_and_sign import EPSILON, LogAndSign
from l2o_engine.optimizers.learned.learned_optimizer import Encoding
from l2o_engine.support.arrays import Floats


def settings_of(inputs: Inputs, dtype: str) -> Floats | None:
    """Return the numbers by which the kernel makes these inputs, k, e^k and ε; None where it cannot."""
    if type(inputs) is not LogAndSign:
        return None
    settings: Floats = np.array([inputs.k, exp(inputs.k), EPSILON]).astype(dtype)
    return settings


def encoding_of(inputs: Inputs, kernel: Kernel | None, dtype: str) -> Encoding | None:
    """Return what makes these inputs, where the kernel can; else None.

    It takes eight operations of torch for those of :class:`LogAndSign`, each on memory that has gone cold.
    """
    settings = settings_of(inputs, dtype)
    if kernel is None or settings is None:
        return None

    def encode(gradient: Tensor, memory: Memory, numbers: Numbers) -> Encoded:
        seen = np.empty((2, gradient.numel()), dtype)
        kernel.log_and_sign(gradient.contiguous().view(-1).numpy(), settings, seen)
        return Encoded(torch.from_numpy(seen).view(2, *gradient.shape).movedim(0, -1), gradient, gradient, {})

    return encode
