"""Who is judged, and on what: the networks of runs, and problems that their presets or others describe."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from l2o_engine.meta.experiment import DTypeName, Experiment
from l2o_engine.meta.truncation import Truncation
from l2o_engine.optimizers.base import HandDesigned
from l2o_engine.optimizers.learned.exported import Exported
from l2o_engine.optimizers.learned.learned_optimizer import TrainedOptimizer
from l2o_engine.presets.exported import preset_of_exported
from l2o_engine.presets.files import load, override
from l2o_engine.presets.identity import experiment_settings
from l2o_engine.presets.messages import PresetError
from l2o_engine.presets.schema import Preset
from l2o_engine.presets.shipped import find, shipped_names
from l2o_engine.runs.checkpoints import Checkpoint, CheckpointError
from l2o_engine.runs.folder import Run
from l2o_engine.runs.record import RunError
from l2o_engine.support.errors import UserError
from l2o_engine.tasks.base import TaskFamily
from l2o_engine.tasks.formula.functions import shipped_functions

MOST_STEPS = 10_000
"""Base steps that optimizers are judged over, at most."""


class EvaluationError(UserError):
    """What cannot be judged. The message is meant for the user."""


@dataclass(frozen=True)
class Source:
    """Where networks come from: a run, or an optimizer file.

    Attributes
    ----------
    name
        The run's, or the file's.
    place
        The run's folder, or the file.
    preset
        What they were trained by; None where that is not known.
    exported
        What the file holds; None for a run.
    """

    name: str
    place: Path
    preset: Preset | None
    exported: Exported | None = field(default=None, compare=False)

    @property
    def settings(self) -> dict[str, Any]:
        """What tells its networks from others: of runs the experiment, for replicates are looked at together."""
        settings = experiment_settings(self.preset) if self.preset else {}
        return settings | ({"file": str(self.place)} if self.exported else {})

    @property
    def label(self) -> str:
        """What its networks are called beside others."""
        return self.name if self.exported or self.preset is None else self.preset.name

    @property
    def known_preset(self) -> Preset:
        """What they were trained by.

        Raises
        ------
        EvaluationError
            If that is not known.
        """
        if self.preset is None:
            raise EvaluationError(f"{self.name} does not say which problem it was trained on: name one, --on PRESET")
        return self.preset


@dataclass(frozen=True, eq=False)
class Network:
    """One replicate's network, as a checkpoint or a file has it.

    Attributes
    ----------
    source
        Its run or its file.
    seed
        Its seed.
    optimizer
        The network with its weights.
    iteration
        The last meta-iteration before.
    is_best
        Whether that is the run's best checkpoint by the report's figure; else it is the newest.
    diverged
        Whether its training had diverged.
    """

    source: Source
    seed: int
    optimizer: TrainedOptimizer
    iteration: int
    is_best: bool
    diverged: bool

    def experiment_on(self, task: TaskFamily, steps: int) -> Experiment:
        """Return the experiment that it was trained as, on other tasks and a whole episode, without what only trains.

        Raises
        ------
        ValueError
            If it cannot be let loose on them.
        """
        dtype: DTypeName = "float64" if str(self.optimizer.weights.dtype) == "float64" else "float32"
        if self.source.preset is not None:
            return replace(self.source.preset.experiment, dtype=dtype).judged_on(task, steps)
        truncation = Truncation(steps)
        return Experiment(task, self.optimizer.learned, truncation=truncation, baselines=(), dtype=dtype)

    def operations_on(self, problem: "Problem") -> float:
        """Return how many multiplications and additions one task of a problem takes."""
        return self.optimizer.learned.layout.size * problem.task.size * problem.steps


@dataclass(frozen=True)
class Problem:
    """What optimizers are judged on.

    Attributes
    ----------
    name
        The preset's that it is of, and what was changed of it.
    task
        The tasks are drawn from.
    steps
        Losses that are recorded of each: the last is the one after steps - 1 updates.
    rivals
        The hand-designed optimizers of that preset.
    dtype
        Of the rivals; a network has its run's.
    closes
        Whether the last loss is one more than there are base steps: it closes an episode that goes in truncations.
    """

    name: str
    task: TaskFamily
    steps: int
    rivals: tuple[HandDesigned, ...]
    dtype: DTypeName
    closes: bool = False

    @property
    def horizon(self) -> int:
        """Base steps, as users count them."""
        return self.steps - self.closes


@dataclass(frozen=True)
class Match:
    """A problem, and the networks that are judged on it.

    Raises
    ------
    EvaluationError
        If a network cannot be let loose on it.
    """

    problem: Problem
    networks: tuple[Network, ...]

    def __post_init__(self) -> None:
        for one in self.networks:
            try:
                one.optimizer.learned.network.on(self.problem.task)
            except ValueError as error:
                raise EvaluationError(f"{one.source.name} cannot run on {self.problem.name}: {error}") from error


def networks_of(run: Run, *, newest: bool = False) -> list[Network]:
    """Return the networks of a run, one a seed, of its best checkpoint; of the newest where there is no best one.

    Parameters
    ----------
    run
        The run.
    newest
        Whether the newest checkpoint is meant.

    Raises
    ------
    RunError
        If the run trains nothing, or has no checkpoint that can be read.
    """
    preset = run.preset()
    if not preset.learns:
        raise RunError(f"{run.name} trains no optimizer")
    try:
        checkpoint, is_best = (run.checkpoint(), False) if newest else run.best_or_newest()
    except CheckpointError as error:
        raise RunError(f"the weights of {run.name} cannot be read: {error}") from error
    return list(_networks(run, preset, checkpoint, is_best=is_best))


def _networks(run: Run, preset: Preset, checkpoint: Checkpoint, *, is_best: bool) -> Iterator[Network]:
    experiment, source = preset.experiment, Source(run.name, run.folder, preset)
    for seed in preset.seeds:
        learner = checkpoint.trainers[seed].learner if seed in checkpoint.trainers else None
        if learner is None:
            raise RunError(f"the checkpoint of {run.name} holds no network of seed {seed}")
        optimizer = experiment.trained.with_weights(learner.weights, learner.numbers)
        yield Network(source, seed, optimizer, checkpoint.iteration, is_best, learner.diverged)


def network_of_file(path: Path) -> Network:
    """Return the network of an optimizer file.

    Raises
    ------
    OptimizerFileError
        If it is none, or damaged.
    PresetError
        If what it says of its training is no preset that this version can read.
    """
    exported = Exported.load(path)
    source = Source(path.name, path, preset_of_exported(exported, str(path)), exported)
    origin = exported.origin
    return Network(source, origin.seed, exported.optimizer, origin.iteration, is_best=False, diverged=False)


def problem_of(preset: Preset, settings: Sequence[str] = (), steps: int | None = None) -> Problem:
    """Return a preset's problem, changed or not, over its own number of steps or another.

    Parameters
    ----------
    preset
        The preset.
    settings
        What is changed of its problem, "problem.key=value" each.
    steps
        Base steps; the preset's if not given.

    Raises
    ------
    EvaluationError
        If a setting is of another table, or steps are less than 2 or more than :data:`MOST_STEPS`.
    PresetError
        If a setting is wrong.
    """
    for setting in settings:
        if not setting.startswith("problem."):
            raise EvaluationError(f"--set {setting}: here only the problem can be changed, problem.key=value")
    if steps is not None and not 2 <= steps <= MOST_STEPS:
        raise EvaluationError(f"a horizon has 2 to {MOST_STEPS:,} steps, not {steps:,}")
    changed = override(preset, settings) if settings else preset
    experiment = changed.experiment
    closes = not experiment.truncation.is_whole
    return Problem(
        _named([preset.name], settings),
        experiment.task,
        experiment.steps if steps is None else steps + closes,
        experiment.baselines,
        experiment.dtype,
        closes,
    )


def preset_of(reference: str, beside: Preset) -> Preset:
    """Return the preset that is meant by a file, by the name of a shipped preset, or by that of a shipped function.

    Parameters
    ----------
    reference
        What the user wrote.
    beside
        The preset that a function, which says nothing of steps and rivals, has these of.

    Raises
    ------
    PresetError
        If there is none of them, or it is wrong.
    """
    functions = shipped_functions()
    if reference in functions and reference not in shipped_names():
        changed = override(beside, [f'problem={{kind = "formula", function = "{reference}"}}'])
        return changed.model_copy(update={"name": reference, "title": "a test function"})
    try:
        return load(find(reference))
    except PresetError as error:
        raise PresetError(*error.lines, f"Functions: {', '.join(functions)}") from error


def own_matches(networks: Sequence[Network], settings: Sequence[str], horizons: Sequence[int]) -> list[Match]:
    """Return a match a problem and horizon: the networks' own, each with all that were trained on the same problem."""
    found: dict[Problem, list[tuple[str, Network]]] = {}
    for steps in horizons or (None,):
        for network in networks:
            preset = network.source.known_preset
            problem = problem_of(preset, settings, steps)
            found.setdefault(replace(problem, name=""), []).append((preset.name, network))
    return [
        Match(replace(problem, name=_named([name for name, _ in own], settings)), tuple(one for _, one in own))
        for problem, own in found.items()
    ]


def _named(presets: Sequence[str], settings: Sequence[str]) -> str:
    """Return what a problem is called: by the presets that it is of, and what is changed of them."""
    name = ", ".join(dict.fromkeys(presets))
    said = ", ".join(setting.removeprefix("problem.") for setting in settings)
    return f"{name} ({said})" if said else name


def matches_on(
    presets: Sequence[Preset], networks: Sequence[Network], settings: Sequence[str], horizons: Sequence[int]
) -> list[Match]:
    """Return a match a preset's problem and horizon, each with all networks."""
    problems = [problem_of(preset, settings, steps) for preset in presets for steps in horizons or (None,)]
    return [Match(problem, tuple(networks)) for problem in dict.fromkeys(problems)]
