"""docs/reliability.md: what was tried is counted, what went wrong is not hidden."""

from tests import soak
from tests.reliability.book import Entry
from tests.reliability.page import page

TRIES = [
    Entry("killed", "LD_PRELOAD: SIGKILL", "write metrics.csv", "", 120, 0.25, "tests/a.py::test_a[x]"),
    Entry("killed", "LD_PRELOAD: SIGKILL", "rename run.json", "", 7, 0.5, "tests/a.py::test_a[y]"),
    Entry("damaged", "a bit is flipped", "a | b", "metrics.csv differs\x1b[1m", 0, 0.0, "tests/a.py::test_b"),
]
TOLD = [
    soak.Told("tests/a.py::test_a[x]", "passed", 2.4, ""),
    soak.Told("tests/a.py::test_a[y]", "skipped", 0.0, "Skipped: no C compiler"),
]


def test_tries_are_counted_and_the_greatest_loss_is_told() -> None:
    text = page(TRIES, TOLD, "made today")
    assert (
        "| killed | LD_PRELOAD: SIGKILL | 2 | 2 | 120 meta-iterations, 0.50 s | `pytest -m soak tests/a.py::test_a` |"
        in text
    )
    assert "| `write metrics.csv` | 1 |" in text
    assert "| `tests/a.py::test_a` | 1 | 0 | 1 | 2 |" in text


def test_what_was_not_survived_is_said_and_cannot_write_the_page() -> None:
    text = page(TRIES, TOLD, "made today")
    assert "| damaged | a bit is flipped | 1 | 0 | nothing | `pytest -m soak tests/a.py::test_b` |" in text
    assert "- 1 times, damaged: `metrics.csv differs [1m`" in text
    assert "- skipped: Skipped: no C compiler" in text
