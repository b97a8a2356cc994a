"""What is said of a hand-designed optimizer whose settings were searched for: by which figure, and on what."""

from collections.abc import Iterator, Mapping
from dataclasses import fields
from hashlib import sha256
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Field

from l2o_engine.support.settings import Text, Words, fields_of, settings
from l2o_engine.tasks.base import TaskFamily

_DIGITS = 12

Metric: TypeAlias = Literal["end", "sum"]
"""What a setting is best by: "end", the mean log10 of the last loss, or "sum", the median of the losses' sum."""


@settings
class Tuned:
    """Settings that were searched for.

    Attributes
    ----------
    metric
        What they are the best by.
    on
        A digest of the problem, the number of steps and the settings that were found, see :func:`tuned`.
    """

    metric: Metric
    on: Annotated[Text, Field(pattern=rf"^[0-9a-f]{{{_DIGITS}}}$")]


TunedNote: TypeAlias = Annotated[Tuned | None, Words('`{ metric = "end" or "sum", on = … }`, by `l2o-tui tune`')]


def tuned(optimizer: Any, task: TaskFamily, steps: int, metric: Metric) -> Tuned:
    """Return the note that an optimizer's settings are the best on a problem.

    Parameters
    ----------
    optimizer
        With the settings that were found.
    task, steps
        The problem, and how many losses of it.
    metric
        What they are the best by.
    """
    return Tuned(metric, _digest(optimizer, task, steps))


def tuned_by(optimizer: Any, task: TaskFamily, steps: int) -> Metric | None:
    """Return what an optimizer is tuned by on a problem; None where it is not, or with other settings, or elsewhere."""
    note: Tuned | None = getattr(optimizer, "tuned", None)
    return note.metric if note and note.on == _digest(optimizer, task, steps) else None


def _digest(optimizer: Any, task: TaskFamily, steps: int) -> str:
    """Return what tells whether all is as it was; names do not count, nor what a later version adds with a default."""
    settings = [*_chosen(task), "steps", steps, *(one for one in _chosen(optimizer) if one[0] not in ("name", "tuned"))]
    return sha256(repr(settings).encode()).hexdigest()[:_DIGITS]


def _chosen(piece: Any) -> Iterator[tuple[str, Any]]:
    """Yield a piece's kind, and its settings that are not the defaults."""
    yield "kind", getattr(piece, "kind", type(piece).__name__)
    own: Mapping[str, Any] = fields_of(type(piece)) or {one.name: one for one in fields(piece)}
    for name, one in own.items():
        if getattr(piece, name) != one.default:
            yield name, getattr(piece, name)
