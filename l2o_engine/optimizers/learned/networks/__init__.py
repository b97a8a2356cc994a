"""The networks of learned optimizers: each kind is one file here."""

from typing import TYPE_CHECKING, Any

from l2o_engine.optimizers.learned.networks.base import NETWORKS, Network

if TYPE_CHECKING:  # what __getattr__ finds, for type checkers: tests/engine/test_types.py holds it
    from l2o_engine.optimizers.learned.networks.by_group import ByGroup
    from l2o_engine.optimizers.learned.networks.linear import Linear
    from l2o_engine.optimizers.learned.networks.lstm import LSTM
    from l2o_engine.optimizers.learned.networks.mlp import MLP

__all__ = [
    "LSTM",
    "MLP",
    "NETWORKS",
    "ByGroup",
    "Linear",
    "Network",
]


if not TYPE_CHECKING:  # to whom a name that is not there would be anything

    def __getattr__(name: str) -> Any:
        return NETWORKS.named(name)


def __dir__() -> list[str]:
    return sorted({*__all__, *(cls.__name__ for cls in NETWORKS)})
