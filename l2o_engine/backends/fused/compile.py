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
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from types import FunctionType, ModuleType

import llvmlite
import numba
from platformdirs import user_cache_path
from pydantic import TypeAdapter

from l2o_engine.backends.fused import kernel
from l2o_engine.backends.fused.jit import inner
from l2o_engine.backends.fused.numba_private import Code, compiled, settings_of_target, uses_svml
from l2o_engine.backends.fused.spec import Spec
from l2o_engine.support.own_files import UntrustedError, read_own, write_own
from l2o_engine.support.processes import Child, environment, python_command

# Of every module of this package but the one that only calls the kernel, so that none can be forgotten. Read at import:
# a file that is edited under a running program must not mix with the code already loaded.
_SOURCES = [path.read_bytes() for path in sorted(Path(__file__).parent.rglob("[!.]*.py")) if path.name != "backend.py"]
_MAGIC = b"l2o kernel 1 "
_MOST_BYTES = 2**28
_SPEC = TypeAdapter(Spec)


class CompilationError(Exception):
    """A kernel could not be compiled. The message is the last thing that the compiler said."""


@dataclass(frozen=True)
class Kernel:
    """The entries of a compiled kernel; kernel.py documents their arguments."""

    meta_iterations: Callable[..., tuple[int, bool]]
    evaluate_losses: Callable[..., None]


_ENTRIES = [field.name for field in fields(Kernel)]
_unkept: dict[str, Code] = {}  # of kernels that could not be kept: this process compiles none of them twice


def cache_folder() -> Path:
    """Return where kernels are kept: ``L2O_CACHE_DIR``, or the user's cache folder. Safe to delete."""
    chosen = os.environ.get("L2O_CACHE_DIR")
    return (Path(chosen).absolute() if chosen else user_cache_path("l2o-tui")) / "kernels"


def is_compiled(spec: Spec, folder: Path) -> bool:
    """Return whether a folder holds a kernel, whole, and may be trusted; or this process has compiled it."""
    return _find(spec, folder) is not None


def get_kernel(spec: Spec, compiler: Child | None = None) -> Kernel:
    """Return the kernel for a shape: loaded, or first compiled, in another process so that a screen stays alive.

    It is kept if the folder may be trusted and written to; else it is compiled for this process alone.

    Parameters
    ----------
    spec
        The shape.
    compiler
        Where the process that compiles is ended from, if need be.

    Raises
    ------
    CompilationError
        If it cannot be compiled.
    """
    folder = cache_folder()
    found = _find(spec, folder)
    if found is not None:
        with suppress(Exception):  # what Numba may raise for what is ours and whole is open-ended: compile it again
            return load(spec, found)
    try:
        code = compile_in_child(spec, folder, compiler)
    except OSError:  # no process can be started: the interpreter is held for some seconds, better than no kernel
        code = {}
    return load(spec, code)


def compile_in_child(spec: Spec, folder: Path, compiler: Child | None = None) -> Code:
    """Compile a kernel in another process, and keep it in the folder if possible: compiling holds the interpreter.

    Raises
    ------
    CompilationError
        If it cannot be compiled.
    OSError
        If no process can be started.
    """
    command = python_command("l2o_engine.backends.fused.compile", _SPEC.dump_json(spec).decode())
    # Not in the folder that we work in, where Numba would look for settings.
    done = (compiler or Child()).run(command, environment=_environment(), folder=Path("/"))
    code = _decode(done.stdout, _name(spec))
    if code is None:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise CompilationError(said[-1] if said else f"the compiling process ended with {done.returncode}")
    keep(spec, code, folder)
    return code


def compile_here(spec: Spec) -> Code:
    """Compile a kernel in this process, which does nothing else for some seconds."""
    code: Code = {}
    load(spec, code)
    return {entry: code[entry] for entry in _ENTRIES}


def keep(spec: Spec, code: Code, folder: Path) -> None:
    """Keep a compiled kernel in the folder; if that may not be trusted or written to, in this process."""
    try:
        write_own(folder / _file_name(spec), _encode(code, _name(spec)))
    except (OSError, UntrustedError):
        _unkept[_name(spec)] = code


def load(spec: Spec, code: Code) -> Kernel:
    """Return the kernel that was compiled to this code; entries that it lacks are compiled here, and added to it."""
    name = _name(spec)
    module = ModuleType(name)
    module.__dict__.update(kernel.bind(spec))
    sys.modules[name] = module  # Numba looks it up there when it loads the machine code
    made, signatures = vars(module), kernel.signatures(spec)
    functions = {one.__name__: FunctionType(one.__code__, made, one.__name__) for one in kernel.DRIVER}
    # What the entries share becomes part of each: calling it instead costs 1 % of a meta-iteration.
    shared = inner(forceinline=True, fastmath={"contract"})
    made |= {name: shared(function) for name, function in functions.items() if name not in _ENTRIES}
    return Kernel(**{entry: compiled(functions[entry], signatures[entry], code) for entry in _ENTRIES})


# What a kernel is known by, and the file that it is kept in.


def _name(spec: Spec) -> str:
    """Return a module name made of everything that the machine code depends on: shape, sources, compilers, CPU."""
    digest = hashlib.sha256()
    for source in _SOURCES:
        digest.update(source)
    digest.update(_SPEC.dump_json(spec))
    digest.update(f"{numba.__version__} {llvmlite.__version__} {sys.version} {uses_svml()}".encode())
    digest.update(repr(kernel.target_cpu()).encode())
    return f"l2o_kernel_{digest.hexdigest()[:20]}"


def _file_name(spec: Spec) -> str:
    return f"{_name(spec)}.l2o"


def _find(spec: Spec, folder: Path) -> Code | None:
    """Return the code that a folder holds of a kernel, or that this process has; None where it is to be compiled."""
    try:
        content = read_own(folder / _file_name(spec), _MOST_BYTES)
    except (OSError, UntrustedError):
        content = b""
    return _decode(content, _name(spec)) or _unkept.get(_name(spec))


def _encode(code: Code, name: str) -> bytes:
    """Return a kernel as it is kept: a digest, then a line that says what follows, then the entries' code."""
    head = {"name": name, "entries": {entry: len(part) for entry, part in code.items()}}
    body = b"".join([json.dumps(head).encode(), b"\n", *code.values()])
    return _MAGIC + hashlib.sha256(body).hexdigest().encode() + b"\n" + body


def _decode(content: bytes, name: str) -> Code | None:
    """Return what :func:`_encode` was given; None if a single bit is not as it was, or it is of another kernel."""
    first, _, body = content.partition(b"\n")
    if first != _MAGIC + hashlib.sha256(body).hexdigest().encode():
        return None
    line, _, rest = body.partition(b"\n")
    head = json.loads(line)
    if head["name"] != name or list(head["entries"]) != _ENTRIES:
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


def _main(spec: Spec) -> None:
    """Compile a kernel and write it to stdout, as it is kept; whatever else is printed goes to stderr."""
    with os.fdopen(os.dup(1), "wb") as output:
        os.dup2(2, 1)
        output.write(_encode(compile_here(spec), _name(spec)))


if __name__ == "__main__":
    gc.disable()  # what a compiler makes is mostly kept: looking for what is not would take a tenth of the time
    _main(_SPEC.validate_json(sys.argv[1]))
