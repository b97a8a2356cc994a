"""Several networks, each for some groups of the problem's weights: DeepMind's two LSTMs, for kernels and the rest."""

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Annotated, Any, Literal, cast

import numpy as np
from pydantic import BeforeValidator, Field

from l2o_engine.optimizers.learned.inputs.base import one_behind_the_other
from l2o_engine.optimizers.learned.layout import Layout
from l2o_engine.optimizers.learned.networks.base import NETWORKS, Network, Stepping
from l2o_engine.support.arrays import Floats, Integers
from l2o_engine.support.settings import SettingError, Text, list_to_tuple, settings
from l2o_engine.tasks.base import Group, TaskFamily

if TYPE_CHECKING:
    from torch import Tensor

_MOST_MEMBERS = 16
_NetworkTable: Any = NETWORKS.union_of(Network, __name__)
_Name = Annotated[Text, Field(min_length=1, max_length=24, pattern=r"^[A-Za-z][A-Za-z0-9_-]*$")]
_Pattern = Annotated[Text, Field(min_length=1, max_length=100)]


@settings
class Member:
    """One of them.

    Attributes
    ----------
    name
        What its weights are called by.
    groups
        The groups that it moves: by the part of the problem that they are of ("conv"), or by their names, in which *
        stands for any characters ("layer0.*").
    network
        A table like [network].
    """

    name: _Name
    groups: Annotated[tuple[_Pattern, ...], BeforeValidator(list_to_tuple), Field(min_length=1, max_length=64)]
    network: _NetworkTable

    def moves(self, name: str, group: Group) -> bool:
        """Return whether a group is one of its own."""
        return any(pattern == group.part or fnmatchcase(name, pattern) for pattern in self.groups)


@NETWORKS.register
@settings
class ByGroup(Network):
    """Several networks, each for some groups of the problem's weights, with the same inputs.

    A group of which several could be in charge is the first one's. The weights of one have its name before their own:
    conv.lstm0.kernel.

    Attributes
    ----------
    of
        The networks, in the order in which their weights lie: tables with a `name`, the `groups` that it moves (a list
        of names, in which * stands for any characters, or of parts of the problem, "conv" or "fc"), and a `network`, a
        table like [network].

    Raises
    ------
    SettingError
        If two have one name.
    """

    of: Annotated[tuple[Member, ...], BeforeValidator(list_to_tuple), Field(min_length=1, max_length=_MOST_MEMBERS)]
    kind: Literal["by_group"] = "by_group"

    def __post_init__(self) -> None:
        if len({member.name for member in self.of}) < len(self.of):
            raise SettingError("of", "every network needs a name of its own")

    @property
    def networks(self) -> dict[str, Network]:
        """Name → network."""
        return {member.name: cast("Network", member.network) for member in self.of}

    @property
    def units(self) -> int:
        """The greatest number of units of one of them."""
        return max(network.units for network in self.networks.values())

    def layout(self, width: int) -> Layout:
        """Return all parameters' names and shapes, one network's behind another's."""
        return Layout(
            {
                f"{name}.{inner}": shape
                for name, network in self.networks.items()
                for inner, shape in network.layout(width).shapes.items()
            }
        )

    def initialise(self, width: int, generator: np.random.Generator, dtype: str) -> Floats:
        """Draw weights [size], one network's after another's."""
        return np.concatenate([one.initialise(width, generator, dtype) for one in self.networks.values()])

    def on(self, family: TaskFamily) -> "Routed":
        """Return the networks for points of a family.

        Raises
        ------
        ValueError
            If it has no groups, one that no network moves, or none for one of them.
        """
        if not family.groups:
            raise ValueError(f'networks by group need a problem whose weights are in groups; "{family.kind}" has none')
        own: dict[str, list[Integers]] = {member.name: [] for member in self.of}
        for name, group in family.groups.items():
            member = next((member for member in self.of if member.moves(name, group)), None)
            if member is None:
                raise ValueError(f'no network moves the group "{name}" of the problem')
            own[member.name].append(np.arange(group.place.start, group.place.stop))
        for name, places in own.items():
            if not places:
                raise ValueError(f'the network "{name}" has nothing to move: {_groups_of(family)}')
        coordinates = {name: np.concatenate(places) for name, places in own.items()}
        return Routed(self.networks, coordinates, family.size, self.networks)

    def start(self, rows: int, like: "Tensor") -> Any:
        """Refuse: see :meth:`on`."""
        raise ValueError("networks by group must know the problem's groups first: take TrainedOptimizer.on(family)")

    def step(self, weights: Mapping[str, Any], inputs: "Tensor", state: Any) -> tuple["Tensor", Any]:
        """Refuse: see :meth:`on`."""
        return self.start(0, inputs), state


def _groups_of(family: TaskFamily) -> str:
    """Return which groups and parts there are, in words."""
    parts = sorted({group.part for group in family.groups.values()})
    return f"the problem's groups are {', '.join(family.groups)}, its parts {', '.join(parts)}"


@dataclass(frozen=True, eq=False)
class Routed:
    """Networks by group, where it is known which coordinates of a point [size] each moves.

    Attributes
    ----------
    networks, coordinates
        Name → network, and what it moves.
    size
        Coordinates of a point.
    stepping
        Name → what takes the network's steps: itself, or something in its place.
    """

    networks: Mapping[str, Network]
    coordinates: Mapping[str, Integers]
    size: int
    stepping: Mapping[str, Stepping]

    def start(self, rows: int, like: "Tensor") -> dict[str, Any]:
        """Return the states before the first step, by the networks' names."""
        points = rows // self.size
        return {
            name: network.start(points * len(self.coordinates[name]), like) for name, network in self.stepping.items()
        }

    def step(
        self, weights: Mapping[str, Any], inputs: "Tensor", state: dict[str, Any]
    ) -> tuple["Tensor", dict[str, Any]]:
        """Take one step; see :meth:`~l2o_engine.optimizers.learned.networks.base.Network.step`."""
        points = inputs.reshape(-1, self.size, inputs.shape[-1])
        outputs, states = [], {}
        for name, network in self.networks.items():
            own = {inner: weights[f"{name}.{inner}"] for inner in network.layout(inputs.shape[-1]).shapes}
            seen = points[:, self.coordinates[name]].reshape(-1, inputs.shape[-1])
            moved, states[name] = self.stepping[name].step(own, seen, state[name])
            outputs.append(moved.reshape(len(points), -1))
        in_order = np.argsort(np.concatenate([self.coordinates[name] for name in self.networks]))
        return one_behind_the_other(*outputs)[:, in_order].reshape(-1), states

    def named(self, state: dict[str, Any]) -> dict[str, "Tensor"]:
        """Return the states by name, each network's behind its own name; the rows are those of its coordinates."""
        return {
            f"{name}.{inner}": values
            for name, network in self.stepping.items()
            for inner, values in network.named(state[name]).items()
        }

    def of_named(self, named: Mapping[str, "Tensor"]) -> dict[str, Any]:
        """Return the states that these tensors are of."""
        own: dict[str, dict[str, Tensor]] = {name: {} for name in self.stepping}
        for long_name, values in named.items():
            name, _, inner = long_name.partition(".")
            own[name][inner] = values
        return {name: network.of_named(own[name]) for name, network in self.stepping.items()}
