"""The exit codes: one home, which says what the page of the command line says."""

import re
import signal
from pathlib import Path
from typing import get_args

import pytest

from l2o_engine.records.events import Status
from l2o_tui import exit_codes

PAGE = Path(__file__).parents[2] / "docs" / "command-line.md"


def test_the_page_says_which_there_are() -> None:
    (said,) = re.findall(r"Exit codes: (.+?) after a checkpoint\.", " ".join(PAGE.read_text(encoding="utf-8").split()))
    assert {signal.SIGHUP, signal.SIGINT, signal.SIGTERM} < set(exit_codes.SIGNALS)
    codes = ", ".join(str(exit_codes.of_signal(number)) for number in exit_codes.SIGNALS[:-1])
    names = ", ".join(number.name for number in exit_codes.SIGNALS[:-1])
    last = exit_codes.SIGNALS[-1]
    assert said == (
        f"{exit_codes.DONE} finished, {exit_codes.FAILED} failed, {exit_codes.USAGE} wrong usage or preset, "
        f"{exit_codes.DIVERGED} diverged beyond the preset's policy, "
        f"{codes} and {exit_codes.of_signal(last)} ended by {names} and {last.name},"
    )


@pytest.mark.parametrize("status", get_args(Status))
def test_every_status_has_one_and_only_a_finished_run_has_done_what_was_asked_for(status: str) -> None:
    assert (exit_codes.of_status(status) == exit_codes.DONE) == (status == "finished")
    assert (exit_codes.of_status(status) == exit_codes.DIVERGED) == (status == "diverged")


@pytest.mark.parametrize("phase", ["loading", *get_args(Status)])
def test_a_screen_that_is_left_tells_only_what_went_wrong(phase: str) -> None:
    wrong = {"failed": exit_codes.FAILED, "diverged": exit_codes.DIVERGED}
    assert exit_codes.of_left(phase) == wrong.get(phase, exit_codes.DONE)
