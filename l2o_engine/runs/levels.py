"""The levels to beat, what the baselines of a run reach: measured once in a run's life, then kept in ``run.json``.

Over up to 1,000,000 draws that takes a while, so who needs them looks here first.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from hashlib import sha256
from math import isfinite, nan

from l2o_engine.presets.schema import Preset
from l2o_engine.records.events import Preparing
from l2o_engine.runs.folder import Run
from l2o_engine.runs.record import Record, RunError, StoredLevel, StoredLevels
from l2o_engine.training.evaluation import Baselines, Level

SHORT_NUMBERS = 2_000_000
"""Coordinates times base steps times draws that a baseline is through with in some tenths of a second."""

Levels = dict[str, Level]
"""Baseline → what it reaches."""


def measure(preset: Preset, seed: int, between: Callable[[], None] = lambda: None) -> Levels:
    """Let a preset's baselines run over its number of draws, which a seed decides; see :meth:`Baselines.measure`."""
    return Baselines(preset.experiment, seed, preset.report.baseline_draws).measure(between) if preset.baseline else {}


def measuring(preset: Preset) -> Iterator[Preparing]:
    """Yield what :func:`measure` does, for who waits for it; nothing where that takes but a moment."""
    draws = preset.report.baseline_draws
    if preset.baseline and draws * preset.experiment.steps * preset.experiment.task.size > SHORT_NUMBERS:
        yield Preparing(f"measuring what the baselines reach over {draws:,} draws")


def stored(record: Record, preset: Preset, seed: int) -> Levels | None:
    """Return the levels that a run keeps; None where it keeps none of this seed, or those of other settings.

    Parameters
    ----------
    record
        What its run.json says.
    preset
        Its preset.
    seed
        Decides the draws.
    """
    if not preset.baseline:
        return {}
    kept, names = record.levels, [baseline.name for baseline in preset.baseline]
    if kept is None or kept.seed != seed or kept.settings != _digest(preset) or set(kept.baselines) != set(names):
        return None
    return {name: _level(kept.baselines[name]) for name in names}


def to_store(levels: Levels, preset: Preset, seed: int) -> StoredLevels:
    """Return what run.json keeps of the levels that a preset's baselines reach on the draws of a seed."""
    baselines = {name: StoredLevel(**_finite(level)) for name, level in levels.items()}
    return StoredLevels(seed, _digest(preset), baselines)


def of_runs(runs: Iterable[Run], preset: Preset, seed: int) -> Levels:
    """Return a preset's levels on the draws of a seed: those that one of its runs keeps, else measured now.

    Parameters
    ----------
    runs
        Runs of this preset's experiment, of whatever seeds.
    preset
        The experiment.
    seed
        Decides the draws.
    """
    for run in runs:
        with suppress(RunError):  # it has been read before, and may be gone now
            kept = stored(run.record(), preset, seed)
            if kept is not None:
                return kept
    return measure(preset, seed)


def circumstances(preset: Preset) -> tuple[object, ...]:
    """Return all settings that the level of a baseline depends on, but for its own and the seed."""
    return *conditions(preset), preset.report.baseline_draws


def conditions(preset: Preset) -> tuple[object, ...]:
    """Return those of :func:`circumstances` that make it another level, and not the same one told over other draws."""
    return preset.problem, preset.experiment.steps, preset.run.dtype


def _digest(preset: Preset) -> str:
    settings = (preset.baseline, *circumstances(preset))
    return sha256(repr(settings).encode()).hexdigest()[:16]


def _level(kept: StoredLevel) -> Level:
    return Level(**{name: nan if value is None else value for name, value in vars(kept).items()})


def _finite(level: Level) -> dict[str, float | None]:
    return {name: value if isfinite(value) else None for name, value in vars(level).items()}
