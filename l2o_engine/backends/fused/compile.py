"""Compiling a kernel, once for each shape of preset, in another process, and keeping it on disk.

The driver's functions (kernel.py) are taken with the names that :func:`~l2o_engine.backends.fused.kernel.bind` makes
for one Spec as their globals, in a module of their own, which is named after everything that the machine code depends
on. What Numba would write of its entries into a cache of files is kept in one file instead, with a digest. Numba's own
cache reads an index and data by their paths, unpickles them as they are, and lies where its settings say; here the
bytes are read once, from a folder that nobody else can write (:mod:`~l2o_engine.support.own_files`), and these very
bytes are checked before anything is made of them.
"""

import gc
import hashlib
import json
import os
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from types import FunctionType, ModuleType
from typing import NoReturn

import llvmlite
import numba
from platformdirs import user_cache_path
from pydantic import TypeAdapter

from l2o_engine.backends.fused import kernel
from l2o_engine.backends.fused.jit import inner
from l2o_engine.backends.fused.numba_private import Code, compiled, settings_of_target, uses_svml
from l2o_engine.backends.fused.spec import Spec, forward_part
from l2o_engine.support.own_files import UntrustedError, read_own, write_own
from l2o_engine.support.processes import Child, environment, python_command
from l2o_engine.tasks.formula import generate

# Of every module of this package but the one that only calls the kernel, so that none can be forgotten, and of those
# that make code of formulas. Read at import: a file that is edited under a running program must not mix with the code
# already loaded.
_SOURCES = [
    path.read_bytes()
    for module in (__file__, generate.__file__)
    for path in sorted(Path(module).parent.rglob("[!.]*.py"))
    if path.name != "backend.py"
]
_SYMPY = version("sympy")  # which is not loaded: a kernel that is kept needs none
_MAGIC = b"l2o kernel 1 "
_MOST_BYTES = 2**28
_SPEC = TypeAdapter(Spec)


class CompilationError(Exception):
    """A kernel could not be compiled. The message is the last thing that the compiler said."""


@dataclass(frozen=True)
class Kernel:
    """The entries of a compiled kernel; kernel.py documents their arguments. One that it lacks raises."""

    meta_iterations: Callable[..., tuple[int, bool]]
    evaluate_losses: Callable[..., None]


WHOLE = tuple(field.name for field in fields(Kernel))
"""The entries of a kernel that trains."""
FORWARD = ("evaluate_losses",)
"""The entries of one that only looks, which is compiled in half the time."""
_unkept: dict[str, Code] = {}  # of kernels that could not be kept: this process compiles none of them twice


def cache_folder() -> Path:
    """Return where kernels are kept: ``L2O_CACHE_DIR``, or the user's cache folder. Safe to delete."""
    chosen = os.environ.get("L2O_CACHE_DIR")
    return (Path(chosen).absolute() if chosen else user_cache_path("l2o-tui")) / "kernels"


def is_compiled(spec: Spec, folder: Path, entries: Sequence[str] = WHOLE) -> bool:
    """Return whether a folder holds a kernel, whole, and may be trusted; or this process has compiled it."""
    return _find(spec, folder, entries) is not None


@lru_cache(maxsize=16)  # many networks of few shapes are looked at
def get_forward(spec: Spec) -> Kernel:
    """Return a kernel that goes forward: a whole one, if it is there, else one that can do no more.

    Both give the same numbers to the last bit, for both have the same code for it.

    Parameters
    ----------
    spec
        The shape.

    Raises
    ------
    CompilationError
        If it cannot be compiled.
    """
    if is_compiled(spec, cache_folder()):
        return get_kernel(spec)
    return get_kernel(forward_part(spec), entries=FORWARD)


def is_forward_compiled(spec: Spec) -> bool:
    """Return whether :func:`get_forward` has nothing to compile."""
    folder = cache_folder()
    return is_compiled(spec, folder) or is_compiled(forward_part(spec), folder, FORWARD)


def get_kernel(spec: Spec, compiler: Child | None = None, entries: Sequence[str] = WHOLE) -> Kernel:
    """Return the kernel for a shape: loaded, or first compiled, in another process so that a screen stays alive.

    It is kept if the folder may be trusted and written to; else it is compiled for this process alone.

    Parameters
    ----------
    spec
        The shape.
    compiler
        Where the process that compiles is ended from, if need be.
    entries
        What it is to have.

    Raises
    ------
    CompilationError
        If it cannot be compiled.
    """
    folder = cache_folder()
    found = _find(spec, folder, entries)
    if found is not None:
        with suppress(Exception):  # what Numba may raise for what is ours and whole is open-ended: compile it again
            return load(spec, found, entries)
    try:
        code = compile_in_child(spec, folder, compiler, entries)
    except OSError:  # no process can be started: the interpreter is held for some seconds, better than no kernel
        code = {}
    return load(spec, code, entries)


