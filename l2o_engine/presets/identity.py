"""Which presets describe the same experiment."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from l2o_engine.presets.schema import OPTIONAL_TABLES, Preset, StartSettings
from l2o_engine.presets.tables import to_dict
from l2o_engine.support.wording import quote

_SHOWN = 12  # digits of a digest


def told_settings(preset: Preset) -> dict[str, Any]:
    """Return all settings, as "table.key" → value, that a run's figures depend on: those of its reports, too.

    Names, how a baseline's settings were found, and what only says how long, from which seed and how a run is done, are
    none of them.
    """
    tables = to_dict(preset)
    for name in ("format", "name", "title", "episode", "place", "notebook", "reference"):
        tables.pop(name, None)
    tables["run"] = {"dtype": tables["run"]["dtype"]}
    for baseline in tables["baseline"]:
        baseline.pop("tuned", None)
    if preset.start is not None:
        tables["start"] = _told_start(preset.start)
    there = {name: name in tables for name in OPTIONAL_TABLES}  # a table that only one of two has makes a difference
    return dict(sorted([*flat(tables), *there.items()]))


def _told_start(start: StartSettings) -> dict[str, Any]:
    """Return what it is to begin with and what it begins with: weights are the same ones whatever they came from."""
    found = {"preset": start.preset, "checkpoint": start.checkpoint, "digest": start.digest and start.digest[:_SHOWN]}
    return {name: value for name, value in found.items() if value is not None}


def all_settings(preset: Preset) -> dict[str, Any]:
    """Return all settings, as "table.key" → value: how long and how it is run and told as well."""
    tables = to_dict(preset)
    for name in ("notebook", "reference"):
        tables.pop(name, None)
    return dict(flat(tables))


def experiment_settings(preset: Preset) -> dict[str, Any]:
    """Return those of :func:`told_settings` that make two runs different experiments: how one is told does not."""
    return {place: value for place, value in told_settings(preset).items() if place.split(".")[0] != "report"}


def trained_settings(preset: Preset) -> dict[str, Any]:
    """Return those of :func:`experiment_settings` that the training depends on: baselines do not count.

    They do where they are all there is.
    """
    beside = ("baseline",) if preset.learns else ()
    return {place: value for place, value in experiment_settings(preset).items() if place.split(".")[0] not in beside}


def resumed_settings(preset: Preset) -> dict[str, Any]:
    """Return what must be as it was for a run to go on: those of :func:`trained_settings`, its seeds, torch's threads.

    With another number of threads sums are rounded in another order, and what goes on is not bit for bit the same. How
    long it goes on, how it is told and how it is saved may change at any time.
    """
    run = preset.run
    as_before = {"run.seed": run.seed, "run.seeds": run.seeds, "run.torch_threads": run.torch_threads}
    return trained_settings(preset) | as_before


def differing(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, list[Any]]:
    """Return the settings that differ, "table.key" → [before, after].

    A setting that only one of them has says nothing: of another kind, which differs itself, or of another version.
    """
    common = [name for name in before if name in after]
    return {name: [before[name], after[name]] for name in common if before[name] != after[name]}


def in_words(changed: Mapping[str, Sequence[Any]]) -> str:
    """Return settings that differ, "table.key" → [before, after], as a person says it; None is what is not there."""
    said = {name: ["–" if value is None else quote(value) for value in pair] for name, pair in changed.items()}
    return ", ".join(f"{name} {before} → {after}" for name, (before, after) in said.items())


def flat(node: Any, place: str = "") -> list[tuple[str, Any]]:
    """Return what stands in tables within tables, "table.key" and value each; a list of tables counts its entries."""
    if isinstance(node, Mapping):
        entries: Iterable[tuple[Any, Any]] = node.items()
    elif isinstance(node, list) and node and isinstance(node[0], Mapping):
        entries = enumerate(node)
    else:
        return [(place, node)]
    return [pair for key, value in entries for pair in flat(value, f"{place}.{key}" if place else str(key))]
