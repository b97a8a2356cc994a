"""An ensemble: several problems as one task."""

from collections.abc import Iterator
from typing import Annotated, Any, Literal, cast

from pydantic import BeforeValidator, Field

from l2o_engine.support.settings import Number, list_to_tuple, settings
from l2o_engine.tasks.base import TASKS, TaskFamily
from l2o_engine.tasks.joined.joined import Joined

_MOST_FAMILIES = 16
_FamilyTable: Any = TASKS.union_of(TaskFamily, "l2o_engine.tasks.joined")
_Weight = Annotated[Number, Field(gt=0)]


@TASKS.register
@settings
class Ensemble(Joined):
    """Several problems as one task: a weighted sum of their losses, each with coordinates of its own (DeepMind).

    The groups of its coordinates are "0", "1", … by the problems' numbers, and of a network "0.layer0.weights", … .

    Attributes
    ----------
    of
        The problems, tables like [problem] each.
    weights
        What each loss is multiplied with; 1 if left out.

    Raises
    ------
    ValueError
        If there is not one weight for each.
    """

    of: Annotated[
        tuple[_FamilyTable, ...], BeforeValidator(list_to_tuple), Field(min_length=1, max_length=_MOST_FAMILIES)
    ]
    weights: Annotated[tuple[_Weight, ...], BeforeValidator(list_to_tuple)] = ()
    kind: Literal["ensemble"] = "ensemble"

    def __post_init__(self) -> None:
        if self.weights and len(self.weights) != len(self.of):
            raise ValueError(f"there are {len(self.of)} problems and {len(self.weights)} weights")

    def parts(self) -> Iterator[tuple[str, TaskFamily, float]]:
        """Yield the number, the family and the weight of each."""
        families = cast("tuple[TaskFamily, ...]", self.of)
        for place, (family, weight) in enumerate(zip(families, self.weights or [1.0] * len(families), strict=True)):
            yield str(place), family, weight
