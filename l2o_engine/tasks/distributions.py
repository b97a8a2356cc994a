"""What numbers are drawn from, as a preset says it.

In TOML: ``2.0`` is always that number, ``[0.5, 1.5]`` and ``{ uniform = [0.5, 1.5] }`` a uniform range,
``{ normal = 0.01 }`` and ``{ normal = [1.0, 0.5] }`` a normal distribution (standard deviation; mean and standard
deviation), ``{ log_uniform = [1, 100] }`` a range whose logarithms are uniform.

Each value is made of one uniform number, so a task takes as many from its generator as it has values, and drawing n
tasks at once gives the same ones as drawing one n times.
"""

from collections.abc import Callable
from typing import Annotated, Any, TypeAlias

import numpy as np
from pydantic import BeforeValidator, Field

from l2o_engine.support.arrays import Doubles
from l2o_engine.support.settings import Interval, Number, Words, is_number, list_to_tuple, settings


@settings
class Constant:
    """Always one number."""

    constant: Number

    def of(self, uniform: Doubles) -> Doubles:
        """Return values [...] made of uniform numbers in [0, 1) [...]."""
        return np.full_like(uniform, self.constant)


@settings
class Uniform:
    """Between two numbers, all alike."""

    uniform: Interval

    def of(self, uniform: Doubles) -> Doubles:
        """Return values [...] made of uniform numbers in [0, 1) [...]."""
        low, high = self.uniform
        return low + (high - low) * uniform


@settings
class Normal:
    """Around a mean, by a standard deviation."""

    normal: tuple[float, Annotated[float, Field(ge=0)]]

    def of(self, uniform: Doubles) -> Doubles:
        """Return values [...] made of uniform numbers in [0, 1) [...]."""
        mean, deviation = self.normal
        return mean + deviation * standard_normal(uniform)


@settings
class LogUniform:
    """Between two numbers above 0, all orders of magnitude alike."""

    log_uniform: Interval

    def of(self, uniform: Doubles) -> Doubles:
        """Return values [...] made of uniform numbers in [0, 1) [...]."""
        low, high = np.log(self.log_uniform)
        found: Doubles = np.exp(low + (high - low) * uniform)
        return found


_FORMS = "a number, [low, high], or one of { uniform = [a, b] }, { normal = [mean, σ] }, { log_uniform = [a, b] }"


def distribution_of(value: object) -> "Uniform | Normal | LogUniform | Constant":
    """Return the distribution that a preset's value means.

    Raises
    ------
    ValueError
        If it means none.
    """
    value = list_to_tuple(value)
    if isinstance(value, Constant | Uniform | Normal | LogUniform):
        return value
    if is_number(value):
        return Constant(_number(value))
    if isinstance(value, tuple):
        return Uniform(_range(value, "a range"))
    ((name, setting),) = value.items() if isinstance(value, dict) and len(value) == 1 else ((None, None),)
    if name not in _MADE:
        raise ValueError(f"must be {_FORMS}")
    return _MADE[name](list_to_tuple(setting))


def _number(value: Any, name: str = "constant") -> float:
    if not is_number(value):
        raise ValueError(f"{name} must be a finite number")
    return float(value)


def _pair(value: object, name: str) -> tuple[float, float]:
    if not isinstance(value, tuple) or len(value) != 2:
        raise ValueError(f"{name} must be two numbers")
    return _number(value[0], f"{name}'s first"), _number(value[1], f"{name}'s second")


def _range(value: object, name: str) -> tuple[float, float]:
    low, high = _pair(value, name)
    if low > high:
        raise ValueError(f"{name} must be [low, high] with low <= high")
    return low, high


def _normal(value: object) -> Normal:
    mean, deviation = (0.0, _number(value)) if is_number(value) else _pair(value, "normal")
    if deviation < 0:
        raise ValueError("normal must have a standard deviation of at least 0")
    return Normal((mean, deviation))


def _log_uniform(value: object) -> LogUniform:
    low, high = _range(value, "log_uniform")
    if low <= 0:
        raise ValueError("log_uniform must be between numbers above 0")
    return LogUniform((low, high))


_MADE: dict[str | None, Callable[[Any], Uniform | Normal | LogUniform | Constant]] = {
    "constant": lambda value: Constant(_number(value)),
    "uniform": lambda value: Uniform(_range(value, "uniform")),
    "normal": _normal,
    "log_uniform": _log_uniform,
}


Distribution: TypeAlias = Annotated[
    Uniform | Normal | LogUniform | Constant, BeforeValidator(distribution_of), Words(_FORMS)
]
"""What numbers are drawn from."""


# Coefficients of Wichura's algorithm AS 241, PPND16 (Applied Statistics 37, 1988), highest power first.
_CENTRE = (
    (2509.0809287301226727, 33430.575583588128105, 67265.770927008700853, 45921.953931549871457,
     13731.693765509461125, 1971.5909503065514427, 133.14166789178437745, 3.387132872796366608),
    (5226.495278852545925, 28729.085735721942674, 39307.89580009271061, 21213.794301586595867,
     5394.1960214247511077, 687.1870074920579083, 42.313330701600911252, 1.0),
)  # fmt: skip
_SIDE = (
    (7.7454501427834140764e-4, 0.0227238449892691845833, 0.24178072517745061177, 1.27045825245236838258,
     3.64784832476320460504, 5.7694972214606914055, 4.6303378461565452959, 1.42343711074968357734),
    (1.05075007164441684324e-9, 5.475938084995344946e-4, 0.0151986665636164571966, 0.14810397642748007459,
     0.68976733498510000455, 1.6763848301838038494, 2.05319162663775882187, 1.0),
)  # fmt: skip
_TAIL = (
    (2.01033439929228813265e-7, 2.71155556874348757815e-5, 0.0012426609473880784386, 0.026532189526576123093,
     0.29656057182850489123, 1.7848265399172913358, 5.4637849111641143699, 6.6579046435011037772),
    (2.04426310338993978564e-15, 1.4215117583164458887e-7, 1.8463183175100546818e-5, 7.868691311456132591e-4,
     0.0148753612908506148525, 0.13692988092273580531, 0.59983220655588793769, 1.0),
)  # fmt: skip
_LEAST = 2.0**-54  # half of what a generator's uniform numbers are multiples of: none of them is that far from 0 or 1


def standard_normal(uniform: Doubles) -> Doubles:
    """Return the standard normal values [...] of uniform numbers in [0, 1) [...].

    The inverse of the normal distribution function, by Wichura's AS 241 (to about 1e-16). A generator's own normal
    numbers take it forward by a count that varies, and SciPy, which has this function, is no dependency.
    """
    probability = np.clip(uniform, _LEAST, 1 - _LEAST)
    centred = probability - 0.5
    near_centre = np.abs(centred) <= 0.425
    square = 0.180625 - centred**2
    with np.errstate(all="ignore"):  # each formula is computed everywhere, and taken where it holds
        root = np.sqrt(-np.log(np.minimum(probability, 1 - probability)))
        side = _quotient(_SIDE, root - 1.6)
        tail = _quotient(_TAIL, root - 5.0)
        centre = centred * _quotient(_CENTRE, square)
    return np.where(near_centre, centre, np.sign(centred) * np.where(root <= 5.0, side, tail))


def _quotient(coefficients: tuple[tuple[float, ...], tuple[float, ...]], at: Doubles) -> Doubles:
    above, below = coefficients
    found: Doubles = np.polyval(above, at) / np.polyval(below, at)
    return found
