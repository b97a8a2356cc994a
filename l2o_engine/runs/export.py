"""A run's metrics in another tool's format: CSV, JSON, Parquet, or TensorBoard's event files; and its optimizer.

What is exported is ``metrics.csv`` as it is when the export begins, so a run that another process drives can be
exported too. It is read a block at a time, and more than once where that saves memory: a long run needs little of it.
"""

import errno
import json
import os
import re
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from io import BufferedWriter
from math import isfinite
from pathlib import Path
from textwrap import indent
from typing import Any, BinaryIO, Literal
from urllib.parse import quote

import numpy as np

from l2o_engine.optimizers.learned.exported import Exported
from l2o_engine.optimizers.learned.exported_file import content_of
from l2o_engine.presets.schema import Preset
from l2o_engine.presets.tables import to_dict, to_toml
from l2o_engine.records.codec import as_json
from l2o_engine.records.events import Progress
from l2o_engine.records.frames import INTEGERS, Column, ParquetFile, schema_of, table_of
from l2o_engine.runs.exported import BEST, CheckpointChoice, measured
from l2o_engine.runs.folder import Run, lanes_of
from l2o_engine.runs.metrics_file import CutBackError, ThinnedLines
from l2o_engine.runs.record import RunError
from l2o_engine.support.errors import Failure, UserError
from l2o_engine.support.files import (
    atomic_file,
    make_folder,
    names_in,
    open_to_append,
    remove,
    rename,
    sync_folder,
)
from l2o_engine.training.trainer import Lane

FORMAT = 1
FileFormat = Literal["csv", "json", "parquet"]
DecimalMark = Literal[".", ","]

_INTEGERS = ("iteration", "seed", "non_finite")
_KEYS = ("iteration", "optimizer", "seed")
_TAGS = {
    "end_loss": "loss/end",
    "sum_loss": "loss/sum",
    "end_log10": "log10/end",
    "mean_log10": "log10/mean",
}  # all other numbers are under meta/
_MISSING_LIBRARY = "--format tensorboard needs a library that is not installed: pip install 'l2o-tui[tensorboard]'"
_RUN_FILES = ("preset.toml", "run.json", "metrics.csv", "events.jsonl", "start.safetensors")
_EVENT_FILE = re.compile(r"events\.out\.tfevents\.[0-9]+\.l2o-tui")
_LANE_FOLDER = re.compile(r"seed[0-9]+(-.*)?")
# What goes wrong on the way; any other OSError says that the place was wrong from the start.
_FAILURES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EPIPE)


class ExportError(UserError):
    """The export cannot be written as asked. The message is meant for the user."""


def write_metrics(
    run: Run, file_format: FileFormat, file: BinaryIO, *, every: int = 1, decimal: DecimalMark = "."
) -> None:
    """Write a run's metrics to an open file.

    Parameters
    ----------
    run
        The run.
    file_format
        "csv": the header and the rows of ``metrics.csv``, their bytes unchanged. "json": one object with "format",
        "run" (what run.json says, with the status as it really is), "settings" (the effective preset), "progress" (the
        progress rows, as the event stream has them) and "metrics", which holds an array for every column. Non-finite
        numbers, and what a run does not have, are null. "parquet": see :mod:`l2o_engine.records.frames`.
    file
        Where the bytes go; OSErrors of writing to it are passed on.
    every
        Only the meta-iterations that it divides are written, and each lane's last one.
    decimal
        Of CSV: with ",", numbers have decimal commas, and semicolons stand between them.

    Raises
    ------
    RunError
        If the run cannot be read.
    MissingLibraryError
        If it is to be Parquet and pyarrow is not installed.
    """
    with _reading(run):
        lines = ThinnedLines(run.metrics_path, lanes_of(run.preset()), every)
        if file_format == "csv" and decimal == ",":
            for block in lines.blocks_with_commas():
                file.write(block)
        elif file_format == "csv":
            file.write(lines.header)
            for block in lines.blocks():
                file.write(block)
        elif file_format == "parquet":
            _write_parquet(run, lines, file)
        else:
            _write_json(run, lines, file)


def export_file(
    run: Run,
    file_format: FileFormat,
    output: Path,
    *,
    every: int = 1,
    decimal: DecimalMark = ".",
    force: bool = False,
) -> None:
    """Write a run's metrics into a file, whole or not at all; ``force`` replaces one that is there and not empty.

    See :func:`write_metrics` for the formats. A pipe or a device is written to as it is.

    Raises
    ------
    ExportError
        If the output is there already, or cannot be made.
    RunError
        If the run cannot be read.
    Failure
        If writing fails on the way; nothing is left of it then.
    """
    with _output(output, file_format, run.folder, force=force) as file:
        write_metrics(run, file_format, file, every=every, decimal=decimal)


