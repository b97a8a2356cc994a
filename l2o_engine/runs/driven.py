"""A run's folder in the hands of the process that drives it: what it writes there, and how it finds its way back."""

import json
import os
import socket
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from hashlib import sha256
from io import FileIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock, Timeout

from l2o_engine.presets.schema import Preset
from l2o_engine.presets.tables import to_toml
from l2o_engine.records.codec import CheckpointLine, StartLine, as_json
from l2o_engine.records.events import Event
from l2o_engine.records.rows import Rows
from l2o_engine.runs import checkpoints
from l2o_engine.runs.checkpoints import Checkpoint, CheckpointError
from l2o_engine.runs.commands import Inbox
from l2o_engine.runs.folder import TEMPORARY, Run, is_beginning, lanes_of
from l2o_engine.runs.lock import is_beating, take_lock
from l2o_engine.runs.metrics_file import RowFormat
from l2o_engine.runs.record import ACTIVE, RunError, new_record, now, versions, write_record
from l2o_engine.support.files import make_folder, names_in, open_to_append, open_to_read, remove, write_atomically
from l2o_engine.support.wording import some_of

if TYPE_CHECKING:
    from hashlib import _Hash


@dataclass(frozen=True)
class _Good:
    """A checkpoint to go on from, and the digest of the metrics before it."""

    checkpoint: Checkpoint
    digest: "_Hash"


