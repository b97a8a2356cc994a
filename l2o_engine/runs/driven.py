"""A run's folder in the hands of the process that drives it: what it writes there, and how it finds its way back."""

import errno
import os
import socket
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from l2o_engine.optimizers.learned.exported import Exported
from l2o_engine.optimizers.learned.exported_file import content_of
from l2o_engine.presets.identity import differing, in_words, resumed_settings
from l2o_engine.presets.labels import Settings
from l2o_engine.presets.schema import Preset
from l2o_engine.presets.tables import to_toml
from l2o_engine.records.codec import CheckpointLine, StartLine
from l2o_engine.records.events import Event
from l2o_engine.records.rows import Rows
from l2o_engine.runs import checkpoints
from l2o_engine.runs.about import NOTHING_SAID, About
from l2o_engine.runs.blocks_file import BlockWriter, cuts
from l2o_engine.runs.checkpoints import Checkpoint, CheckpointError, Kind
from l2o_engine.runs.commands import Inbox
from l2o_engine.runs.events_file import append_event, open_events
from l2o_engine.runs.folder import TEMPORARY, Run, is_beginning, lanes_of
from l2o_engine.runs.lock import WATCH_SECONDS, HeldError, RunLock, is_beating, is_here, take_lock
from l2o_engine.runs.metrics_file import RowFormat
from l2o_engine.runs.record import (
    ACTIVE,
    Change,
    Record,
    RunError,
    changed_code,
    new_record,
    now,
    other_sources,
    sources_of,
    versions,
    what_changed,
    write_record,
)
from l2o_engine.runs.starting import START_FILE, start_beside, what_lacks
from l2o_engine.support.files import (
    HeldFolder,
    append,
    make_folder,
    names_in,
    open_to_append,
    open_to_read,
    remove,
    remove_folder,
    write_atomically,
    write_first,
)
from l2o_engine.support.wording import some_of

if TYPE_CHECKING:
    from hashlib import _Hash

_GUARD_SECONDS = 1.0
_FILES_MADE = ("events.jsonl", "run.json", "metrics.csv", START_FILE, "preset.toml")
_FOLDERS_MADE = ("checkpoints", "commands")


class InOtherHandsError(RunError):
    """Another process drives the run: it cannot be taken now."""


class TakenError(RunError):
    """The run is in another process's hands meanwhile: this one must write nothing more."""


@dataclass(frozen=True)
class _Good:
    """A checkpoint to go on from, and the digest of the metrics before it."""

    checkpoint: Checkpoint
    digest: "_Hash"


