"""Compiling a kernel, once for each shape of preset, and keeping it on disk.

Numba's ``cache=True`` keys a function by its source file and its closure, and a closure over other compiled functions
never hits: they are pickled with a fresh identity. So the driver's source text is written to a module of its own,
named after everything that the machine code depends on, where its callees are globals, which are no part of Numba's
key; Numba then keeps the machine code of the module's entries beside it. Without a usable folder the same text is
compiled in memory.
"""

import gc
import hashlib
import importlib.util
import inspect
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import llvmlite
import numba
from platformdirs import user_cache_path

from l2o_engine.backends.fused import kernel
from l2o_engine.backends.fused.spec import Spec

# Of every module of this package but the one that only calls the kernel, so that none can be forgotten. Read at import:
# a file that is edited under a running program must not mix with the code already loaded.
_SOURCES = [path.read_bytes() for path in sorted(Path(__file__).parent.rglob("[!.]*.py")) if path.name != "backend.py"]
_DRIVER = {function.__name__: inspect.getsource(function) for function in kernel.DRIVER}


@dataclass(frozen=True)
class Kernel:
    """The entries of a compiled kernel; kernel.py documents their arguments."""

    meta_iterations: Callable[..., tuple[int, bool]]
    evaluate_losses: Callable[..., None]


_ENTRIES = [field.name for field in fields(Kernel)]


def cache_folder() -> Path:
    """Return where kernels are kept: ``L2O_CACHE_DIR``, or the user's cache folder. Safe to delete."""
    chosen = os.environ.get("L2O_CACHE_DIR")
    return (Path(chosen) if chosen else user_cache_path("l2o-tui")) / "kernels"


def is_compiled(spec: Spec, folder: Path) -> bool:
    """Return whether a kernel is in a folder, with all of its entries."""
    name, kept = _name(spec), folder / "__pycache__"
    return all(any(kept.glob(f"{name}.{entry}-*.nbc")) for entry in _ENTRIES)


def get_kernel(spec: Spec) -> Kernel:
    """Return the kernel for a shape: loaded, or first compiled, in another process so that a screen stays alive.

    Where the cache folder cannot be written to, the kernel is compiled for this once in a temporary one.
    """
    folder = cache_folder()
    if is_compiled(spec, folder):
        return load(spec, folder)
    if _is_writable(folder):
        compile_in_child(spec, folder)
        return load(spec, folder)
    with tempfile.TemporaryDirectory() as temporary:
        compile_in_child(spec, Path(temporary))
        return load(spec, Path(temporary))


def _is_writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK)


def load(spec: Spec, folder: Path) -> Kernel:
    """Return the kernel: from the folder if it is there, else compiled (some seconds), and kept if possible."""
    for _ in range(2):
        try:
            return _load_from(spec, folder)
        except Exception:  # noqa: BLE001 (what Numba raises for a truncated or unwritable cache is open-ended)
            # A true error of compilation comes again below, where it is not caught.
            sys.modules.pop(_name(spec), None)
            if not _discard(spec, folder):
                break
    namespace: dict[str, Any] = {"__name__": "l2o_kernel_in_memory"}
    exec(compile(_module_text(spec, cache=False), "<kernel>", "exec"), namespace)  # noqa: S102 (our own text)
    return _kernel_of(namespace)


def compile_in_child(spec: Spec, folder: Path) -> None:
    """Compile a kernel in another process, which keeps it in the folder: compiling holds the interpreter for seconds.

    Whatever goes wrong there comes again, as an exception, when the kernel is loaded here.
    """
    command = [sys.executable, "-P", "-m", "l2o_engine.backends.fused.compile", json.dumps(asdict(spec)), str(folder)]
    # A session of its own: ctrl+c on the terminal is for us to answer, not for the child.
    with suppress(OSError):
        subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, check=False, start_new_session=True)


def _name(spec: Spec) -> str:
    """Return a module name made of everything that the machine code depends on: shape, sources, compilers, CPU."""
    digest = hashlib.sha256()
    for source in _SOURCES:
        digest.update(source)
    digest.update(json.dumps(asdict(spec)).encode())
    digest.update(f"{numba.__version__} {llvmlite.__version__} {sys.version}".encode())
    digest.update(repr(kernel.target_cpu()).encode())
    return f"l2o_kernel_{digest.hexdigest()[:20]}"


def _module_text(spec: Spec, *, cache: bool) -> str:
    text = (
        '"""Generated by l2o_engine.backends.fused.compile; safe to delete."""\n\n'
        "from numba import njit\n\n"
        "from l2o_engine.backends.fused.jit import inner\n"
        "from l2o_engine.backends.fused.kernel import bind, signatures\n"
        "from l2o_engine.backends.fused.spec import Spec\n\n"
        f"SPEC = Spec(**{asdict(spec)!r})\n"
        "SIGNATURES = signatures(SPEC)\n"
        "globals().update(bind(SPEC))\n"
    )
    entry = f"njit(SIGNATURES[{{name!r}}], cache={cache}, nogil=True, error_model='numpy', fastmath={{{{'contract'}}}})"
    for name, source in _DRIVER.items():
        # What the entries share becomes part of each: calling it instead costs 1 % of a meta-iteration.
        decorator = entry.format(name=name) if name in _ENTRIES else "inner(forceinline=True, fastmath={'contract'})"
        text += f"\n\n@{decorator}\n{source}"
    return text


def _load_from(spec: Spec, folder: Path) -> Kernel:
    path = folder / f"{_name(spec)}.py"
    text = _module_text(spec, cache=True)
    if path.exists() and not os.access(folder, os.W_OK):
        # Numba will not even read a cache beside a file that it could not write. So a read-only, filled folder (a
        # shared installation) is used by way of a copy, which is not needed once the code is loaded.
        with tempfile.TemporaryDirectory() as writable:
            for file in [path, *(folder / "__pycache__").glob(f"{path.stem}.*.nb?")]:
                copy = Path(writable, file.relative_to(folder))
                copy.parent.mkdir(exist_ok=True)
                shutil.copy2(file, copy)
            return _import_file(Path(writable, path.name))
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        folder.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=folder, suffix=".tmp")
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
        Path(temporary).chmod(0o644)  # mkstemp's 0600 would hide it from other users of a shared folder
        Path(temporary).replace(path)  # whole or not at all, whoever else is writing it
    return _import_file(path)


def _import_file(path: Path) -> Kernel:
    module_spec = importlib.util.spec_from_file_location(path.stem, path)
    if module_spec is None or module_spec.loader is None:
        raise ImportError(f"cannot import {path}")
    module = importlib.util.module_from_spec(module_spec)
    sys.modules[path.stem] = module  # Numba looks it up there when it loads the machine code
    module_spec.loader.exec_module(module)
    return _kernel_of(vars(module))


def _kernel_of(namespace: dict[str, Any]) -> Kernel:
    return Kernel(**{entry: namespace[entry] for entry in _ENTRIES})


def _discard(spec: Spec, folder: Path) -> bool:
    """Remove a damaged entry; return whether there was one that could be removed."""
    try:
        files = list((folder / "__pycache__").glob(f"{_name(spec)}.*"))
        for file in files:
            file.unlink(missing_ok=True)
    except OSError:
        return False
    return bool(files)


if __name__ == "__main__":
    gc.disable()  # what a compiler makes is mostly kept: looking for what is not would take a tenth of the time
    load(Spec(**json.loads(sys.argv[1])), Path(sys.argv[2]))
