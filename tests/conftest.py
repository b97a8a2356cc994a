"""What every test shares: how hypothesis runs here."""

import os
from pathlib import Path

from hypothesis import settings

# Compiled kernels are kept between runs, apart from the user's own.
os.environ.setdefault("L2O_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "l2o"))

# The same examples every time, so that a change is what makes a test fail; no deadlines, for machines differ.
settings.register_profile("l2o", deadline=None, derandomize=True, max_examples=50)
settings.load_profile("l2o")


def pytest_xdist_auto_num_workers() -> int:
    """Return how many processes test: one more than there are cores, for on real terminals one mostly waits."""
    return (os.cpu_count() or 1) + 1
