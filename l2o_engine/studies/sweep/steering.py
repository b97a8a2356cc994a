"""How a study is told to pause, to go on and to stop, by any process and on whatever host: by files in its folder.

A file says it to the runs that are still to be begun, a command in its ``commands/`` to each run that is under way. The
file is written first, and a run looks for it once it can be found: so none is missed that begins meanwhile.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from time import sleep

from l2o_engine.records.events import Command, GoOn, Pause, Stop
from l2o_engine.runs.commands import send
from l2o_engine.runs.folder import Run
from l2o_engine.runs.record import ACTIVE, RunError
from l2o_engine.studies.sweep.over import SweepError
from l2o_engine.studies.sweep.study import PAUSE_FILE, STOP_FILE, STUDY_FILE
from l2o_engine.support.files import names_in, remove, write_atomically

_LOOK_SECONDS = 0.5  # between two looks whether a study goes on


def is_paused(folder: Path) -> bool:
    """Return whether a study was told to pause."""
    return (folder / PAUSE_FILE).exists()


def is_told_to_stop(folder: Path) -> bool:
    """Return whether a study was told to stop."""
    return (folder / STOP_FILE).exists()


def wait_for_turn(folder: Path, is_stopped: Callable[[], bool]) -> None:
    """Wait as long as a study is paused, and not stopped."""
    while is_paused(folder) and not is_stopped():
        sleep(_LOOK_SECONDS)


def stop_study(folder: Path) -> int:
    """Tell whoever works on a study to begin nothing more, and its runs to save their state and end, on whatever host.

    Parameters
    ----------
    folder
        The study's.

    Returns
    -------
    int
        How many runs were told.

    Raises
    ------
    SweepError
        If there is no study, or the folder cannot be written into.
    """
    return _tell(folder, "stop", STOP_FILE, Stop("the study was stopped"))


def pause_study(folder: Path) -> int:
    """Let a study's runs wait after a checkpoint, and begin none; the processes that work on it stay, and wait.

    Parameters, returns and errors are those of :func:`stop_study`.
    """
    return _tell(folder, "pause", PAUSE_FILE, Pause())


def go_on_with_study(folder: Path) -> int:
    """Let a study that was paused go on.

    Parameters, returns and errors are those of :func:`stop_study`.
    """
    return _tell(folder, "go on with", None, GoOn())


def _tell(folder: Path, what: str, sign: str | None, command: Command) -> int:
    if not (folder / STUDY_FILE).is_file():
        raise SweepError(f"{folder} holds no study (there is no {STUDY_FILE})")
    told = 0
    try:
        if sign is None:
            remove(folder / PAUSE_FILE)
        else:
            write_atomically(folder / sign, b"")
        for run in _under_way(folder):
            send(run.commands_path, command)
            told += 1
    except OSError as error:
        raise SweepError(f"cannot {what} {folder}: {error.strerror or error}") from error
    return told


def _under_way(folder: Path) -> Iterator[Run]:
    for name in names_in(folder):
        with suppress(RunError):  # no run, or none that can be read
            run = Run(folder / name)
            if run.record().status in ACTIVE and run.is_driven():
                yield run
