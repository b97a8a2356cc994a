"""The preset that an exported optimizer was trained by, of the plain tables that go with it."""

from dataclasses import replace
from pathlib import Path

from l2o_engine.optimizers.learned.deepmind_weights import WeightsError, from_deepmind
from l2o_engine.optimizers.learned.exported import Exported, Origin
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
_FACTORS = {"network.output_scale", "network.step_mult"}


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

    How far the network's output goes, a factor (:data:`_FACTORS`), is the preset's to say.
    """
    trained = preset.experiment.trained
    theirs, ours = (
        dict(flat({name: table_of(getattr(one, name)) for name in _PIECES})) for one in (exported.learned, trained)
    )
    said = [
        f"{key} is {_said(theirs, key)}, and {_said(ours, key)} in the preset"
        for key in sorted((theirs.keys() | ours.keys()) - _FACTORS)
        if theirs.get(key, ...) != ours.get(key, ...)
    ]
    kinds = [one for one in said if ".kind is" in one]  # of another kind, all is different
    return "; ".join(kinds or said)


def _said(settings: dict[str, object], key: str) -> str:
    return quote(settings[key]) if key in settings else "not there"
