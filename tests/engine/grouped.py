"""A family of tasks whose coordinates are in groups, as a network's layers are."""

from dataclasses import dataclass

from l2o_engine.tasks.quadratic import Quadratic


@dataclass(frozen=True)
class _Group:
    place: slice
    shape: tuple[int, ...]
    part: str


class Grouped(Quadratic):
    """Six coordinates: a kernel, its bias, and a kernel again."""

    @property
    def groups(self) -> dict[str, _Group]:
        return {
            "conv0.weights": _Group(slice(0, 2), (2,), "conv"),
            "conv0.bias": _Group(slice(2, 3), (1,), "fc"),
            "conv1.weights": _Group(slice(3, 6), (3,), "conv"),
        }
