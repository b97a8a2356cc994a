"""Rebuilding ``run.json`` of what else is in a run's folder: it is written every second, so it is what a crash hits."""

from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from l2o_engine.backends.devices import CPU
from l2o_engine.presets.files import load
from l2o_engine.presets.messages import PresetError
from l2o_engine.presets.schema import MOST_ITERATIONS, Preset
from l2o_engine.records.codec import ChangedLine, DescribedLine, StartLine
from l2o_engine.runs import checkpoints
from l2o_engine.runs.about import NOTHING_SAID, About, AboutError
from l2o_engine.runs.checkpoints import CheckpointError
from l2o_engine.runs.folder import Run, is_beginning
from l2o_engine.runs.lock import HeldError, take_lock
from l2o_engine.runs.metrics_file import last_iteration
from l2o_engine.runs.record import Change, LaterFormatError, RunError, new_record, now, read_record, write_record
from l2o_engine.support.files import rename

_DAMAGED = "run.json.damaged"


def mend_record(folder: Path) -> list[str]:
    """Rebuild a run's run.json if it is missing or damaged, and return what is to be told of that; else nothing.

    A damaged one is kept beside it. The settings come from preset.toml, how far the run is from its checkpoints and
    metrics, the backend and what people call the run from its events.

    Raises
    ------
    RunError
        If the run is of a later version, is being driven, or has no preset.toml or metrics.csv that could be read.
    """
    try:
        read_record(folder / "run.json")
        return []
    except LaterFormatError:
        raise
    except RunError as error:
        damage = str(error)
    if is_beginning(folder):
        raise RunError(f"{folder} is no run yet: who made it was killed. `l2o-tui run` with this --run-dir takes it")
    try:
        preset = load(folder / "preset.toml", follows=False)
        lock = take_lock(folder)
    except PresetError as error:
        raise RunError(f"{damage}; and it cannot be rebuilt: {error}") from error
    except HeldError as error:
        raise RunError(f"{damage}; and another process holds {folder / '.lock'}") from error
    except OSError as error:
        raise RunError(f"{damage}; and it cannot be rebuilt: {error.strerror or error}") from error
    try:
        with suppress(FileNotFoundError):
            rename(folder / "run.json", _DAMAGED)
        created = datetime.fromtimestamp((folder / "preset.toml").lstat().st_mtime, UTC)
        record = replace(new_record(preset, lock.driver), created=created.isoformat(timespec="milliseconds"))
        write_record(folder / "run.json", record)
        write_record(folder / "run.json", replace(record, **_found_in(Run(folder), preset)))
    except OSError as error:
        raise RunError(f"{damage}; and it cannot be rebuilt: {error.strerror or error}") from error
    finally:
        lock.release()
    return [f"run.json was rebuilt: {damage}"]


def _found_in(run: Run, preset: Preset) -> dict[str, Any]:
    """Return what a run's other files tell of what run.json said: how far it is, what computed it and was changed.

    Of its events, too, what people call it.
    """
    found: dict[str, Any] = {"iteration": max(last_iteration(run.metrics_path), 0)}
    for path in checkpoints.newest_first(run.checkpoints_path):
        with suppress(CheckpointError):
            checkpoint = checkpoints.read(path, preset.experiment, len(preset.seeds))
            found = {"iteration": max(checkpoint.iteration, 0), "elapsed_seconds": checkpoint.elapsed_seconds}
            break
    changes = []
    about = NOTHING_SAID
    for event in run.recorded():
        if isinstance(event, StartLine):
            found |= {"backend": event.backend, "backend_reason": event.backend_reason}
            found |= {"device": event.device or CPU}
        elif isinstance(event, ChangedLine) and 0 <= event.iteration <= MOST_ITERATIONS:
            changes.append(Change(event.iteration, now(), event.settings))  # when it was accepted is not known any more
        elif isinstance(event, DescribedLine):
            with suppress(AboutError):  # what nobody could have said
                about = About(event.given_name, event.note, tuple(event.tags))
    called = {"given_name": about.name, "note": about.note, "tags": about.tags}
    return found | {"changes": tuple(changes)} | called
