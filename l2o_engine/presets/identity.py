"""Which presets describe the same experiment."""

from collections.abc import Iterable, Mapping
from typing import Any

from l2o_engine.presets.schema import Preset
from l2o_engine.presets.tables import to_dict


def told_settings(preset: Preset) -> dict[str, Any]:
    """Return all settings, as "table.key" → value, that a run's figures depend on: those of its reports, too.

    Names, and what only says how long, from which seed and how a run is done, are none of them.
    """
    tables = to_dict(preset)
    for name in ("format", "name", "title", "notebook"):
        tables.pop(name, None)
    tables["run"] = {"dtype": tables["run"]["dtype"]}
    return dict(sorted(_flat(tables)))


def experiment_settings(preset: Preset) -> dict[str, Any]:
    """Return those of :func:`told_settings` that make two runs different experiments: how one is told does not."""
    return {place: value for place, value in told_settings(preset).items() if place.split(".")[0] != "report"}


def trained_settings(preset: Preset) -> dict[str, Any]:
    """Return those of :func:`experiment_settings` that the training depends on: baselines do not count.

    They do where they are all there is.
    """
    beside = ("baseline",) if preset.learns else ()
    return {place: value for place, value in experiment_settings(preset).items() if place.split(".")[0] not in beside}


def _flat(node: Any, place: str = "") -> list[tuple[str, Any]]:
    if isinstance(node, Mapping):
        entries: Iterable[tuple[Any, Any]] = node.items()
    elif isinstance(node, list) and node and isinstance(node[0], Mapping):
        entries = enumerate(node)
    else:
        return [(place, node)]
    return [pair for key, value in entries for pair in _flat(value, f"{place}.{key}" if place else str(key))]
