"""What is used of Numba that it does not promise to keep: its settings, and where a function's cache is plugged in."""

import pickle
from collections.abc import Callable
from typing import Any

from numba import config, njit
from numba.core.compiler import CompileResult
from numba.core.registry import cpu_target
from numba.core.serialize import dumps

Code = dict[str, bytes]
"""Entry → what Numba makes its compiled function of."""

_TARGET = ("CPU_NAME", "CPU_FEATURES", "ENABLE_AVX", "DISABLE_INTEL_SVML")


def is_told_not_to_compile() -> bool:
    """Return whether Numba leaves functions as they are: NUMBA_DISABLE_JIT."""
    return bool(_setting("DISABLE_JIT"))


def uses_svml() -> bool:
    """Return whether vector code calls Intel's library, which then has to be there when it is loaded."""
    return bool(_setting("USING_SVML"))


def settings_of_target() -> dict[str, str]:
    """Return, as an environment gives them, the settings that machine code depends on, as Numba understands them."""
    found = {f"NUMBA_{name}": _setting(name) for name in _TARGET}
    return {
        name: str(int(value) if isinstance(value, bool) else value)
        for name, value in found.items()
        if value is not None
    }


def warm_up() -> None:
    """Let Numba make now what it makes before the first kernel: 0.2 s, which a server that forks takes once for all."""
    for context in (cpu_target.typing_context, cpu_target.target_context):
        context.refresh()


def _setting(name: str) -> Any:
    return vars(config)[name]


def compiled(function: Callable[..., Any], signature: Any, code: Code) -> Any:
    """Return an entry of a kernel, compiled for one signature, without the interpreter.

    Parameters
    ----------
    function
        What is compiled.
    signature
        Its arguments' and result's types.
    code
        What it was compiled to before, by its name; if that is missing, it is compiled, and added.
    """
    dispatcher: Any = njit(nogil=True, error_model="numpy", fastmath={"contract"})(function)
    dispatcher._cache = _InMemory(function.__name__, code)
    dispatcher.compile(signature)
    dispatcher.disable_compile()
    return dispatcher


class _InMemory:
    """What a dispatcher asks of a cache, for one function of one signature: as ``numba.core.caching._Cache``."""

    cache_path = None

    def __init__(self, name: str, code: Code) -> None:
        self._name = name
        self._code = code

    def load_overload(self, signature: Any, target: Any) -> Any:
        """Return the compiled function; None where there is none yet."""
        if self._name not in self._code:
            return None
        target.refresh()
        return CompileResult._rebuild(target, *pickle.loads(self._code[self._name]))  # noqa: S301 (who gives us code has checked it)

    def save_overload(self, signature: Any, compiled: Any) -> None:
        """Take in a function that has just been compiled."""
        if compiled.library.has_dynamic_globals:
            raise RuntimeError(f"{self._name} holds addresses of this process")
        self._code[self._name] = dumps(compiled._reduce())
