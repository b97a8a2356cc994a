"""What a run was made of: the settings that it records its own against, where that is no shipped preset."""

from pathlib import Path

from l2o_engine.presets.changed import digest_of
from l2o_engine.presets.files import load
from l2o_engine.presets.identity import told_settings
from l2o_engine.presets.labels import Settings
from l2o_engine.presets.messages import PresetError
from l2o_engine.presets.schema import Preset
from l2o_engine.presets.shipped import shipped_names
from l2o_engine.runs.folder import Run
from l2o_engine.runs.record import RunError


def of_preset(preset: Preset) -> Settings | None:
    """Return the settings that a run of this preset, or of changes to it, is told against; None for a shipped name.

    What has a shipped preset's name is told against that.
    """
    return None if preset.name in shipped_names() else told_settings(preset)


def of_file(path: Path, *, follows: bool = True) -> Settings | None:
    """Return those of the preset in a file; None for a shipped one's, too, and for one that changes complete.

    Parameters
    ----------
    path
        The TOML file.
    follows
        Whether it may be a link.
    """
    try:
        return of_preset(load(path, follows=follows))
    except PresetError:
        return None


def of_run(run: Run) -> Settings | None:
    """Return those that a run was made of itself, for what is made of it again: its own changes are undone.

    Where that is not known any more, they are the run's own; None where its preset.toml cannot be read.
    """
    try:
        preset, record = run.preset(), run.record()
    except RunError:
        return None
    settings = told_settings(preset)
    undone = settings | {name: pair[0] for name, pair in (record.changed or {}).items()}
    undone = {name: value for name, value in undone.items() if value is not None}
    return undone if record.origin == digest_of(undone) else of_preset(preset)