def compile_in_child(spec: Spec, folder: Path, compiler: Child | None = None, entries: Sequence[str] = WHOLE) -> Code:
    """Compile a kernel in another process, and keep it in the folder if possible: compiling holds the interpreter.

    Raises
    ------
    CompilationError
        If it cannot be compiled.
    OSError
        If no process can be started.
    """
    command = python_command("l2o_engine.backends.fused.compile", _SPEC.dump_json(spec).decode(), *entries)
    # Not in the folder that we work in, where Numba would look for settings.
    done = (compiler or Child()).run(command, environment=_environment(), folder=Path("/"))
    code = _decode(done.stdout, _name(spec, entries), entries)
    if code is None:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise CompilationError(said[-1] if said else f"the compiling process ended with {done.returncode}")
    keep(spec, code, folder)
    return code


def compile_here(spec: Spec, entries: Sequence[str] = WHOLE) -> Code:
    """Compile a kernel in this process, which does nothing else for some seconds."""
    code: Code = {}
    load(spec, code, entries)
    return {entry: code[entry] for entry in entries}


def keep(spec: Spec, code: Code, folder: Path) -> None:
    """Keep a compiled kernel in the folder; if that may not be trusted or written to, in this process."""
    name = _name(spec, tuple(code))
    try:
        write_own(folder / f"{name}.l2o", _encode(code, name))
    except (OSError, UntrustedError):
        _unkept[name] = code


def load(spec: Spec, code: Code, entries: Sequence[str] = WHOLE) -> Kernel:
    """Return the kernel that was compiled to this code; entries that it lacks are compiled here, and added to it."""
    name = _name(spec, entries)
    module = ModuleType(name)
    module.__dict__.update(kernel.bind(spec))
    sys.modules[name] = module  # Numba looks it up there when it loads the machine code
    made, signatures = vars(module), kernel.signatures(spec)
    functions = {one.__name__: FunctionType(one.__code__, made, one.__name__) for one in kernel.DRIVER}
    # What the entries share becomes part of each: calling it instead costs 1 % of a meta-iteration.
    shared = inner(forceinline=True, fastmath={"contract"})
    made |= {name: shared(function) for name, function in functions.items() if name not in WHOLE}
    made_of = {entry: compiled(functions[entry], signatures[entry], code) for entry in entries}
    return Kernel(**{entry: made_of.get(entry, _lacking) for entry in WHOLE})


def _lacking(*_: object) -> NoReturn:
    raise RuntimeError("this kernel only goes forward")


# What a kernel is known by, and the file that it is kept in.


def _name(spec: Spec, entries: Sequence[str]) -> str:
    """Return a module name made of everything that the machine code depends on: shape, sources, compilers, CPU."""
    digest = hashlib.sha256()
    for source in _SOURCES:
        digest.update(source)
    digest.update(_SPEC.dump_json(spec) + repr(tuple(entries)).encode())
    digest.update(f"{numba.__version__} {llvmlite.__version__} {_SYMPY} {sys.version} {uses_svml()}".encode())
    digest.update(repr(kernel.target_cpu()).encode())
    return f"l2o_kernel_{digest.hexdigest()[:20]}"


def _find(spec: Spec, folder: Path, entries: Sequence[str]) -> Code | None:
    """Return the code that a folder holds of a kernel, or that this process has; None where it is to be compiled."""
    name = _name(spec, entries)
    try:
        content = read_own(folder / f"{name}.l2o", _MOST_BYTES)
    except (OSError, UntrustedError):
        content = b""
    return _decode(content, name, entries) or _unkept.get(name)


def _encode(code: Code, name: str) -> bytes:
    """Return a kernel as it is kept: a digest, then a line that says what follows, then the entries' code."""
    head = {"name": name, "entries": {entry: len(part) for entry, part in code.items()}}
    body = b"".join([json.dumps(head).encode(), b"\n", *code.values()])
    return _MAGIC + hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def _decode(content: bytes, name: str, entries: Sequence[str]) -> Code | None:
    """Return what :func:`_encode` was given; None if a single bit is not as it was, or it is of another kernel."""
    first, _, body = content.partition(b"\n")
    if first != _MAGIC + hashlib.sha256(body).hexdigest().encode():
        return None
    line, _, rest = body.partition(b"\n")
    head = json.loads(line)
    if head["name"] != name or list(head["entries"]) != list(entries):
        return None
    code, start = {}, 0
    for entry, size in head["entries"].items():
        code[entry] = rest[start : start + size]
        start += size
    return code


# The process that compiles.


def _environment() -> dict[str, str]:
    """Return the environment of the process that compiles: of Numba's settings only those that say for which CPU."""
    ours = {name: value for name, value in environment().items() if not name.startswith("NUMBA_")}
    return ours | settings_of_target()


def _main(spec: Spec, entries: Sequence[str]) -> None:
    """Compile a kernel and write it to stdout, as it is kept; whatever else is printed goes to stderr."""
    with os.fdopen(os.dup(1), "wb") as output:
        os.dup2(2, 1)
        output.write(_encode(compile_here(spec, entries), _name(spec, entries)))


if __name__ == "__main__":
    gc.disable()  # what a compiler makes is mostly kept: looking for what is not would take a tenth of the time
    _main(_SPEC.validate_json(sys.argv[1]), sys.argv[2:])
