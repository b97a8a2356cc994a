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
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, Field, TypeAdapter, ValidationError
from pydantic_core import from_json

from l2o_engine.backends.devices import CPU
from l2o_engine.presets.changed import what_was_changed
from l2o_engine.presets.labels import Settings, in_short, run_label
from l2o_engine.presets.messages import rule_of
from l2o_engine.presets.schema import MOST_ITERATIONS, Preset
from l2o_engine.records.events import Status
from l2o_engine.runs.about import MOST_NAME, MOST_NOTE, MOST_TAG, MOST_TAGS, NOTHING_SAID, About
from l2o_engine.support.errors import UserError
from l2o_engine.support.files import read_bytes, write_atomically

FORMAT = 1
ACTIVE = ("running", "paused")
"""The statuses of a run that a process drives."""


_MOST_BYTES = 1_000_000


class RunError(UserError):
    """A run that cannot be created, found, read or driven. The message is meant for the user."""


class LaterFormatError(RunError):
    """A run of a later version of this program."""


def _moment(text: str) -> str:
    try:
        year = datetime.fromisoformat(text).year
    except ValueError:
        raise ValueError("not a time") from None
    if not 1970 <= year <= 2999:  # what is reckoned with it must stay within what a time can be
        raise ValueError("not a time that can be")
    return text


# What no run says is refused where it is read: elsewhere it would meet arithmetic that it is too great for.
_Moment: TypeAlias = Annotated[str, Field(max_length=64), AfterValidator(_moment)]
_Iteration: TypeAlias = Annotated[int, Field(ge=0, le=MOST_ITERATIONS)]


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

    iteration: _Iteration
    time: _Moment
    settings: dict[str, Annotated[list[Any], Field(min_length=2, max_length=2)]]


@dataclass(frozen=True)
class Driver:
    """The process that drives a run, told from others that have its id: at another time, or in another container.

    Attributes
    ----------
    where
        What :func:`~l2o_engine.support.process_ids.whereabouts` says of it.
    began
        What :func:`~l2o_engine.support.process_ids.began` says of it.
    lock
        The inode of the lock file that it holds.
    """

    where: Annotated[str, Field(max_length=256)]
    began: Annotated[int, Field(ge=0, lt=2**63)]
    lock: Annotated[int, Field(ge=0, lt=2**64)]


@dataclass(frozen=True)
class Record:
    """What ``run.json`` says.

    ``status`` is what the driving process last wrote; :meth:`~l2o_engine.runs.folder.Run.status` also notices that the
    process is gone. ``levels`` is None until a session has measured them. ``driver`` tells the process of ``pid`` from
    others of that id; runs of an older version say nothing of it. ``changes`` are what was changed on the way.
    ``device`` is where the backend computes, and what that is.

    ``given_name``, ``note`` and ``tags`` are a person's words for the run. ``changed`` is what its experiment differs
    in from the preset that it was made of, "table.key" → [before, now]; None where that is not known, as of runs of an
    older version; ``origin`` is the digest of that preset's settings.
    """

    status: Status
    pid: Annotated[int, Field(ge=0, lt=2**31)]
    host: str
    preset: str
    seed: Annotated[int, Field(ge=0, lt=2**63)]
    seeds: Annotated[int, Field(ge=1, le=1024)]
    backend: str
    backend_reason: str
    iteration: _Iteration
    iterations: _Iteration
    created: _Moment
    updated: _Moment
    elapsed_seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    average_log_result: Annotated[float, Field(allow_inf_nan=False)] | None
    message: str
    versions: dict[str, str]
    levels: StoredLevels | None = None
    driver: Driver | None = None
    changes: tuple[Change, ...] = ()
    device: str = CPU
    given_name: Annotated[str, Field(max_length=MOST_NAME)] = ""
    note: Annotated[str, Field(max_length=MOST_NOTE)] = ""
    tags: Annotated[tuple[Annotated[str, Field(max_length=MOST_TAG)], ...], Field(max_length=MOST_TAGS)] = ()
    changed: dict[str, Annotated[list[Any], Field(min_length=2, max_length=2)]] | None = None
    origin: Annotated[str, Field(max_length=64)] = ""
    format: int = FORMAT

    @property
    def label(self) -> str:
        """What the run is called that has no given name: preset, what was changed, seeds."""
        return run_label(self.preset, in_short(self.changed or {}), self.seed, self.seeds)

    @property
    def has_ended_early(self) -> bool:
        """Whether its validations have ended it before its total, as its message says: there is nothing to continue."""
        return self.status == "finished" and self.iteration < self.iterations and bool(self.message)


_RECORDS = TypeAdapter(Record)
SETTLED_NS = 2_000_000_000
"""A file that was written so long ago will not be written again within one tick of its time."""
Stamp: TypeAlias = tuple[int, int, int]
"""What tells whether a file is still the one that was read: its inode, time and size."""
_MOST_READ = 20_000
_read: dict[Path, tuple[Stamp, Record]] = {}  # by path: of thousands of runs, few change


