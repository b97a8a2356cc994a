"""A network that goes forward on rows, remembers what it saw, and then tells the derivative by its weights.

A recording takes a network's place for one unroll (:class:`~l2o_engine.optimizers.learned.networks.base.Stepping`).
Each step's outputs are the beginning of a graph of their own, in which no weight is; so whatever becomes of them is
differentiated by torch up to the outputs, and from there on by the recording.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from l2o_engine.backends.compiled.compile import Kernel
from l2o_engine.backends.compiled.vectors import GATES, Target
from l2o_engine.backends.coordinatewise.crew import Crew
from l2o_engine.backends.coordinatewise.kernel.lines import block_of
from l2o_engine.backends.coordinatewise.kernel.lstm import Rows
from l2o_engine.backends.coordinatewise.kernel.perceptron import Desk
from l2o_engine.backends.coordinatewise.memory import Memory, Sizes, Spare, no_desk
from l2o_engine.backends.coordinatewise.pack import Packing
from l2o_engine.backends.coordinatewise.spec import keeps_gates
from l2o_engine.backends.coordinatewise.team import Team
from l2o_engine.optimizers.learned.networks.base import Network
from l2o_engine.support.arrays import Doubles, Floats, Integers

_CHUNK = 4  # blocks that one thread takes at a time: what they add to the gradient is added up first
_AT_ONCE = 2**14  # rows, of all steps, that torch differentiates at once in each thread


class Recording(ABC):
    """One unroll.

    Attributes
    ----------
    outputs
        Those of each step that is taken by itself and remembered, [rows]: an LSTM's are scaled, unless a bound comes
        first, which is left to torch.
    team
        The threads, from the first state on, where they stay from step to step; else None.
    """

    team: Team | None = None

    def __init__(self, *, remembers: bool) -> None:
        self.outputs: list[Tensor] = []
        self._remembers = remembers

    def _remember(self, outputs: Tensor) -> Tensor:
        if self._remembers:
            self.outputs.append(outputs.requires_grad_())
        return outputs

    @abstractmethod
    def start(self, rows: int, like: Tensor) -> Any:
        """Begin with the zero state."""

    @abstractmethod
    def step(self, weights: Mapping[str, Any], inputs: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Take one step with the weights that the recording was made with."""

    @abstractmethod
    def named(self, state: Any) -> dict[str, Tensor]:
        """Return a state as tensors [rows, …] by name."""

    @abstractmethod
    def of_named(self, named: Mapping[str, Tensor]) -> Any:
        """Begin with the state that these tensors are of."""

    @abstractmethod
    def gradient(self, slopes: Sequence[Tensor]) -> Doubles:
        """Return the derivative [size] by the weights, given those by each step's outputs, [rows] each."""


class StatelessRecording(Recording):
    """A network without a state: torch differentiates it, so many rows at once.

    Parameters
    ----------
    network, weights
        What computes, and its weights, flat.
    crew
        Who differentiates.
    remembers
        Whether it will be differentiated.
    """

    def __init__(self, network: Network, weights: Floats, crew: Crew, *, remembers: bool) -> None:
        super().__init__(remembers=remembers)
        self._network, self._crew = network, crew
        self._weights = torch.from_numpy(weights)
        self._inputs: list[Tensor] = []

    def start(self, rows: int, like: Tensor) -> Any:
        """Return that there is no state."""
        return self._network.start(rows, like)

    def named(self, state: Any) -> dict[str, Tensor]:
        """Return that there is no state."""
        return self._network.named(state)

    def of_named(self, named: Mapping[str, Tensor]) -> Any:
        """Return that there is no state."""
        return self._network.of_named(named)

    def step(self, weights: Mapping[str, Any], inputs: Tensor, state: Any) -> tuple[Tensor, Any]:
        """Take one step; see :class:`Recording`."""
        if self._remembers:
            self._inputs.append(inputs)
        with torch.no_grad():
            outputs, state = self._network.step(weights, inputs, state)
        return self._remember(outputs), state

    def gradient(self, slopes: Sequence[Tensor]) -> Doubles:
        """Return the derivative [size] by the weights; see :class:`Recording`."""
        inputs, by_outputs = torch.cat(self._inputs), torch.cat(list(slopes))
        layout = self._network.layout(inputs.shape[1])

        def part(rows: tuple[Tensor, Tensor]) -> Floats:
            some, slope = rows
            weights = self._weights.detach().requires_grad_()
            named = {name: weights[where].view(shape) for name, where, shape in layout.slices()}
            outputs, _ = self._network.step(named, some, ())
            (gradient,) = torch.autograd.grad(outputs, weights, slope)
            found: Floats = gradient.numpy()
            return found

        pairs = list(zip(torch.split(inputs, _AT_ONCE), torch.split(by_outputs, _AT_ONCE), strict=True))
        total = np.zeros(self._weights.shape)
        for gradient in self._crew.do_each(part, pairs):
            with np.errstate(invalid="ignore"):  # what is not finite is seen by its norm
                total += gradient
        return total


