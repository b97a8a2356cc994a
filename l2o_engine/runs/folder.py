"""A run's folder: what a run leaves behind, readable while it runs and enough to go on from.

``preset.toml`` is the effective preset, ``run.json`` the status, ``metrics.csv`` one row a meta-iteration,
``events.jsonl`` what happened when, ``checkpoints/`` the state, ``commands/`` what others ask of it. One process drives
a run at a time: it holds ``.lock``, and writes ``run.json`` every second.
"""

import fcntl
import json
import os
import platform
import shutil
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from difflib import get_close_matches
from importlib.metadata import PackageNotFoundError, version
from io import RawIOBase
from pathlib import Path
from time import sleep
from typing import Any, TypeVar

from filelock import FileLock, Timeout
from pydantic import TypeAdapter, ValidationError

from l2o_engine.optimizers.learned.lstm import Network, make_network
from l2o_engine.presets.schema import Preset, PresetError, load, to_toml
from l2o_engine.records.codec import as_json, progress_from_json, vitals_from_json
from l2o_engine.records.events import Event, Progress, Status
from l2o_engine.records.health import Vitals
from l2o_engine.records.rows import Rows
from l2o_engine.runs import checkpoints
from l2o_engine.runs.checkpoints import Checkpoint, CheckpointError
from l2o_engine.runs.commands import Inbox
from l2o_engine.runs.metrics_file import RowFormat, read_rows
from l2o_engine.support.errors import UserError
from l2o_engine.support.files import write_atomically
from l2o_engine.training.trainer import LEARNED, Lane

FORMAT = 1
ACTIVE = ("running", "paused")
"""The statuses of a run that a process drives."""
SILENT_SECONDS = 60.0
"""A driver on another host that has not written run.json for so long counts as gone."""
_BEAT_SECONDS = 3.0  # within which a driver that is there writes run.json, whatever our clocks say
_Kind = TypeVar("_Kind")


class RunError(UserError):
    """A run that cannot be created, found, read or driven. The message is meant for the user."""