def new_record(
    preset: Preset,
    driver: Driver | None = None,
    sources: Mapping[str, str] | None = None,
    about: About = NOTHING_SAID,
    origin: Settings | None = None,
) -> Record:
    """Return the record of a run that this process is about to begin.

    Parameters
    ----------
    preset, driver
        The run's.
    sources
        What :func:`sources_of` says of its problem, where that is known.
    about
        A person's words for it.
    origin
        The settings of what it was made of; the shipped preset's of its name, if not given.
    """
    moment = now()
    changed, digest = what_was_changed(preset, origin)
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
        versions={**versions(), **(sources or {})},
        driver=driver,
        given_name=about.name,
        note=about.note,
        tags=about.tags,
        changed=None if changed is None else {name: list(pair) for name, pair in changed.items()},
        origin=digest,
    )


def read_record(path: Path) -> Record:
    """Read a ``run.json``; one that has not been written since it was read last is not read again.

    Raises
    ------
    RunError
        If it is not there, cannot be read, is of another format, or says what no run does.
    """
    stamp = stamp_of(path)
    if stamp is not None and (known := _read.get(path)) is not None and known[0] == stamp:
        return known[1]
    record = read_record_once(path)
    if stamp is not None and time.time_ns() - stamp[1] > SETTLED_NS:
        if len(_read) >= _MOST_READ:
            _read.clear()
        _read[path] = stamp, record
    return record


def stamp_of(path: Path | str) -> Stamp | None:
    """Return a file's stamp; None where there is no file."""
    try:
        found = os.lstat(path)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


def read_record_once(path: Path) -> Record:
    """Read a ``run.json`` and keep nothing of it: for who looks through thousands; see :func:`read_record`."""
    try:
        text = read_bytes(path, _MOST_BYTES)
        if not text:
            raise ValueError("it is empty")
        document = from_json(text)  # which knows how deep it may be
        if document["format"] != FORMAT:
            what = LaterFormatError if isinstance(document["format"], int) and document["format"] > FORMAT else RunError
            raise what(f"{path.parent} is of format {document['format']!a:.20}, this version reads {FORMAT}")
        return _RECORDS.validate_json(text, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise RunError(f"{path} cannot be read: {place}: {rule_of(first)}") from error
    except (FileNotFoundError, NotADirectoryError) as error:
        raise RunError(f"{path.parent} holds no run (there is no run.json)") from error
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror or error}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} cannot be read: {error}") from error


def document_of(record: Record) -> dict[str, Any]:
    """Return what a record that was read says, as plain values: of thousands, a tenth of what asdict takes.

    Parameters
    ----------
    record
        As :func:`read_record` or :func:`read_record_once` returns it.
    """
    document: dict[str, Any] = _RECORDS.dump_python(record)
    return document


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


_PACKAGES = ("l2o-tui", "numpy", "torch", "sympy", "numba", "llvmlite")


def versions() -> dict[str, str]:
    """Return the versions that a result may depend on, and the CPU's, without importing anything heavy."""
    found = {"python": platform.python_version(), "platform": platform.platform(), "cpu": _cpu()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found


def sources_of(preset: Preset) -> dict[str, str]:
    """Return the files that a problem is made of, with their SHA-256, as they stand beside the versions.

    Raises
    ------
    UserError
        If one is not there or cannot be read.
    """
    return {f"{_SOURCE}{name}": digest for name, digest in preset.experiment.task.sources.items()}


_SOURCE = "sha256 of "


def other_sources(before: Mapping[str, str], after: Mapping[str, str]) -> str:
    """Return in words which files of a problem are not those that it was made of; "" where they are the same.

    Parameters
    ----------
    before, after
        The versions, with the sources; what was not recorded is not compared.
    """
    names = [name for name in after if name.startswith(_SOURCE) and before.get(name, after[name]) != after[name]]
    return ", ".join(f"{name} {before[name]:.16}… → {after[name]:.16}…" for name in names)


def changed_code(before: Mapping[str, str], preset: Preset) -> dict[str, list[str]]:
    """Return the files of a problem that is code and has other content than it had, "sha256 of file" → [before, now].

    Parameters
    ----------
    before
        The versions, with the sources, as the run has them.
    preset
        Its preset.

    Raises
    ------
    UserError
        If the code may not run, or fails.
    """
    if not preset.problem.is_code:
        return {}
    after = sources_of(preset)
    names = sorted({name for name in (*before, *after) if name.startswith(_SOURCE)})
    if not any(name in before for name in names):  # a run.json that was rebuilt does not know what it was
        return {}
    pairs = {name: [before.get(name, ""), after.get(name, "")] for name in names}
    return {
        name: [f"{digest:.16}…" if digest else "not there" for digest in pair]
        for name, pair in pairs.items()
        if pair[0] != pair[1]
    }


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
