"""Passes of coordinates through a learned optimizer: all of a model's, tensors cut or joined to fit into memory."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cache, cached_property
from math import prod
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from l2o_engine.backends.in_place.spec import TILE
from l2o_engine.backends.in_place.steppers import KernelStepper, TorchStepper, stepper_for
from l2o_engine.backends.in_place.tiles import Piece, tiles_of, zeros_in_tiles
from l2o_engine.optimizers.learned.exported import Exported
from l2o_engine.optimizers.learned.inputs.base import Inputs, Tensors
from l2o_engine.optimizers.learned.learned_optimizer import LearnedState, TrainedOptimizer
from l2o_engine.optimizers.learned.networks.base import Network
from l2o_engine.optimizers.learned.networks.by_group import ByGroup
from l2o_engine.support.arrays import Floats
from l2o_engine.support.wording import shown

_UNDIVIDED = 2**15  # coordinates, at most, of which torch's operations are not worth a second thread
_KERNEL_AT_ONCE, _TORCH_AT_ONCE = 2**18, 2**16  # coordinates: what torch keeps of one is some hundred numbers
STEP = "step"
"""How many steps a parameter has taken, in its state; PyTorch's state dicts do not cast what is called so."""

_NETWORK, _MEMORY, GUARD = "network.", "memory.", "guard."


@dataclass(frozen=True)
class Kernels:
    """How a tensor of a model looks to networks by group: DeepMind's conv nets have one for kernels, one for the rest.

    Attributes
    ----------
    shape
        Of the tensor.
    place
        All of it.
    """

    shape: tuple[int, ...]

    @property
    def place(self) -> slice:
        """All of its coordinates."""
        return slice(0, prod(self.shape))

    @property
    def part(self) -> str:
        """Return "conv" for the kernel of a convolution, which has three axes or more, and "fc" for all else."""
        return "conv" if len(self.shape) >= 3 else "fc"


@dataclass(frozen=True, eq=False)
class Member:
    """One network of a learned optimizer, with its weights.

    Attributes
    ----------
    network, weights
        It, and its weights [size].
    """

    exported: Exported
    network: Network
    weights: Floats
    _computing: "dict[Any, Computing]" = field(default_factory=dict, repr=False)

    def on(self, device: torch.device, dtype: torch.dtype) -> "Computing":
        """Return it where coordinates are of this device and dtype; made once."""
        key = device, dtype, torch.get_num_threads()
        if key not in self._computing:
            self._computing[key] = Computing.of(self, device, dtype)
        return self._computing[key]


def members_of(exported: Exported) -> dict[str, Member]:
    """Return the networks of a learned optimizer, by name: one, "", or those by group."""
    network, width = exported.learned.network, exported.learned.inputs.width
    if not isinstance(network, ByGroup):
        return {"": Member(exported, network, exported.weights)}
    found, start = {}, 0
    for name, one in network.networks.items():
        size = one.layout(width).size
        found[name] = Member(exported, one, exported.weights[start : start + size])
        start += size
    return found


def member_for(exported: Exported, name: str, shape: tuple[int, ...]) -> str:
    """Return the name of the network that moves a tensor.

    Raises
    ------
    ValueError
        If none does.
    """
    network = exported.learned.network
    if not isinstance(network, ByGroup):
        return ""
    for member in network.of:
        if member.moves(name, Kernels(shape)):
            return member.name
    raise ValueError(f"no network of {exported.origin.run} moves the parameter {name}")


