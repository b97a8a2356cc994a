"""Events made of JSON objects that need not have been lines of a file; lines are ``codec.recorded``'s."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import Field, TypeAdapter

from l2o_engine.records.codec import DiagnosisLine, ProgressLine, Recorded, event_of, progress_of, vitals_of
from l2o_engine.records.events import Event, Progress
from l2o_engine.records.health import Vitals
from l2o_engine.training.trainer import Lane

_OBJECTS: TypeAdapter[Recorded] = TypeAdapter(Annotated[Recorded, Field(discriminator="event")])


def event_from_json(documents: Sequence[Mapping[str, Any]]) -> Event:
    """Return the event that these JSON objects, all of one event, were made of."""
    return event_of([_OBJECTS.validate_python(document) for document in documents])


def progress_from_json(document: Mapping[str, Any]) -> Progress:
    """Return the progress event that a JSON object was made of."""
    return progress_of(ProgressLine.model_validate(document))


def vitals_from_json(document: Mapping[str, Any]) -> tuple[Lane, Vitals]:
    """Return the lane and the vitals of the diagnosis that a JSON object was made of."""
    return vitals_of(DiagnosisLine.model_validate(document))
