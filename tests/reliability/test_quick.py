"""Some of everything, in `make test`: some kills, bad disks, signals. `make soak` does the rest."""

import pytest

from tests.reliability.laboratory import Laboratory
from tests.reliability.test_disks import remove_while_training, strike, strike_on_screen
from tests.reliability.test_ends import interrupt
from tests.reliability.test_kills import resume, run, strike_at_random, strike_everywhere


def test_killed_at_some_file_calls_a_run_goes_on_as_if_nothing_had_happened(laboratory: Laboratory) -> None:
    strike_everywhere(laboratory, "fused", run, "killed at a file call of a run", most=7)


def test_killed_at_some_file_calls_of_resume_it_goes_on(laboratory: Laboratory) -> None:
    strike_everywhere(laboratory, "fused", resume, "killed at a file call of resume", most=3)


def test_killed_at_some_moments_it_goes_on(laboratory: Laboratory) -> None:
    strike_at_random(laboratory, "fused, 3 seeds", 3)


@pytest.mark.parametrize(("name", "first"), [("ENOSPC", 40), ("EROFS", 25), ("EIO", 9)])
def test_a_bad_disk_is_one_message_and_a_run_that_goes_on(name: str, first: int, laboratory: Laboratory) -> None:
    strike(laboratory, "fused", name, first)


@pytest.mark.parametrize("path", ["/metrics.csv", "/checkpoints/*"])
def test_under_the_screen_a_full_disk_pauses(path: str, laboratory: Laboratory) -> None:
    strike_on_screen(laboratory, "ENOSPC", 3, path=path)


def test_a_folder_that_disappears_is_told_once_and_not_made_again(laboratory: Laboratory) -> None:
    remove_while_training(laboratory, terminal=False)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
def test_a_signal_saves_first(name: str, laboratory: Laboratory) -> None:
    interrupt(laboratory, name)
