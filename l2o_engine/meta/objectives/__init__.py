"""What the meta-optimizer minimises of an unroll's losses: each kind is one file here."""

from typing import TYPE_CHECKING, Any

from l2o_engine.meta.objectives.base import OBJECTIVES, Objective

if TYPE_CHECKING:  # what __getattr__ finds, for type checkers: tests/engine/test_types.py holds it
    from l2o_engine.meta.objectives.end import End
    from l2o_engine.meta.objectives.end_log import EndLog
    from l2o_engine.meta.objectives.mean import Mean
    from l2o_engine.meta.objectives.sum import Sum
    from l2o_engine.meta.objectives.sum_log import SumLog

__all__ = [
    "OBJECTIVES",
    "End",
    "EndLog",
    "Mean",
    "Objective",
    "Sum",
    "SumLog",
]


if not TYPE_CHECKING:  # to whom a name that is not there would be anything

    def __getattr__(name: str) -> Any:
        return OBJECTIVES.named(name)


def __dir__() -> list[str]:
    return sorted({*__all__, *(cls.__name__ for cls in OBJECTIVES)})
