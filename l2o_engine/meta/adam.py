"""The meta-optimizer's numbers: Adam in TensorFlow 1's form, which the backends apply to their own arrays.

    θ -= learning_rate·√(1 - β2^t)/(1 - β1^t) · m/(√v + ε)

The ε ("epsilon hat" in section 2 of Kingma & Ba, 2014) is added before v's bias is corrected; ``torch.optim.Adam``
adds it after, and here that matters. TF1 keeps its constants and the running powers of β in float32 whatever the
weights' dtype is, and so does this: the golden values are met to 2e-15 with it and to 2e-5 without.
"""

from dataclasses import dataclass
from math import sqrt
from typing import NamedTuple

import numpy as np

from l2o_engine.presets.schema import MetaSettings


class Powers(NamedTuple):
    """β1^t and β2^t after t steps, as float32 multiplied t times gives them."""

    beta1: float = 1.0
    beta2: float = 1.0


@dataclass(frozen=True)
class Adam:
    """The constants of one preset, rounded to float32."""

    learning_rate: float
    beta1: float
    beta2: float
    epsilon: float

    def advance(self, powers: Powers) -> Powers:
        """Return the powers after one more step."""
        return Powers(_float32(powers.beta1 * self.beta1), _float32(powers.beta2 * self.beta2))

    def rate(self, powers: Powers) -> float:
        """Return the bias-corrected learning rate of the step that ends at these powers."""
        return self.learning_rate * sqrt(1 - powers.beta2) / (1 - powers.beta1)


def _float32(value: float) -> float:
    return float(np.float32(value))


def make_adam(meta: MetaSettings) -> Adam:
    """Return the Adam that the preset's [meta] table describes."""
    return Adam(*map(_float32, (meta.learning_rate, meta.beta1, meta.beta2, meta.epsilon)))
