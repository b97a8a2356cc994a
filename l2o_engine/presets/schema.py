"""The file format: one TOML file describes one experiment, wholly, and how long and how it is run and reported.

A :class:`Preset` is the file as frozen values. Tables that may be of several kinds are the pieces themselves
(:mod:`~l2o_engine.support.registry`), so what a piece is set by, a preset can say. What is not written takes the
default, and the defaults are the notebook's ("The Quest for the Ultimate Optimizer", Episode 1).
:meth:`Preset.experiment` is what the engine trains.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator
from pydantic.fields import FieldInfo

from l2o_engine.backends.devices import CPU, DeviceName, why_no_numbers
from l2o_engine.meta.experiment import DEFAULT_BASELINES, DTypeName, Experiment
from l2o_engine.meta.imitation import Imitation
from l2o_engine.meta.meta_adam import MetaAdam
from l2o_engine.meta.objectives.base import OBJECTIVES, Objective
from l2o_engine.meta.objectives.sum import Sum
from l2o_engine.meta.truncation import Truncation
from l2o_engine.meta.validation import Curriculum, Validation
from l2o_engine.optimizers.base import OPTIMIZERS
from l2o_engine.optimizers.learned.inputs.base import INPUTS, Inputs
from l2o_engine.optimizers.learned.inputs.identity import Identity
from l2o_engine.optimizers.learned.learned_optimizer import LearnedOptimizer
from l2o_engine.optimizers.learned.networks.base import NETWORKS, Network
from l2o_engine.optimizers.learned.networks.lstm import LSTM
from l2o_engine.optimizers.tuned import tuned_by
from l2o_engine.presets.published import NotebookSettings, PublishedRow, ReferenceSettings
from l2o_engine.support.registry import Registry
from l2o_engine.support.settings import SettingError, list_to_tuple
from l2o_engine.tasks.base import TASKS, TaskFamily
from l2o_engine.tasks.joined import Augmentation
from l2o_engine.tasks.quadratic import Quadratic

BackendName = Literal["auto", "fused", "coordinatewise", "torch"]

PIECES: dict[str, Registry[Any]] = {
    "problem": TASKS,
    "network": NETWORKS,
    "inputs": INPUTS,
    "objective": OBJECTIVES,
    "baseline": OPTIMIZERS,
}
"""The tables that are pieces, by name, and the kinds that each may be of."""

FORMER_NAMES = {"transform": "inputs"}
"""Tables by the names that they once had; both are read."""

DEFAULT_KINDS = {"problem": "quadratic", "network": "lstm", "objective": "sum"}
"""Tables that need not say their kind."""

MOST_ITERATIONS = 10**12
"""Meta-iterations that a run may be asked for."""

OPTIONAL_TABLES = ("augmentation", "validation", "curriculum", "imitation", "start")
"""What a training may have beside what every one has; a preset without such a table trains without it."""

NAME = r"^[A-Za-z0-9][A-Za-z0-9_.-]*$"
"""What a preset may be called."""

LEARNED_TABLES = ("unroll", "network", "inputs", "objective", "meta", *OPTIONAL_TABLES)
"""The tables that only mean something where a network is meta-trained (``unroll`` keeps its ``steps``)."""


class Table(BaseModel):
    """A table of settings that is no piece."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class UnrollSettings(Table):
    """How one run of the learned optimizer on one task, an episode, is unrolled.

    Attributes
    ----------
    steps
        Base steps of an episode; the last loss is the one after steps - 1 updates. Where an episode goes in
        truncations, it has steps updates, and its final loss is the one after them all.
    truncation
        How many of them one meta-iteration reaches; all, if not given. x and the optimizer's state are carried to the
        next meta-iteration, and derivatives are not.
    shortest
        Where given, episodes are between so many and steps base steps long, in whole truncations, log-uniformly.
    staggered
        Whether the first of several parallel episodes (meta.batch) are cut short, so that not all end at once.
    closing_loss
        Whether the objective is of the loss after a truncation's last update too, 21 losses for 20 steps (DeepMind's),
        or not (RNNprop's); it is, if not given.
    second_derivatives
        Whether the meta-gradient goes through the tasks' own gradients too.
    """

    steps: int = Field(20, ge=2, le=10_000)
    truncation: int | None = Field(None, ge=2)
    shortest: int | None = Field(None, ge=2)
    staggered: bool | None = None
    closing_loss: bool | None = None
    second_derivatives: bool = True

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.truncation is not None and self.steps % self.truncation:
            raise SettingError("truncation", f"steps, {self.steps:,}, is not a multiple of it")
        try:
            _ = self.reach
        except ValidationError as error:  # of what the table's own settings are called
            raise error.errors()[0]["ctx"]["error"] from None
        return self

    @property
    def reach(self) -> Truncation:
        """How far a meta-iteration reaches."""
        steps = self.steps if self.truncation is None else self.truncation
        closing_loss = self.closing_loss is None or self.closing_loss
        return Truncation(steps, self.steps, self.shortest, bool(self.staggered), closing_loss)


