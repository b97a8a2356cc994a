"""What the meta-optimizer minimises of an unroll's losses: each kind is one file here."""

from typing import Any

from l2o_engine.meta.objectives.base import OBJECTIVES, Objective

__all__ = ["OBJECTIVES", "Objective"]


def __getattr__(name: str) -> Any:
    return OBJECTIVES.named(name)


def __dir__() -> list[str]:
    return [*__all__, *(cls.__name__ for cls in OBJECTIVES)]
