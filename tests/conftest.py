"""What every test shares: how hypothesis runs here, the files' order, signals, and the time that a soak may take."""

import os
import signal
from pathlib import Path

import pytest
from hypothesis import settings

from tests import soak

# Compiled kernels are kept between runs, apart from the user's own.
os.environ.setdefault("L2O_CACHE_DIR", str(Path(__file__).parents[1] / ".pytest_cache" / "l2o"))

# The same examples every time, so that a change is what makes a test fail; no deadlines, for machines differ.
settings.register_profile("fixed", deadline=None, derandomize=True, max_examples=50)
# `make fuzz`: others every time. What fails is printed with how to see it again.
settings.register_profile("fuzz", deadline=None, max_examples=500, print_blob=True)
settings.load_profile(os.environ.get("L2O_HYPOTHESIS", "fixed"))

# As the program does for its own process: several tests side by side must not each take all cores for tiny tensors.
os.environ.setdefault("OMP_NUM_THREADS", "1")


def pytest_xdist_auto_num_workers() -> int:
    """Return how many processes test: one more than there are cores, for on real terminals one mostly waits."""
    return (os.cpu_count() or 1) + 1


# The files that take longest, the longest first: a worker that takes one up last would test alone in the end.
_LONGEST = (
    "reliability/test_kills.py",  # of a soak, which may have no time for all
    "engine/backends/test_golden.py",
    "engine/backends/test_fused.py",
    "reliability/test_quick.py",
    "tui/screens/test_home.py",
    "engine/live/test_session.py",
    "tui/commands/test_reproduce.py",
    "tui/commands/test_terminal.py",
    "tui/commands/test_bench.py",
    "tui/screens/test_training.py",
    "tui/screens/test_snapshots.py",
    "tui/screens/test_colours.py",
    "tui/commands/test_signals.py",
    "engine/test_library.py",
    "fuzz/test_fuzz.py",
    "tui/commands/test_cli_export.py",
    "tui/text/test_headless.py",
    "tui/commands/test_reproduce_episode3.py",
    "engine/live/test_watcher.py",
    "tui/commands/test_surroundings.py",
    "test_imports.py",
    "engine/tasks/test_tasks.py",
    "tui/screens/test_room.py",
    "tui/screens/test_evaluate.py",
    "tui/commands/test_cli.py",
    "engine/studies/test_reproduction.py",
    "tui/screens/test_hostile_screens.py",
    "tui/test_imports.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let the longest files come first; a file's own tests keep their order."""
    places = {name: place for place, name in enumerate(_LONGEST)}
    tests = Path(__file__).parent
    items.sort(key=lambda item: places.get(item.path.relative_to(tests).as_posix(), len(places)))


def pytest_configure() -> None:
    """Hear the signals that tests send: processes that they start would ignore what a background job ignores."""
    soak.begin()
    for number in (signal.SIGINT, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Begin nothing of a soak whose time is up."""
    if item.get_closest_marker("soak") and soak.is_over():
        pytest.skip(f"the soak's {soak.MINUTES:g} minutes are over (L2O_SOAK_MINUTES)")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Keep how the tests of a soak ended, once, in the process that has started the others."""
    is_end = report.when == "call" or (report.when == "setup" and not report.passed)
    if "soak" in report.keywords and is_end and "PYTEST_XDIST_WORKER" not in os.environ:
        reason = str(report.longrepr[2]) if isinstance(report.longrepr, tuple) else ""
        soak.keep(soak.Told(report.nodeid, report.outcome, round(report.duration, 1), reason))
