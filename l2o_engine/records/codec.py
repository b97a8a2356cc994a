"""The events' one codec: JSON objects for scripts and for ``events.jsonl``, one a line, and events of them again.

Each object has a model below, told from the others by its key "event"; the model's fields are the object's keys, in
order. One event may be several objects: one a seed or lane. A number that is not finite is null. Unknown keys are
ignored: recorded lines carry their time, and later versions add keys.

The numbers of the network's inputs that adapt lie flat in their object: min_log, null where there is none, and behind
it those of other names, if there are any. Then "numbers" lists these names.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from math import isfinite, nan
from typing import Annotated, Any, Literal, TypeAlias, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, TypeAdapter

from l2o_engine.records.events import (
    Changed,
    Checkpointed,
    Curves,
    Diagnosed,
    Ended,
    Event,
    Extended,
    Found,
    LaneResult,
    NewRows,
    Notice,
    Preparing,
    Progress,
    Recalled,
    Started,
    Status,
    StatusChanged,
)
from l2o_engine.records.health import Finding, Vitals
from l2o_engine.training.trainer import Lane


def finite(value: Any) -> Any:
    """Return the value, or None for a float that is not finite: JSON has no NaN."""
    return None if isinstance(value, float) and not isfinite(value) else value


def _nan_of_null(value: Any) -> Any:
    return nan if value is None else value


def _not_below_0(value: float) -> float:
    if value < 0:
        raise ValueError("must be at least 0")
    return value


_Number: TypeAlias = Annotated[float, BeforeValidator(_nan_of_null), PlainSerializer(finite)]
_Numbers: TypeAlias = dict[str, _Number]


class _Object(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class _Start(_Object):
    event: Literal["start"] = "start"
    run_dir: str
    preset: str
    seed: int
    backend: str
    backend_reason: str
    iterations: int
    baselines: _Numbers
    resumed_from: int | None = None  # left out of a new run's
    versions: dict[str, str] | None = None  # runs recorded before they were told are read without


class _Progress(_Object):
    event: Literal["progress"] = "progress"
    iteration: int
    sum_error: _Number
    optim_result: _Number
    average_log_result: _Number
    average_sum_log_result: _Number
    numbers: _Numbers
    iterations_per_second: _Number
    elapsed_seconds: _Number
    non_finite: int
    optimizer: str
    seed: int


class _Diagnosis(_Object):
    event: Literal["diagnosis"] = "diagnosis"
    iteration: int
    rows: int
    average_log_result: _Number
    gradient_norm: _Number
    clipped: _Number
    epsilon_share: _Number
    root: _Number = nan  # runs recorded before it was measured are read without it
    non_finite: int
    zeros: int
    numbers: _Numbers
    saturated: _Number
    flipped: _Number
    update_ratio: _Number
    distance_ratio: _Number
    loss_ratio: Annotated[_Number, AfterValidator(_not_below_0)] = nan  # as root
    trend: str
    findings: list[str]
    optimizer: str
    seed: int


class _Finding(_Object):
    event: Literal["finding"] = "finding"
    iteration: int
    code: str
    message: str
    remedy: str
    optimizer: str
    seed: int


class _Checkpoint(_Object):
    event: Literal["checkpoint"] = "checkpoint"
    iteration: int
    path: str
    requested: bool
    seed: int


class _End(_Object):
    event: Literal["end"] = "end"
    status: Status
    iteration: int
    average_log_result: _Number
    elapsed_seconds: _Number
    message: str | None = None  # left out where there is none
    optimizer: str
    seed: int


class _Status(_Object):
    event: Literal["status"] = "status"
    status: Status
    iteration: int


class _Extended(_Object):
    event: Literal["extended"] = "extended"
    iterations: int


class _Changed(_Object):
    event: Literal["changed"] = "changed"
    iteration: int
    settings: dict[str, list[Any]]


class _Notice(_Object):
    event: Literal["notice"] = "notice"
    message: str


_AnyObject: TypeAlias = (
    _Start | _Progress | _Diagnosis | _Finding | _Checkpoint | _End | _Status | _Extended | _Changed | _Notice
)
_OBJECTS: TypeAdapter[_AnyObject] = TypeAdapter(Annotated[_AnyObject, Field(discriminator="event")])
_OF_VITALS = [field.name for field in fields(Vitals)]
_OF_PROGRESS = [field.name for field in fields(Progress) if field.name != "lane"]
_Model = TypeVar("_Model", bound=_Object)


def as_json(event: Event) -> list[dict[str, Any]]:
    """Return the JSON objects of an event: none for what only a screen needs, else one a seed or lane."""
    return [_written(found) for found in _objects_of(event)]


def _objects_of(event: Event) -> Sequence[_AnyObject]:
    objects: Sequence[_AnyObject] = ()
    match event:
        case Started():
            resumed_from = None if event.iteration < 0 else event.iteration
            objects = [
                _Start(
                    run_dir=event.run_dir,
                    preset=event.preset,
                    seed=seed,
                    backend=event.backend,
                    backend_reason=event.reason,
                    iterations=event.iterations,
                    baselines=dict(event.levels),
                    resumed_from=resumed_from,
                    versions=dict(event.versions) or None,
                )
                for seed in event.seeds
            ]
        case Progress(lane):
            objects = [_Progress(**vars(event), **vars(lane))]
        case Diagnosed(lane, diagnosis):
            codes = [finding.code for finding in diagnosis.findings]
            objects = [_Diagnosis(**vars(diagnosis.vitals), trend=diagnosis.trend, findings=codes, **vars(lane))]
        case Found(lane, iteration, finding):
            objects = [_Finding(iteration=iteration, **vars(finding), **vars(lane))]
        case Checkpointed(iteration, path, seeds, requested):
            objects = [_Checkpoint(iteration=iteration, path=path, requested=requested, seed=seed) for seed in seeds]
        case Ended():
            objects = [
                _End(
                    status=event.status,
                    iteration=result.iteration,
                    average_log_result=result.average_log_result,
                    elapsed_seconds=event.elapsed_seconds,
                    message=event.message or None,
                    **vars(result.lane),
                )
                for result in event.results
            ]
        case StatusChanged(status, iteration):
            objects = [_Status(status=status, iteration=iteration)]
        case Extended(iterations):
            objects = [_Extended(iterations=iterations)]
        case Changed(iteration, settings):
            objects = [_Changed(iteration=iteration, settings={name: list(pair) for name, pair in settings.items()})]
        case Notice(message):
            objects = [_Notice(message=message)]
        case Preparing() | NewRows() | Recalled() | Curves():
            pass
    return objects


def event_from_json(documents: Sequence[Mapping[str, Any]]) -> Event:
    """Return the event that these JSON objects, all of one event, were made of.

    A start and a diagnosis are not made again: they hold more than their objects do.

    Raises
    ------
    KeyError, TypeError, ValueError
        If they were made of something else.
    """
    objects = [_OBJECTS.validate_python(_nested(document)) for document in documents]
    event: Event
    match objects:
        case [_Progress() as one]:
            event = _progress_of(one)
        case [_Finding() as one]:
            event = Found(_lane_of(one), one.iteration, Finding(one.code, one.message, one.remedy))
        case [_Checkpoint() as one, *_]:
            seeds = tuple(checkpoint.seed for checkpoint in _all(objects, _Checkpoint))
            event = Checkpointed(one.iteration, one.path, seeds, one.requested)
        case [_End() as one, *_]:
            results = tuple(
                LaneResult(_lane_of(end), end.iteration, end.average_log_result) for end in _all(objects, _End)
            )
            furthest = max(result.iteration for result in results)
            event = Ended(one.status, furthest, one.elapsed_seconds, results, one.message or "")
        case [_Status() as one]:
            event = StatusChanged(one.status, one.iteration)
        case [_Extended() as one]:
            event = Extended(one.iterations)
        case [_Changed() as one]:
            event = Changed(one.iteration, one.settings)
        case [_Notice() as one]:
            event = Notice(one.message)
        case _:
            raise ValueError(f"no event is made of {', '.join(found.event for found in objects) or 'nothing'}")
    return event


def progress_from_json(document: Mapping[str, Any]) -> Progress:
    """Return the progress event that a JSON object was made of.

    Raises
    ------
    KeyError, TypeError, ValueError
        If it was made of something else.
    """
    return _progress_of(_Progress.model_validate(_nested(document)))


def vitals_from_json(document: Mapping[str, Any]) -> tuple[Lane, Vitals]:
    """Return the lane and the vitals of the diagnosis that a JSON object was made of.

    Raises
    ------
    KeyError, TypeError, ValueError
        If it was made of something else.
    """
    read = _Diagnosis.model_validate(_nested(document))
    values: dict[str, Any] = vars(read)
    return _lane_of(read), Vitals(**{name: values[name] for name in _OF_VITALS})


def _progress_of(read: _Progress) -> Progress:
    values: dict[str, Any] = vars(read)
    return Progress(lane=_lane_of(read), **{name: values[name] for name in _OF_PROGRESS})


def _lane_of(read: _Progress | _Diagnosis | _Finding | _End) -> Lane:
    return Lane(read.seed, read.optimizer)


def _all(objects: Sequence[_AnyObject], model: type[_Model]) -> list[_Model]:
    found: list[_Model] = [one for one in objects if isinstance(one, model)]
    if len(found) < len(objects):
        raise ValueError("these objects are of several events")
    return found


def _written(read: _AnyObject) -> dict[str, Any]:
    """Return an object as it is written: its adaptive numbers flat, without keys that are left out."""
    document: dict[str, Any] = {}
    for key, value in read.model_dump(exclude_none=True).items():
        if key == "numbers":
            names = [name for name in value if name != "min_log"]
            if taken := type(read).model_fields.keys() & names:
                raise ValueError(f"no names of adaptive numbers: {', '.join(sorted(taken))}")
            document |= {"min_log": value.get("min_log")} | value | ({"numbers": names} if names else {})
        else:
            document[key] = value
    return document


def _nested(document: Mapping[str, Any]) -> dict[str, Any]:
    """Return the keys of an object with its adaptive numbers together, as the models have them."""
    if not isinstance(document, Mapping):
        raise TypeError(f"no JSON object: {document!r:.80}")
    numbers = {name: document[name] for name in document.get("numbers", ())}
    if document.get("min_log") is not None:
        numbers = {"min_log": document["min_log"]} | numbers
    return {**document, "numbers": numbers}
