"""Where compiled kernels are kept: known without what compiles them, which takes a second to be imported."""

import os
from pathlib import Path

from platformdirs import user_cache_path

CACHE_VARIABLE = "L2O_CACHE_DIR"


def cache_folder() -> Path:
    """Return where kernels are kept: ``L2O_CACHE_DIR``, or the user's cache folder. Safe to delete."""
    chosen = os.environ.get(CACHE_VARIABLE)
    return (Path(chosen).absolute() if chosen else user_cache_path("l2o-tui")) / "kernels"
