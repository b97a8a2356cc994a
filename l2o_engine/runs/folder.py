"""A run's folder: what a run leaves behind, readable while it runs and enough to go on from.

``preset.toml`` is the effective preset, ``run.json`` the status, ``metrics.csv`` one row a meta-iteration,
``events.jsonl`` what happened when, ``checkpoints/`` the state, ``commands/`` what others ask of it. One process drives
a run at a time: it holds ``.lock``, and writes ``run.json`` every second.

A folder may come from anywhere: what is in it is opened by :mod:`l2o_engine.support.files`, and believed by nobody
before it was checked.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from l2o_engine.optimizers.learned.exported import Exported
from l2o_engine.optimizers.learned.learned_optimizer import TrainedOptimizer
from l2o_engine.presets.files import load
from l2o_engine.presets.messages import PresetError
from l2o_engine.presets.schema import Preset
from l2o_engine.presets.tables import to_toml
from l2o_engine.records import frames
from l2o_engine.records.blocks import Blocks
from l2o_engine.records.codec import (
    DiagnosisLine,
    ProgressLine,
    Recorded,
    StartLine,
    ValidationLine,
    finite,
    lane_of,
    progress_of,
    validated_of,
    vitals_of,
)
from l2o_engine.records.events import Progress, Status, Validated
from l2o_engine.records.health import Vitals
from l2o_engine.records.metrics import Metrics
from l2o_engine.records.rows import Rows
from l2o_engine.runs import checkpoints, lock
from l2o_engine.runs.blocks_file import beginning_of
from l2o_engine.runs.checkpoints import Checkpoint, CheckpointError, Kind
from l2o_engine.runs.events_file import EventsFile, damage_note
from l2o_engine.runs.metrics_file import check_prefix, header_of, read_rows
from l2o_engine.runs.record import ACTIVE, Record, RunError, read_record
from l2o_engine.support.files import names_in, open_to_read, read_bytes
from l2o_engine.training.trainer import Lane, lanes_of_seed

if TYPE_CHECKING:
    from hashlib import _Hash

    from torch import Tensor

    from l2o_engine.runs.exported import CheckpointChoice
    from l2o_engine.torch_optim.optimizer import Parameters, TorchOptimizer

TEMPORARY = re.compile(r"\.(run\.json|preset\.toml|metrics\.csv|blocks\.csv|start\.safetensors)\.[0-9]+\.tmp")
"""What the files of a run's folder are called while they are written."""

NAMES = frozenset(
    {".lock", "background.log", "blocks.csv", "checkpoints", "commands", "events.jsonl", "metrics.csv", "preset.toml"}
    | {"run.json", "run.json.damaged", "start.safetensors"}
)
"""What a run's folder holds, all of it, beside temporary files."""

_TABLES_FORMAT = 1
_BEGINNINGS = {".lock", "checkpoints", "commands", "preset.toml", "metrics.csv", "start.safetensors"}
_MOST_BEGINNING = 100_000  # bytes of a metrics.csv that holds but its header


@dataclass(frozen=True)
class Told:
    """What ``events.jsonl`` tells, each thing once: a resumed run may have told one twice.

    Attributes
    ----------
    progress
        The progress rows, by iteration, then by lane.
    vitals
        What was measured at every look, by iteration, then by lane.
    damaged
        How many lines were skipped because they are damaged.
    validated
        The validations, by iteration, then by lane.
    """

    progress: list[Progress]
    vitals: list[tuple[Lane, Vitals]]
    damaged: int
    validated: list[Validated]


def lanes_of(preset: Preset) -> tuple[Lane, ...]:
    """Return the series that a run of this preset produces: by seed, then by optimizer."""
    return tuple(lane for seed in preset.seeds for lane in lanes_of_seed(preset.experiment, seed))


