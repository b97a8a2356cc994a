"""Names for the arrays that pass between the engine's parts."""

from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.floating[Any]]
"""An array of the run's dtype, float32 or float64."""

Doubles: TypeAlias = NDArray[np.float64]
"""An array that is float64 whatever the run's dtype is."""

Integers: TypeAlias = NDArray[np.int64]

Bytes: TypeAlias = NDArray[np.uint8]

Flags: TypeAlias = NDArray[np.bool_]

LOG_FLOOR = 1e-38
"""Added to a loss before its base-10 logarithm is taken for a report, so that an exact 0 reads -38 (the notebook's)."""


def finite_mean(values: Doubles) -> float:
    """Return the mean of the finite values; NaN where there is none, an infinity where their sum is beyond all."""
    finite = values[np.isfinite(values)]
    with np.errstate(over="ignore"):
        return float(finite.mean()) if finite.size else float("nan")


def elementwise(function: str, values: Any) -> Any:
    """Return a function's values, by the name that NumPy and torch have for it, of an array or of a tensor."""
    is_array = isinstance(values, np.ndarray | np.generic)
    return getattr(np, function)(values) if is_array else getattr(values, function)()
