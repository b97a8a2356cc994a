"""What ``run.json`` says: a run's status, where it is, who drives it, and what its results may depend on."""

import json
import os
import platform
import socket
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from l2o_engine.presets.schema import Preset
from l2o_engine.records.events import Status
from l2o_engine.support.errors import UserError
from l2o_engine.support.files import write_atomically

FORMAT = 1
ACTIVE = ("running", "paused")
"""The statuses of a run that a process drives."""


class RunError(UserError):
    """A run that cannot be created, found, read or driven. The message is meant for the user."""


@dataclass(frozen=True)
class StoredLevel:
    """What a baseline reaches, a :class:`~l2o_engine.training.evaluation.Level`; None where that is not finite."""

    end_log10: float | None
    sum_loss: float | None
    first_loss: float | None


@dataclass(frozen=True)
class StoredLevels:
    """The levels to beat: by baseline, on the draws of a seed; of settings that have this digest."""

    seed: int
    settings: str
    baselines: dict[str, StoredLevel]


@dataclass(frozen=True)
class Change:
    """What was changed of a run's experiment, and accepted.

    Attributes
    ----------
    iteration
        The last meta-iteration of the experiment as it was before.
    time
        When the change was accepted.
    settings
        "table.key" → [before, after].
    """

    iteration: int
    time: str
    settings: dict[str, list[Any]]


@dataclass(frozen=True)
class Driver:
    """The process that drives a run, told from others that have its id: at another time, or in another container.

    Attributes
    ----------
    where
        What :func:`~l2o_engine.support.processes.whereabouts` says of it.
    began
        What :func:`~l2o_engine.support.processes.began` says of it.
    lock
        The inode of the lock file that it holds.
    """

    where: str
    began: int
    lock: int


@dataclass(frozen=True)
class Record:
    """What ``run.json`` says.

    ``status`` is what the driving process last wrote; :meth:`~l2o_engine.runs.folder.Run.status` also notices that the
    process is gone. ``levels`` is None until a session has measured them. ``driver`` tells the process of ``pid`` from
    others of that id; runs of an older version say nothing of it. ``changes`` are what was changed on the way.
    """

    status: Status
    pid: int
    host: str
    preset: str
    seed: int
    seeds: int
    backend: str
    backend_reason: str
    iteration: int
    iterations: int
    created: str
    updated: str
    elapsed_seconds: float
    average_log_result: float | None
    message: str
    versions: dict[str, str]
    levels: StoredLevels | None = None
    driver: Driver | None = None
    changes: tuple[Change, ...] = ()
    format: int = FORMAT


_RECORDS = TypeAdapter(Record)
_SETTLED_NS = 2_000_000_000
_MOST_READ = 20_000
_read: dict[Path, tuple[tuple[int, int, int], Record]] = {}  # by path: of thousands of runs, few change


def new_record(preset: Preset, driver: Driver | None = None) -> Record:
    """Return the record of a run that this process is about to begin."""
    moment = now()
    return Record(
        status="running",
        pid=os.getpid(),
        host=socket.gethostname(),
        preset=preset.name,
        seed=preset.run.seed,
        seeds=preset.run.seeds,
        backend="",
        backend_reason="",
        iteration=0,
        iterations=preset.run.iterations,
        created=moment,
        updated=moment,
        elapsed_seconds=0.0,
        average_log_result=None,
        message="",
        versions=versions(),
        driver=driver,
    )


def read_record(path: Path) -> Record:
    """Read a ``run.json``; one that has not been written since it was read last is not read again.

    Raises
    ------
    RunError
        If it cannot be read, or is of another format.
    """
    stamp = _stamp_of(path)
    if stamp is not None and (known := _read.get(path)) is not None and known[0] == stamp:
        return known[1]
    record = _read_record(path)
    if stamp is not None and time.time_ns() - stamp[1] > _SETTLED_NS:  # else it may be written again within one tick
        if len(_read) >= _MOST_READ:
            _read.clear()
        _read[path] = stamp, record
    return record


def _stamp_of(path: Path) -> tuple[int, int, int] | None:
    """Return what tells whether a file is still the one that was read: its inode, time and size."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def _read_record(path: Path) -> Record:
    try:
        text = path.read_bytes()
        document = json.loads(text)
        if document["format"] != FORMAT:
            raise RunError(f"{path.parent} is of format {document['format']}, this version reads {FORMAT}")
        record = _RECORDS.validate_json(text, strict=True)
        for moment in (record.created, record.updated):
            datetime.fromisoformat(moment)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise RunError(f"{path} cannot be read: {place}: {first['msg']}") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} cannot be read: {error}") from error
    return record


def write_record(path: Path, record: Record) -> None:
    """Write a ``run.json``, whole.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    write_atomically(path, (json.dumps(asdict(record), indent=2) + "\n").encode())


def now() -> str:
    """Return the time, as a run's files give it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds")


_PACKAGES = ("l2o-tui", "numpy", "torch", "numba", "llvmlite")


def versions() -> dict[str, str]:
    """Return the versions that a result may depend on, and the CPU's, without importing anything heavy."""
    found = {"python": platform.python_version(), "platform": platform.platform(), "cpu": _cpu()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found


def what_changed(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """Return in words by which versions results may differ in their last bits; "" where they are the same.

    Parameters
    ----------
    before, after
        What :func:`versions` said; what an older version did not record is not compared.
    """
    names = [name for name in ("cpu", *_PACKAGES) if name in before and before[name] != after.get(name)]
    return ", ".join(f"{name} {before[name]} → {after.get(name, 'unknown')}" for name in names)


def _cpu() -> str:
    """Return what kind of CPU this is: the kernel is compiled for it, and sums in another order on another."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
