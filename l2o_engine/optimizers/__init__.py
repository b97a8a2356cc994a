"""What optimizes: each kind of hand-designed optimizer is one file here; ``learned`` holds those that are trained.

The classes are names of this package: ``optimizers.RmsProp(0.1)``.
"""

from typing import TYPE_CHECKING, Any

from l2o_engine.optimizers.base import OPTIMIZERS, HandDesigned, Optimizer

if TYPE_CHECKING:  # what __getattr__ finds, for type checkers: tests/engine/test_types.py holds it
    from l2o_engine.optimizers.adam import Adam
    from l2o_engine.optimizers.momentum import Momentum
    from l2o_engine.optimizers.rmsprop import RmsProp
    from l2o_engine.optimizers.sgd import Sgd
    from l2o_engine.optimizers.vsgd import VSgd

__all__ = [
    "OPTIMIZERS",
    "Adam",
    "HandDesigned",
    "Momentum",
    "Optimizer",
    "RmsProp",
    "Sgd",
    "VSgd",
]


if not TYPE_CHECKING:  # to whom a name that is not there would be anything

    def __getattr__(name: str) -> Any:
        return OPTIMIZERS.named(name)


def __dir__() -> list[str]:
    return sorted({*__all__, *(cls.__name__ for cls in OPTIMIZERS)})
