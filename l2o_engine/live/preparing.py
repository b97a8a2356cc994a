"""What a session waits for before it trains: a backend, and the levels to beat.

Either may take minutes. So each is told beforehand, and done in a thread while the session gives signs of life and
hears whether it is to stop: then it is given up.
"""

from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from threading import Event
from time import monotonic
from typing import NamedTuple, Protocol, TypeVar

from l2o_engine.backends.choose import choose
from l2o_engine.backends.devices import CPU
from l2o_engine.live.sizes import needs_of
from l2o_engine.meta.learner import Backend
from l2o_engine.presets.schema import Preset
from l2o_engine.records.events import Notice, Preparing
from l2o_engine.runs import levels
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.levels import Levels
from l2o_engine.support.processes import EndedError
from l2o_engine.support.user_code import Ending, StoppedError, is_stuck

SIGN_SECONDS = 1.0
"""Between two signs of life: who watches from another host takes a much longer silence for a dead driver."""
_LOOK_SECONDS = 0.1
_ENDED = "a problem's code did not return in time, and was ended"

Value = TypeVar("Value")


@dataclass(frozen=True)
class Patience:
    """What a session does while it waits.

    Attributes
    ----------
    sign_of_life
        Is called every second.
    is_over
        Tells whether there is no use in waiting any longer.
    """

    sign_of_life: Callable[[], None]
    is_over: Callable[[], bool]


def awaited(future: "Future[Value]", sign_of_life: Callable[[], None]) -> Value:
    """Wait for a result, with a sign of life every second."""
    while not wait([future], SIGN_SECONDS).done:
        sign_of_life()
    try:
        return future.result()
    except Ending as error:
        raise StoppedError(_ENDED) from error


class Turns(Protocol):
    """Whose turn it is to compute, among sessions that share cores: a semaphore, of threads or of processes."""

    def acquire(self, blocking: bool, timeout: float | None, /) -> bool:
        """Wait for a turn, for so many seconds at most, and return whether it is ours."""

    def release(self) -> None:
        """Let another have it."""


def await_turn(turns: Turns, patience: Patience) -> None:
    """Wait for our turn.

    Raises
    ------
    EndedError
        If the session lost its patience.
    """
    sign_due = monotonic() + SIGN_SECONDS
    while not turns.acquire(True, _LOOK_SECONDS):
        if patience.is_over():
            raise EndedError("it was told to stop")
        if monotonic() >= sign_due:
            patience.sign_of_life()
            sign_due = monotonic() + SIGN_SECONDS


class Computing(NamedTuple):
    """What computes.

    Attributes
    ----------
    backend
        None where no network is trained.
    name, reason
        The backend's, and why it was chosen.
    device
        Where it computes, and what that is.
    """

    backend: Backend | None
    name: str
    reason: str
    device: str


def is_at_hand(preset: Preset, asked: str, device: str) -> bool:
    """Return whether to load what computes takes but a moment and little memory: a kernel that is compiled already.

    It is that of small problems alone: what others load may be a data set, of which not too many are to be there.
    """
    if not preset.learns:
        return False
    choice = choose(preset.experiment, asked, device)
    return choice.name == "fused" and not choice.to_compile


def load_backend(
    preset: Preset, asked: str, device: str, patience: Patience
) -> Generator[Preparing | Notice, None, Computing]:
    """Return what computes.

    Raises
    ------
    BackendError
        If the backend asked for by name cannot take the preset, or not on this device.
    DeviceError
        If the device cannot be had.
    EndedError
        If the session lost its patience.
    """
    if not preset.learns:
        return Computing(None, "numpy", "nothing is trained", CPU)
    choice = choose(preset.experiment, asked, device)
    yield Preparing(choice.preparation)
    # How fast another device is, nobody has measured.
    if choice.device.is_cpu and (long := needs_of(preset, choice.name).patience):
        yield Notice(long)
    backend, reason = _in_thread(choice.load, choice.give_up, patience)  # it may have a kernel to compile
    if choice.notice:
        yield Notice(choice.notice)
    return Computing(backend, backend.name, reason, str(choice.device))


def find_levels(run: DrivenRun, patience: Patience) -> Generator[Preparing, None, Levels]:
    """Return the levels to beat: those that the run keeps, else measured now, and kept from then on.

    Those that take but a moment are kept with the next sign of life: to write run.json for them would take longer.

    Raises
    ------
    EndedError
        If the session lost its patience.
    """
    preset = run.current
    seed = preset.run.seed
    kept = levels.stored(run.written, preset, seed)
    if kept is not None:
        return kept
    yield from (said := list(levels.measuring(preset)))
    is_given_up = Event()

    def look_up() -> None:
        if is_given_up.is_set():
            raise EndedError("it was told to stop")

    measured = _in_thread(lambda: levels.measure(preset, seed, look_up), is_given_up.set, patience)
    keep = run.update if said else run.note
    keep(levels=levels.to_store(measured, preset, seed))
    return measured


def _in_thread(work: Callable[[], Value], give_up: Callable[[], None], patience: Patience) -> Value:
    loader = ThreadPoolExecutor(1, "l2o-loading")
    try:
        future, sign_due, is_given_up = loader.submit(work), monotonic() + SIGN_SECONDS, False
        while not wait([future], _LOOK_SECONDS).done:
            if patience.is_over():
                is_given_up = True
                give_up()
            if monotonic() >= sign_due:
                patience.sign_of_life()
                sign_due = monotonic() + SIGN_SECONDS
        if isinstance(error := future.exception(), StoppedError | Ending):
            raise error if isinstance(error, StoppedError) else StoppedError(_ENDED)
        if is_given_up:  # be it that there was nothing to give up, and it has come to its end
            raise EndedError("it was told to stop")
        return future.result()
    finally:
        loader.shutdown(wait=not is_stuck())
