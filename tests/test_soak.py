"""What lasts is done in `make soak` alone, and for no longer than it may take."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import soak

ROOT = Path(__file__).parents[1]


@pytest.mark.soak
def test_what_is_marked_runs_in_a_soak() -> None:
    assert not soak.is_over()


def test_how_often_something_is_done_goes_with_the_length(monkeypatch: pytest.MonkeyPatch) -> None:
    for minutes, expected in ((25.0, 500), (50.0, 1000), (0.01, 1)):
        monkeypatch.setattr(soak, "MINUTES", minutes)
        assert soak.times(500) == expected


@pytest.mark.parametrize(
    ("options", "minutes", "outcome"),
    [([], "25", "deselected"), (["-m", "soak"], "25", "1 passed"), (["-m", "soak"], "0", "1 skipped")],
)
def test_only_a_soak_runs_what_is_marked_and_only_while_there_is_time(
    options: list[str], minutes: str, outcome: str
) -> None:
    told = {name: value for name, value in os.environ.items() if not name.startswith(("L2O_SOAK", "PYTEST"))}
    marked = f"{Path(__file__).name}::{test_what_is_marked_runs_in_a_soak.__name__}"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n0", "-p", "no:cacheprovider", *options, f"tests/{marked}"],
        cwd=ROOT,
        env=told | {"L2O_SOAK_MINUTES": minutes},
        capture_output=True,
        text=True,
        check=False,
    )
    assert outcome in done.stdout
