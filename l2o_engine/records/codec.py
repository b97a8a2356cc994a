"""The events' one codec: JSON objects for scripts and for ``events.jsonl``, one a line, and events of them again.

Each object has a model below, told from the others by its key "event"; the model's fields are the object's keys, in
order. One event may be several objects: one a seed or lane. A number that is not finite is null. Unknown keys are
ignored: recorded lines carry their time, and later versions add keys, and events.

The numbers of the network's inputs that adapt lie flat in their object: min_log, null where there is none, and behind
it those of other names, if there are any. Then "numbers" lists these names.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields
from math import isfinite, nan
from typing import Annotated, Any, Literal, TypeAlias, TypeVar, get_args

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    TypeAdapter,
    model_validator,
)
from pydantic_core import from_json

from l2o_engine.backends.devices import CPU
from l2o_engine.meta.validation import Outcome
from l2o_engine.records.events import (
    Changed,
    Checkpointed,
    Curves,
    Described,
    Diagnosed,
    Ended,
    Event,
    Extended,
    Found,
    Imitated,
    LaneResult,
    NewRows,
    Notice,
    Preparing,
    Progress,
    Recalled,
    Started,
    Status,
    StatusChanged,
    Validated,
)
from l2o_engine.records.health import Diagnosis, Finding, TruncatedVitals, Vitals
from l2o_engine.training.imitating import Likeness
from l2o_engine.training.trainer import Lane
from l2o_engine.training.validating import Verdict


def finite(value: Any) -> Any:
    """Return the value, or None for a float that is not finite: JSON has no NaN."""
    return None if isinstance(value, float) and not isfinite(value) else value


def _nan_of_null(value: Any) -> Any:
    return nan if value is None else value


def _not_below_0(value: float) -> float:
    if value < 0:
        raise ValueError("must be at least 0")
    return value


def _nested(document: Any) -> Any:
    """Return the keys of an object with its adaptive numbers together, as the models have them."""
    if not isinstance(document, Mapping):
        raise ValueError(f"no JSON object: {document!r:.80}")
    names = document.get("numbers", [])
    if isinstance(names, Mapping):  # an object that is being made, not read
        return document
    if not isinstance(names, list) or not all(isinstance(name, str) and name in document for name in names):
        raise ValueError("numbers that it does not have")
    numbers = {name: document[name] for name in names}
    if document.get("min_log") is not None:
        numbers = {"min_log": document["min_log"]} | numbers
    return {**document, "numbers": numbers}


_Number: TypeAlias = Annotated[float, BeforeValidator(_nan_of_null), PlainSerializer(finite)]
_Numbers: TypeAlias = dict[str, _Number]
# One a group, of which an ensemble of the deepest networks has some thousand.
_Shares: TypeAlias = Annotated[dict[str, _Number], Field(max_length=100_000)]
# Beyond these a number is no run's, and no array's either.
_Iteration: TypeAlias = Annotated[int, Field(ge=-1, le=2**53)]
_Count: TypeAlias = Annotated[int, Field(ge=0, le=2**53)]
_Seed: TypeAlias = Annotated[int, Field(ge=0, lt=2**63)]


class _Object(BaseModel):
    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")


class _WithNumbers(_Object):
    _nest = model_validator(mode="before")(_nested)


class StartLine(_Object):
    """What a session's start is, of one seed."""

    event: Literal["start"] = "start"
    run_dir: str
    preset: str
    seed: _Seed
    backend: str
    backend_reason: str
    iterations: _Count
    baselines: _Numbers
    resumed_from: _Iteration | None = None  # left out of a new run's
    versions: dict[str, str] | None = None  # runs recorded before they were told are read without
    device: str | None = None  # left out where it is the CPU


class ProgressLine(_WithNumbers):
    """A progress row."""

    event: Literal["progress"] = "progress"
    iteration: _Iteration
    sum_error: _Number
    optim_result: _Number
    average_log_result: _Number
    average_sum_log_result: _Number
    numbers: _Numbers
    iterations_per_second: _Number
    elapsed_seconds: _Number
    non_finite: _Count
    optimizer: str
    seed: _Seed


class TruncatedLine(_Object):
    """What a look measured of truncations."""

    gradient_peak: _Number
    gradient_spikes: _Number
    spike_step: _Number
    gates: _Shares
    layer_rates: _Shares
    layer_updates: _Shares


class DiagnosisLine(_WithNumbers):
    """What a look at a lane measured and says."""

    event: Literal["diagnosis"] = "diagnosis"
    iteration: _Iteration
    rows: _Count
    average_log_result: _Number
    gradient_norm: _Number
    clipped: _Number
    epsilon_share: _Number
    root: _Number = nan  # runs recorded before it was measured are read without it
    non_finite: _Count
    zeros: _Count
    numbers: _Numbers
    saturated: _Number
    flipped: _Number
    update_ratio: _Number
    distance_ratio: _Number
    loss_ratio: Annotated[_Number, AfterValidator(_not_below_0)] = nan  # as root
    truncated: TruncatedLine | None = None  # left out where an episode is one truncation
    trend: str
    findings: list[str]
    optimizer: str
    seed: _Seed


