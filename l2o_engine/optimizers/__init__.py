"""What optimizes: each kind of hand-designed optimizer is one file here; ``learned`` holds those that are trained.

The classes are names of this package: ``optimizers.RmsProp(0.1)``.
"""

from typing import Any

from l2o_engine.optimizers.base import OPTIMIZERS, HandDesigned, Optimizer

__all__ = ["OPTIMIZERS", "HandDesigned", "Optimizer"]


def __getattr__(name: str) -> Any:
    return OPTIMIZERS.named(name)


def __dir__() -> list[str]:
    return [*__all__, *(cls.__name__ for cls in OPTIMIZERS)]
