"""Which backend computes: ``torch``, the reference, takes every experiment; ``fused`` is the compiled kernel.

``coordinatewise`` takes whatever is trained without second derivatives, and is faster than torch from a single
coordinate on. Only the reference goes to another device than the CPU. Choosing imports no torch, unless it is for
another device, which torch alone knows; loading may. What a backend cannot do falls to the next under "auto", with the
reason; asked for by name it is an error.
"""

import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from importlib import import_module
from importlib.util import find_spec

from l2o_engine.backends.devices import AUTO, CPU, Device, find_device
from l2o_engine.meta.experiment import Experiment
from l2o_engine.meta.learner import Backend
from l2o_engine.support.errors import UserError
from l2o_engine.support.processes import Child, EndedError
from l2o_engine.support.wording import nearest, quote

_NAMES = ("auto", "fused", "coordinatewise", "torch")
_KNOWS = {  # what a backend takes: modules that load no torch
    "fused": "l2o_engine.backends.fused.backend",
    "coordinatewise": "l2o_engine.backends.coordinatewise.admission",
}


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
    device
        Where it will compute.
    """

    name: str
    reason: str
    preparation: str
    to_compile: str
    load: Callable[[], tuple[Backend, str]]
    notice: str = ""
    give_up: Callable[[], None] = lambda: None
    device: Device = field(default_factory=Device)


def choose(experiment: Experiment, asked: str, device: str = CPU) -> Choice:
    """Return the backend for an experiment.

    Parameters
    ----------
    experiment
        One that trains something.
    asked
        "auto", "fused", "coordinatewise" or "torch".
    device
        See :func:`~l2o_engine.backends.devices.find_device`. For the kernels "auto" is the CPU, where they compute.

    Raises
    ------
    BackendError
        If there is no backend of that name, or it cannot take the experiment, or not on this device.
    DeviceError
        If the device cannot be had.
    """
    if asked not in _NAMES:
        others = ": choose auto, fused, coordinatewise or torch"
        raise BackendError(f'there is no backend "{asked}"{nearest(asked, _NAMES) or others}')
    if asked in _COMPILED and device not in (CPU, AUTO):
        raise BackendError(f'backend "{asked}" computes on the CPU: device {quote(device)} is for backend "torch"')
    where = Device() if asked in _COMPILED else find_device(device, experiment.dtype)
    if asked == "torch":
        return _torch(experiment, "asked for", where)
    if not where.is_cpu:
        return _torch(experiment, f"only torch computes on {where.name}", where)
    tried = _COMPILED if asked == "auto" else {asked: _COMPILED[asked]}
    reasons: list[str] = []
    for name, make in tried.items():
        if not (why_not := _why_not(name, experiment)):
            if asked != "auto":
                return make(experiment, "asked for")
            return _or_torch(make(experiment, "; ".join(reasons) or "the fastest"), experiment)
        if why_not not in " ".join(reasons):  # Numba may be missing to both
            reasons.append(f"not {name}: {why_not}")
        if asked != "auto":
            raise BackendError(f'backend "{asked}" cannot run this experiment: {why_not}')
    return _torch(experiment, "; ".join(reasons), where)


def why_not_forward(name: str, experiment: Experiment) -> str:
    """Return why "fused" or "coordinatewise" cannot go forward with an experiment's optimizer; "" if it can."""
    return _why_not(name, experiment, "why_not_forward")


def _why_not(name: str, experiment: Experiment, question: str = "why_not") -> str:
    """Return why a backend cannot take an experiment, or cannot be had at all; an empty string if it can."""
    if find_spec("numba") is None:
        return "numba is not installed"
    try:
        _import_numba()
        backend = import_module(_KNOWS[name])
    except Exception as error:  # noqa: BLE001 (of a NumPy that it does not know, of a library of LLVM's, …)
        return f"numba cannot be loaded ({error})"
    why: str = getattr(backend, question)(experiment)
    return why


def _import_numba() -> None:
    """Import Numba without its warnings of settings in the environment that it cannot read: then its defaults hold."""
    if "numba" not in sys.modules:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import_module("numba")


def preload() -> None:
    """Import what loading a kernel takes, where it can be had: for a server that forks processes which will."""
    with suppress(Exception):  # who chooses a backend is told
        _import_numba()
        for name in _KNOWS.values():
            import_module(name)
        import_module("l2o_engine.backends.compiled.numba_private").warm_up()


def _torch(experiment: Experiment, reason: str, device: Device) -> Choice:
    def load() -> tuple[Backend, str]:
        from l2o_engine.backends.reference import TorchBackend

        return TorchBackend(experiment, device.name), reason

    return Choice("torch", reason, "loading PyTorch", "", load, device=device)


def _fused(experiment: Experiment, reason: str) -> Choice:
    from l2o_engine.backends.fused.backend import FusedBackend, to_compile

    compiler = Child()
    return _compiled("fused", reason, to_compile(experiment), lambda: FusedBackend(experiment, compiler), compiler)


def _coordinatewise(experiment: Experiment, reason: str) -> Choice:
    from l2o_engine.backends.coordinatewise.admission import to_compile

    compiler = Child()

    def make() -> Backend:
        from l2o_engine.backends.coordinatewise.backend import CoordinatewiseBackend

        return CoordinatewiseBackend(experiment, compiler)

    return _compiled("coordinatewise", reason, to_compile(experiment), make, compiler)


_COMPILED = {"fused": _fused, "coordinatewise": _coordinatewise}  # the faster first


def _compiled(name: str, reason: str, missing: str, make: Callable[[], Backend], compiler: Child) -> Choice:
    """Return a backend with a kernel that may have to be compiled first."""
    from l2o_engine.backends.compiled.compile import why_compiled_each_time

    why = why_compiled_each_time() if missing else ""
    how_often = "for this run only" if why else "once"
    return Choice(
        name,
        reason,
        f"compiling the kernel, {how_often} (some seconds)" if missing else "loading the kernel",
        missing,
        lambda: (make(), reason),
        f"the kernel was compiled for this run only: {why}" if why else "",
        compiler.end,
    )


def _or_torch(choice: Choice, experiment: Experiment) -> Choice:
    """Return a choice that falls back to torch where its kernel cannot be compiled."""

    def load() -> tuple[Backend, str]:
        try:
            return choice.load()
        except EndedError:
            raise
        except Exception as error:  # noqa: BLE001 (what a compiler may raise on some machine is open-ended)
            return _torch(
                experiment, f"not {choice.name}: the kernel could not be compiled ({error})", choice.device
            ).load()

    return replace(choice, load=load)
