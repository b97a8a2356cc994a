"""Whether a run that something was done to is the run that nothing was done to, and what it had to do twice."""

import re
from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass
from pathlib import Path
from time import monotonic, sleep

import numpy as np

from l2o_engine.runs.checkpoints import CheckpointError
from l2o_engine.runs.folder import Run
from l2o_engine.runs.metrics_file import last_iteration
from l2o_engine.runs.record import RunError
from tests.reliability.program import PATIENCE, Process, Start

_RESUMES = 3  # more than one only where the first is refused for a moment


@dataclass(frozen=True)
class Experiment:
    """What is trained: the arguments of ``run``, and how the undisturbed run of it went.

    Attributes
    ----------
    args
        The arguments, without the folder's.
    undisturbed
        The folder of the run that nothing was done to.
    seconds
        How long it took from start to end.
    """

    args: tuple[str, ...]
    undisturbed: Path
    seconds: float = 0.0


@dataclass(frozen=True)
class Loss:
    """What was done and not saved: meta-iterations beyond the newest checkpoint, and how long they had taken."""

    rows: int
    seconds: float


NOTHING_LOST = Loss(0, 0.0)


def loss_of(folder: Path) -> Loss:
    """Return what a run would lose that is gone on with now."""
    metrics, rows = folder / "metrics.csv", last_iteration(folder / "metrics.csv")
    saved, since = -1, folder / "run.json"
    for path in (folder / "checkpoints").glob("[0-9]*.safetensors"):
        iteration = int(path.stem.partition("-")[0])
        if iteration > saved:
            saved, since = iteration, path
    if rows <= saved or not since.exists():
        return NOTHING_LOST
    return Loss(rows - saved, max(metrics.stat().st_mtime - since.stat().st_mtime, 0.0))


def status_of(folder: Path) -> str:
    """Return a run's status, "nothing" where there is no run."""
    try:
        return Run(folder).status()
    except RunError:
        return "nothing"


def is_driven(folder: Path) -> bool:
    """Return whether a process drives a run."""
    try:
        return Run(folder).is_driven()
    except RunError:
        return False


def finish(start: Start, experiment: Experiment, folder: Path, streams: Callable[[Path], Path]) -> Iterator[str]:
    """Go on with a run until it is finished, as its user would; yield what is wrong with that.

    Parameters
    ----------
    start
        Starts the program.
    experiment
        What is trained.
    folder
        The run's folder.
    streams
        Where the streams of a process that drives the run are kept.
    """
    wait_until_free(folder)
    for _ in range(_RESUMES):
        status = status_of(folder)
        if status == "finished":
            return
        again = ("run", *experiment.args, "--quiet", "--run-dir", str(folder))
        args = again if status == "nothing" else ("resume", str(folder), "--quiet")
        process = start(*args, folder=streams(folder))
        code = process.wait()
        yield from process.complaints
        if code != 0:
            yield f"{args[0]} ended with {code}: {process.err.strip()[-300:]}"
            return
        # Of a run that was finished when it was struck, what is left behind waits for whoever goes on with it.
        yield from (f"left behind: {path.name}" for path in folder.rglob(".*.tmp"))
    if status_of(folder) != "finished":
        yield f"it is {status_of(folder)}"


def wait_until_free(folder: Path) -> None:
    """Wait until no process drives a run: a background process that took it over may."""
    deadline = monotonic() + PATIENCE
    while is_driven(folder):
        assert monotonic() < deadline, f"{folder} is driven for ever"
        sleep(0.02)


def differences(folder: Path, undisturbed: Path) -> Iterator[str]:
    """Yield in what a finished run differs from the undisturbed one: rows byte for byte, all weights bit for bit."""
    if (folder / "metrics.csv").read_bytes() != (undisturbed / "metrics.csv").read_bytes():
        yield "metrics.csv differs"
    try:
        ours, theirs = Run(folder).checkpoint(), Run(undisturbed).checkpoint()
    except (CheckpointError, RunError) as error:
        yield f"its checkpoint cannot be read: {error}"
        return
    if (ours.iteration, ours.metrics_bytes) != (theirs.iteration, theirs.metrics_bytes):
        yield f"its last checkpoint is of {ours.iteration}, not of {theirs.iteration}"
    for seed, state in theirs.trainers.items():
        same = ours.trainers[seed]
        learners = same.learner, state.learner
        if (same.done, same.draws) != (state.done, state.draws) or (learners[0] is None) != (learners[1] is None):
            yield f"the state of seed {seed} differs"
        elif learners[0] is not None and learners[1] is not None:
            pairs = zip(astuple(learners[0]), astuple(learners[1]), strict=True)
            if not all(np.array_equal(value, other) for value, other in pairs):
                yield f"the weights of seed {seed} differ"


def place_of(process: Process, folder: Path) -> str:
    """Return where a process was first struck: the call and the file, without what differs from run to run."""
    struck = process.happened[0]
    name = struck.path.relative_to(folder) if struck.path.is_relative_to(folder) else struck.path
    return f"{struck.call} {re.sub(r'[0-9]+', 'N', str(name))}"
