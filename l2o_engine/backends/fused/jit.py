"""How a function is compiled that only the kernel calls."""

from functools import partial

from numba import njit

# Without the wrappers by which Python and C would call it: they are a fifth of the time that a kernel takes to compile.
inner = partial(njit, error_model="numpy", no_cpython_wrapper=True, no_cfunc_wrapper=True)
