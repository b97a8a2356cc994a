"""Handing a run over to a process of its own, which goes on with it when we, or our terminal, are gone."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import DEVNULL, STDOUT, Popen, TimeoutExpired
from threading import Thread
from time import monotonic, sleep

from l2o_engine.runs.folder import Run
from l2o_engine.runs.record import ACTIVE, RunError
from l2o_engine.support.errors import Failure
from l2o_engine.support.files import open_to_append, open_to_read
from l2o_engine.support.processes import environment

LOG = "background.log"
_PATIENCE = 120.0  # loading PyTorch, or compiling the kernel, on a busy machine
_POLL_SECONDS = 0.05
_GOOD_ENDS = (0, 3)  # a short run may be finished, or diverged, before we look
_LINES = 10
_MOST_SAID = 20_000  # bytes of what a process said that are looked at


class HandOverError(Failure):
    """No background process goes on with the run. The message says what it said."""


def hand_over(
    folder: Path,
    command: Sequence[str],
    *,
    goes_on: Callable[[int], bool] | None = None,
    patience: float = _PATIENCE,
) -> int:
    """Start a process in the background that goes on with a run, or a study, and return its id once it does.

    The process has a session of its own, no terminal, and ignores SIGHUP; it has our environment and working folder,
    and imports from where we do. What it says goes to ``background.log`` in the folder. A run goes on from its newest
    checkpoint, so whoever drives it now writes one and closes the run first.

    Parameters
    ----------
    folder
        The run's folder, or the study's.
    command
        The program that goes on with it, and its arguments, as
        :func:`~l2o_engine.support.processes.python_command` gives them. For the same results bit for bit, it computes
        with the backend that has computed before.
    goes_on
        Tells of a process whether it does; by what a run's folder says, if not given.
    patience
        Seconds after which a process that has not taken the run is ended.

    Raises
    ------
    HandOverError
        If the process could not be started, ended at once, or did not take the run in time.
    """
    folder = folder.resolve()
    log = folder / LOG
    try:
        with open_to_append(log) as output:
            began = output.tell()
            # nohup ignores SIGHUP and becomes the program: the process id stays the same.
            process = Popen(
                ["nohup", *command],
                stdin=DEVNULL,
                stdout=output,
                stderr=STDOUT,
                env=environment(),
                start_new_session=True,
            )
    except OSError as error:
        raise HandOverError(f"no background process could be started for {folder.name}: {error}") from error
    deadline = monotonic() + patience
    while process.poll() is None and monotonic() < deadline:
        if goes_on(process.pid) if goes_on else _goes_on(folder, process.pid):
            Thread(target=process.wait, name="l2o-background", daemon=True).start()  # or it would stay as a zombie
            return process.pid
        sleep(_POLL_SECONDS)
    if process.returncode in _GOOD_ENDS:
        return process.pid
    what = f"took nothing over within {patience:g} s" if process.returncode is None else "ended at once"
    _end(process)
    raise HandOverError(f"the background process for {folder.name} {what}; {log} says:", *_last_lines(log, began))


def _goes_on(folder: Path, pid: int) -> bool:
    try:
        record = Run(folder).record()
    except RunError:
        return False
    return record.pid == pid and record.status in ACTIVE


def _end(process: Popen[bytes]) -> None:
    """End a process that may have taken the run at the last moment, so that it is ours to drive again."""
    process.terminate()
    try:
        process.wait(timeout=10)
    except TimeoutExpired:
        process.kill()
        process.wait()


def _last_lines(log: Path, began: int) -> list[str]:
    with open_to_read(log) as file:
        file.seek(max(began, file.seek(0, os.SEEK_END) - _MOST_SAID))
        lines = file.read().decode("utf-8", "replace").splitlines()
    return lines[-_LINES:] or ["nothing"]