@dataclass(frozen=True, eq=False)
class Computing:
    """A network, on one device and in one dtype.

    Attributes
    ----------
    optimizer
        What turns gradients into updates; its network is the stepper.
    stepper
        Who takes the network's steps.
    like
        A tensor of the device and dtype.
    """

    optimizer: TrainedOptimizer
    stepper: TorchStepper
    like: Tensor

    @classmethod
    def of(cls, member: Member, device: torch.device, dtype: torch.dtype) -> "Computing":
        """Return a network on a device and in a dtype."""
        numpy_dtype = str(dtype).removeprefix("torch.")
        weights = np.ascontiguousarray(member.weights.astype(numpy_dtype))
        learned = replace(member.exported.learned, network=member.network)
        stepper = stepper_for(member.network, learned.inputs.width, weights, device, torch.get_num_threads())
        on_device = torch.from_numpy(weights).to(device)
        optimizer = learned.with_weights(on_device, member.exported.numbers)
        return cls(replace(optimizer, stepping=stepper), stepper, on_device.new_zeros(0))

    @property
    def inputs(self) -> Inputs:
        """What the network sees."""
        return self.optimizer.learned.inputs

    @property
    def at_once(self) -> int:
        """How many coordinates go through at once."""
        return _KERNEL_AT_ONCE if isinstance(self.stepper, KernelStepper) else _TORCH_AT_ONCE

    @property
    def cuts(self) -> bool:
        """Whether a tensor may go in parts: not where its coordinates are seen beside each other."""
        return type(self.inputs).among is Inputs.among

    def fits(self, state: Mapping[str, Any]) -> bool:
        """Return whether a state is of the dtype, and on the device, that is computed in."""
        dtype, device = self.like.dtype, self.like.device
        return all(state[kept].dtype == dtype and state[kept].device == device for _, kept in self._names)

    @cached_property
    def _states(self) -> dict[str, Tensor]:
        """The network's state of one coordinate before the first step, [1, ...], by name."""
        return self.stepper.named(self.stepper.start(1, self.like))

    @cached_property
    def _names(self) -> list[tuple[str, str]]:
        """What the network calls its states, and what they are called in a parameter's."""
        return [(name, f"{_NETWORK}{name}") for name in self._states]

    def piece(self, part: "Part") -> Piece:
        """Return what the stepper takes of some coordinates of a parameter."""
        slot, first, last = part
        states = {name: slot.state[kept] for name, kept in self._names}
        return Piece(slot.size, states) if last - first == slot.size else Piece.of(states, first, last)

    def begin(self, x: Tensor) -> dict[str, Tensor]:
        """Return what is remembered of a tensor's coordinates x [n] before the first step, by name."""
        network = {f"{_NETWORK}{name}": zeros_in_tiles(one, x.numel()) for name, one in self._states.items()}
        memory = {f"{_MEMORY}{name}": values.clone() for name, values in self.inputs.begin(x).items()}
        return network | memory

    def why_no_state(self, state: Mapping[str, Any], size: int) -> str:
        """Return why this can be no state of a tensor of so many coordinates; an empty string if it can."""
        network = {f"{_NETWORK}{name}": (tiles_of(size), *one.shape[1:], TILE) for name, one in self._states.items()}
        begun = self.inputs.begin(self.like.new_zeros(1))
        memory = {f"{_MEMORY}{name}": _shape_of(begun.get(name), size) for name in self.inputs.remembers}
        for name, shape in (network | memory).items():
            is_needed = name in network or name.removeprefix(_MEMORY) in begun
            if name not in state and is_needed:
                return f"it has no {name}"
            if name in state and (not isinstance(state[name], Tensor) or tuple(state[name].shape) != shape):
                return f"{name} is no tensor of shape {list(shape)}"
        for name, shape in {f"{GUARD}mean": (size,), f"{GUARD}square": (size,), f"{GUARD}steps": ()}.items():
            if name in state and (not isinstance(state[name], Tensor) or tuple(state[name].shape) != shape):
                return f"{name} is no tensor of shape {list(shape)}"
        strange = {name for name in state if str(name).startswith((_NETWORK, _MEMORY))} - set(network | memory)
        return f"it has {shown(min(strange))}" if strange else ""


class Slot(NamedTuple):
    """One parameter, for one step.

    Attributes
    ----------
    parameter, size
        It, and how many coordinates it has.
    state
        What is remembered of it; see :meth:`Computing.begin`.
    gradient
        [n], flat, of the dtype that is computed in: what the network sees.
    downhill
        [n], likewise: the gradient of what is to become less, as it is.
    group
        The parameter's group, with its options.
    """

    parameter: Tensor
    size: int
    state: dict[str, Any]
    gradient: Tensor
    downhill: Tensor
    group: Mapping[str, Any]

    @property
    def x(self) -> Tensor:
        """Where it is, [n], of the dtype that is computed in."""
        return self.parameter.detach().reshape(-1).to(self.gradient.dtype)

    def forget(self) -> None:
        """Forget all that the network and its inputs remember."""
        for name in [name for name in self.state if name.startswith((_NETWORK, _MEMORY))]:
            del self.state[name]


class Part(NamedTuple):
    """Coordinates of one parameter: from ``first`` on, a multiple of TILE, to ``last``."""

    slot: Slot
    first: int
    last: int

    @property
    def size(self) -> int:
        """How many they are."""
        return self.last - self.first

    @property
    def is_last(self) -> bool:
        """Whether none follows of its parameter."""
        return self.last == self.slot.size

    def of(self, values: Tensor) -> Tensor:
        """Return their part of what is known of the parameter's coordinates, [n, ...]."""
        slot, first, last = self
        return values if last - first == slot.size else values[first:last]


def updates(computing: Computing, slots: Iterable[Slot]) -> Iterator[list[tuple[Slot, Tensor]]]:
    """Yield parameters, of one device and dtype, with their updates [n], some at a time; their states move on.

    Parameters
    ----------
    computing
        What computes.
    slots
        The parameters, each with a gradient and a state, none of them empty.
    """
    alike: dict[tuple[str, ...], list[Slot]] = defaultdict(list)
    for slot in slots:
        alike[_of_memory(tuple(slot.state))].append(slot)
    for names, some in alike.items():
        cut: list[Tensor] = []
        for parts in _packed(some, computing.at_once, cuts=computing.cuts):
            done = []
            for part, update in zip(parts, _pass(computing, names, parts), strict=True):
                cut.append(update)
                if part.is_last:
                    done.append((part.slot, _joined(cut)))
                    cut = []
            if done:
                yield done