class _Finding(_Object):
    event: Literal["finding"] = "finding"
    iteration: _Iteration
    code: str
    message: str
    remedy: str
    settings: dict[str, float | str | dict[str, str]] | None = None  # left out where there are none
    optimizer: str
    seed: _Seed


class ValidationLine(_Object):
    """What a validation of a lane found."""

    event: Literal["validation"] = "validation"
    iteration: _Iteration
    steps: _Count
    figure: _Number
    best: _Number
    outcome: Outcome
    stage: _Count
    episode: _Count
    optimizer: str
    seed: _Seed


class ImitationLine(_Object):
    """What an imitation of a lane came to."""

    event: Literal["imitation"] = "imitation"
    iteration: _Iteration
    truncations: _Count
    first: _Number
    last: _Number
    optimizer: str
    seed: _Seed


class CheckpointLine(_Object):
    """A checkpoint that was written, of one seed."""

    event: Literal["checkpoint"] = "checkpoint"
    iteration: _Iteration
    path: str
    requested: bool
    seed: _Seed


class _End(_Object):
    event: Literal["end"] = "end"
    status: Status
    iteration: _Iteration
    average_log_result: _Number
    elapsed_seconds: _Number
    message: str | None = None  # left out where there is none
    optimizer: str
    seed: _Seed


class _Status(_Object):
    event: Literal["status"] = "status"
    status: Status
    iteration: _Iteration
    message: str | None = None  # left out where there is none


class _Extended(_Object):
    event: Literal["extended"] = "extended"
    iterations: _Count


class ChangedLine(_Object):
    """What was changed of the experiment, and accepted."""

    event: Literal["changed"] = "changed"
    iteration: _Iteration
    settings: dict[str, Annotated[list[Any], Field(min_length=2, max_length=2)]]  # before and after


class DescribedLine(_Object):
    """What the run is called from now on."""

    event: Literal["described"] = "described"
    given_name: str
    note: str
    tags: list[str]


class _Notice(_Object):
    event: Literal["notice"] = "notice"
    message: str


Recorded: TypeAlias = (
    StartLine
    | ProgressLine
    | DiagnosisLine
    | _Finding
    | ValidationLine
    | ImitationLine
    | CheckpointLine
    | _End
    | _Status
    | _Extended
    | ChangedLine
    | DescribedLine
    | _Notice
)
"""What an object is once it was read: ``event`` says of which event, the other attributes are its keys."""

_OfLane: TypeAlias = ProgressLine | DiagnosisLine | _Finding | ValidationLine | ImitationLine | _End

_OBJECTS: TypeAdapter[Recorded] = TypeAdapter(Annotated[Recorded, Field(discriminator="event")])
_EVENTS = frozenset(model.model_fields["event"].default for model in get_args(Recorded))
_OF_VITALS = [field.name for field in fields(Vitals)]
_OF_VERDICT = [field.name for field in fields(Verdict)]
_OF_PROGRESS = [field.name for field in fields(Progress) if field.name != "lane"]
_Model = TypeVar("_Model", bound=_Object)


def as_json(event: Event) -> list[dict[str, Any]]:
    """Return the JSON objects of an event: none for what only a screen needs, else one a seed or lane."""
    return [_written(found) for found in _objects_of(event)]


def _objects_of(event: Event) -> Sequence[Recorded]:
    objects: Sequence[Recorded] = ()
    match event:
        case Started():
            resumed_from = None if event.iteration < 0 else event.iteration
            objects = [
                StartLine(
                    run_dir=event.run_dir,
                    preset=event.preset,
                    seed=seed,
                    backend=event.backend,
                    backend_reason=event.reason,
                    iterations=event.iterations,
                    baselines=dict(event.levels),
                    resumed_from=resumed_from,
                    versions=dict(event.versions) or None,
                    device=None if event.device == CPU else event.device,
                )
                for seed in event.seeds
            ]
        case Progress(lane):
            objects = [ProgressLine(**vars(event), **vars(lane))]
        case Diagnosed(lane, diagnosis):
            objects = [_diagnosis_line(lane, diagnosis)]
        case Found() | Validated() | Imitated():
            objects = [_found_of_lane(event)]
        case Checkpointed(iteration, path, seeds, requested):
            objects = [CheckpointLine(iteration=iteration, path=path, requested=requested, seed=seed) for seed in seeds]
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
        case StatusChanged(status, iteration, message):
            objects = [_Status(status=status, iteration=iteration, message=message or None)]
        case Extended(iterations):
            objects = [_Extended(iterations=iterations)]
        case Changed(iteration, settings):
            objects = [ChangedLine(iteration=iteration, settings={name: list(pair) for name, pair in settings.items()})]
        case Described():
            objects = [DescribedLine(given_name=event.given_name, note=event.note, tags=list(event.tags))]
        case Notice(message):
            objects = [_Notice(message=message)]
        case Preparing() | NewRows() | Recalled() | Curves():
            pass
    return objects