def export_optimizer(
    run: Run,
    output: Path,
    *,
    seed: int | None = None,
    checkpoint: CheckpointChoice = BEST,
    force: bool = False,
) -> tuple[Exported, str]:
    """Write a run's trained optimizer into a file, whole or not at all; ``force`` replaces one that is there.

    Parameters
    ----------
    run
        The run.
    output
        The file.
    seed, checkpoint
        Which replicate's, and of which checkpoint; see :meth:`~l2o_engine.runs.folder.Run.exported`.
    force
        Whether a file that is there and not empty is replaced.

    Returns
    -------
    tuple
        What was written; and why it does not say what it meets, or "".

    Raises
    ------
    ExportError
        If the output is there already, or cannot be made.
    RunError
        If the run trains nothing, has no such replicate or no such checkpoint that is good.
    OptimizerFileError
        If the network is lost: its weights are not finite.
    Failure
        If writing fails on the way; nothing is left of it then.
    """
    with _output(output, "optimizer", run.folder, force=force) as file:  # before what takes seconds: it may be refused
        exported, why_not = measured(run, run.exported(seed, checkpoint))
        file.write(content_of(exported))
    return exported, why_not


def write_optimizer(exported: Exported, output: Path, *, force: bool = False) -> None:
    """Write a trained optimizer into a file as an export does; see :func:`export_optimizer`.

    Parameters
    ----------
    exported
        The optimizer.
    output
        The file.
    force
        Whether a file that is there and not empty is replaced.
    """
    with _output(output, "optimizer", None, force=force) as file:
        file.write(content_of(exported))


@contextmanager
def _output(output: Path, file_format: str, folder: Path | None, *, force: bool) -> Iterator[BinaryIO]:
    """Open the file that an export writes, whole or not at all; a pipe or a device is written to as it is."""
    try:
        if output.is_dir():
            raise ExportError(f"{output} is a folder; --format {file_format} writes a file")
        path = output.resolve() if output.is_file() else output  # not the link that leads to it is replaced
        if path.is_file():
            if folder is not None and path.parent == folder.resolve() and path.name in _RUN_FILES:
                raise ExportError(f"{output} belongs to the run itself; choose another file")
            if path.stat().st_size and not force:
                raise ExportError(f"{output} is there already; --force replaces it")
        with path.open("wb") if path.exists() and not path.is_file() else atomic_file(path) as file:
            yield file
    except OSError as error:
        raise _unwritable(output, error) from error


def export_tensorboard(run: Run, folder: Path, *, every: int = 1, force: bool = False) -> None:
    """Write a run's metrics as TensorBoard's event files, all of them or none.

    A run with one lane is one file in the folder, a run with several has a subfolder for each: ``seed3``, or
    ``seed3-SGD`` where no network is trained. The columns are scalars, as float32, which is what TensorBoard keeps; the
    averages of the progress rows are scalars under ``report/``, and the effective preset is a text. Events are dated
    from the run's start by the training time that its progress rows tell, so the same run gives the same bytes.

    Parameters
    ----------
    run
        The run.
    folder
        Where to; made if it is not there.
    every
        Only the meta-iterations that it divides are written, and each lane's last one.
    force
        Write into a folder that is not empty: our event files in it and in its subfolders ``seed*`` are replaced,
        nothing else is touched, and no link is followed.

    Raises
    ------
    ExportError
        If the library is missing, or the folder is not empty or cannot be made.
    RunError
        If the run cannot be read.
    Failure
        If writing fails on the way; nothing is left of it then.
    """
    events = _EventFormat()
    try:
        if folder.exists() and not folder.is_dir():
            raise ExportError(f"{folder} is a file; --format tensorboard writes a folder")
        if folder.is_dir() and names_in(folder) and not force:
            raise ExportError(f"{folder} is not empty; --force replaces our event files in it")
        with _reading(run):
            _write_tensorboard(run, ThinnedLines(run.metrics_path, lanes_of(run.preset()), every), folder, events)
    except OSError as error:
        raise _unwritable(folder, error) from error


@contextmanager
def _reading(run: Run) -> Iterator[None]:
    """Say of the run that it cannot be read, where it cannot."""
    path = run.metrics_path
    try:
        yield
    except CutBackError as error:
        raise RunError(f"{path} became shorter while it was read; export again") from error
    except ValueError as error:
        raise RunError(f"{path} cannot be read: {error}") from error