class StartSettings(Table):
    """With which weights the training begins, in place of drawn ones: `l2o-tui run PRESET --from RUN|FILE` writes it.

    They lie beside the preset, in start.safetensors, an optimizer file. A preset may also say of which other preset the
    run is to be that it begins with: `reproduce` trains both, one after the other, and `run` asks for it by `--from`.

    Attributes
    ----------
    preset
        Of which preset the run is to be; any, if not given.
    checkpoint
        Which of that run's is meant, where `--from-checkpoint` does not say so: "best" or "newest".
    digest
        Of that optimizer: of its settings, weights and adaptive numbers; where it is not known yet, nothing lies there.
    run
        What it was trained as.
    seed
        Which of the run's replicates it was.
    iteration
        The last meta-iteration of its training; -1 before the first.
    """

    preset: str | None = Field(None, min_length=1, max_length=64, pattern=NAME)
    checkpoint: Literal["best", "newest"] | None = None
    digest: str | None = Field(None, pattern=r"^[0-9a-f]{64}$")
    run: str | None = None
    seed: int | None = Field(None, ge=0, lt=2**63)
    iteration: int | None = Field(None, ge=-1, le=MOST_ITERATIONS)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.preset is None and self.digest is None:
            raise SettingError("digest", "must be given, or preset")
        if self.preset is None and self.checkpoint is not None:
            raise SettingError("checkpoint", "has no meaning without preset")
        if self.digest is None and (self.run, self.seed, self.iteration) != (None, None, None):
            raise SettingError("digest", "must be given with run, seed and iteration")
        return self


class ReportSettings(Table):
    """What is reported, and how often.

    Attributes
    ----------
    every
        Meta-iterations between two rows of the progress table, which average over as many.
    rolling_window
        Meta-iterations that the chart's line is the mean of.
    baseline_draws
        Draws that the baselines' levels are averaged over.
    """

    every: int = Field(5000, ge=1)
    rolling_window: int = Field(500, ge=1)
    baseline_draws: int = Field(1000, ge=1, le=1_000_000)


class RunSettings(Table):
    """How long, from which seed, in which arithmetic, and how often the state is saved.

    Attributes
    ----------
    iterations
        Meta-iterations in all.
    seed
        Decides the weights and every draw.
    seeds
        How many replicates: seed, seed + 1, ….
    dtype
        Of all numbers.
    backend
        What computes: "fused" (a compiled kernel), "coordinatewise" (many coordinates, without second derivatives),
        "torch" (the reference, takes everything), or the fastest of those that can.
    device
        Where it computes: on the CPU, or, which "torch" alone can, on an accelerator that PyTorch has there ("cuda" is
        "cuda:0"). "auto" is the first of these, else the CPU. Results are the same up to rounding.
    torch_threads
        How many threads an operation of PyTorch takes: those of the optimizee's gradient for "coordinatewise", and all
        for "torch". More than one pays only where the optimizee is large; sums are then rounded in another order.
    checkpoint_every
        Meta-iterations between two checkpoints.
    checkpoint_seconds
        Seconds between two, at least: of those that fall due sooner some are left out. Where none was written for
        twice as long, the state is saved all the same, until the next one. 0 for each that is due, and no other.
    keep_checkpoints
        How many of the newest are kept, besides the best one and those that were asked for.
    """

    iterations: int = Field(50_000, ge=1, le=MOST_ITERATIONS)
    seed: int = Field(0, ge=0, lt=2**63)
    seeds: int = Field(1, ge=1, le=1024)
    dtype: DTypeName = "float32"
    backend: BackendName = "auto"
    device: DeviceName = CPU
    torch_threads: int = Field(1, ge=1, le=1024)
    checkpoint_every: int = Field(5000, ge=1)
    checkpoint_seconds: float = Field(0.5, ge=0)
    keep_checkpoints: int = Field(3, ge=1)

    @model_validator(mode="after")
    def _check(self) -> Self:
        if why_not := why_no_numbers(self.device, self.dtype):
            raise SettingError("device", why_not)
        return self


# pydantic reads these annotations when the class is made; to mypy the tables are what the pieces have in common.
_ProblemTable: Any = TASKS.union()
_NetworkTable: Any = NETWORKS.union()
_InputsTable: Any = INPUTS.union()
_ObjectiveTable: Any = OBJECTIVES.union()
_BaselineTable: Any = OPTIMIZERS.union()


