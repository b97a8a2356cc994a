"""Warm start: a training that begins with the weights of another, or of an optimizer file.

What it begins with is part of the experiment: the preset has a table ``[start]``, with its name and its digest, and the
weights lie beside the preset, as an optimizer file of their own. So a run's ``preset.toml`` still gives the run. A
preset that is to begin with a run of another one names that; the digest is not known before there is such a run.
"""

from os.path import lexists
from pathlib import Path
from typing import Literal

import numpy as np

from l2o_engine.optimizers.learned.exported import Exported
from l2o_engine.optimizers.learned.exported_file import OptimizerFileError, read
from l2o_engine.presets.exported import shared_out, what_differs
from l2o_engine.presets.schema import Preset, StartSettings
from l2o_engine.runs.catalogue import find_run
from l2o_engine.runs.exported import choice_of, names_file
from l2o_engine.runs.record import RunError

START_FILE = "start.safetensors"
"""What the file is called that lies beside a preset with a table ``[start]``."""


def find_start(
    reference: str,
    runs_dir: Path,
    *,
    checkpoint: str | None = None,
    seed: int | None = None,
    meant: Literal["best", "newest"] = "best",
) -> Exported:
    """Return what a user wants a training to begin with.

    Parameters
    ----------
    reference
        An optimizer file, or a run: a folder, a name in the runs folder, or "last".
    runs_dir
        The runs folder.
    checkpoint, seed
        Of a run: which checkpoint ("best", "newest" or a meta-iteration), and which replicate; the one that is meant
        and the first one, if None.
    meant
        See :func:`checkpoint_meant`.

    Raises
    ------
    UserError
        If there is no such thing, or a checkpoint or a seed of a file is asked for, which holds one optimizer.
    """
    if not names_file(reference):
        wanted = meant if checkpoint is None else choice_of(checkpoint)
        return find_run(reference, runs_dir).exported(seed, wanted)
    if checkpoint is not None or seed is not None:
        raise RunError(
            f"{reference} is a file, which holds one optimizer: it has no other checkpoint and no other seed"
        )
    return Exported.load(reference)


def checkpoint_meant(preset: Preset) -> Literal["best", "newest"]:
    """Return with which checkpoint of a run a preset is to begin, where nobody says so."""
    return (preset.start.checkpoint if preset.start else None) or "best"


def started(preset: Preset, exported: Exported) -> tuple[Preset, Exported]:
    """Return the preset whose training begins with an optimizer's weights and adaptive numbers, and what that is.

    It is the optimizer itself or, where this has one network and the preset has networks by group, the optimizer whose
    networks all begin as that one. What is known of the experiment as it was, [notebook] and [reference], is not of the
    preset.

    Raises
    ------
    RunError
        If it trains nothing, or an optimizer with another network or other inputs; or the network is lost.
    """
    origin = exported.origin
    if not preset.learns:
        raise RunError(f"{preset.name} trains no optimizer: there is nothing to start from {origin.run}")
    if not np.isfinite(exported.weights).all():
        raise RunError(
            f"{preset.name} cannot start from {origin.run}: its network is lost, with weights that are not finite"
        )
    exported = shared_out(exported, preset)
    if said := what_differs(exported, preset):
        raise RunError(f"{preset.name} cannot start from {origin.run}, whose optimizer is another one: {said}")
    found = {"digest": exported.digest, "run": origin.run, "seed": origin.seed, "iteration": origin.iteration}
    meant = {} if preset.start is None else {"preset": preset.start.preset, "checkpoint": preset.start.checkpoint}
    start = StartSettings.model_validate(meant | found)
    return preset.model_copy(update={"start": start, "notebook": None, "reference": None}), exported


def what_lacks(preset: Preset) -> str:
    """Return what a user is told where the weights are not given that the training of a preset begins with."""
    start = preset.start
    if start is None or start.digest is not None:
        whose = f" of {_whose(start)}" if start else ""
        return f"{preset.name} starts with the weights{whose}, which are not there"
    return (
        f"{preset.name} begins with a run of {start.preset}: train one, `l2o-tui run {start.preset}`, and give it by "
        "--from RUN"
    )


def _whose(start: StartSettings) -> str:
    at = "" if start.iteration is None else f", seed {start.seed}, at {start.iteration:,}"
    return f"{start.run or 'another run'}{at}"


def start_beside(preset: Preset, folder: Path) -> Exported | None:
    """Return what the training of a preset in a folder begins with; None where it begins with drawn weights.

    Raises
    ------
    RunError
        If the weights are not there, or not those, or are still to be named.
    """
    if preset.start is None:
        return None
    path, start = folder / START_FILE, preset.start
    if start.digest is None:
        raise RunError(what_lacks(preset))
    if not lexists(path):
        raise RunError(f"{preset.name} starts with weights that must lie beside it as {path}: those of {_whose(start)}")
    try:
        exported = read(path, follows=False)
    except OptimizerFileError as error:
        raise RunError(*error.lines) from error
    if exported.digest != start.digest:
        raise RunError(
            f"{path} holds another optimizer ({exported.digest:.12}) than its preset says ({start.digest:.12})"
        )
    if said := what_differs(exported, preset):
        raise RunError(f"{path} holds the weights of another optimizer than its preset trains: {said}")
    return exported