class DrivenRun(Run):
    """A run's folder, in the hands of the process that drives it. Close it when done.

    Use :meth:`create` or :meth:`take`. Before anything is written, once a second at most, it is made sure that the run
    is still ours: a lock file that was removed is made and locked anew; where another process has taken the run (this
    one was stopped for minutes, say), :class:`TakenError` is raised in place of every write.

    Attributes
    ----------
    current
        The preset, with the total that it has now.
    inbox
        What other processes ask of the run.
    notices
        What is to be told of the folder, by whoever drives the run: it takes them away.
    changes
        What has been changed of the experiment since it was last driven.
    write_seconds
        How long it took to write run.json the last time; 0 before the first.
    """

    def __init__(self, folder: Path, lock: RunLock, notices: Sequence[str] = ()) -> None:
        folder = folder.resolve()  # recorded, and read by others, from another working folder
        self._held = HeldFolder(folder)
        with ExitStack() as opened:
            opened.callback(self._held.let_go)
            super().__init__(folder)
            self._use(self.preset())
            self.notices = list(notices)
            self.changes: tuple[Change, ...] = ()
            self._lock = lock
            self._guard_due = 0.0
            self.write_seconds = 0.0
            self._record = self.record()
            # These are unknown until it is known where the run goes on.
            self._digest: _Hash | None = None  # of metrics.csv
            self._blocks: BlockWriter | None = None
            self._good: _Good | None = None  # to go on from, where it has been looked for already
            make_folder(self.checkpoints_path, self.folder)
            if foreign := checkpoints.foreign_in(self.checkpoints_path):
                self.notices.append(f"checkpoints/ holds what is no checkpoint, and is left there: {some_of(foreign)}")
            # Unbuffered: what a full disk did not take is not tried again when the file is closed.
            self._metrics = opened.enter_context(open_to_append(self.metrics_path, make=False))
            self._events = opened.enter_context(open_events(self.events_path))
            self.inbox = Inbox(self.commands_path)
            opened.pop_all()  # it is close() that closes them from here on

    def _use(self, preset: Preset) -> None:
        self.current = preset
        self._layout = preset.experiment.layout
        self._format = _format_of(preset)

    @classmethod
    def create(
        cls,
        preset: Preset,
        folder: Path,
        start: Exported | None = None,
        *,
        about: About = NOTHING_SAID,
        origin: Settings | None = None,
    ) -> "DrivenRun":
        """Make the folder of a new run; what a process left of one that was killed while it made it is taken.

        Parameters
        ----------
        preset
            The effective preset.
        folder
            Where to.
        start
            What the training begins with, where the preset has a table ``[start]``.
        about
            A person's words for the run.
        origin
            The settings of what it was made of, see :mod:`l2o_engine.runs.origin`, from which the run records how it
            differs; the shipped preset's of its name, if not given.

        Raises
        ------
        RunError
            If the folder is there and not empty, or cannot be made; or what the training begins with is not given.
        UserError
            If data that the problem is made of is not there or cannot be read.
        """
        if preset.start is not None and (start is None or preset.start.digest is None):
            raise RunError(what_lacks(preset))
        weights = b"" if start is None else content_of(start)  # before anything is made, as what follows: it may fail
        sources = sources_of(preset)
        lock: RunLock | None = None
        is_new = False
        try:
            folder.mkdir(parents=True, exist_ok=True)
            names = names_in(folder)
            if names and not is_beginning(folder):
                what = "already holds a run" if "run.json" in names else "is not empty"
                remedy = "`resume` goes on with it; or choose" if "run.json" in names else "Choose"
                raise RunError(f"{folder} {what}; nothing in it is overwritten. {remedy} another folder")
            is_new = not names
            lock = take_lock(folder)
            if (folder / "run.json").exists():  # another process was quicker
                raise RunError(f"{folder} already holds a run; nothing in it is overwritten. Choose another folder")
            if not is_new:
                _remove_temporaries(folder)
            if weights:
                write_first(folder / START_FILE, weights)
            write_first(folder / "preset.toml", to_toml(preset).encode())
            write_first(folder / "metrics.csv", _format_of(preset).header.encode())
            # With this there is a run; what a process leaves that is killed before is a beginning, to be made anew.
            began = time.monotonic()
            write_record(folder / "run.json", new_record(preset, lock.driver, sources, about, origin))
            took = time.monotonic() - began
            if about != NOTHING_SAID:  # of which run.json could be made anew
                with open_events(folder / "events.jsonl") as events:
                    append_event(events, about.told)
            made = cls(folder, lock)
            made.write_seconds = took
            return made
        except HeldError as error:
            raise RunError(f"another process is making a run in {folder}") from error
        except (OSError, RunError) as error:
            if lock is not None:
                lock.release()
            if isinstance(error, RunError):
                raise
            if is_new:
                _unmake(folder)
            raise RunError(f"cannot make the run's folder {folder}: {error.strerror or error}") from error

    @classmethod
    def take(
        cls,
        folder: Path,
        *,
        accept_changes: bool = False,
        notices: Sequence[str] = (),
        tell: Callable[[str], None] | None = None,
    ) -> "DrivenRun":
        """Take a run that is there, to go on with it.

        One that was driven on another host, or in another container, is watched for some seconds first: if run.json
        changes, somebody drives it.

        Parameters
        ----------
        folder
            The run's folder.
        accept_changes
            Whether to go on though preset.toml has been edited since, and train something else from here on. It is
            recorded.
        notices
            What :func:`~l2o_engine.runs.rebuild.mend_record` said of it.
        tell
            Is told what takes some seconds.

        Raises
        ------
        InOtherHandsError
            If another process drives it.
        RunError
            If there is none, preset.toml has been edited, a link or something else that is no file stands where the run
            has a file, or there is nothing good to go on from. Nothing is changed then.
        """
        run = Run(folder)
        found = run.record()
        in_other_hands = f"{run.name} is being driven by process {found.pid} on {found.host}"
        if found.status in ACTIVE and not is_here(found):
            if tell:
                place = f"{found.host} (another container, or before a restart)"
                place = place if found.host == socket.gethostname() else found.host
                tell(f"{run.name} was last driven on {place}: watching {WATCH_SECONDS:g} s for a sign of life")
            if is_beating(run.record):
                raise InOtherHandsError(in_other_hands)
        try:
            with ExitStack() as undo:
                lock = take_lock(folder)
                undo.callback(lock.release)
                if lock.is_contested(run.record()):
                    raise InOtherHandsError(in_other_hands)
                edited = _what_was_edited(run, accept=accept_changes)
                taken = cls(folder, lock, notices)
                undo.pop_all()
                undo.callback(taken.close)
                taken._good = taken._newest_good()
                if taken._good is None:
                    taken.start()  # which it will begin with
                taken._take_over(found, edited)
                undo.pop_all()
                return taken
        except HeldError as error:
            raise InOtherHandsError(in_other_hands) from error
        except OSError as error:
            place = f"{error.filename}: " if error.filename else ""
            raise RunError(f"cannot go on with {run.name}: {place}{error.strerror}") from error

    def _take_over(self, found: Record, edited: tuple[Change, ...]) -> None:
        """Put our name into run.json in place of who drove the run before, and clear away what he left half done."""
        _remove_temporaries(self.folder)
        ours = versions() | sources_of(self.current)
        if differs := what_changed(found.versions, ours):
            self.notices.append(f"not as when it was last driven: {differs}; results may differ in their last bits")
        if not self.current.problem.is_code and (other := other_sources(found.versions, ours)):
            self.notices.append(
                f"not the files that the run was made with: {other}; its results may be of other images"
            )
        self.changes = edited
        is_rewritten = bool(changed_code(found.versions, self.current))
        self._write_record(
            replace(
                self._record,
                levels=None if is_rewritten else self._record.levels,  # they were measured on what the code was
                pid=os.getpid(),
                host=socket.gethostname(),
                driver=self._lock.driver,
                versions=ours,
                changes=(*found.changes, *edited),
            )
        )

    # Where it goes on.

    def start(self) -> Exported | None:
        """Return what the training begins with; None where it begins with drawn weights.

        Raises
        ------
        RunError
            If it is not there, or another one.
        """
        return start_beside(self.current, self.folder)

    def restore(self) -> tuple[Checkpoint | None, list[str]]:
        """Return the newest good checkpoint and what was wrong with newer ones; cut the metrics back to it.

        A checkpoint is good if it is whole, and metrics.csv begins with the rows that it was written after. None means
        that the run has no checkpoint yet and starts over.

        Raises
        ------
        RunError
            If there are checkpoints and none is good, or if there must have been some. Nothing is cut then.
        """
        self._guard()
        good, self._good = self._good or self._newest_good(), None
        notices, self.notices = self.notices, []  # each is told once, however often a run goes back
        if good is None:
            header = self._format.header.encode()
            if self.metrics_bytes > len(header):
                notices.append("there is no checkpoint yet: the run starts over")
            self._cut_back(len(header), sha256(header))
            return None, notices
        self._cut_back(good.checkpoint.metrics_bytes, good.digest)
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
                self.notices.append(f"passed over a checkpoint: {error}")
        anew = f"to begin anew with its settings, run {self.folder / 'preset.toml'}"
        if paths:
            what = f"none of the checkpoints of {self.name} is good:"
            raise RunError(what, *self.notices, f"restore what was changed from a copy; or {anew}")
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

    def _cut_back(self, size: int, digest: "_Hash") -> None:
        """Cut the metrics, of which the rest has this digest, and sum up what is left of them."""
        self._metrics.truncate(size)
        self._digest = digest
        if self._blocks is not None:
            self._blocks.close()
        window = self.current.report.rolling_window
        self._blocks = BlockWriter(self.blocks_path, self.metrics_path, lanes_of(self.current), window)
        self._sum_up(partial(BlockWriter.go_on, size=size))

    def best_rank(self, until: int) -> tuple[int, float]:
        """Return how good the best checkpoint up to a meta-iteration is: what is lower for a better one.

        That is minus its stage, and its figure; infinity where there is none.
        """
        ranks = [(0, inf)]
        for path in checkpoints.newest_first(self.checkpoints_path):
            if checkpoints.kind_of(path) is Kind.BEST and checkpoints.iteration_of(path) <= until:
                with suppress(CheckpointError):  # one that is damaged is not the best
                    head = checkpoints.head_of(path)
                    ranks += [] if head.average_log_result is None else [(-head.stage, head.average_log_result)]
        return min(ranks)

    # Whether it is still ours.

    def _guard(self) -> None:
        """Make sure that the run is still ours, before something is written."""
        moment = _seconds()
        if moment < self._guard_due:
            return
        try:
            found = self.record()
        except RunError:  # what cannot be read names nobody
            found = self._record
        if _process_of(found) != _process_of(self._record):
            raise TakenError(
                f"{self.name} is in other hands, of process {found.pid} on {found.host}: this process has stopped and "
                "writes nothing more"
            )
        if self._lock.is_lost:  # as it is, too, where the folder is elsewhere now, and could still be written into
            if not self.is_there:
                raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self.folder))
            self._retake()
        self._guard_due = moment + _GUARD_SECONDS

    def _retake(self) -> None:
        try:
            self._lock.retake()
        except (HeldError, OSError):
            return  # who takes the run writes run.json, who only tries lets go; what is out of reach is said elsewhere
        self.notices.append("the run's lock file was removed or replaced while it was driven; it is there again")
        self._write_record(replace(self._record, driver=self._lock.driver))

    # What it writes.

    def append_rows(self, rows: Rows) -> None:
        """Write rows of metrics; they are in the file, if not yet on the disk, when this returns."""
        self._guard()
        parts = [rows.between(start, stop) for start, stop in cuts(rows)]
        written = [self._format.format(part) for part in parts]
        end, data = self.metrics_bytes, b"".join(written)
        append(self._metrics, data)
        if self._digest:
            self._digest.update(data)
        for part, text in zip(parts, written, strict=True):
            end += len(text)
            self._sum_up(partial(BlockWriter.add, rows=part, end=end))

    def _sum_up(self, work: Callable[[BlockWriter], None]) -> None:
        """Let the rows be summed up; where that fails, those who read them must read all of them, and that is all."""
        if self._blocks is not None:
            try:
                work(self._blocks)
            except (OSError, ValueError):
                self._blocks.close()
                self._blocks = None

    def append_event(self, event: Event) -> None:
        """Write an event, if it is one that is recorded."""
        self._guard()
        append_event(self._events, event)

    def save(self, checkpoint: Checkpoint, kind: Kind) -> Path:
        """Write a checkpoint and remove old ones; the metrics it counts on are on the disk first."""
        self._guard()
        os.fsync(self._metrics.fileno())
        path = checkpoints.write(self.checkpoints_path, checkpoint, self._layout, kind)
        if kind is Kind.BEST:
            checkpoints.retire_best(self.checkpoints_path, path)
        checkpoints.prune(self.checkpoints_path, self.current.run.keep_checkpoints, checkpoint.iteration)
        return path

    @property
    def is_there(self) -> bool:
        """Whether the folder is still where it was."""
        return self._held.is_there

    @property
    def metrics_bytes(self) -> int:
        """How long metrics.csv is."""
        return self._metrics.seek(0, os.SEEK_END)

    @property
    def metrics_sha256(self) -> str | None:
        """The SHA-256 of metrics.csv; None before :meth:`restore`."""
        return self._digest.hexdigest() if self._digest else None

    @property
    def written(self) -> Record:
        """What run.json says, or is about to, without reading it: nobody else writes it while the run is ours."""
        return self._record

    def update(self, **changes: Any) -> None:
        """Change what run.json says."""
        self._guard()
        self._write_record(replace(self._record, **changes))

    def note(self, **changes: Any) -> None:
        """Change what run.json says with the next :meth:`update`: what may be found out anew if there is none."""
        self._record = replace(self._record, **changes)

    def _write_record(self, record: Record) -> None:
        self._record = replace(record, updated=now())
        began = time.monotonic()
        write_record(self.record_path, self._record)
        self.write_seconds = time.monotonic() - began

    def describe(self, about: About) -> None:
        """Call the run this from now on; who drives it records the event that says so."""
        self.update(given_name=about.name, note=about.note, tags=about.tags)

    def set_iterations(self, iterations: int) -> None:
        """Give the run a new total, in preset.toml and run.json."""
        self._guard()
        settings = self.current.run.model_copy(update={"iterations": iterations})
        changed = self.current.model_copy(update={"run": settings})
        write_atomically(self.folder / "preset.toml", to_toml(changed).encode())
        self._use(changed)  # not before: the disk may be full
        self.update(iterations=iterations)

    def close(self) -> None:
        """Let go of the folder."""
        try:
            for file in (self._metrics, self._events, self._blocks):
                with suppress(OSError):  # what could not be written has been told already
                    if file is not None:
                        file.close()
        finally:
            self._held.let_go()
            self._lock.release()


