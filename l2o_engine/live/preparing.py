"""What a session waits for before it trains: a backend, and the levels to beat.

Either may take minutes. So each is told beforehand, and done in a thread while the session gives signs of life.
"""

from collections.abc import Callable, Generator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import TypeVar

from l2o_engine.backends.choose import choose
from l2o_engine.meta.learner import Backend
from l2o_engine.presets.schema import Preset
from l2o_engine.records.events import Preparing
from l2o_engine.runs import levels
from l2o_engine.runs.driven import DrivenRun
from l2o_engine.runs.levels import Levels

SIGN_SECONDS = 1.0
"""Between two signs of life: who watches from another host takes a much longer silence for a dead driver."""

Value = TypeVar("Value")


def awaited(future: "Future[Value]", sign_of_life: Callable[[], None]) -> Value:
    """Wait for a result, with a sign of life every second."""
    while not wait([future], SIGN_SECONDS).done:
        sign_of_life()
    return future.result()


def load_backend(
    preset: Preset, asked: str, sign_of_life: Callable[[], None]
) -> Generator[Preparing, None, tuple[Backend | None, str, str]]:
    """Return what computes, its name, and why it was chosen; None where no network is trained.

    Raises
    ------
    BackendError
        If the backend asked for by name cannot take the preset.
    """
    if not preset.learns:
        return None, "numpy", "nothing is trained"
    choice = choose(preset.experiment, asked)
    yield Preparing(choice.preparation)
    backend, reason = _in_thread(choice.load, sign_of_life)  # it may have a kernel to compile
    return backend, backend.name, reason


def find_levels(run: DrivenRun, sign_of_life: Callable[[], None]) -> Generator[Preparing, None, Levels]:
    """Return the levels to beat: those that the run keeps, else measured now, and kept from then on."""
    preset = run.current
    seed = preset.run.seed
    kept = levels.stored(run.record(), preset, seed)
    if kept is not None:
        return kept
    yield from levels.measuring(preset)
    measured = _in_thread(lambda: levels.measure(preset, seed), sign_of_life)
    run.update(levels=levels.to_store(measured, preset, seed))
    return measured


def _in_thread(work: Callable[[], Value], sign_of_life: Callable[[], None]) -> Value:
    with ThreadPoolExecutor(1, "l2o-loading") as loader:
        return awaited(loader.submit(work), sign_of_life)
