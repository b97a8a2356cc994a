"""A preset as plain tables and as TOML, every default written out."""

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
                del tables[table]
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
