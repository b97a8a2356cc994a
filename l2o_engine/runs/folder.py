"""A run's folder: what a run leaves behind, readable while it runs and enough to go on from.

``preset.toml`` is the effective preset, ``run.json`` the status, ``metrics.csv`` one row a meta-iteration,
``events.jsonl`` what happened when, ``checkpoints/`` the state, ``commands/`` what others ask of it. One process drives
a run at a time: it holds ``.lock``, and writes ``run.json`` every second.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from l2o_engine.optimizers.learned.learned_optimizer import TrainedOptimizer
from l2o_engine.presets.files import load
from l2o_engine.presets.messages import PresetError
from l2o_engine.presets.schema import Preset
from l2o_engine.records.blocks import Blocks
from l2o_engine.records.codec import progress_from_json, vitals_from_json
from l2o_engine.records.events import Progress, Status
from l2o_engine.records.health import Vitals
from l2o_engine.records.metrics import Metrics
from l2o_engine.records.rows import Rows
from l2o_engine.runs import checkpoints, lock
from l2o_engine.runs.blocks_file import beginning_of
from l2o_engine.runs.checkpoints import Checkpoint, CheckpointError, Kind
from l2o_engine.runs.metrics_file import read_rows
from l2o_engine.runs.record import ACTIVE, Record, RunError, read_record
from l2o_engine.training.trainer import Lane, lanes_of_seed

_Kind = TypeVar("_Kind")


def lanes_of(preset: Preset) -> tuple[Lane, ...]:
    """Return the series that a run of this preset produces: by seed, then by optimizer."""
    return tuple(lane for seed in preset.seeds for lane in lanes_of_seed(preset.experiment, seed))


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
            return load(self.folder / "preset.toml")
        except PresetError as error:
            raise RunError(str(error)) from error

    def status(self) -> Status:
        """Return the run's status; "interrupted" where it says it is active and its process is gone."""
        record = self.record()
        return "interrupted" if record.status in ACTIVE and not self.is_driven() else record.status

    def is_driven(self) -> bool:
        """Return whether a process drives the run, as far as one look can tell: see :mod:`~l2o_engine.runs.lock`."""
        return lock.is_driven(self.folder, self.record)

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

    def rows(self, start: int = 0) -> Iterator[Rows]:
        """Read the metrics, some rows at a time; from a place in the file on, if one is given."""
        with self._as_run_error():
            yield from read_rows(self.metrics_path, lanes_of(self.preset()), start)

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
            raise RunError(f"{self.metrics_path} cannot be read: {error.strerror}") from error
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
                return checkpoints.read(path, preset.experiment)
            except CheckpointError:
                if path.exists():  # else who drives the run has removed it, for there are newer ones
                    raise
        raise CheckpointError(f"{self.name} has no checkpoint")

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
        return Metrics(parts, lanes_of(self.preset()))

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
        learned, seed = preset.experiment.learned, preset.seeds[0] if seed is None else seed
        if learned is None:
            raise RunError(f"{self.name} trains no optimizer")
        if seed not in preset.seeds:
            raise RunError(f"{self.name} has no seed {seed}; its seeds are {', '.join(map(str, preset.seeds))}")
        try:
            learner = self.checkpoint().trainers[seed].learner
        except (CheckpointError, KeyError) as error:
            raise RunError(f"{self.name} has no optimizer yet: {error}") from error
        if learner is None:
            raise RunError(f"the newest checkpoint of {self.name} holds no network")
        return learned.with_weights(learner.weights, learner.numbers)
