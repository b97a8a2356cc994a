"""What a session says, and what it is told: small frozen values, the same for every front end.

Events that scripts rely on turn into JSON objects by :func:`as_json`, one a lane or seed; non-finite numbers are null.
:func:`event_from_json` makes them events again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from math import isfinite
from typing import Any, Literal, TypeAlias

from l2o_engine.records.health import Diagnosis, Finding, Vitals
from l2o_engine.records.rows import Rows
from l2o_engine.support.arrays import Doubles
from l2o_engine.training.trainer import Lane

Status = Literal["running", "paused", "finished", "interrupted", "failed", "diverged"]


@dataclass(frozen=True)
class Preparing:
    """Something takes a moment before training starts."""

    message: str


@dataclass(frozen=True)
class Started:
    """The run starts, or goes on: ``iteration`` is the last meta-iteration done, -1 for a new run."""

    run_dir: str
    preset: str
    seeds: tuple[int, ...]
    lanes: tuple[Lane, ...]
    backend: str
    reason: str
    iteration: int
    iterations: int
    levels: Mapping[str, float]


@dataclass(frozen=True, eq=False)
class NewRows:
    """Rows of metrics, as they are written to the file."""

    rows: Rows


@dataclass(frozen=True)
class Progress:
    """One row of the progress table, for one lane."""

    lane: Lane
    iteration: int
    sum_error: float
    optim_result: float
    average_log_result: float
    average_sum_log_result: float
    min_log: float
    iterations_per_second: float
    elapsed_seconds: float
    non_finite: int


@dataclass(frozen=True)
class Diagnosed:
    """What a look at one lane says of its health."""

    lane: Lane
    diagnosis: Diagnosis


@dataclass(frozen=True)
class Found:
    """A finding that the look before did not have."""

    lane: Lane
    iteration: int
    finding: Finding


@dataclass(frozen=True)
class Checkpointed:
    """A checkpoint was written."""

    iteration: int
    path: str
    seeds: tuple[int, ...]
    requested: bool


@dataclass(frozen=True, eq=False)
class Curves:
    """The losses of every optimizer on a series' problems, the network as it is now.

    They are [steps] of one problem, number ``draw`` of the series, or [draws, steps] of those from there on. The
    network is the replicate's of that seed.
    """

    draw: int
    iteration: int
    losses: Mapping[str, Doubles]
    seed: int = 0


@dataclass(frozen=True)
class StatusChanged:
    """The run is now running, paused or finished."""

    status: Status
    iteration: int


@dataclass(frozen=True)
class Extended:
    """The run has a new total."""

    iterations: int


@dataclass(frozen=True)
class Notice:
    """Something worth a line that is no error."""

    message: str


@dataclass(frozen=True)
class LaneResult:
    """Where a lane ended."""

    lane: Lane
    iteration: int
    average_log_result: float


@dataclass(frozen=True)
class Ended:
    """The session drove the run to this status."""

    status: Status
    iteration: int
    elapsed_seconds: float
    results: tuple[LaneResult, ...]
    message: str = ""


Event: TypeAlias = (
    Preparing
    | Started
    | NewRows
    | Progress
    | Diagnosed
    | Found
    | Checkpointed
    | Curves
    | StatusChanged
    | Extended
    | Notice
    | Ended
)


@dataclass(frozen=True)
class Pause:
    """Stop training for now, after a checkpoint."""


@dataclass(frozen=True)
class GoOn:
    """Train again after a pause."""


@dataclass(frozen=True)
class SaveCheckpoint:
    """Write a checkpoint that is kept."""


@dataclass(frozen=True)
class Extend:
    """Set a new total of meta-iterations."""

    iterations: int


@dataclass(frozen=True)
class ShowDraws:
    """Show problems in the base chart: ``count`` of its series, from number ``first`` on, by the replicate of a seed.

    One is shown as it is, several by their median and quartiles. The first replicate, if no seed is given.
    """

    first: int = 0
    count: int = 1
    seed: int | None = None


@dataclass(frozen=True)
class Stop:
    """End the session, after a checkpoint if the run is not over."""

    reason: str = "stopped"


@dataclass(frozen=True)
class Leave:
    """End watching a run that another process drives; the run goes on. What drives a run itself does nothing."""


Command: TypeAlias = Pause | GoOn | SaveCheckpoint | Extend | ShowDraws | Stop | Leave


def as_json(event: Event) -> list[dict[str, Any]]:
    """Return the JSON objects of an event: none for what only a screen needs, else one a seed or lane."""
    documents: list[dict[str, Any]] = []
    match event:
        case Started():
            common = {"backend": event.backend, "backend_reason": event.reason, "iterations": event.iterations}
            levels = {"baselines": {name: finite(level) for name, level in event.levels.items()}}
            head = {"event": "start", "run_dir": event.run_dir, "preset": event.preset}
            resumed = {} if event.iteration < 0 else {"resumed_from": event.iteration}
            documents = [head | {"seed": seed} | common | levels | resumed for seed in event.seeds]
        case Progress():
            documents = [
                {"event": "progress"}
                | {name: finite(value) for name, value in vars(event).items() if name != "lane"}
                | _owner(event.lane)
            ]
        case Diagnosed(lane, diagnosis):
            documents = [
                {"event": "diagnosis"}
                | {name: finite(value) for name, value in vars(diagnosis.vitals).items()}
                | {"trend": diagnosis.trend, "findings": [finding.code for finding in diagnosis.findings]}
                | _owner(lane)
            ]
        case Found(lane, iteration, finding):
            documents = [{"event": "finding", "iteration": iteration} | vars(finding) | _owner(lane)]
        case Checkpointed():
            where: dict[str, Any] = {"iteration": event.iteration, "path": event.path}
            documents = [
                {"event": "checkpoint"} | where | {"requested": event.requested, "seed": s} for s in event.seeds
            ]
        case Ended():
            documents = [
                {"event": "end", "status": event.status, "iteration": result.iteration}
                | {"average_log_result": finite(result.average_log_result)}
                | {"elapsed_seconds": event.elapsed_seconds}
                | ({"message": event.message} if event.message else {})
                | _owner(result.lane)
                for result in event.results
            ]
        case StatusChanged() | Extended() | Notice():
            documents = [{"event": _NAMES[type(event)]} | vars(event)]
        case Preparing() | NewRows() | Curves():
            pass
    return documents


_NAMES: dict[type, str] = {StatusChanged: "status", Extended: "extended", Notice: "notice"}


def event_from_json(documents: Sequence[Mapping[str, Any]]) -> Event:
    """Return the event that these JSON objects, all of one event, were made of.

    A start and a diagnosis are not made again: they hold more than their objects do.

    Raises
    ------
    KeyError, TypeError, ValueError
        If they were made of something else.
    """
    first = documents[0]
    event: Event
    match first["event"]:
        case "progress":
            event = progress_from_json(first)
        case "finding":
            event = Found(_lane(first), first["iteration"], Finding(first["code"], first["message"], first["remedy"]))
        case "checkpoint":
            seeds = tuple(document["seed"] for document in documents)
            event = Checkpointed(first["iteration"], first["path"], seeds, first["requested"])
        case "end":
            results = tuple(
                LaneResult(_lane(document), document["iteration"], _number(document["average_log_result"]))
                for document in documents
            )
            furthest = max(result.iteration for result in results)
            event = Ended(first["status"], furthest, first["elapsed_seconds"], results, first.get("message", ""))
        case "status":
            event = StatusChanged(first["status"], first["iteration"])
        case "extended":
            event = Extended(first["iterations"])
        case "notice":
            event = Notice(first["message"])
        case name:
            raise ValueError(f"no event is made of {name!r}")
    return event


def progress_from_json(document: Mapping[str, Any]) -> Progress:
    """Return the progress event that a JSON object was made of.

    Raises
    ------
    KeyError, TypeError
        If it was made of something else.
    """
    return Progress(lane=_lane(document), **_numbers(document, Progress))


def vitals_from_json(document: Mapping[str, Any]) -> tuple[Lane, Vitals]:
    """Return the lane and the vitals of the diagnosis that a JSON object was made of.

    Raises
    ------
    KeyError, TypeError
        If it was made of something else.
    """
    added_later = {"root": None}  # runs recorded before it was measured are read without it
    return _lane(document), Vitals(**_numbers(added_later | dict(document), Vitals))


def _lane(document: Mapping[str, Any]) -> Lane:
    return Lane(document["seed"], document["optimizer"])


def _numbers(document: Mapping[str, Any], kind: type[Progress | Vitals]) -> dict[str, Any]:
    values = {field.name: document[field.name] for field in fields(kind) if field.name != "lane"}
    return {name: _number(value) for name, value in values.items()}


def _number(value: Any) -> Any:
    """Return the value, or NaN for what :func:`finite` made None."""
    return float("nan") if value is None else value


def finite(value: Any) -> Any:
    """Return the value, or None for a float that is not finite: JSON has no NaN."""
    return None if isinstance(value, float) and not isfinite(value) else value


def _owner(lane: Lane) -> dict[str, Any]:
    return {"optimizer": lane.optimizer, "seed": lane.seed}
