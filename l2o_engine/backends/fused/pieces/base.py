"""What a piece is: ``make(spec, real)`` returns compiled functions by name, as the module of its sort lists them.

They are closed over constants of the kernel's float type ``real``: a bare Python float would silently turn float32
arithmetic into float64.
"""

from collections.abc import Callable
from typing import Any

from l2o_engine.backends.compiled.jit import inner
from l2o_engine.backends.fused.spec import ProblemSpec, Spec

Functions = dict[str, Callable[..., Any]]
Piece = Callable[[Spec, type], Functions]
Problem = Callable[[ProblemSpec, type], Functions]

# Products may be fused into sums; NaN, infinity and the order of sums keep their meaning.
inline = inner(fastmath={"contract"})
