"""The meta-optimizer: Adam in TensorFlow 1's form, and what is done to the meta-gradient before.

    θ -= learning_rate·√(1 - β2^t)/(1 - β1^t) · m/(√v + ε)

The ε ("epsilon hat" in section 2 of Kingma & Ba, 2014) is added before v's bias is corrected; ``torch.optim.Adam``
adds it after, and here that matters. TF1 keeps its constants and the running powers of β in float32 whatever the
weights' dtype is, and so does this unless it is told otherwise: the notebook's golden values are met to 2e-15 with it
and to 2e-5 without. The backends apply these numbers to their own arrays.
"""

from functools import cached_property
from math import sqrt
from typing import Annotated, Literal, NamedTuple

from pydantic import Field

from l2o_engine.support.settings import AdamConstant, AdamDecay, Positive, Whole, as_float32, settings


class Powers(NamedTuple):
    """β1^t and β2^t after t steps, multiplied t times and rounded each time."""

    beta1: float = 1.0
    beta2: float = 1.0


class Constants(NamedTuple):
    """Adam's constants, rounded."""

    learning_rate: float
    beta1: float
    beta2: float
    epsilon: float


@settings
class MetaAdam:
    """The meta-optimizer: Adam in TensorFlow 1's "epsilon hat" form, and what is done to the meta-gradient first.

    Attributes
    ----------
    learning_rate
        The factor of every step.
    beta1, beta2
        How much of the running means of the gradient and of its square is kept from step to step.
    epsilon
        Added to the root of the second; above the gradients' size it swallows the steps.
    precision
        In what the constants and the powers of the decays are kept: "float64"; float32, as TensorFlow 1 does whatever
        the dtype is, if not given.
    gradient
        "clip": a meta-gradient longer than clip_norm is shortened to it; "unit": every one is scaled to norm 1; "none".
    clip_norm
        The greatest norm that "clip" leaves.
    non_finite
        What a meta-iteration that meets a NaN or an infinity does: "zero" (spoilt entries of the meta-gradient count
        as 0), "skip" (it changes nothing) or "stop" (it ends the run).
    max_non_finite
        How many of them in a row are allowed; 0 for any number.
    batch
        How many tasks a meta-iteration's gradient is the mean of.
    """

    learning_rate: AdamConstant = 3e-4
    beta1: AdamDecay = 0.9
    beta2: AdamDecay = 0.999
    epsilon: AdamConstant = 1e-8
    precision: Literal["float64"] | None = None
    gradient: Literal["clip", "unit", "none"] = "clip"
    clip_norm: Positive = 1.0
    non_finite: Literal["zero", "skip", "stop"] = "zero"
    max_non_finite: Annotated[Whole, Field(ge=0)] = 0
    batch: Annotated[Whole, Field(ge=1, le=100_000)] = 1

    @cached_property
    def constants(self) -> Constants:
        """The four numbers that Adam computes with."""
        return Constants(*map(self._rounded, (self.learning_rate, self.beta1, self.beta2, self.epsilon)))

    def advance(self, powers: Powers) -> Powers:
        """Return the powers after one more step."""
        constants = self.constants
        return Powers(self._rounded(powers.beta1 * constants.beta1), self._rounded(powers.beta2 * constants.beta2))

    def _rounded(self, number: float) -> float:
        return as_float32(number) if self.precision is None else number

    def rate(self, powers: Powers) -> float:
        """Return the bias-corrected learning rate of the step that ends at these powers."""
        return self.constants.learning_rate * sqrt(1 - powers.beta2) / (1 - powers.beta1)
