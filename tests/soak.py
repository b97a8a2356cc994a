"""`make soak`: how much of it, and for how long. Its tests are marked ``@pytest.mark.soak`` and run nowhere else.

``L2O_SOAK_MINUTES`` says how long all of them together may take. Who repeats something asks :func:`times` how often,
and :func:`is_over` before each one: a slow machine does less, not longer.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic

USUAL_MINUTES = 25.0
MINUTES = float(os.environ.get("L2O_SOAK_MINUTES", USUAL_MINUTES))
FOLDER = Path(os.environ.get("L2O_SOAK_FOLDER", Path(__file__).parents[1] / ".pytest_cache" / "soak"))
"""Where a soak keeps what it has found; `make soak` empties it first."""
_UNTIL = "L2O_SOAK_UNTIL"
_TOLD = FOLDER / "tests.jsonl"


def times(usual: int) -> int:
    """Return how often to do what is done so often in a soak of the usual length; at least once."""
    return max(1, round(usual * MINUTES / USUAL_MINUTES))


def begin() -> None:
    """Start the clock, for this process and those that it starts; it goes on where it has been started before."""
    os.environ.setdefault(_UNTIL, str(monotonic() + 60 * MINUTES))  # Linux's and macOS's is one for all processes


def is_over() -> bool:
    """Return whether the time is up."""
    return monotonic() > float(os.environ[_UNTIL])


@dataclass(frozen=True)
class Told:
    """How a test of the soak ended: "passed", "failed" or "skipped", and why it was skipped."""

    test: str
    outcome: str
    seconds: float
    reason: str


def keep(told: Told) -> None:
    """Keep how a test ended."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with _TOLD.open("a", encoding="utf-8") as file:
        file.write(json.dumps(asdict(told)) + "\n")


def told() -> Iterator[Told]:
    """Yield how the last soak's tests ended."""
    lines = _TOLD.read_text(encoding="utf-8").splitlines() if _TOLD.exists() else []
    yield from (Told(**json.loads(line)) for line in lines)