def _what_was_edited(run: Run, *, accept: bool) -> tuple[Change, ...]:
    """Return what has been edited in preset.toml since the run was last driven, so that it is another experiment now.

    Raises
    ------
    RunError
        If that is not accepted, or nothing could go on with it.
    """
    preset = run.preset()
    rewritten = changed_code(run.record().versions, preset)
    for path in checkpoints.newest_first(run.checkpoints_path):
        try:
            head = checkpoints.head_of(path)
        except CheckpointError:  # who restores the run will say so
            continue
        changed = differing(head.settings or {}, resumed_settings(preset))
        later = [change for change in run.record().changes if change.iteration >= head.iteration]
        accepted = {name: pair[1] for change in later for name, pair in change.settings.items()}
        changed = {name: pair for name, pair in changed.items() if accepted.get(name, ...) != pair[1]}
        if not changed and not rewritten:
            return ()
        if not checkpoints.is_whole(path):  # who restores the run will say so; it may have been another bit all along
            continue
        edited = "the preset.toml" if changed else "the code"
        changed |= rewritten
        what = f"{edited} of {run.name} was edited after it was trained with it: {in_words(changed)}"
        if not accept:
            raise RunError(
                f"{what}. Set {'them' if edited.endswith('toml') else 'it'} back, start a new run"
                f"{' from that file' if edited.endswith('toml') else ''}, or go on with the changed experiment: "
                "resume --accept-changes, which records it"
            )
        if fixed := sorted(changed.keys() & {"run.seed", "run.seeds", "run.dtype"}):
            raise RunError(f"{what}. {', '.join(fixed)} cannot be changed in a run; start a new one")
        try:
            checkpoints.read(path, preset.experiment, len(preset.seeds))
        except CheckpointError as error:
            raise RunError(f"{what}. Its checkpoints cannot go on so: {error}") from error
        return (Change(head.iteration, now(), changed),)
    return ()


