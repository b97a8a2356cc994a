"""Compiling a kernel, once for each shape of preset, in another process, and keeping it on disk.

The driver's functions of a kernel's module are taken with the names that its ``bind`` makes for one shape as their
globals, in a module of their own, which is named after everything that the machine code depends
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
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from types import FunctionType, ModuleType, SimpleNamespace
from typing import Any, NoReturn, TypeAlias

import llvmlite
import numba
from pydantic import TypeAdapter

from l2o_engine.backends.compiled.jit import inner
from l2o_engine.backends.compiled.numba_private import Code, compiled, settings_of_target, uses_svml
from l2o_engine.backends.compiled.place import cache_folder
from l2o_engine.backends.compiled.shape import Shape
from l2o_engine.backends.compiled.vectors import target_cpu
from l2o_engine.support.own_files import UntrustedError, read_own, why_not_kept, write_own
from l2o_engine.support.processes import Child, environment, python_command

_MAGIC = b"l2o kernel 1 "
_MOST_BYTES = 2**28


class CompilationError(Exception):
    """A kernel could not be compiled. The message is the last thing that the compiler said."""


Kernel: TypeAlias = SimpleNamespace
"""The entries of a compiled kernel, by their names; its module documents their arguments. One that it lacks raises."""

_MOST_LOADED = 8
_loaded: dict[tuple[str, bytes], Kernel] = {}  # by name and digest: to load one takes tens of milliseconds
_unkept: dict[str, Code] = {}  # of kernels that could not be kept: this process compiles none of them twice


def why_compiled_each_time() -> str:
    """Return why a kernel that is compiled now will not be there the next time; an empty string if it will."""
    return why_not_kept(cache_folder())


def is_compiled(shape: Shape, folder: Path, entries: Sequence[str] = ()) -> bool:
    """Return whether a folder holds a kernel, whole, and may be trusted; or this process has compiled it."""
    return _find(shape, folder, _named(shape, entries)) is not None


def get_kernel(shape: Shape, compiler: Child | None = None, entries: Sequence[str] = ()) -> Kernel:
    """Return the kernel for a shape: loaded, or first compiled, in another process so that a screen stays alive.

    It is kept if the folder may be trusted and written to; else it is compiled for this process alone.

    Parameters
    ----------
    shape
        What it is compiled for.
    compiler
        Where the process that compiles is ended from, if need be.
    entries
        What it is to have; everything, if not given.

    Raises
    ------
    CompilationError
        If it cannot be compiled.
    """
    folder, entries = cache_folder(), _named(shape, entries)
    found = _find(shape, folder, entries)
    if found is not None:
        with suppress(Exception):  # what Numba may raise for what is ours and whole is open-ended: compile it again
            return _load_once(shape, found, entries)
    try:
        code = compile_in_child(shape, folder, compiler, entries)
    except OSError:  # no process can be started: the interpreter is held for some seconds, better than no kernel
        code = {}
    return load(shape, code, entries)


def compile_in_child(shape: Shape, folder: Path, compiler: Child | None = None, entries: Sequence[str] = ()) -> Code:
    """Compile a kernel in another process, and keep it in the folder if possible: compiling holds the interpreter.

    Raises
    ------
    CompilationError
        If it cannot be compiled.
    OSError
        If no process can be started.
    """
    entries = _named(shape, entries)
    command = python_command(__spec__.name, shape.kernel, _adapter(shape.kernel).dump_json(shape).decode(), *entries)
    # Not in the folder that we work in, where Numba would look for settings.
    done = (compiler or Child()).run(command, environment=_environment(), folder=Path("/"))
    code = _decode(done.stdout, _name(shape, entries), entries)
    if code is None:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise CompilationError(said[-1] if said else f"the compiling process ended with {done.returncode}")
    keep(shape, code, folder)
    return code


def compile_here(shape: Shape, entries: Sequence[str] = ()) -> Code:
    """Compile a kernel in this process, which does nothing else for some seconds."""
    code: Code = {}
    load(shape, code, entries)
    return {entry: code[entry] for entry in _named(shape, entries)}


def keep(shape: Shape, code: Code, folder: Path) -> None:
    """Keep a compiled kernel in the folder; if that may not be trusted or written to, in this process."""
    name = _name(shape, tuple(code))
    try:
        write_own(folder / f"{name}.l2o", _encode(code, name))
    except (OSError, UntrustedError):
        _unkept[name] = code


def load(shape: Shape, code: Code, entries: Sequence[str] = ()) -> Kernel:
    """Return the kernel that was compiled to this code; entries that it lacks are compiled here, and added to it."""
    kernel, entries = import_module(shape.kernel), _named(shape, entries)
    name = _name(shape, entries)
    module = ModuleType(name)
    module.__dict__.update(kernel.bind(shape))
    sys.modules[name] = module  # Numba looks it up there when it loads the machine code
    made, signatures = vars(module), kernel.signatures(shape)
    functions = {one.__name__: FunctionType(one.__code__, made, one.__name__) for one in kernel.DRIVER}
    # What the entries call becomes part of each: calling it instead costs 1 % of a meta-iteration. The INLINED do so
    # before they are compiled, the others after: a small one that is called often would be compiled as often.
    for called, function in functions.items():
        if called not in kernel.ENTRIES:
            becomes_part: dict[str, Any] = {"inline": "always"} if called in kernel.INLINED else {"forceinline": True}
            made[called] = inner(fastmath={"contract"}, **becomes_part)(function)
    made_of = {entry: compiled(functions[entry], signatures[entry], code) for entry in entries}
    return Kernel(**{entry: made_of.get(entry, _lacking) for entry in kernel.ENTRIES})


def _load_once(shape: Shape, code: Code, entries: Sequence[str]) -> Kernel:
    """Return the kernel of this code, which a process that does one run after the other has mostly loaded before."""
    digest = hashlib.sha256()
    for part in code.values():
        digest.update(part)
    key = _name(shape, entries), digest.digest()
    kernel = _loaded.get(key)
    if kernel is None:
        kernel = load(shape, code, entries)
        if len(_loaded) >= _MOST_LOADED:
            _loaded.clear()
        _loaded[key] = kernel
    return kernel


def _named(shape: Shape, entries: Sequence[str]) -> tuple[str, ...]:
    """Return the names of entries, those of all of a kernel if none are given."""
    return tuple(entries) or import_module(shape.kernel).ENTRIES


def _lacking(*_: object) -> NoReturn:
    raise RuntimeError("this kernel only goes forward")


# What a kernel is known by, and the file that it is kept in.


def _name(shape: Shape, entries: Sequence[str]) -> str:
    """Return a module name made of everything that the machine code depends on: shape, sources, compilers, CPU."""
    kernel, digest = import_module(shape.kernel), hashlib.sha256()
    for source in kernel.SOURCES:
        digest.update(source)
    digest.update(_adapter(shape.kernel).dump_json(shape) + repr(tuple(entries)).encode())
    digest.update(f"{numba.__version__} {llvmlite.__version__} {kernel.VERSIONS} {sys.version} {uses_svml()}".encode())
    digest.update(repr(target_cpu()).encode())
    return f"l2o_kernel_{digest.hexdigest()[:20]}"


def _find(shape: Shape, folder: Path, entries: Sequence[str]) -> Code | None:
    """Return the code that a folder holds of a kernel, or that this process has; None where it is to be compiled."""
    name = _name(shape, entries)
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


@cache
def _adapter(kernel: str) -> TypeAdapter[Any]:
    """Return what writes and reads the shapes of a kernel's module as JSON."""
    return TypeAdapter(import_module(kernel).SHAPE)


# The process that compiles.


def _environment() -> dict[str, str]:
    """Return the environment of the process that compiles: of Numba's settings only those that say for which CPU."""
    ours = {name: value for name, value in environment().items() if not name.startswith("NUMBA_")}
    return ours | settings_of_target()


def _main(shape: Shape, entries: Sequence[str]) -> None:
    """Compile a kernel and write it to stdout, as it is kept; whatever else is printed goes to stderr."""
    with os.fdopen(os.dup(1), "wb") as output:
        os.dup2(2, 1)
        output.write(_encode(compile_here(shape, entries), _name(shape, entries)))


if __name__ == "__main__":
    gc.disable()  # what a compiler makes is mostly kept: looking for what is not would take a tenth of the time
    _main(_adapter(sys.argv[1]).validate_json(sys.argv[2]), sys.argv[3:])
