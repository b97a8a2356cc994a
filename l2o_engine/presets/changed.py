"""What was changed of a preset: against the shipped one of its name, or the file that it was made of."""

import json
from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import Any

from l2o_engine.presets.files import load
from l2o_engine.presets.identity import told_settings
from l2o_engine.presets.messages import PresetError
from l2o_engine.presets.schema import Preset
from l2o_engine.presets.shipped import find, shipped_names

Changed = Mapping[str, tuple[Any, Any]]
"""Settings that were changed, "table.key" → (before, now); None stands for one that is not there."""

_MOST_CHARACTERS = 20_000  # of all that was changed, as JSON: a run's record is read in every list


def shipped_settings(name: str) -> dict[str, Any] | None:
    """Return the settings of the shipped preset of this name that figures depend on; None where there is none."""
    return _settings_in(find(name)) if name in shipped_names() else None


@lru_cache(maxsize=256)
def _settings_in(path: Path) -> dict[str, Any] | None:
    try:
        return told_settings(load(path))
    except PresetError:  # somebody has edited it in the checkout: then nothing is known
        return None


def digest_of(settings: Mapping[str, Any]) -> str:
    """Return what tells settings from others: of a SHA-256 as many digits as that takes."""
    return sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def changed_settings(before: Mapping[str, Any], now: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return the settings that differ, by name; a side that has none of a name says None, which TOML cannot."""
    names = sorted({*before, *now})
    pairs = {name: (before.get(name), now.get(name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def what_was_changed(preset: Preset, origin: Mapping[str, Any] | None = None) -> tuple[Changed | None, str]:
    """Return what was changed of a preset, and the digest of the settings that it was changed from.

    Parameters
    ----------
    preset
        The preset as it is run.
    origin
        The settings of what it was made of, see :func:`~l2o_engine.presets.identity.told_settings`; those of the
        shipped preset of its name, if not given.

    Returns
    -------
    tuple
        None and "" where there is nothing to compare it with, or more was changed than a record holds.
    """
    before = shipped_settings(preset.name) if origin is None else origin
    if before is None:
        return None, ""
    changed = changed_settings(before, told_settings(preset))
    if len(json.dumps(changed)) > _MOST_CHARACTERS:
        return None, ""
    return changed, digest_of(before)
