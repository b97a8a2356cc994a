"""A network's inputs, and what its output means: each kind is one file here.

The classes are names of this package: ``inputs.Log(min_log=-30)``.
"""

from typing import TYPE_CHECKING, Any

from l2o_engine.optimizers.learned.inputs.base import INPUTS, Encoded, Inputs

if TYPE_CHECKING:  # what __getattr__ finds, for type checkers: tests/engine/test_types.py holds it
    from l2o_engine.optimizers.learned.inputs.clamp import Clamp
    from l2o_engine.optimizers.learned.inputs.identity import Identity
    from l2o_engine.optimizers.learned.inputs.log import Log
    from l2o_engine.optimizers.learned.inputs.log_and_sign import LogAndSign
    from l2o_engine.optimizers.learned.inputs.momenta import Momenta
    from l2o_engine.optimizers.learned.inputs.ratio import Ratio
    from l2o_engine.optimizers.learned.inputs.ratio_log import RatioLog
    from l2o_engine.optimizers.learned.inputs.rnnprop import RnnProp

__all__ = [
    "INPUTS",
    "Clamp",
    "Encoded",
    "Identity",
    "Inputs",
    "Log",
    "LogAndSign",
    "Momenta",
    "Ratio",
    "RatioLog",
    "RnnProp",
]


if not TYPE_CHECKING:  # to whom a name that is not there would be anything

    def __getattr__(name: str) -> Any:
        return INPUTS.named(name)


def __dir__() -> list[str]:
    return sorted({*__all__, *(cls.__name__ for cls in INPUTS)})