def _remove_temporaries(folder: Path) -> None:
    """Remove what a killed process was writing."""
    for name in filter(TEMPORARY.fullmatch, names_in(folder)):
        remove(folder / name)
    checkpoints.remove_temporaries(folder / "checkpoints")


def _unmake(folder: Path) -> None:
    """Remove what there is of a run that could not be made: a folder without a run would be in the way.

    The lock file goes last. If the disk does not let go of something, it says that this is the beginning of a run of
    ours, which the next process takes.
    """
    with suppress(OSError):
        _remove_temporaries(folder)
        for name in _FILES_MADE:
            remove(folder / name)
        for name in _FOLDERS_MADE:
            remove_folder(folder / name)
        remove(folder / ".lock")
        folder.rmdir()


def _process_of(record: Record) -> tuple[object, ...]:
    """Return by what the process that drives a run is known; its lock may be another one meanwhile."""
    driver = record.driver
    return record.pid, record.host, driver and (driver.where, driver.began)


def _seconds() -> float:
    """Return a clock's seconds that go on while the machine sleeps: another may have taken the run meanwhile."""
    return time.clock_gettime(time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic()


def _format_of(preset: Preset) -> RowFormat:
    numbers = tuple(preset.inputs.numbers) if preset.learns else ()
    return RowFormat(lanes_of(preset), preset.run.dtype, learned=preset.learns, numbers=numbers)