@dataclass(frozen=True)
class Record:
    """What ``run.json`` says.

    ``status`` is what the driving process last wrote; :meth:`Run.status` also notices that the process is gone.
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
    format: int = FORMAT


_RECORDS = TypeAdapter(Record)


def lanes_of(preset: Preset) -> tuple[Lane, ...]:
    """Return the series that a run of this preset produces: by seed, then by optimizer."""
    optimizers = [baseline.name for baseline in preset.baseline] if preset.kind == "baselines" else [LEARNED]
    return tuple(Lane(seed, optimizer) for seed in preset.seeds for optimizer in optimizers)


def _format_of(preset: Preset) -> RowFormat:
    learned = preset.kind == "meta-training"
    numbers = ("min_log",) if learned and hasattr(preset.transform, "min_log") else ()
    return RowFormat(lanes_of(preset), preset.run.dtype, learned=learned, numbers=numbers)


def versions() -> dict[str, str]:
    """Return the versions that a result may depend on, without importing anything heavy."""
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for package in ("l2o-tui", "numpy", "torch"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found


class Run:
    """A run's folder, for reading.

    Parameters
    ----------
    folder
        The run's folder.

    Raises
    ------
    RunError
        If the folder holds no run that this version can read.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        if not self.record_path.is_file():
            raise RunError(f"{folder} holds no run (there is no run.json)")
        self.record()

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def record_path(self) -> Path:
        """Where run.json is."""
        return self.folder / "run.json"

    @property
    def metrics_path(self) -> Path:
        """Where metrics.csv is."""
        return self.folder / "metrics.csv"

    @property
    def events_path(self) -> Path:
        """Where events.jsonl is."""
        return self.folder / "events.jsonl"

    @property
    def checkpoints_path(self) -> Path:
        """Where the checkpoints are."""
        return self.folder / "checkpoints"

    @property
    def commands_path(self) -> Path:
        """Where others leave what they ask of the run."""
        return self.folder / "commands"

    def record(self) -> Record:
        """Return what run.json says now."""
        try:
            text = self.record_path.read_bytes()
            document = json.loads(text)
            if document["format"] != FORMAT:
                raise RunError(f"{self.folder} is of format {document['format']}, this version reads {FORMAT}")
            record = _RECORDS.validate_json(text, strict=True)
            for moment in (record.created, record.updated):
                datetime.fromisoformat(moment)
        except ValidationError as error:
            first = error.errors()[0]
            place = ".".join(map(str, first["loc"]))
            raise RunError(f"{self.record_path} cannot be read: {place}: {first['msg']}") from error
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise RunError(f"{self.record_path} cannot be read: {error}") from error
        return record

    def preset(self) -> Preset:
        """Return the effective preset."""
        try:
            return load(self.folder / "preset.toml")
        except PresetError as error:
            raise RunError(str(error)) from error

    def status(self) -> Status:
        """Return the run's status; "interrupted" where it says it is active and its process is gone."""
        record = self.record()
        return "interrupted" if record.status in ACTIVE and not self.is_driven() else record.status

    def is_driven(self) -> bool:
        """Return whether a process drives the run: by its lock, or, on another host, by the time in run.json.

        Nothing is written. Not every file system shows a lock to other hosts. There a driver that writes run.json
        every second counts as gone after ``SILENT_SECONDS``; clocks that differ by more make this wrong.
        """
        is_locked, record = _is_locked(self.folder), self.record()
        if is_locked or record.status not in ACTIVE:
            return bool(is_locked)
        if record.host != socket.gethostname():
            return _age(record) < SILENT_SECONDS
        return is_locked is None and _is_alive(record.pid)

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield the recorded events, each with its time; a torn line is left out."""
        try:
            lines = self.events_path.read_text(encoding="utf-8").splitlines()
        except OSError:
            return
        for line in lines:
            try:
                document = json.loads(line)
            except ValueError:
                continue
            if isinstance(document, dict):
                yield document

    def progress(self) -> list[Progress]:
        """Return the progress rows, by iteration, then by lane."""
        return self._told("progress", progress_from_json)

    def vitals(self) -> list[tuple[Lane, Vitals]]:
        """Return what was measured at every look, by iteration, then by lane."""
        return self._told("diagnosis", vitals_from_json)

    def _told(self, name: str, parse: Callable[[Mapping[str, Any]], _Kind]) -> list[_Kind]:
        """Return the events of a name, each once, in order: a resumed run may have told one twice."""
        places = {lane: place for place, lane in enumerate(lanes_of(self.preset()))}
        found: dict[tuple[int, int], _Kind] = {}
        for document in self.events():
            if document.get("event") == "start":  # of a resumed run: what lay beyond its checkpoint was done again
                resumed_from = document.get("resumed_from", -1)
                found = {place: event for place, event in found.items() if place[0] <= resumed_from}
            elif document.get("event") == name:
                try:
                    event = parse(document)
                    found[document["iteration"], places[Lane(document["seed"], document["optimizer"])]] = event
                except (KeyError, TypeError, ValueError):
                    continue
        return [found[key] for key in sorted(found)]

    def rows(self) -> Iterator[Rows]:
        """Read the metrics, some rows at a time."""
        try:
            yield from read_rows(self.metrics_path, lanes_of(self.preset()))
        except OSError as error:
            raise RunError(f"{self.metrics_path} cannot be read: {error.strerror}") from error
        except ValueError as error:
            raise RunError(f"{self.metrics_path} cannot be read: {error}") from error

    def latest_checkpoint(self) -> Path | None:
        """Return the newest checkpoint's path."""
        return next(iter(checkpoints.newest_first(self.checkpoints_path)), None)