class Preset(Table):
    """A whole experiment.

    Attributes
    ----------
    format
        Of the file.
    name
        What the experiment is called; runs are named after it.
    title
        What it is, in a line.
    kind
        "meta-training" (the default), or "baselines": no network is trained.
    episode
        Which part of the story it is of, where [notebook] does not say so; "deepmind" for DeepMind's experiments.
    place
        Where it stands among those of its episode, in lists and reports.
    """

    format: Literal[1] = 1
    name: str = Field(min_length=1, max_length=64, pattern=NAME)
    title: str = ""
    kind: Literal["meta-training", "baselines"] = "meta-training"
    episode: Literal[1, 2, 3, "deepmind"] | None = None
    place: int | None = Field(None, ge=1, le=1000)
    problem: _ProblemTable = Quadratic()
    unroll: UnrollSettings = UnrollSettings()
    network: _NetworkTable = LSTM()
    inputs: _InputsTable = Identity()
    objective: _ObjectiveTable = Sum()
    meta: MetaAdam = MetaAdam()
    augmentation: Augmentation | None = None
    validation: Validation | None = None
    curriculum: Curriculum | None = None
    imitation: Imitation | None = None
    start: StartSettings | None = None
    baseline: Annotated[tuple[_BaselineTable, ...], BeforeValidator(list_to_tuple)] = DEFAULT_BASELINES
    report: ReportSettings = ReportSettings()
    run: RunSettings = RunSettings()
    notebook: NotebookSettings | None = None
    reference: ReferenceSettings | None = None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.run.seed + self.run.seeds > 2**63:
            raise ValueError("run.seed + run.seeds must be at most 2^63")
        _ = self.experiment  # which checks what its parts cannot
        if self.kind == "baselines":
            if not self.baseline:
                raise ValueError('a preset with kind = "baselines" needs at least one [[baseline]]')
            useless = [t for t in LEARNED_TABLES if t != "unroll" and t in self.model_fields_set]
            if useless:
                raise ValueError(f'[{useless[0]}] has no meaning in a preset with kind = "baselines"')
        return self

    @property
    def experiment(self) -> Experiment:
        """What is trained, and how."""
        task: TaskFamily = self.problem
        network: Network = self.network
        inputs: Inputs = self.inputs
        objective: Objective = self.objective
        return Experiment(
            task=task,
            learned=LearnedOptimizer(network, inputs) if self.learns else None,
            objective=objective,
            truncation=self.unroll.reach,
            meta=self.meta,
            baselines=self.baseline,
            second_derivatives=self.unroll.second_derivatives,
            dtype=self.run.dtype,
            augmentation=self.augmentation or Augmentation(),
            validation=self.validation or (Validation() if self.curriculum else None),
            curriculum=self.curriculum,
            imitation=self.imitation,
            torch_threads=self.run.torch_threads,
        )

    @property
    def learns(self) -> bool:
        """Whether a network is trained."""
        return self.kind == "meta-training"

    @property
    def tuned(self) -> frozenset[str]:
        """The names of the baselines whose settings are the best found on this very problem, over as many steps."""
        steps = self.experiment.steps
        return frozenset(one.name for one in self.baseline if tuned_by(one, self.problem, steps))

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds of the replicates: seed, seed + 1, … ."""
        return tuple(range(self.run.seed, self.run.seed + self.run.seeds))

    @property
    def published(self) -> NotebookSettings | ReferenceSettings | None:
        """What is known of it: what the notebook printed, or else our own reference."""
        return self.notebook or self.reference

    @property
    def published_final(self) -> float | None:
        """The last mean log10 of the last loss that is known of it, see :attr:`published`."""
        return self.published.final if self.published else None

    @property
    def published_rows(self) -> tuple[PublishedRow, ...]:
        """The rows that are known of it, see :attr:`published`."""
        return self.published.rows if self.published else ()


def take_plugins(tables: Mapping[str, Any]) -> None:
    """Take in the kinds that tables ask for and installed packages offer; nothing else of these is imported.

    Parameters
    ----------
    tables
        Those of a preset, by name, unchecked.

    Raises
    ------
    PluginError
        If one is offered and cannot be had. A kind that nobody offers is the schema's to refuse.
    """
    added = set[str]()
    for name, registry in PIECES.items():
        table = tables.get(name)
        for one in table if isinstance(table, list) else [table]:
            kind = one.get("kind") if isinstance(one, Mapping) else None
            if isinstance(kind, str) and registry.take_plugin(kind):
                added.add(name)
    for name in added:
        field, kinds = Preset.__pydantic_fields__[name], PIECES[name].union()
        several: Any = Annotated[tuple[kinds, ...], BeforeValidator(list_to_tuple)]  # type: ignore[valid-type]  # made now
        taken = FieldInfo.from_annotation(several if name == "baseline" else kinds)
        taken.default = field.default
        Preset.__pydantic_fields__[name] = taken
    if added:
        Preset.model_rebuild(force=True)
