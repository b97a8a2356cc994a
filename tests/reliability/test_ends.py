"""Signals: a checkpoint first, then the exit code that shells know; resumed, nothing has been lost."""

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from l2o_engine.runs.metrics_file import last_iteration
from tests import soak
from tests.reliability.laboratory import Laboratory
from tests.reliability.outcome import Loss, loss_of, status_of, wait_until_free
from tests.reliability.program import Process

SIGNALS = ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU")


def interrupt(laboratory: Laboratory, name: str, *, times: int = 1, terminal: bool = False) -> None:
    """Send a signal to a run in the middle, so many times at once, and go on with it."""
    experiment, folder = laboratory.experiment("torch"), laboratory.new()
    process = laboratory.run(experiment, folder, terminal=terminal)
    process.wait_until(lambda: last_iteration(folder / "metrics.csv") > 20)
    number = signal.Signals[name]
    for _ in range(times):
        process.signal(number)
    process.wait()
    is_handed_over = terminal and name == "SIGHUP"
    if is_handed_over:
        wait_until_free(folder)
    loss = loss_of(folder)
    also = [*_wrong_with(process, folder, number, loss, is_handed_over=is_handed_over)]
    screen = "under the screen" if terminal else "no screen"
    often = "" if times == 1 else ", twice at once"
    laboratory.settle(
        process,
        experiment,
        folder,
        fault=f"{name}{often}, {screen}",
        how="kill, in the middle of training",
        place="at some meta-iteration",
        loss=loss,
        also=also,
    )


def _wrong_with(
    process: Process, folder: Path, number: signal.Signals, loss: Loss, *, is_handed_over: bool
) -> Iterator[str]:
    status = status_of(folder)
    if process.code != 128 + number and not (process.code == 0 and status == "finished"):
        yield f"it ended with {process.code}, not {128 + number}"
    if loss.rows:
        yield f"{loss.rows} meta-iterations were not saved"
    if status not in ("interrupted", "finished") or (is_handed_over and status != "finished"):
        yield f"it is {status}"
    if process.terminal and not is_handed_over and "\x1b[?1049l" not in process.screen:
        yield "the terminal was left in the alternate screen"


@pytest.mark.soak
@pytest.mark.parametrize("terminal", [False, True], ids=["no screen", "screen"])
@pytest.mark.parametrize("name", SIGNALS)
def test_every_signal_saves_first(name: str, terminal: bool, laboratory: Laboratory) -> None:
    for _ in range(soak.times(3)):
        interrupt(laboratory, name, terminal=terminal)


@pytest.mark.soak
@pytest.mark.parametrize("terminal", [False, True], ids=["no screen", "screen"])
def test_ctrl_c_twice_at_once_saves_first(terminal: bool, laboratory: Laboratory) -> None:
    for _ in range(soak.times(3)):
        interrupt(laboratory, "SIGINT", times=2, terminal=terminal)