def _write_json(run: Run, lines: ThinnedLines, file: BinaryIO) -> None:
    head = {
        "format": FORMAT,
        "run": run.recorded_state(),
        "settings": to_dict(run.preset()),
        "progress": [document for row in run.progress() for document in as_json(row)],
    }
    file.write(json.dumps(head, allow_nan=False).encode().removesuffix(b"}") + b', "metrics": {')
    for name in [*_KEYS, *(name for name in lines.names if name not in _KEYS)]:
        comma = "" if name == _KEYS[0] else ","
        file.write(f"{comma}\n{json.dumps(name)}: [".encode())
        separator, index = b"", lines.names.index(name)
        for rows in lines.rows():  # a pass a column: in memory are some rows only
            if rows:
                values = [_json_value(name, row[index]) for row in rows]
                file.write(separator + json.dumps(values, allow_nan=False).encode()[1:-1])
                separator = b", "
        file.write(b"]")
    file.write(b"\n}}\n")


def _json_value(name: str, cell: bytes) -> int | float | str | None:
    if name == "optimizer":
        return cell.decode()
    if name in _INTEGERS:
        return int(cell)
    value = float(cell or "nan")
    return value if isfinite(value) else None


def _write_parquet(run: Run, lines: ThinnedLines, file: BinaryIO) -> None:
    optimizers = list(dict.fromkeys(lane.optimizer for lane in lanes_of(run.preset())))
    places = {name.encode(): place for place, name in enumerate(optimizers)}
    schema = schema_of(lines.names, run.about())
    with ParquetFile(file, schema) as parquet:
        for rows in lines.rows():
            if rows:
                cells = dict(zip(lines.names, zip(*rows, strict=True), strict=True))
                columns = {name: _parquet_column(name, column, places) for name, column in cells.items()}
                parquet.add(table_of(columns, schema, optimizers))


def _parquet_column(name: str, cells: Sequence[bytes], places: Mapping[bytes, int]) -> Column:
    if name == "optimizer":
        return np.array([places[cell] for cell in cells], np.int32)
    if not cells[0]:  # a column that is empty is so in the whole file
        return None
    if name == "non_finite":
        return np.array([cell != b"0" for cell in cells])
    return np.array(cells).astype(np.int64 if name in INTEGERS else np.float64)


class _EventFormat:
    """Makes TensorBoard's events. Needs the library tensorboard, neither TensorFlow nor PyTorch.

    Raises
    ------
    ExportError
        If the library is not installed.
    """

    def __init__(self) -> None:
        try:
            from tensorboard.compat.proto import event_pb2, summary_pb2, tensor_pb2, tensor_shape_pb2, types_pb2
            from tensorboard.plugins.text.metadata import create_summary_metadata
            from tensorboard.summary.writer.record_writer import RecordWriter
        except ImportError as error:
            raise ExportError(_MISSING_LIBRARY) from error
        self._event, self._summary = event_pb2.Event, summary_pb2.Summary
        self._tensor, self._shape, self._types = tensor_pb2.TensorProto, tensor_shape_pb2.TensorShapeProto, types_pb2
        self._text_metadata = create_summary_metadata
        self._writer = RecordWriter

    def append(self, file: BinaryIO, event: Any) -> None:
        """Write an event."""
        self._writer(file).write(event.SerializeToString())

    def version(self, wall_time: float) -> Any:
        """Return what an event file begins with."""
        return self._event(wall_time=wall_time, file_version="brain.Event:2")

    def text(self, wall_time: float, tag: str, text: str) -> Any:
        """Return a text, to be shown as it is."""
        code = indent(text, " " * 4, lambda line: True)  # the text is read as Markdown
        tensor = self._tensor(dtype=self._types.DT_STRING, tensor_shape=self._shape(), string_val=[code.encode()])
        value = self._summary.Value(tag=f"{tag}/text_summary", metadata=self._text_metadata(tag, ""), tensor=tensor)
        return self._event(wall_time=wall_time, step=0, summary=self._summary(value=[value]))

    def scalars(self, wall_time: float, step: int, values: Sequence[tuple[str, float]]) -> Any:
        """Return scalars, by their tags."""
        value = self._summary.Value
        summary = self._summary(value=[value(tag=tag, simple_value=number) for tag, number in values])
        return self._event(wall_time=wall_time, step=step, summary=summary)


