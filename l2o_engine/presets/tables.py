"""A preset as plain tables and as TOML, every default written out."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import tomli_w

from l2o_engine.presets.schema import LEARNED_TABLES, Preset


def to_dict(preset: Preset) -> dict[str, Any]:
    """Return the effective preset as plain tables, every default written out, that :func:`check` takes back."""
    dumped = preset.model_dump(mode="json", by_alias=True, exclude_none=True)
    tables = {name: _kind_first(table) for name, table in dumped.items()}
    if preset.kind == "baselines":
        for table in LEARNED_TABLES:
            if table != "unroll":
                tables.pop(table, None)
    return tables


def _kind_first(table: Any) -> Any:
    if isinstance(table, list):
        return [_kind_first(entry) for entry in table]
    if not isinstance(table, dict):
        return table
    return {name: table[name] for name in ("kind", "name") if name in table and "kind" in table} | table


def to_toml(preset: Preset) -> str:
    """Return the effective preset as TOML; reading it gives an equal preset."""
    return tomli_w.dumps(to_dict(preset))


def baseline_toml(optimizer: Any, *, name: str = "", comments: Sequence[str] = ()) -> str:
    """Return a hand-designed optimizer as a [[baseline]] table, every default written out, to paste into a preset.

    Parameters
    ----------
    optimizer
        The optimizer.
    name
        What it is to be called there; its own name, if not given.
    comments
        Lines that stand above its settings. They are of one line each, and none is a stranger's.
    """
    table = _kind_first({key: value for key, value in asdict(optimizer).items() if value is not None})
    lines = [f"{key} = {inline(value)}" for key, value in (table | ({"name": name} if name else {})).items()]
    return "\n".join(["[[baseline]]", *(f"# {comment}" for comment in comments), *lines])


def inline(value: Any) -> str:
    """Return a value as TOML has it in one line."""
    if isinstance(value, Mapping):
        return f"{{ {', '.join(f'{key} = {inline(inner)}' for key, inner in value.items())} }}"
    return tomli_w.dumps({"value": value}).removeprefix("value = ").strip()
