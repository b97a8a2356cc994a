"""A learned optimizer's networks, ready to be recorded."""

from dataclasses import dataclass, replace

from torch import Tensor

from l2o_engine.backends.compiled.compile import Kernel, get_kernel
from l2o_engine.backends.coordinatewise.admission import networks_of
from l2o_engine.backends.coordinatewise.crew import Crew
from l2o_engine.backends.coordinatewise.encoding import encoding_of, settings_of
from l2o_engine.backends.coordinatewise.kernel.perceptron import Desk
from l2o_engine.backends.coordinatewise.pack import Packing
from l2o_engine.backends.coordinatewise.recording import Compiled, CompiledRecording, Recording, StatelessRecording
from l2o_engine.backends.coordinatewise.spec import RowsSpec
from l2o_engine.optimizers.learned.learned_optimizer import LearnedOptimizer, TrainedOptimizer
from l2o_engine.optimizers.learned.networks.base import Network, Stepping
from l2o_engine.optimizers.learned.networks.by_group import ByGroup
from l2o_engine.optimizers.learned.networks.lstm import LSTM
from l2o_engine.support.arrays import Floats
from l2o_engine.support.processes import Child
from l2o_engine.tasks.base import TaskFamily


@dataclass(frozen=True, eq=False)
class Member:
    """One of the networks.

    Attributes
    ----------
    network, where
        It, and its weights in the flat vector of all.
    compiled
        The kernel for it; None where torch computes.
    crew
        The threads.
    """

    network: Network
    where: slice
    compiled: Compiled | None
    crew: Crew

    def recording(self, weights: Floats, steps: int, *, alone: bool, desk: Desk | None) -> Recording:
        """Return what takes its place for one unroll: so many steps that are remembered, or any number (0).

        If it is alone, the threads stay with it, and share the gradients that are found at a desk; else one thread
        finds those.
        """
        if self.compiled is None:
            return StatelessRecording(self.network, weights[self.where], self.crew, remembers=steps > 0)
        return CompiledRecording(self.compiled, weights[self.where], steps, alone=alone, desk=desk)


class Networks:
    """The networks that compute in a learned optimizer: one, or several by group.

    Parameters
    ----------
    learned, dtype
        The optimizer, and the float type.
    compiler
        Where the process is ended from that compiles the kernel, if it has to be compiled.
    threads
        How many compute side by side; as many as there are cores, if not given.

    Attributes
    ----------
    members
        Name → network, in the order of their weights.
    input_settings
        What the kernel makes their inputs by; None where it cannot.
    """

    def __init__(self, learned: LearnedOptimizer, dtype: str, compiler: Child | None, threads: int | None) -> None:
        crew, width, start = Crew(threads), learned.inputs.width, 0
        self.members: dict[str, Member] = {}
        for name, network in networks_of(learned.network).items():
            stop = start + network.layout(width).size
            compiled = None
            if isinstance(network, LSTM):
                compiled = Compiled(
                    get_kernel(RowsSpec(dtype), compiler), Packing.of(network, width, dtype), dtype, crew
                )
            self.members[name] = Member(network, slice(start, stop), compiled, crew)
            start = stop
        self.input_settings = settings_of(learned.inputs, dtype)
        self._encoding = encoding_of(learned.inputs, self.kernel, dtype)

    @property
    def kernel(self) -> Kernel | None:
        """The kernel that one of them has; None where torch computes all."""
        return next((member.compiled.kernel for member in self.members.values() if member.compiled), None)

    @property
    def alone(self) -> bool:
        """Whether one network has the threads to itself, and so a team, from step to step; several take turns."""
        return len(self.members) == 1

    def record(
        self, optimizer: TrainedOptimizer, family: TaskFamily, steps: int = 0, desk: Desk | None = None
    ) -> tuple[TrainedOptimizer, dict[str, Recording]]:
        """Return an optimizer on a family's points whose steps are recorded, and the recordings by network.

        Parameters
        ----------
        optimizer
            Of these networks; its weights need no gradient.
        family
            What it is let loose on.
        steps
            How many steps are remembered, to be differentiated; 0 for any number that are not.
        desk
            Where the network's team shares the optimizees' gradients.
        """
        weights = optimizer.weights.numpy() if isinstance(optimizer.weights, Tensor) else optimizer.weights
        recordings = {
            name: member.recording(weights, steps, alone=self.alone, desk=desk) for name, member in self.members.items()
        }
        network = optimizer.learned.network
        stepping: Stepping
        if isinstance(network, ByGroup):
            stepping = replace(network.on(family), stepping=recordings)
        else:
            (stepping,) = recordings.values()
        return replace(optimizer.on(family), stepping=stepping, encoding=self._encoding), recordings