@dataclass(frozen=True)
class _LaneFile:
    """A lane's event file, and its progress rows."""

    path: Path
    progress: list[Progress]

    @property
    def part(self) -> Path:
        """The file while it is written: TensorBoard takes what has "tfevents" in its name, so it does not see this."""
        return self.path.with_name(f".{os.getpid()}.tmp")

    def seconds(self, iterations: Sequence[int]) -> list[float]:
        """Return the seconds of training [iterations] until then, interpolated between the progress rows."""
        if not self.progress:
            return [0.0] * len(iterations)
        known = [row.iteration for row in self.progress], [row.elapsed_seconds for row in self.progress]
        seconds: list[float] = np.interp(iterations, *known).tolist()
        return seconds


def _write_tensorboard(run: Run, lines: ThinnedLines, folder: Path, events: _EventFormat) -> None:
    preset, progress = run.preset(), run.progress()
    created = datetime.fromisoformat(run.record().created).timestamp()
    files = {}
    for lane in lanes_of(preset):
        path = folder / _subfolder(preset, lane) / f"events.out.tfevents.{created:.0f}.l2o-tui"
        own = [row for row in progress if row.lane == lane]
        files[lane.optimizer.encode(), str(lane.seed).encode()] = _LaneFile(path, own)
    made = [place for file in files.values() for place in file.path.parents if not place.exists()]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in files.values():
            if file.path.parent != folder:
                make_folder(file.path.parent, folder)
            remove(file.part, folder)  # of a killed process that had our id
            with _appending(file.part, folder) as part:
                events.append(part, events.version(created))
                events.append(part, events.text(created, "preset", to_toml(preset)))
        _append_rows(lines, files, created, events, folder)
        _publish(folder, list(files.values()))
    finally:
        for file in files.values():
            with suppress(OSError):
                remove(file.part, folder)
        for place in made:
            with suppress(OSError):  # it is not there, or not empty: what was exported stays
                place.rmdir()


def _append_rows(
    lines: ThinnedLines,
    files: Mapping[tuple[bytes, bytes], _LaneFile],
    created: float,
    events: _EventFormat,
    folder: Path,
) -> None:
    iteration = lines.names.index("iteration")
    tags = [(index, _TAGS.get(name, f"meta/{name}")) for index, name in enumerate(lines.names) if name not in _KEYS]
    reports = {owner: deque(_report(events, row, created) for row in file.progress) for owner, file in files.items()}
    for rows in lines.rows():
        by_owner = defaultdict(list)
        for row in rows:
            by_owner[lines.owner(row)].append(row)
        for owner, own in by_owner.items():
            steps = [int(row[iteration]) for row in own]
            with _appending(files[owner].part, folder) as part:  # opened anew for every block: there may be 1,000 lanes
                for row, step, seconds in zip(own, steps, files[owner].seconds(steps), strict=True):
                    while reports[owner] and reports[owner][0].step <= step:
                        events.append(part, reports[owner].popleft())
                    values = [(tag, float(row[index])) for index, tag in tags if row[index]]
                    events.append(part, events.scalars(created + seconds, step, values))
    for owner, rest in reports.items():  # told after the rows were read
        with _appending(files[owner].part, folder) as part:
            for report in rest:
                events.append(part, report)


def _publish(folder: Path, files: Sequence[_LaneFile]) -> None:
    old = _event_files(folder)
    for file in files:
        with _appending(file.part, folder) as part:
            os.fsync(part.fileno())
    for file in files:
        rename(file.part, file.path.name, folder)
        sync_folder(file.path.parent, folder)
    for path in old.difference(file.path for file in files):
        remove(path, folder)


def _appending(path: Path, folder: Path) -> BufferedWriter:
    return BufferedWriter(open_to_append(path, folder))


def _event_files(folder: Path) -> set[Path]:
    """Return the event files of ours that are in a folder and in its subfolders for lanes; no link is followed."""
    found: set[Path] = set()
    for place in [folder, *(folder / name for name in names_in(folder) if _LANE_FOLDER.fullmatch(name))]:
        with suppress(OSError):  # a link, or no folder
            found.update(place / name for name in names_in(place, folder) if _EVENT_FILE.fullmatch(name))
    return found


def _report(events: _EventFormat, row: Progress, created: float) -> Any:
    averages = ("average_log_result", "average_sum_log_result")
    values = [(f"report/{name}", getattr(row, name)) for name in averages]
    return events.scalars(created + row.elapsed_seconds, row.iteration, values)


def _subfolder(preset: Preset, lane: Lane) -> str:
    if len(lanes_of(preset)) == 1:
        return ""
    return f"seed{lane.seed}" + (f"-{quote(lane.optimizer, safe='')}" if preset.kind == "baselines" else "")


def _unwritable(output: Path, error: OSError) -> UserError | Failure:
    message = f"cannot write {output}: {error.strerror or error}"
    return Failure(message) if error.errno in _FAILURES else ExportError(message)
