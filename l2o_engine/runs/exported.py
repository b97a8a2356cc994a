"""A run's trained optimizer, as it leaves the run: of which replicate, as which checkpoint has it."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from l2o_engine.meta.validation import Standing
from l2o_engine.optimizers.learned.exported import Exported, Origin
from l2o_engine.presets.exported import tables_of
from l2o_engine.presets.schema import Preset
from l2o_engine.runs import checkpoints
from l2o_engine.runs.checkpoints import Checkpoint, CheckpointError
from l2o_engine.runs.record import RunError
from l2o_engine.support.errors import UserError
from l2o_engine.training.seen import seen_by

if TYPE_CHECKING:
    from l2o_engine.runs.folder import Run

CheckpointChoice: TypeAlias = int | Literal["best", "newest"]
"""A checkpoint: the best one, the newest, or that of a meta-iteration."""

BEST: CheckpointChoice = "best"
_NAMED: dict[str, CheckpointChoice] = {"best": "best", "newest": "newest"}
_MOST_NAMED = 6


def names_file(reference: str) -> bool:
    """Return whether a user who may name a run or an optimizer file means a file.

    That is whatever is there and no folder; and what is not there, and called like one.
    """
    try:
        path = Path(reference)
        return not path.is_dir() and (path.exists() or path.suffix == ".safetensors")
    except OSError:  # no name that the file system knows
        return False


def choice_of(text: str) -> CheckpointChoice:
    """Return the checkpoint that a user means.

    Raises
    ------
    RunError
        If it is none of "best", "newest" and a whole number.
    """
    if text in _NAMED:
        return _NAMED[text]
    if text.isascii() and text.isdigit() and len(text) <= 13:
        return int(text)
    raise RunError(f'a checkpoint is "best", "newest" or the number of its meta-iteration, not "{text}"')


def exported_of(run: "Run", seed: int | None = None, checkpoint: CheckpointChoice = BEST) -> Exported:
    """Return a run's trained optimizer; see :meth:`~l2o_engine.runs.folder.Run.exported`."""
    preset = run.preset()
    learned = preset.experiment.learned
    if learned is None:
        raise RunError(f"{run.name} trains no optimizer")
    seed = run.seed_of(preset, seed)
    try:
        found = _chosen(run, preset, checkpoint)
    except CheckpointError as error:
        raise RunError(f"{run.name} has no optimizer yet: {error}") from error
    state = found.trainers.get(seed)
    if state is None or state.learner is None:
        raise RunError(f"the checkpoint of {run.name} at {found.iteration:,} holds no network of seed {seed}")
    weights, numbers, iteration = state.learner.weights, state.learner.numbers, state.done - 1
    standing = state.standing
    if checkpoint == BEST and standing is not None and standing.weights.size:
        weights, numbers = standing.weights, standing.numbers
        iteration = _validated_at(run, seed, iteration)
    origin = Origin(
        run=run.name,
        preset=preset.name,
        problem=preset.experiment.task.kind,
        seed=seed,
        iteration=iteration,
        steps=_longest(preset, standing, is_best=checkpoint == BEST),
        versions=run.record().versions,
    )
    return Exported(learned, weights, numbers, origin, tables_of(preset))


def measured(run: "Run", exported: Exported) -> tuple[Exported, str]:
    """Return a run's trained optimizer with what it meets in its origin; or as it is, and why.

    Parameters
    ----------
    run
        The run.
    exported
        One of its optimizers.
    """
    try:
        seen = seen_by(exported.optimizer, run.preset().experiment, exported.origin.steps, exported.origin.seed)
    except UserError as error:
        return exported, str(error)
    return replace(exported, origin=replace(exported.origin, seen=seen)), ""


def _chosen(run: "Run", preset: Preset, choice: CheckpointChoice) -> Checkpoint:
    if choice == "newest":
        return run.checkpoint()
    if choice == "best":
        if preset.experiment.validation is not None:
            with suppress(
                CheckpointError
            ):  # the newest knows of all validations which network was each replicate's best
                return run.checkpoint()
        return run.best_or_newest()[0]
    paths = checkpoints.newest_first(run.checkpoints_path)
    path = next((path for path in paths if checkpoints.iteration_of(path) == choice), None)
    if path is None:
        there = [f"{iteration:,}" for iteration in dict.fromkeys(map(checkpoints.iteration_of, paths))]
        more = " …" if len(there) > _MOST_NAMED else ""
        raise RunError(
            f"{run.name} has no checkpoint of meta-iteration {choice:,}; there are "
            f"{', '.join(there[:_MOST_NAMED]) or 'none'}{more}"
        )
    return checkpoints.read(path, preset.experiment, len(preset.seeds))


def _validated_at(run: "Run", seed: int, until: int) -> int:
    """Return the last meta-iteration before the validation that found the best network; ``until`` if nothing tells."""
    verdicts = [one.verdict for one in run.validated() if one.lane.seed == seed and one.verdict.iteration <= until]
    return next((one.iteration for one in reversed(verdicts) if one.outcome == "better"), until)


def _longest(preset: Preset, standing: Standing | None, *, is_best: bool) -> int:
    """Return the base steps of the longest episode that was trained on."""
    stage = standing.stage if standing else 0
    if standing and is_best and stage and not standing.better:
        stage -= 1  # it is the best of the stage before, with which this one began
    return preset.experiment.horizons[stage]
