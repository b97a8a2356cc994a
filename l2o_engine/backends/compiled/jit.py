"""How functions are compiled that only a kernel calls."""

import hashlib
import sys
from collections.abc import Iterable
from functools import partial
from typing import Any

from numba import njit
from numba.core.dispatcher import Dispatcher

# Without the wrappers by which Python and C would call it: they are a fifth of the time that a kernel takes to compile.
inner = partial(njit, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)


def as_function(name: str, operation: Any, arguments: str) -> Any:
    """Return an intrinsic as an ordinary compiled function: its code exists once however often it is called.

    Parameters
    ----------
    name
        What it is called.
    operation, arguments
        The intrinsic, and its arguments' names, with commas between.
    """
    namespace = {"operation": operation, "__name__": __name__}  # numba re-imports this name when it loads the cache
    # Numba wants a function with named arguments, and each intrinsic has others.
    exec(f"def {name}({arguments}):\n    operation({arguments})", namespace)  # noqa: S102 (our own text)
    return inner()(namespace[name])


def make_symbols_unique(functions: Iterable[object], shape: object) -> None:
    """Give the functions that were made for one shape, and those that they call, names that no other shape's have.

    Numba names machine code after the function and a number that starts anew in every process. Two cached kernels,
    compiled in two processes and loaded into one, would share the names, and one would call the other's functions.
    """
    suffix = "_" + hashlib.sha256(repr(shape).encode()).hexdigest()[:16]
    waiting = list(functions)
    while waiting:
        function = waiting.pop()
        if not isinstance(function, Dispatcher):
            continue
        python = function.py_func
        is_shared = getattr(sys.modules.get(python.__module__), python.__name__, None) is function
        if not is_shared and not python.__qualname__.endswith(suffix):
            python.__qualname__ += suffix
            waiting += [cell.cell_contents for cell in python.__closure__ or ()]
