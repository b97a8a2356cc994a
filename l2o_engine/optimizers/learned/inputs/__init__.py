"""A network's inputs, and what its output means: each kind is one file here.

The classes are names of this package: ``inputs.Log(min_log=-30)``.
"""

from typing import Any

from l2o_engine.optimizers.learned.inputs.base import INPUTS, Encoded, Inputs

__all__ = ["INPUTS", "Encoded", "Inputs"]


def __getattr__(name: str) -> Any:
    return INPUTS.named(name)


def __dir__() -> list[str]:
    return [*__all__, *(cls.__name__ for cls in INPUTS)]
