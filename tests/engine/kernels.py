"""Compiled kernels for tests: made side by side, and kept from one run of the tests to the next."""

import gc
import hashlib
import os
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from fcntl import LOCK_EX, flock
from functools import partial
from multiprocessing import get_context
from pathlib import Path

from l2o_engine.backends.compiled.compile import compile_here, is_compiled, keep
from l2o_engine.backends.compiled.place import cache_folder
from l2o_engine.backends.fused.spec import Spec, spec_of
from l2o_engine.presets.schema import Preset


def compile_kernels(presets: Iterable[Preset]) -> None:
    """Compile the kernels that these presets need and that are not compiled yet, on all cores."""
    folder = cache_folder()
    missing = {spec for spec in (spec_of(preset.experiment) for preset in presets) if not is_compiled(spec, folder)}
    if not missing:
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    # Processes that compile one after the other: an interpreter that has loaded Numba once need not do so again.
    workers = min(os.cpu_count() or 1, len(missing))
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn"), initializer=gc.disable) as pool:
        list(pool.map(partial(_compile, folder=folder), missing))


def _compile(spec: Spec, folder: Path) -> None:
    """Compile a kernel, unless another process of the tests has just done so: who comes later waits for it."""
    with (folder.parent / f"{hashlib.sha256(repr(spec).encode()).hexdigest()[:20]}.lock").open("w") as lock:
        flock(lock, LOCK_EX)
        if not is_compiled(spec, folder):
            keep(spec, compile_here(spec), folder)