def _packed(slots: Sequence[Slot], most: int, *, cuts: bool) -> Iterator[list[Part]]:
    """Yield the parameters' coordinates in order, so many at once; no tensor is cut within a tile, or none at all."""
    parts: list[Part] = []
    room = most
    for slot in slots:
        first, size = 0, slot.size
        if not cuts:
            if parts and size > room:
                yield parts
                parts, room = [], most
            parts.append(Part(slot, 0, size))
            room -= size
            continue
        while first < size:
            if room < min(TILE, size - first):
                yield parts
                parts, room = [], most
            last = min(size, first + max(room // TILE * TILE, TILE)) if size - first > room else size
            parts.append(Part(slot, first, last))
            room -= last - first
            first = last
    if parts:
        yield parts


def _pass(computing: Computing, names: Sequence[str], parts: Sequence[Part]) -> Sequence[Tensor]:
    """Take parts, of whose coordinates the inputs remember these names, one step on; return their updates."""
    gradient = _joined([part.of(part.slot.gradient) for part in parts])
    inputs, sizes = computing.inputs, [part.size for part in parts]
    memory = {name.removeprefix(_MEMORY): _memory(name, parts) for name in names}
    if type(inputs).at is not Inputs.at:
        memory = dict(inputs.at(memory, _joined([part.of(part.slot.x) for part in parts])))
    optimizer = computing.optimizer
    if type(inputs).among is not Inputs.among:
        ends = np.cumsum(sizes).tolist()
        where = tuple(slice(start, end) for start, end in zip([0, *ends], ends, strict=False))
        optimizer = replace(optimizer, tensors=Tensors(1, where))
    pieces = [computing.piece(part) for part in parts]
    with _undivided() if gradient.is_cpu and gradient.numel() <= _UNDIVIDED else nullcontext():
        update, after = optimizer.update(gradient, LearnedState(pieces, memory, gradient.new_zeros(0)))
    for name, values in after.memory.items():
        _remember(f"{_MEMORY}{name}", values, parts, sizes)
    return _split(update, sizes)


def is_ours(name: object) -> bool:
    """Return whether it is the name of something in a state that is of the dtype that is computed in."""
    return str(name).startswith((_NETWORK, _MEMORY, GUARD))


def _shape_of(begun: Tensor | None, size: int) -> tuple[int, ...]:
    """Return the shape of what is remembered of so many coordinates, given what it is of one before the first step."""
    if begun is None:  # of x's shape: nothing was there yet
        return (size,)
    return (size, *begun.shape[1:]) if begun.ndim else ()


@cache
def _of_memory(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return what the inputs remember, by name, of what is in a state: less before the first step, for some."""
    return tuple(sorted(name for name in names if name.startswith(_MEMORY)))


def _joined(values: Sequence[Tensor]) -> Tensor:
    return values[0] if len(values) == 1 else torch.cat(list(values))


@contextmanager
def _undivided() -> Iterator[None]:
    """Have torch's operations use one thread, here and now; the kernel has its own.

    Some of them divide a few thousand numbers, and the other threads then spin for a millisecond, which keeps the
    kernel's threads from their cores: it takes as long as with one. The setting is that of the calling thread, and of
    those that first ask torch for something meanwhile.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _split(values: Tensor, sizes: list[int]) -> Sequence[Tensor]:
    found: Sequence[Tensor] = torch.split(values, sizes)
    return found


def _memory(name: str, parts: Sequence[Part]) -> Tensor:
    """Return what is remembered of parts' coordinates; a count that all have in common stays one."""
    each: list[Tensor] = [part.slot.state[name] for part in parts]
    if each[0].ndim:
        return _joined([part.of(values) for values, part in zip(each, parts, strict=True)])
    if len(each) == 1 or (each[0].device.type == "cpu" and len({float(count) for count in each}) == 1):
        return each[0]
    return _joined([count.expand(part.size) for count, part in zip(each, parts, strict=True)])


def _remember(name: str, values: Tensor, parts: Sequence[Part], sizes: list[int]) -> None:
    """Put what is remembered from now on of parts' coordinates into their parameters' states."""
    each = _split(values, sizes) if values.ndim else [values] * len(parts)
    old: list[Tensor] = []
    new: list[Tensor] = []
    for part, own in zip(parts, each, strict=True):
        there = part.slot.state.get(name)
        if there is None:
            there = part.slot.state[name] = own.new_zeros((part.slot.size, *own.shape[1:]) if own.ndim else ())
        if there.ndim:
            old.append(part.of(there))
            new.append(own)
        elif part.is_last:  # the parts before are the same step
            old.append(there)
            new.append(own[0] if own.ndim else own)
    if old:
        torch._foreach_copy_(old, new)