class DrivenRun(Run):
    """A run's folder, in the hands of the process that drives it. Close it when done.

    Use :meth:`create` or :meth:`take`.
    """

    def __init__(self, folder: Path, lock: FileLock) -> None:
        super().__init__(folder.resolve())  # recorded, and read by others, from another working folder
        self._use(self.preset())  # before anything is opened: it may fail
        self._lock = lock
        self._record = self.record()
        self.inbox = Inbox(self.commands_path)
        # Unbuffered: what a full disk did not take is not tried again when the file is closed.
        self._metrics: RawIOBase = self.metrics_path.open("ab", buffering=0)
        self._events: RawIOBase = self.events_path.open("ab", buffering=0)
        if self._events.tell() and not _ends_with_newline(self.events_path):
            _write(self._events, b"\n")  # a killed process left half a line

    def _use(self, preset: Preset) -> None:
        self.current = preset
        self._network: Network = make_network(preset.network)
        self._format = _format_of(preset)

    @classmethod
    def create(cls, preset: Preset, folder: Path) -> "DrivenRun":
        """Make the folder of a new run.

        Raises
        ------
        RunError
            If the folder is there and not empty, or cannot be made.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if any(folder.iterdir()):
                what = "already holds a run" if (folder / "run.json").exists() else "is not empty"
                raise RunError(f"{folder} {what}; nothing in it is overwritten. Choose another folder")
            lock = _take_lock(folder)
            now = _now()
            record = Record(
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
                created=now,
                updated=now,
                elapsed_seconds=0.0,
                average_log_result=None,
                message="",
                versions=versions(),
            )
            (folder / "checkpoints").mkdir()
            write_atomically(folder / "preset.toml", to_toml(preset).encode())
            write_atomically(folder / "metrics.csv", _format_of(preset).header.encode())
            write_atomically(folder / "run.json", _document(record))
            return cls(folder, lock)
        except OSError as error:
            raise RunError(f"cannot make the run's folder {folder}: {error.strerror or error}") from error

    @classmethod
    def take(cls, folder: Path) -> "DrivenRun":
        """Take a run that is there, to go on with it.

        Raises
        ------
        RunError
            If there is none, or another process drives it.
        """
        run = Run(folder)
        record = run.record()
        is_elsewhere = record.host != socket.gethostname() and record.status in ACTIVE
        if is_elsewhere and (run.is_driven() or _beats(run)):
            raise RunError(f"{run.name} is being driven by process {record.pid} on {record.host}")
        try:
            lock = _take_lock(folder)
            try:
                taken = cls(folder, lock)
            except RunError:
                lock.release()
                raise
            for left in (*folder.glob(".*.tmp"), *taken.checkpoints_path.glob(".*.tmp")):  # by a killed process
                left.unlink(missing_ok=True)
            taken.update(pid=os.getpid(), host=socket.gethostname(), versions=versions())
        except Timeout as error:
            raise RunError(f"{run.name} is being driven by process {record.pid} on {record.host}") from error
        except OSError as error:
            raise RunError(f"cannot go on with {run.name}: {error.strerror}") from error
        return taken

    def restore(self) -> tuple[Checkpoint | None, list[str]]:
        """Return the newest good checkpoint and what was wrong with newer ones; cut the metrics back to it.

        None means that the run has no checkpoint at all and starts over.

        Raises
        ------
        RunError
            If there are checkpoints and none is good.
        """
        notices = []
        length = self.metrics_path.stat().st_size
        paths = checkpoints.newest_first(self.checkpoints_path)
        for path in paths:
            try:
                checkpoint = checkpoints.read(path, self._network, self.current.run.dtype)
                if checkpoint.metrics_bytes > length:
                    raise CheckpointError(f"{path.name} is ahead of metrics.csv, which has lost rows")
                if set(checkpoint.trainers) != set(self.current.seeds):
                    raise CheckpointError(f"{path.name} is of other seeds than preset.toml")
            except CheckpointError as error:
                notices.append(f"passed over a checkpoint: {error}")
                continue
            self._metrics.truncate(checkpoint.metrics_bytes)
            return checkpoint, notices
        if paths:
            raise RunError(f"none of the checkpoints of {self.name} is good:\n" + "\n".join(notices))
        if any(event.get("event") == "checkpoint" for event in self.events()):
            raise RunError(f"the checkpoints of {self.name} are gone; there is nothing to go on from")
        empty = len(self._format.header)
        self._metrics.truncate(empty)
        return None, ["there is no checkpoint yet: the run starts over"] if length > empty else []

    def append_rows(self, rows: Rows) -> None:
        """Write rows of metrics; they are in the file, if not yet on the disk, when this returns."""
        _write(self._metrics, self._format.format(rows))

    def append_event(self, event: Event) -> None:
        """Write an event, if it is one that is recorded."""
        lines = [json.dumps({"time": _now()} | document) + "\n" for document in as_json(event)]
        if lines:
            _write(self._events, "".join(lines).encode())

    def save(self, checkpoint: Checkpoint, *, keep: bool) -> Path:
        """Write a checkpoint and remove old ones; the metrics it counts on are on the disk first."""
        os.fsync(self._metrics.fileno())
        path = checkpoints.write(self.checkpoints_path, checkpoint, self._network, keep=keep)
        checkpoints.prune(self.checkpoints_path, self.current.run.keep_checkpoints)
        return path

    @property
    def metrics_bytes(self) -> int:
        """How long metrics.csv is."""
        return self._metrics.seek(0, os.SEEK_END)

    def update(self, **changes: Any) -> None:
        """Change what run.json says."""
        self._record = Record(**(asdict(self._record) | changes | {"updated": _now()}))
        write_atomically(self.record_path, _document(self._record))

    def set_iterations(self, iterations: int) -> None:
        """Give the run a new total, in preset.toml and run.json."""
        settings = self.current.run.model_copy(update={"iterations": iterations})
        self._use(self.current.model_copy(update={"run": settings}))
        write_atomically(self.folder / "preset.toml", to_toml(self.current).encode())
        self.update(iterations=iterations)

    def close(self) -> None:
        """Let go of the folder."""
        try:
            for file in (self._metrics, self._events):
                with suppress(OSError):  # what could not be written has been told already
                    file.close()
        finally:
            self._lock.release()


def new_folder(runs_dir: Path, preset: Preset) -> Path:
    """Make a folder for a new run, named by preset, seed and time; two runs that start at once get two.

    Raises
    ------
    RunError
        If it cannot be made.
    """
    stem = f"{preset.name}-s{preset.run.seed}-{datetime.now().astimezone():%Y%m%d-%H%M%S}"
    try:
        runs_dir.mkdir(parents=True, exist_ok=True)
        folder, count = runs_dir / stem, 1
        while True:
            try:
                folder.mkdir()
                return folder
            except FileExistsError:
                count += 1
                folder = runs_dir / f"{stem}-{count}"
    except OSError as error:
        raise RunError(f"cannot make a folder for the run in {runs_dir}: {error.strerror}") from error


def list_runs(runs_dir: Path) -> list[Run]:
    """Return the readable runs of a folder, the oldest first."""
    found = []
    for record in runs_dir.glob("*/run.json"):
        try:
            run = Run(record.parent)
            found.append((run.record().created, run.name, run))
        except RunError:
            continue
    return [run for _, _, run in sorted(found, key=lambda entry: entry[:2])]


def find_run(reference: str, runs_dir: Path) -> Run:
    """Return the run that a user means: a path, a name in the runs folder, the beginning of one, or "last".

    Raises
    ------
    RunError
        If there is none, or more than one.
    """
    if not reference:
        raise RunError('name a run: a folder, a name in the runs folder, or "last"')
    for folder in (Path(reference), runs_dir / reference):
        try:
            if (folder / "run.json").is_file():
                return Run(folder)
        except OSError:  # no name that the file system knows
            continue
    runs = list_runs(runs_dir)
    if reference == "last" and runs:
        return runs[-1]
    matches = [run for run in runs if run.name.startswith(reference)]
    if len(matches) == 1:
        return matches[0]
    if matches:
        raise RunError(f'"{reference}" may be any of {", ".join(run.name for run in matches)}')
    close = get_close_matches(reference, [run.name for run in runs], n=1, cutoff=0.4)
    hint = f'; did you mean "{close[0]}"?' if close else ""
    raise RunError(f'there is no run "{reference}" in {runs_dir}{hint}')


def delete(run: Run) -> None:
    """Remove a run's folder with all that is in it.

    Raises
    ------
    RunError
        If a process drives the run, or the folder cannot be removed.
    """
    if run.is_driven():
        raise RunError(f"{run.name} is being driven; stop it before it is deleted")
    try:
        shutil.rmtree(run.folder)
    except OSError as error:
        raise RunError(f"cannot remove {run.folder}: {error.strerror}") from error


def _lock(folder: Path) -> FileLock:
    # The lock is taken by one thread and let go by another: the screen's and the session's.
    return FileLock(folder / ".lock", thread_local=False)


def _take_lock(folder: Path) -> FileLock:
    lock = _lock(folder)
    lock.acquire(timeout=1)  # a moment's patience: who lists the runs holds the lock for an instant
    return lock


def _is_locked(folder: Path) -> bool | None:
    """Return whether a process holds the lock, without writing anything; None where that cannot be told."""
    try:
        descriptor = os.open(folder / ".lock", os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: those who look do not see one another
    except (BlockingIOError, PermissionError):
        return True
    except OSError:  # a file system without locks
        return None
    finally:
        os.close(descriptor)
    return False


def _age(record: Record) -> float:
    """Return how many seconds ago the record was written, by our clock."""
    return (datetime.now(UTC) - datetime.fromisoformat(record.updated).astimezone(UTC)).total_seconds()


def _beats(run: Run) -> bool:
    """Return whether a process writes run.json at this moment: clocks may differ by more than is_driven() allows."""
    before = run.record().updated
    sleep(_BEAT_SECONDS)
    return run.record().updated != before


def _write(file: RawIOBase, data: bytes) -> None:
    """Write all of it: a raw file may take less at a time."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) or 0 :]


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _document(record: Record) -> bytes:
    return (json.dumps(asdict(record), indent=2) + "\n").encode()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="milliseconds")


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