def _found_of_lane(event: Found | Validated | Imitated) -> Recorded:
    match event:
        case Found(lane, iteration, finding):
            told = vars(finding) | {"settings": dict(finding.settings) or None}
            return _Finding(iteration=iteration, **told, **vars(lane))
        case Validated(lane, verdict):
            return ValidationLine(**vars(verdict), **vars(lane))
        case Imitated(lane, likeness):
            return ImitationLine(**vars(likeness), **vars(lane))


def _diagnosis_line(lane: Lane, diagnosis: Diagnosis) -> DiagnosisLine:
    vitals = vars(diagnosis.vitals).copy()
    if (truncated := vitals["truncated"]) is not None:
        vitals["truncated"] = TruncatedLine.model_validate(vars(truncated))
    codes = [finding.code for finding in diagnosis.findings]
    return DiagnosisLine(**vitals, trend=diagnosis.trend, findings=codes, **vars(lane))


def recorded(line: str) -> Recorded | None:
    """Return the object of a line of ``events.jsonl``; None for an event that a later version tells.

    Raises
    ------
    ValueError
        If the line is damaged: no JSON, or not what is written of an event.
    """
    document = from_json(line.encode())  # which undecodable bytes do not survive: surrogates stand for them
    if isinstance(document, dict) and isinstance(name := document.get("event"), str) and name not in _EVENTS:
        return None
    return _OBJECTS.validate_python(document)


def event_of(objects: Sequence[Recorded]) -> Event:
    """Return the event that these objects, all of one event, were made of.

    A start and a diagnosis are not made again: they hold more than their objects do.

    Raises
    ------
    ValueError
        If they were made of something else.
    """
    event: Event
    match objects:
        case [ProgressLine() as one]:
            event = progress_of(one)
        case [_Finding() as one]:
            event = Found(_lane_of(one), one.iteration, Finding(one.code, one.message, one.remedy, one.settings or {}))
        case [ValidationLine() as one]:
            event = validated_of(one)
        case [ImitationLine() as one]:
            event = Imitated(_lane_of(one), Likeness(one.iteration, one.truncations, one.first, one.last))
        case [CheckpointLine() as one, *_]:
            seeds = tuple(checkpoint.seed for checkpoint in _all(objects, CheckpointLine))
            event = Checkpointed(one.iteration, one.path, seeds, one.requested)
        case [_End() as one, *_]:
            results = tuple(
                LaneResult(_lane_of(end), end.iteration, end.average_log_result) for end in _all(objects, _End)
            )
            furthest = max(result.iteration for result in results)
            event = Ended(one.status, furthest, one.elapsed_seconds, results, one.message or "")
        case [_Status() as one]:
            event = StatusChanged(one.status, one.iteration, one.message or "")
        case [_Extended() as one]:
            event = Extended(one.iterations)
        case [ChangedLine() as one]:
            event = Changed(one.iteration, one.settings)
        case [DescribedLine() as one]:
            event = Described(one.given_name, one.note, tuple(one.tags))
        case [_Notice() as one]:
            event = Notice(one.message)
        case _:
            raise ValueError(f"no event is made of {', '.join(found.event for found in objects) or 'nothing'}")
    return event


def progress_of(read: ProgressLine) -> Progress:
    """Return the event of a progress row."""
    values: dict[str, Any] = vars(read)
    return Progress(lane=_lane_of(read), **{name: values[name] for name in _OF_PROGRESS})


def validated_of(read: ValidationLine) -> Validated:
    """Return the event of a validation."""
    values: dict[str, Any] = vars(read)
    return Validated(_lane_of(read), Verdict(**{name: values[name] for name in _OF_VERDICT}))


def vitals_of(read: DiagnosisLine) -> tuple[Lane, Vitals]:
    """Return the lane and the vitals of a diagnosis."""
    values: dict[str, Any] = vars(read)
    truncated = None if read.truncated is None else TruncatedVitals(**vars(read.truncated))
    return _lane_of(read), Vitals(**{name: values[name] for name in _OF_VITALS} | {"truncated": truncated})


def lane_of(read: Recorded) -> Lane | None:
    """Return the lane that a line is about; None for one that is about the whole run, or a seed."""
    return _lane_of(read) if isinstance(read, get_args(_OfLane)) else None


def _lane_of(read: _OfLane) -> Lane:
    return Lane(read.seed, read.optimizer)


def _all(objects: Sequence[Recorded], model: type[_Model]) -> list[_Model]:
    found: list[_Model] = [one for one in objects if isinstance(one, model)]
    if len(found) < len(objects):
        raise ValueError("these objects are of several events")
    return found


def _written(read: Recorded) -> dict[str, Any]:
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
