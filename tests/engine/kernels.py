"""Compiled kernels for tests: made side by side, and kept from one run of the tests to the next."""

import os
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor

from l2o_engine.backends.fused.compile import cache_folder, compile_in_child, is_compiled
from l2o_engine.backends.fused.spec import spec_of
from l2o_engine.presets.schema import Preset


def compile_kernels(presets: Iterable[Preset]) -> None:
    """Compile the kernels that these presets need and that are not compiled yet, on all cores."""
    folder = cache_folder()
    missing = {spec for spec in (spec_of(preset.experiment) for preset in presets) if not is_compiled(spec, folder)}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(lambda spec: compile_in_child(spec, folder), missing))
