"""The preset that an exported optimizer was trained by, of the plain tables that go with it."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from l2o_engine.optimizers.learned.deepmind_weights import WeightsError, from_deepmind
from l2o_engine.optimizers.learned.exported import Exported, Origin
from l2o_engine.optimizers.learned.learned_optimizer import LearnedOptimizer
from l2o_engine.optimizers.learned.networks.by_group import ByGroup
from l2o_engine.optimizers.learned.networks.lstm import LSTM
from l2o_engine.presets.files import check
from l2o_engine.presets.identity import flat
from l2o_engine.presets.schema import Preset
from l2o_engine.presets.tables import to_dict
from l2o_engine.support.npz import NpzError, read_npz
from l2o_engine.support.settings import table_of
from l2o_engine.support.wording import quote

_MOST_WEIGHTS = 100_000_000  # bytes of a file of weights: a hundred times what DeepMind's networks take
_PIECES = ("network", "inputs")  # which an exported optimizer is itself
_FACTORS = {"output_scale", "step_mult"}


def tables_of(preset: Preset) -> dict[str, object]:
    """Return what goes with an exported optimizer: the preset's tables, but for those of what it is itself."""
    return {name: table for name, table in to_dict(preset).items() if name not in _PIECES}


def preset_of_exported(exported: Exported, source: str) -> Preset | None:
    """Return the preset that an optimizer was trained by; None where that is not known.

    Parameters
    ----------
    exported
        The optimizer.
    source
        What error messages name as the place: a file, usually.

    Raises
    ------
    PresetError
        If the tables are no preset that this version can read.
    """
    if not exported.tables:
        return None
    learned = exported.learned
    pieces = {name: table_of(getattr(learned, name)) for name in _PIECES}
    return check({**exported.tables, **pieces}, source=source)


def converted(path: Path, preset: Preset) -> Exported:
    """Return the optimizer of a preset whose weights a .npz file holds, by the names that DeepMind's code gives them.

    See :func:`~l2o_engine.optimizers.learned.deepmind_weights.from_deepmind`.

    Raises
    ------
    WeightsError
        If the file cannot be read, or does not hold the weights of the preset's network, or this is no LSTM.
    """
    learned = preset.experiment.learned
    if learned is None or not isinstance(learned.network, LSTM):
        raise WeightsError(f"{preset.name} trains no LSTM, which is what weights are read for")
    try:
        arrays = read_npz(path, _MOST_WEIGHTS)
    except (OSError, NpzError) as error:
        said = error.strerror if isinstance(error, OSError) else None
        raise WeightsError(f"{path}: cannot be read: {said or error}") from error
    origin = Origin(path.stem, preset.name, preset.problem.kind, 0, -1, preset.experiment.horizons[-1])
    try:
        found = from_deepmind(
            arrays, inputs=learned.inputs, network=learned.network, origin=origin, tables=tables_of(preset)
        )
        return replace(found, weights=found.weights.astype(preset.run.dtype))
    except WeightsError as error:
        raise WeightsError(f"{path}: as weights of {preset.name}: {error}") from error


def what_differs(exported: Exported, preset: Preset) -> str:
    """Return in words by what an optimizer is another one than a preset trains: network and inputs; "" if it is not.

    How far a network's output goes, a factor (:data:`_FACTORS`), is the preset's to say.
    """
    theirs, ours = (_without_factors(one) for one in (exported.learned, preset.experiment.trained))
    keys = [key for key in sorted(theirs.keys() | ours.keys()) if theirs.get(key, ...) != ours.get(key, ...)]
    kinds = [f"{name}.kind" for name in _PIECES]  # of another kind, all is different
    told = [key for key in keys if key in kinds] or keys
    return "; ".join(f"{key} is {_said(theirs, key)}, and {_said(ours, key)} in the preset" for key in told)


def shared_out(exported: Exported, preset: Preset) -> Exported:
    """Return an optimizer with one network as a preset with networks by group may begin with it: once for each.

    Any other, or where one of the preset's networks is not like it, is returned as it is.
    """
    whole = preset.experiment.trained
    if isinstance(exported.learned.network, ByGroup) or not isinstance(whole.network, ByGroup):
        return exported
    theirs = _without_factors(exported.learned)
    if any(_without_factors(replace(whole, network=own)) != theirs for own in whole.network.networks.values()):
        return exported
    return replace(exported, learned=whole, weights=np.tile(exported.weights, len(whole.network.of)))


def _without_factors(learned: LearnedOptimizer) -> dict[str, object]:
    """Return what an optimizer is, setting by setting, but for the factors of its steps."""
    settings = flat({name: table_of(getattr(learned, name)) for name in _PIECES})
    return {key: value for key, value in settings if key.rpartition(".")[2] not in _FACTORS}


def _said(settings: dict[str, object], key: str) -> str:
    return quote(settings[key]) if key in settings else "not there"