class DrivenRun(Run):
    """A run's folder, in the hands of the process that drives it. Close it when done.

    Use :meth:`create` or :meth:`take`.
    """

    def __init__(self, folder: Path, lock: FileLock, notices: Sequence[str] = ()) -> None:
        super().__init__(folder.resolve())  # recorded, and read by others, from another working folder
        self._use(self.preset())  # before anything is opened: it may fail
        self._lock = lock
        self._notices = list(notices)
        self._record = self.record()
        self._digest: _Hash | None = None  # of metrics.csv, once it is known what is in it
        self._good: _Good | None = None  # to go on from, where it has been looked for already
        make_folder(self.checkpoints_path, self.folder)
        if foreign := checkpoints.foreign_in(self.checkpoints_path):
            self._notices.append(f"checkpoints/ holds what is no checkpoint, and is left there: {some_of(foreign)}")
        with ExitStack() as opened:
            # Unbuffered: what a full disk did not take is not tried again when the file is closed.
            self._metrics = opened.enter_context(open_to_append(self.metrics_path, make=False))
            self._events = opened.enter_context(open_to_append(self.events_path))
            self.inbox = Inbox(self.commands_path)
            if self._events.tell() and not _ends_with_newline(self.events_path):
                _write(self._events, self.events_path, b"\n")  # a killed process left half a line
            opened.pop_all()  # it is close() that closes them from here on

    def _use(self, preset: Preset) -> None:
        self.current = preset
        self._layout = preset.experiment.layout
        self._format = _format_of(preset)

    @classmethod
    def create(cls, preset: Preset, folder: Path) -> "DrivenRun":
        """Make the folder of a new run; what a process left of one that was killed while it made it is taken.

        Raises
        ------
        RunError
            If the folder is there and not empty, or cannot be made.
        """
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if names_in(folder) and not is_beginning(folder):
                what = "already holds a run" if (folder / "run.json").exists() else "is not empty"
                raise RunError(f"{folder} {what}; nothing in it is overwritten. Choose another folder")
            lock = take_lock(folder)
            if (folder / "run.json").exists():  # another process was quicker
                lock.release()
                raise RunError(f"{folder} already holds a run; nothing in it is overwritten. Choose another folder")
            make_folder(folder / "checkpoints", folder)
            write_atomically(folder / "preset.toml", to_toml(preset).encode())
            write_atomically(folder / "metrics.csv", _format_of(preset).header.encode())
            write_record(folder / "run.json", new_record(preset))
            made = cls(folder, lock)
            made._remove_temporaries()
            return made
        except OSError as error:
            raise RunError(f"cannot make the run's folder {folder}: {error.strerror or error}") from error

    @classmethod
    def take(cls, folder: Path, *, notices: Sequence[str] = ()) -> "DrivenRun":
        """Take a run that is there, to go on with it.

        Parameters
        ----------
        folder
            The run's folder.
        notices
            What :func:`~l2o_engine.runs.rebuild.mend_record` said of it; :meth:`restore` tells it.

        Raises
        ------
        RunError
            If there is none, another process drives it, a link or something else that is no file stands where the run
            has a file, or there is nothing good to go on from. Nothing is changed then.
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
                taken = cls(folder, lock, notices)
            except (RunError, OSError):
                lock.release()
                raise
            try:
                taken._good = taken._newest_good()
                taken._remove_temporaries()
                taken.update(pid=os.getpid(), host=socket.gethostname(), versions=versions())
            except (RunError, OSError):
                taken.close()
                raise
        except Timeout as error:
            raise RunError(in_other_hands) from error
        except OSError as error:
            place = f"{error.filename}: " if error.filename else ""
            raise RunError(f"cannot go on with {run.name}: {place}{error.strerror}") from error
        return taken

    def _remove_temporaries(self) -> None:
        """Remove what a killed process was writing."""
        for name in filter(TEMPORARY.fullmatch, names_in(self.folder)):
            remove(self.folder / name)
        checkpoints.remove_temporaries(self.checkpoints_path)

    def restore(self) -> tuple[Checkpoint | None, list[str]]:
        """Return the newest good checkpoint and what was wrong with newer ones; cut the metrics back to it.

        A checkpoint is good if it is whole, and metrics.csv begins with the rows that it was written after. None means
        that the run has no checkpoint yet and starts over.

        Raises
        ------
        RunError
            If there are checkpoints and none is good, or if there must have been some. Nothing is cut then.
        """
        good, self._good = self._good or self._newest_good(), None
        notices, self._notices = self._notices, []  # each is told once, however often a run goes back
        if good is None:
            header = self._format.header.encode()
            if self.metrics_bytes > len(header):
                notices.append("there is no checkpoint yet: the run starts over")
            self._metrics.truncate(len(header))
            self._digest = sha256(header)
            return None, notices
        self._metrics.truncate(good.checkpoint.metrics_bytes)
        self._digest = good.digest
        return good.checkpoint, notices

    def _newest_good(self) -> "_Good | None":
        """Return the newest checkpoint that is good, None where there is none yet; note what is wrong with newer ones.

        Raises
        ------
        RunError
            If there are checkpoints and none is good, or if there must have been some, or metrics.csv is another's.
        """
        paths = checkpoints.newest_first(self.checkpoints_path)
        for path in paths:
            try:
                checkpoint = checkpoints.read(path, self.current.experiment, len(self.current.seeds))
                return _Good(checkpoint, self._checked_metrics(path, checkpoint))
            except CheckpointError as error:
                self._notices.append(f"passed over a checkpoint: {error}")
        anew = f"to begin anew with its settings, run {self.folder / 'preset.toml'}"
        if paths:
            what = f"none of the checkpoints of {self.name} is good:"
            raise RunError(what, *self._notices, f"restore what was changed from a copy; or {anew}")
        if self._had_checkpoints():
            raise RunError(f"the checkpoints of {self.name} are gone; there is nothing to go on from; {anew}")
        header = self._format.header.encode()
        with open_to_read(self.metrics_path) as file:
            if file.read(len(header)) != header:
                raise RunError(f"{self.metrics_path} does not begin with the header that the run wrote; {anew}")
        return None

    def _checked_metrics(self, path: Path, checkpoint: Checkpoint) -> "_Hash":
        """Make sure that metrics.csv begins with the rows that a checkpoint was written after."""
        if set(checkpoint.trainers) != set(self.current.seeds):
            raise CheckpointError(f"{path.name} is of other seeds than preset.toml")
        try:
            return self.check_metrics(checkpoint)
        except (OSError, ValueError) as error:
            raise CheckpointError(f"{path.name} does not fit metrics.csv: {error}") from error

    def _had_checkpoints(self) -> bool:
        """Return whether a checkpoint was written, by what else is there."""
        events = list(self.recorded())
        has_done = self._record.iteration > 0 or self.metrics_bytes > len(self._format.header)
        return (
            any(isinstance(event, CheckpointLine) for event in events)
            or (self._record.iteration > 0 and self._record.status not in (*ACTIVE, "failed"))  # saved when it ended
            or (has_done and not any(isinstance(event, StartLine) for event in events))  # they are gone as well
        )

    def append_rows(self, rows: Rows) -> None:
        """Write rows of metrics; they are in the file, if not yet on the disk, when this returns."""
        _write(self._metrics, self.metrics_path, self._format.format(rows), self._digest)

    def append_event(self, event: Event) -> None:
        """Write an event, if it is one that is recorded."""
        lines = [json.dumps({"time": now()} | document) + "\n" for document in as_json(event)]
        if lines:
            _write(self._events, self.events_path, "".join(lines).encode())

    def save(self, checkpoint: Checkpoint, *, keep: bool) -> Path:
        """Write a checkpoint and remove old ones; the metrics it counts on are on the disk first."""
        os.fsync(self._metrics.fileno())
        if self._digest and checkpoint.metrics_bytes == self.metrics_bytes:
            checkpoint = replace(checkpoint, metrics_sha256=self._digest.hexdigest())
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


def _write(file: FileIO, path: Path, data: bytes, digest: "_Hash | None" = None) -> None:
    """Write all of it, for a raw file may take less at a time; or nothing, where the disk does not take all.

    A digest gets to know of what was written.
    """
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[file.write(rest) or 0 :]
    except OSError as error:
        with suppress(OSError):
            file.truncate(file.seek(0, os.SEEK_END) - (len(data) - len(rest)))
        raise OSError(error.errno, error.strerror, str(path)) from error
    if digest:
        digest.update(data)


def _ends_with_newline(path: Path) -> bool:
    with open_to_read(path) as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
