"""A run's folder in the hands of the process that drives it: what it writes there, and how it finds its way back."""

import json
import os
import socket
from contextlib import suppress
from dataclasses import replace
from io import RawIOBase
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from l2o_engine.presets.schema import Preset
from l2o_engine.presets.tables import to_toml
from l2o_engine.records.codec import as_json
from l2o_engine.records.events import Event
from l2o_engine.records.rows import Rows
from l2o_engine.runs import checkpoints
from l2o_engine.runs.checkpoints import Checkpoint, CheckpointError
from l2o_engine.runs.commands import Inbox
from l2o_engine.runs.folder import Run, lanes_of
from l2o_engine.runs.lock import is_beating, take_lock
from l2o_engine.runs.metrics_file import RowFormat
from l2o_engine.runs.record import ACTIVE, RunError, new_record, now, versions, write_record
from l2o_engine.support.files import write_atomically


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
        self._layout = preset.experiment.layout
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
            lock = take_lock(folder)
            (folder / "checkpoints").mkdir()
            write_atomically(folder / "preset.toml", to_toml(preset).encode())
            write_atomically(folder / "metrics.csv", _format_of(preset).header.encode())
            write_record(folder / "run.json", new_record(preset))
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
        found = run.record()
        in_other_hands = f"{run.name} is being driven by process {found.pid} on {found.host}"
        is_elsewhere = found.host != socket.gethostname() and found.status in ACTIVE
        if is_elsewhere and (run.is_driven() or is_beating(run.record)):
            raise RunError(in_other_hands)
        try:
            lock = take_lock(folder)
            try:
                taken = cls(folder, lock)
            except RunError:
                lock.release()
                raise
            for left in (*folder.glob(".*.tmp"), *taken.checkpoints_path.glob(".*.tmp")):  # by a killed process
                left.unlink(missing_ok=True)
            taken.update(pid=os.getpid(), host=socket.gethostname(), versions=versions())
        except Timeout as error:
            raise RunError(in_other_hands) from error
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
                checkpoint = checkpoints.read(path, self.current.experiment)
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
            raise RunError(f"none of the checkpoints of {self.name} is good:", *notices)
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
        lines = [json.dumps({"time": now()} | document) + "\n" for document in as_json(event)]
        if lines:
            _write(self._events, "".join(lines).encode())

    def save(self, checkpoint: Checkpoint, *, keep: bool) -> Path:
        """Write a checkpoint and remove old ones; the metrics it counts on are on the disk first."""
        os.fsync(self._metrics.fileno())
        path = checkpoints.write(self.checkpoints_path, checkpoint, self._layout, keep=keep)
        checkpoints.prune(self.checkpoints_path, self.current.run.keep_checkpoints)
        return path

    @property
    def is_there(self) -> bool:
        """Whether the folder is still where it was."""
        return self.folder.is_dir()

    @property
    def metrics_bytes(self) -> int:
        """How long metrics.csv is."""
        return self._metrics.seek(0, os.SEEK_END)

    def update(self, **changes: Any) -> None:
        """Change what run.json says."""
        self._record = replace(self._record, **changes, updated=now())
        write_record(self.record_path, self._record)

    def set_iterations(self, iterations: int) -> None:
        """Give the run a new total, in preset.toml and run.json."""
        settings = self.current.run.model_copy(update={"iterations": iterations})
        changed = self.current.model_copy(update={"run": settings})
        write_atomically(self.folder / "preset.toml", to_toml(changed).encode())
        self._use(changed)  # not before: the disk may be full
        self.update(iterations=iterations)

    def close(self) -> None:
        """Let go of the folder."""
        try:
            for file in (self._metrics, self._events):
                with suppress(OSError):  # what could not be written has been told already
                    file.close()
        finally:
            self._lock.release()


def _format_of(preset: Preset) -> RowFormat:
    numbers = tuple(preset.inputs.numbers) if preset.learns else ()
    return RowFormat(lanes_of(preset), preset.run.dtype, learned=preset.learns, numbers=numbers)


def _write(file: RawIOBase, data: bytes) -> None:
    """Write all of it, for a raw file may take less at a time; or nothing, where the disk does not take all."""
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[file.write(rest) or 0 :]
    except OSError as error:
        with suppress(OSError):
            file.truncate(file.seek(0, os.SEEK_END) - (len(data) - len(rest)))
        raise OSError(error.errno, error.strerror, getattr(file, "name", None)) from error


def _ends_with_newline(path: Path) -> bool:
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
