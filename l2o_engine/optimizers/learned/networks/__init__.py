"""The networks of learned optimizers: each kind is one file here."""

from typing import Any

from l2o_engine.optimizers.learned.networks.base import NETWORKS, Network

__all__ = ["NETWORKS", "Network"]


def __getattr__(name: str) -> Any:
    return NETWORKS.named(name)


def __dir__() -> list[str]:
    return [*__all__, *(cls.__name__ for cls in NETWORKS)]