@dataclass(frozen=True, eq=False)
class Compiled:
    """The kernel for one LSTM, and who computes with it.

    Attributes
    ----------
    kernel, packing, dtype, crew
        The kernel's entries; the order of the weights; the float type; the threads.
    spare
        The memory of unrolls that are over.
    block
        Rows of a block.
    """

    kernel: Kernel
    packing: Packing
    dtype: str
    crew: Crew
    spare: Spare = field(default_factory=Spare)
    block: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "block", block_of(Target.for_host(self.dtype)))


class CompiledRecording(Recording):
    """An LSTM, by the kernel; see kernel/lstm.py for how its state and its inputs are kept.

    Parameters
    ----------
    compiled, weights
        The kernel, and the network's weights, flat.
    steps
        How many steps will be taken and differentiated; 0 if any number, and nothing is remembered of them.
    alone
        Whether no other recording wants the threads between two of its steps.
    desk
        Where the team shares the optimizees' gradients, if it does.
    """

    def __init__(
        self, compiled: Compiled, weights: Floats, steps: int, *, alone: bool = True, desk: Desk | None = None
    ) -> None:
        super().__init__(remembers=steps > 0)
        self._kernel, self._packing, self._crew, self._block = (
            compiled.kernel, compiled.packing, compiled.crew, compiled.block,
        )  # fmt: skip
        dtype = self._dtype = compiled.dtype
        self._spare, self._steps, self._alone = compiled.spare, steps, alone
        self._weights = self._packing.pack(weights)
        self._taken = 0
        self._memory: Memory
        self._all: Rows
        self._desk = no_desk(dtype) if desk is None else desk

    # What the kernel is told of the network.

    @property
    def _shape(self) -> tuple[int, int]:
        network = self._packing.network
        return network.layers, network.hidden

    @property
    def _rows(self) -> int:
        return self._memory.sizes.rows

    # The state: where it lies in the arena, of three places; the first is where the unroll began.

    def start(self, rows: int, like: Tensor) -> int:
        """Begin with the zero state; see :class:`Recording`."""
        self._begin(rows)
        self._memory.arena[: self._memory.sizes.state] = 0
        return 0

    def of_named(self, named: Mapping[str, Tensor]) -> int:
        """Begin with the state that these tensors are of; see :class:`Recording`.

        Raises
        ------
        ValueError
            If they are not all of as many rows and units: the kernel would not see where they end.
        """
        rows = len(named["lstm0.hidden"])
        shape = (rows, self._packing.network.hidden)
        for name, values in named.items():
            if tuple(values.shape) != shape:
                raise ValueError(f"{name} is {tuple(values.shape)}, where rows and units are {shape}")
        self._begin(rows)

        def put(name: str) -> None:
            to, apart = self._place(0, name)
            values = np.ascontiguousarray(named[name].numpy(), self._dtype)
            self._kernel.load_state(self._memory.arena, to, apart, self._packing.lines, values)

        self._crew.do_each(put, list(named))
        return 0

    def named(self, state: int) -> dict[str, Tensor]:
        """Return a state as tensors [rows, hidden] by name; see :class:`Recording`."""
        layers, hidden = self._shape
        names = [f"lstm{layer}.{part}" for layer in range(layers) for part in ("hidden", "cell")]

        def take(name: str) -> Floats:  # the memory is the next unroll's: nothing of it may be given away
            values = np.empty((self._rows, hidden), self._dtype)
            self._kernel.save_state(self._memory.arena, *self._place(state, name), values)
            return values

        taken = self._crew.do_each(take, names)
        return {name: torch.from_numpy(values) for name, values in zip(names, taken, strict=True)}

    def _begin(self, rows: int) -> None:
        network, packing, lines = self._packing.network, self._packing, self._packing.lines
        blocks = -(-rows // self._block)
        padded = blocks * self._block
        keeps = self._remembers and self._alone and keeps_gates(network, rows, self._steps, self._dtype)
        sizes = Sizes(
            self._dtype,
            state=blocks * 2 * network.layers * lines * self._block,
            scratch=self._crew.size * packing.scratch_lines * self._block,
            gates=self._steps * GATES * network.units * padded if keeps else 0,
            steps=self._steps,
            width=packing.width,
            rows=rows,
            padded=padded,
            chunks=-(-padded // (_CHUNK * self._block)),
            sums=packing.sums,
        )
        memory = self._memory = self._spare.take(sizes)
        self._all = Rows(
            self._weights,
            packing.places,
            memory.tape,
            self._new_outputs(),
            memory.arena,
            np.empty(0, self._dtype),
            own=rows,
            state=sizes.state,
            kept=3 * sizes.state + sizes.scratch if keeps else -1,
            layers=network.layers,
            hidden=network.hidden,
            projection=packing.projection,
            chunk=_CHUNK * self._block,
            scale=np.full(1, packing.scale, self._dtype),
        )
        if self._remembers and self._alone:
            asked = 2 * (self._steps + 1)  # times for gradients, where a step is judged by another minibatch
            stages = self._steps + asked * 2 * len(self._desk.points)
            self.team = self._team(self._desk, stages)

    def _new_outputs(self) -> Floats:
        """Return room for what the network gives, which is given away."""
        sizes = self._memory.sizes
        return np.empty((max(1, sizes.steps), sizes.padded), self._dtype)

    def _team(self, desk: Desk, stages: int) -> Team:
        return Team(self._kernel, self._crew, self._memory.sizes.chunks, self._all, desk, stages)

    def _place(self, state: int, name: str) -> tuple[int, int]:
        """Return where in the arena a layer's outputs or cells begin, "lstm0.hidden" say, and how far apart blocks are.

        A state is [blocks, layers, 2, lines, block].
        """
        layer, part = name.removeprefix("lstm").split(".")
        size = self._packing.lines * self._block
        which = 2 * int(layer) + ("hidden", "cell").index(part)
        return state * self._memory.sizes.state + which * size, 2 * self._shape[0] * size

    # Forward, and back.

    def step(self, weights: Mapping[str, Any], inputs: Tensor, state: int) -> tuple[Tensor, int]:
        """Take one step; see :class:`Recording`.

        The state that it returns is a place in the arena: of those before it, only the first is kept.
        """
        slot = self._taken if self._remembers else 0
        step = slot if self._remembers else state  # from each place, the next step goes to the next
        if not self._remembers:
            self._all = self._all._replace(outputs=self._new_outputs())
        self._all.tape[slot, :, : self._rows] = inputs.numpy().T
        team = self.team or self._team(no_desk(self._dtype), 1)
        team.step(step)
        if self.team is None:
            team.dismiss()
        self._taken += 1
        found = self._remember(torch.from_numpy(self._all.outputs[slot])[: self._rows])
        return found if self._packing.scales else self._packing.network.scaled(found), 2 if state == 1 else 1

    @property
    def gives_updates(self) -> bool:
        """Whether what the kernel gives is what the rows are moved by, where the inputs have it so."""
        return self._packing.scales

    def unroll(self, x: Floats, chosen: Integers, settings: Floats) -> tuple[Desk, Floats, Floats, int]:
        """Take all steps at once from the first state on, each on the gradient of the desk's networks where they are.

        The outputs are what the networks are moved by, so there are no :attr:`outputs` with a graph of their own.

        Parameters
        ----------
        x, chosen
            Where the networks begin, [networks, size], which are the rows; the images of each loss, int64
            [steps + 1, networks, n].
        settings
            By which the inputs, two numbers a row, are made of gradients: see :func:`~.encoding.settings_of`.

        Returns
        -------
        The desk, with points, losses and gradients of all steps and after the last, step by step; what the network saw,
        [steps, width, rows], and what it gave, [steps, rows]; the state.

        Raises
        ------
        ValueError
            If there are not images for as many losses as the recording's steps have, or other rows or inputs than it
            has: the kernel would not see where they end.
        """
        losses, networks, _ = chosen.shape
        if losses != self._steps + 1:
            raise ValueError(f"images for {losses} losses, where {self._steps} steps have {self._steps + 1}")
        if (x.size, 2) != (self._rows, self._packing.width):
            raise ValueError(f"{x.size} rows of 2 inputs, where there are {self._rows} of {self._packing.width}")
        places = losses * networks
        desk = self._desk = self._desk._replace(
            points=np.empty((places, x.shape[1]), self._dtype),
            chosen=chosen.reshape(places, -1),
            losses=np.empty(places, self._dtype),
            gradients=np.empty((places, x.shape[1]), self._dtype),
        )
        np.copyto(desk.points[:networks], x, casting="no")
        tape = np.empty_like(self._memory.tape)  # it is given away
        tape[..., self._rows :] = 0  # whatever is computed behind the last row must be a number
        self._all = self._all._replace(tape=tape, settings=settings)
        self.team = self._team(desk, self._steps + 2 * places)
        self.team.unroll(self._steps, networks)
        seen, given = (values[..., : self._rows] for values in (tape, self._all.outputs))
        return desk, seen, given, 2 - self._steps % 2

    def gradient(self, slopes: Sequence[Tensor]) -> Doubles:
        """Return the derivative [size] by the weights; see :class:`Recording`. It ends the recording."""
        for row, slope in zip(self._memory.slopes[:, : self._rows], slopes, strict=True):
            np.copyto(row, slope.numpy().reshape(-1))
        nothing: Floats = np.empty((0, 0), self._dtype)
        return self._differentiated(nothing, nothing)

    def gradient_by_losses(self, by_losses: Floats) -> Doubles:
        """Return the derivative [size] by the weights after :meth:`unroll`. It ends the recording.

        Parameters
        ----------
        by_losses
            The objective's derivatives by the first losses, [counted, networks].

        Raises
        ------
        ValueError
            If no whole unroll of so many networks was taken: the kernel would not see where its gradients end.
        """
        places, size = self._desk.gradients.shape
        networks = by_losses.shape[1]
        if (places, networks * size) != ((self._steps + 1) * networks, self._rows):
            raise ValueError(f"derivatives by losses of {networks} networks, of which no unroll was taken whole")
        return self._differentiated(self._desk.gradients, by_losses)

    def _differentiated(self, gradients: Floats, by_losses: Floats) -> Doubles:
        """Return the derivative [size] by the weights, given slopes, or else losses' gradients and what is by these."""
        memory = self._memory
        sums = memory.sums
        if self.team is not None:
            self.team.dismiss()
        counters = np.zeros(len(sums), np.int64)

        def work(thread: int) -> None:
            self._kernel.differentiate(self._all, memory.slopes, gradients, by_losses, sums, counters)

        self._crew.do(work, len(sums))
        total = self._packing.unpack(sums[0])
        self._spare.give(memory)
        return total
