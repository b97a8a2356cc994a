"""Which backend computes: ``torch``, the reference, takes every experiment; ``fused`` is the compiled kernel.

Choosing imports no torch; loading may. What the kernel cannot do falls back to torch under "auto", with the
reason; asked for by name it is an error.
"""

import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import import_module
from importlib.util import find_spec

from l2o_engine.meta.experiment import Experiment
from l2o_engine.meta.learner import Backend
from l2o_engine.support.errors import UserError
from l2o_engine.support.processes import Child, EndedError
from l2o_engine.support.wording import nearest

_NAMES = ("auto", "fused", "torch")


class BackendError(UserError):
    """A backend that was asked for by name and cannot take the experiment. The message is meant for the user."""


@dataclass(frozen=True)
class Choice:
    """A backend that was chosen and not loaded yet.

    Attributes
    ----------
    name, reason
        Which one, and why.
    preparation
        What takes a moment when it is loaded.
    to_compile
        Names the kernel that has to be compiled first, which experiments of one shape share; "" if none has to be.
    load
        Loads it and returns it with the reason; another one, with another reason, if "auto" had to think again.
    notice
        What is to be said of the preparation once it is over; "" if nothing is.
    give_up
        Ends, from another thread, what :attr:`load` waits for, as far as it can be: then that raises.
    """

    name: str
    reason: str
    preparation: str
    to_compile: str
    load: Callable[[], tuple[Backend, str]]
    notice: str = ""
    give_up: Callable[[], None] = lambda: None


def choose(experiment: Experiment, asked: str) -> Choice:
    """Return the backend for an experiment.

    Parameters
    ----------
    experiment
        One that trains something.
    asked
        "auto", "fused" or "torch".

    Raises
    ------
    BackendError
        If there is no backend of that name, or it cannot take the experiment.
    """
    if asked not in _NAMES:
        raise BackendError(f'there is no backend "{asked}"{nearest(asked, _NAMES) or ": choose auto, fused or torch"}')
    if asked == "torch":
        return _torch(experiment, "asked for")
    why_not = why_not_fused(experiment)
    if not why_not:
        return _fused(experiment) if asked == "fused" else _fused_or_torch(experiment)
    if asked == "fused":
        raise BackendError(f'backend "fused" cannot run this experiment: {why_not}')
    return _torch(experiment, f"not fused: {why_not}")


def why_not_fused(experiment: Experiment) -> str:
    """Return why the kernel cannot take an experiment, or cannot be had at all; an empty string if it can."""
    if find_spec("numba") is None:
        return "numba is not installed"
    try:
        _import_numba()
        from l2o_engine.backends.fused.backend import why_not
    except Exception as error:  # noqa: BLE001 (of a NumPy that it does not know, of a library of LLVM's, …)
        return f"numba cannot be loaded ({error})"
    return why_not(experiment)


def _import_numba() -> None:
    """Import Numba without its warnings of settings in the environment that it cannot read: then its defaults hold."""
    if "numba" not in sys.modules:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import_module("numba")


def _torch(experiment: Experiment, reason: str) -> Choice:
    def load() -> tuple[Backend, str]:
        from l2o_engine.backends.reference import TorchBackend

        return TorchBackend(experiment), reason

    return Choice("torch", reason, "loading PyTorch", "", load)


def _fused(experiment: Experiment, reason: str = "asked for") -> Choice:
    from l2o_engine.backends.fused.backend import FusedBackend, to_compile, why_compiled_each_time

    compiler, missing = Child(), to_compile(experiment)
    why = why_compiled_each_time() if missing else ""
    how_often = "for this run only" if why else "once"
    return Choice(
        "fused",
        reason,
        f"compiling the kernel, {how_often} (some seconds)" if missing else "loading the kernel",
        missing,
        lambda: (FusedBackend(experiment, compiler), reason),
        f"the kernel was compiled for this run only: {why}" if why else "",
        compiler.end,
    )


def _fused_or_torch(experiment: Experiment) -> Choice:
    fused = _fused(experiment, "the fastest")

    def load() -> tuple[Backend, str]:
        try:
            return fused.load()
        except EndedError:
            raise
        except Exception as error:  # noqa: BLE001 (what a compiler may raise on some machine is open-ended)
            return _torch(experiment, f"not fused: the kernel could not be compiled ({error})").load()

    return replace(fused, load=load)
