"""Kill anywhere, with other processes in it: handing over, compiling, exporting, reproducing."""

import filecmp
import shutil
import signal
from pathlib import Path
from time import monotonic, sleep

import numpy as np
import pytest

from l2o_engine.runs.metrics_file import last_iteration
from tests import soak
from tests.reliability.faults import Fault
from tests.reliability.laboratory import Laboratory
from tests.reliability.outcome import NOTHING_LOST, loss_of, place_of, status_of, wait_until_free
from tests.reliability.test_kills import SEED, SHIM


def detach(laboratory: Laboratory, folder: Path, on: list[Fault], fault: str) -> None:
    """Detach a run under faults; what is left is gone on with."""
    experiment = laboratory.experiment("torch, long")
    process = laboratory.run(experiment, folder, on, terminal=True)
    assert process.terminal is not None
    process.wait_until(lambda: last_iteration(folder / "metrics.csv") > 0)
    process.terminal.send("q")
    process.wait_until(lambda: "Detach" in process.screen)
    process.terminal.send("d")
    process.wait()
    struck, loss = process.happened, loss_of(folder)
    place = place_of(process, folder) if struck else "not struck"
    wait_until_free(folder)
    laboratory.settle(process, experiment, folder, fault=fault, how=SHIM, place=place, loss=loss)


@pytest.mark.soak
def test_killed_in_the_hand_over(laboratory: Laboratory) -> None:
    for first in range(1, 1 + soak.times(3)):
        if soak.is_over():
            return
        folder = laboratory.new()
        log = Fault(f"{folder}/background.log", ("create", "write", "open"), first=first)
        detach(laboratory, folder, [log], "killed in the hand-over, the one that hands over")
    for first in range(1, 1 + soak.times(10), 2):
        if soak.is_over():
            return
        folder = laboratory.new()
        child = Fault(f"{folder}*", first=first, who="child")
        detach(laboratory, folder, [child], "killed in the hand-over, the one that takes over")


@pytest.mark.soak
@pytest.mark.parametrize("who", ["owner", "child"])
def test_killed_while_a_kernel_is_compiled(who: str, laboratory: Laboratory, tmp_path: Path) -> None:
    experiment = laboratory.experiment("fused")
    for turn in range(soak.times(6)):
        if soak.is_over():
            return
        folder, cache = laboratory.new(), tmp_path / f"cache{turn}"
        kill = Fault(f"{cache}*", first=1 + (3 * turn if who == "child" else turn), who=who)
        env = {"L2O_CACHE_DIR": str(cache)}
        process = laboratory.run(experiment, folder, [kill], env=env)
        process.wait()
        if process.happened:
            place = place_of(process, cache)
            laboratory.settle(
                process, experiment, folder, fault=f"killed while a kernel is compiled, {who}", how=SHIM, place=place
            )
            again = laboratory.new()  # with what was left of the kernel
            process = laboratory.run(experiment, again, env=env)
            process.wait()
            laboratory.settle(
                process,
                experiment,
                again,
                fault="a run with what a killed compilation left",
                how=SHIM,
                place=place,
                also=[] if process.code == 0 else [f"it ended with {process.code}: {process.err}"],
            )


@pytest.mark.soak
@pytest.mark.parametrize("file_format", ["csv", "json"])
def test_killed_in_an_export(file_format: str, laboratory: Laboratory) -> None:
    run = laboratory.experiment("fused").undisturbed
    expected = laboratory.new()
    args = ("export", run, "--format", file_format, "--output")
    assert laboratory.start(*args, expected, folder=laboratory.streams(expected)).wait() == 0
    for first in range(1, 1 + soak.times(8)):
        output = laboratory.new()
        kill = Fault(f"{output.parent}/*run*", first=first, do="kill" if first % 2 else "tear")
        process = laboratory.start(*args, output, folder=laboratory.streams(output), on=[kill])
        process.wait()
        if not process.happened:
            return
        place = place_of(process, output.parent)
        wrong = [*process.complaints]
        wrong += (
            ["half a file is there"] if output.exists() and not filecmp.cmp(output, expected, shallow=False) else []
        )
        again = laboratory.start(*args, output, "--force", folder=laboratory.streams(output))
        wrong += [] if again.wait() == 0 else [f"export ended with {again.code}: {again.err}"]
        wrong += [*again.complaints]
        wrong += [] if output.exists() and filecmp.cmp(output, expected, shallow=False) else ["it is another file"]
        laboratory.keep(f"killed in an export: {file_format}", SHIM, place, wrong, NOTHING_LOST)


@pytest.mark.soak
def test_killed_while_it_reproduces(fresh_laboratory: Laboratory) -> None:
    laboratory, chance = fresh_laboratory, np.random.default_rng([SEED, 3])
    args = ("reproduce", "episode1", "--only", "simple_sum", "--seeds", "2", "--jobs", "2", "--json", "--runs-dir")
    expected = laboratory.new()
    began = monotonic()
    undisturbed = laboratory.start(*args, expected, folder=laboratory.streams(expected))
    assert undisturbed.wait() == 0, undisturbed.err
    seconds = monotonic() - began
    for _ in range(soak.times(8)):
        if soak.is_over():
            return
        runs = laboratory.new()
        process = laboratory.start(*args, runs, folder=laboratory.streams(runs))
        sleep(chance.uniform(0.0, seconds))
        process.signal(signal.SIGKILL)
        process.wait()
        driven = [path.parent for path in runs.rglob("run.json")]
        for folder in driven:
            wait_until_free(folder)
        again = laboratory.start(*args, runs, folder=laboratory.streams(runs))
        wrong = [] if again.wait() == 0 else [f"it ended with {again.code}: {again.err[-500:]}"]
        wrong += [*process.complaints, *again.complaints]
        for path in expected.rglob("metrics.csv"):
            same = runs / path.relative_to(expected)
            wrong += [] if same.exists() and same.read_bytes() == path.read_bytes() else [f"{same.parent.name} differs"]
        wrong += [f"{folder.name} is {status_of(folder)}" for folder in driven if status_of(folder) != "finished"]
        laboratory.keep("killed while it reproduces", "SIGKILL at a random moment", "at random", wrong, NOTHING_LOST)
        if not wrong:
            shutil.rmtree(runs.parent)
