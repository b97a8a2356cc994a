"""What a session says, and what it is told: small frozen values, the same for every front end.

Events that scripts rely on turn into JSON objects, and these into events again, by :mod:`l2o_engine.records.codec`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from l2o_engine.backends.devices import CPU, on_device
from l2o_engine.records.blocks import Blocks
from l2o_engine.records.health import Diagnosis, Finding
from l2o_engine.records.rows import Rows
from l2o_engine.support.arrays import Doubles
from l2o_engine.training.imitating import Likeness
from l2o_engine.training.trainer import Lane
from l2o_engine.training.validating import Verdict

Status = Literal["running", "paused", "finished", "interrupted", "failed", "diverged"]


@dataclass(frozen=True)
class Preparing:
    """Something takes a moment before training starts."""

    message: str


@dataclass(frozen=True)
class Started:
    """The run starts, or goes on: ``iteration`` is the last meta-iteration done, -1 for a new run.

    ``versions`` are those that the results may depend on; ``device`` is where the backend computes, and what that is.
    """

    run_dir: str
    preset: str
    seeds: tuple[int, ...]
    lanes: tuple[Lane, ...]
    backend: str
    reason: str
    iteration: int
    iterations: int
    levels: Mapping[str, float]
    versions: Mapping[str, str] = field(default_factory=dict)
    device: str = CPU

    @property
    def computes(self) -> str:
        """Who computes, and where, if that is not the CPU."""
        return on_device(self.backend, self.device)


@dataclass(frozen=True, eq=False)
class NewRows:
    """Rows of metrics, as they are written to the file."""

    rows: Rows


@dataclass(frozen=True, eq=False)
class Recalled:
    """The beginning of a long run, summed up, in place of its rows: those from there on follow."""

    blocks: Blocks


@dataclass(frozen=True)
class Progress:
    """One row of the progress table, for one lane; ``numbers`` are the inputs' adaptive ones, by name."""

    lane: Lane
    iteration: int
    sum_error: float
    optim_result: float
    average_log_result: float
    average_sum_log_result: float
    numbers: Mapping[str, float]
    iterations_per_second: float
    elapsed_seconds: float
    non_finite: int


@dataclass(frozen=True)
class Diagnosed:
    """What a look at one lane says of its health."""

    lane: Lane
    diagnosis: Diagnosis


@dataclass(frozen=True)
class Found:
    """A finding that the look before did not have."""

    lane: Lane
    iteration: int
    finding: Finding


@dataclass(frozen=True)
class Validated:
    """A lane's network was validated."""

    lane: Lane
    verdict: Verdict


@dataclass(frozen=True)
class Imitated:
    """A lane's network has imitated its teacher, before an episode."""

    lane: Lane
    likeness: Likeness


@dataclass(frozen=True)
class Checkpointed:
    """A checkpoint was written."""

    iteration: int
    path: str
    seeds: tuple[int, ...]
    requested: bool


@dataclass(frozen=True, eq=False)
class Curves:
    """The losses of every optimizer on a series' problems, the network as it is now.

    They are [steps] of one problem, number ``draw`` of the series, or [draws, steps] of those from there on. The
    network is the replicate's of that seed. ``held_out``, [looks] or [draws, looks], is over data that no minibatch is
    drawn from, at the base steps ``looks``; nothing where there is none.
    """

    draw: int
    iteration: int
    losses: Mapping[str, Doubles]
    seed: int = 0
    held_out: Mapping[str, Doubles] = field(default_factory=dict)
    looks: tuple[int, ...] = ()


@dataclass(frozen=True)
class StatusChanged:
    """The run is now running, paused or finished; the message says why, where nobody has asked for it."""

    status: Status
    iteration: int
    message: str = ""


@dataclass(frozen=True)
class Extended:
    """The run has a new total."""

    iterations: int


@dataclass(frozen=True)
class Changed:
    """The experiment is another one from here on: "table.key" → [before, after]."""

    iteration: int
    settings: Mapping[str, Sequence[Any]]


@dataclass(frozen=True)
class Described:
    """The run is called this from now on: a person's name, note and tags for it."""

    given_name: str
    note: str
    tags: tuple[str, ...]


@dataclass(frozen=True)
class Notice:
    """Something worth a line that is no error."""

    message: str


@dataclass(frozen=True)
class LaneResult:
    """Where a lane ended."""

    lane: Lane
    iteration: int
    average_log_result: float


@dataclass(frozen=True)
class Ended:
    """The session drove the run to this status."""

    status: Status
    iteration: int
    elapsed_seconds: float
    results: tuple[LaneResult, ...]
    message: str = ""


Event: TypeAlias = (
    Preparing
    | Started
    | NewRows
    | Recalled
    | Progress
    | Diagnosed
    | Found
    | Validated
    | Imitated
    | Checkpointed
    | Curves
    | StatusChanged
    | Extended
    | Changed
    | Described
    | Notice
    | Ended
)


@dataclass(frozen=True)
class Pause:
    """Stop training for now, after a checkpoint."""


@dataclass(frozen=True)
class GoOn:
    """Train again after a pause."""


@dataclass(frozen=True)
class SaveCheckpoint:
    """Write a checkpoint that is kept."""


@dataclass(frozen=True)
class Extend:
    """Set a new total of meta-iterations."""

    iterations: int


@dataclass(frozen=True)
class Describe:
    """Call the run something else: its name, its note and its tags from now on."""

    given_name: str
    note: str
    tags: tuple[str, ...]


@dataclass(frozen=True)
class ShowDraws:
    """Show problems in the base chart: ``count`` of its series, from number ``first`` on, by the replicate of a seed.

    One is shown as it is, several by their median and quartiles. The first replicate, if no seed is given.
    """

    first: int = 0
    count: int = 1
    seed: int | None = None


@dataclass(frozen=True)
class Stop:
    """End the session, after a checkpoint if the run is not over."""

    reason: str = "stopped"


@dataclass(frozen=True)
class Leave:
    """End watching a run that another process drives; the run goes on. What drives a run itself does nothing."""


Command: TypeAlias = Pause | GoOn | SaveCheckpoint | Extend | Describe | ShowDraws | Stop | Leave