def is_beginning(folder: Path) -> bool:
    """Return whether a folder holds what a process leaves that was killed while it made a run, and nothing else."""
    try:
        names = names_in(folder)
        if ".lock" not in names or not all(name in _BEGINNINGS or TEMPORARY.fullmatch(name) for name in names):
            return False
        inside = [names_in(folder / name, folder) for name in ("checkpoints", "commands") if name in names]
        rows = read_bytes(folder / "metrics.csv", _MOST_BEGINNING) if "metrics.csv" in names else b""
    except OSError:
        return False
    return not any(inside) and rows.count(b"\n") <= 1


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
    def blocks_path(self) -> Path:
        """Where blocks.csv is."""
        return self.folder / "blocks.csv"

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
        return read_record(self.record_path)

    def preset(self) -> Preset:
        """Return the effective preset."""
        try:
            return load(self.folder / "preset.toml", follows=False)
        except PresetError as error:
            raise RunError(*error.lines) from error

    def status(self) -> Status:
        """Return the run's status; "interrupted" where it says it is active and its process is gone."""
        record = self.record()
        return "interrupted" if record.status in ACTIVE and not self.is_driven() else record.status

    def is_driven(self) -> bool:
        """Return whether a process drives the run, as far as one look can tell: see :mod:`~l2o_engine.runs.lock`."""
        return lock.is_driven(self.folder, self.record)

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield the recorded events, each with its time; damaged lines are left out."""
        with suppress(OSError):  # there is none yet, or what is there is no file
            for line, _ in EventsFile(self.events_path).read():
                yield json.loads(line)

    def told(self) -> Told:
        """Return what the events tell, and how many lines of them are damaged."""
        places = {lane: place for place, lane in enumerate(lanes_of(self.preset()))}
        progress: dict[tuple[int, int], Progress] = {}
        vitals: dict[tuple[int, int], tuple[Lane, Vitals]] = {}
        validated: dict[tuple[int, int], Validated] = {}
        foreign, file = 0, EventsFile(self.events_path)
        for event in self._read(file):
            lane = lane_of(event)
            if lane is not None and lane not in places:
                foreign += 1
            elif isinstance(event, StartLine):  # of a resumed run: what lay beyond its checkpoint was done again
                last = -1 if event.resumed_from is None else event.resumed_from
                progress = {place: one for place, one in progress.items() if place[0] <= last}
                vitals = {place: one for place, one in vitals.items() if place[0] <= last}
                validated = {place: one for place, one in validated.items() if place[0] <= last}
            elif isinstance(event, ProgressLine):
                row = progress_of(event)
                progress[row.iteration, places[row.lane]] = row
            elif isinstance(event, DiagnosisLine):
                of_lane, measured = vitals_of(event)
                vitals[measured.iteration, places[of_lane]] = of_lane, measured
            elif isinstance(event, ValidationLine):
                found = validated_of(event)
                validated[found.verdict.iteration, places[found.lane]] = found
        return Told(
            [progress[place] for place in sorted(progress)],
            [vitals[place] for place in sorted(vitals)],
            file.damaged + foreign,
            [validated[place] for place in sorted(validated)],
        )

    def damage(self) -> list[str]:
        """Return what is known to be damaged of the run's records, a sentence each; none where nothing is.

        Of metrics.csv this is what the newest checkpoint vouches for; whoever reads its rows is told more.
        """
        notes = [self._unreadable_events(), damage_note(self.told().damaged)]
        if self.latest_checkpoint() is not None:
            try:
                self.check_metrics(self.checkpoint())
            except CheckpointError as error:
                notes.append(f"the newest checkpoint is damaged: {error}")
            except OSError as error:
                notes.append(f"metrics.csv cannot be read: {error.strerror or error}")
            except ValueError as error:
                notes.append(f"metrics.csv is damaged: {error}")
        return [note for note in notes if note]

    def _unreadable_events(self) -> str:
        """Say why there is nothing to be read of events.jsonl; an empty string where there is, or nothing was told."""
        try:
            open_to_read(self.events_path).close()
        except FileNotFoundError:
            is_lost = self.record().iteration > 0 and not self.is_driven()
            return "events.jsonl is gone, and with it the progress rows and the findings" if is_lost else ""
        except OSError as error:
            return f"events.jsonl cannot be read: {error.strerror or error}"
        return ""

    def check_metrics(self, checkpoint: Checkpoint) -> "_Hash":
        """Make sure that metrics.csv begins with the rows that a checkpoint was written after; return their SHA-256.

        Raises
        ------
        OSError
            If it cannot be read.
        ValueError
            If it does not. The message says, where that can be told, which line is wrong.
        """
        preset = self.preset()
        lanes = lanes_of(preset)
        return check_prefix(
            self.metrics_path,
            header_of(preset.inputs.numbers if preset.learns else ()),
            lanes,
            [checkpoint.trainers[lane.seed].done - 1 for lane in lanes],
            checkpoint.metrics_bytes,
            checkpoint.metrics_sha256,
        )

    def progress(self) -> list[Progress]:
        """Return the progress rows, by iteration, then by lane."""
        return self.told().progress

    def vitals(self) -> list[tuple[Lane, Vitals]]:
        """Return what was measured at every look, by iteration, then by lane."""
        return self.told().vitals

    def validated(self) -> list[Validated]:
        """Return the validations, by iteration, then by lane."""
        return self.told().validated

    def recorded(self) -> Iterator[Recorded]:
        """Yield the recorded events as the codec has them; damaged lines are left out."""
        yield from self._read(EventsFile(self.events_path))

    def _read(self, file: EventsFile) -> Iterator[Recorded]:
        with suppress(OSError):  # there is none yet, or what is there is no file
            yield from (event for _, event in file.read())

    def rows(self, behind: Blocks | None = None) -> Iterator[Rows]:
        """Read the metrics, some rows at a time; those behind the beginning, if one is given."""
        start, after = (behind.end, behind.iteration) if behind else (0, -1)
        with self._as_run_error():
            yield from read_rows(self.metrics_path, lanes_of(self.preset()), start=start, after=after)

    def beginning(self, *, least: int, window: int) -> Blocks | None:
        """Return the beginning of a long run summed up in blocks, in place of its rows; None where these must be read.

        Parameters
        ----------
        least
            How many meta-iterations are wanted as rows, at least: the last ones.
        window
            How many results rolling means are over.
        """
        with self._as_run_error():
            lanes = lanes_of(self.preset())
            return beginning_of(self.blocks_path, self.metrics_path, lanes, least=least, window=window)

    @contextmanager
    def _as_run_error(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RunError(f"{self.metrics_path} cannot be read: {error.strerror or error}") from error
        except ValueError as error:
            raise RunError(f"{self.metrics_path} cannot be read: {error}") from error

    def latest_checkpoint(self) -> Path | None:
        """Return the newest checkpoint's path."""
        return next(iter(checkpoints.newest_first(self.checkpoints_path)), None)

    def best_checkpoint(self) -> Path | None:
        """Return the path of the best checkpoint by the report's figure, if there is one."""
        paths = checkpoints.newest_first(self.checkpoints_path)
        return next((path for path in paths if checkpoints.kind_of(path) is Kind.BEST), None)

    def checkpoint(self) -> Checkpoint:
        """Return the newest checkpoint.

        Raises
        ------
        CheckpointError
            If there is none, or it is damaged.
        """
        preset = self.preset()
        while (path := self.latest_checkpoint()) is not None:
            try:
                return checkpoints.read(path, preset.experiment, len(preset.seeds))
            except CheckpointError:
                if path.exists():  # else who drives the run has removed it, for there are newer ones
                    raise
        raise CheckpointError(f"{self.name} has no checkpoint")

    def best_or_newest(self) -> tuple[Checkpoint, bool]:
        """Return the best checkpoint by the report's figure, and that it is; where none can be read, the newest.

        Raises
        ------
        CheckpointError
            If there is none, or it is damaged.
        """
        preset, path = self.preset(), self.best_checkpoint()
        if path is not None:
            with suppress(CheckpointError):  # or who drives the run has just found a better one
                return checkpoints.read(path, preset.experiment, len(preset.seeds)), True
        return self.checkpoint(), False

    def metrics(self) -> Metrics:
        """Return all metrics as columns; a run that is being driven has more a moment later.

        Raises
        ------
        RunError
            If they cannot be read, or there is no row yet.
        """
        parts = list(self.rows())
        if not parts:
            raise RunError(f"{self.name} has no result yet")
        return Metrics(parts, lanes_of(self.preset()), self.about())

    def about(self) -> dict[str, str]:
        """Return what a table of the run's metrics says of it: see :data:`l2o_engine.records.frames.FORMAT`."""
        record = json.dumps(self.recorded_state(), allow_nan=False)
        return {frames.FORMAT: str(_TABLES_FORMAT), frames.PRESET: to_toml(self.preset()), frames.RECORD: record}

    def recorded_state(self) -> dict[str, Any]:
        """Return what run.json says, as JSON has it, with the status as it really is."""
        record = asdict(self.record()) | {"status": self.status()}
        return {name: finite(value) for name, value in record.items()}

    def optimizer(self, seed: int | None = None) -> TrainedOptimizer:
        """Return the learned optimizer as the newest checkpoint has it.

        Parameters
        ----------
        seed
            The replicate's; the first one's, if not given.

        Raises
        ------
        RunError
            If the run trains nothing, has no such replicate or no good checkpoint.
        """
        preset = self.preset()
        learned = preset.experiment.learned
        if learned is None:
            raise RunError(f"{self.name} trains no optimizer")
        seed = self.seed_of(preset, seed)
        try:
            learner = self.checkpoint().trainers[seed].learner
        except (CheckpointError, KeyError) as error:
            raise RunError(f"{self.name} has no optimizer yet: {error}") from error
        if learner is None:
            raise RunError(f"the newest checkpoint of {self.name} holds no network")
        return learned.with_weights(learner.weights, learner.numbers)

    def seed_of(self, preset: Preset, seed: int | None) -> int:
        """Return the seed of a replicate that is meant: the first one's, if not given.

        Raises
        ------
        RunError
            If the run has no such replicate.
        """
        if seed is None:
            return preset.seeds[0]
        if seed not in preset.seeds:
            raise RunError(f"{self.name} has no seed {seed}; its seeds are {', '.join(map(str, preset.seeds))}")
        return seed

    def exported(
        self, seed: int | None = None, checkpoint: "CheckpointChoice | None" = None, *, measure: bool = False
    ) -> Exported:
        """Return the learned optimizer with all that makes it one of its own: settings, weights, where it comes from.

        Parameters
        ----------
        seed
            The replicate's; the first one's, if not given.
        checkpoint
            "best", which is meant if none is given: what its validations have found to be the replicate's best network,
            or without any the best checkpoint by the report's figure, else the newest. "newest". Or the number of a
            meta-iteration that there is a checkpoint of.
        measure
            Whether its origin is to say what it meets, which takes up to some seconds; where that cannot be had, it
            does not.

        Raises
        ------
        RunError
            If the run trains nothing, has no such replicate or no such checkpoint that is good.
        """
        from l2o_engine.runs.exported import exported_of, measured

        found = exported_of(self, seed, "best" if checkpoint is None else checkpoint)
        return measured(self, found)[0] if measure else found

    def torch_optimizer(self, params: "Parameters", lr: "float | Tensor" = 1.0, **options: Any) -> "TorchOptimizer":
        """Return the learned optimizer as one of PyTorch's, for the parameters of any model.

        ``options`` are those of :func:`l2o_engine.torch_optimizer`.
        """
        from l2o_engine.runs.torch_optimizer import torch_optimizer

        return torch_optimizer(self, params, lr, **options)
