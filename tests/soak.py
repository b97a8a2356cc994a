"""`make soak`: how much of it, and for how long. Its tests are marked ``@pytest.mark.soak`` and run nowhere else.

``L2O_SOAK_MINUTES`` says how long all of them together may take. Who repeats something asks :func:`times` how often,
and :func:`is_over` before each one: a slow machine does less, not longer.
"""

import os
from time import monotonic

MINUTES = float(os.environ.get("L2O_SOAK_MINUTES", "25"))
_USUAL = 25.0
_UNTIL = "L2O_SOAK_UNTIL"


def times(usual: int) -> int:
    """Return how often to do what is done so often in a soak of the usual length; at least once."""
    return max(1, round(usual * MINUTES / _USUAL))


def begin() -> None:
    """Start the clock, for this process and those that it starts; it goes on where it has been started before."""
    os.environ.setdefault(_UNTIL, str(monotonic() + 60 * MINUTES))  # Linux's and macOS's is one for all processes


def is_over() -> bool:
    """Return whether the time is up."""
    return monotonic() > float(os.environ[_UNTIL])
