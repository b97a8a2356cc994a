"""Kill anywhere: SIGKILL at random moments and at every file call; the run goes on to what an undisturbed one gives."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from time import sleep

import numpy as np
import pytest

from tests import soak
from tests.reliability.faults import Fault
from tests.reliability.laboratory import NAMES, Laboratory
from tests.reliability.outcome import Experiment, status_of
from tests.reliability.program import Process

SHIM = "LD_PRELOAD: SIGKILL in place of the n-th file call, or half-way through a write"
RANDOM = "SIGKILL at a random moment, from before the folder is made to the end"
SEED = int(os.environ.get("L2O_SOAK_SEED", "0"))

Act = Callable[[Laboratory, Experiment, Path, list[Fault]], Process]
"""Does something with a run's folder, under faults; the process is over, or is ended by them."""


def run(laboratory: Laboratory, experiment: Experiment, folder: Path, on: list[Fault]) -> Process:
    """A run from its folder's making to its end."""
    process = laboratory.run(experiment, folder, on)
    process.wait()
    return process


def resume(laboratory: Laboratory, experiment: Experiment, folder: Path, on: list[Fault]) -> Process:
    """Going on with a run that was killed in the middle."""
    interrupted = laboratory.run(experiment, folder)
    interrupted.wait_until(lambda: any((folder / "checkpoints").glob("[0-9]*.safetensors")))
    interrupted.signal(signal.SIGKILL)
    interrupted.wait()
    process = laboratory.resume(folder, on)
    process.wait()
    return process


def run_on_screen(laboratory: Laboratory, experiment: Experiment, folder: Path, on: list[Fault]) -> Process:
    """A run under the live screen, which is left when it is finished."""
    process = laboratory.run(experiment, folder, on, terminal=True)
    process.wait_until(lambda: status_of(folder) == "finished")
    process.leave()
    return process


def strike_everywhere(laboratory: Laboratory, name: str, act: Act, fault: str, *, most: int) -> None:
    """Kill at the file calls of an act, at all of them or at so many that are spread evenly."""
    experiment, folder = laboratory.experiment(name), laboratory.new()
    made = act(laboratory, experiment, folder, [Fault(f"{folder}*", do="note", last=0)]).happened
    shutil.rmtree(folder.parent)
    for turn, place in enumerate(np.unique(np.linspace(0, len(made) - 1, most).astype(int)).tolist()):
        if soak.is_over():
            break
        folder = laboratory.new()
        kill = Fault(f"{folder}*", first=place + 1)
        if turn % 3 == 0:  # the next write is torn
            writes = [call.call == "write" for call in made]
            kill = Fault(f"{folder}*", ("write",), do="tear", first=min(sum(writes[:place]) + 1, sum(writes)))
        process = act(laboratory, experiment, folder, [kill])
        if process.code == -signal.SIGKILL and process.happened:
            laboratory.settle(process, experiment, folder, fault=fault, how=SHIM)


def strike_at_random(
    laboratory: Laboratory, name: str, turns: int, *, terminal: bool = False, who: str = "killed at random"
) -> None:
    """Kill at random moments; one time in three the process that goes on, too."""
    experiment, chance = laboratory.experiment(name), np.random.default_rng([SEED, *name.encode()])
    screen = "under the screen" if terminal else "without a screen"
    for _ in range(turns):
        if soak.is_over():
            break
        folder = laboratory.new()
        process = laboratory.run(experiment, folder, terminal=terminal)
        moment = chance.uniform(0.0, 1.1 * experiment.seconds)
        sleep(moment)
        process.signal(signal.SIGKILL)
        process.wait()
        if status_of(folder) == "interrupted" and chance.random() < 1 / 3:
            process = laboratory.resume(folder)
            sleep(chance.uniform(0.0, 0.8 * experiment.seconds))
            process.signal(signal.SIGKILL)
            process.wait()
        laboratory.settle(process, experiment, folder, fault=f"{who}, {screen}: {name}", how=RANDOM, place="at random")


@pytest.mark.soak
@pytest.mark.parametrize("name", NAMES)
def test_killed_at_every_file_call(name: str, laboratory: Laboratory) -> None:
    strike_everywhere(laboratory, name, run, f"killed at a file call of a run: {name}", most=soak.times(60))


@pytest.mark.soak
@pytest.mark.parametrize("name", ["fused", "torch, 2 seeds", "torch, in mid-episode", "torch, stage by stage"])
def test_killed_at_every_file_call_of_resume(name: str, laboratory: Laboratory) -> None:
    strike_everywhere(laboratory, name, resume, f"killed at a file call of resume: {name}", most=soak.times(40))


@pytest.mark.soak
@pytest.mark.parametrize("name", ["fused", "torch"])
def test_killed_at_file_calls_under_the_screen(name: str, laboratory: Laboratory) -> None:
    strike_everywhere(
        laboratory, name, run_on_screen, f"killed at a file call under the screen: {name}", most=soak.times(25)
    )


@pytest.mark.soak
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("terminal", [False, True], ids=["no screen", "screen"])
def test_killed_at_random(name: str, terminal: bool, laboratory: Laboratory) -> None:
    strike_at_random(laboratory, name, soak.times(20 if terminal else 30), terminal=terminal)


@pytest.mark.soak
def test_a_fresh_process_killed_at_random(fresh_laboratory: Laboratory) -> None:
    strike_at_random(fresh_laboratory, "fused", soak.times(12), who="a fresh process killed at random")
